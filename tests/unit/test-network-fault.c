/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What clients really print: dockerd 20.10 and 28, the classic builder, BuildKit, Podman 4, and what package managers say.
 */
#include "engine/network-fault.h"
#include "base/mem.h"
#include "test.h"

#define CLASSIC(command, code)                                                                     \
	"The command '/bin/sh -c " command "' returned a non-zero code: " code "\n"
#define BUILDKIT(command, code)                                                                    \
	"ERROR: failed to solve: process \"/bin/sh -c " command                                    \
	"\" did not complete successfully: exit code: " code "\n"

static const char *const faults[] = {
	"Error response from daemon: toomanyrequests: slow down\n",
	"toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
	"authenticating\n",
	"Error response from daemon: received unexpected HTTP status: 503 Service Unavailable\n",
	"Error response from daemon: Get \"http://127.0.0.1:5999/v2/\": read tcp "
	"127.0.0.1:5->127.0.0.1:6: read: connection reset by peer\n",
	"Error response from daemon: Get \"https://r.example/v2/\": dial tcp: lookup r.example on "
	"10.0.0.1:53: no such host\n",
	"Error response from daemon: Get \"https://registry-1.docker.io/v2/\": net/http: TLS "
	"handshake timeout\n",
	"Error response from daemon: Get \"https://registry-1.docker.io/v2/\": EOF\n",
	"Error response from daemon: Get \"https://ghcr.io/v2/\": context deadline exceeded "
	"(Client.Timeout exceeded while awaiting headers)\n",
	"Step 1/2 : FROM r.example/x\nreceived unexpected HTTP status: 502 Bad Gateway\n",
	"ADD failed: failed to GET http://r.example/x with status 503 Service Unavailable: x\n",
	"ERROR: failed to solve: r.example/x: unexpected status from HEAD request to "
	"https://r.example/v2/x/manifests/1: 429 Too Many Requests\n",
	"ERROR: failed to solve: rpc error: code = Unavailable desc = error reading from server\n",
	"Error: creating build container: initializing source docker://r.example/x:1: reading "
	"manifest 1 in r.example/x: received unexpected HTTP status: 503 Service Unavailable\n",
	"Step 2/2 : RUN curl\n" CLASSIC("curl -fsL https://r.example/x -o x", "6"),
	"#7 ERROR: x\n" BUILDKIT("curl -fsL https://r.example/x | sh", "56"),
	"ERROR: failed to solve: executor failed running [/bin/sh -c curl -fs "
	"https://r.example/x]: exit code: 7\n",
	"failed to create LLB definition: pulling from host 127.0.0.1:5999 failed with status code "
	"[manifests 1]: 503 Service Unavailable\n",
	"Step 2/2 : RUN wget\n" CLASSIC("wget -q https://r.example/x", "4"),
	"Err:1 http://deb.debian.org/debian bookworm InRelease\n  Temporary failure resolving "
	"'deb.debian.org'\nE: Unable to locate package x\n" CLASSIC(
		"apt-get update && apt-get install -y x", "100"),
	"E: Failed to fetch http://deb.debian.org/x.deb  503  Service Unavailable [IP: 1.2.3.4 "
	"80]\n" CLASSIC("apt-get install -y x", "100"),
	"E: Failed to fetch http://deb.debian.org/Packages.xz  File has unexpected size (1 != 2). "
	"Mirror sync in progress?\n" BUILDKIT("apt-get update", "100"),
	"E: Failed to fetch http://deb.debian.org/x.deb  404  Not Found [IP: 146.75.38.132 "
	"80]\n" CLASSIC("apt-get install -y x", "100"),
	"W: Some index files failed to download. They have been ignored, or old ones used "
	"instead.\nE: Unable to locate package tzdata\n" BUILDKIT(
		"apt-get update && apt-get install -y tzdata", "100"),
	"WARNING: fetching https://dl-cdn.alpinelinux.org/main: temporary error (try again "
	"later)\n" CLASSIC("apk add bash", "1"),
	"pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='pypi.org', "
	"port=443): Read timed out.\n" CLASSIC("pip install x", "2"),
	"npm ERR! code E429\nnpm ERR! 429 Too Many Requests - GET "
	"https://registry.npmjs.org/x\n" CLASSIC("npm ci", "1"),
	"npm error code EAI_AGAIN\n" BUILDKIT("npm ci", "1"),
	"fatal: unable to access 'https://x/': The requested URL returned error: 504\n" CLASSIC(
		"git clone https://x", "128"),
	"go: x@v1: reading https://proxy.golang.org/x: 502 Bad Gateway\n" CLASSIC("go build ./...",
										  "1"),
	"error: failed to get `x`\n  spurious network error (3 tries remaining): [6] Couldn't "
	"resolve host name\n" CLASSIC("cargo build", "101"),
	"Curl error (28): Timeout was reached for https://mirrors.example\nError: building at STEP "
	"\"RUN dnf -y install x\": while running runtime: exit status 1\n",
};

static const char *const mistakes[] = {
	"Error response from daemon: manifest for x:2 not found: manifest unknown: manifest "
	"unknown\n",
	"Error response from daemon: pull access denied for x, repository does not exist or may "
	"require 'docker login': denied: requested access to the resource is denied\n",
	"Error response from daemon: Head \"https://registry-1.docker.io/v2/x/manifests/1\": "
	"unauthorized: incorrect username or password\n",
	"Error response from daemon: dockerfile parse error line 2: unknown instruction: RUNN\n",
	"Error response from daemon: Get \"https://r.example/v2/\": x509: certificate signed by "
	"unknown authority\n",
	"write /x: no space left on device\n",
	"COPY failed: file not found in build context or excluded by .dockerignore: stat x503: "
	"file does not exist\n",
	"ADD failed: failed to GET http://r.example/x with status 404 Not Found: x\n",
	CLASSIC("exit 7", "7"),
	"sh: syntax error: unexpected EOF while looking for matching `\"'\n" CLASSIC("\"x", "2"),
	"test.c:429:5: error: unknown type name 'x'\nmake: *** [503] Error 1\n" CLASSIC("make",
											"2"),
	"E: Unable to locate package no-such-package\n" CLASSIC(
		"apt-get install -y no-such-package", "100"),
	"ERROR: No matching distribution found for no-such-package\n" CLASSIC(
		"pip install no-such-package", "1"),
	"npm ERR! code E404\n" CLASSIC("npm ci", "1"),
	"Step 2/3 : RUN pip install a\nReadTimeoutError, retrying\nok\nStep 3/3 : RUN make\nmake: "
	"*** no rule\n" CLASSIC("make", "2"),
	"level=error msg=\"did not get container create message from subprocess: EOF\"\nError: "
	"building at STEP \"RUN a\": while running runtime: exit status 127\n",
	CLASSIC("curl -fsL https://r.example/x", "22"),
	"",
};

static void test_what_is_the_networks_fault(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (!network_failed(faults[i]))
			fail_msg("not seen: %s", faults[i]);
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++)
		if (network_failed(mistakes[i]))
			fail_msg("no fault of the network: %s", mistakes[i]);
}

static void test_what_the_other_side_asks_for(void **state)
{
	int seconds = -1;

	(void)state;
	assert_true(network_refused("HTTP 429\nRetry-After: 7\n", &seconds));
	assert_int_equal(seconds, 7);
	assert_true(network_refused("toomanyrequests: slow down, retry-after soon\n", &seconds));
	assert_int_equal(seconds, 0);
	assert_true(network_refused("HTTP status: 503 Service Unavailable\n", &seconds));
	assert_false(network_refused("HTTP status: 500 Internal Server Error\n", &seconds));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_the_networks_fault),
		cmocka_unit_test(test_what_the_other_side_asks_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/network-fault.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

static bool has_any(const char *text, const char *const *signs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strstr(text, signs[i]))
			return true;
	return false;
}

static bool is_transient(int status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 ||
	       (status >= 502 && status <= 504) || (status >= 520 && status <= 529);
}

/* The number at P, three digits that stand alone; else 0. */
static int status_at(const char *p)
{
	if (!isdigit((unsigned char)p[0]) || !isdigit((unsigned char)p[1]) ||
	    !isdigit((unsigned char)p[2]) || isalnum((unsigned char)p[3]))
		return 0;
	return (p[0] - '0') * 100 + (p[1] - '0') * 10 + p[2] - '0';
}

/* A status that is named as one: "HTTP status: 503", "unexpected status code https://...: 429 Too Many Requests", curl's
 * "returned error: 502", wget's "ERROR 503:", npm's "E429", apt's "503  Service Unavailable". 0: none that would pass. */
static int transient_status(const char *text)
{
	static const char *const reasons[] = {"Too Many Requests",   "Internal Server Error",
					      "Bad Gateway",	     "Service Unavailable",
					      "Service Temporarily", "Gateway Time"};
	static const char *const before[] = {"tatus: ", "tatus ", "tatus code ", "tatus code: ",
					     "rror: ",	"rror ",  "RROR ",	 "HTTP "};

	for (const char *p = text; *p; p++) {
		const int status = p == text || !isdigit((unsigned char)p[-1]) ? status_at(p) : 0;
		if (!is_transient(status))
			continue;
		const char *after = p + 3 + strspn(p + 3, " ");
		for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
			if (!strncasecmp(after, reasons[i], strlen(reasons[i])))
				return status;
		for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
			const size_t n = strlen(before[i]);
			if ((size_t)(p - text) >= n && !strncmp(p - n, before[i], n))
				return status;
		}
		if (p > text + 1 && p[-1] == 'E' && isspace((unsigned char)p[-2]))
			return status;
	}
	return 0;
}

/* The last step's part of TAIL: what a step before it said is over. */
static const char *last_step(const char *tail)
{
	const char *last = tail;

	for (const char *p = tail; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, "Step ", 5) || !strncmp(p, "STEP ", 5))
			last = p;
	}
	return last;
}

/* The exit status of a RUN that failed, in the words of the classic builder, BuildKit or Podman; -1: it is none that failed.
 * *COMMAND: where it is told, in TAIL. */
static int failed_run(const char *tail, const char **command)
{
	static const struct {
		const char *command, *status;
	} forms[] = {{"The command '", "returned a non-zero code: "},
		     {"process \"", "did not complete successfully: exit code: "},
		     {"executor failed running [", "]: exit code: "}, /* BuildKit of Docker 20.10 */
		     {"at STEP \"RUN", "exit status "}};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const char *found = NULL;
		for (const char *p = tail; (p = strstr(p, forms[i].command)); p++)
			found = p;
		const char *status = found ? strstr(found, forms[i].status) : NULL;
		if (!status)
			continue;
		*command = found;
		return (int)strtol(status + strlen(forms[i].status), NULL, 10);
	}
	return -1;
}

/* Those programs that say by their exit status that it was the network, although they may print nothing. */
static bool told_by_exit_status(const char *command, int status)
{
	static const int curls[] = {5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92};

	for (size_t i = 0; i < ARRAY_SIZE(curls); i++)
		if (status == curls[i] && strstr(command, "curl "))
			return true;
	return status == 4 && strstr(command, "wget ");
}

/* What tools print that have no code for it. */
static bool told_by_a_tool(const char *text)
{
	static const char *const signs[] = {
		"onnection reset", "onnection timed out", "onnection refused", "i/o timeout",
		"etwork is unreachable", "No route to host", "TLS handshake timeout",
		"emporary failure in name resolution", "emporary failure resolving",
		"ame or service not known", "ould not resolve", "ouldn't resolve",
		"unable to resolve host", "no such host", "bad address '", "dns error",
		"UnknownHostException", "EAI_AGAIN", "ECONNRESET", "ECONNREFUSED", "ETIMEDOUT",
		"ENOTFOUND", "ESOCKETTIMEDOUT",
		/* apt (whose mirror, in the middle of an update, may answer 404 as well), apk, dnf */
		"E: Failed to fetch ", "Some index files failed to download",
		"Could not connect to ", "Unable to connect to ", "Hash Sum mismatch",
		"File has unexpected size", "Mirror sync in progress", "Connection failed",
		"temporary error (try again later)", "transient error (try again later)",
		"network error (check Internet connection", "Curl error (",
		"No more mirrors to try",
		/* pip, uv, cargo, git, gem, yarn, composer */
		"NewConnectionError", "ReadTimeoutError", "ConnectTimeoutError", "ead timed out",
		"ConnectionResetError", "IncompleteRead", "error sending request for url",
		"operation timed out", "spurious network error", "early EOF", "RPC failed; curl",
		"trouble with your network", "Network error while", "curl error "};

	return has_any(text, signs, ARRAY_SIZE(signs));
}

/* What Go's programs, so all builders and engines, say of a conversation that failed, and the codes of registries and BuildKit. */
static bool told_by_the_engine(const char *text)
{
	static const char *const signs[] = {"toomanyrequests:",
					    "code = Unavailable",
					    "code = DeadlineExceeded",
					    "code = ResourceExhausted",
					    "connection reset by peer",
					    "connection refused",
					    "connection timed out",
					    "i/o timeout",
					    "TLS handshake timeout",
					    ": EOF\n",
					    "unexpected EOF",
					    "no such host",
					    "server misbehaving",
					    "emporary failure in name resolution",
					    "network is unreachable",
					    "no route to host",
					    "context deadline exceeded",
					    "Client.Timeout",
					    "request canceled while waiting",
					    "http2: ",
					    "broken pipe",
					    "use of closed network connection"};

	return has_any(text, signs, ARRAY_SIZE(signs));
}

bool network_failed(const char *tail)
{
	const char *step = last_step(tail), *command = "";
	const int status = failed_run(step, &command);

	if (transient_status(step))
		return true;
	if (status < 0)
		return told_by_the_engine(step);
	return told_by_exit_status(command, status) || told_by_a_tool(step);
}

bool network_refused(const char *tail, int *seconds)
{
	const char *step = last_step(tail), *told = strcasestr(step, "retry-after");
	const int status = transient_status(step);

	*seconds = 0;
	if (told)
		sscanf(told + strlen("retry-after"), "%*[: ]%d", seconds);
	return status == 429 || status == 503 || strstr(step, "toomanyrequests:");
}

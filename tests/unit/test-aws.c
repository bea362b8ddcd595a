/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "aws/service.h"
#include "aws/profile.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include "test.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define WHEN INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */

static const char *last(const struct strv *headers)
{
	const char *found = strstr(headers->v[headers->n - 1], "Signature=");

	return found ? found + strlen("Signature=") : "";
}

/* Signatures that AWS's documents and its own programs make of the same. */
static void test_signatures(void **state)
{
	static const struct {
		const char *service, *token, *method, *url, *header, *body, *signature;
	} t[] = {
		{"service", NULL, "GET", "https://example.amazonaws.com/", NULL, "",
		 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"service", NULL, "GET",
		 "https://example.amazonaws.com/?b=2&a=1&flag&a=0&%C3%A9=x%20y", NULL, "",
		 "4866e407e0d89149af342c0c6a089e97a1a14229f5e590969a76212c2ad3155a"},
		{"bedrock", "tok/en==", "POST",
		 "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
		 "arn%3Aaws%3Abedrock%3Ax%2Fy/invoke",
		 "Content-Type: application/json", "{\"a\":1}",
		 "13274688ca7f756f899d309919e38b8317c0c8847cd32b453a072bd4256007dd"},
		{"s3", NULL, "PUT", "https://b.s3.us-east-1.amazonaws.com/k",
		 "x-amz-server-side-encryption-aws-kms-key-id: k\n"
		 "x-amz-server-side-encryption: aws:kms",
		 "hello", "864c3b674e109af0371c0d3dfa86bdce406c29c72c4b6065f9eb81847346f035"},
		{"s3", "tok/en==", "PUT", "https://b.s3.us-east-1.amazonaws.com:443/a%20b/c%2Bd",
		 "x-amz-meta-z:  a   b ", "hello",
		 "481f41829c8905ee7eefc190d983b8945c428b9d0e54a98cee139584d437c0b6"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		AUTO(strv) struct strv headers = STRV_INIT;
		char hash[HASH_HEX];
		hash_once(t[i].body, strlen(t[i].body), hash);
		AUTO(free) char *lines = xstrdup(t[i].header);
		for (char *rest = lines, *line; (line = strsep(&rest, "\n"));)
			strv_push(&headers, line);
		sigv4_sign(&(struct sigv4){"AKIDEXAMPLE", SECRET, t[i].token, "us-east-1",
					   t[i].service, WHEN},
			   t[i].method, t[i].url, hash, &headers);
		assert_string_equal(last(&headers), t[i].signature);
	}
}

static void test_presigned(void **state)
{
	const struct sigv4 mine = {"AKIDEXAMPLE", SECRET, "tok/en==", "us-east-1", "s3", WHEN};
	const struct sigv4 documented = {"AKIAIOSFODNN7EXAMPLE",
					 "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
					 NULL,
					 "us-east-1",
					 "s3",
					 INT64_C(1369353600000)};
	AUTO(free)
	char *a = sigv4_presign(&mine, "GET", "http://127.0.0.1:9000/bkt/a/b?versionId=3", 3600);
	AUTO(free)
	char *b = sigv4_presign(&documented, "GET",
				"https://examplebucket.s3.amazonaws.com/test.txt", 86400);

	assert_non_null(strstr(a, "?versionId=3&X-Amz-Algorithm=AWS4-HMAC-SHA256"));
	assert_non_null(strstr(a, "X-Amz-Security-Token=tok%2Fen%3D%3D"));
	assert_non_null(strstr(a,
			       "X-Amz-Signature="
			       "3daf7813806a215dbedca37ca478574ccfea23c4d0ff9988f5b82b25a725b4bb"));
	assert_non_null(strstr(b,
			       "X-Amz-Signature="
			       "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"));
}

static void write_file(const char *dir, const char *name, const char *text)
{
	AUTO(free) char *path = path_join(dir, name);
	struct err err;

	assert_int_equal(path_write(AT_FDCWD, path, text, strlen(text), 0600, false, &err), 0);
	setenv(strcmp(name, "config") ? "AWS_SHARED_CREDENTIALS_FILE" : "AWS_CONFIG_FILE", path, 1);
}

static void test_profiles(void **state)
{
	struct err err;
	AUTO(temp_dir) char *dir = path_make_temp_dir("test-aws", &err);
	AUTO(profiles) struct profiles p = {0};
	bool own;

	write_file(dir, "config",
		   "# ours\n[default]\nregion = eu-west-1 ; near\ns3 =\n  addressing_style = path\n"
		   "[profile work]\nregion=us-east-2\nservices = local\naws_access_key_id = old\n"
		   "[sso-session corp]\nsso_region = us-west-2\n"
		   "[services local]\nbatch =\n  endpoint_url = http://127.0.0.1:1/\n");
	write_file(dir, "credentials", "[work]\naws_access_key_id = new\n");
	setenv("AWS_PROFILE", "work", 1);
	assert_int_equal(profiles_read(&p, &err), 0);
	assert_string_equal(profiles_get(&p, "default", "region"), "eu-west-1");
	assert_string_equal(profiles_get(&p, "default", "s3.addressing_style"), "path");
	assert_string_equal(profiles_get(&p, NULL, "aws_access_key_id"), "new");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(p.sso_sessions, "corp"), "sso_region")),
			    "us-west-2");
	AUTO(free) char *region = service_region(&p);
	assert_string_equal(region, "us-east-2");
	AUTO(free) char *batch = service_url(&p, "batch", region, &own);
	assert_string_equal(batch, "http://127.0.0.1:1");
	assert_true(own);
	AUTO(free) char *logs = service_url(&p, "logs", region, &own);
	assert_string_equal(logs, "https://logs.us-east-2.amazonaws.com");
	assert_false(own);
	profiles_release(&p);
	setenv("AWS_PROFILE", "nobody", 1);
	assert_int_equal(profiles_read(&p, &err), -1);
	assert_non_null(strstr(err.msg, "AWS profile \"nobody\" (AWS_PROFILE) is in neither "));
	profiles_release(&p);
	unsetenv("AWS_PROFILE");
	write_file(dir, "config", "[default]\nnonsense\n");
	assert_int_equal(profiles_read(&p, &err), -1);
	assert_non_null(strstr(err.msg, "config, line 2: neither [section] nor key = value"));
}

static void test_services(void **state)
{
	static const struct {
		const char *service, *region, *fips, *dual, *url;
	} t[] = {
		{"s3", "eu-west-1", "", "", "https://s3.eu-west-1.amazonaws.com"},
		{"s3", "us-east-1", "true", "true",
		 "https://s3-fips.dualstack.us-east-1.amazonaws.com"},
		{"s3", "cn-north-1", "", "", "https://s3.cn-north-1.amazonaws.com.cn"},
		{"batch", "us-east-1", "true", "", "https://fips.batch.us-east-1.amazonaws.com"},
		{"batch", "us-east-1", "true", "true", "https://batch-fips.us-east-1.api.aws"},
		{"batch", "us-gov-west-1", "true", "", "https://batch.us-gov-west-1.amazonaws.com"},
		{"batch", "eu-west-1", "", "true", "https://batch.eu-west-1.api.aws"},
		{"logs", "us-gov-west-1", "true", "", "https://logs.us-gov-west-1.amazonaws.com"},
		{"sts", "us-east-1", "true", "", "https://sts-fips.us-east-1.amazonaws.com"},
		{"sso", "eu-west-1", "", "", "https://portal.sso.eu-west-1.amazonaws.com"},
		{"iam", "eu-west-1", "", "", "https://iam.amazonaws.com"},
	};
	struct err err;
	AUTO(profiles) struct profiles p = {0};

	setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	assert_int_equal(profiles_read(&p, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		bool own;
		setenv("AWS_USE_FIPS_ENDPOINT", t[i].fips, 1);
		setenv("AWS_USE_DUALSTACK_ENDPOINT", t[i].dual, 1);
		AUTO(free) char *url = service_url(&p, t[i].service, t[i].region, &own);
		assert_string_equal(url, t[i].url);
	}
	assert_string_equal(service_signing_region("iam", "eu-west-1"), "us-east-1");
	assert_string_equal(service_signing_region("s3", "eu-west-1"), "eu-west-1");
}

static void test_xml(void **state)
{
	static const char text[] = "<R><Key x=\"1\">a&amp;b&#x41;&lt;</Key><Keys/><One>1</One>"
				   "<One>2</One><Empty/></R>";
	const char *at = text, *end = text + strlen(text), *one;
	size_t n, count = 0;
	AUTO(free) char *key = xml_text(text, strlen(text), "Key");
	AUTO(free) char *empty = xml_text(text, strlen(text), "Empty");

	assert_string_equal(key, "a&bA<");
	assert_string_equal(empty, "");
	assert_null(xml_text(text, strlen(text), "None"));
	assert_null(xml_text("<Key>cut", 8, "Key"));
	while ((one = xml_next(&at, end, "One", &n)))
		assert_true(n == 1 && *one == (char)('1' + count++));
	assert_int_equal(count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signatures), cmocka_unit_test(test_presigned),
		cmocka_unit_test(test_profiles),   cmocka_unit_test(test_services),
		cmocka_unit_test(test_xml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

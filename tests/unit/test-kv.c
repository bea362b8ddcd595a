/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/kv.h"
#include "core/limits.h"

static void keeps_order_and_replaces(void **state)
{
	(void)state;
	AUTO(kvs) struct kvs s = KVS_INIT;
	kvs_set(&s, "b", "1");
	kvs_set(&s, "a", "2");
	kvs_set(&s, "b", kvs_get(&s, "b")); /* its own value */
	kvs_set(&s, "b", "3");
	assert_int_equal(s.n, 2);
	assert_string_equal(s.v[0].key, "b");
	assert_string_equal(s.v[0].value, "3");
	assert_null(kvs_get(&s, "c"));
}

static void copies_over(void **state)
{
	(void)state;
	AUTO(kvs) struct kvs a = KVS_INIT;
	AUTO(kvs) struct kvs b = KVS_INIT;
	kvs_set(&a, "x", "1");
	kvs_set(&a, "y", "1");
	kvs_set(&b, "y", "2");
	kvs_set(&b, "z", "2");
	kvs_copy(&a, &b);
	assert_int_equal(a.n, 3);
	assert_string_equal(kvs_get(&a, "y"), "2");
	assert_string_equal(kvs_get(&a, "z"), "2");
}

static void json_holds_no_credential(void **state)
{
	(void)state;
	AUTO(kvs) struct kvs s = KVS_INIT;
	AUTO(kvs) struct kvs back = KVS_INIT;
	kvs_set(&s, "A", "1");
	kvs_set(&s, "OPENAI_API_KEY", "sk");
	AUTO(json) json_t *j = kvs_to_json(&s);
	assert_int_equal(json_object_size(j), 1);
	json_put_int(j, "number", 3); /* not ours: skipped */
	kvs_from_json(&back, j);
	assert_int_equal(back.n, 1);
	assert_string_equal(kvs_get(&back, "A"), "1");
	kvs_from_json(&back, NULL);
	assert_int_equal(back.n, 1);
}

static void credentials_are_known_by_name(void **state)
{
	(void)state;
	static const char *const secret[] = {
		"OPENAI_API_KEY",
		"openai_api_key",
		"ANTHROPIC_API_KEY_2",
		"API_KEY",
		"GROQ_API_KEY",
		"HF_TOKEN",
		"GH_TOKEN",
		"GITHUB_TOKEN",
		"PRIVATE_GITHUB_PAT",
		"GITHUB_PAT",
		"GH_PAT",
		"AWS_SECRET_ACCESS_KEY",
		"AWS_PROFILE",
		"DB_PASSWORD",
		"GOOGLE_APPLICATION_CREDENTIALS",
		"CLIENT_SECRET_ID",
		"SSH_PRIVATE_KEY",
		"AZURE_OPENAI_KEY",
		"OPENROUTER_KEY_1",
		"ANTHROPIC_AUTH_TOKEN",
		"DB_PASS",
		"GPG_PASSPHRASE",
		"MYSQL_PWD",
		"DATABASE_URL",
		"JWT",
		"PROXY_AUTH",
		"PRIVATE_PEM",
		"STRIPE_SK",
	};
	static const char *const plain[] = {
		"PATH",		"TIMEOUT_SEC", "DEBUG",		  "MAX_TOKENS",	   "KEYBOARD",
		"OPENAI_MODEL", "TOKENIZER",   "OPENAI_BASE_URL", "PATTERN",	   "SORT_KEY",
		"GOPRIVATE",	"PWD",	       "OLDPWD",	  "SSH_AUTH_SOCK", "",
	};
	for (size_t i = 0; i < ARRAY_SIZE(secret); i++)
		if (!kv_is_secret(secret[i]))
			fail_msg("%s passes", secret[i]);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (kv_is_secret(plain[i]))
			fail_msg("%s is held back", plain[i]);
}

static void limits_keep_defaults(void **state)
{
	(void)state;
	struct limits l, back;
	AUTO(json) json_t *none = json_object();
	limits_from_json(&l, none);
	assert_memory_equal(&l, &limits_default, sizeof l);
	limits_from_json(&l, NULL);
	assert_int_equal(l.timeout_ms, 30 * 60 * 1000);
	assert_int_equal(l.eval_timeout_ms, 10 * 60 * 1000);
	assert_int_equal(l.disk_mb, 10240);
	l.cpus = 1.5;
	l.memory_mb = 512;
	l.pids = 3;
	l.timeout_ms = 1;
	AUTO(json) json_t *j = limits_to_json(&l);
	limits_from_json(&back, j);
	assert_memory_equal(&l, &back, sizeof l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_and_replaces),
		cmocka_unit_test(copies_over),
		cmocka_unit_test(json_holds_no_credential),
		cmocka_unit_test(credentials_are_known_by_name),
		cmocka_unit_test(limits_keep_defaults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

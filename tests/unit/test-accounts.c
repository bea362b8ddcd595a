/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who a user of an image is. */
#include "test.h"
#include <string.h>
#include "base/mem.h"
#include "sandbox/accounts.h"

static const struct image image = {
	.passwd = (char *)"root:x:0:0:root:/root:/bin/sh\n"
			  "short:x\n"
			  "odd:x:12x:5::/:/bin/sh\n"
			  "app:x:1001:100:App:/srv:/bin/sh\n"
			  "1001:x:7:8::/:/bin/sh\n"
			  "last:x:1002:1002::/:/bin/sh",
	.group = (char *)"root:x:0:\nstaff:x:50:app\nlast:x:60:",
};

static void a_user_is_looked_up_as_engines_do(void **state)
{
	static const struct {
		const char *user;
		uid_t uid;
		gid_t gid;
	} cases[] = {
		{"root", 0, 0},
		{"app", 1001, 100},
		{"0", 0, 0},
		{"1002", 1002, 1002},
		{"4000", 4000, 0},
		{"app:staff", 1001, 50},
		{"app:77", 1001, 77},
		{"4000:5", 4000, 5},
		{"last:last", 1002, 60},
		/* A name that is a number is a name first. */
		{"1001", 7, 8},
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uid_t uid = 1;
		gid_t gid = 1;
		if (accounts_find(&image, cases[i].user, &uid, &gid, &err))
			fail_msg("%s: %s", cases[i].user, err.msg);
		if (uid != cases[i].uid || gid != cases[i].gid)
			fail_msg("%s: %u:%u", cases[i].user, (unsigned)uid, (unsigned)gid);
	}
}

static void an_unknown_user_is_an_error(void **state)
{
	static const char *const wrong[] = {
		"nobody", "ap",	      "short",	"odd", "-1", "4294967295", "99999999999999999999",
		"",	  "app:none", "app:-1", "roo", "+1", "12x"};
	struct image none = {0};
	uid_t uid = 1;
	gid_t gid = 1;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (!accounts_find(&image, wrong[i], &uid, &gid, &err))
			fail_msg("\"%s\" is %u:%u", wrong[i], (unsigned)uid, (unsigned)gid);
		assert_int_equal(err.kind, ERR_USAGE);
	}
	assert_int_equal(accounts_find(&none, "root", &uid, &gid, &err), -1);
	assert_int_equal(uid, 1);
	assert_int_equal(gid, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_is_looked_up_as_engines_do),
		cmocka_unit_test(an_unknown_user_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

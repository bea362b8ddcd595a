/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "test.h"

/* What passes by itself is told from what somebody has to mend. */
static void test_err(void **state)
{
	struct err err;

	err_set(&err, ERR_INFRA, ENOSPC, "write %s", "x");
	assert_true(err.retry);
	assert_string_equal(err.msg, "write x: No space left on device");
	err_wrap(&err, "trial");
	assert_true(err.retry);
	err_set(&err, ERR_INFRA, EACCES, "open");
	assert_false(err.retry);
	err_set(&err, ERR_INFRA, 0, "no pytest");
	assert_false(err.retry);
	err_set(&err, ERR_USAGE, EAGAIN, "a mistake stays one");
	assert_false(err.retry);
	assert_int_equal(err_retry(&err, EACCES, "the peer is gone"), -1);
	assert_true(err.retry && err.kind == ERR_INFRA && err.sys == EACCES);
}

static void test_buf(void **state)
{
	AUTO(buf) struct buf b = BUF_INIT;

	assert_string_equal(b.data, "");
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	assert_int_equal(b.len, 3890);
	assert_int_equal(b.data[b.len], '\0');
	buf_reset(&b);
	assert_string_equal(b.data, "");
	buf_adds(&b, "x");
	buf_add_tail(&b, "abc", 3, 3);
	assert_string_equal(b.data, "abc");
	buf_add_tail(&b, "de", 2, 4);
	assert_string_equal(b.data, "bcde");
	buf_add_tail(&b, "0123456", 7, 4);
	assert_string_equal(b.data, "3456");
	buf_add_tail(&b, "", 0, 2);
	assert_string_equal(b.data, "56");
	AUTO(free) char *owned = buf_detach(&b);
	assert_string_equal(owned, "56");
	assert_int_equal(b.len, 0);
}

static void test_strv(void **state)
{
	AUTO(strv) struct strv s = STRV_INIT;

	assert_null(strv_items(&s)[0]);
	strv_setenv(&s, "A", "1");
	strv_setenv(&s, "AB", "2");
	strv_setenv(&s, "A", "3");
	assert_int_equal(s.n, 2);
	assert_string_equal(s.v[0], "A=3");
	assert_string_equal(s.v[1], "AB=2");
	assert_null(strv_items(&s)[2]);
}

static void test_hash(void **state)
{
	char hex[HASH_HEX];

	/* FIPS 180-4 example; RFC 4231 test case 2. */
	hash_once("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_hmac("Jefe", 4, "what do ya want for nothing?", hex);
	assert_string_equal(hex,
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_text(void **state)
{
	static const struct {
		enum text_medium medium;
		const char *in, *out;
	} cases[] = {
		{TEXT_TERMINAL, "a\x1b[2Jb\n\tc\r", "a\\x1b[2Jb\n\tc "},
		{TEXT_TERMINAL_LINE, "a\nb", "a b"},
		{TEXT_TERMINAL, "caf\xc3\xa9 \xff", "caf\xc3\xa9 \\xff"},
		{TEXT_TERMINAL,
		 "\xe2\x80\xae"
		 "evil",
		 "\\u{202e}evil"},
		{TEXT_TERMINAL,
		 "\xc2\x9b"
		 "31m",
		 "\\x9b31m"},
		{TEXT_TERMINAL, "\xc0\x80\xed\xa0\x80", "\\xc0\\x80\\xed\\xa0\\x80"},
		{TEXT_MARKDOWN, "a|b\n<img>", "a\\|b \\<img\\>"},
		{TEXT_MARKDOWN, "[x](javascript:y)", "\\[x\\]\\(javascript:y\\)"},
		{TEXT_HTML, "<a href=\"x\">'&", "&lt;a href=&quot;x&quot;&gt;&#39;&amp;"},
		{TEXT_CSV_SHEET, "=cmd()\"x", "\"'=cmd()\"\"x\""},
		{TEXT_CSV, "@cf/a\"b", "\"@cf/a\"\"b\""},
		{TEXT_CSV, "", "\"\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(buf) struct buf b = BUF_INIT;
		text_renders(&b, cases[i].in, cases[i].medium);
		assert_string_equal(b.data, cases[i].out);
	}
	AUTO(free) char *fence = text_fence("a ```` b", 8);
	assert_string_equal(fence, "`````");
	static const char *const words[] = {"rollouts", "model", "models", NULL};
	assert_string_equal(text_nearest("rollout", words), "rollouts");
	assert_string_equal(text_nearest("modle", words), "model");
	assert_null(text_nearest("zzzzzz", words));
	assert_int_equal(text_cut("caf\xc3\xa9", 4), 3);
	assert_int_equal(text_cut("caf\xc3\xa9", 5), 5);
}

static void test_path_names(void **state)
{
	static const struct {
		const char *path;
		bool inside;
	} cases[] = {
		{"a", true},	   {"a/b", true},  {"a/", true},    {"..a/b..", true},
		{"", false},	   {"/a", false},  {"..", false},   {"a/..", false},
		{"a/../b", false}, {"./a", false}, {"a//b", false}, {"a/.", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(path_is_inside(cases[i].path), cases[i].inside);
	AUTO(free) char *joined = path_join("a/", "/b");
	assert_string_equal(joined, "a/b");
	AUTO(free) char *root = path_join("/", "b");
	assert_string_equal(root, "/b");
}

struct place {
	char path[32];
	int fd;
};

static int make_place(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);

	snprintf(p->path, sizeof p->path, "/tmp/test-base-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	struct err err;
	int failed = path_remove_tree(AT_FDCWD, p->path, &err) || path_exists(AT_FDCWD, p->path);

	close(p->fd);
	free(p);
	return failed;
}

static void test_files(void **state)
{
	struct place *p = *state;
	struct err err;
	AUTO(buf) struct buf b = BUF_INIT;

	assert_int_equal(path_make_dirs(p->fd, "a/b/c", 0755, &err), 0);
	assert_int_equal(path_write(p->fd, "a/b/c/f", "hello", 5, 0644, true, &err), 0);
	assert_int_equal(path_read(p->fd, "a/b/c/f", 5, &b, &err), 0);
	assert_string_equal(b.data, "hello");
	assert_int_equal(path_read(p->fd, "a/b/c/f", 4, &b, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(path_link(p->fd, "a/b", "l", &err), 0);
	assert_int_equal(path_link(p->fd, "a", "l", &err), 0);
	/* Beneath means beneath, through no link. */
	assert_int_equal(path_read_beneath(p->fd, "l/b/c/f", 99, &b, &err), -1);
	assert_int_equal(err.sys, ELOOP);
	assert_int_equal(path_read_beneath(p->fd, "../../etc/passwd", 99, &b, &err), -1);
	assert_int_equal(err.sys, EXDEV);
	assert_int_equal(mkfifoat(p->fd, "fifo", 0600), 0);
	assert_int_equal(path_read(p->fd, "fifo", 99, &b, &err), -1);
}

static void test_copy_tree(void **state)
{
	struct place *p = *state;
	struct err err;
	struct stat a, b;

	assert_int_equal(path_make_dirs(p->fd, "src/d", 0755, &err), 0);
	assert_int_equal(path_write(p->fd, "src/d/f", "x", 1, 0755, false, &err), 0);
	assert_int_equal(path_link(p->fd, "/nowhere", "src/l", &err), 0);
	assert_int_equal(path_copy_tree(p->fd, "src", p->fd, "dst", &err), 0);
	assert_int_equal(fstatat(p->fd, "src/d/f", &a, 0), 0);
	assert_int_equal(fstatat(p->fd, "dst/d/f", &b, 0), 0);
	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
	assert_true(path_exists(p->fd, "dst/l"));
}

/* Deeper than any path may be long, with what an agent could leave in it. */
static void test_remove_hostile_tree(void **state)
{
	struct place *p = *state;
	struct err err;
	int fd = dup(p->fd);

	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(fd, "0123456789", 0755), 0);
		assert_int_equal(path_write(fd, "f", "x", 1, 0000, false, &err), 0);
		int next = openat(fd, "0123456789", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	fchmod(fd, 0000);
	close(fd);
	assert_int_equal(symlinkat("/etc", p->fd, "etc"), 0);
	assert_int_equal(path_remove_tree(p->fd, "0123456789", &err), 0);
	assert_false(path_exists(p->fd, "0123456789"));
	assert_int_equal(path_remove_tree(p->fd, "etc", &err), 0);
	assert_true(path_exists(AT_FDCWD, "/etc/passwd"));
	assert_int_equal(path_remove_tree(p->fd, "missing", &err), 0);
}

/* What a line means, and whether it is one, the library says; whichever of both reads it. */
static void test_json_lines(void **state)
{
	static const char *const lines[] = {
		"{\"a\":1,\"b\":-0.5,\"c\":[1,[],{},\"x\"],\"d\":{\"e\":null,\"f\":true,\"g\":"
		"false}}\n",
		"{}",
		"{} ",
		"{},\n",
		"{\"a\":1},",
		"{\"a\":\"\\n\"}",
		"{\"a\":\"\\ud83d\\ude00 \xc3\xa9\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"x\ty\"}",
		"{\"a\":1,\"a\":2}",
		"{\"a\" : 1}",
		"{\"a\":01}",
		"{\"a\":-}",
		"{\"a\":-0}",
		"{\"a\":-01}",
		"{\"a\":1.}",
		"{\"a\":.5}",
		"{\"a\":1.e5}",
		"{\"a\":1.5e5}",
		"{\"a\":1e5}",
		"{\"a\":1.5.2}",
		"{\"a\":+1}",
		"{\"a\":1e400}",
		"{\"a\":9223372036854775807}",
		"{\"a\":18446744073709551615}",
		"{\"a\":123456789012345678}",
		"{\"a\":0.1234567890123456789012345678901234567890123456789}",
		"{\"a\":nul}",
		"{\"a\":trueish}",
		"{\"a\":1,}",
		"{\"a\":[1,]}",
		"{\"a\"}",
		"{\"a\":\"x",
		"{a:1}",
		"[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
		"{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
		"{\"a key that is much longer than forty characters are\":1}",
		"5",
		"\"x\"",
		"",
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(lines); i++) {
		const char *line = lines[i / 2];
		size_t flags = i % 2 ? JSON_DISABLE_EOF_CHECK : 0;
		AUTO(json) json_t *ours = json_line(line, strlen(line), flags);
		AUTO(json) json_t *theirs = json_loadb(line, strlen(line), flags, NULL);
		AUTO(buf) struct buf a = BUF_INIT;
		AUTO(buf) struct buf b = BUF_INIT;
		assert_int_equal(!ours, !theirs);
		if (!ours)
			continue;
		json_format(&a, ours, false);
		json_format(&b, theirs, false);
		assert_string_equal(a.data, b.data);
		assert_true(json_equal(ours, theirs));
	}
}

static void test_json(void **state)
{
	struct place *p = *state;
	struct err err;
	AUTO(json) json_t *j = json_object(), *back = NULL;
	const char *s;
	int64_t n;

	json_put_str(j, "s", "bad \xff");
	json_put_real(j, "nan", 0.0 / 0.0);
	json_put_int(j, "n", 3);
	assert_int_equal(json_write(p->fd, "j.json", j, false, &err), 0);
	assert_int_equal(json_read(&back, p->fd, "j.json", 4096, &err), 0);
	assert_string_equal(json_get_str(back, "s", ""), "bad \\xff");
	assert_true(json_is_null(json_object_get(back, "nan")));
	assert_int_equal(json_need_int(back, "n", "j.json", &n, &err), 0);
	assert_int_equal(n, 3);
	assert_int_equal(json_need_str(back, "n", "j.json", &s, &err), -1);
	assert_string_equal(err.msg, "j.json: \"n\" must be a string");
	static const struct {
		const char *odd, *plain; /* NULL: is no JSON all the same */
	} foreign[] = {
		{"\xef\xbb\xbf{\"a\":1}", "{\"a\":1}"},
		{"{\"a\":\"x\\ud800y\\ud83d\\ude00\",\"n\":1}",
		 "{\"a\":\"x\xef\xbf\xbdy\xf0\x9f\x98\x80\",\"n\":1}"},
		{"{\"a\":\"\\udc00\\ud800\"}", "{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\"}"},
		{"{\"a\":\"\xff\xc3\xa4\xe2\x82\"}",
		 "{\"a\":\"\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\"}"},
		{"{\"a\":18446744073709551615,\"b\":[NaN,-Infinity,1e400,-1]}",
		 "{\"a\":1.84467440737096e19,\"b\":[null,null,null,-1]}"},
		{"{\"a\":\"x\ty\\n\",\"b\":1e-400}", "{\"a\":\"x\\ty\\n\",\"b\":0.0}"},
		{"{\"a\":\"x", NULL},
		{"{\"a\":\"\\ud800", NULL},
		{"{\"a\":yes}", NULL},
		{"{\"a\":1", NULL},
		{"", NULL},
	};
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
		AUTO(json) json_t *got = json_foreign(foreign[i].odd, strlen(foreign[i].odd));
		AUTO(buf) struct buf text = BUF_INIT;
		if (got)
			json_format(&text, got, false);
		if (!foreign[i].plain)
			assert_null(got);
		else
			assert_string_equal(text.data, foreign[i].plain);
	}
	json_t *bad = NULL;
	assert_int_equal(json_parse(&bad, "{\"a\":1,\n \"a\":2}", 15, "x.json", &err), -1);
	assert_int_equal(err.kind, ERR_USAGE);
	assert_memory_equal(err.msg, "x.json:2:", 9);
}

/* A deadline is not reached by the time in which nobody could have worked, whoever looks first and however long he waited. */
static void test_clock_of_one_that_stood_still(void **state)
{
	clock_virtual_set(1000000);
	const bool was = clock_watch(true);
	const int64_t deadline = clock_mono_ms() + 9000;

	assert_int_equal(clock_wait_ms(deadline), 1000);
	assert_int_equal(clock_wait_ms(0), 1000);
	clock_virtual_set(1011000);
	assert_true(clock_mono_ms() <= deadline - 9000);
	for (int64_t at = 1011000; clock_mono_ms() < deadline; clock_virtual_set(at += 1000))
		assert_true(at < 1011000 + 9000);
	assert_int_equal(clock_wait_ms(deadline), 0);
	clock_watch(was);
	/* One that is not watched may wait for as long as it likes. */
	const int64_t before = clock_mono_ms();
	clock_virtual_set(1100000);
	assert_int_equal(clock_mono_ms() - before, 1100000 - 1020000);
	clock_virtual_set(0);
}

static void test_clock(void **state)
{
	char stamp[CLOCK_STAMP], iso[CLOCK_STAMP + 8], human[16];

	clock_stamp(1756038896789, stamp);
	assert_string_equal(stamp, "20250824__12-34-56");
	clock_iso(1756038896789, iso);
	assert_string_equal(iso, "2025-08-24T12:34:56.789Z");
	clock_human(245000, human);
	assert_string_equal(human, "4m05s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_strv),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_path_names),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_clock_of_one_that_stood_still),
		cmocka_unit_test_setup_teardown(test_files, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_copy_tree, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_remove_hostile_tree, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_json, make_place, remove_place),
		cmocka_unit_test(test_json_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "store/crc.h"
#include "core/datadir.h"
#include "store/journal.h"

static char folder[] = "/tmp/test-journal.XXXXXX";

static int setup(void **state)
{
	static int dir_fd;
	char path[] = "/tmp/test-journal.XXXXXX";

	assert_non_null(mkdtemp(path));
	memcpy(folder, path, sizeof path);
	dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &dir_fd;
	return 0;
}

static int teardown(void **state)
{
	struct err err;

	close(*(int *)*state);
	return path_remove_tree(AT_FDCWD, folder, &err);
}

static void collect(void *arg, const json_t *line)
{
	buf_addf(arg, "%s ", json_get_str(line, "event", "?"));
}

/* The events that are read, in order. */
static void check(int dir_fd, const char *events, int damaged, int64_t last_seq)
{
	AUTO(buf) struct buf seen = BUF_INIT;
	struct journal_stats stats;
	struct err err;

	assert_int_equal(journal_read(dir_fd, JOURNAL_ALL, collect, &seen, &stats, &err), 0);
	assert_string_equal(seen.data, events);
	assert_int_equal(stats.damaged, damaged);
	assert_int_equal(stats.last_seq, last_seq);
}

static void append(int dir_fd, int64_t last_seq, const char *event)
{
	struct journal *j;
	struct err err;

	assert_int_equal(journal_open(&j, dir_fd, &err), 0);
	journal_continue(j, last_seq);
	journal_add(j, event, NULL, 0, NULL);
	assert_int_equal(journal_close(j, &err), 0);
}

static void overwrite(int dir_fd, off_t at, const char *text, bool cut)
{
	int fd = openat(dir_fd, ROLLOUT_JOURNAL, O_RDWR | O_CLOEXEC);

	if (at < 0)
		at += lseek(fd, 0, SEEK_END);
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
	if (cut)
		assert_int_equal(ftruncate(fd, at), 0);
	close(fd);
}

static void test_crc_is_zlibs(void **state)
{
	assert_int_equal(crc32_of("123456789", 9), 0xcbf43926);
	assert_int_equal(crc32_of("", 0), 0);
	assert_int_equal(crc32_of("The quick brown fox jumps over the lazy dog", 43), 0x414fa339);
}

static void test_missing_file_is_empty(void **state)
{
	check(*(int *)*state, "", 0, 0);
}

static void test_lines_come_back(void **state)
{
	int dir_fd = *(int *)*state;

	append(dir_fd, 0, "one");
	append(dir_fd, 1, "two");
	check(dir_fd, "one two ", 0, 2);
}

static void test_damaged_line_is_skipped(void **state)
{
	int dir_fd = *(int *)*state;

	append(dir_fd, 0, "one");
	append(dir_fd, 1, "two");
	overwrite(dir_fd, 3, "#", false);
	check(dir_fd, "two ", 1, 2);
}

static void test_torn_tail_is_mended(void **state)
{
	int dir_fd = *(int *)*state;

	append(dir_fd, 0, "one");
	append(dir_fd, 1, "two");
	overwrite(dir_fd, -10, "", true);
	check(dir_fd, "one ", 1, 1);
	append(dir_fd, 1, "three");
	check(dir_fd, "one three ", 1, 2);
}

static void test_last_line_without_newline_counts(void **state)
{
	int dir_fd = *(int *)*state;

	append(dir_fd, 0, "one");
	overwrite(dir_fd, -1, "", true);
	check(dir_fd, "one ", 0, 1);
	append(dir_fd, 1, "two");
	check(dir_fd, "one two ", 0, 2);
}

/* What READER finds since it was asked last. */
static void check_news(struct journal_reader *reader, const char *events, int damaged)
{
	AUTO(buf) struct buf seen = BUF_INIT;
	struct err err;

	assert_int_equal(journal_reader_next(reader, collect, &seen, &err), 0);
	assert_string_equal(seen.data ? seen.data : "", events);
	assert_int_equal(journal_reader_stats(reader)->damaged, damaged);
}

static void append_bytes(int dir_fd, const char *text, size_t n)
{
	int fd = openat(dir_fd, ROLLOUT_JOURNAL, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static void test_a_reader_goes_on_where_it_stopped(void **state)
{
	int dir = *(int *)*state;
	AUTO(buf) struct buf line = BUF_INIT;
	struct journal_reader *reader;
	struct err err;

	assert_int_equal(journal_reader_open(&reader, dir, JOURNAL_ALL, &err), 0);
	check_news(reader, "", 0); /* no file yet */
	append(dir, 0, "a");
	append(dir, 1, "b");
	check_news(reader, "a b ", 0);
	check_news(reader, "", 0);
	append(dir, 2, "c");
	/* The same line once more, in two pieces: nothing is told of the first. */
	assert_int_equal(path_read(dir, ROLLOUT_JOURNAL, 1 << 20, &line, &err), 0);
	const char *last = memrchr(line.data, '\n', line.len - 1);
	size_t n = line.len - (size_t)(++last - line.data);
	append_bytes(dir, last, n - 5);
	check_news(reader, "c ", 0);
	append_bytes(dir, last + n - 5, 5);
	check_news(reader, "c ", 0);
	/* Torn by a crash, and gone on after it. */
	append_bytes(dir, last, n - 5);
	check_news(reader, "", 0);
	append(dir, 3, "d");
	check_news(reader, "d ", 1);
	assert_int_equal(journal_reader_stats(reader)->last_seq, 4);
	assert_int_equal(journal_reader_stats(reader)->first_damaged, 5);
	journal_reader_close(reader);
}

static void test_one_writer(void **state)
{
	int dir_fd = *(int *)*state;
	struct journal *j, *second;
	struct err err;

	assert_false(journal_is_live(dir_fd));
	assert_int_equal(journal_open(&j, dir_fd, &err), 0);
	assert_true(journal_is_live(dir_fd));
	assert_int_equal(journal_open(&second, dir_fd, &err), -1);
	assert_int_equal(err.kind, ERR_USAGE);
	assert_int_equal(journal_close(j, &err), 0);
	assert_false(journal_is_live(dir_fd));
}

static void test_later_version_is_refused(void **state)
{
	static const char body[] = "{\"v\":2,\"seq\":1,\"event\":\"x\"";
	int dir_fd = *(int *)*state, fd = openat(dir_fd, ROLLOUT_JOURNAL, O_WRONLY | O_CREAT, 0600);
	AUTO(buf) struct buf seen = BUF_INIT;
	struct journal_stats stats;
	struct err err;

	dprintf(fd, "%s,\"crc\":\"%08x\"}\n", body, crc32_of(body, sizeof body - 1));
	close(fd);
	assert_int_equal(journal_read(dir_fd, JOURNAL_ALL, collect, &seen, &stats, &err), -1);
	assert_int_equal(err.kind, ERR_USAGE);
}

static void test_lines_longer_than_a_read(void **state)
{
	enum { LONG = 700 << 10 };
	int dir_fd = *(int *)*state;
	struct journal *j;
	struct err err;
	AUTO(free) char *text = malloc(LONG + 1);

	memset(text, 'x', LONG);
	text[LONG] = '\0';
	assert_int_equal(journal_open(&j, dir_fd, &err), 0);
	for (int i = 0; i < 3; i++) {
		json_t *fields = json_object();
		json_put_str(fields, "text", text);
		journal_add(j, i ? "long" : "first", NULL, 0, fields);
		assert_int_equal(journal_flush(j, &err), 0);
	}
	assert_int_equal(journal_close(j, &err), 0);
	check(dir_fd, "first long long ", 0, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc_is_zlibs),
		cmocka_unit_test_setup_teardown(test_missing_file_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_line_is_skipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_tail_is_mended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_line_without_newline_counts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_reader_goes_on_where_it_stopped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_one_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_later_version_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines_longer_than_a_read, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "test.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/path.h"
#include "os/capped-log.h"
#include "os/fdio.h"
#include "os/spawn.h"

static void sh(const char *script, const char *input, int64_t limit_ms, struct buf *out,
	       int *status)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	struct err err = {0};
	int64_t deadline = limit_ms ? clock_mono_ms() + limit_ms : 0;
	if (spawn_run(&s, input, input ? strlen(input) : 0, 100, deadline, out, NULL, status,
		      &err) < 0)
		fail_msg("%s", err.msg);
}

static void run_gives_output_and_status(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	int status = -1;
	char text[48];
	sh("cat; echo lost >&2; exit 3", "fed", 0, &out, &status);
	assert_string_equal(out.data, "fed");
	assert_string_equal(spawn_status_text(status, text), "exit status 3");
	buf_reset(&out);
	sh("kill -SEGV $$", NULL, 0, &out, &status);
	assert_string_equal(spawn_status_text(status, text), "killed by SIGSEGV");
	buf_release(&out);
}

static void run_keeps_a_bounded_part(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	int status = -1;
	sh("head -c 1000000 /dev/zero; exit 7", NULL, 0, &out, &status);
	assert_int_equal(out.len, 100);
	assert_int_equal(WEXITSTATUS(status), 7);
	buf_release(&out);
}

static void run_ends_with_the_program_not_with_its_pipe(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	int status = -1;
	int64_t t = clock_mono_ms();
	sh("sleep 30 & echo $!", NULL, 20000, &out, &status);
	assert_true(clock_mono_ms() - t < 10000);
	pid_t left = (pid_t)strtol(out.data, NULL, 10);
	assert_true(left > 1);
	// Killed with the group: a process that is gone or whose descriptor says so.
	int pidfd = pidfd_open(left, 0);
	if (pidfd >= 0) {
		struct pollfd p = {.fd = pidfd, .events = POLLIN};
		assert_int_equal(poll(&p, 1, 10000), 1);
		close(pidfd);
	}
	buf_release(&out);
}

static void run_is_killed_at_the_deadline(void **state)
{
	(void)state;
	const char *argv[] = {"sh", "-c", "sleep 30; true", NULL};
	struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	struct err err = {0};
	struct buf out = BUF_INIT;
	int status;
	assert_int_equal(
		spawn_run(&s, NULL, 0, 10, clock_mono_ms() + 50, &out, NULL, &status, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_string_equal(err.msg, "sh: time limit reached");
	buf_release(&out);
}

static void a_missing_program_is_an_error(void **state)
{
	(void)state;
	const char *argv[] = {"no-such-program-here", NULL};
	struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	struct err err = {0};
	struct child c;
	assert_int_equal(spawn_start(&c, &s, false, &err), -1);
	assert_int_equal(err.kind, ERR_INFRA);
	assert_int_equal(err.sys, ENOENT);
}

static void a_child_has_three_descriptors_and_default_signals(void **state)
{
	(void)state;
	int leak = open("/dev/null", O_RDONLY); // NOLINT: without O_CLOEXEC on purpose
	assert_true(leak > 2);
	struct buf out = BUF_INIT;
	int status;
	signal(SIGPIPE, SIG_IGN);
	sigset_t block, old;
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &old);
	sh("ls /proc/self/fd | tr '\\n' ' '; grep -E 'SigBlk|SigIgn' /proc/self/status | tr -d "
	   "'\\n'",
	   NULL, 0, &out, &status);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(leak);
	// The 3 is ls's own look at the directory; 32 and 33 belong to the C library.
	const char *want = "0 1 2 3 SigBlk:\t0000000000000000SigIgn:\t";
	assert_memory_equal(out.data, want, strlen(want));
	assert_int_equal(strtoull(out.data + strlen(want), NULL, 16) & 0x7fffffff, 0);
	buf_release(&out);
}

static void stdio_may_be_swapped(void **state)
{
	(void)state;
	int p[2];
	struct err err = {0};
	assert_int_equal(fd_pipe(p, &err), 0);
	int saved = fcntl(1, F_DUPFD_CLOEXEC, 3), saved2 = fcntl(2, F_DUPFD_CLOEXEC, 3);
	dup2(p[1], 1);
	const char *argv[] = {"sh", "-c", "echo to-err >&2", NULL};
	struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = 2, .err = 1};
	struct child c;
	int status, rc = spawn_start(&c, &s, false, &err);
	dup2(saved, 1);
	dup2(saved2, 2);
	close(saved);
	close(saved2);
	assert_int_equal(rc, 0);
	assert_int_equal(spawn_wait(&c, 0, &status, &err), 0);
	spawn_kill(&c, false); // on a reaped child: nothing
	close(p[1]);
	char got[32] = "";
	assert_int_equal(read(p[0], got, sizeof got), 7);
	assert_string_equal(got, "to-err\n");
	close(p[0]);
}

static void descriptors_travel(void **state)
{
	(void)state;
	int s[2], p[2], got[2] = {-1, -1};
	struct err err = {0};
	assert_int_equal(fd_socketpair_seq(s, &err), 0);
	assert_int_equal(fd_pipe(p, &err), 0);
	int both[2] = {p[0], p[1]};
	assert_int_equal(fd_send(s[0], "hello", 5, both, 2, &err), 5);
	char text[16] = "";
	size_t n = 1; // room for one only: the other is closed, not leaked
	assert_int_equal(fd_recv(s[1], text, sizeof text, got, &n, 0, &err), 5);
	assert_int_equal(n, 1);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fd_recv(s[1], text, sizeof text, NULL, NULL, clock_mono_ms() + 5, &err),
			 -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	close(p[1]);
	char byte;
	assert_int_equal(read(got[0], &byte, 1), 0); // no writer is left
	close(s[0]);
	assert_int_equal(fd_recv(s[1], text, sizeof text, NULL, NULL, 0, &err), 0);
	close(s[1]);
	close(p[0]);
	close(got[0]);
}

static void a_lock_excludes_and_survives_removal(void **state)
{
	(void)state;
	char dir[] = "/tmp/test-os-XXXXXX";
	assert_non_null(mkdtemp(dir));
	int d = open(dir, O_DIRECTORY | O_CLOEXEC);
	struct err err = {0};
	int a = fd_lock(d, "lock", 0, &err);
	assert_true(a >= 0);
	assert_int_equal(fd_lock(d, "lock", clock_mono_ms() - 1, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(unlinkat(d, "lock", 0), 0);
	int b = fd_lock(d, "lock", clock_mono_ms() - 1, &err);
	assert_true(b >= 0);
	close(a);
	close(b);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
	close(d);
}

static void check_log(size_t cap, size_t total, size_t piece)
{
	char dir[] = "/tmp/test-os-XXXXXX";
	assert_non_null(mkdtemp(dir));
	int d = open(dir, O_DIRECTORY | O_CLOEXEC);
	struct err err = {0};
	struct capped_log *log;
	assert_int_equal(capped_log_open(&log, d, "log", cap, &err), 0);
	struct buf all = BUF_INIT, want = BUF_INIT, got = BUF_INIT;
	for (size_t i = 0; i < total; i++)
		buf_addc(&all, (char)('a' + i % 23));
	for (size_t i = 0; i < total; i += piece)
		assert_int_equal(capped_log_add(log, all.data + i,
						i + piece < total ? piece : total - i, &err),
				 0);
	assert_int_equal(capped_log_total(log), (int64_t)total);
	assert_int_equal(capped_log_close(log, &err), 0);
	buf_add(&want, all.data, total < cap ? total : cap);
	if (total > 2 * cap)
		buf_addf(&want, "\n[rollouts: %zu bytes left out here]\n", total - 2 * cap);
	if (total > cap) {
		size_t tail = total - cap < cap ? total - cap : cap;
		buf_add(&want, all.data + total - tail, tail);
	}
	assert_int_equal(path_read(d, "log", 1 << 24, &got, &err), 0);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	buf_release(&all);
	buf_release(&want);
	buf_release(&got);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir, &err), 0);
	close(d);
}

static void logs_keep_head_and_tail(void **state)
{
	(void)state;
	static const size_t totals[] = {0, 1, 999, 1000, 1001, 1999, 2000, 2001, 3500, 300000};
	static const size_t pieces[] = {1, 7, 1000, 4096, 1000000};
	for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
		for (size_t j = 0; j < sizeof pieces / sizeof *pieces; j++)
			check_log(1000, totals[i], pieces[j]);
	check_log(200000, 1000000, 65536);
	check_log(3, 1000, 7); /* the line about the gap is longer than what is kept */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_gives_output_and_status),
		cmocka_unit_test(run_keeps_a_bounded_part),
		cmocka_unit_test(run_ends_with_the_program_not_with_its_pipe),
		cmocka_unit_test(run_is_killed_at_the_deadline),
		cmocka_unit_test(a_missing_program_is_an_error),
		cmocka_unit_test(a_child_has_three_descriptors_and_default_signals),
		cmocka_unit_test(stdio_may_be_swapped),
		cmocka_unit_test(descriptors_travel),
		cmocka_unit_test(a_lock_excludes_and_survives_removal),
		cmocka_unit_test(logs_keep_head_and_tail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

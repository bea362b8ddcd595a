/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/show.h"
#include "os/fdio.h"
#include "rollout/shell.h"

enum { PIECE = 1 << 15, NOT_FOUND = 127 };

/* Bytes on their way from FROM to TO; -1: that end is closed. */
struct way {
	int from, to;
	struct buf rest; /* what TO did not take yet */
};

struct session {
	struct shell shell;
	struct way ways[3];
	size_t ways_n;
	int inside[3]; /* what the command gets; closed here once it has them */
	int master;    /* of the terminal that it has; -1: it has none */
	int signals;
	struct termios usual;
	bool raw, stop;
	size_t told; /* of the shell's notes */
};

static void close_way(struct way *w)
{
	if (w->from >= 0)
		close(w->from);
	if (w->to >= 0)
		close(w->to);
	w->from = w->to = -1;
	buf_release(&w->rest);
}

/* A terminal of its own: what is typed and shown here passes through, and it can do nothing to ours. */
static int open_terminal(struct session *s, struct err *err)
{
	struct winsize size;

	s->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->master < 0 || grantpt(s->master) || unlockpt(s->master))
		return err_set(err, ERR_INFRA, errno, "open a terminal");
	int slave = ioctl(s->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_set(err, ERR_INFRA, errno, "open a terminal");
	if (!ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		ioctl(slave, TIOCSWINSZ, &size);
	s->inside[0] = slave;
	s->inside[1] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
	s->inside[2] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
	s->ways[0] = (struct way){fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3),
				  fcntl(s->master, F_DUPFD_CLOEXEC, 3), BUF_INIT};
	s->ways[1] = (struct way){fcntl(s->master, F_DUPFD_CLOEXEC, 3),
				  fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), BUF_INIT};
	s->ways_n = 2;
	return 0;
}

/* Never our own descriptors: a file that is one could be changed through it. */
static int open_pipes(struct session *s, struct err *err)
{
	for (int i = 0; i < 3; i++) {
		int ends[2], ours = fcntl(i, F_DUPFD_CLOEXEC, 3);
		if (fd_pipe(ends, err))
			return -1;
		s->inside[i] = ends[i != 0];
		s->ways[i] = i ? (struct way){ends[0], ours, BUF_INIT}
			       : (struct way){ours, ends[1], BUF_INIT};
		s->ways_n++;
	}
	return 0;
}

static int watch_signals(struct session *s, struct err *err)
{
	static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		sigaddset(&set, all[i]);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_set(err, ERR_INFRA, errno, "block signals");
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? err_set(err, ERR_INFRA, errno, "signalfd") : 0;
}

static void make_raw(struct session *s)
{
	struct termios raw;

	if (s->raw || s->master < 0 || tcgetattr(STDIN_FILENO, &s->usual))
		return;
	raw = s->usual;
	cfmakeraw(&raw);
	s->raw = !tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void take_signals(struct session *s)
{
	struct signalfd_siginfo si;
	struct winsize size;

	while (read(s->signals, &si, sizeof si) == sizeof si)
		if (si.ssi_signo != SIGWINCH)
			s->stop = true;
		else if (s->master >= 0 && !ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
			ioctl(s->master, TIOCSWINSZ, &size);
}

/* What was read goes on at once, as much of it as there is room for. */
static void flush(struct way *w)
{
	ssize_t n = write(w->to, w->rest.data, w->rest.len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		close_way(w);
		return;
	}
	memmove(w->rest.data, w->rest.data + n, w->rest.len - (size_t)n);
	w->rest.len -= (size_t)n;
}

static void carry(struct way *w)
{
	char piece[PIECE];
	ssize_t n = read(w->from, piece, sizeof piece);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_way(w); /* EIO: nobody has the terminal open any more */
		return;
	}
	buf_add(&w->rest, piece, (size_t)n);
	flush(w);
}

/* The text is partly the agent's. */
static void tell_notes(struct session *s)
{
	for (; s->told < s->shell.notes.n; s->told++)
		cmd_warn(s->shell.notes.v[s->told]);
}

static bool turn(struct session *s)
{
	struct pollfd p[5] = {{.fd = s->shell.events, .events = POLLIN},
			      {.fd = s->signals, .events = POLLIN}};

	for (size_t i = 0; i < s->ways_n; i++)
		p[2 + i] = s->ways[i].rest.len
				   ? (struct pollfd){.fd = s->ways[i].to, .events = POLLOUT}
				   : (struct pollfd){.fd = s->shell.started || i ? s->ways[i].from
										 : -1,
						     .events = POLLIN};
	if (poll(p, 2 + s->ways_n, -1) < 0)
		return errno == EINTR;
	bool more = !p[0].revents || shell_read(&s->shell);
	if (p[1].revents)
		take_signals(s);
	tell_notes(s);
	if (s->shell.started)
		make_raw(s);
	for (size_t i = 0; i < s->ways_n; i++)
		if (p[2 + i].revents && s->ways[i].rest.len)
			flush(&s->ways[i]);
		else if (p[2 + i].revents)
			carry(&s->ways[i]);
	return more && !s->stop && !s->shell.ended;
}

/* What the command wrote before it ended. */
static void drain(struct session *s)
{
	for (size_t i = 1; i < s->ways_n; i++) {
		struct way *w = &s->ways[i];
		struct pollfd p = {.fd = w->from, .events = POLLIN};
		while (w->from >= 0 && !s->stop && (w->rest.len || poll(&p, 1, 0) > 0)) {
			struct pollfd out = {.fd = w->to, .events = POLLOUT};
			if (!w->rest.len)
				carry(w);
			else if (poll(&out, 1, -1) > 0)
				flush(w);
		}
	}
}

static int result(const struct session *s, struct err *err)
{
	const struct shell *shell = &s->shell;

	if (s->stop)
		return CMD_INTERRUPTED;
	if (shell->failed)
		return err_set(err, shell->mistaken ? ERR_USAGE : ERR_INFRA, 0, "%s",
			       shell->failed);
	if (!shell->ended)
		return err_set(err, ERR_INFRA, 0, "the worker ended without a word");
	if (shell->stopped) {
		cmd_warn(shell->stopped);
		return shell->not_found ? NOT_FOUND : CMD_ENVIRONMENT;
	}
	return WIFEXITED(shell->status) ? WEXITSTATUS(shell->status)
					: 128 + WTERMSIG(shell->status);
}

static void release(struct session *s)
{
	if (s->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &s->usual);
	shell_end(&s->shell);
	for (size_t i = 0; i < s->ways_n; i++)
		close_way(&s->ways[i]);
	for (int i = 0; i < 3; i++)
		if (s->inside[i] >= 0)
			close(s->inside[i]);
	if (s->master >= 0)
		close(s->master);
	if (s->signals >= 0)
		close(s->signals);
}

/* The exit status, or -1 with *ERR. */
static int look(const struct store *store, const struct shell_request *q, struct err *err)
{
	struct session s = {.inside = {-1, -1, -1},
			    .master = -1,
			    .signals = -1,
			    .shell = {.events = -1, .worker.pidfd = -1}};

	int status = (q->terminal ? open_terminal(&s, err) : open_pipes(&s, err)) ||
				     watch_signals(&s, err) ||
				     shell_start(&s.shell, store, q, s.inside, err)
			     ? -1
			     : 0;
	if (!status) {
		for (int i = 0; i < 3; i++) {
			close(s.inside[i]);
			s.inside[i] = -1;
		}
		tell_notes(&s);
		while (turn(&s))
			;
		drain(&s);
		status = result(&s, err);
	}
	release(&s);
	return status;
}

static int shell(const char *data, const char *word, int64_t attempt, struct shell_request *q,
		 struct err *err)
{
	struct show_run run = {.fd = -1};
	struct store store;

	if (store_open(&store, data, false, err))
		return -1;
	int status = show_open_run(&store, word, attempt, &run, err);
	if (!status) {
		q->run_id = run.id;
		q->attempt = run.attempt;
		status = look(&store, q, err);
	}
	show_close_run(&run);
	store_close(&store);
	return status;
}

int cmd_shell(int argc, char **argv)
{
	const char *data = "data", *test = NULL;
	bool clean = false, agent = false;
	int64_t attempt = 0;
	const struct option options[] = {
		{.name = "clean",
		 .kind = OPTION_FLAG,
		 .target = &clean,
		 .help = "without the agent's work: as the tests find the start"},
		{.name = "agent",
		 .kind = OPTION_FLAG,
		 .target = &agent,
		 .help = "as the agent had it: with its programs, without the tests"},
		{.name = "test",
		 .arg = "T",
		 .kind = OPTION_STR,
		 .target = &test,
		 .help = "run this test as the grading does, in place of a shell"},
		{.name = "attempt",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &attempt,
		 .min = 1,
		 .max = 1000000,
		 .help = "of this attempt, not of the one whose result counts"},
		OPTION_DATA_DIR(&data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "shell",
		.operands = "RUN_ID [-- COMMAND ...]",
		.min = 1,
		.max = 10000,
		.options = options,
		.summary = "look into the sandbox in which a trial was graded",
		.text = "The agent's diff is applied and the tests are laid out, by the same code "
			"as for "
			"a grade, and\n"
			"there is no way to a model. Nothing of the rollout is changed; what is "
			"done inside "
			"is gone\n"
			"afterwards. What is another than it was then is told. The exit status is "
			"the "
			"command's.",
		.examples = "rollouts shell 20250824__12-34-56-0\n"
			    "rollouts shell 20250824__12-34-56-0 --clean -- git status\n"
			    "rollouts shell 20250824__12-34-56-0 --test check.sh\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	AUTO(strv) struct strv command = STRV_INIT;
	for (size_t i = 1; i < operands.n; i++)
		strv_push(&command, operands.v[i]);
	struct shell_request q = {.mode = clean	  ? "clean"
					  : agent ? "agent"
						  : "graded",
				  .test = test,
				  .argv = &command,
				  .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
	if (clean && agent)
		status = err_set(&err, ERR_USAGE, 0, "--clean and --agent exclude each other");
	else if (test && (agent || command.n))
		status = err_set(&err, ERR_USAGE, 0, "--test excludes --agent and a command");
	else
		status = shell(data, operands.v[0], attempt, &q, &err);
	return status < 0 ? cmd_fail(&err) : status;
}

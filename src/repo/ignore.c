/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/ignore.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/fdio.h"
#include "git/git.h"

enum {
	RULES_MAX = 4 << 20,
	CHUNK = 32 << 10,    /* of questions: the socket takes it whole while git waits for us */
	PATIENCE_MS = 20000, /* a pattern can be made to take for ever */
};

void ignore_init(struct ignore *ig, const char *git_dir, int scratch_fd, int64_t deadline_ms)
{
	int64_t mine = clock_mono_ms() + PATIENCE_MS;
	*ig = (struct ignore){
		.git_dir = git_dir,
		.scratch_fd = scratch_fd,
		.deadline_ms = deadline_ms && deadline_ms < mine ? deadline_ms : mine,
		.shadow_fd = -1,
		.to = -1,
		.from = -1,
		.child = {.pidfd = -1},
		.replies = BUF_INIT,
	};
}

void ignore_release(struct ignore *ig)
{
	spawn_kill(&ig->child, true);
	auto_fd(&ig->to);
	auto_fd(&ig->from);
	auto_fd(&ig->shadow_fd);
	ig->to = ig->from = ig->shadow_fd = -1;
	buf_release(&ig->replies);
}

static int open_shadow(struct ignore *ig, struct err *err)
{
	if (ig->shadow_fd >= 0)
		return 0;
	if (mkdirat(ig->scratch_fd, "shadow", 0700) < 0)
		return err_set(err, ERR_INFRA, errno, "make directory shadow");
	ig->shadow_fd =
		openat(ig->scratch_fd, "shadow", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ig->shadow_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open shadow");
	return 0;
}

int ignore_add_dir(struct ignore *ig, const char *path, struct err *err)
{
	if (open_shadow(ig, err) < 0)
		return -1;
	/* A path that is too long for the system is not asked about either. */
	if (*path && mkdirat(ig->shadow_fd, path, 0700) < 0 && errno != EEXIST &&
	    errno != ENAMETOOLONG)
		return err_set(err, ERR_INFRA, errno, "make directory shadow/%s", path);
	return 0;
}

int ignore_add_rules(struct ignore *ig, const char *path, int fd, struct err *err)
{
	AUTO(buf) struct buf rules = BUF_INIT;
	AUTO(free) char *name = *path ? path_join(path, ".gitignore") : xstrdup(".gitignore");
	if (path_read_fd(fd, RULES_MAX, &rules, err) < 0)
		return err_wrap(err, "%s", name);
	return path_write(ig->shadow_fd, name, rules.data, rules.len, 0600, false, err);
}

static int start(struct ignore *ig, struct err *err)
{
	static const char *const argv[] = {"git",	 "check-ignore", "-z", "--stdin",
					   "--no-index", "-v",		 "-n", NULL};
	AUTO(free) char *git_dir = xasprintf("GIT_DIR=%s", ig->git_dir);
	const char *extra[] = {git_dir, "GIT_WORK_TREE=.", NULL};
	AUTO(strv) struct strv env = STRV_INIT;
	git_env(&env, false, extra);
	// A socket, not a pipe: writing to a git that has died must not be a signal.
	int in[2], out[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0)
		return err_set(err, ERR_INFRA, errno, "socketpair");
	ig->to = in[0];
	AUTO(fd) int child_in = in[1];
	if (fd_pipe(out, err) < 0)
		return -1;
	ig->from = out[0];
	AUTO(fd) int child_out = out[1];
	struct spawn s = {.argv = argv,
			  .env = strv_items(&env),
			  .dir_fd = ig->shadow_fd,
			  .in = child_in,
			  .out = child_out,
			  .err = -1};
	return spawn_start(&ig->child, &s, true, err);
}

static int send_all(int fd, const char *data, size_t n, struct err *err)
{
	while (n) {
		ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return err_set(err, ERR_INFRA, errno, "ask git check-ignore");
		data += sent;
		n -= (size_t)sent;
	}
	return 0;
}

static int read_more(struct ignore *ig, struct err *err)
{
	struct pollfd p = {.fd = ig->from, .events = POLLIN};
	if (fd_poll(&p, 1, ig->deadline_ms) <= 0)
		return err_set(err, ERR_LIMIT, 0, "git check-ignore took too long");
	buf_grow(&ig->replies, 16384);
	ssize_t n = read(ig->from, ig->replies.data + ig->replies.len, 16384);
	if (n <= 0)
		return err_retry(err, 0, "git check-ignore ended early");
	ig->replies.len += (size_t)n;
	ig->replies.data[ig->replies.len] = '\0';
	return 0;
}

// A reply is four strings: file, line, pattern, path; all but the path empty when no rule matches.
static bool take_reply(const struct buf *b, size_t *at, bool *ignored)
{
	const char *s = b->data + *at, *end = b->data + b->len, *pattern = NULL;
	for (int field = 0; field < 4; field++) {
		const char *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;
		if (!nul)
			return false;
		if (field == 2)
			pattern = s;
		s = nul + 1;
	}
	*ignored = *pattern && *pattern != '!';
	*at = (size_t)(s - b->data);
	return true;
}

static int ask_some(struct ignore *ig, const struct buf *questions, size_t n, bool *ignored,
		    struct err *err)
{
	size_t at = 0, i = 0;
	buf_reset(&ig->replies);
	if (send_all(ig->to, questions->data, questions->len, err) < 0)
		return -1;
	while (i < n) {
		if (take_reply(&ig->replies, &at, &ignored[i]))
			i++;
		else if (read_more(ig, err) < 0)
			return -1;
	}
	return 0;
}

static int ask_all(struct ignore *ig, const char *const *paths, size_t n, bool *ignored,
		   struct err *err)
{
	AUTO(buf) struct buf questions = BUF_INIT;
	if (ig->child.pid <= 0 && start(ig, err) < 0)
		return -1;
	for (size_t i = 0, first = 0; i < n; i++) {
		// "./" keeps a leading colon from being pathspec magic.
		buf_adds(&questions, "./");
		buf_add(&questions, paths[i], strlen(paths[i]) + 1);
		if (questions.len < CHUNK && i + 1 < n)
			continue;
		if (ask_some(ig, &questions, i + 1 - first, ignored + first, err) < 0)
			return -1;
		buf_reset(&questions);
		first = i + 1;
	}
	return 0;
}

void ignore_ask(struct ignore *ig, const char *const *paths, size_t n, bool *ignored)
{
	if (n && !ig->broken && ask_all(ig, paths, n, ignored, &ig->why) < 0) {
		ig->broken = true;
		spawn_kill(&ig->child, true);
	}
	if (ig->broken)
		memset(ignored, 0, n * sizeof *ignored);
}

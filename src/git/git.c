/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "git/git.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "os/fdio.h"
#include "os/network-env.h"
#include "os/spawn.h"

static const char *const fixed_env[] = {
	"LC_ALL=C",
	"TZ=UTC",
	"GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null",
	"GIT_ATTR_NOSYSTEM=1",
	"GIT_ALLOW_PROTOCOL=https:ssh:file",
	"GIT_TERMINAL_PROMPT=0",
	"GIT_ASKPASS=/bin/false",
	"GIT_SSH_COMMAND=ssh -o BatchMode=yes",
	"GIT_NO_REPLACE_OBJECTS=1",
	"GIT_NO_LAZY_FETCH=1",
	"GIT_OPTIONAL_LOCKS=0",
	"GIT_PAGER=cat",
	"GIT_EDITOR=/bin/false",
	NULL,
};

// Given by the environment: command scope is above any repository's own configuration.
static const char *const config[][2] = {
	{"safe.directory", "*"},
	{"core.hooksPath", "/dev/null"},
	{"core.attributesFile", "/dev/null"},
	{"core.excludesFile", "/dev/null"},
	{"core.fsmonitor", "false"},
	{"core.untrackedCache", "false"},
	{"core.logAllRefUpdates", "false"},
	{"core.fileMode", "true"},
	{"core.symlinks", "true"},
	{"core.ignoreCase", "false"},
	{"core.autocrlf", "false"},
	{"core.protectNTFS", "false"},
	{"core.protectHFS", "false"},
	{"credential.helper", ""},
	{"gc.auto", "0"},
	{"maintenance.auto", "false"},
	{"fetch.unpackLimit", "1"},
	{"fetch.writeCommitGraph", "false"},
	{"fetch.recurseSubmodules", "false"},
	{"fastimport.unpackLimit", "1"},
	{"submodule.recurse", "false"},
	{"protocol.version", "2"},
};

// Unspecified, not unset: `-diff` would make every file binary.
const char git_plain_attributes[] = "* !text !eol !crlf !ident !filter !working-tree-encoding "
				    "!diff !merge !whitespace !encoding\n";

static void set_config(struct strv *env, size_t n, const char *key, const char *value)
{
	strv_pushf(env, "GIT_CONFIG_KEY_%zu=%s", n, key);
	strv_pushf(env, "GIT_CONFIG_VALUE_%zu=%s", n, value);
}

// Each for its host alone: git sends the header to no other, nor to one that it is led to.
static size_t add_logins(struct strv *env, size_t n)
{
	const char *logins = getenv(NETWORK_ENV_LOGINS);
	AUTO(free) char *all = xstrdup(logins ? logins : "");
	char *rest = all;
	for (char *line; (line = strsep(&rest, "\n"));) {
		char *space = strchr(line, ' ');
		if (!space)
			continue;
		AUTO(free) char *key =
			xasprintf("http.%.*s.extraHeader", (int)(space - line), line);
		AUTO(free) char *value = xasprintf("Authorization: Basic %s", space + 1);
		set_config(env, n++, key, value);
	}
	return n;
}

void git_env(struct strv *env, bool network, const char *const *extra)
{
	const char *path = getenv("PATH");
	strv_pushf(env, "PATH=%s", path ? path : "/usr/bin:/bin");
	strv_pushv(env, fixed_env);
	size_t n = 0;
	for (; n < ARRAY_SIZE(config); n++)
		set_config(env, n, config[n][0], config[n][1]);
	if (network)
		n = add_logins(env, n);
	strv_pushf(env, "GIT_CONFIG_COUNT=%zu", n);
	if (network)
		network_env_add(env);
	if (extra)
		strv_pushv(env, extra);
}

static void spawn_of(struct spawn *s, const struct git_cmd *c, struct strv *argv, struct strv *env)
{
	strv_push(argv, "git");
	strv_pushv(argv, c->argv);
	git_env(env, c->network, c->env);
	*s = (struct spawn){
		.argv = strv_items(argv),
		.env = strv_items(env),
		.dir_fd = c->dir_fd,
		.in = c->in_fd ? c->in_fd : -1,
		.out = c->out_fd ? c->out_fd : -1,
		.err = -1,
	};
}

static int not_started(struct err *err)
{
	if (err->sys == ENOENT) {
		err_set(err, ERR_INFRA, 0, "git is not on PATH: install the package git");
		err->sys = ENOENT;
	}
	return -1;
}

int git_run(const struct git_cmd *c, struct buf *out, struct buf *err_text, int *status,
	    struct err *err)
{
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(strv) struct strv env = STRV_INIT;
	struct spawn s;
	spawn_of(&s, c, &argv, &env);
	if (spawn_run(&s, c->input, c->input_len, c->max ? c->max : 65536, c->deadline_ms, out,
		      err_text, status, err) == 0)
		return 0;
	return not_started(err);
}

// The subcommand, for messages: global options come before it.
static const char *verb_of(const char *const *argv)
{
	size_t i = 0;
	while (argv[i] && argv[i][0] == '-')
		i += strcmp(argv[i], "-c") == 0 && argv[i + 1] ? 2 : 1;
	return argv[i] ? argv[i] : "";
}

static int failed(const struct git_cmd *c, const struct buf *text, int status, struct err *err)
{
	char how[48];
	AUTO(free) char *said = git_said(text, 2, true);
	/* What fails on files of ours lacks space, memory or a lock. */
	return err_retry(err, 0, "git %s: %s", verb_of(c->argv),
			 *said ? said : spawn_status_text(status, how));
}

int git_must(const struct git_cmd *c, struct buf *out, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	int status;
	if (git_run(c, out, &text, &status, err) < 0)
		return -1;
	if (status == 0)
		return 0;
	return failed(c, &text, status, err);
}

static int read_all(const struct git_cmd *c, int fd,
		    int (*take)(void *arg, const char *data, size_t n, struct err *err), void *arg,
		    struct err *err)
{
	AUTO(free) char *block = xmalloc(65536);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (fd_poll(&p, 1, c->deadline_ms) <= 0)
			return err_set(err, ERR_LIMIT, 0, "git %s: time limit reached",
				       verb_of(c->argv));
		ssize_t n = read(fd, block, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "read from git");
		if (n == 0)
			return 0;
		int rc = take(arg, block, (size_t)n, err);
		if (rc)
			return rc;
	}
}

int git_stream(const struct git_cmd *c,
	       int (*take)(void *arg, const char *data, size_t n, struct err *err), void *arg,
	       struct err *err)
{
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(strv) struct strv env = STRV_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	int pipe_fds[2], status;
	struct spawn s;
	struct child child;
	AUTO(fd) int said = memfd_create("git", MFD_CLOEXEC);
	if (said < 0)
		return err_set(err, ERR_INFRA, errno, "memfd_create");
	if (fd_pipe(pipe_fds, err) < 0)
		return -1;
	AUTO(fd) int from = pipe_fds[0];
	AUTO(fd) int to = pipe_fds[1];
	spawn_of(&s, c, &argv, &env);
	s.out = to;
	s.err = said;
	if (spawn_start(&child, &s, true, err) < 0)
		return not_started(err);
	close(fd_steal(&to));
	int rc = read_all(c, from, take, arg, err);
	if (rc || spawn_wait(&child, c->deadline_ms, &status, err) < 0) {
		spawn_kill(&child, true);
		return rc == 1 ? 0 : -1;
	}
	if (status == 0)
		return 0;
	if (lseek(said, 0, SEEK_SET) < 0 || path_read_fd(said, 1 << 20, &text, err) < 0)
		buf_reset(&text);
	return failed(c, &text, status, err);
}

static size_t skip_prefix(const char *s, size_t n)
{
	static const char *const prefixes[] = {"fatal: ", "error: ", "warning: "};
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (n > strlen(prefixes[i]) && strncmp(s, prefixes[i], strlen(prefixes[i])) == 0)
			return strlen(prefixes[i]);
	return 0;
}

static bool is_noise(const char *s, size_t n)
{
	static const char *const noise[] = {
		"hint:",
		"Please make sure you have the correct access rights",
		"and the repository exists.",
	};
	for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
		if (n >= strlen(noise[i]) && strncmp(s, noise[i], strlen(noise[i])) == 0)
			return true;
	return n == 0;
}

char *git_said(const struct buf *err_text, size_t lines, bool from_end)
{
	AUTO(strv) struct strv all = STRV_INIT;
	const char *s = err_text->data, *end = s + err_text->len;
	while (s < end) {
		const char *nl = memchr(s, '\n', (size_t)(end - s)), *stop = nl ? nl : end;
		const char *next = stop + 1;
		/* ssh ends its lines with one; elsewhere it goes back over what stood there. */
		while (stop > s && stop[-1] == '\r')
			stop--;
		const char *cr = memrchr(s, '\r', (size_t)(stop - s));
		if (cr)
			s = cr + 1;
		s += skip_prefix(s, (size_t)(stop - s));
		if (!is_noise(s, (size_t)(stop - s)))
			strv_take(&all, xstrndup(s, (size_t)(stop - s)));
		s = next;
	}
	struct buf out = BUF_INIT;
	size_t first = from_end && all.n > lines ? all.n - lines : 0;
	for (size_t i = first; i < all.n && i < first + lines; i++) {
		if (out.len)
			buf_adds(&out, "; ");
		text_renders(&out, all.v[i], TEXT_TERMINAL_LINE);
	}
	return buf_detach(&out);
}

bool git_is_full_id(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");
	return s[n] == '\0' && (n == 40 || n == 64);
}

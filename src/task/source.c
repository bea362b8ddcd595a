/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/source.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "os/spawn.h"

#define BUNDLE_MAX_HEADER ((size_t)4 << 20)

const char *source_name_mistake(const char *name)
{
	size_t len = strlen(name);

	if (*name == '-' || *name == '/' || (len && name[len - 1] == '/'))
		return "begins or ends with a character no branch or commit name can have there";
	if (strstr(name, "..") || strstr(name, "@{") || strstr(name, "//"))
		return "is not a plain branch or commit name";
	for (const char *p = name; *p; p++)
		if (iscntrl((unsigned char)*p) || strchr(" ~^:?*[\\", *p))
			return "holds a character no branch or commit name can have";
	return NULL;
}

bool source_is_full_id(const char *commit)
{
	size_t len = strlen(commit);

	return (len == 40 || len == 64) && strspn(commit, "0123456789abcdef") == len;
}

static int check_remote(const char *written, const char *host, bool web, struct err *err)
{
	size_t len = strcspn(host, "/");
	AUTO(free) char *authority = xstrndup(host, len);
	const char *at = strchr(authority, '@'), *colon = strchr(authority, ':');

	if (!len || *authority == '-' || (at && at[1] == '-'))
		return err_set(err, ERR_USAGE, 0, "\"%s\" names no host", written);
	/* The text itself stays unsaid: it holds a secret. */
	if (at && (web || (colon && colon < at)))
		return err_set(err, ERR_USAGE, 0,
			       "the URL holds a credential, which would end up in files; use an "
			       "ssh URL or a "
			       "local copy of the repository");
	return 0;
}

/* 1: WRITTEN is a URL; 0: a path, *path of it. */
static int classify(const char *written, const char **path, struct err *err)
{
	const char *sep = strstr(written, "://"), *colon = strchr(written, ':'),
		   *slash = strchr(written, '/');

	*path = written;
	for (const char *p = written; *p; p++)
		if (iscntrl((unsigned char)*p))
			return err_set(err, ERR_USAGE, 0, "holds a control character");
	if (!strncmp(written, "file://", 7)) {
		*path = written + 7;
		return **path == '/'
			       ? 0
			       : err_set(err, ERR_USAGE, 0, "\"%s\" is not file:///PATH", written);
	}
	if (!strncmp(written, "https://", 8))
		return check_remote(written, written + 8, true, err) ? -1 : 1;
	if (!strncmp(written, "ssh://", 6))
		return check_remote(written, written + 6, false, err) ? -1 : 1;
	if (sep || (colon && colon[1] == ':'))
		return err_set(
			err, ERR_USAGE, 0,
			"\"%.*s\" is not a protocol we let git use; use https, ssh or a local path",
			(int)((sep ? sep : colon) - written), written);
	if (*written == '-')
		return err_set(err, ERR_USAGE, 0, "\"%s\" begins with \"-\"", written);
	if (!colon || (slash && slash < colon))
		return 0;
	AUTO(free) char *host = xstrndup(written, (size_t)(colon - written));
	return check_remote(written, host, false, err) ? -1 : 1;
}

static bool is_bundle(int fd)
{
	char head[16] = "";

	return pread(fd, head, sizeof head, 0) == sizeof head &&
	       (!memcmp(head, "# v2 git bundle\n", 16) || !memcmp(head, "# v3 git bundle\n", 16));
}

static bool is_repository(const char *path)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return false;
	if (S_ISREG(st.st_mode))
		return is_bundle(fd);
	return S_ISDIR(st.st_mode) &&
	       (path_exists(fd, ".git") || (path_exists(fd, "HEAD") && path_is_dir(fd, "objects")));
}

static int resolve_path(char **out, const char *path, const char *task_dir, struct err *err)
{
	AUTO(free) char *below = *path == '/' ? xstrdup(path) : path_join(task_dir, path);
	const char *tried[] = {below, *path == '/' ? NULL : path};
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(tried) && !found; i++)
		found = tried[i] ? realpath(tried[i], NULL) : NULL;
	AUTO(free) char *real = found;
	if (!real && tried[1])
		return err_set(
			err, ERR_USAGE, 0,
			"no repository \"%s\" in the task folder or in the working directory",
			path);
	if (!real)
		return err_set(err, ERR_USAGE, 0, "no repository %s", path);
	if (!is_repository(real))
		return err_set(err, ERR_USAGE, 0, "%s is neither a git repository nor a git bundle",
			       real);
	if (!text_is_utf8(real, strlen(real)))
		return err_set(err, ERR_USAGE, 0, "the path %s is not UTF-8", real);
	*out = STEAL(&real);
	return 0;
}

int source_resolve(char **url, bool *local, const char *written, const char *task_dir,
		   struct err *err)
{
	const char *path;
	int remote = classify(written, &path, err);

	if (remote < 0)
		return -1;
	*local = !remote;
	if (!remote)
		return resolve_path(url, path, task_dir, err);
	*url = xstrdup(written);
	return 0;
}

/* --- pinning --- */

/* What the start may be called in full, best first. */
static void name_candidates(struct strv *names, const char *branch, const char *commit)
{
	if (commit) {
		strv_push(names, commit);
		strv_pushf(names, "refs/heads/%s", commit);
		strv_pushf(names, "refs/tags/%s", commit);
		strv_pushf(names, "refs/remotes/origin/%s", commit);
	} else if (branch) {
		strv_pushf(names, "refs/heads/%s", branch);
		strv_pushf(names, "refs/remotes/origin/%s", branch);
		strv_push(names, branch);
	} else {
		strv_push(names, "HEAD");
		strv_push(names, "refs/heads/main");
		strv_push(names, "refs/heads/master");
	}
}

/* The id in a bundle's header for NAME: lines of "ID NAME" up to an empty one. NULL: not there. */
static char *bundle_find(const char *header, const char *name)
{
	const char *line = strchrnul(header, '\n');

	while (*line && *++line && *line != '\n') {
		size_t len = strcspn(line, "\n"), id = strspn(line, "0123456789abcdef");
		if ((id == 40 || id == 64) && line[id] == ' ' && len - id - 1 == strlen(name) &&
		    !memcmp(line + id + 1, name, len - id - 1))
			return xstrndup(line, id);
		line += len;
	}
	return NULL;
}

static int pin_bundle(char **id, int fd, const struct strv *names, struct err *err)
{
	AUTO(buf) struct buf header = BUF_INIT;
	char block[65536];
	ssize_t n;

	while (header.len < BUNDLE_MAX_HEADER && !strstr(header.data, "\n\n") &&
	       (n = read(fd, block, sizeof block)) > 0)
		buf_add(&header, block, (size_t)n);
	*id = NULL;
	/* What a tag stands for is said inside the pack only. */
	for (size_t i = 0; i < names->n && !*id; i++)
		if (strncmp(names->v[i], "refs/tags/", 10) != 0)
			*id = bundle_find(header.data, names->v[i]);
	return *id ? 0
		   : err_set(err, ERR_USAGE, 0,
			     "not a branch of the bundle; give the full id of a commit");
}

/* Only names are looked up: no hook, filter or configuration of anybody's takes part. */
static int rev_parse(char **id, const char *path, const char *name, struct err *err)
{
	AUTO(free) char *commit = xasprintf("%s^{commit}", name);
	const char *argv[] = {"git",
			      "-c",
			      "safe.directory=*",
			      "-c",
			      "core.fsmonitor=false",
			      "rev-parse",
			      "--quiet",
			      "--verify",
			      "--end-of-options",
			      commit,
			      NULL};
	const char *path_variable = getenv("PATH");
	AUTO(free)
	char *search = xasprintf("PATH=%s", path_variable ? path_variable : "/usr/bin:/bin");
	/* A folder that only looks like a repository must not lead to one around it. */
	AUTO(free)
	char *ceiling =
		xasprintf("GIT_CEILING_DIRECTORIES=%.*s", (int)(strrchr(path, '/') - path), path);
	const char *env[] = {search,
			     "LANG=C.UTF-8",
			     "HOME=/nonexistent",
			     "GIT_CONFIG_NOSYSTEM=1",
			     "GIT_CONFIG_GLOBAL=/dev/null",
			     "GIT_NO_LAZY_FETCH=1",
			     "GIT_ALLOW_PROTOCOL=",
			     ceiling,
			     NULL};
	AUTO(fd) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct spawn s = {argv, env, dir, -1, -1, -1};
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(buf) struct buf why = BUF_INIT;
	int status;

	if (dir < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", path);
	if (spawn_run(&s, NULL, 0, 4096, clock_mono_ms() + 60000, &out, &why, &status, err))
		return err_wrap(err, "git rev-parse");
	out.data[strcspn(out.data, "\n")] = '\0';
	if (status || !source_is_full_id(out.data)) {
		why.data[strcspn(why.data, "\n")] = '\0';
		return err_set(err, ERR_USAGE, 0, "not in the repository%s%s",
			       *why.data ? ": " : "", why.data);
	}
	*id = xstrdup(out.data);
	return 0;
}

static int pin_repository(char **id, const char *path, const struct strv *names, struct err *err)
{
	for (size_t i = 0; i < names->n; i++)
		if (!rev_parse(id, path, names->v[i], err))
			return 0;
		else if (err->kind != ERR_USAGE)
			return -1;
	return -1;
}

int source_pin(char **id, const char *path, const char *branch, const char *commit, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", path);
	name_candidates(&names, branch, commit);
	rc = is_bundle(fd) ? pin_bundle(id, fd, &names, err)
			   : pin_repository(id, path, &names, err);
	if (rc && err->kind == ERR_USAGE)
		err_wrap(err, "\"%s\" of %s", commit ? commit : branch ? branch : "HEAD", path);
	return rc;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/source.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "task/source-files.h"

const char *source_name_issue(const char *name)
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

static int check_remote(const char *written, const char *host, bool web, struct err *err)
{
	size_t len = strcspn(host, "/");
	AUTO(free) char *authority = xstrndup(host, len);
	const char *at = strchr(authority, '@'), *colon = strchr(authority, ':');

	if (!len || *authority == '-' || (at && at[1] == '-'))
		return err_set(err, ERR_USAGE, 0, "\"%s\" names no host", written);
	/* The text itself stays unsaid: it holds a secret. */
	if (at && (web || (colon && colon < at)))
		return err_set(
			err, ERR_USAGE, 0,
			"the URL holds a credential, which would end up in files; leave it to "
			"~/.netrc, a GIT_HOST_TOKEN in .env or an ssh agent");
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

bool source_is_bundle(int fd)
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
		return source_is_bundle(fd);
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
	if (path_is_dir(AT_FDCWD, real) && source_files_check(real, task_dir, err))
		return -1;
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

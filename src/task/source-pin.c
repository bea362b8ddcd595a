/* SPDX-License-Identifier: GPL-3.0-or-later
 * The full id of a task's start commit, looked up where the repository is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "git/git.h"
#include "task/source.h"

#define BUNDLE_MAX_HEADER ((size_t)4 << 20)
#define LOOK_MS 60000
#define UNPACK_MS 600000

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

/* Only names and objects are looked up. 1: git refused, *SAID (owned) is what it said; 0: OUT is its
 * first line. */
static int look(const char *path, const char *const *words, int in, int64_t max_ms, struct buf *out,
		char **said, struct err *err)
{
	/* A folder that only looks like a repository must not lead to one around it. */
	AUTO(free)
	char *ceiling =
		xasprintf("GIT_CEILING_DIRECTORIES=%.*s", (int)(strrchr(path, '/') - path), path);
	const char *env[] = {ceiling, NULL};
	AUTO(buf) struct buf why = BUF_INIT;
	AUTO(fd) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct git_cmd c = {.dir_fd = dir,
			    .argv = words,
			    .env = env,
			    .in_fd = in,
			    .max = 4096,
			    .deadline_ms = clock_mono_ms() + max_ms};
	int status;

	if (dir < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", path);
	if (git_run(&c, out, &why, &status, err))
		return -1;
	out->data[strcspn(out->data, "\n")] = '\0';
	if (!status)
		return 0;
	*said = git_said(&why, 1, false);
	return 1;
}

static int rev_parse(char **id, const char *path, const char *name, struct err *err)
{
	AUTO(free) char *commit = xasprintf("%s^{commit}", name);
	AUTO(free) char *said = NULL;
	AUTO(buf) struct buf out = BUF_INIT;
	const char *words[] = {"rev-parse",	   "--quiet", "--verify",
			       "--end-of-options", commit,    NULL};
	int rc = look(path, words, 0, LOOK_MS, &out, &said, err);

	if (rc < 0)
		return -1;
	if (rc || !git_is_full_id(out.data))
		return err_set(err, ERR_USAGE, 0, "not in the repository%s%s",
			       said && *said ? ": " : "", said ? said : "");
	*id = xstrdup(out.data);
	return 0;
}

/* A tag of a commit is not taken for it: ids are compared as text from here on. */
static int check_is_commit(const char *git_dir, const char *id, const char *where, struct err *err)
{
	AUTO(free) char *said = NULL;
	AUTO(buf) struct buf type = BUF_INIT;
	const char *words[] = {"cat-file", "-t", id, NULL};
	struct err failed;
	int rc = look(git_dir, words, 0, LOOK_MS, &type, &said, &failed);

	/* That git is missing is no issue of the task: who is about to need it says so. */
	if (rc < 0 && failed.sys == ENOENT)
		return 0;
	if (rc < 0) {
		*err = failed;
		return -1;
	}
	if (rc)
		return err_set(err, ERR_USAGE, 0, "not in the %s", where);
	if (strcmp(type.data, "commit") != 0)
		return err_set(err, ERR_USAGE, 0, "is a %s, not a commit", type.data);
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

/* The lines before the pack, from the start of the file; FD is left where the pack begins. */
static int read_header(struct buf *header, int fd, struct err *err)
{
	const char *end;
	char block[65536];
	ssize_t n;

	while (header->len < BUNDLE_MAX_HEADER && !strstr(header->data, "\n\n") &&
	       (n = read(fd, block, sizeof block)) > 0)
		buf_add(header, block, (size_t)n);
	end = strstr(header->data, "\n\n");
	if (!end || lseek(fd, end + 2 - header->data, SEEK_SET) < 0)
		return err_set(err, ERR_USAGE, 0, "the bundle's header has no end");
	return 0;
}

/* Only the pack knows what ID is, when it is not the tip of a branch. */
static int look_into_pack(int fd, const char *id, struct err *err)
{
	AUTO(temp_dir) char *dir = path_make_temp_dir("rollouts-bundle", err);
	AUTO(free) char *said = NULL;
	AUTO(buf) struct buf out = BUF_INIT;
	const char *format = strlen(id) == 64 ? "--object-format=sha256" : "--object-format=sha1";
	const char *init[] = {"init", "-q", "--bare", "--template=", format, NULL};
	const char *unpack[] = {"index-pack", "--stdin", NULL};

	if (!dir)
		return -1;
	int rc = look(dir, init, 0, LOOK_MS, &out, &said, err);
	if (rc)
		return rc < 0 ? -1 : err_set(err, ERR_INFRA, 0, "git init: %s", said);
	rc = look(dir, unpack, fd, UNPACK_MS, &out, &said, err);
	if (rc)
		return rc < 0 ? -1
			      : err_set(err, ERR_USAGE, 0, "the bundle cannot be unpacked: %s",
					said);
	return check_is_commit(dir, id, "bundle", err);
}

static bool is_tip(const char *header, const char *id)
{
	const char *line = strchrnul(header, '\n');
	size_t len = strlen(id);

	/* What a tag stands for is said inside the pack only. */
	for (; *line && line[1] != '\n'; line = strchrnul(line + 1, '\n'))
		if (!strncmp(line + 1, id, len) && line[len + 1] == ' ' &&
		    strncmp(line + len + 2, "refs/tags/", 10) != 0)
			return true;
	return false;
}

static int pin_bundle(char **id, const char *header, const struct strv *names, struct err *err)
{
	*id = NULL;
	for (size_t i = 0; i < names->n && !*id; i++)
		if (strncmp(names->v[i], "refs/tags/", 10) != 0)
			*id = bundle_find(header, names->v[i]);
	return *id ? 0
		   : err_set(err, ERR_USAGE, 0,
			     "not a branch of the bundle; give the full id of a commit");
}

static int pin_in_bundle(char **id, int fd, const struct strv *names, const char *full,
			 struct err *err)
{
	AUTO(buf) struct buf header = BUF_INIT;

	if (read_header(&header, fd, err))
		return -1;
	if (!full)
		return pin_bundle(id, header.data, names, err);
	if (!is_tip(header.data, full) && look_into_pack(fd, full, err))
		return -1;
	*id = xstrdup(full);
	return 0;
}

static int pin_in_repository(char **id, const char *path, const struct strv *names,
			     const char *full, struct err *err)
{
	if (!full)
		return pin_repository(id, path, names, err);
	if (check_is_commit(path, full, "repository", err))
		return -1;
	*id = xstrdup(full);
	return 0;
}

int source_pin(char **id, const char *path, const char *branch, const char *commit, struct err *err)
{
	const char *full = commit && git_is_full_id(commit) ? commit : NULL;
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", path);
	name_candidates(&names, branch, commit);
	rc = source_is_bundle(fd) ? pin_in_bundle(id, fd, &names, full, err)
				  : pin_in_repository(id, path, &names, full, err);
	if (rc && err->kind == ERR_USAGE)
		err_wrap(err, "\"%s\" of %s", commit ? commit : branch ? branch : "HEAD", path);
	return rc;
}

static bool is_there(const char *path, const char *object)
{
	AUTO(free) char *said = NULL;
	AUTO(buf) struct buf out = BUF_INIT;
	const char *words[] = {"cat-file", "-e", object, NULL};
	struct err ignored;

	return look(path, words, 0, LOOK_MS, &out, &said, &ignored) == 0;
}

/* `git lfs track` writes it, at the top or in any folder. */
static bool uses_lfs(const char *path, const char *start)
{
	AUTO(free) char *said = NULL;
	AUTO(buf) struct buf out = BUF_INIT;
	const char *words[] = {
		"grep", "-q", "-e", "filter=lfs", start, "--", ":(glob)**/.gitattributes", NULL};
	struct err ignored;

	return look(path, words, 0, LOOK_MS, &out, &said, &ignored) == 0;
}

void source_look_for_hollow(struct strv *out, const char *path, const char *start, bool submodules)
{
	AUTO(free) char *modules = xasprintf("%s:.gitmodules", start);

	if (!submodules && is_there(path, modules))
		strv_push(out, "its repository has submodules, whose folders stay empty; with "
			       "\"submodules\": true in \"repo\" they are filled");
	if (uses_lfs(path, start))
		strv_push(out, "its repository keeps files with Git LFS, of which agents see the "
			       "pointers alone: put those that are needed into overlay_repo_files");
}

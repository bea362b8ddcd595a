/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A repository's own words say where its submodules are, and whoever wrote them may be a stranger: a repository that comes
 * over the network cannot name one on this machine.
 */
#include "repo/submodules.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "git/git.h"
#include "repo/import.h"
#include "repo/mirror.h"
#include "task/source.h"

enum { DEPTH_MAX = 8, MODULES_MAX = 500 };

struct flatten {
	const struct build *b;
	struct import *imp;
	struct buf *alternates; /* of stage.git: what the mirrors of the submodules hold */
	size_t n;
};

/* A commit that is looked into, and where its submodules are counted from. */
struct level {
	const char *git_dir; /* "cache/mirrors/HASH.git" */
	const char *commit, *url;
	const char *prefix; /* of its paths: "" or "lib/" */
	int depth;
};

static int git_at(const struct flatten *f, const char *git_dir, const char *const *argv,
		  struct buf *out, struct err *err)
{
	AUTO(free) char *dir = xasprintf("GIT_DIR=%s", git_dir);
	const char *env[] = {dir, NULL};
	struct git_cmd c = {.dir_fd = f->b->root_fd,
			    .argv = argv,
			    .env = env,
			    .max = 1 << 28,
			    .deadline_ms = f->b->deadline_ms};

	return git_must(&c, out, err);
}

static bool is_local(const char *url)
{
	return url[0] == '/' || strncmp(url, "file://", 7) == 0;
}

/* WRITTEN seen from BASE: "../lib.git" is beside it. The caller frees. */
static char *absolute(const char *base, const char *written)
{
	AUTO(free) char *at = xstrdup(base);
	const char *rest = written;

	if (strncmp(rest, "./", 2) != 0 && strncmp(rest, "../", 3) != 0)
		return xstrdup(written);
	while (!strncmp(rest, "./", 2) || !strncmp(rest, "../", 3)) {
		size_t len = strlen(at);
		while (len && at[len - 1] == '/')
			at[--len] = '\0';
		char *slash = rest[1] == '.' ? strrchr(at, '/') : NULL;
		char *colon = rest[1] == '.' && !slash ? strrchr(at, ':') : NULL;
		if (slash)
			*slash = '\0';
		else if (colon)
			colon[1] = '\0';
		rest += rest[1] == '.' ? 3 : 2;
	}
	return xasprintf("%s%s%s", at, *at && at[strlen(at) - 1] == ':' ? "" : "/", rest);
}

static int resolve(char **url, const struct level *l, const char *path, const char *written,
		   struct err *err)
{
	AUTO(free) char *whole = absolute(l->url, written);
	bool local;

	if (is_local(whole) && !is_local(l->url))
		return err_set(
			err, ERR_USAGE, 0,
			"submodule %s%s: its URL is a path of this machine, which a repository "
			"from elsewhere may not name",
			l->prefix, path);
	if (source_resolve(url, &local, whole, "/", err))
		return err_wrap(err, "submodule %s%s", l->prefix, path);
	return 0;
}

/* What .gitmodules says: {path: url}. */
static int read_modules(const struct flatten *f, const struct level *l, json_t *urls,
			struct err *err)
{
	AUTO(free) char *blob = xasprintf("%s:.gitmodules", l->commit);
	const char *argv[] = {"config", "--blob",	blob,
			      "-z",	"--get-regexp", "^submodule\\..*\\.(path|url)$",
			      NULL};
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(json) json_t *paths = json_object(), *by_name = json_object();
	const char *name;
	json_t *path;

	if (git_at(f, l->git_dir, argv, &out, err))
		return err_set(err, ERR_USAGE, 0,
			       "%s has submodules and no .gitmodules that says where they are",
			       *l->prefix ? l->prefix : "the repository");
	/* "submodule.NAME.KEY\nVALUE\0" */
	for (const char *s = out.data, *end = s + out.len; s < end; s += strlen(s) + 1) {
		const char *value = strchr(s, '\n'), *first = strchr(s, '.');
		const char *key = value ? memrchr(s, '.', (size_t)(value - s)) : NULL;
		if (!key || key == first)
			continue;
		AUTO(free) char *module = xstrndup(first + 1, (size_t)(key - first - 1));
		json_put_str(strncmp(key, ".path", 5) == 0 ? paths : by_name, module, value + 1);
	}
	json_object_foreach (paths, name, path)
		if (json_object_get(by_name, name))
			json_put_str(urls, json_string_value(path),
				     json_get_str(by_name, name, ""));
	return 0;
}

static int flatten_level(struct flatten *f, const struct level *l, struct err *err);

static int flatten_one(struct flatten *f, const struct level *l, const char *path, const char *id,
		       const char *written, struct err *err)
{
	AUTO(free) char *url = NULL, *mirror = NULL, *prefix = xasprintf("%s%s/", l->prefix, path);
	AUTO(free) char *place = xasprintf("%s%s", l->prefix, path);
	AUTO(free) char *tree_name = xasprintf("%s^{tree}", id);
	const char *argv[] = {"rev-parse", "--verify", "-q", tree_name, NULL};
	AUTO(buf) struct buf out = BUF_INIT;

	if (++f->n > MODULES_MAX || l->depth >= DEPTH_MAX)
		return err_set(err, ERR_USAGE, 0, "submodule %s: too many of them, or too deep",
			       place);
	if (!written)
		return err_set(err, ERR_USAGE, 0, "submodule %s: .gitmodules has no URL for it",
			       place);
	if (resolve(&url, l, path, written, err))
		return -1;
	if (mirror_check_url(url, err) ||
	    mirror_need(&mirror, f->b->root_fd, url, id, f->b->deadline_ms, err))
		return err_wrap(err, "submodule %s", place);
	if (git_at(f, mirror, argv, &out, err))
		return -1;
	out.data[strcspn(out.data, "\n")] = '\0';
	buf_addf(f->alternates, "../../../../mirrors/%s/objects\n", path_base(mirror));
	if (import_tree(f->imp, place, out.data, err))
		return -1;
	return flatten_level(f, &(struct level){mirror, id, url, prefix, l->depth + 1}, err);
}

static int flatten_level(struct flatten *f, const struct level *l, struct err *err)
{
	const char *argv[] = {"ls-tree", "-r", "-z", "--full-tree", l->commit, NULL};
	static const char mark[] = "160000 commit ";
	AUTO(json) json_t *urls = NULL;
	AUTO(buf) struct buf list = BUF_INIT;

	if (git_at(f, l->git_dir, argv, &list, err))
		return -1;
	for (const char *s = list.data, *end = s + list.len; s < end; s += strlen(s) + 1) {
		const char *tab = strchr(s, '\t');
		if (!tab || strncmp(s, mark, sizeof mark - 1) != 0)
			continue;
		if (!urls && read_modules(f, l, urls = json_object(), err))
			return -1;
		const char *first = s + sizeof mark - 1;
		AUTO(free) char *id = xstrndup(first, (size_t)(tab - first));
		if (flatten_one(f, l, tab + 1, id, json_get_str(urls, tab + 1, NULL), err))
			return -1;
	}
	return 0;
}

/* The commit is made, named, and its name taken away again: what comes next makes one of that name. */
static int finish(struct flatten *f, char **commit, struct err *err)
{
	static const char file[] = "stage.git/objects/info/alternates";
	static const char *const name[] = {"rev-parse", "--verify", "-q", IMPORT_REF, NULL};
	static const char *const forget[] = {"update-ref", "-d", IMPORT_REF, NULL};
	static const char *const env[] = {"GIT_DIR=stage.git", NULL};
	AUTO(buf) struct buf out = BUF_INIT;
	struct git_cmd c = {.dir_fd = f->b->tmp_fd,
			    .argv = name,
			    .env = env,
			    .max = 4096,
			    .deadline_ms = f->b->deadline_ms};

	if (path_write(f->b->tmp_fd, file, f->alternates->data, f->alternates->len, 0644, false,
		       err) ||
	    import_run(f->imp, f->b->tmp_fd, "stage.git", f->b->deadline_ms, err) ||
	    git_must(&c, &out, err))
		return -1;
	*commit = xstrndup(out.data, strcspn(out.data, "\n"));
	c.argv = forget;
	return git_must(&c, NULL, err);
}

int submodules_flatten(const struct build *b, int64_t date, char **commit, struct err *err)
{
	AUTO(buf) struct buf alternates = BUF_INIT;
	struct import imp;
	struct flatten f = {b, &imp, &alternates, 0};
	const struct level top = {b->mirror, b->start, b->repo->git_url, "", 0};

	*commit = NULL;
	buf_addf(&alternates, "../../../../mirrors/%s/objects\n", path_base(b->mirror));
	if (import_open(&imp, b->tmp_fd, err))
		return -1;
	int rc = import_commit(&imp, b->start, date, "Submodules", err) ||
				 flatten_level(&f, &top, err)
			 ? -1
			 : 0;
	if (!rc && f.n)
		rc = finish(&f, commit, err);
	import_close(&imp);
	if (rc)
		free(STEAL(commit));
	return rc;
}

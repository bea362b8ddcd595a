/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/tree.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "git/git.h"

enum { LIST_MAX = 1 << 30 };

static void add_entries(struct tree *t)
{
	// "MODE ID STAGE\tPATH\0", in the index's order, which is strcmp's.
	for (char *s = t->raw.data, *end = s + t->raw.len; s < end; s += strlen(s) + 1) {
		char *tab = strchr(s, '\t');
		if (!tab)
			continue;
		GROW(t->entries, t->n, t->cap);
		t->entries[t->n++] =
			(struct tree_entry){.path = tab + 1, .mode = (unsigned)strtoul(s, NULL, 8)};
	}
}

int tree_list(struct tree *t, int dir_fd, const char *git_dir, const char *start,
	      int64_t deadline_ms, struct err *err)
{
	const char *env[] = {git_dir, NULL};
	const char *read_tree[] = {"read-tree", start, NULL};
	static const char *const ls_files[] = {"ls-files", "-s", "-z", NULL};
	struct git_cmd c = {
		.dir_fd = dir_fd, .argv = read_tree, .env = env, .deadline_ms = deadline_ms};
	*t = (struct tree){.raw = BUF_INIT};
	if (git_must(&c, NULL, err) < 0)
		return -1;
	c.argv = ls_files;
	c.max = LIST_MAX;
	if (git_must(&c, &t->raw, err) < 0) {
		tree_release(t);
		return -1;
	}
	add_entries(t);
	return 0;
}

void tree_release(struct tree *t)
{
	buf_release(&t->raw);
	free(t->entries);
	*t = (struct tree){.raw = BUF_INIT};
}

char *tree_subdir(const struct task_repo *r)
{
	if (!r->subdir)
		return NULL;
	size_t n = strlen(r->subdir);
	while (n && r->subdir[n - 1] == '/')
		n--;
	if (n == 0 || (n == 1 && r->subdir[0] == '.'))
		return NULL;
	return xstrndup(r->subdir, n);
}

// gitignore drops trailing spaces unless the last is escaped.
static void end_pattern(struct buf *out)
{
	if (out->data[out->len - 1] == ' ') {
		out->len--;
		buf_adds(out, "\\ ");
	}
	buf_addc(out, '\n');
}

// Which files PATTERN of a gitignore file matches, by git's own rules: sets listed.
static int match(struct tree *t, int dir_fd, const char *git_dir, const char *pattern,
		 int64_t deadline_ms, struct err *err)
{
	static const char *const argv[] = {"ls-files", "-c", "-i", "-z", "-X", "patterns", NULL};
	const char *env[] = {git_dir, "GIT_WORK_TREE=.", NULL};
	AUTO(buf) struct buf line = BUF_INIT;
	AUTO(buf) struct buf out = BUF_INIT;
	buf_adds(&line, pattern);
	end_pattern(&line);
	if (path_write(dir_fd, "patterns", line.data, line.len, 0600, false, err) < 0)
		return -1;
	struct git_cmd c = {.dir_fd = dir_fd,
			    .argv = argv,
			    .env = env,
			    .max = LIST_MAX,
			    .deadline_ms = deadline_ms};
	if (git_must(&c, &out, err) < 0)
		return -1;
	// Both lists are in the same order: one walk.
	const char *s = out.data, *end = s + out.len;
	for (size_t i = 0; i < t->n; i++) {
		t->entries[i].listed = s < end && strcmp(s, t->entries[i].path) == 0;
		if (t->entries[i].listed)
			s += strlen(s) + 1;
	}
	return 0;
}

// The first entry not before PATH.
static size_t lower_bound(const struct tree *t, const char *path)
{
	size_t lo = 0, hi = t->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(t->entries[mid].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

// The files that NAME, of a file or a folder, stands for: sets listed; false: there is no such name.
static bool match_name(struct tree *t, const char *name)
{
	size_t len = strlen(name);
	bool any = false, is_folder = len && name[len - 1] == '/';
	while (len && name[len - 1] == '/')
		len--;
	for (size_t i = 0; i < t->n; i++) {
		const char *p = t->entries[i].path;
		t->entries[i].listed =
			strncmp(p, name, len) == 0 && (p[len] == '/' || (!p[len] && !is_folder));
		any |= t->entries[i].listed;
	}
	return any;
}

// What ITEM of the list KEY means, NAME being what it says without a sign or a slash before it. A name that is there
// is no pattern: app/[id] is a folder that is called so. A pattern is rooted when ROOTED, or when it says so.
static int match_item(struct tree *t, int dir_fd, const char *git_dir, const char *key,
		      const char *item, const char *name, bool rooted, int64_t deadline_ms,
		      struct err *err)
{
	if (strchr(item, '\n') || !path_is_inside(name))
		return err_set(err, ERR_USAGE, 0, "%s: \"%s\" is not a path inside the repository",
			       key, item);
	if (match_name(t, name))
		return 0;
	if (strpbrk(name, "*?[\\")) {
		AUTO(free) char *pattern = xasprintf("%s%s", rooted ? "/" : "", name);
		if (match(t, dir_fd, git_dir, pattern, deadline_ms, err) < 0)
			return -1;
		for (size_t i = 0; i < t->n; i++)
			if (t->entries[i].listed)
				return 0;
	}
	return err_set(err, ERR_USAGE, 0, "%s: \"%s\" matches nothing in the start commit", key,
		       item);
}

static int mark_removed(struct tree *t, int dir_fd, const char *git_dir, const struct strv *items,
			int64_t deadline_ms, struct err *err)
{
	for (size_t i = 0; i < items->n; i++) {
		const char *item = items->v[i];
		// Lists of the older system name it, and no start commit holds it.
		if (strcmp(item, ".git") == 0 || strcmp(item, ".git/") == 0)
			continue;
		if (match_item(t, dir_fd, git_dir, "remove_repo_paths", item, item, true,
			       deadline_ms, err) < 0)
			return -1;
		for (size_t k = 0; k < t->n; k++)
			t->entries[k].gone |= t->entries[k].listed;
	}
	return 0;
}

// The last item that matches a file or a directory above it decides, as people expect: in one gitignore file nothing
// inside a matched directory could be taken back.
static int mark_sparse(struct tree *t, int dir_fd, const char *git_dir, const struct strv *items,
		       int64_t deadline_ms, struct err *err)
{
	size_t kept = 0;
	if (items->n == 0)
		return 0;
	for (size_t i = 0; i < items->n; i++) {
		const char *item = items->v[i], *bare = item + (*item == '!');
		const bool rooted = *bare == '/';
		if (match_item(t, dir_fd, git_dir, "repo.sparse_checkout", item, bare + rooted,
			       rooted, deadline_ms, err) < 0)
			return -1;
		for (size_t k = 0; k < t->n; k++)
			if (t->entries[k].listed)
				t->entries[k].wanted = bare == item;
	}
	for (size_t k = 0; k < t->n; k++) {
		t->entries[k].gone |= !t->entries[k].wanted;
		kept += !t->entries[k].gone;
	}
	return kept ? 0 : err_set(err, ERR_USAGE, 0, "repo.sparse_checkout leaves no file");
}

static int mark_subdir(struct tree *t, const char *subdir, struct err *err)
{
	size_t len = strlen(subdir), kept = 0;
	if (!path_is_inside(subdir))
		return err_set(err, ERR_USAGE, 0,
			       "repo.subdir: \"%s\" is not a path inside the repository", subdir);
	for (size_t i = 0; i < t->n; i++) {
		const char *p = t->entries[i].path;
		t->entries[i].gone = strncmp(p, subdir, len) != 0 || p[len] != '/';
		kept += !t->entries[i].gone;
	}
	return kept ? 0
		    : err_set(err, ERR_USAGE, 0, "repo.subdir: the repository has no directory %s",
			      subdir);
}

int tree_mark(struct tree *t, int dir_fd, const char *git_dir, const struct task_repo *r,
	      int64_t deadline_ms, struct err *err)
{
	AUTO(free) char *subdir = tree_subdir(r);
	if (subdir && mark_subdir(t, subdir, err) < 0)
		return -1;
	if (mark_sparse(t, dir_fd, git_dir, &r->sparse, deadline_ms, err) < 0)
		return -1;
	return mark_removed(t, dir_fd, git_dir, &r->remove, deadline_ms, err);
}

static const struct tree_entry *find(const struct tree *t, const char *path)
{
	size_t i = lower_bound(t, path);
	if (i < t->n && strcmp(t->entries[i].path, path) == 0 && !t->entries[i].gone)
		return &t->entries[i];
	return NULL;
}

static bool is_dir(const struct tree *t, const char *path)
{
	AUTO(free) char *prefix = xasprintf("%s/", path);
	size_t len = strlen(prefix);
	for (size_t i = lower_bound(t, prefix); i < t->n; i++) {
		if (strncmp(t->entries[i].path, prefix, len) != 0)
			return false;
		if (!t->entries[i].gone)
			return true;
	}
	return false;
}

static int check_path(const struct tree *t, const char *path, struct err *err)
{
	AUTO(free) char *part = xstrdup(path);
	for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		const struct tree_entry *e = find(t, part);
		if (e)
			return err_set(err, ERR_USAGE, 0,
				       "overlay file %s: %s is a %s in the repository", path, part,
				       e->mode == 0120000   ? "symbolic link"
				       : e->mode == 0160000 ? "submodule"
							    : "file");
		*slash = '/';
	}
	const struct tree_entry *e = find(t, path);
	if (is_dir(t, path) || (e && e->mode == 0160000))
		return err_set(err, ERR_USAGE, 0,
			       "overlay file %s: is a directory in the repository", path);
	return 0;
}

int tree_check_overlay(const struct tree *t, const struct overlay *o, struct err *err)
{
	for (size_t i = 0; i < o->n; i++)
		if (check_path(t, o->files[i].path, err) < 0)
			return -1;
	return 0;
}

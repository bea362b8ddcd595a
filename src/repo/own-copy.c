/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/own-copy.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "git/git.h"
#include "os/dir.h"
#include "repo/index.h"

enum {
	META_MAX = 65536,
	LOOSE_MAX = 1 << 30,
	DEPTH_MAX = 200,
	ID_MAX = 32, /* bytes */
	IDX_HEAD = 8,
	IDX_FANOUT = 256 * 4,
};

static uint32_t big_endian(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The second version of a pack's index: 256 counts by first byte, then the ids in order. */
static bool idx_has(const unsigned char *idx, size_t size, const unsigned char *id, size_t id_len)
{
	static const unsigned char head[IDX_HEAD] = {0xff, 't', 'O', 'c', 0, 0, 0, 2};

	if (size < IDX_HEAD + IDX_FANOUT || memcmp(idx, head, IDX_HEAD))
		return false;
	const unsigned char *counts = idx + IDX_HEAD, *ids = counts + IDX_FANOUT;
	const size_t n = big_endian(counts + 255 * 4);
	if (n > (size - IDX_HEAD - IDX_FANOUT) / id_len)
		return false;
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = memcmp(id, ids + mid * id_len, id_len);
		if (!order)
			return true;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

static bool file_has(int dir_fd, const char *name, const unsigned char *id, size_t id_len)
{
	struct err ignored = {0};
	AUTO(fd) int fd = path_open_beneath(dir_fd, name, O_RDONLY, 0, &ignored);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || st.st_size <= 0)
		return false;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return false;
	bool has = idx_has(map, (size_t)st.st_size, id, id_len);
	munmap(map, (size_t)st.st_size);
	return has;
}

static bool packs_have(int git_fd, const char *commit)
{
	int fd = openat(git_fd, "pack", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	unsigned char id[ID_MAX];
	size_t n = strlen(commit) / 2;
	bool has = false;

	if (!n || n > sizeof id)
		return false;
	for (size_t i = 0; i < n; i++)
		if (sscanf(commit + 2 * i, "%2hhx", &id[i]) != 1)
			return false;
	for (struct dirent *e; d && !has && (e = readdir(d));)
		has = !dir_is_dots(e->d_name) && file_has(fd, e->d_name, id, n);
	return has;
}

static int loose_has(int git_fd, const char *commit, bool *has, struct err *err)
{
	AUTO(buf) struct buf ids = BUF_INIT;
	AUTO(free) char *line = xasprintf("%s\n", commit);

	if (path_read(git_fd, "loose", LOOSE_MAX, &ids, err))
		return -1;
	const char *at = strstr(ids.data, line);
	*has = at && (at == ids.data || at[-1] == '\n');
	return 0;
}

static int read_meta(int copy_fd, bool *git, struct err *err)
{
	AUTO(json) json_t *j = NULL;

	if (json_read(&j, copy_fd, "meta.json", META_MAX, err))
		return -1;
	*git = json_get_bool(j, "git", false);
	return 0;
}

static int open_copy(int root_fd, const char *key, struct err *err)
{
	AUTO(free) char *path = xasprintf(DATA_COPIES "/%s", key);

	return path_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
}

int own_copy_look(struct own_copy *out, int root_fd, const char *key, const char *commit,
		  struct err *err)
{
	AUTO(fd) int copy = open_copy(root_fd, key, err);
	struct own_copy seen = {0};

	if (copy < 0 || read_meta(copy, &seen.git, err))
		return -1;
	AUTO(fd) int git = path_open_beneath(copy, "git", O_RDONLY | O_DIRECTORY, 0, err);
	if (git < 0 || loose_has(git, commit, &seen.commits, err))
		return -1;
	seen.commits = seen.commits || packs_have(git, commit);
	*out = seen;
	return 0;
}

struct lay {
	int files_fd, repo_fd, below_fd;
	struct index_names tracked;
	struct buf path; /* of the folder under way: "" or ending in a slash */
};

static int lay_folder(struct lay *l, int depth, struct err *err);

static int lay_entry(struct lay *l, const char *name, int depth, struct err *err)
{
	AUTO(free) char *path = xasprintf("%s%s", l->path.data, name);
	AUTO(free) char *within = xasprintf("%s/", path);
	struct stat here, there;

	if (fstatat(l->files_fd, path, &here, AT_SYMLINK_NOFOLLOW))
		return err_set(err, ERR_INFRA, errno, "stat %s", path);
	const bool known = !fstatat(l->repo_fd, path, &there, AT_SYMLINK_NOFOLLOW);
	if (known ? !S_ISDIR(here.st_mode) || !S_ISDIR(there.st_mode)
		  : index_has(&l->tracked, path))
		return 0;
	if (!known && !index_has(&l->tracked, within)) {
		const char *slash = strrchr(path, '/');
		AUTO(free) char *parent = xstrndup(path, slash ? (size_t)(slash - path) : 0);
		if (*parent && path_make_dirs(l->below_fd, parent, 0755, err))
			return -1;
		return path_share_tree(l->files_fd, path, l->below_fd, path, err);
	}
	if (depth >= DEPTH_MAX)
		return err_set(err, ERR_INFRA, 0, "%s: nested too deeply", path);
	const size_t len = l->path.len;
	buf_addf(&l->path, "%s/", name);
	int rc = lay_folder(l, depth + 1, err);
	l->path.len = len;
	l->path.data[len] = '\0';
	return rc;
}

static int lay_folder(struct lay *l, int depth, struct err *err)
{
	const char *path = l->path.len ? l->path.data : ".";
	int fd = path_open_beneath(l->files_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return err->kind ? -1 : err_set(err, ERR_INFRA, errno, "open %s", path);
	for (struct dirent *e; (e = readdir(d));)
		if (!dir_is_dots(e->d_name) && lay_entry(l, e->d_name, depth, err))
			return -1;
	return 0;
}

static const char *const below_env[] = {"GIT_DIR=repo/.git", "GIT_WORK_TREE=below", NULL};

/* The rules that the repository tracks, where git looks for them. */
static int show_rules(const struct build *b, struct strv *shown, struct err *err)
{
	static const char *const argv[] = {"ls-files", "-z", "--", ":(glob)**/.gitignore", NULL};
	AUTO(buf) struct buf list = BUF_INIT;

	if (build_git(b, argv, below_env, &list, err))
		return -1;
	for (const char *s = list.data; s < list.data + list.len; s += strlen(s) + 1) {
		AUTO(free) char *from = path_join("repo", s);
		AUTO(free) char *to = path_join("below", s);
		AUTO(free) char *folder = xstrndup(to, (size_t)(strrchr(to, '/') - to));
		if (!path_is_dir(b->tmp_fd, folder) || path_exists(b->tmp_fd, to) ||
		    !path_exists(b->tmp_fd, from))
			continue;
		if (path_copy_tree(b->tmp_fd, from, b->tmp_fd, to, err))
			return -1;
		strv_push(shown, to);
	}
	return 0;
}

/* A pattern that means PATH alone. */
static void add_pattern(struct buf *out, const char *path)
{
	buf_addc(out, '/');
	for (; *path; path++) {
		if (strchr("\\*?[ ", *path))
			buf_addc(out, '\\');
		buf_addc(out, *path);
	}
	buf_addc(out, '\n');
}

/* With the folders that are empty then. */
static int remove_below(const struct build *b, char *path, struct err *err)
{
	if (path_remove_tree(b->tmp_fd, path, err))
		return -1;
	for (char *slash; (slash = strrchr(path, '/')) && strchr(path, '/') != slash;) {
		*slash = '\0';
		if (unlinkat(b->tmp_fd, path, AT_REMOVEDIR))
			break;
	}
	return 0;
}

/* What the rules do not ignore: of a checkout, excluded by name, so that no agent commits it; else it may be an older
 * state of what is tracked, and goes. */
static int settle_rest(const struct build *b, const struct buf *rest, bool git, struct err *err)
{
	AUTO(buf) struct buf patterns = BUF_INIT;

	for (const char *s = rest->data; s < rest->data + rest->len; s += strlen(s) + 1) {
		AUTO(free) char *path = path_join("below", s);
		if (git && !strchr(s, '\n'))
			add_pattern(&patterns, s);
		else if (remove_below(b, path, err))
			return -1;
	}
	return patterns.len ? path_write(b->tmp_fd, "repo/.git/info/exclude", patterns.data,
					 patterns.len, 0644, false, err)
			    : 0;
}

static int sort_out(const struct build *b, bool git, struct err *err)
{
	static const char *const argv[] = {"ls-files", "-o", "-z", "--exclude-standard", NULL};
	AUTO(strv) struct strv shown = STRV_INIT;
	AUTO(buf) struct buf rest = BUF_INIT;

	if (show_rules(b, &shown, err) || build_git(b, argv, below_env, &rest, err))
		return -1;
	for (size_t i = 0; i < shown.n; i++)
		if (unlinkat(b->tmp_fd, shown.v[i], 0))
			return err_set(err, ERR_INFRA, errno, "remove %s", shown.v[i]);
	return settle_rest(b, &rest, git, err);
}

int own_copy_lay(const struct build *b, struct err *err)
{
	AUTO(fd) int copy = open_copy(b->root_fd, b->own_copy, err);
	bool git = false;

	if (copy < 0 || read_meta(copy, &git, err))
		return -1;
	if (mkdirat(b->tmp_fd, BASELINE_BELOW, 0755))
		return err_set(err, ERR_INFRA, errno, "make directory " BASELINE_BELOW);
	AUTO(fd) int files = path_open_beneath(copy, "files", O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(fd) int data = files < 0 ? -1 : path_open_beneath(copy, "git", O_PATH, 0, err);
	AUTO(fd)
	int repo = data < 0 ? -1 : path_open_beneath(b->tmp_fd, BASELINE_REPO, O_PATH, 0, err);
	AUTO(fd)
	int below = repo < 0 ? -1 : path_open_beneath(b->tmp_fd, BASELINE_BELOW, O_PATH, 0, err);
	if (below < 0)
		return -1;
	struct lay l = {.files_fd = files, .repo_fd = repo, .below_fd = below, .path = BUF_INIT};
	index_read(&l.tracked, git ? data : -1);
	int rc = lay_folder(&l, 0, err);
	index_release(&l.tracked);
	buf_release(&l.path);
	return rc ? -1 : sort_out(b, git, err);
}

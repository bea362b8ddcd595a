/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/tar.h"
#include "core/datadir.h"
#include "rollout/merge.h"
#include "rollout/pack.h"

enum { MANIFEST_MAX = 1 << 30 };
#define SCRATCH ".unpack-" /* and a process id, below the data folder */

struct unpacking {
	int in, out_fd;
	char *top;     /* "NAME@STAMP/" */
	json_t *files; /* path -> its entry in pack.json; taken out as they come */
	json_t *links; /* path -> where it leads: made last, so that nothing is written through one */
};

static int damaged(const char *path, const char *why, struct err *err)
{
	return err_set(err, ERR_USAGE, 0, "%s: %s; nothing was unpacked", path, why);
}

static int read_manifest(struct unpacking *u, struct err *err)
{
	static const char name[] = "/" PACK_MANIFEST;
	struct tar_member m;
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;
	json_t *one;
	size_t i;

	int status = tar_read_head(u->in, &m, err);
	if (status < 0)
		return -1;
	size_t len = status ? strlen(m.path) : 0, end = strlen(name);
	if (len <= end || strcmp(m.path + len - end, name) != 0 || m.size > MANIFEST_MAX) {
		tar_member_release(&m);
		return err_set(err, ERR_USAGE, 0,
			       "this was not made by rollouts pack: no " PACK_MANIFEST
			       " comes first");
	}
	u->top = xstrndup(m.path, len - end + 1);
	buf_grow(&text, (size_t)m.size);
	status =
		tar_read(u->in, text.data, (size_t)m.size, err) || tar_read_pad(u->in, m.size, err);
	text.len = (size_t)m.size;
	tar_member_release(&m);
	if (status || json_parse(&j, text.data, text.len, PACK_MANIFEST, err))
		return -1;
	if (json_get_int(j, "v", PACK_VERSION + 1) > PACK_VERSION)
		return err_set(err, ERR_USAGE, 0,
			       PACK_MANIFEST
			       ": version %lld is newer than this program; use a newer rollouts",
			       (long long)json_get_int(j, "v", 0));
	u->files = json_object();
	json_array_foreach (json_object_get(j, "files"), i, one)
		json_object_set(u->files, json_get_str(one, "path", ""), one);
	return 0;
}

static int make_parent(const struct unpacking *u, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	AUTO(free) char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : NULL;

	return parent ? path_make_dirs(u->out_fd, parent, 0755, err) : 0;
}

static int write_file(const struct unpacking *u, const char *path, const struct tar_member *m,
		      const json_t *listed, struct err *err)
{
	char sha256[HASH_HEX];

	if (tar_read_file(u->in, m, u->out_fd, path, sha256, err))
		return -1;
	if (strcmp(sha256, json_get_str(listed, "sha256", "")) != 0)
		return damaged(path, "it is not what " PACK_MANIFEST " says", err);
	return 0;
}

/* In a run, or among the files of a task: what lies above is ours. */
static bool may_be_link(const char *path)
{
	size_t slashes = 0;

	for (const char *c = path; *c; c++)
		slashes += *c == '/';
	return (!strncmp(path, DATA_RUNS "/", strlen(DATA_RUNS "/")) && slashes >= 2) ||
	       (!strncmp(path, DATA_CACHE "/", strlen(DATA_CACHE "/")) && slashes >= 3);
}

static int keep_link(struct unpacking *u, const char *path, const struct tar_member *m,
		     const json_t *listed, struct err *err)
{
	if (strcmp(m->link, json_get_str(listed, "link", "")) != 0)
		return damaged(path, "it is not what " PACK_MANIFEST " says", err);
	if (!may_be_link(path))
		return damaged(path, "there can be no link", err);
	json_put_str(u->links, path, m->link);
	return 0;
}

static int make_links(const struct unpacking *u, struct err *err)
{
	const char *path;
	json_t *target;

	json_object_foreach (u->links, path, target) {
		AUTO(free) char *parent = xstrndup(path, (size_t)(path_base(path) - path - 1));
		AUTO(fd)
		int fd = path_open_beneath(u->out_fd, parent, O_RDONLY | O_DIRECTORY, 0, err);
		if (fd < 0)
			return -1;
		if (symlinkat(json_string_value(target), fd, path_base(path)))
			return err_set(err, ERR_INFRA, errno, "make link %s", path);
	}
	return 0;
}

/* Whatever the archive says, nothing is written outside of the scratch folder, and through no link of the archive's. */
static int take(struct unpacking *u, const struct tar_member *m, struct err *err)
{
	size_t top = strlen(u->top), len = strlen(m->path);
	AUTO(free) char *path = xstrdup(len > top ? m->path + top : "");

	if (m->is_dir && len && path[0] && path[len - top - 1] == '/')
		path[len - top - 1] = '\0';
	if (strncmp(m->path, u->top, top) != 0 || !path_is_inside(path))
		return damaged(m->path, "it lies outside of the rollout's folder", err);
	/* A run folder is nobody else's to read, here as there. */
	if (m->is_dir)
		return path_make_dirs(u->out_fd, path, (m->mode & 0777) | 0700, err);
	const json_t *listed = json_object_get(u->files, path);
	if (!listed)
		return damaged(path, PACK_MANIFEST " does not list it, or it comes twice", err);
	if (make_parent(u, path, err) ||
	    (m->link ? keep_link(u, path, m, listed, err) : write_file(u, path, m, listed, err)))
		return -1;
	json_object_del(u->files, path);
	return 0;
}

static int take_all(struct unpacking *u, struct err *err)
{
	struct tar_member m;
	int more;

	if (read_manifest(u, err))
		return -1;
	while ((more = tar_read_head(u->in, &m, err)) > 0) {
		int status = take(u, &m, err);
		tar_member_release(&m);
		if (status)
			return -1;
	}
	const char *first = json_object_iter_key(json_object_iter(u->files));
	if (!more && first)
		return damaged(first, "it is missing", err);
	return more ? -1 : make_links(u, err);
}

int pack_read(const char *data_dir, int fd, void (*done)(void *arg, const struct merge_step *step),
	      void *arg, struct err *err)
{
	AUTO(free) char *scratch = xasprintf(SCRATCH "%d", (int)getpid());
	AUTO(free) char *folder = path_join(data_dir, scratch);
	const char *const folders[] = {folder, NULL};
	const struct merge_request q = {
		.data_dir = data_dir, .folders = folders, .apart = true, .share = true};
	struct store s;
	struct err unremoved;

	if (store_open(&s, data_dir, true, err))
		return -1;
	struct unpacking u = {.in = fd, .out_fd = -1, .links = json_object()};
	int status = path_remove_tree(s.root_fd, scratch, err) ||
				     path_make_dirs(s.root_fd, scratch, 0700, err)
			     ? -1
			     : 0;
	if (!status)
		u.out_fd = path_open_beneath(s.root_fd, scratch, O_RDONLY | O_DIRECTORY, 0, err);
	status = u.out_fd < 0 || take_all(&u, err) || merge_rollouts(&q, done, arg, err) ? -1 : 0;
	if (path_remove_tree(s.root_fd, scratch, &unremoved) && !status)
		status = err_set(err, ERR_INFRA, 0, "%s", unremoved.msg);
	auto_fd(&u.out_fd);
	free(u.top);
	json_decref(u.files);
	json_decref(u.links);
	store_close(&s);
	return status;
}

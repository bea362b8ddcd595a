/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/pack.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/install.h"
#include "base/json.h"
#include "base/login.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/tar.h"
#include "core/datadir.h"
#include "rollout/public.h"
#include "store/journal.h"
#include "store/owner.h"

enum { TEXT_MAX = 64 << 20, PUBLIC_MAX = 1 << 30, CHUNK = 1 << 16 };

struct file {
	struct tar_member member; /* its path is below the data folder */
	char sha256[HASH_HEX];
	struct buf text; /* what goes in instead of the file, when it is not empty */
};

struct packing {
	const struct store *store;
	const struct rollout_ref *ref;
	struct planfile plan;
	const struct pack_how *how;
	struct public_words *words; /* NULL: files are as they are, but for passwords in URLs */
	struct strv found;	    /* what must not become public */
	struct file *files;
	size_t n, cap;
	struct pack_sums *sums;
};

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static struct file *add(struct packing *p, const char *path, const struct stat *st)
{
	GROW(p->files, p->n, p->cap);
	struct file *f = &p->files[p->n++];
	*f = (struct file){.member = {.path = xstrdup(path),
				      .is_dir = S_ISDIR(st->st_mode),
				      .mode = st->st_mode & 0777,
				      .size = S_ISREG(st->st_mode) ? st->st_size : 0,
				      .mtime = st->st_mtime},
			   .text = BUF_INIT};
	return f;
}

/* In a run and in its attempts: what a killed worker left, and what is about to be renamed. */
static bool is_scrap(const char *path, const char *name)
{
	if (strncmp(path, DATA_RUNS "/", strlen(DATA_RUNS "/")) != 0)
		return false;
	return *name == '.' || !strncmp(name, ATTEMPT_BOX_PREFIX, strlen(ATTEMPT_BOX_PREFIX));
}

/* PATH with all below it, in no order. A missing one is nothing. */
static int add_tree(struct packing *p, const char *path, struct err *err)
{
	struct stat st;
	char target[4097];

	if (p->words && public_leaves_out(p->words, path))
		return 0;
	if (fstatat(p->store->root_fd, path, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : err_set(err, ERR_INFRA, errno, "%s", path);
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(p->store->root_fd, path, target, sizeof target - 1);
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "read link %s", path);
		add(p, path, &st)->member.link = xstrndup(target, (size_t)n);
		return 0;
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return 0; /* a socket */
	add(p, path, &st);
	if (!S_ISDIR(st.st_mode))
		return 0;
	int fd = path_open_beneath(p->store->root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));) {
		AUTO(free) char *below = path_join(path, e->d_name);
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    !is_scrap(below, e->d_name) && add_tree(p, below, err))
			return -1;
	}
	return 0;
}

static bool is_kept(const char *name)
{
	static const char *const left_out[] = {ROLLOUT_SOCKETS, ROLLOUT_NODE_KEYS,
					       ROLLOUT_NODE_DOOR, "secret"};

	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (!strcmp(name, left_out[i]))
			return false;
	return *name != '.';
}

static int read_plan(struct packing *p, struct err *err)
{
	AUTO(fd)
	int fd = path_open_beneath(p->store->root_fd, p->ref->path, O_RDONLY | O_DIRECTORY, 0, err);

	return fd < 0 ? -1 : planfile_read(&p->plan, fd, p->ref->path, err);
}

static int add_rollout(struct packing *p, struct err *err)
{
	int fd = path_open_beneath(p->store->root_fd, p->ref->path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return -1;
	if (journal_is_live(fd))
		return err_set(err, ERR_USAGE, 0, "%s %s is running: wait for it, or interrupt it",
			       p->ref->name, p->ref->stamp);
	for (struct dirent *e; (e = readdir(d));) {
		AUTO(free) char *path = path_join(p->ref->path, e->d_name);
		if (is_kept(e->d_name) && add_tree(p, path, err))
			return -1;
	}
	return 0;
}

/* Of a Harbor task: what the images of its verifiers are made from. */
static int add_verifiers(struct packing *p, const struct trial *t, json_t *seen, struct err *err)
{
	char key[HASH_HEX];

	for (size_t i = 0; i < trial_verifier_images(t); i++) {
		trial_verifier_image(t, i, key);
		AUTO(free) char *path = path_join(DATA_CONTEXTS, key);
		if (strlen(key) < 2 || json_object_get(seen, path))
			continue;
		json_object_set_new(seen, path, json_true());
		if (path_exists(p->store->root_fd, path) && add_tree(p, path, err))
			return -1;
	}
	return 0;
}

/* Tasks as they were, what they were resolved to, and what their images are made from: once each. */
static int add_tasks(struct packing *p, struct err *err)
{
	AUTO(json) json_t *seen = json_object();

	for (size_t i = 0; i < p->plan.n; i++) {
		const struct trial *t = &p->plan.trials[i];
		const char *hash = path_base(t->task_snapshot);
		AUTO(free) char *task = path_join(DATA_TASKS, hash);
		AUTO(free) char *pin = xasprintf(DATA_PINS "/%s.json", hash);
		AUTO(free) char *image = path_join(DATA_CONTEXTS, t->image);
		const char *const paths[] = {task, pin, image};
		for (size_t k = 0; k < ARRAY_SIZE(paths); k++) {
			bool is_new = !json_object_get(seen, paths[k]);
			json_object_set_new(seen, paths[k], json_true());
			if (is_new && *(k < 2 ? hash : t->image) && add_tree(p, paths[k], err))
				return -1;
		}
		if (add_verifiers(p, t, seen, err))
			return -1;
	}
	return 0;
}

static int add_runs(struct packing *p, struct err *err)
{
	size_t strangers = 0;
	const char *first = NULL;

	for (size_t i = 0; i < p->plan.n; i++) {
		const char *run = p->plan.trials[i].run_id;
		AUTO(free) char *path = path_join(DATA_RUNS, run);
		if (owner_is_stranger(p->store->root_fd, &p->plan, run, 1)) {
			first = first ? first : run;
			strangers++;
		} else if (!path_is_inside(path) || add_tree(p, path, err)) {
			return -1;
		}
	}
	p->sums->trials = p->plan.n;
	return strangers ? owner_refuse(p->ref->name, p->ref->stamp, strangers, first, err) : 0;
}

/* Files that a user wrote, or that repeat them, may hold a login for a remote. */
static bool may_hold_login(const char *path)
{
	const char *name = path_base(path);

	return !strncmp(name, "config", strlen("config")) || !strcmp(name, SNAPSHOT_TASK) ||
	       !strcmp(name, "spec.json");
}

static int hash_fd(int fd, struct file *f, struct err *err)
{
	AUTO(free) char *chunk = xmalloc(CHUNK);
	struct hash h;
	int64_t size = 0;
	ssize_t n;

	hash_init(&h);
	while ((n = read(fd, chunk, CHUNK)) > 0) {
		hash_bytes(&h, chunk, (size_t)n);
		size += n;
	}
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "read %s", f->member.path);
	hash_hex(&h, f->sha256);
	f->member.size = size;
	return 0;
}

/* What a public file F holds; the same each time. */
static int public_text(const struct packing *p, const struct file *f, struct buf *text,
		       struct err *err)
{
	return path_read_beneath(p->store->root_fd, f->member.path, PUBLIC_MAX, text, err) ||
			       public_rewrite(p->words, f->member.path, text, err)
		       ? -1
		       : 0;
}

static int look_at_public(struct packing *p, struct file *f, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (public_text(p, f, &text, err))
		return -1;
	public_scan(p->words, f->member.path, &text, &p->found);
	hash_once(text.data, text.len, f->sha256);
	f->member.size = (int64_t)text.len;
	p->sums->bytes += f->member.size;
	return 0;
}

/* Digests of diffs stand in other files. */
static int note_diffs(struct packing *p, struct err *err)
{
	for (size_t i = 0; p->words && i < p->n; i++) {
		struct file *f = &p->files[i];
		AUTO(buf) struct buf text = BUF_INIT;
		char now[HASH_HEX];
		if (f->member.is_dir || f->member.link ||
		    strcmp(path_base(f->member.path), path_base(ATTEMPT_DIFF)) != 0)
			continue;
		AUTO(fd)
		int fd = path_open_beneath(p->store->root_fd, f->member.path, O_RDONLY | O_NONBLOCK,
					   0, err);
		if (fd < 0 || hash_fd(fd, f, err) || public_text(p, f, &text, err))
			return -1;
		hash_once(text.data, text.len, now);
		if (strcmp(now, f->sha256) != 0)
			public_digest(p->words, f->sha256, now);
	}
	return 0;
}

static int look_at(struct packing *p, struct file *f, struct err *err)
{
	const char *path = f->member.path;

	if (f->member.is_dir || f->member.link)
		return 0;
	p->sums->files++;
	if (p->words)
		return look_at_public(p, f, err);
	if (may_hold_login(path)) {
		AUTO(buf) struct buf text = BUF_INIT;
		if (path_read_beneath(p->store->root_fd, path, TEXT_MAX, &text, err))
			return -1;
		if (strlen(text.data) == text.len && login_blank(&text, LOGIN_ALL)) {
			strv_push(&p->sums->blanked, path);
			hash_once(text.data, text.len, f->sha256);
			f->member.size = (int64_t)text.len;
			f->text = text;
			text = (struct buf)BUF_INIT;
			p->sums->bytes += f->member.size;
			return 0;
		}
	}
	AUTO(fd) int fd = path_open_beneath(p->store->root_fd, path, O_RDONLY | O_NONBLOCK, 0, err);
	if (fd < 0 || hash_fd(fd, f, err))
		return -1;
	p->sums->bytes += f->member.size;
	return 0;
}

/* A name as the pack has it; the caller frees. */
static char *shown(const struct packing *p, const char *name)
{
	return p->words ? public_name(p->words, name) : xstrdup(name);
}

static json_t *manifest(const struct packing *p)
{
	AUTO(free) char *program = install_build();
	json_t *j = json_object(), *files = json_array();

	json_put_int(j, "v", PACK_VERSION);
	json_put_str(j, "program", program);
	json_put_str(j, "rollout_id", p->plan.id);
	AUTO(free) char *name = shown(p, p->ref->name);
	json_put_str(j, "name", name);
	json_put_str(j, "stamp", p->ref->stamp);
	json_put_int(j, "trials", (int64_t)p->plan.n);
	json_put_strv(j, "blanked", &p->sums->blanked);
	if (p->words)
		json_put_bool(j, "public", true);
	for (size_t i = 0; i < p->n; i++) {
		const struct file *f = &p->files[i];
		json_t *one = json_object();
		if (f->member.is_dir) {
			json_decref(one);
			continue;
		}
		AUTO(free) char *path = shown(p, f->member.path);
		AUTO(free) char *link = f->member.link ? shown(p, f->member.link) : NULL;
		json_put_str(one, "path", path);
		if (link)
			json_put_str(one, "link", link);
		else
			json_put_int(one, "bytes", f->member.size);
		if (!f->member.link)
			json_put_str(one, "sha256", f->sha256);
		json_array_append_new(files, one);
	}
	json_put(j, "files", files);
	return j;
}

static int write_member(const struct packing *p, const struct tar_member *m, int fd,
			struct err *err)
{
	AUTO(free) char *name = shown(p, p->ref->name), *path = shown(p, m->path);
	AUTO(free) char *link = m->link ? shown(p, m->link) : NULL;
	AUTO(free)
	char *whole = xasprintf("%s@%s/%s%s", name, p->ref->stamp, path, m->is_dir ? "/" : "");
	struct tar_member placed = *m;

	placed.path = whole;
	placed.link = link;
	return tar_write_head(fd, &placed, err);
}

static int write_text(const struct packing *p, const struct tar_member *m, const struct buf *text,
		      int fd, struct err *err)
{
	return write_member(p, m, fd, err) || path_write_all(fd, text->data, text->len, err) ||
			       tar_write_pad(fd, (int64_t)text->len, err)
		       ? -1
		       : 0;
}

static int write_public(const struct packing *p, const struct file *f, int to, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char sha256[HASH_HEX];

	if (public_text(p, f, &text, err))
		return -1;
	hash_once(text.data, text.len, sha256);
	if (strcmp(sha256, f->sha256) != 0)
		return err_set(err, ERR_INFRA, 0, "%s changes while it is packed", f->member.path);
	return write_text(p, &f->member, &text, to, err);
}

/* As it was hashed a moment ago, or not at all. */
static int write_content(const struct packing *p, const struct file *f, int to, struct err *err)
{
	AUTO(fd)
	int fd =
		path_open_beneath(p->store->root_fd, f->member.path, O_RDONLY | O_NONBLOCK, 0, err);
	AUTO(free) char *chunk = xmalloc(CHUNK);
	char sha256[HASH_HEX];
	struct hash h;

	if (fd < 0)
		return -1;
	hash_init(&h);
	for (int64_t left = f->member.size; left > 0;) {
		ssize_t n = read(fd, chunk, (size_t)(left < CHUNK ? left : CHUNK));
		if (n <= 0)
			return err_set(err, ERR_INFRA, n ? errno : 0,
				       "%s changes while it is packed", f->member.path);
		hash_bytes(&h, chunk, (size_t)n);
		if (path_write_all(to, chunk, (size_t)n, err))
			return -1;
		left -= n;
	}
	hash_hex(&h, sha256);
	if (strcmp(sha256, f->sha256) != 0)
		return err_set(err, ERR_INFRA, 0, "%s changes while it is packed", f->member.path);
	return tar_write_pad(to, f->member.size, err);
}

static int write_all(const struct packing *p, int fd, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = manifest(p);

	json_format(&text, j, true);
	buf_addc(&text, '\n');
	const struct tar_member first = {
		.path = (char *)PACK_MANIFEST, .mode = 0644, .size = (int64_t)text.len};
	if (write_text(p, &first, &text, fd, err))
		return -1;
	for (size_t i = 0; i < p->n; i++) {
		const struct file *f = &p->files[i];
		int status;
		if (f->text.len)
			status = write_text(p, &f->member, &f->text, fd, err);
		else if (f->member.is_dir || f->member.link)
			status = write_member(p, &f->member, fd, err);
		else if (p->words)
			status = write_public(p, f, fd, err);
		else
			status = write_member(p, &f->member, fd, err) ||
				 write_content(p, f, fd, err);
		if (status)
			return -1;
	}
	return tar_write_end(fd, err);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->member.path, ((const struct file *)b)->member.path);
}

/* Nothing is written then. */
static int refuse(const struct packing *p, struct err *err)
{
	return err_set(
		err, ERR_USAGE, 0,
		"%zu place%s must not become public: mend or exclude what is meant, say --without "
		"recordings, or --allow TEXT for a text that only looks like a key",
		p->found.n, p->found.n == 1 ? "" : "s");
}

static int gather(struct packing *p, struct err *err)
{
	if (read_plan(p, err))
		return -1;
	if (p->how->public)
		p->words =
			public_open(p->store, p->ref, &p->plan, p->how->without, p->how->allowed);
	if (add_rollout(p, err) || add_runs(p, err) || add_tasks(p, err))
		return -1;
	if (p->n)
		qsort(p->files, p->n, sizeof *p->files, by_path);
	if (note_diffs(p, err))
		return -1;
	for (size_t i = 0; i < p->n; i++)
		if (look_at(p, &p->files[i], err))
			return -1;
	return p->found.n ? refuse(p, err) : 0;
}

int pack_write(const struct store *s, const struct rollout_ref *ref, const struct pack_how *how,
	       int fd, struct pack_sums *sums, struct err *err)
{
	struct packing p = {.store = s, .ref = ref, .how = how, .sums = sums, .found = STRV_INIT};

	*sums = (struct pack_sums){.blanked = STRV_INIT, .found = STRV_INIT};
	int status = gather(&p, err) || write_all(&p, fd, err) ? -1 : 0;
	strv_pushv(&sums->found, strv_items(&p.found));
	strv_release(&p.found);
	for (size_t i = 0; i < p.n; i++) {
		tar_member_release(&p.files[i].member);
		buf_release(&p.files[i].text);
	}
	free(p.files);
	public_close(p.words);
	planfile_release(&p.plan);
	return status;
}

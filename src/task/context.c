/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/context.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/kv.h"
#include "os/fdio.h"
#include "task/dockerfile.h"
#include "task/dockerignore.h"
#include "task/kept-out.h"

#define CONTEXT_VERSION "rollouts image 3"
#define DOCKERFILE_MAX (1 << 20)
#define LOCK_MS (10 * 60 * 1000)

bool task_wants_image(const struct task *t)
{
	return t->docker_image || t->has_dockerfile;
}

static void task_context_release(struct task_context *c)
{
	free(c->name);
	free(c->pull);
	free(c->dir);
	json_decref(c->args);
	strv_release(&c->bases);
	strv_release(&c->kept_out);
	filetree_release(&c->files);
}

/* Of the task, whatever a Dockerfile says. */
static const char *const left_out[] = {
	"tb_meta.json",
	"overrides.json",
	"evaluation",
	"evaluation_results*",
	"trace",
	"traces",
	"diff.patch",
	"notes.md",
	".git",
	".dockerignore",
	"Dockerfile.dockerignore",
	"overlay_files/tb_meta.json",
	"overlay_files/diff.patch",
	"overlay_files/repo_info.json",
	"overlay_files/notes.md",
	"overlay_files/evaluation*",
	"overlay_files/trace*",
};

/* A Dockerfile of the older system copies these one by one. */
static const char *const stand_ins[] = {
	"tb_meta.json",
	"overlay_files/tb_meta.json",
	"overlay_files/diff.patch",
	"overlay_files/repo_info.json",
	"overlay_files/notes.md",
};

struct reading {
	struct task_context *c;
	const struct task *t;
	int dir_fd;
	struct dockerfile file;
	struct strv ignored; /* patterns of .dockerignore */
	bool ignored_is_final;
	struct issues *m;
};

static bool is_kept_out(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (!fnmatch(left_out[i], path, FNM_PATHNAME))
			return true;
	return kept_out_by_name(path);
}

static bool skips(void *reading, const char *path)
{
	const struct reading *r = reading;

	if (!strcmp(path, "Dockerfile"))
		return false;
	if (!dockerfile_wants(&r->file, path))
		return true;
	if (dockerignore_matches(&r->ignored, path)) {
		struct stat st;
		/* Something below it may come back. */
		return r->ignored_is_final || fstatat(r->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) ||
		       !S_ISDIR(st.st_mode);
	}
	if (!is_kept_out(path))
		return false;
	strv_push(&r->c->kept_out, path);
	return true;
}

/* Where a Dockerfile names such a file it must be there. */
static void put_stand_ins(struct reading *r)
{
	struct filetree *files = &r->c->files;

	for (size_t i = 0; i < ARRAY_SIZE(stand_ins); i++)
		if (path_exists(r->dir_fd, stand_ins[i]) &&
		    dockerfile_wants(&r->file, stand_ins[i]) &&
		    !dockerignore_matches(&r->ignored, stand_ins[i]))
			free(filetree_put(files, stand_ins[i], "", 0));
	for (size_t i = 0; i < r->file.copies_n; i++) {
		const char *source = r->file.copies[i].source, *name = path_base(source);
		/* .env is a file people make when they need it; what it says reaches the agent another way. */
		if (!strncmp(name, ".env", 4) && kept_out_by_name(source) &&
		    !strpbrk(source, "*?["))
			free(filetree_put(files, source, "", 0));
	}
}

/* Those folders that were looked into for what comes back, where nothing did. */
static bool is_empty_and_ignored(void *reading, const struct filetree *files, size_t i)
{
	const struct reading *r = reading;
	const struct filetree_item *dir = &files->v[i];
	const size_t n = strlen(dir->path);

	if (dir->kind != FILETREE_DIR || !dockerignore_matches(&r->ignored, dir->path))
		return false;
	for (size_t k = i + 1; k < files->n && !strncmp(files->v[k].path, dir->path, n); k++)
		if (files->v[k].path[n] == '/')
			return false;
	return true;
}

/* The builder needs its Dockerfile, and no COPY finds one that is left out. */
static void hide_dockerfile(struct reading *r)
{
	static const char text[] = "Dockerfile\n.dockerignore\n";

	if (dockerignore_matches(&r->ignored, "Dockerfile"))
		free(filetree_put(&r->c->files, ".dockerignore", text, strlen(text)));
}

static bool is_there(const struct filetree *files, const char *source)
{
	for (size_t i = 0; i < files->n; i++)
		if (dockerfile_names(source, files->v[i].path))
			return true;
	return !*source;
}

static void check_copies(struct reading *r)
{
	for (size_t i = 0; i < r->file.copies_n; i++) {
		const struct dockerfile_copy *copy = &r->file.copies[i];
		if (is_there(&r->c->files, copy->source))
			continue;
		AUTO(free) char *place = xasprintf("Dockerfile:%d", copy->line);
		issues_add(r->m, place, NULL,
			   is_kept_out(copy->source) || strv_has(&r->c->kept_out, copy->source)
				   ? "copies \"%s\", which is kept out of images: take the line "
				     "out, or set sandbox = \"local\""
			   : dockerignore_matches(&r->ignored, copy->source)
				   ? "copies \"%s\", which .dockerignore leaves out"
				   : "copies \"%s\", which is not in the task folder: put it "
				     "there, or set sandbox = \"local\"",
			   copy->word);
	}
}

/* Only what the older system passed, and only where it is asked for; never a credential. */
static void known_args(const struct task *t, struct kvs *out)
{
	const struct {
		const char *name, *value;
	} known[] = {
		{"GIT_URL", t->repo.git_url && *t->repo.git_url != '/' ? t->repo.git_url : NULL},
		{"GIT_BRANCH", t->repo.branch},
		{"GIT_COMMIT", t->repo.start_commit},
		{"TASK_ID", t->id},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].value)
			kvs_set(out, known[i].name, known[i].value);
}

static void take_args(struct task_context *c, const struct dockerfile *file,
		      const struct kvs *known)
{
	for (size_t i = 0; i < file->args.n; i++) {
		const char *value = kvs_get(known, file->args.v[i]);
		if (value)
			json_put_str(c->args, file->args.v[i], value);
	}
}

static int read_files(struct reading *r, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(kvs) struct kvs known = KVS_INIT;
	struct task_context *c = r->c;

	if (path_read_beneath(r->dir_fd, "Dockerfile", DOCKERFILE_MAX, &text, err) ||
	    dockerignore_read(&r->ignored, r->dir_fd, err))
		return -1;
	r->ignored_is_final = dockerignore_is_final(&r->ignored);
	known_args(r->t, &known);
	buf_adds(&text, "");
	dockerfile_parse(&r->file, text.data, &known);
	take_args(c, &r->file, &known);
	strv_pushv(&c->bases, strv_items(&r->file.bases));
	c->files.exact = true;
	filetree_scan(&c->files, r->dir_fd, ".", skips, r, r->m);
	filetree_remove(&c->files, is_empty_and_ignored, r);
	put_stand_ins(r);
	hide_dockerfile(r);
	kept_out_by_content(&c->files, r->t, &c->kept_out);
	check_copies(r);
	return 0;
}

/* Of a Harbor task: the folder FOLDER as it is. Whatever its Dockerfile says is the engine's to judge, .dockerignore included. */
static int read_whole_folder(struct task_context *c, const struct task *t, const char *folder,
			     struct issues *m, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(kvs) struct kvs none = KVS_INIT;
	struct dockerfile file = {0};

	free(c->dir);
	c->dir = path_join(t->dir, folder);
	c->whole = true;
	AUTO(fd) int fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", c->dir);
	if (path_read_beneath(fd, "Dockerfile", DOCKERFILE_MAX, &text, err))
		return -1;
	buf_adds(&text, "");
	dockerfile_parse(&file, text.data, &none);
	strv_pushv(&c->bases, strv_items(&file.bases));
	dockerfile_release(&file);
	c->files.exact = true;
	filetree_scan(&c->files, fd, ".", NULL, NULL, m);
	return 0;
}

static int read_folder(struct task_context *c, const struct task *t, struct issues *m,
		       struct err *err)
{
	if (t->harbor)
		return read_whole_folder(c, t, "environment", m, err);
	AUTO(fd) int fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct reading r = {.c = c, .t = t, .dir_fd = fd, .m = m, .ignored = STRV_INIT};

	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open task folder %s", t->dir);
	int rc = read_files(&r, err);
	dockerfile_release(&r.file);
	strv_release(&r.ignored);
	return rc;
}

void task_context_digest(const struct task *t, char out[HASH_HEX])
{
	AUTO(strv) struct strv ignored = STRV_INIT;
	struct issues m = {&ignored, 0};
	struct task_context c = {.args = json_object()};
	struct err err = {0};
	struct hash h;

	/* What is wrong with it is told where an image is made of it. */
	if (read_folder(&c, t, &m, &err))
		filetree_release(&c.files);
	hash_init(&h);
	filetree_hash(&c.files, &h);
	hash_hex(&h, out);
	task_context_release(&c);
}

static void make_key(struct task_context *c)
{
	AUTO(free) char *args = json_dumps(c->args, JSON_SORT_KEYS | JSON_COMPACT);
	struct hash h;

	hash_init(&h);
	hash_str(&h, CONTEXT_VERSION);
	hash_str(&h, c->pull);
	/* What is looked at in it differs. */
	if (c->whole)
		hash_str(&h, "whole");
	hash_str(&h, args);
	filetree_hash(&c->files, &h);
	hash_hex(&h, c->key);
}

static int read_all(struct task_context *c, const struct task *t, struct issues *m, struct err *err)
{
	c->whole = t->harbor != NULL;
	if (t->docker_image) {
		c->pull = xstrdup(t->docker_image);
		c->name = xstrdup(t->docker_image);
		return 0;
	}
	c->name = xasprintf("%s (Dockerfile)", t->id);
	return read_folder(c, t, m, err);
}

int task_context_read(struct task_context **out, const struct task *t,
		      const struct task_source *src, struct strv *issues, struct err *err)
{
	struct task_context *c = xcalloc(1, sizeof *c);
	struct issues m = {issues, 0};

	c->args = json_object();
	c->dir = xstrdup(t->dir);
	*out = NULL;
	int rc = read_all(c, t, &m, err);
	if (!rc && m.n)
		rc = err_set(err, ERR_USAGE, 0, "task %s: %zu mistakes", src->dir, m.n);
	if (rc) {
		task_context_free(c);
		return -1;
	}
	make_key(c);
	*out = c;
	return 0;
}

/* The image that the verifier of step NAME ("": the only one) is defined by, the nearest definition first. Returns whether it has one
 * of its own: *PULL is a name, or *FOLDER holds a Dockerfile; both the caller's. */
static bool own_verifier(const struct task *t, const json_t *step, const char *name, char **pull,
			 char **folder)
{
	const json_t *verifiers[] = {json_object_get(step, "verifier"),
				     json_object_get(t->harbor, "verifier")};
	AUTO(free) char *own = xasprintf("steps/%s/tests", name);
	const char *folders[] = {step ? own : NULL, "tests"};

	for (size_t i = 0; i < ARRAY_SIZE(verifiers); i++) {
		const char *image = json_get_str(json_object_get(verifiers[i], "environment"),
						 "docker_image", NULL);
		AUTO(free)
		char *file = folders[i] ? xasprintf("%s/%s/Dockerfile", t->dir, folders[i]) : NULL;
		if (image)
			*pull = xstrdup(image);
		else if (file && path_exists(AT_FDCWD, file))
			*folder = xstrdup(folders[i]);
		if (*pull || *folder)
			return true;
	}
	return false;
}

/* Whether the verifier of STEP (NULL: the only one) has a container of its own. */
static bool is_separate(const struct task *t, const json_t *step)
{
	const json_t *own = json_object_get(json_object_get(step, "verifier"), "separate");
	const json_t *task = json_object_get(json_object_get(t->harbor, "verifier"), "separate");

	return json_is_boolean(own) ? json_is_true(own) : json_is_true(task);
}

static int add_verifier(struct task_contexts *out, struct buf *keys, const struct task *t, size_t i,
			struct issues *m, struct err *err)
{
	const json_t *step = json_array_get(json_object_get(t->harbor, "steps"), i);
	AUTO(free) char *pull = NULL;
	AUTO(free) char *folder = NULL;

	if (i)
		buf_addc(keys, ' ');
	if (!is_separate(t, step) || !own_verifier(t, step, t->steps[i].name, &pull, &folder)) {
		buf_addc(keys, is_separate(t, step) ? '+' : '-');
		return 0;
	}
	struct task_context *c = xcalloc(1, sizeof *c);
	out->v = xreallocarray(out->v, out->n + 1, sizeof *out->v);
	out->v[out->n++] = c;
	c->args = json_object();
	c->dir = xstrdup(t->dir);
	c->whole = true;
	c->name = pull ? xstrdup(pull) : xasprintf("%s (verifier)", t->id);
	c->pull = xstrdup(pull);
	if (folder && read_whole_folder(c, t, folder, m, err))
		return -1;
	make_key(c);
	buf_adds(keys, c->key);
	return 0;
}

int task_context_verifiers(struct task_contexts *out, char **keys, const struct task *t,
			   const struct task_source *src, struct strv *issues, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct issues m = {issues, 0};

	for (size_t i = 0; i < t->steps_n; i++)
		if (add_verifier(out, &text, t, i, &m, err))
			return -1;
	if (m.n)
		return err_set(err, ERR_USAGE, 0, "task %s: %zu mistakes", src->dir, m.n);
	*keys = xstrdup(text.data);
	return 0;
}

static int write_spec(const struct task_context *c, int fd, struct err *err)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "name", c->name);
	if (c->pull)
		json_put_str(j, "pull", c->pull);
	json_put(j, "args", json_incref(c->args));
	json_put_strv(j, "bases", &c->bases);
	json_put_strv(j, "kept_out", &c->kept_out);
	if (c->whole)
		json_put_bool(j, "whole", true);
	return json_write(fd, "spec.json", j, false, err);
}

/* spec.json comes last: a folder without it is what a killed process left. */
static int write_into(const struct task_context *c, int fd, struct err *err)
{
	AUTO(fd) int src = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (src < 0)
		return err_set(err, ERR_USAGE, errno, "open task folder %s", c->dir);
	if (path_remove_tree(fd, "files", err) || path_make_dirs(fd, "files", 0755, err))
		return -1;
	AUTO(fd) int files = path_open_beneath(fd, "files", O_RDONLY | O_DIRECTORY, 0, err);
	if (files < 0 || filetree_write(&c->files, src, files, err))
		return -1;
	return write_spec(c, fd, err);
}

int task_context_write(const struct task_context *c, int root_fd, struct err *err)
{
	AUTO(free) char *path = xasprintf(DATA_CONTEXTS "/%s", c->key);
	AUTO(free) char *spec = path_join(path, "spec.json");

	path_touch(root_fd, path);
	if (path_exists(root_fd, spec))
		return 0;
	if (path_make_dirs(root_fd, path, 0755, err))
		return -1;
	AUTO(fd) int fd = path_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(fd) int lock = fd < 0 ? -1 : fd_lock(fd, ".lock", clock_mono_ms() + LOCK_MS, err);
	if (lock < 0)
		return -1;
	return path_exists(root_fd, spec) ? 0 : write_into(c, fd, err);
}

void task_context_free(struct task_context *c)
{
	if (!c)
		return;
	task_context_release(c);
	free(c);
}

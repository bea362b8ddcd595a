/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cloud/batch.h"
#include "core/driver.h"
#include "cloud/layout.h"
#include "core/datadir.h"
#include "os/dir.h"

enum { DOCUMENT_MAX = 16 << 20, FILES_MS = 30000, RUNS_MAX = 64 << 20 };

/* Parcels that no earlier submit has brought there: each once, whoever else brings it. */
int upload_inputs(struct batch *b, const json_t *jobs, struct err *err)
{
	size_t i, k;
	json_t *job, *input;

	json_array_foreach (jobs, i, job)
		json_array_foreach (json_object_get(job, "inputs"), k, input) {
			const char *sha = json_get_str(input, "sha256", "");
			AUTO(free) char *key = xasprintf(LAYOUT_PARCELS "/%s.tar", sha);
			AUTO(free) char *path = xasprintf(DATA_PARCELS "/%s.tar", sha);
			struct stat st;
			if (json_object_get(b->uploaded, sha))
				continue;
			int there = s3_head(&b->s3, key, err);
			if (there < 0)
				return -1;
			AUTO(fd) int fd = path_open_beneath(b->data_fd, path, O_RDONLY, 0, err);
			if (there && (fd < 0 || fstat(fd, &st)))
				return -1;
			struct s3_object o = {.key = key,
					      .fd = fd,
					      .bytes = there ? (size_t)st.st_size : 0,
					      .only_new = true};
			if (there && s3_put(&b->s3, &o, 1, err))
				return -1;
			json_put_bool(b->uploaded, sha, true);
		}
	return 0;
}

/* The file that gateways are started with, without its keys: a node has those from its secrets. Which ones it is to have is said. */
static int blank_keys(json_t *file, const json_t *secrets, struct err *err)
{
	const char *name;
	json_t *provider, *key;
	size_t i;

	json_object_foreach (json_object_get(json_object_get(file, "document"), "providers"), name,
			     provider) {
		json_t *kept = json_array();
		const json_t *keys = json_object_get(provider, "keys");
		json_array_foreach (keys, i, key) {
			const char *id = json_get_str(key, "id", "");
			if (json_object_get(secrets, id))
				json_array_append_new(kept,
						      json_pack("{s:s,s:s}", "id", id, "key", ""));
		}
		if (json_array_size(keys) && !json_array_size(kept)) {
			const char *id = json_get_str(json_array_get(keys, 0), "id", "KEY");
			json_decref(kept);
			return err_set(
				err, ERR_USAGE, 0,
				"no key of provider \"%s\" is in [launcher.batch] secrets, and "
				"keys do not go through the bucket: secrets = {%s = \"ARN in "
				"Secrets Manager or SSM\"}, then rollouts cloud init",
				name, id);
		}
		json_put(provider, "keys", kept);
		json_put(provider, "task_keys", json_object());
	}
	return 0;
}

static int add_file(struct batch *b, json_t *files, const char *path, struct err *err)
{
	AUTO(json) json_t *j = NULL;

	if (!path || json_object_get(files, path))
		return 0;
	if (json_read(&j, b->data_fd, path, DOCUMENT_MAX, err) ||
	    blank_keys(j, b->settings.secrets, err))
		return -1;
	json_put(files, path, STEAL(&j));
	return 0;
}

static json_t *for_node(const struct settings *s)
{
	json_t *j = json_object();

	json_put_str(j, "cache", s->cache);
	json_put_int(j, "cache_mb", s->cache_mb);
	json_put_int(j, "side_by_side", s->side_by_side);
	json_put_int(j, "events_sec", s->events_sec);
	json_put_int(j, "attempts", s->attempts);
	json_put_int(j, "vcpus", s->vcpus);
	json_put_str(j, "sse", s->sse);
	json_put_str(j, "kms_key", s->kms_key);
	if (s->price_per_hour > 0)
		json_put_real(j, "price_per_hour", s->price_per_hour);
	if (s->prices)
		json_put(j, "prices", json_incref(s->prices));
	return j;
}

static int add_task(struct batch *b, const struct task *t, json_t *tasks, json_t *files,
		    struct err *err)
{
	json_t *list = json_array();

	json_array_append_new(tasks, list);
	for (size_t i = 0; i < t->n; i++) {
		AUTO(free) char *trial = path_join(t->trials[i].dir, ATTEMPT_TRIAL);
		AUTO(free) char *travel = path_join(t->trials[i].dir, ATTEMPT_TRAVEL);
		AUTO(json) json_t *a = NULL;
		AUTO(json) json_t *v = NULL;
		if (json_read(&a, b->data_fd, trial, DOCUMENT_MAX, err) ||
		    json_read(&v, b->data_fd, travel, DOCUMENT_MAX, err) ||
		    add_file(b, files, json_get_str(v, "keys", NULL), err))
			return -1;
		json_t *one = json_object();
		json_put_str(one, "dir", t->trials[i].dir);
		json_put(one, "trial", STEAL(&a));
		json_put(one, "travel", STEAL(&v));
		json_array_append_new(list, one);
	}
	return 0;
}

int upload_tasks(struct batch *b, const struct array *a, struct err *err)
{
	const size_t n = (a->n + LAYOUT_TASKS - 1) / LAYOUT_TASKS;
	AUTO(free) struct s3_object *objects = xcalloc(n, sizeof *objects);
	AUTO(free) struct buf *texts = xcalloc(n, sizeof *texts);
	AUTO(strv) struct strv keys = STRV_INIT;
	int rc = 0;

	for (size_t k = 0; k < n && !rc; k++) {
		AUTO(json) json_t *j = json_object();
		json_t *tasks = json_array(), *files = json_object();
		texts[k] = (struct buf)BUF_INIT;
		json_put_int(j, "v", 1);
		json_put(j, "node", for_node(&b->settings));
		json_put(j, "tasks", tasks);
		json_put(j, "files", files);
		for (size_t i = k * LAYOUT_TASKS; i < a->n && i < (k + 1) * LAYOUT_TASKS && !rc;
		     i++)
			rc = add_task(b, &a->tasks[i], tasks, files, err);
		json_format(&texts[k], j, false);
		strv_pushf(&keys, LAYOUT_BATCHES "/%s/%zu.json", a->name, k);
		objects[k] = (struct s3_object){
			.key = keys.v[k], .data = texts[k].data, .bytes = texts[k].len, .fd = -1};
	}
	if (!rc)
		rc = s3_put(&b->s3, objects, n, err);
	for (size_t k = 0; k < n; k++)
		buf_release(&texts[k]);
	return rc;
}

int upload_forget(struct batch *b, const struct array *a, struct err *err)
{
	AUTO(strv) struct strv keys = STRV_INIT;

	for (size_t k = 0; k * LAYOUT_TASKS < a->n; k++)
		strv_pushf(&keys, LAYOUT_BATCHES "/%s/%zu.json", a->name, k);
	return s3_delete(&b->s3, &keys, err);
}

static bool has_run(int dir_fd, const char *folder, const char *run_id)
{
	AUTO(free) char *path = path_join(folder, ROLLOUT_RUNS);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	return !path_read(dir_fd, path, RUNS_MAX, &text, &ignored) && strstr(text.data, run_id);
}

/* Whose run DIR is: "rollouts/NAME/STAMP". NULL: nobody's. */
static char *rollout_of(const struct batch *b, const char *dir)
{
	AUTO(free) char *attempts = path_folder(dir);
	AUTO(free) char *run = path_folder(attempts);
	const char *run_id = path_base(run);
	int fd = path_open_beneath(b->data_fd, DATA_ROLLOUTS, O_RDONLY | O_DIRECTORY, 0,
				   &(struct err){0});
	AUTO(dir) DIR *names = fd >= 0 ? fdopendir(fd) : NULL;

	for (struct dirent *e; names && (e = readdir(names));) {
		int of_name = dir_is_dots(e->d_name)
				      ? -1
				      : openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		AUTO(dir) DIR *stamps = of_name >= 0 ? fdopendir(of_name) : NULL;
		for (struct dirent *s; stamps && (s = readdir(stamps));) {
			AUTO(free)
			char *path = xasprintf(DATA_ROLLOUTS "/%s/%s", e->d_name, s->d_name);
			if (!strncmp(s->d_name, run_id, 8) && has_run(b->data_fd, path, run_id))
				return STEAL(&path);
		}
	}
	return NULL;
}

void upload_remember(struct batch *b, const char *dir)
{
	const char *path;
	json_t *files;

	json_object_foreach (b->files, path, files) {
		AUTO(free) char *attempts = path_folder(dir);
		AUTO(free) char *run = path_folder(attempts);
		/* Of one start of one benchmark all ids begin alike. */
		if (!strncmp(path_base(run), path_base(path), strlen(path_base(path))))
			return;
	}
	AUTO(free) char *found = rollout_of(b, dir);
	if (found)
		json_put(b->files, found, json_object());
}

/* What is not for others, or for this machine alone. */
static bool stays(const char *name)
{
	return *name == '.' || !strcmp(name, ROLLOUT_NODE_KEYS) ||
	       !strcmp(name, ROLLOUT_GATEWAY_LOG) || strstr(name, ".sock");
}

static void upload_rollout(struct batch *b, const char *folder, json_t *known)
{
	struct err err = {0};
	int fd = path_open_beneath(b->data_fd, folder, O_RDONLY | O_DIRECTORY, 0, &err);
	AUTO(dir) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		if (stays(e->d_name))
			continue;
		AUTO(fd) int file = openat(fd, e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (file < 0 || fstat(file, &st) || !S_ISREG(st.st_mode))
			continue;
		AUTO(free)
		char *is = xasprintf("%lld %lld.%09ld", (long long)st.st_size,
				     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
		if (!strcmp(json_get_str(known, e->d_name, ""), is))
			continue;
		AUTO(free) char *key = xasprintf("%s/%s", folder, e->d_name);
		struct s3_object o = {.key = key, .fd = file, .bytes = (size_t)st.st_size};
		if (s3_put(&b->s3, &o, 1, &err))
			driver_note("%s", err.msg);
		else
			json_put_str(known, e->d_name, is);
	}
}

void upload_rollouts(struct batch *b, bool all)
{
	const char *folder;
	json_t *known;

	if (!all && clock_mono_ms() < b->files_ms)
		return;
	json_object_foreach (b->files, folder, known)
		upload_rollout(b, folder, known);
	b->files_ms = clock_mono_ms() + FILES_MS;
}

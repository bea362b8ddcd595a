/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/inputs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/image.h"
#include "core/trial.h"
#include "node/node-image.h"
#include "node/parcel.h"
#include "repo/repo.h"
#include "task/task.h"

enum { TRIAL_JSON_MAX = 16 << 20, TASK_JSON_MAX = 1 << 28, PREPARE_MS = 60 * 60 * 1000 };
#define CARRIED                                                                                    \
	DATA_CACHE "/carried" /* SHA256/: what had a place of its own on the submitting machine */

/* The archive is named when it is whole. One that is there already is the same. */
static int keep(int root_fd, const char *temporary, const struct parcel *made, struct err *err)
{
	AUTO(free) char *name = xasprintf(DATA_PARCELS "/%s.tar", made->sha256);

	if (renameat(root_fd, temporary, root_fd, name))
		return err_set(err, ERR_INFRA, errno, "rename to %s", name);
	return 0;
}

static int pack_tree(const struct packer *p, int dir_fd, const char *path, struct parcel *made,
		     struct err *err)
{
	AUTO(free) char *temporary = xasprintf(DATA_PARCELS "/.tmp-%d", (int)getpid());
	const bool attempt = !strncmp(path, DATA_RUNS "/", strlen(DATA_RUNS "/"));
	bool (*leave_out)(const char *name) = attempt ? datadir_is_box : NULL;

	if (path_make_dirs(p->root_fd, DATA_PARCELS, 0700, err))
		return -1;
	unlinkat(p->root_fd, temporary, 0);
	AUTO(fd)
	int out = path_open_beneath(p->root_fd, temporary, O_RDWR | O_CREAT | O_EXCL, 0600, err);
	if (out < 0)
		return -1;
	if (parcel_write(made, out, dir_fd, path, leave_out, err) ||
	    keep(p->root_fd, temporary, made, err)) {
		unlinkat(p->root_fd, temporary, 0);
		return -1;
	}
	return 0;
}

/* PATH lies below the data folder, or is absolute: then it gets a place there. */
static int add(struct packer *p, const char *path, json_t *inputs, struct err *err)
{
	json_t *entry = json_object_get(p->made, path);
	struct parcel made;

	if (!entry) {
		const bool host = *path == '/';
		if (pack_tree(p, host ? AT_FDCWD : p->root_fd, path, &made, err))
			return err_wrap(err, "pack %s", path);
		entry = json_object();
		AUTO(free) char *place =
			host ? xasprintf(CARRIED "/%s", made.sha256) : xstrdup(path);
		json_put_str(entry, "path", place);
		json_put_str(entry, "sha256", made.sha256);
		json_put_int(entry, "bytes", made.bytes);
		if (host)
			json_put_str(entry, "host", path);
		json_put(p->made, path, entry);
	}
	json_array_append(inputs, entry);
	return 0;
}

static int add_mounts(struct packer *p, const json_t *spec, const char *key, json_t *inputs,
		      struct err *err)
{
	size_t i;
	json_t *m;

	json_array_foreach (json_object_get(spec, key), i, m)
		if (add(p, json_get_str(m, "host", ""), inputs, err))
			return -1;
	return 0;
}

static int add_attempt(struct packer *p, const struct attempt *a, int number, json_t *inputs,
		       struct err *err)
{
	AUTO(free) char *dir = datadir_attempt(a->trial.run_id, number);

	return number ? add(p, dir, inputs, err) : 0;
}

/* A folder of its own that begins as the snapshot, by other names of its files. */
static int make_share(const struct packer *p, const char *snapshot, const char *share, bool gold,
		      struct err *err)
{
	static const char *const kept[] = {SNAPSHOT_APP, SNAPSHOT_REPO, SNAPSHOT_GOLD};
	AUTO(free) char *file = path_join(snapshot, SNAPSHOT_TASK);
	AUTO(json) json_t *task = NULL;
	size_t i;
	json_t *step;

	if (path_remove_tree(p->root_fd, share, err) ||
	    path_make_dirs(p->root_fd, share, 0755, err) ||
	    json_read(&task, p->root_fd, file, TASK_JSON_MAX, err))
		return -1;
	json_array_foreach (json_object_get(task, "steps"), i, step) {
		json_put(step, "tests", json_array());
		json_put(step, "rubrics", json_array());
	}
	json_put(json_object_get(task, "repo"), "end_commit", json_null());
	AUTO(fd) int from = path_open_beneath(p->root_fd, snapshot, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(fd) int to = path_open_beneath(p->root_fd, share, O_RDONLY | O_DIRECTORY, 0, err);
	if (from < 0 || to < 0 || json_write(to, SNAPSHOT_TASK, task, false, err))
		return -1;
	for (i = 0; i < ARRAY_SIZE(kept) - !gold; i++)
		if (path_exists(from, kept[i]) && path_share_tree(from, kept[i], to, kept[i], err))
			return -1;
	return 0;
}

static int add_share(struct packer *p, const struct trial *t, json_t *entry, struct err *err)
{
	const bool gold = !strcmp(t->agent, "oracle");
	AUTO(free) char *key = xasprintf("%s %s", gold ? "oracle" : "agent", t->task_snapshot);
	AUTO(free) char *share = xasprintf(DATA_PARCELS "/.share-%d", (int)getpid());
	json_t *made = json_object_get(p->made, key);
	struct parcel parcel;
	struct err ignored;

	if (!made) {
		int rc = make_share(p, t->task_snapshot, share, gold, err) ||
			 pack_tree(p, p->root_fd, share, &parcel, err);
		if (path_remove_tree(p->root_fd, share, rc ? &ignored : err) || rc)
			return err_wrap(err, "pack what the agent may see of %s", t->task_snapshot);
		made = json_object();
		json_put_str(made, "sha256", parcel.sha256);
		json_put_int(made, "bytes", parcel.bytes);
		json_put(p->made, key, made);
	}
	json_put(entry, "share", json_incref(made));
	return 0;
}

bool inputs_of_agent(const char *alone)
{
	return alone && !strcmp(alone, "agent");
}

void inputs_take_shares(json_t *inputs)
{
	size_t i;
	json_t *input;

	json_array_foreach (inputs, i, input) {
		json_t *share = json_object_get(input, "share");
		if (share)
			json_object_update(input, share);
	}
}

static int add_task(struct packer *p, const struct attempt *a, json_t *inputs, struct err *err)
{
	const struct trial *t = &a->trial;
	AUTO(free) char *pin = xasprintf(DATA_PINS "/%s.json", path_base(t->task_snapshot));
	struct repo_baseline baseline;
	struct task task;

	/* As the worker has it. */
	if (t->sandbox == SANDBOX_NONE && !t->evaluate && strcmp(t->agent, "oracle") != 0)
		return 0;
	if (add(p, t->task_snapshot, inputs, err))
		return -1;
	const size_t last = json_array_size(inputs) - 1;
	if (p->shares) {
		/* The entry itself is that of other trials, too: an oracle's share is another. */
		json_t *own = json_deep_copy(json_array_get(inputs, last));
		json_array_set_new(inputs, last, own);
		if (add_share(p, t, own, err))
			return -1;
	}
	if (t->sandbox == SANDBOX_NONE)
		return 0;
	if (task_load(&task, p->root_fd, t->task_snapshot, err))
		return err_wrap(err, "task %s", t->task_id);
	int rc = repo_baseline_get(&baseline, p->root_fd, &task, t->task_snapshot, NULL,
				   clock_mono_ms() + PREPARE_MS, err);
	task_release(&task);
	if (rc)
		return -1;
	rc = add(p, pin, inputs, err) || add(p, baseline.path, inputs, err) ? -1 : 0;
	repo_baseline_release(&baseline);
	return rc;
}

/* It is saved once, and that is kept in mind beside its record. What a power cut has shortened is
 * saved again: every node would refuse it for its hash. */
static int add_image_archive(struct packer *p, const char *record, const struct image *image,
			     json_t *inputs, struct err *err)
{
	AUTO(free) char *known = xasprintf("%s.parcel", record);
	AUTO(json) json_t *entry = NULL;
	struct err ignored;

	if (!json_read(&entry, p->root_fd, known, TRIAL_JSON_MAX, &ignored)) {
		AUTO(free)
		char *parcel = xasprintf(DATA_PARCELS "/%s.tar", json_get_str(entry, "sha256", ""));
		struct stat st;
		if (!fstatat(p->root_fd, parcel, &st, AT_SYMLINK_NOFOLLOW) &&
		    st.st_size == json_get_int(entry, "bytes", -1)) {
			json_array_append(inputs, entry);
			return 0;
		}
	}
	AUTO(free) char *archive = NULL;
	int rc = node_image_save(&archive, p->root_fd, record, image->engine, image->id, err) ||
				 add(p, archive, inputs, err)
			 ? -1
			 : 0;
	unlinkat(p->root_fd, archive, 0);
	if (rc)
		return -1;
	json_t *made = json_array_get(inputs, json_array_size(inputs) - 1);
	json_put_str(made, "image", image->id);
	return json_write(p->root_fd, known, made, false, err);
}

static int add_image(struct packer *p, const struct trial *t, json_t *inputs, struct err *err)
{
	struct image image;

	if (t->sandbox != SANDBOX_DOCKER)
		return 0;
	if (image_read(&image, p->root_fd, t->image, t->image_id, err))
		return err_wrap(err, "the image of task %s", t->task_id);
	AUTO(free) char *record = image_path(t->image, image.id);
	AUTO(free) char *latest = image_path(t->image, NULL);
	int rc = add(p, latest, inputs,
		     err) || (!*image.error && (add(p, record, inputs, err) ||
						add_image_archive(p, record, &image, inputs, err)))
			 ? -1
			 : 0;
	image_release(&image);
	return rc;
}

static int collect(struct packer *p, const struct attempt *a, json_t *inputs, struct err *err)
{
	return add_task(p, a, inputs, err) || add_image(p, &a->trial, inputs, err) ||
			       add_mounts(p, a->agent_spec, "mounts", inputs, err) ||
			       add_mounts(p, a->tools, "mounts", inputs, err) ||
			       add_mounts(p, a->tools, "caches", inputs, err) ||
			       add_attempt(p, a, a->agent_from, inputs, err) ||
			       (a->grades_from != a->agent_from &&
				add_attempt(p, a, a->grades_from, inputs, err)) ||
			       (a->replay && add(p, a->replay, inputs, err))
		       ? -1
		       : 0;
}

int inputs_pack(struct packer *p, const char *dir, const char *keys, const char *door, json_t **out,
		struct err *err)
{
	AUTO(free) char *trial = path_join(dir, ATTEMPT_TRIAL);
	AUTO(free) char *travel = path_join(dir, ATTEMPT_TRAVEL);
	AUTO(json) json_t *j = NULL;
	AUTO(json) json_t *made = json_object();
	json_t *inputs = json_array();
	struct attempt a;

	json_put_int(made, "v", 1);
	json_put(made, "inputs", inputs);
	if (json_read(&j, p->root_fd, trial, TRIAL_JSON_MAX, err) ||
	    attempt_from_json(&a, j, trial, err))
		return -1;
	AUTO(free) char *token = xasprintf("%s.%d", a.trial.run_id, a.number);
	json_put_str(made, "token", token);
	json_put_str(made, "dir", dir);
	if (a.gateway && keys)
		json_put_str(made, "keys", keys);
	if (a.gateway && door)
		json_put_str(made, "door", door);
	int rc = collect(p, &a, inputs, err) || json_write(p->root_fd, travel, made, false, err)
			 ? -1
			 : 0;
	attempt_release(&a);
	if (!rc)
		*out = STEAL(&made);
	return rc;
}

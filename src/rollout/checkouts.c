/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/checkouts.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/image.h"
#include "repo/own-copy.h"
#include "repo/repo.h"
#include "task/task.h"

#define START_MS 120000 /* to look up a branch */
#define TOLD_ONE_BY_ONE 12

struct place {
	const struct trial *trial;
	struct task task;
	struct image image;
};

static void auto_place(struct place *p)
{
	task_release(&p->task);
	image_release(&p->image);
}

char *checkouts_paths(const struct session *s, const char *key)
{
	AUTO(json) json_t *seen = json_object();
	AUTO(buf) struct buf out = BUF_INIT;
	struct err ignored = {0};
	struct task t;

	for (size_t i = 0; i < s->plan.n; i++) {
		const struct trial *trial = &s->plan.trials[i];
		if (strcmp(trial->image, key) || json_object_get(seen, trial->task_snapshot))
			continue;
		json_put_bool(seen, trial->task_snapshot, true);
		if (task_load(&t, s->store.root_fd, trial->task_snapshot, &ignored))
			continue;
		if (!t.harbor && !json_object_get(seen, t.layout.repo) &&
		    !strchr(t.layout.repo, '@'))
			buf_addf(&out, "@%s", t.layout.repo);
		json_put_bool(seen, t.layout.repo, true);
		task_release(&t);
	}
	return xstrdup(out.data);
}

static int look(const struct session *s, const struct place *p, const char *path, bool *known,
		struct own_copy *out, char **start, struct err *err)
{
	const char *key = image_copy(&p->image, path);

	*known = key != NULL;
	if (!key)
		return 0;
	if (repo_start_commit(start, s->store.root_fd, &p->task, clock_mono_ms() + START_MS, err))
		return err_wrap(err, "task %s", p->task.id);
	return own_copy_look(out, s->store.root_fd, key, *start, err);
}

/* The task says where it is. */
static int check_own(const struct session *s, const struct place *p, struct err *err)
{
	const char *path = p->task.layout.repo;
	struct own_copy copy = {0};
	AUTO(free) char *start = NULL;
	bool known;

	if (look(s, p, path, &known, &copy, &start, err))
		return -1;
	if (!known || !copy.git || copy.commits)
		return 0;
	return err_set(err, ERR_USAGE, 0,
		       "task %s: repo.path is %s, and what the image of %s has there is a checkout "
		       "without the task's start commit %.12s",
		       p->task.id, path, p->image.name, start);
}

/* *FOUND: the image's WORKDIR is where the repository is; "" where it is not. */
static int choose(const struct session *s, const struct listener *l, const struct place *p,
		  bool quiet, char **found, struct err *err)
{
	const char *path = p->image.workdir, *why = NULL;
	struct task_layout layout = p->task.layout;
	struct own_copy copy = {0};
	AUTO(free) char *start = NULL;
	bool known = false;

	if (*path && strcmp(path, layout.repo) && look(s, p, path, &known, &copy, &start, err))
		return -1;
	if (!known || !copy.git)
		return 0;
	why = copy.commits ? task_layout_set_repo(&layout, path)
			   : "it does not have the task's start commit";
	if (why) {
		listener_say(l,
			     "task %s: its image has a checkout at its WORKDIR, %s, which is not "
			     "used: %s%s%.12s%s. Work and tests are at %s, and what is installed "
			     "from %s imports what is there",
			     p->task.id, path, why, copy.commits ? "" : " (",
			     copy.commits ? "" : start, copy.commits ? "" : ")",
			     p->task.layout.repo, path);
		return 0;
	}
	if (!quiet)
		listener_say(l, "task %s: the repository is where its image has it, %s", p->task.id,
			     path);
	free(*found);
	*found = xstrdup(path);
	return 0;
}

static int settle(const struct session *s, const struct listener *l, const struct trial *t,
		  bool quiet, char **found, struct err *err)
{
	AUTO(place) struct place p = {.trial = t};
	struct err ignored = {0};

	*found = xstrdup("");
	/* An image that is not there is its trials' own story. */
	if (image_read(&p.image, s->store.root_fd, t->image, t->image_id, &ignored))
		return 0;
	if (task_load(&p.task, s->store.root_fd, t->task_snapshot, err))
		return -1;
	return strcmp(p.task.layout.repo, task_layout_prepared.repo)
		       ? check_own(s, &p, err)
		       : choose(s, l, &p, quiet, found, err);
}

int checkouts_settle(struct session *s, const struct listener *l, bool *changed, struct err *err)
{
	AUTO(json) json_t *settled = json_object();

	for (size_t i = 0; i < s->plan.n; i++) {
		struct trial *t = &s->plan.trials[i];
		AUTO(free) char *key = xasprintf("%s %s", t->task_snapshot, t->image_id);
		AUTO(free) char *found = NULL;
		if (trial_is_harbor(t) || t->sandbox != SANDBOX_DOCKER || !*t->image_id ||
		    *t->repo_path)
			continue;
		const char *known = json_get_str(settled, key, NULL);
		if (!known) {
			bool quiet = json_object_size(settled) >= TOLD_ONE_BY_ONE;
			if (settle(s, l, t, quiet, &found, err))
				return -1;
			json_put_str(settled, key, found);
			known = json_get_str(settled, key, "");
		}
		if (!*known)
			continue;
		free(t->repo_path);
		t->repo_path = xstrdup(known);
		*changed = true;
	}
	return 0;
}

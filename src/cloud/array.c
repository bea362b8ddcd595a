/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cloud/batch.h"
#include "core/datadir.h"
#include "core/driver.h"

void array_release(struct array *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct task *t = &a->tasks[i];
		for (size_t k = 0; k < t->n; k++) {
			free(t->trials[k].token);
			free(t->trials[k].dir);
			free(t->trials[k].how);
			json_decref(t->trials[k].cloud);
		}
		free(t->trials);
		free(t->why);
	}
	auto_fd(&a->dir_fd);
	json_decref(a->read);
	free(a->tasks);
	free(a->name);
	free(a->dir);
	free(a->job);
	free(a->heard);
	*a = (struct array){.dir_fd = -1};
}

/* "runs/RUN_ID/attempts/N" -> "RUN_ID.N" */
static char *token_of(const char *dir)
{
	AUTO(free) char *attempts = path_folder(dir);
	AUTO(free) char *run = path_folder(attempts);

	return xasprintf("%s.%s", path_base(run), path_base(dir));
}

void array_fill(struct array *a, const json_t *lists)
{
	size_t i, k;
	json_t *list, *dir;

	a->n = json_array_size(lists);
	a->tasks = xcalloc(a->n ? a->n : 1, sizeof *a->tasks);
	a->read = json_object();
	json_array_foreach (lists, i, list) {
		struct task *t = &a->tasks[i];
		t->n = json_array_size(list);
		t->trials = xcalloc(t->n ? t->n : 1, sizeof *t->trials);
		json_array_foreach (list, k, dir) {
			t->trials[k].dir = xstrdup(json_string_value(dir));
			t->trials[k].token = token_of(t->trials[k].dir);
		}
	}
}

struct array *array_keep(struct batch *b, struct array *a)
{
	GROW(b->arrays, b->n, b->cap);
	b->arrays[b->n] = *a;
	return &b->arrays[b->n++];
}

/* Everything that a killed program would have to know is on disk before Batch is asked. */
struct array *array_new(struct batch *b, const json_t *lists, struct err *err)
{
	struct array a = {.dir_fd = -1};
	unsigned char noise[6];
	AUTO(json) json_t *j = json_object();

	if (getrandom(noise, sizeof noise, 0) != sizeof noise)
		bug("no randomness");
	a.name = xasprintf("%02x%02x%02x%02x%02x%02x", noise[0], noise[1], noise[2], noise[3],
			   noise[4], noise[5]);
	a.dir = path_join(b->state, a.name);
	json_put_int(j, "v", 1);
	json_put_str(j, "storage", b->settings.storage);
	json_put(j, "tasks", json_incref((json_t *)lists));
	array_fill(&a, lists);
	if (mkdir(a.dir, 0700)) {
		err_set(err, ERR_INFRA, errno, "make directory %s", a.dir);
	} else {
		a.dir_fd = open(a.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (a.dir_fd < 0)
			err_set(err, ERR_INFRA, errno, "open %s", a.dir);
		else if (!json_write(a.dir_fd, "array.json", j, true, err))
			return array_keep(b, &a);
	}
	array_release(&a);
	return NULL;
}

int array_set_job(struct array *a, const char *job, struct err *err)
{
	char *named = xstrdup(job); /* before what it may be is freed */

	free(a->job);
	a->job = named;
	return path_write(a->dir_fd, "job", named, strlen(named), 0600, true, err);
}

char *array_child(const struct array *a, const struct task *t)
{
	return a->n > 1 ? xasprintf("%s:%zu", a->job ? a->job : "", (size_t)(t - a->tasks))
			: xstrdup(a->job ? a->job : "");
}

struct trial_ref *array_find(const struct batch *b, const char *token, struct array **a,
			     struct task **t)
{
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; k < b->arrays[i].n; k++)
			for (size_t m = 0; m < b->arrays[i].tasks[k].n; m++) {
				struct trial_ref *r = &b->arrays[i].tasks[k].trials[m];
				if (strcmp(r->token, token) != 0)
					continue;
				*a = &b->arrays[i];
				*t = &b->arrays[i].tasks[k];
				return r;
			}
	return NULL;
}

void array_done(struct batch *b, const char *token)
{
	struct array *a;
	struct task *t;
	struct trial_ref *r = array_find(b, token, &a, &t);
	struct err err;

	if (!r)
		return;
	r->done = true;
	if (r->cloud) {
		AUTO(free) char *path = path_join(r->dir, ATTEMPT_CLOUD);
		if (json_write(b->data_fd, path, r->cloud, false, &err))
			driver_note("%s", err.msg);
	}
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->tasks[i].n; k++)
			if (!a->tasks[i].trials[k].done)
				return;
	if (path_remove_tree(AT_FDCWD, a->dir, &err))
		driver_note("%s", err.msg);
	array_release(a);
	*a = b->arrays[--b->n];
}

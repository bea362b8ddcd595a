/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cloud/batch.h"
#include "core/driver.h"
#include "os/dir.h"

enum { ARRAY_JSON_MAX = 64 << 20 };

/* One that was written down, and not given up. */
static bool load(struct batch *b, const char *name)
{
	struct array a = {.dir_fd = -1};
	AUTO(json) json_t *j = NULL;
	AUTO(buf) struct buf job = BUF_INIT;
	struct err err;

	a.name = xstrdup(name);
	a.dir = path_join(b->state, name);
	a.dir_fd = open(a.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a.dir_fd < 0 || path_exists(a.dir_fd, "void") ||
	    json_read(&j, a.dir_fd, "array.json", ARRAY_JSON_MAX, &err)) {
		array_release(&a);
		return false;
	}
	array_fill(&a, json_object_get(j, "tasks"));
	if (!path_read(a.dir_fd, "job", 1024, &job, &err) && job.len)
		a.job = xstrdup(job.data);
	if (!a.job && submit_find(b, &a, &a.job, &err)) {
		/* It may be submitted yet, by a program that was slow to die: it must not run then. */
		if (path_write(a.dir_fd, "void", "", 0, 0600, true, &err) ||
		    upload_forget(b, &a, &err))
			driver_note("%s", err.msg);
		array_release(&a);
		return false;
	}
	if (array_set_job(&a, a.job ? a.job : "", &err))
		driver_note("%s", err.msg);
	array_keep(b, &a);
	return true;
}

/* Which array folder holds TOKEN, where nobody wrote its name down. */
static bool load_holder(struct batch *b, const char *token)
{
	AUTO(dir) DIR *d = opendir(b->state);
	struct array *a;
	struct task *t;

	for (struct dirent *e; d && (e = readdir(d));) {
		bool known = *e->d_name == '.';
		for (size_t k = 0; k < b->n; k++)
			known |= !strcmp(b->arrays[k].name, e->d_name);
		if (!known && load(b, e->d_name) && array_find(b, token, &a, &t))
			return true;
	}
	return false;
}

bool array_attach(struct batch *b, const char *token, const char *name)
{
	const char *at = name ? strrchr(name, '@') : NULL;
	struct array *a;
	struct task *t;
	struct trial_ref *r = array_find(b, token, &a, &t);

	if (!r && at && load(b, at + 1))
		r = array_find(b, token, &a, &t);
	if (!r && load_holder(b, token))
		r = array_find(b, token, &a, &t);
	if (!r)
		return false;
	r->attached = true;
	upload_remember(b, r->dir);
	say_submitted(a, t, r);
	return true;
}

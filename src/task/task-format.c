/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/task-format.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "task/files.h"

static const struct task_format *const formats[] = {&task_prepared, &task_harbor};

/* A folder of no format is told what the first one misses in it. */
static const struct task_format *format_of(int dir_fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (path_exists(dir_fd, formats[i]->file))
			return formats[i];
	return formats[0];
}

static int read_folder(struct task *t, const struct task_source *src, struct issues *m,
		       struct err *err)
{
	t->dir = realpath(src->dir, NULL);
	AUTO(fd) int fd = t->dir ? open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0) {
		int why = errno;
		issues_add(m, formats[0]->file, NULL, "cannot open its folder: %s", strerror(why));
		return err_set(err, ERR_USAGE, why, "task folder %s", src->dir);
	}
	if (format_of(fd)->read(t, src, fd, m, err))
		return -1;
	if (m->n)
		return err_set(err, ERR_USAGE, 0, "task %s: %zu mistake%s", src->dir, m->n,
			       m->n == 1 ? "" : "s");
	task_hash(t);
	return 0;
}

void task_stand_in(struct task *out, const char *dir)
{
	struct task t = {.layout = task_layout_prepared, .files = xcalloc(1, sizeof *t.files)};

	t.dir = realpath(dir, NULL);
	t.id = xstrdup(path_base(dir));
	t.title = xstrdup(t.id);
	t.repo.git_url = xstrdup("");
	t.steps = xcalloc(1, sizeof *t.steps);
	t.steps_n = 1;
	t.steps[0].name = xstrdup("");
	t.steps[0].instruction = xstrdup("");
	hash_once(dir, strlen(dir), t.hash);
	*out = t;
}

int task_read(struct task *out, const struct task_source *src, struct strv *issues, struct err *err)
{
	struct task t = {.files = xcalloc(1, sizeof *t.files)};
	struct issues m = {issues, 0};
	int rc = read_folder(&t, src, &m, err);

	if (m.n > ISSUES_MAX)
		strv_pushf(issues, "and %zu more mistakes", m.n - ISSUES_MAX);
	if (rc)
		task_release(&t);
	else
		*out = t;
	return rc;
}

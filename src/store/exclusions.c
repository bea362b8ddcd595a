/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/exclusions.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

#define VERSION 1
#define MAX_BYTES (64 << 20)

static void release_one(struct exclusion *e)
{
	free(e->run_id);
	free(e->reason);
	free(e->by);
	free(e->time);
}

static void drop(struct exclusions *all, const char *run_id)
{
	for (size_t i = 0; i < all->n; i++) {
		if (strcmp(all->v[i].run_id, run_id) != 0)
			continue;
		release_one(&all->v[i]);
		memmove(&all->v[i], &all->v[i + 1], (all->n - i - 1) * sizeof *all->v);
		all->n--;
		return;
	}
}

/* The later one of two holds. */
static void apply(struct exclusions *all, const json_t *line)
{
	const char *run_id = json_get_str(line, "run", "");

	drop(all, run_id);
	if (!*run_id || json_get_bool(line, "undo", false))
		return;
	all->v = xreallocarray(all->v, all->n + 1, sizeof *all->v);
	all->v[all->n++] = (struct exclusion){.run_id = xstrdup(run_id),
					      .reason = xstrdup(json_get_str(line, "reason", "")),
					      .by = xstrdup(json_get_str(line, "by", "")),
					      .time = xstrdup(json_get_str(line, "time", ""))};
}

static int read_text(struct buf *text, int dir_fd, const char *where, struct err *err)
{
	if (path_exists(dir_fd, ROLLOUT_EXCLUDED) &&
	    path_read(dir_fd, ROLLOUT_EXCLUDED, MAX_BYTES, text, err))
		return err_wrap(err, "%s", where);
	return 0;
}

int exclusions_read(struct exclusions *out, int dir_fd, const char *where, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct exclusions all = {0};
	int number = 0;

	if (read_text(&text, dir_fd, where, err))
		return -1;
	for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
		AUTO(json) json_t *j = json_loads(line, 0, NULL);
		number++;
		if (!*line)
			continue;
		/* To leave it out would count a trial that somebody wants not to count. */
		if (!json_is_object(j) || json_get_int(j, "v", 0) > VERSION) {
			exclusions_release(&all);
			return err_set(err, ERR_USAGE, 0,
				       "%s/" ROLLOUT_EXCLUDED
				       ":%d: not a line that rollouts wrote; "
				       "remove it and exclude the run again",
				       where, number);
		}
		apply(&all, j);
	}
	*out = all;
	return 0;
}

/* Two who exclude at the same time wait for each other. */
static int lock(int dir_fd, struct err *err)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX)) {
		if (fd >= 0)
			close(fd);
		return err_set(err, ERR_INFRA, errno, "lock the folder of the rollout");
	}
	return fd;
}

int exclusions_add(int dir_fd, const char *where, const struct strv *run_ids, const char *reason,
		   const char *by, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char now[CLOCK_STAMP + 8];
	AUTO(fd) int held = lock(dir_fd, err);

	if (held < 0 || read_text(&text, dir_fd, where, err))
		return -1;
	clock_iso(clock_wall_ms(), now);
	for (size_t i = 0; i < run_ids->n; i++) {
		AUTO(json) json_t *j = json_object();
		json_put_int(j, "v", VERSION);
		json_put_str(j, "time", now);
		json_put_str(j, "by", by);
		json_put_str(j, "run", run_ids->v[i]);
		if (reason)
			json_put_str(j, "reason", reason);
		else
			json_put_bool(j, "undo", true);
		json_format(&text, j, false);
		buf_addc(&text, '\n');
	}
	return path_write(dir_fd, ROLLOUT_EXCLUDED, text.data, text.len, 0644, true, err);
}

const struct exclusion *exclusions_find(const struct exclusions *e, const char *run_id)
{
	for (size_t i = 0; i < e->n; i++)
		if (strcmp(e->v[i].run_id, run_id) == 0)
			return &e->v[i];
	return NULL;
}

void exclusions_release(struct exclusions *e)
{
	for (size_t i = 0; i < e->n; i++)
		release_one(&e->v[i]);
	free(e->v);
	*e = (struct exclusions){0};
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/replay.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "store/planfile.h"
#include "store/progress.h"

/* The rollout that is replayed. */
struct source {
	struct store store;
	struct rollout_ref ref;
	struct planfile plan;
	struct trial_progress *progress;
	const struct trial **by_key; /* sorted */
};

static int compare(const void *a, const void *b)
{
	const struct trial *const *x = a, *const *y = b;
	return strcmp((*x)->key, (*y)->key);
}

static int read_source(struct source *s, struct err *err)
{
	struct journal_stats stats;
	AUTO(fd)
	int dir = openat(s->store.root_fd, s->ref.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_set(err, ERR_INFRA, errno, "open %s/%s", s->store.root, s->ref.path);
	if (planfile_read(&s->plan, dir, s->ref.path, err))
		return -1;
	s->progress = xcalloc(s->plan.n + 1, sizeof *s->progress);
	s->by_key = xcalloc(s->plan.n + 1, sizeof *s->by_key);
	if (progress_read(s->progress, s->plan.trials, s->plan.n, dir, JOURNAL_PROGRESS, NULL, NULL,
			  &stats, err))
		return -1;
	for (size_t i = 0; i < s->plan.n; i++)
		s->by_key[i] = &s->plan.trials[i];
	qsort(s->by_key, s->plan.n, sizeof *s->by_key, compare);
	return 0;
}

static int open_source(struct source *s, const char *data_dir, const char *selector,
		       struct err *err)
{
	const char *at = strrchr(selector, '@');
	AUTO(free) char *name = xstrndup(selector, at ? (size_t)(at - selector) : strlen(selector));

	*s = (struct source){.store.root_fd = -1};
	if (store_open(&s->store, data_dir ? data_dir : "data", false, err) ||
	    store_find(&s->store, name, at ? at + 1 : NULL, &s->ref, err) || read_source(s, err))
		return err_wrap(err, "--replay %s", selector);
	return 0;
}

static void close_source(struct source *s)
{
	for (size_t i = 0; s->progress && i < s->plan.n; i++)
		progress_release(&s->progress[i]);
	free(s->progress);
	free(s->by_key);
	planfile_release(&s->plan);
	rollout_ref_release(&s->ref);
	if (s->store.root)
		store_close(&s->store);
}

static char *recording_of(const struct source *s, const struct trial *t)
{
	const struct trial **found = bsearch(&t, s->by_key, s->plan.n, sizeof *s->by_key, compare);
	const struct trial_progress *m = found ? &s->progress[*found - s->plan.trials] : NULL;

	if (!m || !m->agent_committed)
		return NULL;
	char *path = datadir_attempt_file((*found)->run_id, m->agent_committed, ATTEMPT_RECORDING);
	if (path_exists(s->store.root_fd, path))
		return path;
	free(path);
	return NULL;
}

static int missing(const struct source *s, const char *selector, const struct trial *t,
		   struct err *err)
{
	return err_set(err, ERR_USAGE, 0,
		       "--replay %s: %s/%s has no recording for task %s, model %s, rollout %d; "
		       "--replay-or-live asks the provider where there is none",
		       selector, s->store.root, s->ref.path, t->task_id, t->model, t->rollout);
}

int replay_find(char ***out, const char *data_dir, const char *selector, const struct trial *trials,
		size_t n, bool live, struct err *err)
{
	struct source s;
	char **paths = xcalloc(n + 1, sizeof *paths);
	int rc = open_source(&s, data_dir, selector, err);

	for (size_t i = 0; i < n && !rc; i++) {
		if (!*trials[i].provider)
			continue;
		paths[i] = recording_of(&s, &trials[i]);
		if (!paths[i] && !live)
			rc = missing(&s, selector, &trials[i], err);
	}
	close_source(&s);
	if (rc)
		replay_free(paths, n);
	else
		*out = paths;
	return rc;
}

void replay_free(char **paths, size_t n)
{
	for (size_t i = 0; paths && i < n; i++)
		free(paths[i]);
	free(paths);
}

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
	const struct trial **sorted;
};

/* Not by key, which holds the hash of the task: a test or a rubric may have been corrected since. */
static int compare(const void *a, const void *b)
{
	const struct trial *x = *(const struct trial *const *)a,
			   *y = *(const struct trial *const *)b;
	const char *const pairs[][2] = {{x->task_id, y->task_id},
					{x->variant, y->variant},
					{x->agent, y->agent},
					{x->model, y->model}};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		int order = strcmp(pairs[i][0], pairs[i][1]);
		if (order)
			return order;
	}
	return (x->rollout > y->rollout) - (x->rollout < y->rollout);
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
	s->sorted = xcalloc(s->plan.n + 1, sizeof *s->sorted);
	if (progress_read(s->progress, s->plan.trials, s->plan.n, dir, JOURNAL_PROGRESS, NULL, NULL,
			  &stats, err))
		return -1;
	for (size_t i = 0; i < s->plan.n; i++)
		s->sorted[i] = &s->plan.trials[i];
	qsort(s->sorted, s->plan.n, sizeof *s->sorted, compare);
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
	free(s->sorted);
	planfile_release(&s->plan);
	rollout_ref_release(&s->ref);
	if (s->store.root)
		store_close(&s->store);
}

/* Where several folders hold tasks of one id, the same task or else the same folder is meant. */
static const struct trial *counterpart(const struct source *s, const struct trial *t)
{
	const struct trial **any = bsearch(&t, s->sorted, s->plan.n, sizeof *s->sorted, compare);
	const struct trial **end = s->sorted + s->plan.n, *folder = NULL;

	if (!any)
		return NULL;
	while (any > s->sorted && compare(any - 1, &t) == 0)
		any--;
	const struct trial *first = *any;
	for (; any < end && compare(any, &t) == 0; any++) {
		if (!strcmp((*any)->key, t->key))
			return *any;
		if (!folder && !strcmp((*any)->task_dir, t->task_dir))
			folder = *any;
	}
	return folder ? folder : first;
}

static char *recording_of(const struct source *s, const struct trial *t)
{
	const struct trial *found = counterpart(s, t);
	int attempt = found ? s->progress[found - s->plan.trials].agent_committed : 0;

	/* One that only graded may have none of its own. */
	for (; attempt > 0; attempt--) {
		char *path = datadir_attempt_file(found->run_id, attempt, ATTEMPT_RECORDING);
		if (path_exists(s->store.root_fd, path))
			return path;
		free(path);
	}
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
		size_t n, bool live, struct strv *notes, struct err *err)
{
	size_t asking = 0, recorded = 0;
	struct source s;
	char **paths = xcalloc(n + 1, sizeof *paths);
	int rc = open_source(&s, data_dir, selector, err);

	for (size_t i = 0; i < n && !rc; i++) {
		if (!*trials[i].provider)
			continue;
		paths[i] = recording_of(&s, &trials[i]);
		asking++;
		recorded += paths[i] != NULL;
		if (!paths[i] && !live)
			rc = missing(&s, selector, &trials[i], err);
	}
	close_source(&s);
	if (!rc && live)
		strv_pushf(
			notes,
			"replay: %zu of %zu trials have a recording; %zu ask the provider from the "
			"start, the others from where they differ",
			recorded, asking, asking - recorded);
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

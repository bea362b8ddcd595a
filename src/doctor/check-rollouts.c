/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether what the data folder holds can be graded again and gone on with: it may have been carried here in parts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "doctor/check.h"
#include "store/store.h"

/* "3 run folders missing (RUN_ID, ...)". */
static void add_part(struct buf *out, size_t n, const char *one, const char *many,
		     const char *state, const char *example)
{
	if (n)
		buf_addf(out, "%s%zu %s %s (%s%s)", out->len ? "; " : "", n, n == 1 ? one : many,
			 state, example, n == 1 ? "" : ", ...");
}

struct missing {
	size_t n;
	const char *first; /* borrowed */
};

static void count(struct missing *m, const char *name)
{
	if (!m->n++)
		m->first = name;
}

/* Nothing is added for a rollout that has all it needs: true. */
static bool check_rollout(struct checks *c, const struct store *s, const struct rollout *r)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *seen = json_object();
	struct missing runs = {0}, tasks = {0}, closed = {0};

	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		AUTO(free) char *run = path_join(DATA_RUNS, RUN_ID(t));
		if (t->attempts && !path_exists(s->root_fd, run))
			count(&runs, RUN_ID(t));
		else if (t->attempts && faccessat(s->root_fd, run, W_OK | X_OK, AT_EACCESS))
			count(&closed, RUN_ID(t));
		if (!json_object_get(seen, t->shared->task_snapshot) &&
		    !path_exists(s->root_fd, t->shared->task_snapshot))
			count(&tasks, t->shared->task_id);
		json_put_bool(seen, t->shared->task_snapshot, true);
	}
	add_part(&text, runs.n, "run folder", "run folders", "missing", runs.first);
	add_part(&text, tasks.n, "task's snapshot", "tasks' snapshots", "missing", tasks.first);
	add_part(&text, closed.n, "run folder", "run folders", "not ours to write to",
		 closed.first);
	add_part(&text, r->strangers, "run folder", "run folders", "of another rollout",
		 r->stranger);
	if (!text.len)
		return true;
	check_add(c, CHECK_LESS, "rollouts", "see \"A data folder elsewhere\" in docs/running.md",
		  "%s %s: %s", r->ref.name, r->ref.stamp, text.data);
	return false;
}

void check_rollouts(struct checks *c)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0, whole = 0;
	struct store s;
	struct err err;

	if (access(c->data, F_OK))
		return;
	if (store_open(&s, c->data, false, &err)) {
		check_add_error(c, CHECK_LESS, "rollouts", &err, NULL);
		return;
	}
	if (store_check_links(&s, &err) || store_list(&s, NULL, &refs, &n, &err))
		check_add_error(c, CHECK_LESS, "rollouts", &err, NULL);
	for (size_t i = 0; i < n; i++) {
		struct rollout r;
		if (rollout_load(&r, &s, &refs[i], &err)) {
			check_add_error(c, CHECK_LESS, "rollouts", &err, NULL);
		} else {
			whole += check_rollout(c, &s, &r);
			rollout_release(&r);
		}
		rollout_ref_release(&refs[i]);
	}
	free(refs);
	if (n)
		check_add(c, CHECK_OK, "data", NULL,
			  "%s: %zu of %zu rollout%s with all that grading and resume need", c->data,
			  whole, n, n == 1 ? "" : "s");
	store_close(&s);
}

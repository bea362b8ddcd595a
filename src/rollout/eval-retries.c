/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/eval-retries.h"
#include "base/cleanup.h"
#include "base/mem.h"

/* Those of FROM that are to be graded for the ROUND-th time again. */
static size_t late_items(const struct session *s, const struct sched_options *from, int round,
			 struct sched_item *items)
{
	size_t n = 0;

	for (size_t i = 0; i < from->items_n; i++) {
		const struct sched_item *item = &from->items[i];
		const struct trial_progress *p = &s->progress[item->index];
		if (!p->late || !p->agent_committed ||
		    s->plan.trials[item->index].eval_retries < round)
			continue;
		items[n] = *item;
		items[n].agent_from = p->agent_committed;
		/* The tests were late, and not who judges or rates. */
		items[n].grades_from = p->result_attempt;
		items[n].keep_judge = true;
		items[n].keep_tests = false;
		items[n].ratings = NULL;
		items[n++].regrade = true;
	}
	return n;
}

int eval_retries_run(const struct session *s, const struct sched_options *o,
		     const struct listener *l, struct sched_end *end, struct err *err)
{
	AUTO(free) struct sched_item *items = xcalloc(o->items_n + 1, sizeof *items);
	struct sched_options alone = *o;
	size_t n;

	alone.items = items;
	alone.parallel = 1;
	alone.listener = NULL; /* it counts trials, which have ended */
	alone.on_done = NULL;
	for (int round = 1; end->why == SCHED_DONE && (n = late_items(s, o, round, items));
	     round++) {
		struct sched_end again;
		listener_say(
			l,
			"%zu grading%s timed out while the machine was busy: once more, one at a "
			"time",
			n, n == 1 ? "" : "s");
		alone.items_n = n;
		if (sched_run(&alone, &again, err))
			return -1;
		if (*again.underived)
			memcpy(end->underived, again.underived, sizeof end->underived);
		if (again.why == SCHED_INTERRUPTED)
			end->why = again.why;
	}
	return 0;
}

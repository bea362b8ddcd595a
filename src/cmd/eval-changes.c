/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/eval-changes.h"
#include <math.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "stats/paired.h"

enum { SHOWN = 20 };

/* Scores of the trials of one task that have one both times. */
struct pair {
	double before, after;
	size_t n;
};

struct changes {
	json_t *tasks; /* id -> its place in pairs */
	struct pair *pairs;
	size_t n, cap;
	size_t compared, up, down, gained, lost;
	double before, after; /* sums */
	struct buf lines;
	size_t shown;
};

static struct pair *pair_of(struct changes *c, const char *task)
{
	const json_t *known = json_object_get(c->tasks, task);

	if (known)
		return &c->pairs[json_integer_value(known)];
	json_put_int(c->tasks, task, (int64_t)c->n);
	GROW(c->pairs, c->n, c->cap);
	c->pairs[c->n] = (struct pair){0};
	return &c->pairs[c->n++];
}

static void show(struct changes *c, const json_t *j, const json_t *old, const json_t *now)
{
	AUTO(buf) struct buf task = BUF_INIT;

	if (c->shown++ >= SHOWN)
		return;
	text_renders(&task, json_get_str(j, "task_id", ""), TEXT_TERMINAL_LINE);
	buf_addf(&c->lines, "  %s  %s  ", task.data, json_get_str(j, "run_id", ""));
	if (json_is_number(old))
		buf_addf(&c->lines, "%.3f", json_number_value(old));
	else
		buf_adds(&c->lines, "not scored");
	if (json_is_number(now))
		buf_addf(&c->lines, " -> %.3f\n", json_number_value(now));
	else
		buf_adds(&c->lines, " -> not scored\n");
}

static void add(struct changes *c, const json_t *from, const json_t *to)
{
	const json_t *old = json_object_get(from, "total_score"),
		     *now = json_object_get(to, "total_score");
	double a = json_number_value(old), b = json_number_value(now);

	if (json_get_int(from, "attempt", 0) == json_get_int(to, "attempt", 0))
		return; /* not graded this time */
	c->gained += !json_is_number(old) && json_is_number(now);
	c->lost += json_is_number(old) && !json_is_number(now);
	if (json_is_number(old) != json_is_number(now))
		show(c, to, old, now);
	if (!json_is_number(old) || !json_is_number(now))
		return;
	struct pair *p = pair_of(c, json_get_str(to, "task_id", ""));
	p->before += a;
	p->after += b;
	p->n++;
	c->compared++;
	c->before += a;
	c->after += b;
	c->up += b > a;
	c->down += b < a;
	if (b != a)
		show(c, to, old, now);
}

static void add_difference(struct buf *out, const struct changes *c)
{
	AUTO(free) double *d = xcalloc(c->n + 1, sizeof *d);
	struct stats_difference diff;
	double inverse = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct pair *p = &c->pairs[i];
		d[i] = (p->after - p->before) / (double)p->n;
		inverse += 1 / (double)p->n / (double)c->n;
	}
	stats_paired_default(&diff, &(struct stats_pairs){.d = d, .n = c->n, .inverse_k = inverse},
			     0.95);
	buf_addf(out, "mean of the same %zu trial%s %.3f -> %.3f, difference over %zu task%s %+.3f",
		 c->compared, c->compared == 1 ? "" : "s", c->before / (double)c->compared,
		 c->after / (double)c->compared, c->n, c->n == 1 ? "" : "s", diff.mean);
	if (!isnan(diff.low))
		buf_addf(out, " (95 %% interval %+.3f to %+.3f)", diff.low, diff.high);
	buf_addc(out, '\n');
}

void eval_changes(struct buf *out, const json_t *before, const json_t *after)
{
	struct changes c = {.lines = BUF_INIT, .tasks = json_object()};
	size_t n = json_array_size(after);

	for (size_t i = 0; i < n && i < json_array_size(before); i++)
		add(&c, json_array_get(before, i), json_array_get(after, i));
	buf_addf(out, "changed by this evaluation: %zu up, %zu down, %zu as before", c.up, c.down,
		 c.compared - c.up - c.down);
	if (c.gained)
		buf_addf(out, ", %zu scored that was not", c.gained);
	if (c.lost)
		buf_addf(out, ", %zu no longer scored", c.lost);
	buf_addc(out, '\n');
	buf_add(out, c.lines.data, c.lines.len);
	if (c.shown > SHOWN)
		buf_addf(out, "  and %zu more\n", c.shown - SHOWN);
	if (c.compared)
		add_difference(out, &c);
	buf_release(&c.lines);
	json_decref(c.tasks);
	free(c.pairs);
}

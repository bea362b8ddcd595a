/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page/timeline.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "model/call-log.h"
#include "page/charts.h"
#include "page/svg.h"
#include "report/doc.h"
#include "store/journal.h"

enum {
	PARTS = 6, /* the phases, and PART_WAIT */
	PART_WAIT = 5,
	LISTED_MAX = 200, /* attempts in the table */
	SLOTS_MAX = 400,
	CALL_LOG_MAX = 16 << 20,
};

#define WIDTH 900.0
#define LEFT 40.0

static const char *const parts[PARTS] = {PHASE_PREPARE, PHASE_SANDBOX,	"agent",
					 PHASE_COLLECT, PHASE_EVALUATE, "waiting for quota"};

struct stretch {
	int part;
	int64_t from, to;
};

/* One attempt, in milliseconds since the epoch. */
struct lane {
	size_t trial;
	int attempt;
	int64_t from, to; /* to: 0, it has not ended, by the journal */
	int phase;	  /* the part it is in; -1: none */
	int64_t phase_from;
	size_t slot;
};

/* A night between two sessions would leave no room for what ran: of such a time all but a little is cut out. */
struct gap {
	int64_t from, to, cut; /* from and to: since the epoch */
};

struct timeline {
	const struct rollout *r;
	const struct rollout_ref *ref;
	struct lane *lanes;
	size_t lanes_n, lanes_cap;
	struct stretch_of {
		size_t lane;
		struct stretch s;
	} * stretches;
	size_t stretches_n, stretches_cap;
	json_t *running; /* run id -> number of its lane */
	json_t *trials;	 /* run id -> index of its trial */
	int64_t first, last;
	size_t slots;
	struct gap *gaps; /* in their order */
	size_t gaps_n, gaps_cap;
};

static void add_stretch(struct timeline *t, size_t lane, int part, int64_t from, int64_t to)
{
	if (part < 0 || to <= from)
		return;
	GROW(t->stretches, t->stretches_n, t->stretches_cap);
	t->stretches[t->stretches_n++] = (struct stretch_of){lane, {part, from, to}};
}

static void end_lane(struct timeline *t, size_t i, int64_t at)
{
	struct lane *l = &t->lanes[i];

	if (l->to)
		return;
	add_stretch(t, i, l->phase, l->phase_from, at);
	l->to = at > l->from ? at : l->from + 1;
	l->phase = -1;
}

static void on_started(struct timeline *t, const char *run, const json_t *line, int64_t wall)
{
	const json_t *old = json_object_get(t->running, run);
	const json_t *trial = json_object_get(t->trials, run);

	if (!trial)
		return;
	if (old)
		end_lane(t, (size_t)json_integer_value(old), wall);
	GROW(t->lanes, t->lanes_n, t->lanes_cap);
	t->lanes[t->lanes_n] = (struct lane){.trial = (size_t)json_integer_value(trial),
					     .attempt = (int)json_get_int(line, "attempt", 1),
					     .from = wall,
					     .phase = 0,
					     .phase_from = wall};
	json_object_set_new(t->running, run, json_integer((json_int_t)t->lanes_n++));
}

static void on_phase(struct timeline *t, size_t lane, const char *phase, int64_t wall)
{
	struct lane *l = &t->lanes[lane];

	add_stretch(t, lane, l->phase, l->phase_from, wall);
	l->phase = -1;
	for (int i = 0; i < PART_WAIT; i++)
		if (strcmp(phase, parts[i]) == 0)
			l->phase = i;
	l->phase_from = wall;
}

static void on_line(void *arg, const json_t *line)
{
	struct timeline *t = arg;
	const char *event = json_get_str(line, "event", ""), *run = json_get_str(line, "run", "");
	int64_t wall = json_get_int(line, "wall", 0);

	if (wall <= 0)
		return;
	t->first = !t->first || wall < t->first ? wall : t->first;
	t->last = wall > t->last ? wall : t->last;
	if (strcmp(event, EVENT_STARTED) == 0) {
		on_started(t, run, line, wall);
		return;
	}
	const json_t *lane = json_object_get(t->running, run);
	if (!lane)
		return;
	if (strcmp(event, EVENT_PHASE) == 0) {
		on_phase(t, (size_t)json_integer_value(lane), json_get_str(line, "phase", ""),
			 wall);
	} else if (strcmp(event, EVENT_FINISHED) == 0 || strcmp(event, EVENT_INTERRUPTED) == 0) {
		end_lane(t, (size_t)json_integer_value(lane), wall);
		json_object_del(t->running, run);
	}
}

/* When its calls stood in the queue: told call by call in the attempt's log. */
static void add_waits(struct timeline *t, size_t lane, int root)
{
	const struct lane *l = &t->lanes[lane];
	const struct trial_status *trial = &t->r->trials[l->trial];
	AUTO(free)
	char *path = datadir_attempt_file(RUN_ID(trial), l->attempt, ATTEMPT_CALLS);
	AUTO(buf) struct buf text = BUF_INIT;
	struct logged_call c;
	struct err ignored;

	if (path_read_beneath(root, path, CALL_LOG_MAX, &text, &ignored))
		return;
	struct call_log_reader reader = {.at = text.data, .end = text.data + text.len};
	while (call_log_read(&reader, &c)) {
		int64_t to = c.at_ms + c.queued_ms;
		if (c.queued_ms > 0)
			add_stretch(t, lane, PART_WAIT, c.at_ms > l->from ? c.at_ms : l->from,
				    to < l->to ? to : l->to);
	}
	call_log_release(&reader);
}

/* The lowest slot that was free when it began. */
static void give_slots(struct timeline *t)
{
	AUTO(free) int64_t *free_from = xcalloc(t->lanes_n + 1, sizeof *free_from);

	for (size_t i = 0; i < t->lanes_n; i++) {
		size_t slot = 0;
		while (slot < t->slots && free_from[slot] > t->lanes[i].from)
			slot++;
		t->slots += slot == t->slots;
		t->lanes[i].slot = slot;
		free_from[slot] = t->lanes[i].to;
	}
}

static void find_gaps(struct timeline *t)
{
	int64_t busy = 0, end = t->first;

	for (size_t i = 0; i < t->lanes_n; i++) {
		const struct lane *l = &t->lanes[i];
		int64_t from = l->from > end ? l->from : end;
		busy += l->to > from ? l->to - from : 0;
		end = l->to > end ? l->to : end;
	}
	int64_t kept = busy / 25 > 1000 ? busy / 25 : 1000;
	end = t->first;
	for (size_t i = 0; i < t->lanes_n; i++) {
		const struct lane *l = &t->lanes[i];
		if (l->from - end > 4 * kept) {
			GROW(t->gaps, t->gaps_n, t->gaps_cap);
			t->gaps[t->gaps_n++] = (struct gap){end, l->from, l->from - end - kept};
		}
		end = l->to > end ? l->to : end;
	}
}

/* Milliseconds since its beginning, without what is cut. IN_GAP (may be NULL): whether WALL is in such a time. */
static double since_first(const struct timeline *t, int64_t wall, bool *in_gap)
{
	int64_t cut = 0;

	if (in_gap)
		*in_gap = false;
	for (size_t i = 0; i < t->gaps_n && t->gaps[i].from < wall; i++) {
		if (wall >= t->gaps[i].to) {
			cut += t->gaps[i].cut;
			continue;
		}
		if (in_gap)
			*in_gap = true;
		int64_t most = t->gaps[i].to - t->gaps[i].cut;
		wall = wall < most ? wall : most;
	}
	return (double)(wall - t->first - cut);
}

static int timeline_read(struct timeline *t, struct err *err)
{
	AUTO(fd) int root = open(t->r->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir = -1;
	struct journal_stats stats = {0};

	if (root < 0)
		return err_set(err, ERR_INFRA, 0, "%s cannot be read", t->r->root);
	dir = path_open_beneath(root, t->ref->path, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	for (size_t i = 0; i < t->r->trials_n; i++)
		json_object_set_new(t->trials, RUN_ID(&t->r->trials[i]),
				    json_integer((json_int_t)i));
	if (journal_read(dir, JOURNAL_ALL, on_line, t, &stats, err))
		return -1;
	for (size_t i = 0; i < t->lanes_n; i++)
		end_lane(t, i, t->last);
	give_slots(t);
	find_gaps(t);
	for (size_t i = 0; i < t->lanes_n; i++)
		add_waits(t, i, root);
	return 0;
}

static void timeline_release(struct timeline *t)
{
	free(t->lanes);
	free(t->stretches);
	free(t->gaps);
	json_decref(t->running);
	json_decref(t->trials);
}

static void draw_axis(struct buf *out, const struct timeline *t, const struct svg_scale *x,
		      double bottom)
{
	/* Round by the clock. */
	static const int64_t steps[] = {1000,	 5000,	  15000,    60000,    300000,  900000,
					3600000, 7200000, 21600000, 43200000, 86400000};
	double step = 86400000.0 * 7;

	for (size_t i = ARRAY_SIZE(steps); i-- > 0;)
		if ((x->high - x->low) / (double)steps[i] <= 10)
			step = (double)steps[i];
	for (int64_t i = 0; (double)i * step <= (double)(t->last - t->first); i++) {
		bool in_gap;
		double at = since_first(t, t->first + (int64_t)((double)i * step), &in_gap);
		if (in_gap)
			continue;
		char text[16];
		clock_human((int64_t)((double)i * step), text);
		svg_line(out, "grid", svg_at(x, at), 2, svg_at(x, at), bottom);
		svg_text(out, "axis", svg_at(x, at), bottom + 14, SVG_MIDDLE, 0, i ? text : "0");
	}
}

static void draw_gaps(struct buf *out, const struct timeline *t, const struct svg_scale *x,
		      double bottom)
{
	for (size_t i = 0; i < t->gaps_n; i++) {
		double at = svg_at(x, since_first(t, (t->gaps[i].from + t->gaps[i].to) / 2, NULL));
		svg_line(out, "gap", at, 2, at, bottom);
	}
}

/* Bars of one part; what begins where the one before it in its slot ended, by what can be seen, is one with it. */
static void draw_part(struct buf *out, const struct timeline *t, int part,
		      const struct svg_scale *x, double row)
{
	AUTO(free) double *drawn = xcalloc(t->slots + 1, sizeof *drawn);
	char class[8];

	snprintf(class, sizeof class, "p%d", part);
	svg_bars_begin(out, class);
	for (size_t i = 0; i < t->stretches_n; i++) {
		const struct stretch_of *s = &t->stretches[i];
		size_t slot = t->lanes[s->lane].slot;
		if (s->s.part != part || slot >= SLOTS_MAX)
			continue;
		double from = svg_at(x, since_first(t, s->s.from, NULL)),
		       to = svg_at(x, since_first(t, s->s.to, NULL));
		from = from < drawn[slot] ? drawn[slot] : from;
		to = to - from < 0.4 ? from + 0.4 : to;
		if (to <= drawn[slot] + 0.2)
			continue;
		bool wait = part == PART_WAIT;
		svg_bar(out, from, 4 + row * (double)slot + (wait ? row * 0.55 : 0), to - from,
			wait ? row * 0.35 : row * 0.85);
		drawn[slot] = to;
	}
	svg_bars_end(out);
}

static void draw_legend(struct buf *out, const int64_t total[PARTS], double y)
{
	double x = LEFT;

	for (int i = 0; i < PARTS; i++) {
		char class[8];
		if (!total[i])
			continue;
		snprintf(class, sizeof class, "p%d", i);
		svg_rect(out, class, x, y - 10, 12, 12, NULL);
		svg_text(out, "name", x + 17, y, SVG_START, 0, parts[i]);
		x += 17 + 7 * (double)strlen(parts[i]) + 16;
	}
}

static void add_time(struct table *t, int64_t ms)
{
	char text[16];

	clock_human(ms, text);
	table_text(t, text);
}

/* Each attempt where they are few; else each part over all of them. */
static void fill_table(struct table *out, const struct timeline *t, const int64_t total[PARTS])
{
	bool each = t->lanes_n <= LISTED_MAX;
	AUTO(free) int64_t *of = xcalloc(t->lanes_n * PARTS + 1, sizeof *of);

	for (size_t i = 0; i < t->stretches_n; i++)
		of[t->stretches[i].lane * PARTS + (size_t)t->stretches[i].s.part] +=
			t->stretches[i].s.to - t->stretches[i].s.from;
	table_column(out, each ? "run" : "part", TABLE_LEFT);
	table_column(out, each ? "slot" : "attempts", TABLE_RIGHT);
	table_column(out, each ? "began after" : "in all", TABLE_RIGHT);
	for (int k = 0; k < PARTS && each; k++)
		if (total[k])
			table_column(out, parts[k], TABLE_RIGHT);
	for (size_t i = 0; i < t->lanes_n && each; i++) {
		const struct lane *l = &t->lanes[i];
		table_textf(out, l->attempt > 1 ? "%s attempt %d" : "%s",
			    RUN_ID(&t->r->trials[l->trial]), l->attempt);
		table_int(out, (int64_t)l->slot + 1);
		add_time(out, l->from - t->first);
		for (int k = 0; k < PARTS; k++)
			if (total[k])
				add_time(out, of[i * PARTS + (size_t)k]);
	}
	for (int k = 0; k < PARTS && !each; k++) {
		if (!total[k])
			continue;
		table_text(out, parts[k]);
		table_int(out, (int64_t)t->lanes_n);
		add_time(out, total[k]);
	}
}

static void draw(struct buf *out, struct timeline *t, struct table *numbers)
{
	size_t slots = t->slots < SLOTS_MAX ? t->slots : SLOTS_MAX;
	const double row = slots <= 16 ? 16 : slots <= 64 ? 9 : 4, bottom = 6 + row * (double)slots;
	const struct svg_scale x = {0, since_first(t, t->last, NULL), LEFT, WIDTH - 20};
	AUTO(buf) struct buf label = BUF_INIT;
	int64_t total[PARTS] = {0};
	char length[16];

	for (size_t i = 0; i < t->stretches_n; i++)
		total[t->stretches[i].s.part] += t->stretches[i].s.to - t->stretches[i].s.from;
	clock_human(t->last - t->first, length);
	buf_addf(&label, "%zu attempt%s in %zu slot%s over %s; waiting for quota: ", t->lanes_n,
		 t->lanes_n == 1 ? "" : "s", t->slots, t->slots == 1 ? "" : "s", length);
	clock_human(total[PART_WAIT], length);
	buf_addf(&label, "%s in all.", length);
	buf_adds(out, "<div class=\"scroll wide\" tabindex=\"0\" role=\"region\" "
		      "aria-label=\"Timeline\">\n");
	svg_begin(out, WIDTH, bottom + 40, 0, label.data);
	draw_axis(out, t, &x, bottom);
	draw_gaps(out, t, &x, bottom);
	for (size_t i = 0; i < slots; i++) {
		char number[24];
		snprintf(number, sizeof number, "%zu", i + 1);
		if (row >= 16 || i % 10 == 9 || !i)
			svg_text(out, "axis", LEFT - 6, 4 + row * ((double)i + 0.7), SVG_END, 0,
				 number);
	}
	for (int part = 0; part < PARTS; part++)
		if (total[part])
			draw_part(out, t, part, &x, row);
	draw_legend(out, total, bottom + 34);
	svg_end(out);
	buf_adds(out, "</div>\n");
	fill_table(numbers, t, total);
}

void chart_timeline(struct buf *out, const struct rollout *r, const struct rollout_ref *ref,
		    size_t number)
{
	struct timeline t = {.r = r, .ref = ref, .running = json_object(), .trials = json_object()};
	struct table numbers = {0};
	AUTO(free) char *id = number ? xasprintf("timeline-%zu", number + 1) : xstrdup("timeline");
	struct err err;

	figure_begin(out, id, "Timeline");
	if (timeline_read(&t, &err)) {
		buf_adds(out, "<p>");
		doc_html_text(out, err.msg);
		buf_adds(out, "</p>\n");
	}
	if (t.lanes_n) {
		AUTO(buf) struct buf words = BUF_INIT;
		char began[CLOCK_STAMP + 8];
		draw(out, &t, &numbers);
		clock_iso(t.first, began);
		buf_addf(&words,
			 "Each row is a slot, each bar an attempt and its phases; below it, when "
			 "its model calls waited "
			 "for quota. Time from %.19s UTC.",
			 began);
		if (t.gaps_n)
			buf_addf(&words, " %zu time%s in which nothing ran %s cut short (dotted).",
				 t.gaps_n, t.gaps_n == 1 ? "" : "s", t.gaps_n == 1 ? "is" : "are");
		figure_end(out, words.data, &numbers);
	} else {
		figure_end(out, "When its trials ran is not known.", &numbers);
	}
	timeline_release(&t);
}

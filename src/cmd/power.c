/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/power.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/rollout-operand.h"
#include "report/doc.h"
#include "report/report.h"
#include "rollout/forecast.h"
#include "rollout/inputs.h"

#define MOST_SIZES 12
#define MOST_ROLLOUTS 5

struct request {
	const char *data, *effect;
	bool json, all;
	double delta;
};

/* What is told about: the sizes of the table, with those of the pilot or the plan among them. */
struct sizes {
	size_t tasks[MOST_SIZES], tasks_n;
	size_t rollouts[MOST_ROLLOUTS], rollouts_n;
};

static int by_size(const void *a, const void *b)
{
	const size_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void add_size(size_t *to, size_t *n, size_t size)
{
	for (size_t i = 0; i < *n; i++)
		if (to[i] == size)
			return;
	to[(*n)++] = size;
}

static void choose_sizes(struct sizes *out, const struct power *p, size_t tasks, size_t rollouts)
{
	static const size_t usual[] = {10, 20, 30, 50, 100, 200, 300, 500, 1000};
	static const size_t ks[] = {1, 3, 5, 10};

	*out = (struct sizes){0};
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		add_size(out->tasks, &out->tasks_n, usual[i]);
	if (tasks > 1)
		add_size(out->tasks, &out->tasks_n, tasks);
	qsort(out->tasks, out->tasks_n, sizeof *out->tasks, by_size);
	/* Without two rollouts of each task nobody knows what more of them would do. */
	if (isnan(p->within)) {
		out->rollouts[out->rollouts_n++] = 1;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ks); i++)
		add_size(out->rollouts, &out->rollouts_n, ks[i]);
	if (rollouts)
		add_size(out->rollouts, &out->rollouts_n, rollouts);
	qsort(out->rollouts, out->rollouts_n, sizeof *out->rollouts, by_size);
}

/* Of both sides. */
static double cost(const struct power *p, size_t tasks, size_t k)
{
	return p->usd_per_trial * 2 * (double)tasks * (double)k;
}

static void make_table(struct table *t, const struct power *p, const struct sizes *s)
{
	table_column(t, "tasks", TABLE_RIGHT);
	for (size_t i = 0; i < s->rollouts_n; i++) {
		AUTO(free) char *name = xasprintf("K = %zu", s->rollouts[i]);
		table_column(t, name, TABLE_RIGHT);
		if (!isnan(p->usd_per_trial))
			table_column(t, "USD", TABLE_RIGHT);
	}
	for (size_t r = 0; r < s->tasks_n; r++) {
		table_int(t, (int64_t)s->tasks[r]);
		for (size_t i = 0; i < s->rollouts_n; i++) {
			table_textf(t, "%.1f",
				    100 * power_mde(p, s->tasks[r], s->rollouts[i], SUMMARY_LEVEL));
			if (!isnan(p->usd_per_trial))
				table_textf(t, "%.2f", cost(p, s->tasks[r], s->rollouts[i]));
		}
	}
}

static void put_source(struct doc *d, const struct power *p)
{
	doc_paragraph(d);
	if (p->source == POWER_PRIOR) {
		doc_words(
			d,
			"No pilot: tasks are taken to be like those of most coding benchmarks, "
			"half of them nearly always or nearly never solved. A run of 20 tasks with "
			"two models says more.");
		return;
	}
	doc_words(d, "From a pilot of %zu tasks × %.3g rollouts, ", p->tasks, p->rollouts);
	doc_text(d, *p->candidate ? p->candidate : "(no model)");
	if (p->source == POWER_TWO_MODELS) {
		doc_words(d, " and ");
		doc_text(d, *p->baseline ? p->baseline : "(no model)");
		doc_words(d, ". ");
	} else {
		doc_words(d,
			  " alone: how far two models lie apart is guessed from how far its tasks "
			  "do. ");
	}
	doc_words(
		d,
		"Variances are taken %.2f times as large as seen: small pilots show too little of "
		"them.",
		p->factor);
	if (!isnan(p->w2) && p->w2 <= 0)
		doc_words(d,
			  " All of the difference between tasks is explained by chance between "
			  "rollouts (\u2248 0 is left): take the columns beyond the pilot's own as "
			  "a range.");
	if (isnan(p->within))
		doc_words(d, " Each task has a single rollout, so nothing tells what more of them "
			     "would do.");
}

static void put_needed(struct doc *d, const struct power *p, const struct sizes *s, double delta)
{
	doc_paragraph(d);
	doc_words(d, "For %g points: ", 100 * delta);
	for (size_t i = 0; i < s->rollouts_n; i++) {
		double n = ceil(power_tasks(p, delta, s->rollouts[i], SUMMARY_LEVEL));
		doc_words(d, "%s%.0f tasks × %zu", i ? ", " : "", n, s->rollouts[i]);
		if (!isnan(p->usd_per_trial))
			doc_words(d, " (%.2f USD)", cost(p, (size_t)n, s->rollouts[i]));
	}
	doc_words(d, " rollouts of each side.");
}

static void print_document(const struct power *p, const struct sizes *s, const struct request *q)
{
	AUTO(doc) struct doc d = {0};
	AUTO(buf) struct buf text = BUF_INIT;
	struct table t = {0};

	doc_heading(&d, 1);
	doc_words(&d, "Points that a comparison of two sides shows in four of five cases");
	make_table(&t, p, s);
	doc_table(&d, &t);
	put_needed(&d, p, s, q->delta);
	put_source(&d, p);
	doc_paragraph(&d);
	doc_words(
		&d,
		"Tasks that depend on each other count for fewer. More tasks beat more rollouts.");
	doc_terminal(&d, report_width(STDOUT_FILENO), &text);
	fwrite(text.data, 1, text.len, stdout);
}

static json_t *sizes_json(const struct power *p, const struct sizes *s)
{
	json_t *all = json_array();

	for (size_t r = 0; r < s->tasks_n; r++) {
		for (size_t i = 0; i < s->rollouts_n; i++) {
			json_t *j = json_object();
			json_put_int(j, "tasks", (int64_t)s->tasks[r]);
			json_put_int(j, "rollouts", (int64_t)s->rollouts[i]);
			json_put_real(j, "mde",
				      power_mde(p, s->tasks[r], s->rollouts[i], SUMMARY_LEVEL));
			json_put_real(j, "cost_usd", cost(p, s->tasks[r], s->rollouts[i]));
			json_array_append_new(all, j);
		}
	}
	return all;
}

static void print_json(const struct power *p, const struct sizes *s, const struct request *q)
{
	static const char *const sources[] = {"prior", "one model", "two models"};
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *needed = json_array();

	json_put_int(j, "v", 1);
	json_put_str(j, "source", sources[p->source]);
	json_put_int(j, "pilot_tasks", (int64_t)p->tasks);
	json_put_real(j, "pilot_rollouts", p->rollouts);
	json_put_real(j, "variance_between_tasks", p->w2);
	json_put_real(j, "variance_between_rollouts", p->within);
	json_put_real(j, "variance_of_differences", p->s2);
	json_put_real(j, "factor", p->factor);
	json_put_real(j, "usd_per_trial", p->usd_per_trial);
	json_put_real(j, "power", POWER_WANTED);
	json_put_real(j, "effect", q->delta);
	for (size_t i = 0; i < s->rollouts_n; i++) {
		json_t *one = json_object();
		json_put_int(one, "rollouts", (int64_t)s->rollouts[i]);
		json_put_real(one, "tasks",
			      power_tasks(p, q->delta, s->rollouts[i], SUMMARY_LEVEL));
		json_array_append_new(needed, one);
	}
	json_put(j, "needed", needed);
	json_put(j, "sizes", sizes_json(p, s));
	json_format(&text, j, true);
	printf("%s\n", text.data);
}

/* The plan of a configuration says how large it is, and by its prices what it would cost. */
static int from_config(struct power *p, const char *path, const char *data, size_t *tasks,
		       size_t *rollouts, struct err *err)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct config_request req = {.path = path, .data_dir = data, .grading_only = true};
	struct forecast f;
	struct inputs in;
	int status = inputs_load(&in, &req, NULL, &problems, err);

	power_prior(p);
	if (status && problems.n)
		(void)err_set(err, ERR_USAGE, 0, "%s", problems.v[0]);
	if (!status) {
		const struct judge *judge = &in.bench.judge;
		forecast_make(&f, data, &in.providers,
			      &(struct forecast_of){.trials = in.plan.trials,
						    .n = in.plan.n,
						    .judge = judge->provider ? judge : NULL,
						    .judged = in.plan.trials,
						    .judged_n = in.plan.n});
		if (f.agents.known + f.agents.limited)
			p->usd_per_trial = forecast_each(&f.agents) + forecast_each(&f.judge);
		*tasks = in.tasks_n;
		for (size_t i = 0; i < in.plan.n; i++)
			if ((size_t)in.plan.trials[i].rollout + 1 > *rollouts)
				*rollouts = (size_t)in.plan.trials[i].rollout + 1;
	}
	inputs_release(&in);
	return status;
}

static bool is_config(const char *operand)
{
	const char *dot = strrchr(operand, '.');

	return dot && !strcmp(dot, ".toml") && access(operand, F_OK) == 0;
}

static int power(const char *operand, const struct request *q, struct err *err)
{
	size_t tasks = 0, rollouts = 0;
	struct rollout r;
	struct summary s = {0};
	struct power p;
	struct sizes sizes;
	bool pilot = !rollout_operand_load(
		&r, &(struct rollout_operand_how){.data_dir = q->data, .all = q->all}, operand,
		err);

	if (!pilot && !is_config(operand))
		return -1;
	int status = 0;
	if (pilot) {
		summary_make(&s, (const struct rollout *[]){&r}, 1, &SUMMARY_DEFAULT);
		status = power_pilot(&p, &s, err);
		tasks = status ? 0 : p.tasks;
		rollouts = status ? 0 : (size_t)lround(p.rollouts);
	} else {
		status = from_config(&p, operand, q->data, &tasks, &rollouts, err);
	}
	if (!status) {
		choose_sizes(&sizes, &p, tasks, rollouts);
		if (q->json)
			print_json(&p, &sizes, q);
		else
			print_document(&p, &sizes, q);
	}
	if (pilot) {
		summary_release(&s);
		rollout_release(&r);
	}
	return status;
}

static int check(struct request *q, struct err *err)
{
	char *end = NULL;

	q->delta = 0.05;
	if (!q->effect)
		return 0;
	q->delta = strtod(q->effect, &end);
	if (end != q->effect && !*end && q->delta > 0 && q->delta < 1)
		return 0;
	return err_set(err, ERR_USAGE, 0,
		       "--effect %s: a difference of scores between 0 and 1; five points are 0.05",
		       q->effect);
}

int cmd_power(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "effect",
		 .arg = "D",
		 .kind = OPTION_STR,
		 .target = &q.effect,
		 .help = "the difference that is to be seen (default: 0.05, five points of a "
			 "hundred)"},
		{.name = "all",
		 .kind = OPTION_FLAG,
		 .target = &q.all,
		 .help = "all rollouts of the benchmark are the pilot"},
		{.name = "json", .kind = OPTION_FLAG, .target = &q.json, .help = "as JSON"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "power",
		.operands = "ROLLOUT|CONFIG",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "how many tasks and rollouts a difference between two sides takes",
		.text = "A ROLLOUT, such as NAME, is the pilot: its first two models, or its only "
			"one. A "
			"CONFIG that\n"
			"was never run is planned by what coding benchmarks are like, and by its "
			"prices.",
		.examples = "rollouts power hello\n"
			    "rollouts power hello@baseline --effect 0.03\n"
			    "rollouts power configs/bench.toml\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (check(&q, &err) || power(operands.v[0], &q, &err))
		return cmd_fail(&err);
	return CMD_OK;
}

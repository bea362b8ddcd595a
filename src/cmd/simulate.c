/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "simulate/simulate.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/bench-options.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "rollout/inputs.h"

enum { TRIALS_MAX = 10000000, PARALLEL_MAX = 100000, RETRIES_MAX = 100, POINTS = 32 };

struct request {
	struct config_request config;
	const char *durations, *failures, *parallel, *retries, *order, *usd, *calls, *start;
	int64_t trials, seed;
	bool json;
};

/* What passes between submitting an attempt and its agent's work, as docs/scaling.md measures it. */
static const struct {
	const char *launcher;
	double sec;
} starts[] = {{"local", 0.03}, {"example", 0.2}, {"slurm", 3},
	      {"ssh", 1},      {"modal", 5},	 {"batch", 60}};

static int number(double *out, const char *option, const char *text, double max, struct err *err)
{
	char *end;

	*out = strtod(text, &end);
	if (end == text || *end || !isfinite(*out) || *out < 0 || *out > max)
		return err_set(err, ERR_USAGE, 0, "--%s %s: give a number from 0 to %g", option,
			       text, max);
	return 0;
}

/* "8,16,32" */
static int list(double *out, size_t *n, const char *option, const char *text, double max,
		struct err *err)
{
	AUTO(free) char *copy = xstrdup(text);
	char *rest = copy;

	for (char *word; (word = strsep(&rest, ","));) {
		if (*n == POINTS)
			return err_set(err, ERR_USAGE, 0, "--%s: more than %d values", option,
				       POINTS);
		if (number(&out[*n], option, word, max, err))
			return -1;
		if (out[*n] != floor(out[*n]))
			return err_set(err, ERR_USAGE, 0, "--%s %s: give whole numbers", option,
				       text);
		++*n;
	}
	return 0;
}

static int read_history(struct durations *d, const struct request *q, const char *name,
			struct err *err)
{
	struct store s;
	struct rollout_ref ref;

	if (store_open(&s, q->config.data_dir ? q->config.data_dir : "data", false, err))
		return err_wrap(err, "--durations history");
	int rc = store_find(&s, name, NULL, &ref, err);
	if (!rc) {
		rc = durations_read(d, &s, &ref, err);
		rollout_ref_release(&ref);
	}
	store_close(&s);
	return rc ? err_wrap(err, "--durations history") : 0;
}

static int fill(struct simulate_request *r, struct durations *d, const struct request *q,
		const struct inputs *in, struct err *err)
{
	const char *launcher = in->plan.trials[0].launcher;
	double start = 1;

	if (durations_parse(d, q->durations ? q->durations : "history", err) ||
	    (d->kind == DURATIONS_HISTORY && read_history(d, q, in->bench.name, err)))
		return -1;
	r->durations = d;
	r->failures = d->failures;
	r->usd = d->usd;
	r->calls = d->calls;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		if (!strcmp(starts[i].launcher, launcher))
			start = starts[i].sec;
	if ((q->failures && strcmp(q->failures, "history") != 0 &&
	     number(&r->failures, "failures", q->failures, 1, err)) ||
	    (q->usd && number(&r->usd, "usd", q->usd, 1e6, err)) ||
	    (q->calls && number(&r->calls, "calls", q->calls, 1e6, err)) ||
	    (q->start && number(&start, "start-sec", q->start, 86400, err)))
		return -1;
	r->start_ms = (int64_t)(start * 1000);
	r->trials = q->trials ? (size_t)q->trials : in->plan.n;
	r->seed = (uint64_t)q->seed;
	return 0;
}

static void print_row(const struct simulate_request *r, const struct simulation *s)
{
	char makespan[16], tail[16], retries[16] = "planned";

	clock_human(s->makespan_ms, makespan);
	clock_human(s->tail_ms, tail);
	if (r->retries >= 0)
		snprintf(retries, sizeof retries, "%d", r->retries);
	printf("%8d  %7s  %-13s  %9s  %8s  %5.1f %%  %8zu  %6zu  %7zu  %5.1f %%  %10.2f  %11.1f  "
	       "%9.1f\n",
	       r->parallel, retries, r->order == ORDER_LONGEST ? "longest-first" : "planned",
	       makespan, tail, s->busy * 100, s->attempts, s->failed, s->missing, s->wasted * 100,
	       s->usd, s->calls_per_min, s->peak_calls_per_min);
	if (*s->why) {
		AUTO(buf) struct buf why = BUF_INIT;
		text_renders(&why, s->why, TEXT_TERMINAL_LINE);
		printf("          ended early: %s\n", why.data);
	}
}

static json_t *row(const struct simulate_request *r, const struct simulation *s)
{
	json_t *j = json_object();

	json_put_int(j, "parallel", r->parallel);
	json_put(j, "retries", r->retries >= 0 ? json_integer(r->retries) : json_null());
	json_put_str(j, "order", r->order == ORDER_LONGEST ? "longest-first" : "planned");
	json_put_real(j, "makespan_sec", (double)s->makespan_ms / 1000);
	json_put_real(j, "tail_sec", (double)s->tail_ms / 1000);
	json_put_real(j, "busy", s->busy);
	json_put_int(j, "attempts", (json_int_t)s->attempts);
	json_put_int(j, "failed", (json_int_t)s->failed);
	json_put_int(j, "missing", (json_int_t)s->missing);
	json_put_real(j, "wasted", s->wasted);
	json_put_real(j, "cost_usd", s->usd);
	json_put_real(j, "calls_per_min", s->calls_per_min);
	json_put_real(j, "peak_calls_per_min", s->peak_calls_per_min);
	json_put_str(j, "ended_early", *s->why ? s->why : NULL);
	return j;
}

/* Every parallel with every retries with every order. */
static int run_all(struct simulate_request *r, const struct request *q, const struct inputs *in,
		   struct err *err)
{
	double parallel[POINTS] = {in->bench.parallel}, retries[POINTS] = {-1};
	size_t parallel_n = !q->parallel, retries_n = !q->retries;
	const bool both = q->order && !strcmp(q->order, "both");
	const bool longest = q->order && !strcmp(q->order, "longest-first");
	AUTO(json) json_t *rows = json_array();

	if (q->order && !both && !longest && strcmp(q->order, "planned") != 0)
		return err_set(err, ERR_USAGE, 0, "--order %s: give planned, longest-first or both",
			       q->order);
	if ((q->parallel &&
	     list(parallel, &parallel_n, "parallel", q->parallel, PARALLEL_MAX, err)) ||
	    (q->retries && list(retries, &retries_n, "retries", q->retries, RETRIES_MAX, err)))
		return -1;
	if (!q->json)
		printf("%s: %zu trials, %.3g %% of attempts fail, %.3g s to start one\n"
		       "parallel  retries  order           makespan      tail     busy  attempts  "
		       "failed  missing   wasted   "
		       "cost (USD)  calls / min  peak/min\n",
		       in->bench.name, r->trials, r->failures * 100, (double)r->start_ms / 1000);
	for (size_t p = 0; p < parallel_n; p++)
		for (size_t k = 0; k < retries_n; k++)
			for (int o = longest; o <= (both || longest); o++) {
				struct simulation s;
				r->parallel = (int)parallel[p];
				r->retries = (int)retries[k];
				r->order = o ? ORDER_LONGEST : ORDER_PLANNED;
				if (r->parallel < 1)
					return err_set(err, ERR_USAGE, 0, "--parallel: at least 1");
				if (simulate(&s, r, err))
					return -1;
				if (q->json)
					json_array_append_new(rows, row(r, &s));
				else
					print_row(r, &s);
			}
	if (!q->json)
		return 0;
	json_t *all = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	json_put_int(all, "v", 1);
	json_put_str(all, "benchmark", in->bench.name);
	json_put_int(all, "trials", (json_int_t)r->trials);
	json_put_real(all, "failures", r->failures);
	json_put_real(all, "start_sec", (double)r->start_ms / 1000);
	json_put(all, "simulations", json_incref(rows));
	json_format(&text, all, true);
	json_decref(all);
	puts(text.data);
	return 0;
}

static int run(const struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct simulate_request r = {0};
	struct durations d = {0};
	struct inputs in;
	struct err err;
	int status;

	if (inputs_load(&in, &q->config, NULL, &problems, &err)) {
		status = cmd_refuse(&problems, &err);
	} else {
		const struct planfile plan = {.name = in.bench.name,
					      .trials = in.plan.trials,
					      .n = in.plan.n,
					      .fail_fast = in.bench.fail_fast,
					      .fail_on_error = in.bench.fail_on_error,
					      .agents = in.agents};
		r.plan = &plan;
		status = fill(&r, &d, q, &in, &err) || run_all(&r, q, &in, &err) ? cmd_fail(&err)
										 : CMD_OK;
	}
	durations_release(&d);
	inputs_release(&in);
	return status;
}

/* clang-format off */
#define OPTIONS(q) \
		{.name = "durations", \
		 .arg = "D", \
		 .kind = OPTION_STR, \
		 .target = &(q).durations, \
		 .help = "history (as the latest rollout; the default), " \
			 "lognormal(MEDIAN_SEC,SIGMA), " \
			 "exponential(MEAN_SEC), fixed(SEC)"}, \
		{.name = "failures", \
		 .arg = "P", \
		 .kind = OPTION_STR, \
		 .target = &(q).failures, \
		 .help = "share of attempts that fail by the infrastructure, or history"}, \
		{.name = "trials", \
		 .arg = "N", \
		 .kind = OPTION_INT, \
		 .target = &(q).trials, \
		 .min = 1, \
		 .max = TRIALS_MAX, \
		 .help = "so many trials; those of the plan again and again"}, \
		{.name = "parallel", \
		 .short_name = 'j', \
		 .arg = "N,...", \
		 .kind = OPTION_STR, \
		 .target = &(q).parallel, \
		 .help = "trials at a time; a row for each"}, \
		{.name = "retries", \
		 .arg = "N,...", \
		 .kind = OPTION_STR, \
		 .target = &(q).retries, \
		 .help = "instead of what the benchmark says; a row for each"}, \
		{.name = "order", \
		 .arg = "O", \
		 .kind = OPTION_STR, \
		 .target = &(q).order, \
		 .help = "planned (the default), longest-first, both"}, \
		BENCH_SET(&(q).config, "launcher", 0, "NAME", "how long it takes to start a trial"), \
		BENCH_SET(&(q).config, "rollouts", 'r', "N", "rollouts of every task"), \
		{.name = "start-sec", \
		 .arg = "SEC", \
		 .kind = OPTION_STR, \
		 .target = &(q).start, \
		 .help = "until an agent works, instead of the launcher's"}, \
		{.name = "usd", \
		 .arg = "USD", \
		 .kind = OPTION_STR, \
		 .target = &(q).usd, \
		 .help = "cost of a finished attempt, instead of history's"}, \
		{.name = "calls", \
		 .arg = "N", \
		 .kind = OPTION_STR, \
		 .target = &(q).calls, \
		 .help = "model calls of an attempt, instead of history's"}, \
		{.name = "seed", \
		 .arg = "N", \
		 .kind = OPTION_INT, \
		 .target = &(q).seed, \
		 .help = "of all that is drawn (default: 1)"}, \
		{.name = "json", .kind = OPTION_FLAG, .target = &(q).json, .help = "print JSON"}, \
		OPTION_DATA_DIR(&(q).config.data_dir), \
		OPTION_END
/* clang-format on */

int cmd_simulate(int argc, char **argv)
{
	struct request q = {.seed = 1};
	const struct option options[] = {OPTIONS(q)};
	const struct usage usage = {
		.verb = "simulate",
		.operands = "CONFIG",
		.min = 1,
		.max = 1,
		.summary = "how long a benchmark would take and what it would cost, by the real "
			   "scheduler with a virtual clock",
		.text = "Nothing runs and nothing is written. The same seed draws the same trials, "
			"so "
			"rows differ by\n"
			"their settings alone. docs/scaling.md tells what the columns are.\n",
		.options = options,
		.examples = "rollouts simulate bench.toml --parallel 8,16,32 --order both\n"
			    "rollouts simulate bench.toml --durations 'lognormal(300,0.8)' "
			    "--failures 0.02 "
			    "--retries 0,2 --trials 1000000\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status < 0) {
		AUTO(free) char *file = operand_file(operands.v[0]);
		q.config.path = file;
		status = run(&q);
	}
	config_request_release(&q.config);
	return status;
}

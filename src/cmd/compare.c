/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "analysis/compare.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/compare-case.h"
#include "cmd/compare-policy.h"
#include "cmd/options.h"
#include "report/compare-junit.h"
#include "report/compare-report.h"
#include "store/store.h"

enum { GATE_FAILED = 1 };

struct request {
	const char *data, *baseline, *margin, *missing, *test;
	const char *question, *cluster, *policy, *junit;
	bool gate, json, markdown, all, flips;
	struct compare_options options;
};

static int choose(const char *option, const char *word, const char *const *words, size_t n,
		  int *out, struct err *err)
{
	AUTO(buf) struct buf list = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (word && strcmp(word, words[i]) == 0)
			*out = (int)i;
		buf_addf(&list, "%s%s", i ? ", " : "", words[i]);
	}
	if (word && strcmp(words[*out], word) != 0)
		return err_set(err, ERR_USAGE, 0, "--%s %s: one of %s", option, word, list.data);
	return 0;
}

static int read_margin(struct request *q, struct err *err)
{
	char *end = NULL;

	if (!q->margin)
		return q->gate ? err_set(err, ERR_USAGE, 0,
					 "--gate needs --margin M: how much worse is too much "
					 "(0.05: five points of a hundred)")
			       : 0;
	q->options.margin = strtod(q->margin, &end);
	if (end == q->margin || *end || !(q->options.margin > 0 && q->options.margin < 1))
		return err_set(
			err, ERR_USAGE, 0,
			"--margin %s: scores lie between 0 and 1, and so must it; five points "
			"are 0.05",
			q->margin);
	return 0;
}

static int check(struct request *q, struct err *err)
{
	static const char *const missing[] = {"bounds", "zero", "drop"};
	static const char *const tests[] = {"none", "t", "sign-flip", "mcnemar"};
	int chosen_missing = COMPARE_BOUNDS, chosen_test = COMPARE_NO_TEST;

	if (q->json && q->markdown)
		return err_set(err, ERR_USAGE, 0, "--json and --markdown exclude each other");
	if (choose("missing", q->missing, missing, ARRAY_SIZE(missing), &chosen_missing, err) ||
	    choose("test", q->test, tests, ARRAY_SIZE(tests), &chosen_test, err))
		return -1;
	q->options.missing = (enum compare_missing)chosen_missing;
	q->options.test = (enum compare_test)chosen_test;
	q->options.level = SUMMARY_LEVEL;
	q->options.cluster = q->cluster;
	if (summary_question_parse(q->question, &q->options.question, err) ||
	    clusters_check(q->cluster, err))
		return -1;
	return read_margin(q, err);
}

static int gate_status(enum stats_gate gate)
{
	if (gate == STATS_PASS)
		return CMD_OK;
	return gate == STATS_FAIL ? GATE_FAILED : CMD_INCONCLUSIVE;
}

static struct report_form form_of(const struct request *q)
{
	return (struct report_form){.format = q->json	    ? REPORT_JSON
					      : q->markdown ? REPORT_MARKDOWN
							    : REPORT_TERMINAL,
				    .width = report_width(STDOUT_FILENO),
				    .all_trials = q->flips};
}

static struct compare_how how_of(const struct request *q)
{
	return (struct compare_how){
		.data_dir = q->data, .baseline = q->baseline, .all = q->all, .options = q->options};
}

static int write_junit(const struct comparison *c, const char *path, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	compare_junit_begin(&text);
	compare_junit_suite(&text, c, false);
	compare_junit_end(&text);
	return path_write(AT_FDCWD, path, text.data, text.len, 0644, false, err);
}

static int compare(const struct request *q, const struct strv *operands, int *status,
		   struct err *err)
{
	const struct compare_how how = how_of(q);
	const struct report_form form = form_of(q);
	AUTO(buf) struct buf text = BUF_INIT;
	struct compare_case c;

	if (compare_case_make(&c, operands, &how, err))
		return -1;
	compare_report(&text, &c.comparison, &form);
	*status = q->gate ? gate_status(compare_gate(&c.comparison)) : CMD_OK;
	int failed = q->junit ? write_junit(&c.comparison, q->junit, err) : 0;
	compare_case_release(&c);
	if (failed)
		return -1;
	if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	return 0;
}

static int compare_by_policy(const struct request *q, const struct strv *operands, int *status,
			     struct err *err)
{
	enum stats_gate gate = STATS_INCONCLUSIVE;

	if (operands->n || q->margin || q->gate || q->baseline)
		return err_set(err, ERR_USAGE, 0,
			       "--policy names what is compared, with its margins: leave out "
			       "operands, --margin, --gate and --baseline");
	if (policy_run(&(struct policy_request){.path = q->policy,
						.junit = q->junit,
						.how = how_of(q),
						.form = form_of(q)},
		       &gate, err))
		return -1;
	*status = gate_status(gate);
	return 0;
}

static int run(const struct request *q, const struct strv *operands, int *status, struct err *err)
{
	if (q->policy)
		return compare_by_policy(q, operands, status, err);
	if (!operands->n)
		return err_set(err, ERR_USAGE, 0,
			       "usage: rollouts compare ROLLOUT [MODEL...|ROLLOUT...]");
	return compare(q, operands, status, err);
}

static const char help_text[] =
	"A ROLLOUT is NAME (its latest), NAME@STAMP, NAME@TAG, a config file in "
	"place of "
	"NAME, or\n"
	"the rollout's folder. One alone: its models are compared, or its labels, "
	"or its "
	"agents;\n"
	"those that are named after it. The first named is the candidate. Tasks "
	"are "
	"paired, and\n"
	"the verdict is for tasks like these. Missing trials are no zeros: a "
	"verdict must "
	"hold\n"
	"whatever they would have scored.";

static const char help_examples[] =
	"rollouts compare bench\n"
	"rollouts compare bench gpt-5 claude-sonnet-4-5\n"
	"rollouts compare bench@20250824__12-34-56 bench@baseline --margin "
	"0.05 --gate\n"
	"rollouts compare --policy gates.toml --junit results.xml\n"
	"rollouts compare new.toml old.toml --markdown > comment.md\n";

int cmd_compare(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "baseline",
		 .arg = "SIDE",
		 .kind = OPTION_STR,
		 .target = &q.baseline,
		 .help = "compare each other side with this one (default: the first named with "
			 "those "
			 "after it)"},
		{.name = "margin",
		 .arg = "M",
		 .kind = OPTION_STR,
		 .target = &q.margin,
		 .help = "differences below it do not matter: 0.05 is five points of a hundred"},
		{.name = "gate",
		 .kind = OPTION_FLAG,
		 .target = &q.gate,
		 .help = "exit 0: not worse by the margin, 1: worse, 4: inconclusive"},
		{.name = "missing",
		 .arg = "HOW",
		 .kind = OPTION_STR,
		 .target = &q.missing,
		 .help = "trials without a score: bounds (they could be anything), zero, drop"},
		{.name = "test",
		 .arg = "TEST",
		 .kind = OPTION_STR,
		 .target = &q.test,
		 .help = "another test beside the verdict: t, sign-flip, mcnemar"},
		OPTION_QUESTION(&q.question),
		OPTION_CLUSTER(&q.cluster),
		{.name = "all",
		 .kind = OPTION_FLAG,
		 .target = &q.all,
		 .help = "all rollouts of each benchmark that is named, read as one"},
		{.name = "flips",
		 .kind = OPTION_FLAG,
		 .target = &q.flips,
		 .help = "list each task that changed, however many there are"},
		{.name = "policy",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.policy,
		 .help = "gates over several benchmarks, each with its margin; status as --gate"},
		{.name = "junit",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.junit,
		 .help = "write the verdicts as JUnit's XML as well"},
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &q.json,
		 .help = "everything as one JSON object"},
		{.name = "markdown",
		 .kind = OPTION_FLAG,
		 .target = &q.markdown,
		 .help = "for a comment on a pull request"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "compare",
		.operands = "ROLLOUT [MODEL...|ROLLOUT...]",
		.min = 0,
		.max = 64,
		.options = options,
		.summary = "is one model, or one run, better than another",
		.text = help_text,
		.examples = help_examples,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (check(&q, &err) || run(&q, &operands, &status, &err))
		return cmd_fail(&err);
	return status;
}

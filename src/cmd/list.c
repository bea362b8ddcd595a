/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/list-history.h"
#include "cmd/operands.h"
#include "cmd/options.h"
#include "os/usage.h"
#include "report/number.h"
#include "report/report.h"
#include "report/table.h"
#include "store/store.h"

struct request {
	const char *data, *csv;
	bool json, no_disk, history;
	const char *regression;
};

static int64_t disk_bytes(const struct store *s, const struct rollout *r)
{
	int64_t bytes = usage_bytes(s->root_fd, r->ref.path);

	for (size_t i = 0; i < r->trials_n; i++) {
		AUTO(free) char *run = path_join("runs", RUN_ID(&r->trials[i]));
		bytes += usage_bytes(s->root_fd, run);
	}
	return bytes;
}

static size_t trials_done(const struct rollout *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->trials_n; i++)
		n += r->trials[i].has_result && !outcome_is_missing(r->trials[i].result.outcome);
	return n;
}

static void add_disk(struct table *t, int64_t bytes, bool for_people)
{
	char human[16];

	usage_human(bytes, human);
	if (for_people)
		table_text(t, human);
	else
		table_int(t, bytes);
}

static void add_tags(struct table *t, const struct strv *tags)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < tags->n; i++)
		buf_addf(&text, "%s%s", i ? " " : "", tags->v[i]);
	table_text(t, text.data);
}

/* The mean, and what qualifies it: for people in the same cell, for programs in columns of their own. */
static void add_score(struct table *t, const struct rollout *r, bool for_people)
{
	char text[NUMBER_TEXT], first_text[NUMBER_TEXT];
	double mean = 0, first = NAN;
	size_t replaced = 0;

	if (!report_mean(r, &mean, &replaced, &first))
		table_missing(t, NULL);
	else if (for_people && replaced)
		table_textf(t, "%s (%zu rerun, first tries %s)", number_score(text, mean), replaced,
			    isnan(first) ? "none" : number_score(first_text, first));
	else
		table_score(t, mean);
	if (for_people)
		return;
	table_int(t, (int64_t)replaced);
	if (replaced && !isnan(first))
		table_score(t, first);
	else
		table_missing(t, NULL);
}

static void add_row(struct table *t, const struct store *s, const struct rollout *r,
		    const struct request *q, bool for_people)
{
	table_text(t, r->ref.name);
	table_text(t, r->ref.stamp);
	table_text(t, rollout_state(r));
	table_int(t, (int64_t)trials_done(r));
	table_int(t, (int64_t)r->trials_n);
	add_score(t, r, for_people);
	if (!q->no_disk)
		add_disk(t, disk_bytes(s, r), for_people);
	add_tags(t, &r->tags);
}

/* What cannot be read is shown as such: one damaged rollout must not hide the others. */
static void add_unreadable(struct table *t, const struct rollout_ref *ref, const struct request *q,
			   bool for_people)
{
	table_text(t, ref->name);
	table_text(t, ref->stamp);
	table_text(t, "unreadable");
	for (int i = 0; i < (q->no_disk ? 3 : 4) + (for_people ? 0 : 2); i++)
		table_missing(t, NULL);
	table_text(t, "");
}

static void columns(struct table *t, const struct request *q, bool for_people)
{
	table_column(t, "name", TABLE_WHOLE);
	table_column(t, "rollout", TABLE_WHOLE);
	table_column(t, "state", TABLE_WHOLE);
	table_column(t, "done", TABLE_RIGHT);
	table_column(t, "trials", TABLE_RIGHT);
	table_column(t, "score", TABLE_RIGHT);
	if (!for_people) {
		table_column(t, "replaced", TABLE_RIGHT);
		table_column(t, "first_tries", TABLE_RIGHT);
	}
	if (!q->no_disk)
		table_column(t, "disk", TABLE_RIGHT);
	table_column(t, "tags", TABLE_LEFT);
}

static void fill(struct table *t, const struct store *s, const struct rollout_ref *refs, size_t n,
		 const struct request *q, bool for_people)
{
	columns(t, q, for_people);
	for (size_t i = 0; i < n; i++) {
		struct rollout r;
		struct err err;
		if (rollout_read(&r, s, &refs[i], &(struct rollout_how){.index = true}, &err)) {
			cmd_warn(err.msg);
			add_unreadable(t, &refs[i], q, for_people);
			continue;
		}
		cmd_warn_strangers(&r);
		add_row(t, s, &r, q, for_people);
		rollout_release(&r);
	}
}

/* The tags are words of one cell for people, a list for programs. */
static json_t *as_json(const struct table *t)
{
	json_t *rows = table_json(t), *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		AUTO(free) char *words = xstrdup(json_get_str(row, "tags", ""));
		json_t *tags = json_array();
		char *rest = words;
		for (char *tag; (tag = strsep(&rest, " "));)
			if (*tag)
				json_array_append_new(tags, json_string(tag));
		json_object_set_new(row, "tags", tags);
		json_put_int(row, "v", 1);
	}
	return rows;
}

static void print(const struct table *t, const struct request *q)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (q->json) {
		AUTO(json) json_t *j = as_json(t);
		json_format(&text, j, true);
		buf_addc(&text, '\n');
	} else if (q->csv) {
		table_csv(t, csv_is_sheet(q->csv), &text);
	} else {
		table_terminal(t, report_width(STDOUT_FILENO), &text);
	}
	fwrite(text.data, 1, text.len, stdout);
}

static int list(const struct store *s, const char *name, const struct request *q, int *status,
		struct err *err)
{
	struct rollout_ref *refs = NULL, known = {0};
	size_t n = 0;
	AUTO(table) struct table t = {0};

	/* A name nobody used gets the same answer as everywhere. */
	if (name && store_find(s, name, NULL, &known, err))
		return -1;
	AUTO(free) char *found = STEAL(&known.name);
	rollout_ref_release(&known);
	if (store_list(s, found, &refs, &n, err))
		return -1;
	int failed = 0;
	if (q->history)
		failed = history_print(
			s, refs, n, &(struct history_request){q->json, q->regression}, status, err);
	else
		fill(&t, s, refs, n, q, !q->json && !q->csv);
	for (size_t i = 0; i < n; i++)
		rollout_ref_release(&refs[i]);
	free(refs);
	if (q->history)
		return failed;
	if (n || q->json || q->csv)
		print(&t, q);
	else
		printf("%s holds no rollouts yet; start one: rollouts run CONFIG\n", s->root);
	return 0;
}

int cmd_list(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &q.json,
		 .help = "as JSON; disk use in bytes"},
		OPTION_CSV(&q.csv, "as CSV; disk use in bytes"),
		{.name = "no-disk",
		 .kind = OPTION_FLAG,
		 .target = &q.no_disk,
		 .help = "do not measure disk use"},
		{.name = "history",
		 .kind = OPTION_FLAG,
		 .target = &q.history,
		 .help = "the scores of one benchmark over time, with intervals and what changed"},
		{.name = "fail-on-regression",
		 .arg = "TAG",
		 .kind = OPTION_STR,
		 .target = &q.regression,
		 .without = "previous",
		 .help = "exit 1 when the latest is worse than TAG, or the one before it; 4: open"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "list",
		.operands = "[NAME]",
		.max = 1,
		.options = options,
		.summary = "show the rollouts there are, oldest first: state, trials with a "
			   "result, score, disk use",
		.examples = "rollouts list\nrollouts list hello --json\n"
			    "rollouts list hello --history --fail-on-regression=baseline\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct store store;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (csv_check(q.csv, &err))
		return cmd_fail(&err);
	if (q.json && q.csv) {
		err_set(&err, ERR_USAGE, 0, "--json and --csv exclude each other");
		return cmd_fail(&err);
	}
	q.history |= q.regression != NULL;
	if (q.history && (!operands.n || q.csv)) {
		err_set(&err, ERR_USAGE, 0,
			q.csv ? "--history and --csv exclude each other; --json has it"
			      : "--history is of one benchmark: rollouts list NAME --history");
		return cmd_fail(&err);
	}
	int outcome = CMD_OK;
	if (store_open(&store, q.data, false, &err))
		return cmd_fail(&err);
	AUTO(free) char *name = operands.n ? operand_name(operands.v[0]) : NULL;
	status = list(&store, name, &q, &outcome, &err);
	store_close(&store);
	return status ? cmd_fail(&err) : outcome;
}

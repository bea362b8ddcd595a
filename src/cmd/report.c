/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/rollout-operand.h"
#include "page/page.h"

/* As recordings, which are in it: for others' eyes only once somebody says so. */
#define MODE 0600
#define OUTPUT "report.html"

struct request {
	const char *data, *output, *title, *baseline;
	int64_t max_bytes;
	bool all;
};

static int load(struct rollouts *out, const struct request *q, const struct strv *operands,
		struct err *err)
{
	out->v = xcalloc(operands->n, sizeof *out->v);
	for (size_t i = 0; i < operands->n; i++) {
		struct rollout *r = &out->v[i];
		if (rollout_operand_load(
			    r, &(struct rollout_operand_how){.data_dir = q->data, .all = q->all},
			    operands->v[i], err))
			return -1;
		out->n++;
		for (size_t k = 0; k < i; k++)
			if (strcmp(r->ref.path, out->v[k].ref.path) == 0 &&
			    strcmp(r->root, out->v[k].root) == 0)
				return err_set(err, ERR_USAGE, 0, "%s: %s %s is named twice",
					       operands->v[i], r->ref.name, r->ref.stamp);
	}
	return 0;
}

/* One of one model, label and agent stands alone. */
static bool is_comparable(const struct rollouts *r)
{
	const struct trial *first;

	if (r->n > 1)
		return true;
	if (!r->v[0].trials_n)
		return false;
	first = r->v[0].trials[0].shared->setting;
	for (size_t i = 1; i < r->v[0].trials_n; i++) {
		const struct trial *t = r->v[0].trials[i].shared->setting;
		if (strcmp(t->model, first->model) != 0 ||
		    strcmp(t->variant, first->variant) != 0 || strcmp(t->agent, first->agent) != 0)
			return true;
	}
	return false;
}

static int make(struct buf *out, const struct request *q, const struct rollouts *r, struct err *err)
{
	const struct compare_options options = {.level = SUMMARY_LEVEL};
	AUTO(compare_sides) struct compare_sides sides = {0};
	AUTO(comparison) struct comparison c = {0};
	AUTO(strv) struct strv none = STRV_INIT;
	struct page page = {.rollouts = r->v,
			    .rollouts_n = r->n,
			    .title = q->title,
			    .max_bytes = (size_t)q->max_bytes};
	struct err why;

	/* Rollouts that have nothing in common to compare are a page all the same, but not where a baseline was asked for. */
	if (is_comparable(r) && !compare_sides_make(&sides, r->v, r->n, &none, q->baseline, &why)) {
		compare_make(&c, &sides, r->v, r->n, &options);
		page.comparison = &c;
	} else if (q->baseline) {
		if (!is_comparable(r))
			return err_set(err, ERR_USAGE, 0,
				       "--baseline %s: there is nothing to compare it with",
				       q->baseline);
		*err = why;
		return -1;
	}
	page_make(out, &page);
	return 0;
}

static int write_page(const struct buf *page, const char *output, struct err *err)
{
	if (strcmp(output, "-") == 0) {
		if (fwrite(page->data, 1, page->len, stdout) != page->len || fflush(stdout))
			return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
		return 0;
	}
	if (path_is_dir(AT_FDCWD, output))
		return err_set(err, ERR_USAGE, 0,
			       "-o %s: that is a folder; name a file in it: -o %s%s" OUTPUT, output,
			       output, output[strlen(output) - 1] == '/' ? "" : "/");
	if (path_write(AT_FDCWD, output, page->data, page->len, MODE, true, err)) {
		if (err->sys == ENOENT || err->sys == EACCES || err->sys == ENOTDIR)
			err->kind = ERR_USAGE;
		return err_wrap(err, "-o %s", output);
	}
	printf("%s (%zu KB)\n", output, (page->len + 999) / 1000);
	return 0;
}

static int report(const struct request *q, const struct strv *operands, struct err *err)
{
	AUTO(rollouts) struct rollouts r = {0};
	AUTO(buf) struct buf page = BUF_INIT;

	if (load(&r, q, operands, err) || make(&page, q, &r, err))
		return -1;
	return write_page(&page, q->output, err);
}

int cmd_report(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "output",
		 .short_name = 'o',
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.output,
		 .help = "write it there (default: " OUTPUT "; -: standard output)"},
		{.name = "title",
		 .arg = "TEXT",
		 .kind = OPTION_STR,
		 .target = &q.title,
		 .help = "above it"},
		{.name = "baseline",
		 .arg = "SIDE",
		 .kind = OPTION_STR,
		 .target = &q.baseline,
		 .help = "compare each other side with this one, as compare does"},
		{.name = "max-bytes",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.max_bytes,
		 .min = 1,
		 .max = 1000000000,
		 .help = "diffs, logs and transcripts are cut to keep to it (default: 1900000)"},
		{.name = "all",
		 .kind = OPTION_FLAG,
		 .target = &q.all,
		 .help = "all rollouts of each benchmark that is named, read as one"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "report",
		.operands = "ROLLOUT...",
		.min = 1,
		.max = 16,
		.options = options,
		.summary = "rollouts as one HTML page: charts, and a table of trials that opens on "
			   "each",
		.text = "The page is one file and fetches nothing. Several rollouts are shown side "
			"by "
			"side and compared,\n"
			"the first that is named being the candidate. Texts that are too long are "
			"cut, "
			"and say where\n"
			"all of them is.",
		.examples = "rollouts report hello\n"
			    "rollouts report hello@20250824 -o hello.html\n"
			    "rollouts report bench bench@baseline -o nightly.html\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	q.output = q.output ? q.output : OUTPUT;
	q.max_bytes = q.max_bytes ? q.max_bytes : 1900000;
	return report(&q, &operands, &err) ? cmd_fail(&err) : CMD_OK;
}

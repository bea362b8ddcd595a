/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/export-work.h"
#include "core/datadir.h"
#include "model/messages.h"

enum { RECORDING_MAX = 1 << 30 };

struct writing {
	const struct export_work *w;
	double min_score; /* NAN: any, also none */
	struct buf text;
	size_t rows, without; /* trials without a recording */
};

static int read_min(const char *text, double *out, struct err *err)
{
	char *end = NULL;

	*out = NAN;
	if (!text)
		return 0;
	*out = strtod(text, &end);
	if (end == text || *end || !(*out >= 0 && *out <= 1))
		return err_set(err, ERR_USAGE, 0, "--min-score %s: scores lie between 0 and 1",
			       text);
	return 0;
}

static bool is_state(const char *word)
{
	for (int i = 0; i < STATE_COUNT_; i++)
		if (!strcmp(summary_state_name(i), word))
			return true;
	return false;
}

static int check(struct writing *x, struct err *err)
{
	const struct export_work *w = x->w;

	for (size_t i = 0; i < w->outcomes.n; i++)
		if (!is_state(w->outcomes.v[i]))
			return err_set(
				err, ERR_USAGE, 0,
				"--outcome %s: one of completed, timeout, agent_error, ... as "
				"summaries name them",
				w->outcomes.v[i]);
	return read_min(w->min_score, &x->min_score, err);
}

static bool is_wanted(const struct writing *x, const struct summary_row *row)
{
	const struct trial_status *t = row->status;

	if (!t->has_result || trial_excluded(t))
		return false;
	if (x->w->outcomes.n && !strv_has(&x->w->outcomes, summary_state_name(row->state)))
		return false;
	return isnan(x->min_score) ||
	       (row->standing == STANDING_SCORED && t->result.total_score >= x->min_score - 1e-12);
}

static void put_row(struct writing *x, const struct summary_row *row, size_t number,
		    const struct conversation_said *s)
{
	const struct trial *t = row->status->shared->setting;
	const struct trial_result *r = &row->status->result;
	AUTO(json) json_t *j = json_object();

	json_put_int(j, "v", 1);
	json_put_str(j, "run_id", RUN_ID(row->status));
	json_put_int(j, "conversation", (int64_t)number);
	json_put_str(j, "part", messages_part_name(s->part));
	json_put_str(j, "task", summary_task_name(x->w->summary, row));
	json_put_str(j, "model", *t->model ? t->model : NULL);
	json_put_str(j, "label", *t->variant ? t->variant : NULL);
	json_put_str(j, "agent", t->agent);
	json_put_int(j, "rollout", row->status->rollout);
	json_put_str(j, "model_served", *s->model ? s->model : NULL);
	json_put_str(j, "outcome", summary_state_name(row->state));
	json_put_real(j, "score", r->scored ? r->total_score : NAN);
	json_put_int(j, "calls", (int64_t)s->calls);
	json_put(j, "messages", json_incref(s->messages));
	json_put(j, "tools", json_incref(s->tools));
	json_format(&x->text, j, false);
	buf_addc(&x->text, '\n');
	x->rows++;
}

static int put_trial(struct writing *x, const struct summary_row *row, struct err *err)
{
	const struct trial_status *t = row->status;
	AUTO(free)
	char *path = datadir_attempt_file(RUN_ID(t), (int)t->result.attempt, ATTEMPT_RECORDING);
	AUTO(buf) struct buf recording = BUF_INIT;
	struct messages all;

	if (!path_exists(x->w->root_fd, path)) {
		x->without++;
		return 0;
	}
	if (path_read_beneath(x->w->root_fd, path, RECORDING_MAX, &recording, err))
		return -1;
	int status = messages_read(&all, &recording, err);
	for (size_t i = 0; i < all.n && !status; i++)
		put_row(x, row, i, &all.v[i]);
	x->without += !status && !all.n;
	messages_release(&all);
	return status ? err_wrap(err, "%s", RUN_ID(t)) : 0;
}

static int put_all(struct writing *x, struct err *err)
{
	const struct summary *s = x->w->summary;

	for (size_t i = 0; i < s->rows_n; i++)
		if (is_wanted(x, &s->rows[i]) && put_trial(x, &s->rows[i], err))
			return -1;
	if (x->w->output)
		return path_write(AT_FDCWD, x->w->output, x->text.data ? x->text.data : "",
				  x->text.len, 0644, false, err);
	if (fwrite(x->text.data, 1, x->text.len, stdout) != x->text.len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	return 0;
}

int export_messages(const struct export_work *w, struct err *err)
{
	struct writing x = {.w = w, .text = BUF_INIT};
	int status = check(&x, err) || put_all(&x, err) ? -1 : 0;

	if (!status && x.without) {
		AUTO(free)
		char *line =
			xasprintf("%zu trial%s left out: no recording of what was said to a model",
				  x.without, x.without == 1 ? "" : "s");
		cmd_warn(line);
	}
	buf_release(&x.text);
	return status;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/export-work.h"
#include "core/datadir.h"
#include "model/trajectory.h"

enum { RECORDING_MAX = 1 << 30 };

int export_trajectory(json_t **out, const struct export_work *w, const struct summary_row *row,
		      struct err *err)
{
	const struct trial_status *t = row->status;
	const struct trial_result *r = &t->result;
	AUTO(free) char *path = datadir_attempt_file(RUN_ID(t), r->attempt, ATTEMPT_RECORDING);
	AUTO(buf) struct buf recording = BUF_INIT;
	struct messages all = {0};

	*out = NULL;
	if (!t->has_result || !path_exists(w->root_fd, path))
		return 0;
	if (path_read_beneath(w->root_fd, path, RECORDING_MAX, &recording, err))
		return -1;
	int status = messages_read(&all, &recording, err);
	const struct trajectory_facts facts = {
		.session = RUN_ID(t),
		.agent = t->shared->setting->agent,
		.version = "",
		.model = t->shared->setting->model,
		.tokens_input = -1,
		.tokens_cached = -1,
		.tokens_output = -1,
		.usd = r->money_usd,
	};
	if (!status)
		*out = trajectory_make(&all, &facts);
	messages_release(&all);
	return status ? err_wrap(err, "%s", RUN_ID(t)) : 0;
}

static void put_extra(json_t *j, const struct export_work *w, const struct summary_row *row)
{
	const struct trial_status *t = row->status;
	json_t *extra = json_object();

	json_put_str(extra, "task", summary_task_name(w->summary, row));
	json_put_int(extra, "rollout", t->rollout);
	json_put_str(extra, "outcome", summary_state_name(row->state));
	json_put(extra, "score", t->result.scored ? json_real(t->result.total_score) : json_null());
	json_put(j, "extra", extra);
}

int export_atif(const struct export_work *w, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const struct summary *s = w->summary;
	size_t without = 0;

	for (size_t i = 0; i < s->rows_n; i++) {
		AUTO(json) json_t *j = NULL;
		if (export_trajectory(&j, w, &s->rows[i], err))
			return -1;
		without += !j;
		if (!j)
			continue;
		put_extra(j, w, &s->rows[i]);
		json_format(&text, j, false);
		buf_addc(&text, '\n');
	}
	if (without) {
		AUTO(free)
		char *line =
			xasprintf("%zu trial%s left out: no recording of what was said to a model",
				  without, without == 1 ? "" : "s");
		cmd_warn(line);
	}
	if (w->output)
		return path_write(AT_FDCWD, w->output, text.data ? text.data : "", text.len, 0644,
				  false, err);
	if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	return 0;
}

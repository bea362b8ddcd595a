/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <unistd.h>
#include "analysis/summary.h"
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "report/report.h"
#include "store/store.h"

int cmd_make_summary(struct buf *shown, const char *data, const char *name, const char *stamp,
		     struct err *err)
{
	const struct report_form form = {.format = REPORT_TERMINAL,
					 .width = report_width(STDOUT_FILENO)};
	struct rollout_ref ref = {0};
	struct summary sum;
	struct store store;
	struct rollout r;

	if (store_open(&store, data, false, err))
		return -1;
	int status =
		store_find(&store, name, stamp, &ref, err) || rollout_load(&r, &store, &ref, err)
			? -1
			: 0;
	if (!status) {
		summary_make(&sum, (const struct rollout *[]){&r}, 1, &SUMMARY_DEFAULT);
		if (shown)
			report_summary(shown, &sum, &r, &form);
		status = report_write_summary(&store, &sum, &r, err);
		summary_release(&sum);
		rollout_release(&r);
	}
	rollout_ref_release(&ref);
	store_close(&store);
	return status;
}

void cmd_write_summary(const char *data, const char *name, const char *stamp)
{
	struct err err;

	if (cmd_make_summary(NULL, data, name, stamp, &err))
		cmd_warn(err.msg);
}

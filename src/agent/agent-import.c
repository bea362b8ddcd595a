/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-kind.h"

/* Its work was done elsewhere, and was committed when the trial was made: see rollout/predictions.h. */
static int import_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
		      struct err *err)
{
	(void)job;
	(void)s;
	(void)out;
	return err_set(err, ERR_USAGE, 0,
		       "work that was imported cannot be made again: rollouts eval --predictions");
}

const struct agent_kind agent_import = {.name = "import", .run = import_run};

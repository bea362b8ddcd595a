/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * bash-command.h -- private to agent: one command of the built-in agent, run in the sandbox, and what the
 * model gets to see of it: head and tail of the output, and how it ended.
 */
#pragma once
#include "agent/agent.h"
#include "base/buf.h"
#include "base/strv.h"

#define BASH_SHOWN 5000		  /* bytes of each end of an output */
#define BASH_COMMAND_BYTES 100000 /* the kernel takes 128 KB in one argument */

struct bash_shell {
	const struct agent_job *job;
	struct sandbox *box;
	struct strv env;
	char *dir;
	struct capped_log *log; /* borrowed: gets all of the output */
	int64_t command_ms;	/* each command may take */
	bool no_bash;		/* sh has to do */
	bool dirty;		/* something may run in the background */
	bool ran;		/* a command: the state of the box is the agent's from then on */
	struct agent_metrics *metrics;
};

/* How a command ended for the whole run. */
enum bash_after {
	BASH_GOES_ON,
	BASH_LATE,  /* the job's time is over */
	BASH_SPENT, /* the sandbox's disk is used up, or its state lets nothing more be run */
};

/* Run COMMAND; OUT gets what to tell the model, WHY (256 bytes) the cause of BASH_SPENT. Returns an enum
 * bash_after, or -1 when the sandbox failed or we are to stop. */
int bash_command(struct bash_shell *s, const char *command, struct buf *out, char *why,
		 struct err *err) MUST_CHECK;
/* End what was left running. */
int bash_sweep(struct bash_shell *s, struct err *err) MUST_CHECK;

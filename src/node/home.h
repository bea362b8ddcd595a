/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * home.h -- `rollouts-node home`: the near end of far.h, started by a launcher's program for each job. It gives what the attempts of the job
 * need and nothing else, puts event lines into EVENTS.0 and archives, before the lines that name them, into OUT, and
 * leads model calls to the gateway of this machine. SIGTERM: the job is to end in order; SIGQUIT: at once.
 */
#pragma once
#include "base/strv.h"

struct home_request {
	const char *data, *out, *events;
	/* As struct node_request has it: "agent": of a task it gets the share that its agent may see (inputs.h). "evaluate": and it may ask for AGENT, an
	 * archive that came from there, as HOME_AGENT. */
	const char *alone, *agent;
	struct strv dirs; /* of attempts, below data */
	const char *const
		*command; /* whose standard streams lead to `rollouts-node far`; NULL: our own do */
};

#define HOME_AGENT "agent.tar" /* beside trial.json, for who asks */

enum home_status {
	HOME_DONE = 0, /* everything is here */
	HOME_CUT = 1,  /* the connection ended: start it again */
	HOME_USAGE = 2,
	HOME_GONE =
		3, /* what ran there is gone before it had ended, and all of its lines are here */
};

/* Blocks until the job is over or the connection ends. */
enum home_status home_run(const struct home_request *q);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * meter.h -- what lives beside the scheduler while a rollout runs: the gateway process, and the budget of the
 * benchmark. Journals what the rollout has cost, so that a budget counts over all supervisors of a rollout.
 */
#pragma once
#include "gatewaylink/process.h"
#include "rollout/leases.h"
#include "rollout/session.h"

struct meter {
	const struct session *s;
	const struct listener *listener;
	json_t *document;		 /* that the gateway is started with; borrowed */
	struct gateway_process *gateway; /* NULL: no model is asked through us */
	struct journal_cost before;	 /* by earlier supervisors; once closed, by this one too */
	struct leases leases;		 /* of trials whose models are asked elsewhere */
	struct gateway_totals told;	 /* as journalled last */
	char no_room[320];   /* why no lease fits into the budget any more; "": one may */
	int deaths;	     /* of the gateway, that were made up for */
	int64_t tell_ms;     /* not journalled before */
	int64_t wall_ms;     /* after so long nothing is started; 0: no such limit */
	int64_t wall_end_ms; /* when that is, as clock_mono_ms */
};

/* Starts the gateway when W has a document for it. M must be closed in any case. */
int meter_open(struct meter *m, const struct session *s, const struct listener *listener,
	       const struct session_work *w, struct err *err) MUST_CHECK;
/* To be handed to the scheduler; valid as long as M. */
struct sched_hook meter_hook(struct meter *m);
/* End the gateway, journal the last of what it cost. */
void meter_close(struct meter *m);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * leases.h -- the budget of a benchmark among trials whose models are asked by a gateway of another machine. Each has a lease of what
 * its own limits let it spend, from before it is started until its call log is here; then what that shows was spent. Where
 * it never came, since the node was lost, the lease stays out until the trial's deadline has passed (nobody knows that the node does not go on), and
 * then what the node had told of the log was spent (EVENT_SPENDING), and a call more. Where a provider has max_in_flight, each trial holds one of those calls
 * as well, which is what its gateway has at least (node/node-gateway.h): so all of them together never ask more at once.
 */
#pragma once
#include "rollout/session.h"

struct leases {
	const struct session *s;
	const json_t *providers; /* of the gateways' document; borrowed */
	struct lease *v;
	size_t n, cap;
	struct journal_cost spent; /* by leases that were given back since the start */
	struct journal_cost out;   /* of those that are out */
};

/* Those of trials that an earlier supervisor left running are out. */
void leases_open(struct leases *l, const struct session *s, const json_t *document);
/* Whether trial I has one, or there is room for it in what is left of the budget after SPENT: then it has one from here on. */
bool leases_take(struct leases *l, size_t i, const struct journal_cost *spent);
/* Give back those of trials that have ended. True: `spent` has changed. */
bool leases_return(struct leases *l);
/* What the worker of trial I says: a phase, or what it has spent. */
void leases_hear(struct leases *l, size_t i, const char *event, const json_t *line);
/* When the next lease of a lost node comes back, as clock_mono_ms; -1: none is to. */
int64_t leases_due(const struct leases *l);
/* At the end of a run: give back all that can be, those of lost nodes before their time. True: `spent` has changed. */
bool leases_settle(struct leases *l);
void leases_close(struct leases *l);
/* Whether models of T are asked elsewhere, and what T may spend there. It has limits of the kind that the budget is in. */
bool lease_is_needed(const struct session *s, const struct trial *t);
struct journal_cost lease_of(const struct session *s, const struct trial *t);

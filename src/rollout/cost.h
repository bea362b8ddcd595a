/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cost.h -- what the attempts of a rollout have cost by their own logs. The gateway writes a line for each call as
 * it ends; its totals are told and journalled now and then only, and the last ones are lost with it.
 */
#pragma once
#include "rollout/session.h"

/* Add what the call logs of an attempt of trial I show. */
void cost_of_attempt(struct journal_cost *to, const struct session *s, size_t i, int attempt);
/* Raise each number of *OUT, that stands in the journal, to what the logs of S's attempts add up to. */
void cost_raise(struct journal_cost *out, const struct session *s);

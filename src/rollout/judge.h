/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge.h -- who judges the rubrics of a benchmark.
 */
#pragma once
#include "base/strv.h"
#include "config/providers.h"
#include "core/judge.h"
#include "core/trial.h"

/* Make of what a benchmark's [judge] says (J, of which provider, model_id and api are still NULL) one that can be asked: who
 * answers its model, in which dialect. J is left with a provider of NULL when it is off or names no model. ERR_USAGE
 * naming the model and the remedy when nobody answers it, when it is on without a model, and when it has a limit in money that
 * no price is known for. */
int judge_settle(struct judge *j, const struct providers *p, struct err *err) MUST_CHECK;
/* "openai", "anthropic" ...: who trained the model, as far as its name tells; else the name up to its first dash. */
void judge_family(const char *model, char *out, size_t size);
/* A remark for people when J is of the family of a model that it judges: added to NOTES. */
void judge_advise(const struct judge *j, const struct trial *trials, size_t n, struct strv *notes);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge-reuse.h -- private to eval: what a judge answered before the evaluation failed is not paid for twice.
 */
#pragma once
#include "eval/judge-doc.h"

/* The verdicts of the attempt before this one, which was not graded to its end. */
struct earlier_verdicts {
	char code[FENCE_CODE]; /* of its fences; "": there are none to be taken */
	json_t *votes;	       /* array of their lines */
};

void earlier_verdicts_read(struct earlier_verdicts *out, const struct eval_job *job);
void earlier_verdicts_release(struct earlier_verdicts *e);
/* Give the votes on D those answers to the same prompt that have a score. VOTES: how many D has. */
void earlier_verdicts_take(const struct earlier_verdicts *e, struct judged *d, int votes);

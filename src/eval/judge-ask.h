/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge-ask.h -- private to eval: asking a judge. One request for each vote on each rubric, many at a time.
 */
#pragma once
#include "eval/judge-form.h"
#include "eval/judge-prompt.h"
#include "model/conversation.h"

/* One answer to be had, and what became of it. */
struct judge_vote {
	const struct judge_prompt *prompt; /* borrowed */
	bool binary;
	/* Set by judge_ask. */
	struct judge_verdict
		verdict; /* its kind VERDICT_INVALID where the vote does not count, for `reason` */
	char *reason;	 /* one line; NULL where there is a score */
	bool control_wrong; /* the control statement was judged wrongly, or not at all */
	json_t *exchanges;  /* each request of it: {status, answer, input, cached, output}; owned */
	unsigned dropped;   /* what of the form the provider refused: enum form_part */
	int failed;	    /* the judge could not be asked: err says how */
	struct err err;
	bool reused; /* verdict and exchanges are those of an earlier attempt: nothing is asked */
};

/* Ask for the N votes, and wait for all of them. Where an answer is no verdict it is asked for once more. A vote that
 * cannot be had because of the model (a refusal, a cut answer, no verdict twice) has its reason; one that cannot be had because
 * nobody answers has failed. */
void judge_ask(const struct judge *j, const struct model_client *client, struct judge_vote *votes,
	       size_t n);
/* Whether the control statement was judged rightly, in v->control_wrong; of a vote with a verdict. */
void judge_vote_check(struct judge_vote *v);
void judge_vote_release(struct judge_vote *v);

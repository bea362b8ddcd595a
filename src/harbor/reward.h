/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * reward.h -- what a Harbor verifier said: reward.json (any keys, numbers only) before reward.txt, read as strictly as Harbor reads
 * them; and what the rewards of several steps come to. Nothing here makes a 0 of what is missing.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/score.h"

/* By Harbor's names, which its users look for. */
#define REWARD_NOT_FOUND "RewardFileNotFoundError"
#define REWARD_EMPTY "RewardFileEmptyError"
#define REWARD_UNREADABLE "VerifierOutputParseError"

struct reward {
	json_t *values;	   /* {key: number}, owned; NULL: there is none */
	const char *error; /* then one of the above; NULL where there are values */
	char why[200];	   /* and what was found, one line */
};

/* JSON and TXT are the files' bytes, NULL where there is no such file. */
void reward_read(struct reward *out, const char *json, size_t json_n, const char *txt,
		 size_t txt_n);
void reward_release(struct reward *r);

/* Whether VALUES pass min_reward GATE: a number for the key "reward", or a table of keys; null passes. */
bool reward_passes(const json_t *values, const json_t *gate);
/* Of the values of the steps that have a result, in order (NULL members: none): the mean of each key, a missing one being 0, or the
 * last. NULL where no step has any; else a new reference. */
json_t *reward_of_steps(json_t *const *values, size_t n, const char *strategy);
/* The one number that VALUES come to: the key CHOSEN, else "reward", else their mean, which *MEAN then says. False: there is none. */
bool reward_total(const json_t *values, const char *chosen, double *out, bool *mean);

/* What VALUES (NULL: there are none) come to as a score, with CHOSEN as in reward_total. */
struct reward_score {
	bool scored; /* TOTAL is a score, 0..1 */
	bool mean;   /* of several keys, none of which is "reward" */
	double total;
	char why[120]; /* why it is none, "" where that is known already: there are no values */
};
/* Each of VALUES is added to OUT; what is outside of 0..1 stays a reward, and is unscored there with that reason. */
void reward_grade(struct scores *out, const json_t *values, const char *chosen,
		  struct reward_score *got);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge.h -- the model that grades rubrics, and how it is asked: as a benchmark's [judge] says it, as plan.json keeps
 * it once it is known who answers, and as trial.json hands it to a worker. Its account at the gateway is apart from the
 * agent's: a token, limits, logs and numbers of its own. Only the benchmark's budget sees both.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

enum judge_enabled { JUDGE_AUTO, JUDGE_ON, JUDGE_OFF };
enum judge_only { JUDGE_UNSCORED, JUDGE_ALL };

struct judge {
	/* Who: of a plan or an attempt NULL all three where nobody is asked. */
	char *provider; /* of config/providers.h */
	char *model_id; /* the name the provider knows it by */
	char *api; /* the dialect it is asked in; NULL: an account without a grader that uses it */
	char *model; /* as the benchmark names it; NULL: it names none */
	/* How. */
	int enabled;		   /* enum judge_enabled, of a benchmark */
	int only;		   /* enum judge_only: rubrics without tests, or each */
	int votes;		   /* answers to each rubric */
	char *effort;		   /* NULL: the model's own */
	double temperature, top_p; /* -1: the model's own, and nothing is sent */
	int64_t max_diff_bytes;	   /* of the diff that it is shown */
	bool canary;		   /* a question with a known answer rides along */
	int64_t tokens, calls;	   /* limits of one attempt, 0: none */
	double usd;
};

extern const struct judge judge_default;

void judge_release(struct judge *j);
json_t *judge_to_json(const struct judge *j); /* null where nobody is asked; a new reference */
/* J may be null or NULL: OUT is then judge_default. ERR_USAGE naming WHERE. */
int judge_from_json(struct judge *out, const json_t *j, const char *where,
		    struct err *err) MUST_CHECK;

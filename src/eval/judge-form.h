/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge-form.h -- private to eval: the form that a judge's answer has. One schema, always the same, whatever the
 * rubric and the provider: some compile each new one, and allow few of them. Pure.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/buf.h"

#define JUDGE_FORM_NAME "verdict"

/* Required members only, null where there is nothing to say, no bounds (not every provider takes them), the reasons before
 * the score. A new reference. */
json_t *judge_form_schema(void);

enum verdict_kind {
	VERDICT_INVALID,     /* no answer in this form: why is said */
	VERDICT_CANNOT_TELL, /* the judge says that it cannot tell */
	VERDICT_SCORE,
};

struct judge_verdict {
	enum verdict_kind kind;
	double score;				  /* 0..1; of a binary criterion 0 or 1 */
	char *reasoning, *evidence, *suggestions; /* owned; "" where there are none */
	int control; /* what it says of the control statement: 1 true, 0 false, -1 nothing */
};

/* Read TEXT, a model's answer: the object alone, or in a code block, or after words. BINARY: the criterion is met or not
 * met. WHY gets one line where it is VERDICT_INVALID, naming the member; OUT must be released in any case. */
void judge_form_read(struct judge_verdict *out, const char *text, size_t len, bool binary,
		     struct buf *why);
void judge_verdict_release(struct judge_verdict *v);

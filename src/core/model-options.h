/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * model-options.h -- how a trial's model is asked to answer, beyond what its provider does by itself: as a benchmark's
 * model_options say it, as a trial is planned with it, and as a result keeps what was sent. Which of them a model takes is
 * known to model/options.h.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { MODEL_WORD = 24 };

struct model_options {
	char effort[MODEL_WORD]; /* of reasoning: "low"; "": the model's own, as for all below */
	char thinking
		[MODEL_WORD]; /* "adaptive", "enabled", "disabled", or at most so many tokens */
	double temperature, top_p; /* negative */
	int64_t seed;		   /* negative */
	int64_t max_output_tokens; /* of one answer; 0 */
};

extern const struct model_options model_options_default;

bool model_options_any(const struct model_options *o); /* says anything */
bool model_options_equal(const struct model_options *a, const struct model_options *b);
/* What O says, and nothing else; a new reference. */
json_t *model_options_to_json(const struct model_options *o);
void model_options_from_json(struct model_options *o, const json_t *j); /* J may be NULL */

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * options.h -- which model options (core/model-options.h) a dialect has a field for and a model is known to take. Of
 * models that no rule here names, the provider has the word.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "core/api.h"
#include "core/model-options.h"

/* Whether O cannot be asked of MODEL by API: OUT then names the option, why, and the remedy. */
bool model_options_refused(const struct model_options *o, enum api api, const char *model,
			   char *out, size_t size);
/* O's thinking as a number of tokens; -1: it is a word, or not said. */
int64_t model_options_thinking_tokens(const struct model_options *o);

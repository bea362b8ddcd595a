/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/model-options.h"
#include <stdio.h>
#include "base/cleanup.h"
#include "base/json.h"

const struct model_options model_options_default = {.temperature = -1, .top_p = -1, .seed = -1};

json_t *model_options_to_json(const struct model_options *o)
{
	json_t *j = json_object();

	if (*o->effort)
		json_put_str(j, "effort", o->effort);
	if (*o->thinking)
		json_put_str(j, "thinking", o->thinking);
	if (o->temperature >= 0)
		json_put_real(j, "temperature", o->temperature);
	if (o->top_p >= 0)
		json_put_real(j, "top_p", o->top_p);
	if (o->seed >= 0)
		json_put_int(j, "seed", o->seed);
	if (o->max_output_tokens)
		json_put_int(j, "max_output_tokens", o->max_output_tokens);
	return j;
}

void model_options_from_json(struct model_options *o, const json_t *j)
{
	*o = model_options_default;
	snprintf(o->effort, sizeof o->effort, "%s", json_get_str(j, "effort", ""));
	snprintf(o->thinking, sizeof o->thinking, "%s", json_get_str(j, "thinking", ""));
	o->temperature = json_get_real(j, "temperature", -1);
	o->top_p = json_get_real(j, "top_p", -1);
	o->seed = json_get_int(j, "seed", -1);
	o->max_output_tokens = json_get_int(j, "max_output_tokens", 0);
}

bool model_options_equal(const struct model_options *a, const struct model_options *b)
{
	AUTO(json) json_t *x = model_options_to_json(a);
	AUTO(json) json_t *y = model_options_to_json(b);

	return json_equal(x, y);
}

bool model_options_any(const struct model_options *o)
{
	return !model_options_equal(o, &model_options_default);
}

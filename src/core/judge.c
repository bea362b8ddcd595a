/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/judge.h"
#include <stdlib.h>
#include "base/json.h"
#include "base/mem.h"
#include "core/json-fields.h"

const struct judge judge_default = {
	.votes = 1,
	.temperature = -1,
	.top_p = -1,
	.max_diff_bytes = 128 << 10,
};

#define JUDGE(member, kind, required) JSON_FIELD(struct judge, member, kind, required)
static const struct json_field fields[] = {
	JUDGE(provider, FIELD_STR, true),
	JUDGE(model_id, FIELD_STR, true),
	JUDGE(api, FIELD_STR, false),
	JUDGE(model, FIELD_STR, false),
	JUDGE(only, FIELD_INT, false),
	JUDGE(votes, FIELD_INT, false),
	JUDGE(effort, FIELD_STR, false),
	JUDGE(temperature, FIELD_KNOWN, false),
	JUDGE(top_p, FIELD_KNOWN, false),
	JUDGE(canary, FIELD_BOOL, false),
	JUDGE(max_diff_bytes, FIELD_INT64, false),
	JUDGE(tokens, FIELD_INT64, false),
	JUDGE(calls, FIELD_INT64, false),
	JUDGE(usd, FIELD_REAL, false),
};

void judge_release(struct judge *j)
{
	free(j->provider);
	free(j->model_id);
	free(j->api);
	free(j->model);
	free(j->effort);
	*j = judge_default;
}

json_t *judge_to_json(const struct judge *j)
{
	json_t *obj;

	if (!j->provider)
		return json_null();
	obj = json_object();
	json_fields_write(obj, j, fields, ARRAY_SIZE(fields));
	return obj;
}

int judge_from_json(struct judge *out, const json_t *j, const char *where, struct err *err)
{
	*out = judge_default;
	if (!json_is_object(j))
		return 0;
	if (json_fields_read(out, fields, ARRAY_SIZE(fields), j, where, err)) {
		judge_release(out);
		return err_wrap(err, "\"judge\"");
	}
	return 0;
}

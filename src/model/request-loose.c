/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "model/request.h"

enum { DEPTH = 64 };

static void drop(json_t *object, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_object_del(object, names[i]);
}

/* What a tool answered, in each dialect: an item "function_call_output", a block "tool_result", a message of the role
 * "tool", a part "functionResponse" (Google takes "function_response" as well, and litellm writes that). */
static void drop_tool_output(json_t *object)
{
	static const char *const answer[] = {"output", "content", "status", "is_error"};
	const char *type = json_get_str(object, "type", "");
	json_t *response = json_object_get(object, "functionResponse");

	if (!response)
		response = json_object_get(object, "function_response");
	if (text_ends_with(type, "_output") || text_ends_with(type, "tool_result") ||
	    !strcmp(json_get_str(object, "role", ""), "tool"))
		drop(object, answer, ARRAY_SIZE(answer));
	if (json_is_object(response))
		json_object_del(response, "response");
}

static void loosen(json_t *j, int depth)
{
	static const char *const ids[] = {"id", "call_id", "tool_call_id", "tool_use_id"};
	const char *key;
	json_t *value;
	size_t i;

	if (depth > DEPTH)
		return;
	json_array_foreach (j, i, value)
		loosen(value, depth + 1);
	if (!json_is_object(j))
		return;
	drop_tool_output(j);
	if (depth)
		drop(j, ids, ARRAY_SIZE(ids));
	json_object_foreach (j, key, value)
		loosen(value, depth + 1);
}

void model_request_loose_hash(const char *method, const char *path, const char *body, size_t len,
			      char out[HASH_HEX])
{
	AUTO(json) json_t *j = json_foreign(body, len);
	AUTO(buf) struct buf text = BUF_INIT;

	loosen(j, 0);
	if (j)
		json_format(&text, j, false);
	else
		buf_add(&text, body, len);
	model_request_hash(method, path, text.data ? text.data : "", text.len, out);
}

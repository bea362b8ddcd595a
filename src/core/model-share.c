/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/model-share.h"
#include <stdio.h>
#include <string.h>
#include "base/json.h"

static struct model_share *find(struct model_shares *s, const char *model, const char *provider)
{
	for (int i = 0; i < s->n; i++)
		if (strcmp(s->v[i].model, model) == 0 && strcmp(s->v[i].provider, provider) == 0)
			return &s->v[i];
	if (s->n == SHARES_MAX)
		return NULL;
	struct model_share *one = &s->v[s->n++];
	*one = (struct model_share){0};
	snprintf(one->model, sizeof one->model, "%s", model);
	snprintf(one->provider, sizeof one->provider, "%s", provider);
	return one;
}

void model_shares_add(struct model_shares *s, const char *model, const char *provider,
		      int64_t tokens, double usd)
{
	struct model_share *one = find(s, model, provider);

	if (!one)
		return;
	one->calls++;
	one->tokens += tokens;
	one->usd = usd < 0 || one->usd < 0 ? -1 : one->usd + usd;
}

json_t *model_shares_to_json(const struct model_shares *s)
{
	json_t *list = json_array();

	for (int i = 0; i < s->n; i++) {
		const struct model_share *one = &s->v[i];
		json_t *j = json_object();
		json_put_str(j, "model", one->model);
		json_put_str(j, "provider", one->provider);
		json_put_int(j, "calls", one->calls);
		json_put_int(j, "tokens", one->tokens);
		json_put(j, "usd", one->usd < 0 ? json_null() : json_real(one->usd));
		json_array_append_new(list, j);
	}
	return list;
}

void model_shares_from_json(struct model_shares *s, const json_t *list)
{
	size_t i;
	json_t *j;

	*s = (struct model_shares){0};
	json_array_foreach ((json_t *)list, i, j) {
		struct model_share *one =
			find(s, json_get_str(j, "model", ""), json_get_str(j, "provider", ""));
		if (!one)
			return;
		one->calls = json_get_int(j, "calls", 0);
		one->tokens = json_get_int(j, "tokens", 0);
		one->usd = json_get_real(j, "usd", -1);
	}
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/judge.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/mem.h"

/* Where several are spoken, the one whose answers are bound to a schema at more providers. */
static const char *choose_api(const struct provider *v)
{
	static const char *const order[] = {"responses", "anthropic", "gemini", "chat"};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (strv_has(&v->apis, order[i]))
			return order[i];
	return v->apis.v[0];
}

int judge_settle(struct judge *j, const struct providers *p, struct err *err)
{
	struct route route;

	if (j->enabled == JUDGE_OFF || (j->enabled == JUDGE_AUTO && !j->model))
		return 0;
	if (!j->model)
		return err_set(err, ERR_USAGE, 0,
			       "[judge] is enabled and names no model: add model = \"...\"");
	if (providers_route(p, j->model, &route, err))
		return err_wrap(err, "[judge]");
	if (j->usd > 0 && !route.price->known)
		return err_set(err, ERR_USAGE, 0,
			       "[judge] cost_limit_usd cannot be kept: no price is known of the "
			       "model \"%s\"; give one in [[models]] of providers.toml",
			       j->model);
	j->provider = xstrdup(route.provider->name);
	j->model_id = xstrdup(route.model_id);
	j->api = xstrdup(choose_api(route.provider));
	return 0;
}

void judge_family(const char *model, char *out, size_t size)
{
	static const struct {
		const char *start, *family;
	} known[] = {
		{"gpt", "openai"},	  {"chatgpt", "openai"},    {"codex", "openai"},
		{"o1", "openai"},	  {"o3", "openai"},	    {"o4", "openai"},
		{"claude", "anthropic"},  {"gemini", "google"},	    {"gemma", "google"},
		{"mistral", "mistral"},	  {"codestral", "mistral"}, {"devstral", "mistral"},
		{"magistral", "mistral"}, {"ministral", "mistral"}, {"mixtral", "mistral"},
		{"qwen", "qwen"},	  {"qwq", "qwen"},	    {"llama", "meta"},
		{"meta-llama", "meta"},	  {"deepseek", "deepseek"}, {"grok", "xai"},
		{"glm", "zhipu"},	  {"kimi", "moonshot"},	    {"moonshot", "moonshot"},
	};
	const char *slash = strrchr(model, '/'); /* "openai/gpt-5", as routers name them */
	const char *name = slash ? slash + 1 : model;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strncasecmp(name, known[i].start, strlen(known[i].start)) == 0) {
			snprintf(out, size, "%s", known[i].family);
			return;
		}
	snprintf(out, size, "%.*s", (int)strcspn(name, "-:"), name);
}

void judge_advise(const struct judge *j, const struct trial *trials, size_t n, struct strv *notes)
{
	char mine[64], other[64];

	if (!j->provider)
		return;
	judge_family(j->model_id, mine, sizeof mine);
	for (size_t i = 0; i < n; i++) {
		const struct trial *t = &trials[i];

		if (!*t->model_id)
			continue;
		judge_family(t->model_id, other, sizeof other);
		if (strcasecmp(mine, other) != 0)
			continue;
		strv_pushf(notes,
			   "the judge %s is of the same family (%s) as %s, whose work it judges: "
			   "models favour their own; a judge of another family is advised",
			   j->model, mine, t->model);
		return;
	}
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/text.h"

enum option {
	OPTION_EFFORT,
	OPTION_THINKING,
	OPTION_TOKENS, /* thinking = N */
	OPTION_SAMPLING,
	OPTION_SEED,
};

static const char *const names[] = {"effort", "thinking", "thinking as a number of tokens",
				    "temperature and top_p", "seed"};

/* What a provider answers with a 400. */
struct rule {
	int api;	    /* -1: any */
	const char *models; /* globs, separated by spaces */
	enum option option;
	const char *values; /* those of it that are refused, separated by spaces; NULL: all */
	const char *why;
};

/* Anthropic's before there was an effort, and those since which samples as it likes. */
#define CLAUDE_OLD                                                                                 \
	"*claude-3-* *claude-opus-4-0* *claude-opus-4-1* *claude-opus-4-2025* "                    \
	"*claude-sonnet-4-0* "                                                                     \
	"*claude-sonnet-4-2025* *claude-sonnet-4-5* *claude-haiku-4-5*"
#define CLAUDE_NEW                                                                                 \
	"*claude-opus-4-7* *claude-opus-4-8* *claude-opus-5* *claude-sonnet-5* *claude-haiku-5* "  \
	"*claude-fable-* *claude-mythos-*"
#define GPT_REASONS "gpt-5* */gpt-5* gpt-6* */gpt-6* o1* */o1* o3* */o3* o4* */o4*"
#define GPT_ALWAYS "*gpt-6-astra* *gpt-6.1-sol* *gpt-6.2-*"
#define GPT_PLAIN "*gpt-3.5* *gpt-4*"

static const struct rule rules[] = {
	{API_RESPONSES, "*", OPTION_SEED, NULL, "this API has no field for it"},
	{API_ANTHROPIC, "*", OPTION_SEED, NULL, "this API has no field for it"},
	{API_RESPONSES, "*", OPTION_THINKING, NULL, "this API has no field for it; write effort"},
	{API_RESPONSES, "*", OPTION_TOKENS, NULL, "this API has no field for it; write effort"},
	{API_CHAT, "*", OPTION_TOKENS, NULL, "this API has no field for it; write effort"},
	{API_CHAT, "*", OPTION_THINKING, "adaptive", "this API knows enabled and disabled"},
	{API_CHAT, GPT_REASONS " " GPT_PLAIN, OPTION_THINKING, NULL,
	 "this API has no field for it; write effort"},
	{API_ANTHROPIC, "*", OPTION_EFFORT, "none minimal",
	 "it knows low, medium, high, xhigh, max"},
	{API_ANTHROPIC, CLAUDE_OLD, OPTION_EFFORT, NULL,
	 "this model has none; write thinking, a number of tokens"},
	{API_ANTHROPIC, "*claude-opus-4-5*", OPTION_EFFORT, "xhigh max",
	 "it knows low, medium, high"},
	{API_ANTHROPIC, CLAUDE_OLD " *claude-opus-4-5*", OPTION_THINKING, "adaptive",
	 "this model wants a number of tokens, at least 1024"},
	{API_ANTHROPIC, "*", OPTION_THINKING, "enabled",
	 "write adaptive, or, for models up to Claude 4.6, a number of tokens"},
	{API_ANTHROPIC, CLAUDE_NEW, OPTION_TOKENS, NULL,
	 "this model wants adaptive, and an effort"},
	{API_ANTHROPIC, "*claude-fable-* *claude-mythos-* *claude-opus-5-5* *claude-sonnet-5-5*",
	 OPTION_THINKING, "disabled", "this model always thinks; write effort = \"low\""},
	{API_ANTHROPIC, CLAUDE_NEW, OPTION_SAMPLING, NULL, "this model answers 400 to them"},
	{API_GEMINI, "*", OPTION_EFFORT, "none max", "it knows minimal, low, medium, high, xhigh"},
	{API_GEMINI, "*gemini-4*", OPTION_EFFORT, "minimal", "it knows low, medium, high, xhigh"},
	{API_GEMINI, "*gemini-1* *gemini-2*", OPTION_EFFORT, NULL,
	 "this model has none; write thinking, a number of tokens"},
	{API_GEMINI, "*", OPTION_THINKING, "enabled", "write a number of tokens, or adaptive"},
	{API_GEMINI, "*gemini-3* *gemini-4*", OPTION_THINKING, NULL, "this model wants an effort"},
	{API_GEMINI, "*gemini-3* *gemini-4*", OPTION_TOKENS, NULL, "this model wants an effort"},
	{-1, GPT_PLAIN, OPTION_EFFORT, NULL, "this model does not reason"},
	{-1, GPT_ALWAYS, OPTION_EFFORT, "none minimal", "it knows low, medium, high, xhigh, max"},
	{-1, "gpt-5 */gpt-5 gpt-5-* */gpt-5-* o1* */o1* o3* */o3* o4* */o4*", OPTION_EFFORT,
	 "none xhigh max", "it knows low, medium, high"},
	{-1, "*grok-4.20-*reasoning*", OPTION_EFFORT, NULL, "this model refuses any"},
};

static bool is_among(const char *list, const char *text, bool globs)
{
	char word[64];

	for (size_t n; *list; list += n + (list[n] == ' ')) {
		n = strcspn(list, " ");
		snprintf(word, sizeof word, "%.*s", (int)n, list);
		if (globs ? text_glob(word, text) : strcmp(word, text) == 0)
			return true;
	}
	return false;
}

int64_t model_options_thinking_tokens(const struct model_options *o)
{
	return *o->thinking >= '0' && *o->thinking <= '9' ? strtoll(o->thinking, NULL, 10) : -1;
}

/* "": it is not said. */
static const char *said(const struct model_options *o, enum option option)
{
	const bool is_number = model_options_thinking_tokens(o) >= 0;

	switch (option) {
	case OPTION_EFFORT:
		return o->effort;
	case OPTION_THINKING:
		return is_number ? "" : o->thinking;
	case OPTION_TOKENS:
		return is_number ? o->thinking : "";
	case OPTION_SAMPLING:
		return o->temperature >= 0 || o->top_p >= 0 ? "given" : "";
	default:
		return o->seed >= 0 ? "given" : "";
	}
}

/* What is wrong with options beside each other, or with their numbers. */
static const char *clash(const struct model_options *o, enum api api, const char *model)
{
	const bool sampling = o->temperature >= 0 || o->top_p >= 0;
	const int64_t tokens = model_options_thinking_tokens(o);

	if (sampling && is_among(GPT_REASONS, model, true) && strcmp(o->effort, "none"))
		return "temperature and top_p: a model that reasons answers 400 to them, but with "
		       "effort = \"none\" where it knows that";
	if (api == API_ANTHROPIC && o->temperature > 1)
		return "temperature: this API takes 0 to 1";
	if (api == API_ANTHROPIC && sampling && *o->thinking && strcmp(o->thinking, "disabled"))
		return "temperature and top_p: this API takes none while the model thinks";
	if (api == API_ANTHROPIC && tokens >= 0 && tokens < 1024)
		return "thinking: this API takes at least 1024 tokens";
	if (tokens > 0 && o->max_output_tokens && tokens >= o->max_output_tokens)
		return "thinking: must be less than max_output_tokens, of which it is a part";
	if (api == API_RESPONSES && o->max_output_tokens && o->max_output_tokens < 16)
		return "max_output_tokens: this API takes at least 16";
	return NULL;
}

bool model_options_refused(const struct model_options *o, enum api api, const char *model,
			   char *out, size_t size)
{
	const char *why = clash(o, api, model);

	if (why) {
		snprintf(out, size, "%s", why);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];
		const char *value = said(o, r->option);
		if (!*value || (r->api >= 0 && r->api != (int)api) ||
		    !is_among(r->models, model, true) ||
		    (r->values && !is_among(r->values, value, false)))
			continue;
		snprintf(out, size, "%s%s%s%s: %s", names[r->option], r->values ? " = \"" : "",
			 r->values ? value : "", r->values ? "\"" : "", r->why);
		return true;
	}
	return false;
}

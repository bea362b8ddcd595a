/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-rule.h -- private to agent: one rule of an agent file's `output`, and the value it finds.
 */
#pragma once
#include <jansson.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/strv.h"

enum agent_format { FORMAT_TEXT, FORMAT_JSONL, FORMAT_JSON };

enum agent_how { HOW_LAST, HOW_ADD, HOW_MAX, HOW_COUNT };

/* Numbers first, then texts. */
enum agent_field {
	F_TOKENS_INPUT,
	F_TOKENS_CACHED,
	F_TOKENS_OUTPUT,
	F_TOKENS_TOTAL,
	F_TOOL_CALLS,
	F_TURNS,
	F_MONEY_USD,
	F_FINAL_MESSAGE,
	F_VERSION,
	F_ERROR,
	F_SETUP_ERROR, /* what failed before it began; no later line takes it back */
	F_LIMIT,       /* a limit that somebody set was reached */
	F_METRIC,      /* "metrics.NAME": a number, but of the rule's own name */
	F_COUNT_
};
#define F_FIRST_TEXT F_FINAL_MESSAGE

static inline bool agent_field_is_text(enum agent_field f)
{
	return f >= F_FIRST_TEXT && f != F_METRIC;
}

struct agent_rule {
	const json_t *match;   /* object or NULL; borrowed from the spec, as the next */
	const json_t *pointer; /* string, array of strings, or NULL */
	regex_t regex;
	bool has_regex;
	bool of_stderr; /* the regex is for lines of standard error, and for nothing else */
	enum agent_field field;
	enum agent_how how;
	const char *metric; /* of F_METRIC; borrowed from the spec */
	int64_t line;	    /* used by agent-output.c: the line that matched last */
};

struct agent_value {
	bool found;
	double number;
	const char *text; /* borrowed from what the rule was tried on; NULL for a number */
	size_t text_len;
};

bool agent_format_parse(const char *name, enum agent_format *out);
/* Make a rule of J. Returns what is wrong with it, or NULL; then it is to be released. */
const char *agent_rule_compile(struct agent_rule *out, const json_t *j, enum agent_format format);
void agent_rule_release(struct agent_rule *r);
/* Whether R matches DOC, or LINE. Then *out is the value it finds there; it may find none. */
bool agent_rule_json(const struct agent_rule *r, const json_t *doc, struct agent_value *out);
bool agent_rule_text(const struct agent_rule *r, const char *line, struct agent_value *out);
/* A cheap test before parsing: add words to MARKS, without any of which a JSON text cannot match R.
 * False: R has no such words. */
bool agent_rule_marks(const struct agent_rule *r, struct strv *marks);

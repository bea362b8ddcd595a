/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * config-keys.h -- inside src/config: the tables of a benchmark file and the keys that each may hold.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum key_id {
	KEY_NAME,
	KEY_PARALLEL,
	KEY_FAIL_FAST,
	KEY_ALLOW_WEAKER,
	KEY_FAIL_ON_ERROR,
	KEY_BUILD_TIMEOUT,
	KEY_TOOLS,
	KEY_CACHES,
	KEY_PREPARED_DIR,
	KEY_ONLY,
	KEY_EXCLUDE,
	KEY_LABEL,
	KEY_AGENT,
	KEY_AGENTS,
	KEY_MODEL,
	KEY_MODELS,
	KEY_ROLLOUTS,
	KEY_APPLY_OVERRIDES,
	KEY_OVERRIDES,
	KEY_SANDBOX,
	KEY_WORKSPACE,
	KEY_LAUNCHER,
	KEY_NETWORK,
	KEY_TASK_NETWORK,
	KEY_VERIFIER_NETWORK,
	KEY_VERIFIER_TOOLS,
	KEY_REWARD,
	KEY_TIMEOUT,
	KEY_WALL_TIMEOUT,
	KEY_EVAL_TIMEOUT,
	KEY_EVAL_TOTAL,
	KEY_EVAL_RETRIES,
	KEY_CPUS,
	KEY_MEMORY,
	KEY_DISK,
	KEY_DISK_FILES,
	KEY_DIFF,
	KEY_PROCESSES,
	KEY_RETRIES,
	KEY_EVALUATE,
	KEY_SCORING,
	KEY_SEED,
	KEY_TOKEN_LIMIT,
	KEY_COST_LIMIT,
	KEY_CALL_LIMIT,
	KEY_BUDGET_USD,
	KEY_BUDGET_TOKENS,
	KEY_BUDGET_WALL,
	KEY_MAX_FORECAST,
	KEY_BUDGET_HARD,
	KEY_OPTION_EFFORT,
	KEY_OPTION_THINKING,
	KEY_OPTION_TEMPERATURE,
	KEY_OPTION_TOP_P,
	KEY_OPTION_SEED,
	KEY_OPTION_OUTPUT,
	KEY_JUDGE_MODEL,
	KEY_JUDGE_ENABLED,
	KEY_JUDGE_ONLY,
	KEY_JUDGE_VOTES,
	KEY_JUDGE_EFFORT,
	KEY_JUDGE_TEMPERATURE,
	KEY_JUDGE_TOP_P,
	KEY_JUDGE_DIFF,
	KEY_JUDGE_CANARY,
	KEY_JUDGE_TOKENS,
	KEY_JUDGE_COST,
	KEY_JUDGE_CALLS,
	KEY_ROLES,
	KEY_ENV, /* environment_variables: kept in layer.env */
	KEY_COUNT_
};

enum key_type {
	TYPE_TEXT, /* char * */
	TYPE_CHOICE, /* an enum: the position in `choices`; "true" and "false" may be written as such */
	TYPE_LIST, /* of texts: struct strv */
	TYPE_INT,  /* int */
	TYPE_BIG,  /* int64_t, whole */
	TYPE_REAL, /* double */
	TYPE_MS,   /* int64_t milliseconds, written in seconds */
	TYPE_BOOL,
	TYPE_WORD, /* char[MODEL_WORD]: a text, a whole number, true or false */
	TYPE_ENV,
	TYPE_ROLES, /* json_t * as core/roles.h has it; a value's list: name, model, name ... */
};

/* The tables of a benchmark file, and the command line. */
enum scope {
	SCOPE_TOP = 1,
	SCOPE_DEFAULTS = 2,
	SCOPE_TASKS = 4,
	SCOPE_ENTRY = SCOPE_TOP | SCOPE_DEFAULTS | SCOPE_TASKS,
	SCOPE_BUDGET = 8,
	SCOPE_JUDGE = 32,
	SCOPE_OPTIONS = 64, /* model_options, a table of its own in each table of SCOPE_ENTRY */
	SCOPE_FILE = SCOPE_ENTRY | SCOPE_BUDGET | SCOPE_JUDGE | SCOPE_OPTIONS,
	SCOPE_FLAG = 16, /* no table: a setting of struct config_request */
};

struct key_table {
	enum scope scope;
	const char *name;  /* in the file; NULL: the top level, which has none */
	const char *title; /* "[budget]" */
	bool whole;	   /* keys of the whole benchmark, kept with those of the top level */
};

enum {
	TABLE_TOP,
	TABLE_DEFAULTS,
	TABLE_TASKS,
	TABLE_BUDGET,
	TABLE_OPTIONS,
	TABLE_JUDGE,
	TABLE_COUNT_
};
extern const struct key_table config_tables[TABLE_COUNT_];

struct key {
	const char *name;
	enum key_type type;
	unsigned scopes;			   /* where it may be written */
	double min, max;			   /* of numbers, both allowed */
	const char *const *choices;		   /* NULL-terminated */
	const char *(*complain)(const char *text); /* what is wrong with a text, or NULL */
	const char *flag;			   /* the option that sets it; NULL: none */
	bool in_bench; /* lands in struct bench, else in struct bench_entry */
	bool lands;    /* by itself, at `offset`; otherwise config-entries.c knows it */
	size_t offset;
};

extern const struct key config_keys[KEY_COUNT_];

/* The key NAME of the tables in SCOPES, a mask: two tables may have keys of one name that are not the same.
 * KEY_COUNT_ when there is none. */
enum key_id config_key_find(unsigned scopes, const char *name);

/* A key that people write and nothing knows: what to write in its place. */
struct refusal {
	const char *key, *why;
};
extern const struct refusal config_refusals[]; /* ends with key NULL */

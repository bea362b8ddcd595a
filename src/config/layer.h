/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * layer.h -- inside src/config: the table of keys, and values as they stand in one place (the top
 * level, [defaults], one [[tasks]] table, the command line, the environment) before places are laid
 * over each other. Every value keeps its position for messages and for `rollouts config`.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/strv.h"
#include "config/config.h"
#include "config/toml.h"

enum key_id {
	KEY_NAME,
	KEY_PARALLEL,
	KEY_FAIL_FAST,
	KEY_PREPARED_DIR,
	KEY_LABEL,
	KEY_AGENT,
	KEY_MODEL,
	KEY_MODELS,
	KEY_ROLLOUTS,
	KEY_APPLY_OVERRIDES,
	KEY_OVERRIDES,
	KEY_SANDBOX,
	KEY_WORKSPACE,
	KEY_LAUNCHER,
	KEY_NETWORK,
	KEY_TIMEOUT,
	KEY_EVAL_TIMEOUT,
	KEY_CPUS,
	KEY_MEMORY,
	KEY_DISK,
	KEY_RETRIES,
	KEY_EVALUATE,
	KEY_SEED,
	KEY_TOKEN_LIMIT,
	KEY_COST_LIMIT,
	KEY_CALL_LIMIT,
	KEY_BUDGET_USD,
	KEY_BUDGET_TOKENS,
	KEY_BUDGET_WALL,
	KEY_MAX_FORECAST,
	KEY_ENV, /* environment_variables: kept in layer.env */
	KEY_COUNT_
};

enum key_type {
	TYPE_TEXT,   /* char * */
	TYPE_CHOICE, /* an enum: the position in `choices` */
	TYPE_LIST,   /* of texts */
	TYPE_INT,    /* int */
	TYPE_BIG,    /* int64_t, whole */
	TYPE_REAL,   /* double */
	TYPE_MS,     /* int64_t milliseconds, written in seconds */
	TYPE_BOOL,
	TYPE_ENV,
};

enum scope {
	SCOPE_TOP = 1,
	SCOPE_DEFAULTS = 2,
	SCOPE_TASKS = 4,
	SCOPE_ENTRY = 7, /* all of these */
	SCOPE_BUDGET = 8,
};

struct key {
	const char *name;
	enum key_type type;
	unsigned scopes;			   /* where it may be written */
	double min, max;			   /* of numbers, both allowed */
	const char *const *choices;		   /* NULL-terminated */
	const char *(*complain)(const char *text); /* what is wrong with a text, or NULL */
	const char *flag; /* its name on the command line, when it has one */
	bool in_bench;	  /* lands in struct bench, else in struct bench_entry */
	bool lands;	  /* by itself, at `offset`; otherwise config-entries.c knows it */
	size_t offset;
};

extern const struct key config_keys[KEY_COUNT_];

/* A key or a value that is understood and refused, since nothing enforces it yet. */
struct refusal {
	const char *key, *value; /* value NULL: whatever it is */
	const char *why;
};
extern const struct refusal config_refusals[]; /* ends with key NULL */

enum origin { ORIGIN_NONE, ORIGIN_FILE, ORIGIN_FLAG, ORIGIN_ENVIRONMENT };

struct value {
	enum origin origin;
	int line, col;
	char *text; /* TYPE_TEXT, TYPE_CHOICE */
	double number;
	bool boolean;
	struct strv list;
};

struct variable {
	char *key, *text;
	enum origin origin;
	int line, col;
};

struct layer {
	const char *title; /* "[[tasks]]" */
	enum scope scope;
	int line, col;
	struct value values[KEY_COUNT_];
	struct variable *env;
	size_t env_n, env_cap;
};

struct issue {
	int line, col;
	char *text; /* whole line */
};

/* A file and a command line as read. */
struct config {
	const struct config_request *req;
	struct buf text;
	struct toml_node *root;
	struct layer flags, environment, defaults, top;
	struct layer *tasks;
	size_t tasks_n;
	struct issue *issues;
	size_t issues_n, issues_cap;
};

/* Read the file and the command line into layers. -1: the file cannot be read or is not TOML. */
int config_read(struct config *c, const struct config_request *req, struct err *err) MUST_CHECK;
/* Lay the layers over each other: one entry for each task folder. */
void config_entries(struct config *c, struct bench *out);
void config_release(struct config *c);
/* Move the issues to OUT in the order of the file. -1 with ERR_USAGE when there is any. */
int config_verdict(struct config *c, struct strv *out, struct err *err) MUST_CHECK;

/* Note an issue at a place of the file; line 0: not of the file, TEXT is the whole message. */
void config_issue(struct config *c, int line, int col, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same at a value, which may stand on the command line: "--parallel: ..." then. */
void config_value_issue(struct config *c, enum key_id key, const struct value *v, const char *fmt,
			...) __attribute__((format(printf, 4, 5)));

/* The layers of TASK's entries, strongest first. */
#define LAYERS 5
void config_layers(const struct config *c, const struct layer *task,
		   const struct layer *out[LAYERS]);
/* The value that counts, or NULL: the default. *layer may be NULL. */
const struct value *config_effective(const struct config *c, const struct layer *task,
				     enum key_id key);
/* Where PATH is, tried from the working directory and then from the config's folder. NULL: nowhere,
 * and TRIED says where it was looked for. The caller owns the result. */
char *config_locate(const struct config *c, const char *path, struct buf *tried);
/* The folders that a prepared_dir means (as seen from here) and how to show them; issues are
 * noted. */
void config_folders(struct config *c, const struct value *v, struct strv *paths,
		    struct strv *shown);

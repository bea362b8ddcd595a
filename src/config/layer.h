/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * layer.h -- inside src/config: values as they stand in one place (the top level, [defaults], one
 * [[tasks]] table, the command line, the environment) before places are laid over each other. Every
 * value keeps its position for messages and for `rollouts config`.
 */
#pragma once
#include <stdbool.h>
#include <jansson.h>
#include <stddef.h>
#include "base/strv.h"
#include "config/config-keys.h"
#include "config/config.h"
#include "config/toml.h"

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
	json_t *agents;	   /* of the tables [agents.NAME], as agent-file.h reads them; NULL: none */
	json_t *launchers; /* of the tables [launcher.NAME]; NULL: there are none */
	struct issue *issues;
	size_t issues_n, issues_cap;
};

void config_release(struct config *c);
/* Move the issues to OUT in the order of the file. -1 with ERR_USAGE when there is any. */
int config_verdict(struct config *c, struct strv *out, struct err *err) MUST_CHECK;

/* Note an issue at a place of the file; line 0: not of the file, TEXT is the whole message. */
void config_issue(struct config *c, int line, int col, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* TEXT is a whole line already, about something at that place of the file. */
void config_whole_issue(struct config *c, int line, int col, const char *text);
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

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * options.h -- a verb's command line as a table: parsing, --help and "did you mean" come from it.
 * Long options take "--name VALUE" or "--name=VALUE", short ones "-jN" or "-j N" and bundle (-vv);
 * options and operands mix; "--" ends the options.
 *
 *	int cmd_list(int argc, char **argv)
 *	{
 *		const char *data = "data";
 *		bool json = false;
 *		const struct option options[] = {
 *			OPTION_DATA_DIR(&data),
 *			{ .name = "json", .kind = OPTION_FLAG, .target = &json, .help = "print JSON"
 *}, OPTION_END,
 *		};
 *		const struct usage usage = { .verb = "list", .operands = "[NAME]", .max = 1,
 *			.summary = "show the benchmarks there are", .options = options,
 *			.examples = "rollouts list\nrollouts list hello\n" };
 *		AUTO(strv) struct strv operands = STRV_INIT;
 *		int status = cmd_options(&usage, argc, argv, &operands);
 *		if (status >= 0)
 *			return status;
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

enum option_kind {
	OPTION_FLAG,	/* bool *: set */
	OPTION_COUNT,	/* int *: one more each time */
	OPTION_STR,	/* const char **: borrowed from argv; two different ones are refused */
	OPTION_STRV,	/* struct strv *: appended each time */
	OPTION_INT,	/* int64_t *: between min and max */
	OPTION_KV,	/* struct kvs *: K=V, each time */
	OPTION_SETTING, /* struct kvs *: the option's name (or `setting`) set to its value; "true"
			   without arg */
};

struct option {
	const char *name; /* without dashes; NULL ends a table */
	char short_name;  /* 0: none */
	const char *arg;  /* "N", "FILE"...: its name in the help; NULL for flags and counts */
	enum option_kind kind;
	void *target;
	const char *help; /* one line */
	const char *
		without; /* of OPTION_STR: its value when none follows with "="; NULL: it needs one */
	int64_t min, max;    /* OPTION_INT; both 0: any */
	const char *setting; /* OPTION_SETTING: the key, when not NAME */
};

#define OPTION_END                                                                                 \
	{                                                                                          \
		.name = NULL                                                                       \
	}
/* Which rollout of a benchmark a verb is about. */
#define OPTIONS_ROLLOUT(is_latest, selector_out)                                                   \
	{.name = "latest",                                                                         \
	 .kind = OPTION_FLAG,                                                                      \
	 .target = (is_latest),                                                                    \
	 .help = "the latest rollout (the default)"},                                              \
	{                                                                                          \
		.name = "rollout", .arg = "STAMP", .kind = OPTION_STR, .target = (selector_out),   \
		.help = "this one: a stamp, a date, a unique beginning of one, or a tag"           \
	}
/* What an interval is for, and which tasks depend on each other; both as const char *. */
#define OPTION_QUESTION(out)                                                                       \
	{                                                                                          \
		.name = "question", .arg = "Q", .kind = OPTION_STR, .target = (out),               \
		.help = "tasks-like-these (what other tasks would give; the default) or "          \
			"these-tasks"                                                              \
	}
#define OPTION_CLUSTER(out)                                                                        \
	{                                                                                          \
		.name = "cluster", .arg = "KEY", .kind = OPTION_STR, .target = (out),              \
		.help = "tasks that depend on each other: cluster (else the repository), "         \
			"repository, tag:PREFIX, none"                                             \
	}
#define OPTION_NO_PREFLIGHT(out)                                                                   \
	{                                                                                          \
		.name = "no-preflight", .kind = OPTION_FLAG, .target = (out),                      \
		.help = "do not run the tests once on each task's start commit before the first "  \
			"trial"                                                                    \
	}
/* CSV, as a const char * for csv_check(): NULL without it. */
#define OPTION_CSV(out, words)                                                                     \
	{                                                                                          \
		.name = "csv", .arg = "FOR", .kind = OPTION_STR, .target = (out),                  \
		.without = "programs", .help = words "; --csv=excel for a spreadsheet"             \
	}
#define OPTION_DATA_DIR(out)                                                                       \
	{                                                                                          \
		.name = "data-dir", .arg = "DIR", .kind = OPTION_STR, .target = (out),             \
		.help = "where runs are kept (default: data)"                                      \
	}

struct usage {
	const char *verb;
	const char *operands; /* "CONFIG", "[NAME]" as shown in the help; "" for none */
	int min, max;	      /* how many operands */
	const char *summary;  /* one line, no full stop */
	const char *text;     /* more paragraphs, or NULL */
	const char *examples; /* one command a line, or NULL */
	const struct option *options;
};

/* Parse ARGV (argv[0] is the verb). 0: go on; 1: help was asked for; -1: ERR_USAGE. */
int options_parse(const struct usage *u, int argc, char **argv, struct strv *operands,
		  struct err *err) MUST_CHECK;
/* What OPTION_CSV took: a mistake where it is neither "programs" nor "excel", and whether it is the latter. */
int csv_check(const char *csv, struct err *err) MUST_CHECK;
bool csv_is_sheet(const char *csv);
/* The first option of a table that was given, NULL for none: told by what parsing left in the targets,
 * which must have been zero. */
const struct option *options_given(const struct option *options);
void options_help(const struct usage *u, struct buf *out);
/* options_parse for a verb: prints the help or the mistake. The exit status, or -1: go on. */
int cmd_options(const struct usage *u, int argc, char **argv, struct strv *operands) MUST_CHECK;

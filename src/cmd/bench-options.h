/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * bench-options.h -- the options of the verbs that read a benchmark file: run, validate, config.
 */
#pragma once
#include "cmd/options.h"
#include "config/config.h"

/* The lines of an option table that fill a struct config_request. */
#define BENCH_ROW(long_name, letter, value, type, to, text, ...)                                   \
	{                                                                                          \
		.name = (long_name), .short_name = (letter), .arg = (value), .kind = (type),       \
		.target = (to), .help = (text), __VA_ARGS__                                        \
	}
#define BENCH_SET(req, long_name, letter, value, text, ...)                                        \
	BENCH_ROW(long_name, letter, value, OPTION_SETTING, &(req)->settings, text, __VA_ARGS__)
/* clang-format off */
#define BENCH_OPTIONS(req)                                                                      \
	BENCH_SET(req, "parallel", 'j', "N", "run N trials at a time"),                         \
	BENCH_SET(req, "agent", 'a', "NAME", "agent of every task"),                            \
	BENCH_ROW("model", 'm', "MODEL", OPTION_STRV, &(req)->models,                           \
		     "model of every task; repeat it for several"),                                \
	BENCH_SET(req, "judge", 0, "MODEL", "model that judges rubrics", .setting = "model"),   \
	BENCH_ROW("no-judge", 0, NULL, OPTION_FLAG, &(req)->no_judge, "judge no rubric"),       \
	BENCH_SET(req, "sandbox", 0, "KIND", "auto, local, docker, landlock or none"),                            \
	BENCH_SET(req, "launcher", 0, "NAME", "where trials run: local, slurm, another program"),              \
	BENCH_SET(req, "allow-weaker-sandbox", 0, NULL,                                          \
		     "let auto be landlock where no other sandbox starts",                         \
		     .setting = "allow_weaker_sandbox"),                                           \
	BENCH_SET(req, "rollouts", 'r', "N", "rollouts of every task"),                         \
	BENCH_SET(req, "attempts", 'k', "N", "the same, by the name others have for it",          \
		     .setting = "rollouts"),                                                       \
	BENCH_SET(req, "network", 0, "WHAT", "a network for Harbor tasks that want one: ask, deny or allow", \
		     .setting = "task_network"),                                                   \
	BENCH_SET(req, "verifier-network", 0, "WHAT", "the same for their verifiers alone",        \
		     .setting = "verifier_network"),                                               \
	BENCH_SET(req, "verifier-tools", 0, "DIR", "what their tests install, where they have no network", \
		     .setting = "verifier_tools"),                                                 \
	BENCH_SET(req, "timeout", 't', "SEC", "working time of the agent",                      \
		     .setting = "timeout_sec"),                                                    \
	BENCH_ROW("env", 'e', "K=V", OPTION_KV, &(req)->env,                                    \
		     "set a variable of the agent's environment; repeatable"),                     \
	BENCH_SET(req, "fail-fast", 0, NULL, "start nothing more once a trial fails",              \
		     .setting = "fail_fast"),                                                      \
	BENCH_ROW("only", 0, "GLOB", OPTION_STRV, &(req)->only,                                 \
		     "only tasks whose id or folder matches, or tag:GLOB a tag; repeatable"),      \
	BENCH_ROW("exclude", 0, "GLOB", OPTION_STRV, &(req)->exclude,                           \
		     "not those tasks, as --only; repeatable"),                                    \
	BENCH_ROW("sample", 0, "N", OPTION_INT, &(req)->sample,                                        \
		     "N of those tasks, drawn by --seed", .min = 1, .max = 10000000),              \
	BENCH_ROW("seed", 0, "S", OPTION_INT, &(req)->sample_seed, "of --sample (0)",              \
		     .min = 0, .max = 1000000000000),                                              \
	BENCH_ROW("limit", 0, "N", OPTION_INT, &(req)->limit, "at most N trials",               \
		     .min = 1, .max = 10000000),                                                   \
	BENCH_ROW("tag", 0, "TAG", OPTION_STRV, &(req)->tags, "give this run a name; repeatable"), \
	BENCH_ROW("gateway", 0, "SOCKET", OPTION_STR, &(req)->gateway,                          \
		     "unix socket that answers model requests"),                                   \
	OPTION_DATA_DIR(&(req)->data_dir)
/* clang-format on */

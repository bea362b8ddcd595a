/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/config-keys.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "core/bench.h"
#include "core/launcher.h"

#define NAME_MAX_BYTES 100
#define WORD_MAX_BYTES 200

static const char *complain_word(const char *text)
{
	if (!*text)
		return "must not be empty";
	if (strlen(text) > WORD_MAX_BYTES)
		return "is longer than 200 bytes";
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return "holds a control character";
	return NULL;
}

static const char *complain_path(const char *text)
{
	return *text ? NULL : "must not be empty";
}

/* A folder below data/rollouts is named so. */
static const char *complain_name(const char *text)
{
	const char *why = complain_word(text);
	if (why)
		return why;
	if (strlen(text) > NAME_MAX_BYTES)
		return "is longer than 100 bytes";
	if (strchr(text, '/') || *text == '.' || *text == '-')
		return "must not hold a slash or begin with a dot or a dash: it names a folder";
	if (strcmp(text, "temp") == 0)
		return "is taken: data/rollouts/temp has another use";
	return NULL;
}

static const char *complain_agent(const char *text)
{
	const char *why = complain_word(text);
	if (why)
		return why;
	return strchr(text, '/') || *text == '.' ? "is a name, not a path" : NULL;
}

static const char *complain_tool(const char *text)
{
	const char *why = complain_word(text);
	if (why)
		return why;
	return *text != '/' && strchr(text, '/')
		       ? "is a name to look up in PATH, or an absolute path"
		       : NULL;
}

static const char *complain_cache(const char *text)
{
	const char *why = complain_word(text);
	if (why)
		return why;
	return *text != '/' && strncmp(text, "~/", 2) != 0
		       ? "is an absolute path, or one that begins with ~/"
		       : NULL;
}

/* In the order of the enums of core/bench.h. */
static const char *const sandboxes[] = {"auto", "local", "docker", "landlock", "none", NULL};
static const char *const workspaces[] = {"auto", "overlay", "copy", NULL};
static const char *const consents[] = {"ask", "deny", "allow", NULL};
static const char *const scorings[] = {"scored", "strict", NULL};
static const char *const switches[] = {"auto", "true", "false", NULL};
static const char *const judged[] = {"unscored", "all", NULL};
static const char *const efforts[] = {"none", "minimal", "low", "medium",
				      "high", "xhigh",	 "max", NULL};
/* True and false say what enabled and disabled do. */
static const char *complain_thinking(const char *text)
{
	static const char *const words[] = {"adaptive", "enabled", "disabled", "true", "false"};
	const size_t digits = strspn(text, "0123456789");
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(text, words[i]) == 0)
			return NULL;
	return digits && digits <= 9 && !text[digits]
		       ? NULL
		       : "is none of: adaptive, enabled, disabled, a number of tokens";
}

static const char *complain_launcher(const char *text)
{
	AUTO(free) char *program = NULL;

	if (strcmp(text, LAUNCHER_LOCAL) == 0)
		return NULL;
	if (!launcher_is_name(text))
		return "is no launcher's name: small letters, digits and dashes";
	program = launcher_program(text);
	return program ? NULL
		       : "is no launcher of this installation: leave it out, set it to \"local\", "
			 "or "
			 "install a program rollouts-launch-NAME (docs/launchers.md)";
}

#define IN_ENTRY(member) .lands = true, .offset = offsetof(struct bench_entry, member)
#define IN_BENCH(member) .lands = true, .in_bench = true, .offset = offsetof(struct bench, member)
#define WEEK_SEC 604800
#define MANY 1000000000000000 /* every whole number up to it is a double's */

const struct key_table config_tables[TABLE_COUNT_] = {
	[TABLE_TOP] = {SCOPE_TOP, NULL, "the top level", .whole = true},
	[TABLE_DEFAULTS] = {SCOPE_DEFAULTS, "defaults", "[defaults]"},
	[TABLE_TASKS] = {SCOPE_TASKS, "tasks", "[[tasks]]"},
	[TABLE_BUDGET] = {SCOPE_BUDGET, "budget", "[budget]", .whole = true},
	[TABLE_OPTIONS] = {SCOPE_OPTIONS, "model_options", "[tasks.model_options]"},
	[TABLE_JUDGE] = {SCOPE_JUDGE, "judge", "[judge]", .whole = true},
};

const struct key config_keys[KEY_COUNT_] = {
	[KEY_NAME] = {"name", TYPE_TEXT, SCOPE_TOP, .complain = complain_name, IN_BENCH(name)},
	[KEY_PARALLEL] = {"parallel", TYPE_INT, SCOPE_TOP | SCOPE_FLAG, 1, 100000,
			  .flag = "parallel", IN_BENCH(parallel)},
	[KEY_FAIL_FAST] = {"fail_fast", TYPE_BOOL, SCOPE_FLAG, .flag = "fail-fast",
			   IN_BENCH(fail_fast)},
	[KEY_ALLOW_WEAKER] = {"allow_weaker_sandbox", TYPE_BOOL, SCOPE_FLAG,
			      .flag = "allow-weaker-sandbox", IN_BENCH(allow_weaker_sandbox)},
	[KEY_FAIL_ON_ERROR] = {"fail_on_error", TYPE_REAL, SCOPE_TOP, 0.001, 1,
			       IN_BENCH(fail_on_error)},
	[KEY_BUILD_TIMEOUT] = {"build_timeout_sec", TYPE_INT, SCOPE_TOP, 1, 7 * 86400,
			       IN_BENCH(build_timeout_sec)},
	[KEY_TOOLS] = {"tools", TYPE_LIST, SCOPE_TOP, .complain = complain_tool, IN_BENCH(tools)},
	[KEY_CACHES] = {"caches", TYPE_LIST, SCOPE_TOP, .complain = complain_cache,
			IN_BENCH(caches)},
	[KEY_PREPARED_DIR] = {"prepared_dir", TYPE_TEXT, SCOPE_TASKS, .complain = complain_path},
	[KEY_ONLY] = {"only", TYPE_LIST, SCOPE_TASKS, .complain = complain_word, IN_ENTRY(only)},
	[KEY_EXCLUDE] = {"exclude", TYPE_LIST, SCOPE_TASKS, .complain = complain_word,
			 IN_ENTRY(exclude)},
	[KEY_LABEL] = {"label", TYPE_TEXT, SCOPE_ENTRY, .complain = complain_word, IN_ENTRY(label)},
	[KEY_AGENT] = {"agent", TYPE_TEXT, SCOPE_ENTRY | SCOPE_FLAG, .complain = complain_agent,
		       .flag = "agent", IN_ENTRY(agent)},
	[KEY_AGENTS] = {"agents", TYPE_LIST, SCOPE_ENTRY, .complain = complain_agent,
			.flag = "agent"},
	[KEY_MODEL] = {"model", TYPE_TEXT, SCOPE_ENTRY, .complain = complain_word, .flag = "model"},
	[KEY_MODELS] = {"models", TYPE_LIST, SCOPE_ENTRY, .complain = complain_word,
			.flag = "model"},
	[KEY_ROLLOUTS] = {"rollouts", TYPE_INT, SCOPE_ENTRY | SCOPE_FLAG, 1, 100000,
			  .flag = "rollouts", IN_ENTRY(rollouts)},
	[KEY_APPLY_OVERRIDES] = {"apply_overrides", TYPE_BOOL, SCOPE_ENTRY,
				 IN_ENTRY(apply_overrides)},
	[KEY_OVERRIDES] = {"overrides", TYPE_TEXT, SCOPE_ENTRY, .complain = complain_path},
	[KEY_SANDBOX] = {"sandbox", TYPE_CHOICE, SCOPE_ENTRY | SCOPE_FLAG, .choices = sandboxes,
			 .flag = "sandbox", IN_ENTRY(sandbox)},
	[KEY_WORKSPACE] = {"workspace", TYPE_CHOICE, SCOPE_ENTRY, .choices = workspaces,
			   IN_ENTRY(workspace)},
	[KEY_LAUNCHER] = {"launcher", TYPE_TEXT, SCOPE_ENTRY | SCOPE_FLAG,
			  .complain = complain_launcher, .flag = "launcher", IN_ENTRY(launcher)},
	[KEY_NETWORK] = {"network", TYPE_BOOL, SCOPE_ENTRY, IN_ENTRY(network)},
	[KEY_TASK_NETWORK] = {"task_network", TYPE_CHOICE, SCOPE_ENTRY | SCOPE_FLAG,
			      .choices = consents, .flag = "network", IN_ENTRY(task_network)},
	[KEY_VERIFIER_NETWORK] = {"verifier_network", TYPE_CHOICE, SCOPE_ENTRY | SCOPE_FLAG,
				  .choices = consents, .flag = "verifier-network",
				  IN_ENTRY(verifier_network)},
	[KEY_VERIFIER_TOOLS] = {"verifier_tools", TYPE_TEXT, SCOPE_ENTRY | SCOPE_FLAG,
				.complain = complain_path, .flag = "verifier-tools",
				IN_ENTRY(verifier_tools)},
	[KEY_REWARD] = {"score", TYPE_TEXT, SCOPE_ENTRY, .complain = complain_word,
			IN_ENTRY(reward)},
	[KEY_TIMEOUT] = {"timeout_sec", TYPE_MS, SCOPE_ENTRY | SCOPE_FLAG, 0.1, WEEK_SEC,
			 .flag = "timeout", IN_ENTRY(limits.timeout_ms)},
	[KEY_WALL_TIMEOUT] = {"wall_timeout_sec", TYPE_MS, SCOPE_ENTRY, 0.1, 2 * WEEK_SEC,
			      IN_ENTRY(limits.wall_ms)},
	[KEY_EVAL_TIMEOUT] = {"eval_timeout_sec", TYPE_MS, SCOPE_ENTRY, 0.1, WEEK_SEC,
			      IN_ENTRY(limits.eval_timeout_ms)},
	[KEY_EVAL_TOTAL] = {"eval_total_timeout_sec", TYPE_MS, SCOPE_ENTRY, 0.1, WEEK_SEC,
			    IN_ENTRY(limits.eval_total_ms)},
	[KEY_EVAL_RETRIES] = {"eval_retries", TYPE_INT, SCOPE_ENTRY, 0, 20, IN_ENTRY(eval_retries)},
	[KEY_CPUS] = {"cpus", TYPE_REAL, SCOPE_ENTRY, 0.01, 4096, IN_ENTRY(limits.cpus)},
	[KEY_MEMORY] = {"memory_mb", TYPE_BIG, SCOPE_ENTRY, 16, 16777216,
			IN_ENTRY(limits.memory_mb)},
	[KEY_DISK] = {"disk_mb", TYPE_BIG, SCOPE_ENTRY, 1, 16777216, IN_ENTRY(limits.disk_mb)},
	[KEY_DISK_FILES] = {"disk_files", TYPE_BIG, SCOPE_ENTRY, 100, 1000000000,
			    IN_ENTRY(limits.disk_files)},
	[KEY_DIFF] = {"diff_mb", TYPE_BIG, SCOPE_ENTRY, 1, 4096, IN_ENTRY(limits.diff_mb)},
	[KEY_PROCESSES] = {"process_limit", TYPE_INT, SCOPE_ENTRY, 16, 4194304,
			   IN_ENTRY(limits.pids)},
	[KEY_RETRIES] = {"retries", TYPE_INT, SCOPE_ENTRY, 0, 20, IN_ENTRY(retries)},
	[KEY_EVALUATE] = {"evaluate", TYPE_BOOL, SCOPE_ENTRY, IN_ENTRY(evaluate)},
	[KEY_SCORING] = {"scoring", TYPE_CHOICE, SCOPE_ENTRY, .choices = scorings,
			 IN_ENTRY(scoring)},
	[KEY_SEED] = {"seed", TYPE_BIG, SCOPE_ENTRY, 0, 4503599627370496, IN_ENTRY(seed)},
	[KEY_TOKEN_LIMIT] = {"token_limit", TYPE_BIG, SCOPE_ENTRY, 1, MANY,
			     IN_ENTRY(limits.tokens)},
	[KEY_COST_LIMIT] = {"cost_limit_usd", TYPE_REAL, SCOPE_ENTRY, 0.000001, 1000000,
			    IN_ENTRY(limits.usd)},
	[KEY_CALL_LIMIT] = {"call_limit", TYPE_BIG, SCOPE_ENTRY, 1, MANY, IN_ENTRY(limits.calls)},
	[KEY_BUDGET_USD] = {"usd", TYPE_REAL, SCOPE_BUDGET, 0.000001, 100000000,
			    IN_BENCH(budget.usd)},
	[KEY_BUDGET_TOKENS] = {"tokens", TYPE_BIG, SCOPE_BUDGET, 1, MANY, IN_BENCH(budget.tokens)},
	[KEY_BUDGET_WALL] = {"wall_sec", TYPE_MS, SCOPE_BUDGET, 0.1, 52 * WEEK_SEC,
			     IN_BENCH(budget.wall_ms)},
	[KEY_MAX_FORECAST] = {"max_forecast_usd", TYPE_REAL, SCOPE_BUDGET, 0.000001, 100000000,
			      IN_BENCH(budget.max_forecast_usd)},
	[KEY_BUDGET_HARD] = {"hard", TYPE_CHOICE, SCOPE_BUDGET, .choices = switches,
			     IN_BENCH(budget.hard)},
	[KEY_OPTION_EFFORT] = {"effort", TYPE_WORD, SCOPE_OPTIONS, .choices = efforts,
			       IN_ENTRY(options.effort)},
	[KEY_OPTION_THINKING] = {"thinking", TYPE_WORD, SCOPE_OPTIONS,
				 .complain = complain_thinking, IN_ENTRY(options.thinking)},
	[KEY_OPTION_TEMPERATURE] = {"temperature", TYPE_REAL, SCOPE_OPTIONS, 0, 2,
				    IN_ENTRY(options.temperature)},
	[KEY_OPTION_TOP_P] = {"top_p", TYPE_REAL, SCOPE_OPTIONS, 0, 1, IN_ENTRY(options.top_p)},
	[KEY_OPTION_SEED] = {"seed", TYPE_BIG, SCOPE_OPTIONS, 0, 2147483647,
			     IN_ENTRY(options.seed)},
	[KEY_OPTION_OUTPUT] = {"max_output_tokens", TYPE_BIG, SCOPE_OPTIONS, 1, 100000000,
			       IN_ENTRY(options.max_output_tokens)},
	[KEY_JUDGE_MODEL] = {"model", TYPE_TEXT, SCOPE_JUDGE | SCOPE_FLAG,
			     .complain = complain_word, .flag = "judge", IN_BENCH(judge.model)},
	[KEY_JUDGE_ENABLED] = {"enabled", TYPE_CHOICE, SCOPE_JUDGE | SCOPE_FLAG,
			       .choices = switches, .flag = "[no-]judge", IN_BENCH(judge.enabled)},
	[KEY_JUDGE_ONLY] = {"only", TYPE_CHOICE, SCOPE_JUDGE, .choices = judged,
			    IN_BENCH(judge.only)},
	[KEY_JUDGE_VOTES] = {"votes", TYPE_INT, SCOPE_JUDGE, 1, 99, IN_BENCH(judge.votes)},
	[KEY_JUDGE_EFFORT] = {"effort", TYPE_TEXT, SCOPE_JUDGE, .choices = efforts,
			      IN_BENCH(judge.effort)},
	[KEY_JUDGE_TEMPERATURE] = {"temperature", TYPE_REAL, SCOPE_JUDGE, 0, 2,
				   IN_BENCH(judge.temperature)},
	[KEY_JUDGE_TOP_P] = {"top_p", TYPE_REAL, SCOPE_JUDGE, 0, 1, IN_BENCH(judge.top_p)},
	[KEY_JUDGE_DIFF] = {"max_diff_bytes", TYPE_BIG, SCOPE_JUDGE, 1000, 16777216,
			    IN_BENCH(judge.max_diff_bytes)},
	[KEY_JUDGE_CANARY] = {"canary", TYPE_BOOL, SCOPE_JUDGE, IN_BENCH(judge.canary)},
	[KEY_JUDGE_TOKENS] = {"token_limit", TYPE_BIG, SCOPE_JUDGE, 1, MANY,
			      IN_BENCH(judge.tokens)},
	[KEY_JUDGE_COST] = {"cost_limit_usd", TYPE_REAL, SCOPE_JUDGE, 0.000001, 1000000,
			    IN_BENCH(judge.usd)},
	[KEY_JUDGE_CALLS] = {"call_limit", TYPE_BIG, SCOPE_JUDGE, 1, MANY, IN_BENCH(judge.calls)},
	[KEY_ROLES] = {"roles", TYPE_ROLES, SCOPE_ENTRY, .complain = complain_word,
		       IN_ENTRY(roles)},
	[KEY_ENV] = {"environment_variables", TYPE_ENV, SCOPE_ENTRY, .flag = "env"},
};

const struct refusal config_refusals[] = {
	{"max_tokens", "write token_limit, the tokens of all calls of a trial"},
	{"cost_limit", "write cost_limit_usd"},
	{"max_cost_usd", "write cost_limit_usd"},
	{"budget_usd", "write a table [budget] with usd = ..."},
	{NULL, NULL},
};

enum key_id config_key_find(unsigned scopes, const char *name)
{
	for (int i = 0; i < KEY_COUNT_; i++)
		if ((config_keys[i].scopes & scopes) && strcmp(config_keys[i].name, name) == 0)
			return (enum key_id)i;
	return KEY_COUNT_;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent.h -- what works on a task inside a sandbox. An agent is a TOML file in share/agents/ or in the
 * user's configuration folder; `nop` and `oracle` are built in. The supervisor resolves the file once
 * (agent_find, in src/config) into a spec in JSON that travels in trial.json; the worker runs it.
 *
 * Spec members: name, kind ("nop" | "oracle" | "cli"), needs ("model" or ""), version,
 *   argv[]   with {model} {instruction} {instruction_file} {seed} {rollout} {gateway_url} {token} {home}
 *   stdin    template text for standard input; absent: /dev/null
 *   env{}    values with the same placeholders
 *   files{}  path -> template, written into the sandbox before the start ({home} in the path allowed)
 *   mounts[] {host, box}: read-only install prefix
 *   collect[] box paths copied to artifacts/agent/
 *   output{format: "text" | "jsonl", rules: [{match{pointer: value}, field, pointer, how: "add"|"last"|"count"}]}
 */
#pragma once
#include <jansson.h>
#include "core/result.h"
#include "core/trial.h"
#include "sandbox/sandbox.h"
#include "task/task.h"

struct agent_job {
	const struct attempt *attempt;
	const struct task *task;
	int run_fd;          /* the attempt's directory: logs/ and artifacts/ exist below it */
	const char *token;   /* stands in for provider keys; "" without a gateway */
	const char *gold;    /* bytes of the gold patch (oracle), or NULL */
	size_t gold_len;
	int64_t deadline_ms; /* clock_mono_ms */
	void (*on_output)(void *arg, int stream, const char *data, size_t n); /* -vv; may be NULL */
	void *on_output_arg;
};

/* Read-only mounts the agent needs, to be put in the sandbox spec; borrowed from the attempt. */
size_t agent_mounts(const struct attempt *a, struct sandbox_mount *out, size_t max);
/* Whether it runs anything in the sandbox (nop does not). */
bool agent_needs_sandbox(const struct attempt *a);
/* Run it: fills outcome, reason, exit_status, metrics, version, final_message of OUT. What the agent does
 * wrong is an outcome; -1 only when our side failed or ERR_CANCELLED. Logs to logs/agent.log (stdout) and
 * logs/agent.err. */
int agent_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out, struct err *err) MUST_CHECK;
/* Copy notes.md and the files of `collect` out of the sandbox (after the agent ended, before stop):
 * bounded, no link followed; what was left out goes to SKIPPED as "PATH: reason". */
int agent_collect(const struct agent_job *job, struct sandbox *s, struct strv *skipped, struct err *err) MUST_CHECK;

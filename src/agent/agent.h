/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent.h -- what works on a task inside a sandbox. An agent is a TOML file in share/agents/ or in the
 * user's configuration folder; `nop`, `oracle` and `bash` are built in. The supervisor resolves the file once
 * (agent_find, in src/config) into a spec in JSON that travels in trial.json; the worker runs it.
 *
 * Members of the spec are those of the TOML file, with the same names and types, checked by agent_find:
 *   name        the file's stem
 *   kind        "nop" | "oracle" | "bash" | "cli"; a file is always "cli" and may leave it out
 *   summary     one line for people
 *   needs       "model" or "" (the default)
 *   models[]    TOML only: globs over model names; what agent = "auto" goes by
 *   requires[]  TOML only: further programs to find on PATH and mount ("node")
 *   version     text; "" unknown
 *   argv[]      templates; argv[0] without a slash is looked up in the PATH inside
 *   stdin       template for standard input; absent: /dev/null
 *   env{}       name -> template
 *   files{}     path template -> content template, written into the sandbox before the start
 *   collect[]   path templates of files and directories inside, copied to artifacts/agent/
 *   apis[]      the API dialects it speaks, the one to be preferred first, of "responses", "chat", "anthropic",
 *               "gemini"; the plan picks the first that the model's provider answers (trial.api)
 *   api{}       dialect -> {args[], env{}, files{}}: appended to argv, laid over env and files where the
 *               trial's dialect is that one
 *   install{version, before, npm[], program[]}  TOML only: what `rollouts agents install` fetches, and the paths
 *               inside it that stand for argv[0] (see config/agent-cache.h)
 *   output{format: "jsonl" | "json" | "text" (the default), rules[]}: what standard output tells
 *   mcp{}       name -> {command[] or url, env{}}: servers; mcp_config{format, args[], env{}, files{}}  how it is told of them
 *   follow_up{args[], env{}, files{}, stdin, argv[], usage: "total"}: how its session goes on with the next prompt: laid over the rest;
 *               argv and stdin stand in place of those. usage: its tokens are those of the session so far
 *   images{args[], env{}, files{}, stdin, each}: how it is handed pictures: args once for each, `each` makes {images}
 *   before[]    commands, a text for a shell or a list of words; services{}  name -> {argv[], ready[], ready_sec, log}
 *   base, args[], options{}, system_prompt, append_system_prompt  TOML only: variants (config/agent-layers.h)
 * Made by agent_find, not allowed in a file:
 *   copies[]    {path template, text or base64, executable}: written into the sandbox as they are
 *   options{}   name -> text: what {option:NAME} stands for
 *   system_prompt{how, text}: what {system_prompt} stands for
 *   model_options{}  of the built-in agent: laid over the trial's
 *   mounts[]    {host, box}: read-only; installations, or the install prefixes of argv[0] and of `requires`
 *   path[]      directories inside, put in front of PATH
 *   tree        of what npm installed (config/agent-cache.h)
 *   program     argv[0] as it was written, where that was a name without a slash
 *
 * A template may hold {model} (as its provider names it) {api} {instruction} {instruction_file} {seed} {rollout}
 * {task_id} {gateway_url} {token} {home} {repo} {option:NAME} {system_prompt} {env:NAME} {mcp} {instruction_json} (a string of JSON) {images}. Everything else stays as it is, ${model} after a dollar sign included: JSON and
 * shell scripts need no quoting.
 *
 * A rule {match{}, regex, field, pointer, how} is tried on each line (jsonl, text) or on the whole (json):
 *   match    jsonl, json: pointer -> value or list of values (string, number, boolean); all must hold
 *   regex    text: POSIX extended; group 1 (else all of it) is the value. No match, no pointer beside it
 *   field    tokens_input (cached ones included) tokens_cached tokens_output tokens_total tool_calls turns
 *            money_usd final_message version error
 *   pointer  string or list of strings; the numbers found are summed. RFC 6901, and "*" is every element
 *            of an array or object, -1 the last element of an array
 *   how      "last" (the default), "add", "max"; "count" adds the number of matches and has no pointer.
 *            Of a text "add" puts together the pieces on lines that follow each other
 * A field `error` that stays set makes the trial an agent_error with that text, whatever the exit status;
 * a later match whose pointer finds nothing clears it.
 */
#pragma once
#include <jansson.h>
#include "core/result.h"
#include "core/trial.h"
#include "sandbox/sandbox.h"
#include "task/task.h"

/* Where the forwarder to the gateway listens inside: the spec's gateway_port, and the port of {gateway_url}. */
#define AGENT_GATEWAY_PORT 8765

/* A picture, for an agent that is handed some. */
struct agent_image {
	char *name; /* its path below the layout's app */
	char *data;
	size_t len;
};

struct agent_job {
	const struct attempt *attempt;
	const struct task *task;
	const struct task_step *step; /* of the task: what is asked now */
	size_t prompt; /* used by agent_run: 0, the instruction; else the follow-up before that number */
	const struct agent_image *images; /* that go with the instruction */
	size_t images_n;
	const struct kvs *solution_env; /* of a Harbor task's oracle; NULL: none */
	int run_fd;	   /* the attempt's directory: logs/ and artifacts/ exist below it */
	const char *token; /* stands in for provider keys; "" without a gateway */
	const char *gold;  /* bytes of the gold patch (oracle), or NULL */
	size_t gold_len;
	int64_t deadline_ms; /* clock_mono_ms */
	const struct sandbox_watch
		*watch; /* may move the deadline, as when a limit was reached; NULL: nobody does */
	int gateway_port; /* in the sandbox; unused without one */
	int gateway_fd; /* O_PATH of the gateway's socket, opened before privileges went; -1: none */
	int cancel_fds[2]; /* as in struct sandbox_spec */
	/* What its model calls came to so far, as the gateway counts; NULL: nobody counts. False: that failed. */
	bool (*usage)(void *arg, struct model_usage *out);
	void *usage_arg;
	void (*on_output)(void *arg, int stream, const char *data, size_t n); /* -vv; may be NULL */
	void *on_output_arg;
};

/* The mounts that KEY of SPEC names ("mounts", "caches"), of an agent or the benchmark's tools, for the sandbox; borrowed from it.
 * NULL: none. */
size_t agent_mounts(const json_t *spec, const char *key, struct sandbox_mount *out, size_t max);
/* SPEC for a sandbox in which nothing is mounted: all that it says by a path in the sandbox it says by that on this machine.
 * NULL: nothing to do. */
void agent_unmount(json_t *spec);
/* What is to be there before it starts, outside of its time: its `before` and its `services`, which run on until it ends. */
int agent_prepare(const struct agent_job *job, struct sandbox *s, struct err *err) MUST_CHECK;
/* Run it: fills outcome, reason, exit_status, metrics, version, final_message of OUT. S may be NULL for
 * nop and oracle. What the agent does wrong is an outcome; -1 only when our side failed or ERR_CANCELLED.
 * Logs to logs/agent.log (stdout) and logs/agent.err. */
int agent_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
	      struct err *err) MUST_CHECK;
/* Where, and with which variables, its commands run: for somebody who looks at what it had. The caller frees *CWD. */
void agent_surroundings(struct strv *env, char **cwd, const struct agent_job *job,
			const struct sandbox *s);
/* Copy notes.md and the files of `collect` out of the sandbox (after the agent ended, before stop):
 * bounded, no link followed; what was left out goes to SKIPPED as "PATH: reason". Where the agent left no notes, they
 * are the final message of RECORD, or empty. */
int agent_collect(const struct agent_job *job, struct sandbox *s, const struct agent_record *record,
		  struct strv *skipped, struct err *err) MUST_CHECK;

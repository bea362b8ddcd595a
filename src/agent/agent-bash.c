/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-bash.c -- the built-in agent: it asks the model and runs what it says, until it submits. It
 * lives in the worker, so that nothing of it is installed in a sandbox: its requests go to the gateway's
 * socket, its commands through the sandbox, each in a process of its own. The history only grows, and tells
 * nothing of time or place: the same model on the same task is asked the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/agent-env.h"
#include "agent/agent-kind.h"
#include "agent/agent-prompts.h"
#include "agent/agent-template.h"
#include "agent/bash-command.h"
#include "agent/bash-tool.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "model/conversation.h"
#include "core/datadir.h"

enum {
	STEPS = 250,	   /* answers of the model, unless BASH_AGENT_STEPS says otherwise */
	COMMAND_SEC = 120, /* BASH_AGENT_COMMAND_SEC */
	MISTAKES_MAX = 3,  /* in a row */
	PROMPTS_MAX = 3,   /* in a row: asked to go on, or to submit */
	TRANSCRIPT_BYTES = 64 << 20,
};

struct bash {
	const struct agent_job *job;
	struct agent_record *out;
	struct model_client client;
	struct tool tool;
	struct conversation talk;
	struct bash_shell shell;
	struct capped_log *log;
	int transcript;
	size_t transcript_bytes;
	int64_t steps, steps_max; /* the most for one prompt */
	int64_t steps_before;	  /* of earlier prompts */
	int64_t forgotten;	  /* outputs taken out of the history */
	int mistakes, prompts;
	bool was_empty; /* the last answer */
	bool submitted, over;
	char cache_key[64];
	char *said; /* the model's last text, NULL: none */
};

static const char system_text[] =
	"You are a software engineer who works alone on a task in a Git repository. Your working "
	"directory is "
	"%s, in a sandbox that is yours: nobody else uses it, %s, and nobody can be asked.\n\n"
	"You act through one tool, bash. Each call runs one command in a fresh bash process that "
	"starts in the "
	"working directory: what you change on disk stays, a cd or a variable does not. Standard "
	"input is empty, "
	"so nothing can be answered interactively. A command is killed after %lld seconds; start "
	"what takes "
	"longer in the background, with its output in a file. Of a long output you see the first "
	"and the last "
	"%d characters: narrow it down.\n\n"
	"Look around before you change anything; bring about yourself what is wrong, if something "
	"is; find the cause, not the symptom; keep to the style of the code you find; check what "
	"you did by running it or its tests. The files as you leave them are your result: remove "
	"what you made only to try things. You need not commit.\n\n"
	"You have %lld calls of the model%s. When the work is done and checked, run the command "
	"`submit`, alone in a call of its own, and say with it in a few words what you did: that "
	"ends the session. An answer without a call of the tool does not.";

static const char *const quiet_env[][2] = {
	{"PAGER", "cat"},
	{"GIT_PAGER", "cat"},
	{"MANPAGER", "cat"},
	{"GIT_EDITOR", "true"},
	{"EDITOR", "true"},
	{"TQDM_DISABLE", "1"},
	{"PIP_PROGRESS_BAR", "off"},
	{"GIT_TERMINAL_PROMPT", "0"},
};

static int64_t setting(const struct bash *b, const char *name, int64_t fallback)
{
	const char *own =
		json_get_str(json_object_get(b->job->attempt->agent_spec, "env"), name, NULL);
	AUTO(free) char *option = own ? agent_expanded(own, b->job) : NULL;
	const char *given = kvs_get(&b->job->attempt->trial.env, name),
		   *text = given ? given : option;
	int64_t n = text ? strtoll(text, NULL, 10) : 0;

	return n > 0 && n < 1000000 ? n : fallback;
}

static char *system_prompt(const struct bash *b)
{
	int64_t timeout_ms = b->job->attempt->trial.limits.timeout_ms;
	AUTO(free) char *time = timeout_ms ? xasprintf(" and %lld minutes in all",
						       (long long)(timeout_ms + 59999) / 60000)
					   : xstrdup("");

	const json_t *given = json_object_get(b->job->attempt->agent_spec, "system_prompt");
	const char *text = json_get_str(given, "text", "");
	if (!strcmp(json_get_str(given, "how", ""), "replace"))
		return xstrdup(text);
	AUTO(free) char *usual = xasprintf(
		system_text, b->shell.dir,
		b->job->attempt->trial.network ? "it has a network" : "there is no network",
		(long long)b->shell.command_ms / 1000, BASH_SHOWN, (long long)b->steps_max, time);
	return xasprintf("%s%s%s", usual, *text ? "\n\n" : "", text);
}

static int log_text(struct bash *b, const char *head, const char *text, size_t len, struct err *err)
{
	AUTO(buf) struct buf line = BUF_INIT;

	buf_adds(&line, head);
	buf_add(&line, text, len);
	if (!line.len || line.data[line.len - 1] != '\n')
		buf_addc(&line, '\n');
	if (b->job->on_output)
		b->job->on_output(b->job->on_output_arg, 1, line.data, line.len);
	return capped_log_add(b->log, line.data, line.len, err);
}

static int log_turn(struct bash *b, const struct reply *r, struct err *err)
{
	AUTO(free) char *head = xasprintf("--- %lld\n", (long long)b->steps);

	return log_text(b, head, r->text.data, r->text.len, err);
}

static json_t *transcript_calls(const struct reply *r, const struct buf *outputs)
{
	json_t *calls = json_array();

	for (size_t i = 0; i < r->calls_n; i++) {
		json_t *c = json_object();
		json_put_str(c, "command", bash_tool_command(&r->calls[i], NULL));
		json_put_strn(c, "output", outputs[i].data, outputs[i].len);
		json_array_append_new(calls, c);
	}
	return calls;
}

static int write_transcript(struct bash *b, const struct reply *r, const struct buf *outputs,
			    struct err *err)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf line = BUF_INIT;

	json_put_int(j, "turn", b->steps);
	json_put_strn(j, "text", r->text.data, r->text.len);
	json_put(j, "calls", transcript_calls(r, outputs));
	json_put_int(j, "forgotten", b->forgotten);
	json_put_int(j, "tokens_input", r->input);
	json_put_int(j, "tokens_cached", r->cached);
	json_put_int(j, "tokens_output", r->output);
	json_format(&line, j, false);
	buf_addc(&line, '\n');
	b->transcript_bytes += line.len;
	return b->transcript_bytes > TRANSCRIPT_BYTES
		       ? 0
		       : path_write_all(b->transcript, line.data, line.len, err);
}

static void count(int64_t *sum, int64_t n)
{
	if (n >= 0 && n < 1000000000000)
		*sum = (*sum < 0 ? 0 : *sum) + n;
}

/* No command of the sandbox's: it ends the session. */
static bool is_submission(const struct tool_call *call)
{
	static const char word[] = "submit", white[] = " \t\r\n;";
	const char *p = bash_tool_command(call, NULL);

	p += p ? strspn(p, white) : 0;
	return p && strncmp(p, word, strlen(word)) == 0 &&
	       strspn(p + strlen(word), white) == strlen(p + strlen(word));
}

static void count_turn(struct bash *b, const struct reply *r)
{
	struct agent_metrics *m = &b->out->metrics;
	int64_t calls = 0;

	for (size_t i = 0; i < r->calls_n; i++)
		calls += !is_submission(&r->calls[i]);

	count(&m->turns, 1);
	count(&m->tool_calls, calls);
	count(&m->tokens_input, r->input);
	count(&m->tokens_cached, r->cached);
	count(&m->tokens_output, r->output);
	if (m->tokens_input >= 0 && m->tokens_output >= 0)
		m->tokens_total = m->tokens_input + m->tokens_output;
}

static void end(struct bash *b, enum outcome outcome, const char *why)
{
	b->over = true;
	if (outcome == OUTCOME_COMPLETED)
		return;
	agent_end(b->out, outcome, "%s", why);
}

static void end_late(struct bash *b)
{
	AUTO(free) char *why = xasprintf("timed out after %g s",
					 (double)b->job->attempt->trial.limits.timeout_ms / 1000);

	end(b, OUTCOME_TIMEOUT, why);
}

static void finish(struct bash *b)
{
	const char *said = b->said ? b->said : "";
	size_t size = sizeof b->out->final_message, n = strlen(said);

	if (n >= size)
		n = text_cut(said, size - 1);
	memcpy(b->out->final_message, said, n);
	b->out->final_message[n] = '\0';
	end(b, OUTCOME_COMPLETED, "");
}

static int ask(struct bash *b, struct reply *r, struct err *err)
{
	int asked = conversation_ask(&b->talk, &b->client, r, err);

	b->forgotten += (int64_t)r->forgotten;
	if (r->forgotten) {
		AUTO(free)
		char *note =
			xasprintf("[too long for the model: %zu old outputs left out from here on]",
				  r->forgotten);
		if (log_text(b, "", note, strlen(note), err))
			return -1;
	}
	if (asked == ASKED_LATE)
		end_late(b);
	else if (asked == ASKED_REFUSED)
		end(b, OUTCOME_AGENT_ERROR, r->stuck);
	return asked < 0 ? -1 : 0;
}

static int run_call(struct bash *b, struct tool_call *call, struct buf *out, struct err *err)
{
	char why[256] = "";
	const char *problem, *command = bash_tool_command(call, &problem);
	int after;

	call->failed = !command;
	if (!command) {
		buf_addf(out, "[not run: %s]", problem);
		return log_text(b, "", out->data, out->len, err);
	}
	if (log_text(b, "$ ", command, strlen(command), err))
		return -1;
	b->submitted = is_submission(call);
	if (b->submitted)
		return 0;
	after = bash_command(&b->shell, command, out, why, err);
	if (after == BASH_LATE)
		end_late(b);
	else if (after == BASH_SPENT)
		end(b, OUTCOME_AGENT_ERROR, why);
	if (after != BASH_GOES_ON)
		return after < 0 ? -1 : 0;
	/* The output itself is there already. */
	const char *last = strrchr(out->data, '\n');
	last = last ? last + 1 : out->data;
	return log_text(b, "", last, strlen(last), err);
}

static int run_calls(struct bash *b, struct reply *r, struct buf *outputs, struct err *err)
{
	bool understood = false;

	for (size_t i = 0; i < r->calls_n && r->cut; i++) {
		buf_adds(&outputs[i], "[not run: the answer was cut at its output limit. Make "
				      "the call again, in smaller steps]");
		r->calls[i].failed = true;
	}
	for (size_t i = 0; i < r->calls_n && !r->cut && !b->over && !b->submitted; i++) {
		understood = understood || bash_tool_command(&r->calls[i], NULL);
		if (run_call(b, &r->calls[i], &outputs[i], err))
			return -1;
	}
	b->mistakes = understood ? 0 : b->mistakes + 1;
	return 0;
}

static int take_turn(struct bash *b, struct reply *r, struct buf *outputs, struct err *err)
{
	if (r->stuck) {
		AUTO(free) char *why = xasprintf("the model gave no answer: %s", r->stuck);
		end(b, OUTCOME_AGENT_ERROR, why);
	} else if (r->calls_n) {
		b->prompts = 0;
		if (run_calls(b, r, outputs, err))
			return -1;
		conversation_results(&b->talk, r, outputs);
		if (b->submitted && !b->over)
			finish(b);
	} else if (r->cut) {
		b->mistakes++;
		conversation_say(&b->talk,
				 "Your answer was longer than allowed and was cut. Go on, in "
				 "smaller steps.");
	} else if (b->prompts++ < PROMPTS_MAX) {
		conversation_say(&b->talk,
				 "There was no call of the tool in your answer. Go on with the "
				 "work; if it is done, run the command `submit`, alone in a call "
				 "of its own.");
	} else {
		finish(b);
	}
	if (!b->over && b->mistakes >= MISTAKES_MAX)
		end(b, OUTCOME_AGENT_ERROR,
		    "the model's calls made no sense, three times in a row");
	return 0;
}

/* Neither text nor a call: it happens to every model now and then. The turn leaves the history, since providers refuse
 * one that is empty; the first time in a row, the same is asked again. */
static bool is_empty(struct bash *b, const struct reply *r, size_t before)
{
	bool empty = !r->text.len && !r->calls_n && !r->stuck && !r->cut;
	bool again = empty && !b->was_empty;

	b->was_empty = empty;
	while (empty && json_array_size(b->talk.history) > before)
		json_array_remove(b->talk.history, before);
	return again;
}

static int step(struct bash *b, struct err *err)
{
	AUTO(reply) struct reply r = REPLY_INIT;
	const size_t before = json_array_size(b->talk.history);

	if (ask(b, &r, err))
		return -1;
	if (b->over)
		return 0;
	b->steps++;
	count_turn(b, &r);
	if (r.text.len) {
		free(b->said);
		b->said = xstrndup(r.text.data, r.text.len);
	}
	if (is_empty(b, &r, before))
		return log_turn(b, &r, err);
	struct buf *outputs = xcalloc(r.calls_n + 1, sizeof *outputs);
	for (size_t i = 0; i <= r.calls_n; i++)
		outputs[i] = (struct buf)BUF_INIT;
	int rc = log_turn(b, &r, err);
	if (!rc)
		rc = take_turn(b, &r, outputs, err);
	if (!rc)
		rc = write_transcript(b, &r, outputs, err);
	for (size_t i = 0; i <= r.calls_n; i++)
		buf_release(&outputs[i]);
	free(outputs);
	return rc;
}

/* One prompt, which stands in the history, to its end. */
static int converse(struct bash *b, struct err *err)
{
	while (!b->over) {
		int64_t deadline_ms = agent_deadline(b->job);

		if (deadline_ms && clock_mono_ms() >= deadline_ms) {
			end_late(b);
		} else if (b->steps - b->steps_before >= b->steps_max) {
			AUTO(free) char *why = xasprintf("limit of %lld calls of the model reached",
							 (long long)b->steps_max);
			end(b, OUTCOME_BUDGET, why);
		} else if (step(b, err)) {
			return -1;
		}
	}
	return 0;
}

/* The session goes on in the same history. */
static void begin_prompt(struct bash *b)
{
	b->over = b->submitted = b->was_empty = false;
	b->mistakes = b->prompts = 0;
	b->steps_before = b->steps;
	conversation_say(&b->talk, agent_prompt_text(b->job));
	for (size_t i = 0; !b->job->prompt && i < b->job->images_n; i++)
		conversation_picture(&b->talk, b->job->images[i].data, b->job->images[i].len);
}

static int converse_all(struct bash *b, struct err *err)
{
	struct agent_job job = *b->job;

	b->job = b->shell.job = &job;
	for (; job.prompt < agent_prompts(&job) && b->out->outcome == OUTCOME_COMPLETED;
	     job.prompt++) {
		struct agent_mark mark;
		agent_prompt_begin(&mark, &job, b->out);
		begin_prompt(b);
		if (converse(b, err))
			return -1;
		agent_prompt_end(&mark, &job, b->out);
	}
	return bash_sweep(&b->shell, err);
}

static int open_files(struct bash *b, struct err *err)
{
	static const char name[] = ATTEMPT_COLLECTED "/transcript.jsonl";

	if (capped_log_open(&b->log, b->job->run_fd, ATTEMPT_AGENT_LOG, CAPPED_LOG_BYTES, err) ||
	    path_make_dirs(b->job->run_fd, ATTEMPT_COLLECTED, 0700, err))
		return -1;
	b->transcript = path_open_beneath(b->job->run_fd, name,
					  O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600, err);
	b->shell.log = b->log;
	return b->transcript < 0 ? -1 : 0;
}

static void prepare(struct bash *b, struct sandbox *box)
{
	const struct trial *t = &b->job->attempt->trial;

	b->shell = (struct bash_shell){
		.job = b->job,
		.box = box,
		.dir = agent_start_dir(b->job),
		.command_ms = 1000 * setting(b, "BASH_AGENT_COMMAND_SEC", COMMAND_SEC),
		.metrics = &b->out->metrics};
	agent_env(&b->shell.env, b->job, b->shell.box);
	for (size_t i = 0; i < ARRAY_SIZE(quiet_env); i++)
		if (!kvs_get(&t->env, quiet_env[i][0]))
			strv_setenv(&b->shell.env, quiet_env[i][0], quiet_env[i][1]);
	b->steps_max = setting(b, "BASH_AGENT_STEPS", STEPS);
	b->talk.model = t->model_id && *t->model_id ? t->model_id : t->model;
	b->talk.system = system_prompt(b);
	b->tool = bash_tool();
	b->talk.tool = &b->tool;
	snprintf(b->cache_key, sizeof b->cache_key, "%.48s.%d", t->run_id ? t->run_id : "",
		 b->job->attempt->number);
	b->talk.cache_key = b->cache_key;
	b->talk.history = json_array();
	b->talk.options = &t->options;
	b->talk.stream = true;
	b->talk.max_output = (int)t->options.max_output_tokens;
	b->out->options = t->options;
	const struct sandbox_watch *watch = b->job->watch;
	b->client = (struct model_client){
		.socket_fd = b->job->gateway_fd,
		.token = b->job->token ? b->job->token : "",
		.deadline_ms = b->job->deadline_ms,
		.deadline = watch ? watch->deadline : NULL,
		.arg = watch ? watch->arg : NULL,
		.news_fd = watch ? watch->fd : -1,
		.cancel_fds = {b->job->cancel_fds[0], b->job->cancel_fds[1]},
	};
}

static void release(struct bash *b)
{
	struct err ignored;

	if (b->log && capped_log_close(b->log, &ignored))
		b->log = NULL;
	if (b->transcript >= 0)
		close(b->transcript);
	strv_release(&b->shell.env);
	free(b->shell.dir);
	free(b->said);
	conversation_release(&b->talk);
	json_decref(b->tool.parameters);
}

static int bash_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
		    struct err *err)
{
	struct bash b = {.job = job, .out = out, .transcript = -1};
	int64_t start = clock_mono_ms();

	int api = api_find(agent_api(job->attempt));
	b.talk.dialect = api < 0 ? NULL : dialects[api];
	if (!s || !b.talk.dialect)
		return err_set(err, ERR_USAGE, 0, "agent \"bash\": no %s",
			       s ? "API it speaks is the model's" : "sandbox to work in");
	if (job->gateway_fd < 0)
		return err_set(err, ERR_USAGE, 0, "agent \"bash\" needs a gateway to a model");
	prepare(&b, s);
	int rc = open_files(&b, err) || converse_all(&b, err) ? -1 : 0;
	out->metrics.wall_ms = clock_mono_ms() - start;
	release(&b);
	return rc ? err_wrap(err, "agent \"bash\"") : 0;
}

const struct agent_kind agent_bash = {.name = "bash", .run = bash_run};

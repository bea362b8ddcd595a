/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <ctype.h>
#include <sys/wait.h>
#include "agent/agent-env.h"
#include "agent/agent-kind.h"
#include "agent/agent-output.h"
#include "agent/agent-prompts.h"
#include "agent/agent-template.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/datadir.h"
#include "os/spawn.h"

enum {
	STDERR_TAIL = 8192,
	LOADER_MS = 1000, /* within which a loader has said what it lacks */
};

/* One run, while it streams. */
struct cli {
	const struct agent_job *job;
	struct agent_output *output;
	struct capped_log *log, *log_err; /* of all prompts */
	struct buf tail;		  /* the last of stderr: often says why it failed */
	bool said;			  /* anything on standard output */
	int64_t spoke_ms; /* when it last wrote anything; before that, when it began */
};

static void auto_cli(struct cli *c)
{
	struct err ignored;

	buf_release(&c->tail);
	if (capped_log_close(c->log, &ignored) | capped_log_close(c->log_err, &ignored))
		return;
}

static void auto_agent_output(struct agent_output **o)
{
	agent_output_free(*o);
}

static int put_files(const struct agent_job *job, struct sandbox *s, struct err *err)
{
	json_t *files = json_object_get(job->attempt->agent_spec, "files");
	const char *name;
	json_t *v;

	json_object_foreach (files, name, v) {
		AUTO(free) char *path = agent_expanded(name, job);
		AUTO(buf) struct buf text = BUF_INIT;
		bool is_script;

		agent_expand(&text, json_is_string(v) ? json_string_value(v) : "", job);
		is_script = strncmp(text.data, "#!", 2) == 0;
		if (sandbox_put(s, path, text.data, text.len, is_script ? 0755 : 0644, err))
			return err_wrap(err, "files: %s", path);
	}
	return 0;
}

/* Files as they lay where the benchmark was started: nothing in them stands for something else. */
static int put_copies(const struct agent_job *job, struct sandbox *s, struct err *err)
{
	size_t i;
	json_t *copy;

	json_array_foreach (json_object_get(job->attempt->agent_spec, "copies"), i, copy) {
		AUTO(free) char *path = agent_expanded(json_get_str(copy, "path", ""), job);
		const char *coded = json_get_str(copy, "base64", NULL);
		const json_t *plain = json_object_get(copy, "text");
		AUTO(buf) struct buf text = BUF_INIT;

		if (coded ? !base64_decode(&text, coded) : !json_is_string(plain))
			return err_set(err, ERR_USAGE, 0, "copies: %s cannot be read", path);
		if (!coded)
			buf_add(&text, json_string_value(plain), json_string_length(plain));
		if (sandbox_put(s, path, text.data ? text.data : "", text.len,
				json_get_bool(copy, "executable", false) ? 0755 : 0644, err))
			return err_wrap(err, "files: %s", path);
	}
	return 0;
}

/* What lies below /usr of this machine is not shown in a container: there the image's own program of that name is
 * meant, wherever its PATH has it. */
static void use_image_program(struct strv *argv, const struct attempt *a)
{
	const char *name = json_get_str(a->agent_spec, "program", NULL);
	size_t i;
	json_t *m;

	if (a->trial.sandbox != SANDBOX_DOCKER || !name)
		return;
	json_array_foreach (json_object_get(a->agent_spec, "mounts"), i, m) {
		const char *host = json_get_str(m, "host", "");
		if (*host && !strncmp(argv->v[0], host, strlen(host)))
			return;
	}
	free(argv->v[0]);
	argv->v[0] = xstrdup(name);
}

static int make_argv(struct strv *argv, const struct agent_job *job, struct err *err)
{
	size_t i;
	json_t *v;

	json_array_foreach (json_object_get(job->attempt->agent_spec, "argv"), i, v)
		strv_take(argv, agent_expanded(json_is_string(v) ? json_string_value(v) : "", job));
	if (!argv->n)
		return err_set(err, ERR_USAGE, 0, "argv is empty");
	use_image_program(argv, job->attempt);
	return 0;
}

static void on_output(void *arg, int stream, const char *data, size_t n)
{
	struct cli *c = arg;

	c->spoke_ms = clock_mono_ms();
	c->said = c->said || stream == 1;
	if (stream == 1)
		agent_output_add(c->output, data, n);
	else
		buf_add_tail(&c->tail, data, n, STDERR_TAIL);
	if (c->job->on_output)
		c->job->on_output(c->job->on_output_arg, stream, data, n);
}

/* The last line of stderr that says anything; the caller frees. */
static char *last_words(const struct cli *c)
{
	const char *tail = c->tail.data;
	size_t end = c->tail.len, start;

	while (end && isspace((unsigned char)tail[end - 1]))
		end--;
	for (start = end; start && tail[start - 1] != '\n'; start--)
		;
	return xstrndup(tail + start, end - start);
}

/* What the next prompt is may be read from a file, as the instruction may. */
static int put_prompt(const struct agent_job *job, struct sandbox *s, struct err *err)
{
	const char *text = agent_prompt_text(job);

	if (!job->prompt)
		return 0;
	AUTO(free) char *path = agent_prompt_file(job);
	return sandbox_put(s, path, text, strlen(text), 0644, err);
}

static int run_box(struct cli *c, struct sandbox *s, struct sandbox_exit *end, struct err *err)
{
	const struct agent_job *job = c->job;
	const char *input = json_get_str(job->attempt->agent_spec, "stdin", NULL);
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(strv) struct strv env = STRV_INIT;
	AUTO(free) char *cwd = agent_start_dir(job);
	AUTO(free) char *text = input ? agent_expanded(input, job) : NULL;

	agent_env(&env, job, s);
	if (make_argv(&argv, job, err) || (!job->prompt && put_copies(job, s, err)) ||
	    put_files(job, s, err) || put_prompt(job, s, err))
		return -1;
	c->spoke_ms = clock_mono_ms();
	struct sandbox_exec x = {
		.argv = strv_items(&argv),
		.env = strv_items(&env),
		.cwd = cwd,
		.user = job->task->layout.agent_user,
		.input = text,
		.input_len = text ? strlen(text) : 0,
		.out = c->log,
		.err = c->log_err,
		.on_output = on_output,
		.on_output_arg = c,
		.deadline_ms = job->deadline_ms,
		.watch = job->watch,
		/* What it left running is there for its next prompt, as its services are. */
		.at_end = job->prompt + 1 < agent_prompts(job) ? SANDBOX_LEAVE : SANDBOX_KILL_ALL,
	};
	return sandbox_exec(s, &x, end, err);
}

/* What failed before it could begin is no result of it; a limit of its own is no failure. */
static int end_by_its_words(const struct cli *c, struct agent_record *out, struct err *err)
{
	const char *setup = agent_output_text(c->output, AGENT_SAID_SETUP_ERROR),
		   *limit = agent_output_text(c->output, AGENT_SAID_LIMIT);

	if (setup) {
		AUTO(buf) struct buf line = BUF_INIT;
		text_renders(&line, setup, TEXT_TERMINAL_LINE);
		return err_set(err, ERR_INFRA, 0, "its set-up failed: %s", line.data);
	}
	if (limit)
		agent_end(out, OUTCOME_BUDGET, "it reached a limit of its own: %s", limit);
	return 0;
}

static void end_by_itself(const struct cli *c, int status, const char *error,
			  struct agent_record *out)
{
	AUTO(free) char *words = error ? xstrdup(error) : last_words(c);
	char how[48];

	if (out->outcome != OUTCOME_COMPLETED || (status == 0 && !error))
		return;
	if (status == 0)
		agent_end(out, OUTCOME_AGENT_ERROR, "it reported: %s", words);
	else
		agent_end(out, OUTCOME_AGENT_ERROR, "%s%s%s", spawn_status_text(status, how),
			  *words ? ": " : "", words);
}

/* One that worked to the end is told from one that waited: for input that never comes, for a command that does not end. */
static void end_late(const struct cli *c, const struct sandbox_exit *end, struct agent_record *out)
{
	double sec = (double)c->job->attempt->trial.limits.timeout_ms / 1000;
	int64_t silent_ms = clock_mono_ms() - c->spoke_ms;

	if (2 * silent_ms > end->wall_ms)
		agent_end(out, OUTCOME_TIMEOUT, "timed out after %g s, silent for the last %lld s",
			  sec, (long long)silent_ms / 1000);
	else
		agent_end(out, OUTCOME_TIMEOUT, "timed out after %g s", sec);
}

/* What was mounted is there: when it is not found, its loader is not. */
static bool is_mounted(const struct attempt *a)
{
	const char *first =
		json_string_value(json_array_get(json_object_get(a->agent_spec, "argv"), 0));
	size_t i;
	json_t *m;

	json_array_foreach (json_object_get(a->agent_spec, "mounts"), i, m) {
		const char *box = json_get_str(m, "box", "");
		if (first && *box && strncmp(first, box, strlen(box)) == 0)
			return true;
	}
	return false;
}

/* An image may lack what a program needs to start at all. It ends at once then, without a word, before it could ask a
 * model: whatever says so later is the agent. */
static bool lacks_libraries(const struct cli *c, const struct sandbox_exit *end)
{
	return WIFEXITED(end->status) && WEXITSTATUS(end->status) == 127 && !c->said &&
	       end->wall_ms < LOADER_MS &&
	       strstr(c->tail.data, "error while loading shared libraries");
}

static int cannot_start(const struct cli *c, const char *text, struct err *err)
{
	if (!is_mounted(c->job->attempt))
		return err_set(err, ERR_INFRA, 0,
			       "cannot be started in the sandbox: %s (install it where the sandbox "
			       "sees it, or set "
			       "argv in its file)",
			       text);
	return err_set(err, ERR_INFRA, 0,
		       "cannot be started in the sandbox: %s (it is there, but the image lacks "
		       "what it needs: glibc "
		       "and, for node, libstdc++)",
		       text);
}

static int judge(const struct cli *c, const struct sandbox_exit *end, const char *error,
		 struct agent_record *out, struct err *err)
{
	const struct limits *l = &c->job->attempt->trial.limits;

	out->exit_status = end->end == SANDBOX_EXITED ? end->status : -1;
	switch (end->end) {
	case SANDBOX_EXITED:
		if (lacks_libraries(c, end)) {
			AUTO(free) char *words = last_words(c);
			cannot_start(c, words, err);
			return err_from_box(err);
		}
		if (end_by_its_words(c, out, err))
			return -1;
		end_by_itself(c, end->status, error, out);
		return 0;
	case SANDBOX_TIMED_OUT:
		end_late(c, end, out);
		return 0;
	case SANDBOX_NO_MEMORY:
		agent_end(out, OUTCOME_AGENT_ERROR, "used more than %lld MB of memory (memory_mb)",
			  (long long)l->memory_mb);
		return 0;
	case SANDBOX_NO_DISK:
		agent_end(out, OUTCOME_AGENT_ERROR, "%s", end->text);
		return 0;
	case SANDBOX_NOT_FOUND:
		break;
	}
	return cannot_start(c, end->text, err);
}

static void measure(const struct sandbox_exit *end, struct agent_metrics *m)
{
	m->wall_ms = end->wall_ms;
	m->cpu_ms = end->cpu_ms;
	m->memory_max = end->memory_max;
	m->disk_bytes = end->disk_bytes;
	if (end->end == SANDBOX_EXITED)
		m->left_running = end->left_running;
}

static int run_and_judge(struct cli *c, struct sandbox *s, struct agent_record *part,
			 struct err *err)
{
	struct sandbox_exit end = {0};

	if (run_box(c, s, &end, err))
		return -1;
	agent_output_stderr(c->output, c->tail.data);
	agent_output_finish(c->output, part);
	if (judge(c, &end, agent_output_text(c->output, AGENT_SAID_ERROR), part, err))
		return -1;
	measure(&end, &part->metrics);
	return 0;
}

/* One prompt, by a process of its own: PART is what it came to. */
static int ask(struct cli *c, const struct agent_job *job, struct sandbox *s,
	       struct agent_record *part, struct err *err)
{
	AUTO(json) json_t *spec = agent_prompt_spec(job);
	AUTO(agent_output) struct agent_output *output = NULL;
	struct attempt attempt = *job->attempt;
	struct agent_job mine = *job;

	attempt.agent_spec = spec;
	mine.attempt = &attempt;
	if (agent_output_new(&output, json_object_get(spec, "output"), err))
		return -1;
	buf_reset(&c->tail);
	c->job = &mine;
	c->output = output;
	c->said = false;
	int rc = run_and_judge(c, s, part, err);
	c->job = NULL;
	c->output = NULL;
	return rc;
}

static int ask_all(struct cli *c, const struct agent_job *job, struct sandbox *s,
		   struct agent_record *out, struct err *err)
{
	const json_t *next = json_object_get(job->attempt->agent_spec, "follow_up");
	const bool cumulative = !strcmp(json_get_str(next, "usage", ""), "total");
	const struct agent_record fresh = *out;
	struct agent_job mine = *job;

	for (; mine.prompt < agent_prompts(job) && out->outcome == OUTCOME_COMPLETED;
	     mine.prompt++) {
		struct agent_record part = fresh;
		struct agent_mark mark;
		agent_prompt_begin(&mark, &mine, out);
		if (ask(c, &mine, s, &part, err))
			return -1;
		agent_prompt_add(out, &part, cumulative);
		agent_prompt_end(&mark, &mine, out);
	}
	return 0;
}

static int cli_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
		   struct err *err)
{
	AUTO(cli) struct cli c = {.tail = BUF_INIT};

	if (!s)
		return err_set(err, ERR_USAGE, 0, "agent \"%s\" needs a sandbox",
			       job->attempt->trial.agent);
	if (capped_log_open(&c.log, job->run_fd, ATTEMPT_AGENT_LOG, CAPPED_LOG_BYTES, err) ||
	    capped_log_open(&c.log_err, job->run_fd, ATTEMPT_AGENT_ERR, CAPPED_LOG_BYTES, err) ||
	    ask_all(&c, job, s, out, err) || capped_log_close(STEAL(&c.log), err) ||
	    capped_log_close(STEAL(&c.log_err), err))
		return err_wrap(err, "agent \"%s\"", job->attempt->trial.agent);
	return 0;
}

const struct agent_kind agent_cli = {.name = "cli", .run = cli_run};

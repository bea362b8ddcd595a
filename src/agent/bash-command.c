/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/bash-command.h"
#include <stdio.h>
#include <string.h>
#include "agent/agent-kind.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/spawn.h"

enum { SWEEP_MS = 10000 };

/* The two ends of a stream of any length. */
struct ends {
	struct buf head, tail;
	size_t total;
	const struct agent_job *job;
};

static void auto_ends(struct ends *e)
{
	buf_release(&e->head);
	buf_release(&e->tail);
}

static void keep(void *arg, int stream, const char *data, size_t n)
{
	struct ends *e = arg;
	size_t room = BASH_SHOWN - e->head.len, first = room < n ? room : n;

	if (e->job->on_output)
		e->job->on_output(e->job->on_output_arg, stream, data, n);
	e->total += n;
	buf_add(&e->head, data, first);
	buf_add_tail(&e->tail, data + first, n - first, BASH_SHOWN);
}

/* Whole characters only, at the cut. */
static void show(const struct ends *e, struct buf *out)
{
	size_t left_out = e->total - e->head.len - e->tail.len, skip = 0, head = e->head.len;

	if (left_out) {
		head = text_cut(e->head.data, e->head.len);
		while (skip < 3 && skip < e->tail.len && (e->tail.data[skip] & 0xc0) == 0x80)
			skip++;
	}
	buf_add(out, e->head.data, head);
	if (left_out)
		buf_addf(out, "\n[... %zu bytes left out ...]\n", left_out);
	buf_add(out, e->tail.data + skip, e->tail.len - skip);
	if (out->len && out->data[out->len - 1] != '\n')
		buf_addc(out, '\n');
}

/* A command has a time of its own, below that of the job, which may move. */
struct command_time {
	const struct agent_job *job;
	int64_t own_ms; /* clock_mono_ms */
};

static int64_t earlier(const struct command_time *t, int64_t job_ms)
{
	return job_ms && job_ms < t->own_ms ? job_ms : t->own_ms;
}

static int64_t command_deadline(void *arg)
{
	const struct command_time *t = arg;

	return earlier(t, agent_deadline(t->job));
}

static int run(struct bash_shell *s, const char *command, const char *dir, struct ends *ends,
	       struct sandbox_exit *end, struct err *err)
{
	const char *const argv[] = {s->no_bash ? "sh" : "bash", "-c", command, NULL};
	struct command_time time = {.job = s->job, .own_ms = clock_mono_ms() + s->command_ms};
	const struct sandbox_watch watch = {.fd = s->job->watch ? s->job->watch->fd : -1,
					    .deadline = command_deadline,
					    .arg = &time};
	const struct sandbox_exec x = {
		.argv = argv,
		.env = strv_items(&s->env),
		.cwd = dir,
		.user = s->job->task->layout.agent_user,
		.out = s->log,
		.joined = true,
		.on_output = keep,
		.on_output_arg = ends,
		.deadline_ms = earlier(&time, agent_deadline(s->job)),
		.watch = &watch,
		.at_end = SANDBOX_LEAVE,
	};

	s->dirty = true;
	return sandbox_exec(s->box, &x, end, err);
}

static void add(int64_t *sum, int64_t n)
{
	*sum = (*sum < 0 ? 0 : *sum) + n;
}

static void measure(const struct sandbox_exit *end, struct agent_metrics *m)
{
	add(&m->cpu_ms, end->cpu_ms);
	if (end->memory_max > m->memory_max)
		m->memory_max = end->memory_max;
	m->disk_bytes = end->disk_bytes;
}

static int judge(struct bash_shell *s, const struct sandbox_exit *end, struct buf *out, char *why,
		 struct err *err)
{
	int64_t deadline_ms = agent_deadline(s->job);
	char how[48];

	s->ran |= end->end != SANDBOX_NOT_FOUND;
	switch (end->end) {
	case SANDBOX_EXITED:
		buf_addf(out, "[%s]", spawn_status_text(end->status, how));
		return BASH_GOES_ON;
	case SANDBOX_TIMED_OUT:
		s->dirty = false;
		if (deadline_ms && clock_mono_ms() >= deadline_ms)
			return BASH_LATE;
		buf_addf(out,
			 "[killed after %lld s, with everything that ran in the background: start "
			 "what takes "
			 "longer in the background, its output in a file, and look at that later]",
			 (long long)s->command_ms / 1000);
		return BASH_GOES_ON;
	case SANDBOX_NO_MEMORY:
		s->dirty = false;
		buf_addf(out, "[killed: it %s]", end->text[0] ? end->text : "used too much memory");
		return BASH_GOES_ON;
	case SANDBOX_NO_DISK:
		s->dirty = false;
		snprintf(why, 256, "%s", end->text);
		return BASH_SPENT;
	case SANDBOX_NOT_FOUND:
		break;
	}
	if (s->ran) {
		snprintf(why, 256, "its sandbox has neither bash nor sh any more: %s", end->text);
		return BASH_SPENT;
	}
	return err_set(err, ERR_INFRA, 0, "the sandbox has neither bash nor sh: %s", end->text);
}

/* With what there is to run it, where it can be run: a working folder that the agent took away or closed is for the agent
 * to make anew. */
static int start(struct bash_shell *s, const char *command, struct ends *ends,
		 struct sandbox_exit *end, struct buf *out, struct err *err)
{
	const char *dir = s->dir;

	if (run(s, command, dir, ends, end, err))
		return -1;
	if (end->end == SANDBOX_NOT_FOUND && end->no_folder && s->ran) {
		buf_addf(out, "[%s: run in / instead]\n", end->text);
		dir = "/";
		if (run(s, command, dir, ends, end, err))
			return -1;
	}
	if (end->end != SANDBOX_NOT_FOUND || end->no_folder || s->no_bash)
		return 0;
	s->no_bash = true;
	return run(s, command, dir, ends, end, err);
}

int bash_command(struct bash_shell *s, const char *command, struct buf *out, char *why,
		 struct err *err)
{
	AUTO(ends) struct ends ends = {.head = BUF_INIT, .tail = BUF_INIT, .job = s->job};
	struct sandbox_exit end;

	if (strlen(command) > BASH_COMMAND_BYTES) {
		buf_addf(out,
			 "[not run: the command has %zu bytes, %d are the most; write long files "
			 "in parts]",
			 strlen(command), BASH_COMMAND_BYTES);
		return BASH_GOES_ON;
	}
	if (start(s, command, &ends, &end, out, err)) {
		if (!s->ran || !err->from_box)
			return -1;
		snprintf(why, 256, "its sandbox runs no command any more: %.180s", err->msg);
		return BASH_SPENT;
	}
	measure(&end, s->metrics);
	show(&ends, out);
	return judge(s, &end, out, why, err);
}

int bash_sweep(struct bash_shell *s, struct err *err)
{
	static const char *const argv[] = {"true", NULL};
	struct sandbox_exit end;
	const struct sandbox_exec x = {
		.argv = argv,
		.env = strv_items(&s->env),
		.cwd = "/",
		.user = s->job->task->layout.agent_user,
		.deadline_ms = clock_mono_ms() + SWEEP_MS,
		.at_end = SANDBOX_KILL_ALL,
	};

	if (!s->dirty)
		return 0;
	s->dirty = false;
	if (sandbox_exec(s->box, &x, &end, err))
		return err->from_box ? 0 : -1; /* all of it ends with the box */
	s->metrics->left_running = end.left_running;
	return 0;
}

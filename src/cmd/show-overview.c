/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/show.h"
#include "core/datadir.h"
#include "core/result.h"
#include "core/trial.h"
#include "report/number.h"
#include "report/report.h"
#include "store/owner.h"

static void line(struct buf *out, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void line(struct buf *out, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	AUTO(free) char *text = xvasprintf(fmt, ap);
	va_end(ap);
	buf_addf(out, "%-10s", key);
	text_renders(out, text, TEXT_TERMINAL_LINE);
	buf_addc(out, '\n');
}

static void add_trial(struct buf *out, const struct attempt *a)
{
	const struct trial *t = &a->trial;

	line(out, "task", "%s (%s)", t->task_id, t->task_dir);
	if (t->model[0])
		line(out, "model", "%s", t->model);
	if (t->variant[0])
		line(out, "label", "%s", t->variant);
	line(out, "agent", "%s", t->agent);
	line(out, "rollout", "%d", t->rollout);
}

static void add_known(struct buf *out, const struct scores *s)
{
	char shown[NUMBER_TEXT];

	for (size_t i = 0; i < s->n; i++) {
		snprintf(shown, sizeof shown, "%.15g", s->v[i].value);
		if (strtod(shown, NULL) != s->v[i].value)
			snprintf(shown, sizeof shown, "%.17g", s->v[i].value);
		if (s->v[i].known)
			line(out, "", "%s %s", shown, s->v[i].id);
	}
}

static void add_score(struct buf *out, const struct result *r)
{
	if (!r->scored) {
		line(out, "score", "%s",
		     r->evaluated ? "none: no rubric has a test" : "none: not graded");
		return;
	}
	line(out, "score", "%s (%d of %d tests passed)",
	     number_score((char[NUMBER_TEXT]){0}, r->total_score), r->tests_passed, r->tests);
	for (size_t i = 0; i < r->steps_n; i++)
		add_known(out, &r->steps[i].scores);
	if (r->coverage >= 0 && r->coverage < 1)
		line(out, "coverage", "%.2f of the rubrics' weight is scored", r->coverage);
	if (r->score_low < r->score_high)
		line(out, "bounds",
		     "%.3f to %.3f: the score, if all that is not scored were worth 0, or 1",
		     r->score_low, r->score_high);
}

static void add_metrics(struct buf *out, const struct metrics *m)
{
	for (size_t i = 0; i < m->n; i++)
		line(out, i ? "" : "metrics", "%.10g %s%s", m->v[i].value, m->v[i].name,
		     m->v[i].self_reported ? " (self-reported)" : "");
}

static void add_machine(struct buf *out, const struct agent_record *a)
{
	const struct agent_metrics *m = &a->metrics;

	if (m->memory_max < 0 || m->cpu_ms < 0)
		return;
	line(out, "machine", "%lld MB of memory at most, %.1f s of CPU, %lld MB written%s",
	     (long long)(m->memory_max >> 20), (double)m->cpu_ms / 1000,
	     (long long)(m->disk_bytes < 0 ? 0 : m->disk_bytes >> 20),
	     a->oom_killed ? ", the kernel killed for memory" : "");
}

/* What of its work the diff leaves out: "build/, a.log and 3 more". */
static void add_left_out(struct buf *out, const char *what, const char *lines, int64_t n)
{
	AUTO(buf) struct buf text = BUF_INIT;
	int64_t told = 0;

	for (const char *end; *lines; lines = end + (*end == '\n'), told++) {
		end = strchrnul(lines, '\n');
		buf_addf(&text, "%s%.*s", told ? ", " : "", (int)(end - lines), lines);
	}
	if (told && n > told)
		buf_addf(&text, " and %lld more", (long long)(n - told));
	if (n > 0)
		line(out, what, "%s", told ? text.data : "see artifacts/repo_info.json");
}

/* One line for each prompt of a session of several. */
static void add_prompts(struct buf *out, const struct agent_record *a)
{
	for (size_t i = 0; i < a->prompts_n; i++) {
		const struct agent_prompt *p = &a->prompts[i];
		AUTO(buf) struct buf text = BUF_INIT;
		char wall[16];

		clock_human(p->wall_ms < 0 ? 0 : p->wall_ms, wall);
		buf_addf(&text, "%zu of %zu: %s", i + 1, a->prompts_n,
			 p->asked ? outcome_name(p->outcome) : "not asked");
		if (p->asked)
			buf_addf(&text, ", %s", wall);
		if (p->asked && p->tokens_total >= 0)
			buf_addf(&text, ", %lld tokens", (long long)p->tokens_total);
		if (p->asked && p->money_usd >= 0 && p->calls != 0)
			buf_addf(&text, ", %.4f USD", p->money_usd);
		if (p->asked && *p->reason)
			buf_addf(&text, ": %s", p->reason);
		line(out, i ? "" : "prompts", "%s", text.data);
	}
}

static void add_usage(struct buf *out, const struct agent_record *a)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char wall[16];

	clock_human(a->metrics.wall_ms < 0 ? 0 : a->metrics.wall_ms, wall);
	buf_addf(&text, "%s", wall);
	if (a->metrics.tokens_total >= 0)
		buf_addf(&text, ", %lld tokens", (long long)a->metrics.tokens_total);
	if (a->metrics.tool_calls >= 0)
		buf_addf(&text, ", %lld tool call%s", (long long)a->metrics.tool_calls,
			 a->metrics.tool_calls == 1 ? "" : "s");
	if (a->metrics.money_usd >= 0 && a->metrics.calls != 0)
		buf_addf(&text, ", %.4f USD", a->metrics.money_usd);
	else if (a->metrics.calls > 0)
		buf_adds(&text, ", cost N/A");
	buf_addf(&text, ", %lld line%s changed", (long long)a->diff_lines,
		 a->diff_lines == 1 ? "" : "s");
	if (a->metrics.left_running > 0)
		buf_addf(&text, ", %lld process%s left running", (long long)a->metrics.left_running,
			 a->metrics.left_running == 1 ? "" : "es");
	line(out, "used", "%s", text.data);
	add_prompts(out, a);
	if (a->metrics.model_served[0])
		line(out, "answered", "by %s", a->metrics.model_served);
	if (a->version[0])
		line(out, "version", "%s%s%.12s", a->version, a->tree[0] ? ", tree " : "", a->tree);
	add_left_out(out, "left out", a->skipped, a->skipped_paths);
	add_left_out(out, "ignored", a->ignored, a->ignored_paths);
	if (a->diff_truncated)
		line(out, "diff", "cut off: it was larger than diff_mb, so no test ran on it");
	add_machine(out, a);
	if (a->final_message[0])
		line(out, "said", "%s", a->final_message);
}

static void add_tools(struct buf *out, const struct result *r)
{
	const char *name;
	json_t *file, *tools = r->tools;
	bool more = false;

	json_object_foreach (tools, name, file) {
		const char *version = json_get_str(r->tool_versions, name, "");
		line(out, more ? "" : "tools", "%s%s%s%s%s", name, *version ? ": " : "", version,
		     strcmp(name, json_string_value(file)) ? " at " : "",
		     strcmp(name, json_string_value(file)) ? json_string_value(file) : "");
		more = true;
	}
}

static void add_result(struct buf *out, const struct result *r)
{
	line(out, "outcome", "%s%s%s", outcome_name(r->outcome), r->reason[0] ? ": " : "",
	     r->reason);
	add_score(out, r);
	for (size_t i = 0; i < r->suspect.n; i++)
		line(out, i ? "" : "suspect", "%s", r->suspect.v[i]);
	add_metrics(out, &r->metrics);
	if (r->has_agent)
		add_usage(out, &r->agent);
	if (r->frozen_ms > 0) {
		char still[16];
		clock_human(r->frozen_ms, still);
		line(out, "stood still", "%s, which no deadline counts", still);
	}
	if (r->usage.killed)
		line(out, "tests", "one was killed, by nothing of ours");
	if (r->oom_killed && !(r->has_agent && r->agent.oom_killed))
		line(out, "tests", "the kernel killed for memory while they ran");
	AUTO(buf) struct buf phases = BUF_INIT;
	for (size_t i = 0; i < r->phases_n; i++)
		buf_addf(&phases, "%s%s %lld ms", i ? ", " : "", r->phases[i].name,
			 (long long)r->phases[i].ms);
	if (phases.len)
		line(out, "phases", "%s", phases.data);
	if (r->sandbox)
		line(out, "sandbox", "%s%s%s%s%s%s, workspace %s, limits %s", r->sandbox,
		     r->isolation ? " (weaker: " : "", r->isolation ? r->isolation : "",
		     r->isolation ? ")" : "", r->around ? ", within " : "",
		     r->around ? r->around : "", r->workspace ? r->workspace : "none",
		     r->limits_held ? r->limits_held : "none");
	if (r->image && *r->image)
		line(out, "image", "%s", r->image);
	add_tools(out, r);
}

static int read_attempt(const struct show_run *r, struct attempt *out, struct err *err)
{
	AUTO(free) char *path = xasprintf(RUN_ATTEMPTS "/%d/" ATTEMPT_TRIAL, r->attempt);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	if (path_read_beneath(r->fd, path, SHOW_MAX_FILE, &text, err) ||
	    json_parse(&j, text.data, text.len, path, err))
		return -1;
	return attempt_from_json(out, j, path, err);
}

/* 1: there is none yet. */
static int read_result(const struct show_run *r, struct result *out, struct err *err)
{
	AUTO(free) char *path = xasprintf(RUN_ATTEMPTS "/%d/" ATTEMPT_RESULT, r->attempt);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	if (path_read_beneath(r->fd, path, SHOW_MAX_FILE, &text, err))
		return err->sys == ENOENT ? 1 : -1;
	return json_parse(&j, text.data, text.len, path, err) || result_from_json(out, j, path, err)
		       ? -1
		       : 0;
}

/* The rollout that has the run, by the stamp in its id, and which trial it is; false: there is none. */
static bool find_trial(const struct show_run *r, struct rollout *out, size_t *trial)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0;
	bool found = false;
	struct err ignored;

	if (store_list(r->store, NULL, &refs, &n, &ignored))
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(refs[i].stamp);
		if (!found && strncmp(r->id, refs[i].stamp, len) == 0 && r->id[len] == '-' &&
		    !rollout_load(out, r->store, &refs[i], &ignored)) {
			for (*trial = 0; *trial < out->trials_n && !found; *trial += !found)
				found = strcmp(RUN_ID(&out->trials[*trial]), r->id) == 0;
			if (!found)
				rollout_release(out);
		}
		rollout_ref_release(&refs[i]);
	}
	free(refs);
	return found;
}

int show_counting_attempt(const struct show_run *r)
{
	struct rollout rollout;
	size_t i;

	if (!find_trial(r, &rollout, &i))
		return 0;
	int attempt = rollout.trials[i].has_result ? (int)rollout.trials[i].result.attempt : 0;
	rollout_release(&rollout);
	return attempt;
}

/* A worker that ended without a result left its story in the journal only. */
static void add_unfinished(struct buf *out, const struct show_run *r)
{
	struct rollout rollout;
	size_t i;

	if (!find_trial(r, &rollout, &i))
		return;
	const struct trial_status *t = &rollout.trials[i];
	if (t->state == TRIAL_RUNNING)
		line(out, "outcome", "running: %s",
		     t->result.more->phase ? t->result.more->phase : "started");
	else if (t->has_result)
		line(out, "outcome", "%s: %s", outcome_name((enum outcome)t->result.outcome),
		     t->result.reason);
	else
		line(out, "outcome", "none yet: %s",
		     t->state == TRIAL_INTERRUPTED ? "interrupted" : "not run");
	line(out, "benchmark", "%s %s", rollout.ref.name, rollout.ref.stamp);
	rollout_release(&rollout);
}

/* What was tried after the attempt that is shown, and failed: its result does not count. */
static void add_later(struct buf *out, const struct show_run *r)
{
	for (int n = r->attempt + 1; n <= r->attempts; n++) {
		const struct show_run later = {.fd = r->fd, .attempt = n};
		struct result result;
		struct err ignored;

		result_init(&result);
		int status = read_result(&later, &result, &ignored);
		if (status)
			line(out, "later", "attempt %d left no result", n);
		else if (outcome_is_missing(result.outcome))
			line(out, "later", "attempt %d%s ended as %s: %s", n,
			     result.regrade ? " (only graded)" : "", outcome_name(result.outcome),
			     result.reason);
		result_release(&result);
	}
}

/* The name and stamp of the rollout that made A; a run folder of one that is not here is told from one of its namesake. */
static void add_rollout(struct buf *out, const struct show_run *r, const struct attempt *a)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0;
	bool found = false;
	struct err ignored;

	if (!a->rollout_id || store_list(r->store, a->bench, &refs, &n, &ignored))
		return;
	for (size_t i = 0; i < n; i++) {
		AUTO(planfile) struct planfile plan = {0};
		AUTO(fd)
		int fd = path_open_beneath(r->store->root_fd, refs[i].path, O_RDONLY | O_DIRECTORY,
					   0, &ignored);
		if (fd >= 0 && !planfile_read_head(&plan, fd, refs[i].path, &ignored) && plan.id &&
		    owner_is_of(&plan, a->rollout_id)) {
			line(out, "benchmark", "%s %s", refs[i].name, refs[i].stamp);
			found = true;
		}
		rollout_ref_release(&refs[i]);
	}
	free(refs);
	if (found)
		return;
	AUTO(free)
	char *text = xasprintf(
		"%s was made by a rollout of %s that is not in %s: data folders were copied over "
		"each other, or only a part of one",
		r->id, a->bench, r->store->root);
	cmd_warn(text);
}

/* The machine that it ran on in a cloud. */
static void add_cloud(struct buf *out, const struct show_run *r)
{
	AUTO(free) char *path = xasprintf(RUN_ATTEMPTS "/%d/" ATTEMPT_CLOUD, r->attempt);
	AUTO(json) json_t *j = NULL;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	if (json_read(&j, r->fd, path, SHOW_MAX_FILE, &ignored))
		return;
	const char *type = json_get_str(j, "instance_type", NULL);
	buf_addf(&text, "%.1f s%s", json_get_real(j, "seconds", 0), type ? " of " : "");
	text_renders(&text, type ? type : "", TEXT_TERMINAL_LINE);
	if (json_object_get(j, "usd"))
		buf_addf(&text, ", %.4f USD", json_get_real(j, "usd", 0));
	line(out, "cloud", "%s", text.data);
}

static void add_parts(struct buf *out, const struct show_run *r)
{
	AUTO(buf) struct buf names = BUF_INIT;

	for (size_t i = 0; i < SHOW_PARTS; i++) {
		AUTO(free) char *path =
			xasprintf(RUN_ATTEMPTS "/%d/%s", r->attempt, show_parts[i].file);
		if (path_exists(r->fd, path))
			buf_addf(&names, "%s%s", names.len ? "|" : "", show_parts[i].name);
	}
	line(out, "files", "%s/" RUN_ATTEMPTS "/%d", r->shown, r->attempt);
	line(out, "more", "rollouts show %s %s", r->id, names.data);
}

int show_overview(const struct show_run *r, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct attempt a;
	struct result result;

	if (read_attempt(r, &a, err))
		return -1;
	result_init(&result);
	int status = read_result(r, &result, err);
	if (status >= 0) {
		line(&text, "run", "%s", r->id);
		line(&text, "attempt", "%d of %d", r->attempt, r->attempts);
		add_rollout(&text, r, &a);
		add_trial(&text, &a);
		if (status == 0)
			add_result(&text, &result);
		else
			add_unfinished(&text, r);
		add_cloud(&text, r);
		add_later(&text, r);
		add_parts(&text, r);
		fwrite(text.data, 1, text.len, stdout);
	}
	result_release(&result);
	attempt_release(&a);
	return status < 0 ? -1 : 0;
}

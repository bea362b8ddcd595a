// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/index.h"
#include "store/owner.h"
#include "store/progress.h"
#include "store/planfile.h"
#include "store/store.h"

/* Where to find what is counted of a result: in the line, or where an older program left it. */
struct finished {
	const json_t *line, *result, *metrics;
};

static const json_t *member(const struct finished *f, const char *name)
{
	const json_t *v = json_object_get(f->line, name);

	return v ? v : json_object_get(f->result, name);
}

static int64_t count(const struct finished *f, const char *name, const char *metric)
{
	const json_t *v = json_object_get(f->line, name);

	v = v ? v : json_object_get(f->metrics, metric);
	return json_is_integer(v) ? json_integer_value(v) : -1;
}

static const char *text(const json_t *v)
{
	return json_is_string(v) ? json_string_value(v) : "";
}

/* A rollout while its files are read. */
struct loading {
	struct rollout *r;
	struct words words;
	bool measured;
	struct loaded {
		uint64_t key;
		int32_t last_finished : 31; /* as in trial_progress */
		bool whole : 1;
	} * trials;
};

/* The first of A and B that says something. */
static const char *word(struct loading *l, const json_t *a, const json_t *b)
{
	return words_text(&l->words, *text(a) ? text(a) : text(b));
}

static double *measured_of(const json_t *line, const json_t *whole)
{
	const json_t *measured = json_object_get(line, "measured");
	double *values = xcalloc(METRIC_COUNT, sizeof *values);

	if (whole)
		metric_values(values, whole);
	for (size_t i = 0; !whole && i < METRIC_COUNT; i++) {
		const json_t *v = json_array_get(measured, i);
		values[i] = json_is_number(v) ? json_number_value(v) : NAN;
	}
	return values;
}

static void keep_custom(struct loading *l, struct result_more *to, const json_t *line,
			const json_t *whole)
{
	const json_t *custom = json_object_get(line, "custom");
	struct metrics m = {0};

	metrics_from_json(&m, custom ? custom : json_object_get(whole, "metrics"),
			  json_object_get(custom ? line : whole, "self_reported"));
	to->custom = m.n ? xcalloc(m.n, sizeof *to->custom) : NULL;
	for (size_t i = 0; i < m.n; i++)
		to->custom[to->custom_n++] = (struct trial_metric){
			words_text(&l->words, m.v[i].name), m.v[i].value, m.v[i].self_reported};
	metrics_release(&m);
}

static const struct result_more *more_of(struct loading *l, const struct finished *f)
{
	const json_t *agent = json_object_get(f->result, "agent");
	const json_t *judged = member(f, "judge_score");
	struct result_more more = result_no_more, *kept;

	if (json_is_number(judged))
		more.judge_score = json_number_value(judged);
	more.skipped = json_get_int(f->line, "skipped", json_get_int(agent, "skipped_paths", 0));
	more.ignored = json_get_int(f->line, "ignored", json_get_int(agent, "ignored_paths", 0));
	more.judge_votes = json_incref((json_t *)member(f, "judge_votes"));
	keep_custom(l, &more, f->line, f->result);
	if (l->measured)
		more.measured = measured_of(f->line, f->result);
	if (!(more.judge_score >= 0) && !(more.first_score > 0) && !more.skipped && !more.ignored &&
	    !more.judge_votes && !more.measured && !more.custom_n)
		return &result_no_more;
	kept = xmalloc(sizeof *kept);
	*kept = more;
	return kept;
}

static const struct result_origin *origin_of(struct loading *l, const struct finished *f,
					     const char *task_hash)
{
	const json_t *agent = json_object_get(f->result, "agent");
	const struct result_origin o = {
		.task_hash = task_hash,
		.served = word(l, json_object_get(f->line, "served"),
			       json_object_get(f->metrics, "model_served")),
		.agent_version = word(l, json_object_get(f->line, "agent_version"),
				      json_object_get(agent, "version")),
		.judge_served =
			word(l, json_object_get(f->line, "judge_served"),
			     json_object_get(json_object_get(f->result, "judge"), "model_served")),
		.image_id = word(l, member(f, "image_id"), NULL),
		.program = word(l, member(f, "program"), NULL),
		.judge_model = word(l, member(f, "judge_model"), NULL),
		.judge_prompt = word(l, member(f, "judge_prompt"), NULL),
	};

	return words_origin(&l->words, &o);
}

static int64_t at_most(int64_t n, int64_t most)
{
	return n > most ? most : n < -1 ? -1 : n;
}

static bool keep_result(struct loading *l, struct trial_status *t, const json_t *line)
{
	const json_t *whole = json_object_get(line, "result");
	const json_t *metrics = json_object_get(json_object_get(whole, "agent"), "metrics");
	const struct finished f = {line, whole, metrics};
	const json_t *score = member(&f, "total_score"), *usd = json_object_get(line, "usd");
	struct trial_result result = {
		.attempt = at_most(json_get_int(line, "attempt", 0), TRIAL_ATTEMPT_MAX),
		.scored = json_is_number(score),
		.total_score = json_number_value(score),
		.tokens = at_most(count(&f, "tokens", "tokens_total"), TRIAL_AMOUNT_MAX),
		.tool_calls =
			(int32_t)at_most(count(&f, "tool_calls", "tool_calls"), TRIAL_COUNT_MAX),
		.calls = (int32_t)at_most(count(&f, "calls", "calls"), TRIAL_COUNT_MAX),
		.wall_ms = at_most(count(&f, "wall_ms", "wall_ms"), TRIAL_AMOUNT_MAX),
		.money_usd = usd ? (json_is_number(usd) ? json_number_value(usd) : -1)
				 : json_get_real(metrics, "money_usd", -1),
		.suspect = (uint64_t)at_most(
			json_get_int(line, "suspect",
				     (int64_t)json_array_size(json_object_get(whole, "suspect"))),
			TRIAL_SUSPECT_MAX),
	};
	const char *hash = text(member(&f, "task_hash"));
	enum outcome outcome;

	if (!outcome_parse(text(member(&f, "outcome")), &outcome))
		return false;
	result.outcome = outcome;
	result.disturbed =
		json_get_bool(line, "late", false) ||
		json_get_bool(json_object_get(whole, "evaluation"), "timed_out_under_load", false);
	result.reason = word(l, member(&f, "reason"), NULL);
	result.reason = result.reason ? result.reason : "";
	result.as_planned = *hash && strcmp(hash, t->shared->task_hash) == 0;
	hash = result.as_planned ? NULL : words_text(&l->words, hash);
	result.origin = origin_of(l, &f, hash ? hash : "");
	result.more = more_of(l, &f);
	trial_result_release(&t->result);
	t->result = result;
	t->has_result = true;
	return true;
}

/* A million results are compared in 200 MB. */
_Static_assert(sizeof(struct trial_status) <= 88, "a trial takes more memory than it has");

const struct result_origin result_no_origin = {.task_hash = ""};
static void take_head(struct rollout *r, struct planfile *head)
{
	r->config = STEAL(&head->config);
	r->config_hash = STEAL(&head->config_hash);
	r->program = STEAL(&head->program);
	r->agents = json_incref(head->agents);
}

struct result_more *trial_result_more(struct trial_result *r)
{
	if (r->more != &result_no_more)
		return (struct result_more *)r->more;
	struct result_more *more = xmalloc(sizeof *more);
	*more = result_no_more;
	r->more = more;
	return more;
}

const char *trial_run_id(const struct trial_status *t, struct run_id_room *room)
{
	size_t n = strlen(t->shared->stem), digits = 1;

	if (t->number == TRIAL_NO_NUMBER)
		return t->shared->stem;
	for (uint32_t left = t->number; left > 9; left /= 10)
		digits++;
	if (n + 1 + digits >= sizeof room->text)
		bug("a run ID is longer than its reader took it for");
	memcpy(room->text, t->shared->stem, n);
	room->text[n] = '-';
	room->text[n + 1 + digits] = '\0';
	for (uint32_t left = t->number; digits--; left /= 10)
		room->text[n + 1 + digits] = (char)('0' + left % 10);
	return room->text;
}

const char *trial_graded_hash(const struct trial_status *t)
{
	if (!t->has_result)
		return "";
	return t->result.as_planned ? t->shared->task_hash : t->result.origin->task_hash;
}

const struct trial_metric *trial_metric_of(const struct trial_status *t, const char *name)
{
	for (size_t i = 0; t->has_result && i < t->result.more->custom_n; i++)
		if (strcmp(t->result.more->custom[i].name, name) == 0)
			return &t->result.more->custom[i];
	return NULL;
}

static void take_trials(struct rollout *r, struct loaded *to, const struct plan_trial *v, size_t n)
{
	r->trials = xcalloc(n + 1, sizeof *r->trials);
	r->trials_n = n;
	for (size_t i = 0; i < n; i++) {
		to[i].key = v[i].key;
		r->trials[i] = (struct trial_status){.shared = v[i].shared,
						     .number = v[i].number,
						     .rollout = v[i].rollout,
						     .result = {.origin = &result_no_origin,
								.more = &result_no_more,
								.reason = ""}};
	}
}

static void end_trial(struct trial_status *t, bool has_result)
{
	if (t->state == TRIAL_RUNNING)
		t->state = TRIAL_INTERRUPTED;
	/* Grading it again was cut short: what was there still counts. */
	if (t->state == TRIAL_INTERRUPTED && has_result)
		t->state = TRIAL_FINISHED;
}

static bool get_progress(void *arg, size_t i, const char *run_id, const char *key,
			 struct trial_progress *p)
{
	const struct loading *l = arg;
	const struct trial_status *t = &l->r->trials[i];
	const struct trial_result *x = &t->result;

	if (plan_key_of(key) != l->trials[i].key || strcmp(RUN_ID(t), run_id) != 0)
		return false;
	p->state = (enum trial_state)t->state;
	p->attempts = t->attempts;
	p->last_finished = l->trials[i].last_finished;
	p->whole = l->trials[i].whole;
	snprintf(p->phase, sizeof p->phase, "%s", x->more->phase ? x->more->phase : "");
	if (!t->has_result)
		return true;
	p->result_attempt = (int)x->attempt;
	p->outcome = (enum outcome)x->outcome;
	p->scored = x->scored;
	p->total_score = x->total_score;
	p->replaced = x->replaced;
	p->first_scored = x->first_scored;
	p->first_score = x->replaced ? x->more->first_score : 0;
	return true;
}

static void put_progress(void *arg, size_t i, const struct trial_progress *p, const json_t *line,
			 bool result)
{
	struct loading *l = arg;
	struct trial_status *t = &l->r->trials[i];

	t->state = p->state;
	t->attempts = p->attempts;
	l->trials[i].last_finished = p->last_finished;
	l->trials[i].whole = p->whole;
	if (l->r->live && (*p->phase || t->result.more->phase))
		trial_result_more(&t->result)->phase = words_text(&l->words, p->phase);
	if (!result || !keep_result(l, t, line))
		return;
	t->result.replaced = p->replaced;
	t->result.first_scored = p->first_scored;
	if (p->replaced)
		trial_result_more(&t->result)->first_score = p->first_score;
}

static bool can_be_counted(const struct trial_status *t)
{
	return t->has_result && !outcome_is_missing((enum outcome)t->result.outcome);
}

void rollout_ended(struct rollout *r)
{
	r->live = false;
	for (size_t i = 0; i < r->trials_n; i++)
		end_trial(&r->trials[i], can_be_counted(&r->trials[i]));
}

static int read_progress(struct loading *l, const struct planfile *plan, int dir_fd,
			 struct err *err)
{
	struct rollout *r = l->r;
	const struct progress_keeper keeper = {l, get_progress, put_progress};
	/* Which phase a trial is in is asked only while it runs. */
	const enum journal_depth depth = r->live ? JOURNAL_ALL : JOURNAL_RESULTS;
	struct journal_stats stats;

	if (progress_read_kept(&keeper, r->trials_n, dir_fd, depth, &stats, err) ||
	    owner_check_journal(plan, stats.rollout_id, r->ref.path, err))
		return -1;
	if (!r->live)
		rollout_ended(r);
	r->damaged_lines = stats.damaged;
	r->cost = stats.cost;
	return 0;
}

/* Its trials, as plan and journal have them. HEAD: of the plan. */
static int read_files(struct rollout *r, struct planfile *head, int dir_fd, bool measured,
		      struct err *err)
{
	struct loading l = {.r = r, .words = {.memory = &r->memory}, .measured = measured};
	AUTO(free) struct plan_trial *trials = NULL;
	size_t n = 0;
	int status = planfile_read_shared(head, &trials, &n, &l.words, dir_fd, r->ref.path, err);

	AUTO(free) struct loaded *loaded = xcalloc(n + 1, sizeof *loaded);
	l.trials = loaded;
	if (!status)
		take_trials(r, loaded, trials, n);
	/* Of a million trials it is twenty megabytes. */
	free(STEAL(&trials));
	if (!status)
		status = read_progress(&l, head, dir_fd, err);
	words_end(&l.words);
	return status;
}

/* A few of many: data folders that were copied over each other share more than one run, as a rule. */
static bool seems_own(const struct rollout *r, const struct store *s, const struct planfile *plan)
{
	enum { SAMPLE = 500 };
	size_t step = r->trials_n / SAMPLE + 1;

	for (size_t i = 0; i < r->trials_n; i += step)
		if (owner_is_stranger(s->root_fd, plan, RUN_ID(&r->trials[i]),
				      r->trials[i].attempts))
			return false;
	return true;
}

static void find_strangers(struct rollout *r, const struct store *s, const struct planfile *plan)
{
	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		if (!owner_is_stranger(s->root_fd, plan, RUN_ID(t), t->attempts))
			continue;
		if (!r->strangers++)
			r->stranger = xstrdup(RUN_ID(t));
	}
}

int rollout_load(struct rollout *out, const struct store *s, const struct rollout_ref *ref,
		 struct err *err)
{
	return rollout_read(out, s, ref, &(struct rollout_how){0}, err);
}

/* Its trials and the head of its plan, from the index where that has them, else from the files. */
static int read_trials(struct rollout *r, const struct store *s, int dir_fd,
		       const struct rollout_how *how, struct err *err)
{
	AUTO(planfile) struct planfile head = {0};
	struct index_files files;
	bool indexed =
		how->index && !how->measured && !r->live && index_files_of(&files, s, dir_fd);

	if (indexed && index_get(r, s, &files)) {
		if (planfile_read_head(&head, dir_fd, r->ref.path, err))
			return -1;
		if (seems_own(r, s, &head)) {
			take_head(r, &head);
			return 0;
		}
		index_forget(r);
		planfile_release(&head);
	}
	if (read_files(r, &head, dir_fd, how->measured, err))
		return -1;
	find_strangers(r, s, &head);
	take_head(r, &head);
	if (indexed && !r->strangers)
		index_put(r, s, &files);
	return 0;
}

int rollout_read(struct rollout *out, const struct store *s, const struct rollout_ref *ref,
		 const struct rollout_how *how, struct err *err)
{
	AUTO(fd) int fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct rollout r = {.tags = STRV_INIT};

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s/%s", s->root, ref->path);
	r.ref = (struct rollout_ref){xstrdup(ref->name), xstrdup(ref->stamp), xstrdup(ref->path)};
	r.root = xstrdup(s->root);
	/* Asked before the journal is read: what ends meanwhile must not look interrupted. */
	r.live = journal_is_live(fd);
	if (read_trials(&r, s, fd, how, err) || store_tags_read(s, ref, &r.tags, err) ||
	    store_notes_read(s, ref, &r.notes, err) ||
	    exclusions_read(&r.exclusions, fd, ref->path, err)) {
		rollout_release(&r);
		return -1;
	}
	rollout_mark_excluded(&r);
	*out = r;
	return 0;
}

void rollout_mark_excluded(struct rollout *r)
{
	for (size_t i = 0; r->exclusions.n && i < r->trials_n; i++) {
		struct trial_status *t = &r->trials[i];
		const struct exclusion *found = exclusions_find(&r->exclusions, RUN_ID(t));
		if (found || trial_excluded(t))
			trial_result_more(&t->result)->excluded = found;
	}
}

void rollout_release(struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++)
		trial_result_release(&r->trials[i].result);
	free(r->trials);
	memory_release(&r->memory);
	free(r->config);
	free(r->config_hash);
	free(r->program);
	free(r->root);
	json_decref(r->agents);
	exclusions_release(&r->exclusions);
	for (size_t i = 0; i < r->parts_n; i++) {
		rollout_ref_release(&r->parts[i].ref);
		free(r->parts[i].program);
		free(r->parts[i].config_hash);
	}
	free(r->parts);
	free(r->stranger);
	strv_release(&r->tags);
	json_decref(r->notes);
	rollout_ref_release(&r->ref);
	*r = (struct rollout){0};
}

void rollouts_release(struct rollouts *r)
{
	for (size_t i = 0; i < r->n; i++)
		rollout_release(&r->v[i]);
	free(r->v);
	*r = (struct rollouts){0};
}

size_t rollout_count_disturbed(const struct rollout *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->trials_n; i++)
		n += r->trials[i].has_result && r->trials[i].result.disturbed;
	return n;
}

bool rollout_is_complete(const struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++)
		if (!can_be_counted(&r->trials[i]))
			return false;
	return true;
}

bool rollout_is_live(const struct store *s, const struct rollout_ref *ref)
{
	AUTO(fd) int fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && journal_is_live(fd);
}

const char *rollout_state(const struct rollout *r)
{
	if (r->live)
		return "running";
	if (rollout_is_complete(r))
		return "complete";
	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		if (t->state == TRIAL_INTERRUPTED ||
		    (t->has_result && t->result.outcome == OUTCOME_CANCELLED))
			return "interrupted";
	}
	return "incomplete";
}

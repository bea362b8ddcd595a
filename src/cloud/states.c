/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two sources say what became of a trial: the bucket, where its node wrote what it said and how it ended, and Batch, which is asked of whole arrays
 * and says why a child never wrote its last word. Of the bucket only what is new is listed, of an array only what changed its counts.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cloud/batch.h"
#include "core/driver.h"
#include "cloud/layout.h"
#include "os/lines.h"

enum {
	DESCRIBE = 100, /* jobs in one answer of Batch */
	PAGE = 1000,
	LATE_MS =
		3000, /* a node's last object is there before its job ends: how long we wait for a sign of it all the same */
	MARGIN_MS = 120000, /* clocks of nodes differ by less */
	MISSED_MAX = 5,
	LINE_MAX_BYTES = 16 << 20,
	GET_MANY = 64,
	LIST_FROM = 16,
	IDLE_POLLS = 5, /* of an array that waits, before it is asked why */
};

static struct trial_ref *trial_of(struct array *a, const char *token)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->tasks[i].n; k++)
			if (!strcmp(a->tasks[i].trials[k].token, token))
				return &a->tasks[i].trials[k];
	return NULL;
}

static void set(char **to, const char *text)
{
	free(*to);
	*to = xstrdup(text);
}

static void take_end(struct batch *b, struct trial_ref *r, const json_t *j)
{
	r->stopped = json_get_bool(j, "stopped", false);
	r->committed = json_get_bool(j, "committed", false);
	if (!r->cloud)
		r->cloud = json_incref(json_object_get(j, "cloud"));
	const char *how = json_get_str(j, "ended", json_get_str(j, "how", "it ended"));
	/* What its engine stopped is told once the engine has said why. */
	if (r->stopped && !r->cancelled)
		set(&r->how, how);
	else
		say_ended(r, how, true);
}

struct hearer {
	struct batch *b;
	struct array *a;
};

static void on_line(void *arg, const char *line, size_t len)
{
	struct hearer *h = arg;
	AUTO(json) json_t *j = json_loadb(line, len, 0, NULL);
	struct trial_ref *r = trial_of(h->a, json_get_str(j, "token", ""));

	if (!r || r->ended || r->how)
		return;
	if (json_object_get(j, "ended")) {
		take_end(h->b, r, j);
	} else if (r->attached && json_is_object(json_object_get(j, "line"))) {
		json_put_str(j, "event", "line");
		driver_say(json_incref(j));
	}
}

struct keys {
	struct array *a;
	struct strv fresh;
};

static void on_key(void *arg, const char *key, int64_t bytes, const char *etag)
{
	struct keys *k = arg;

	if (!json_object_get(k->a->read, key))
		strv_push(&k->fresh, key);
}

/* Where the next list begins: a little before the last one, since another node's clock may be behind. */
static char *behind(const struct array *a)
{
	const char *name = a->heard ? strrchr(a->heard, '/') : NULL;
	int64_t ms = name ? strtoll(name + 1, NULL, 10) - MARGIN_MS : 0;

	return ms > 0 ? xasprintf(LAYOUT_BATCHES "/%s/events/%013lld", a->name, (long long)ms)
		      : NULL;
}

static void forget_old(struct array *a, const char *from)
{
	const char *key;
	json_t *v;
	void *next;

	json_object_foreach_safe(a->read, next, key, v) if (strcmp(key, from) < 0)
		json_object_del(a->read, key);
}

static int read_objects(struct batch *b, struct array *a, const struct strv *keys, struct err *err)
{
	struct s3_object objects[GET_MANY];
	int rc = 0;

	for (size_t i = 0; i < keys->n && !rc; i += GET_MANY) {
		size_t n = keys->n - i < GET_MANY ? keys->n - i : GET_MANY;
		for (size_t k = 0; k < n; k++)
			objects[k] = (struct s3_object){
				.key = keys->v[i + k], .fd = -1, .text = BUF_INIT};
		rc = s3_get(&b->s3, objects, n, err);
		for (size_t k = 0; k < n; k++) {
			AUTO(buf) struct buf begun = BUF_INIT;
			if (!objects[k].rc) {
				lines_feed(&begun, objects[k].text.data, objects[k].text.len,
					   LINE_MAX_BYTES, on_line, &(struct hearer){b, a});
				json_put_bool(a->read, objects[k].key, true);
			}
			if (!objects[k].rc && (!a->heard || strcmp(objects[k].key, a->heard) > 0))
				set(&a->heard, objects[k].key);
			buf_release(&objects[k].text);
		}
	}
	return rc;
}

static int read_events(struct batch *b, struct array *a, struct err *err)
{
	AUTO(free) char *prefix = xasprintf(LAYOUT_BATCHES "/%s/events/", a->name);
	AUTO(free) char *from = behind(a);
	struct keys keys = {a, STRV_INIT};

	int rc = s3_list(&b->s3, prefix, from, on_key, &keys, err);
	if (!rc && from)
		forget_old(a, from);
	if (!rc)
		rc = read_objects(b, a, &keys.fresh, err);
	strv_release(&keys.fresh);
	return rc;
}

static bool is_over(const struct task *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->trials[i].ended)
			return false;
	return true;
}

static bool has_work(const struct array *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (!is_over(&a->tasks[i]))
			return true;
	return false;
}

static void end_task(struct task *t, char *why_take)
{
	if (t->state == TASK_ENDED) {
		free(why_take);
		return;
	}
	t->state = TASK_ENDED;
	t->ended_ms = clock_mono_ms();
	free(t->why);
	t->why = why_take;
}

/* STATUS of a child, or of a job by itself. */
static void take_status(struct task *t, const char *status)
{
	if (!strcmp(status, "SUCCEEDED"))
		end_task(t, NULL);
}

struct asked {
	struct task *tasks[DESCRIBE];
	json_t *ids;
	size_t n;
};

static int explain(struct batch *b, struct asked *q, struct err *err)
{
	AUTO(json) json_t *ask = json_object();
	AUTO(json) json_t *answer = NULL;
	size_t i;
	json_t *job;

	if (!q->n)
		return 0;
	json_put(ask, "jobs", q->ids);
	q->ids = json_array();
	if (aws_json(&b->aws, "batch", "/v1/describejobs", NULL, ask, false, &answer, err)) {
		q->n = 0;
		return -1;
	}
	json_array_foreach (json_object_get(answer, "jobs"), i, job)
		for (size_t k = 0; k < q->n; k++)
			if (!strcmp(json_get_str(job, "jobId", ""),
				    json_string_value(
					    json_array_get(json_object_get(ask, "jobs"), k))))
				end_task(q->tasks[k], outcome_text(b, job));
	q->n = 0;
	return 0;
}

static int ask_why(struct batch *b, struct array *a, struct task *t, struct asked *q,
		   struct err *err)
{
	AUTO(free) char *id = array_child(a, t);

	if (t->state == TASK_ENDED)
		return 0;
	json_array_append_new(q->ids, json_string(id));
	q->tasks[q->n++] = t;
	return q->n == DESCRIBE ? explain(b, q, err) : 0;
}

/* The children of A with STATUS, page by page. */
static int list_children(struct batch *b, struct array *a, const char *status, int64_t *listed,
			 struct err *err)
{
	AUTO(free) char *next = NULL;
	struct asked q = {.ids = json_array()};
	int rc = 0;

	do {
		AUTO(json)
		json_t *ask = json_pack("{s:s,s:s,s:i}", "arrayJobId", a->job, "jobStatus", status,
					"maxResults", PAGE);
		AUTO(json) json_t *answer = NULL;
		size_t i;
		json_t *one;
		if (next)
			json_put_str(ask, "nextToken", next);
		rc = aws_json(&b->aws, "batch", "/v1/listjobs", NULL, ask, false, &answer, err);
		json_array_foreach (json_object_get(answer, "jobSummaryList"), i, one) {
			const char *colon = strrchr(json_get_str(one, "jobId", ""), ':');
			int64_t index =
				json_get_int(json_object_get(one, "arrayProperties"), "index",
					     colon ? strtoll(colon + 1, NULL, 10) : -1);
			if (rc || index < 0 || (size_t)index >= a->n)
				continue;
			++*listed;
			take_status(&a->tasks[index], json_get_str(one, "status", status));
			if (!strcmp(status, "FAILED"))
				rc = ask_why(b, a, &a->tasks[index], &q, err);
		}
		set(&next, rc ? NULL : json_get_str(answer, "nextToken", NULL));
	} while (next && *next);
	if (!rc)
		rc = explain(b, &q, err);
	json_decref(q.ids);
	return rc;
}

/* Batch says of a job that waits why it cannot start as things are: a queue without instances, one that is too small. */
static void warn_of_waiting(struct array *a, const json_t *job)
{
	const char *why = json_get_str(job, "statusReason", "");

	if (strcmp(json_get_str(job, "status", ""), "RUNNABLE") || !*why || a->warned)
		return;
	a->warned = true;
	driver_note("job %s waits: %s", a->job, why);
}

/* Of an array that waits as a whole, its first child tells. */
static int ask_first(struct batch *b, struct array *a, const json_t *counts, struct err *err)
{
	AUTO(free) char *id = xasprintf("%s:0", a->job);
	AUTO(json) json_t *ask = json_pack("{s:[s]}", "jobs", id);
	AUTO(json) json_t *answer = NULL;

	if (a->warned || !json_get_int(counts, "RUNNABLE", 0) ||
	    json_get_int(counts, "RUNNING", 0) + json_get_int(counts, "STARTING", 0) ||
	    ++a->idle % IDLE_POLLS)
		return 0;
	if (aws_json(&b->aws, "batch", "/v1/describejobs", NULL, ask, false, &answer, err))
		return -1;
	warn_of_waiting(a, json_array_get(json_object_get(answer, "jobs"), 0));
	return 0;
}

static int take_array(struct batch *b, struct array *a, const json_t *job, struct err *err)
{
	static const char *const names[] = {"SUCCEEDED", "FAILED"};
	const json_t *counts =
		json_object_get(json_object_get(job, "arrayProperties"), "statusSummary");
	const char *status = json_get_str(job, "status", "");
	const bool over = !strcmp(status, "SUCCEEDED") || !strcmp(status, "FAILED");

	if (ask_first(b, a, counts, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int64_t n = json_get_int(counts, names[i], 0);
		if (n == a->counts[i])
			continue;
		int64_t listed = 0;
		if (list_children(b, a, names[i], &listed, err))
			return -1;
		/* A list may be behind its count: it is asked for again. */
		a->counts[i] = listed < n ? listed : n;
	}
	/* Whatever its counts say, none of it runs any more. */
	for (size_t i = 0; over && i < a->n; i++) {
		AUTO(free) char *why = !strcmp(status, "FAILED") ? outcome_text(b, job) : NULL;
		if (a->tasks[i].state != TASK_ENDED)
			end_task(&a->tasks[i], STEAL(&why));
	}
	return 0;
}

static int take_job(struct batch *b, struct array *a, const json_t *job, struct err *err)
{
	const char *status = json_get_str(job, "status", "");

	warn_of_waiting(a, job);

	a->seen = true;
	a->missed = 0;
	if (a->n > 1)
		return take_array(b, a, job, err);
	if (!strcmp(status, "FAILED"))
		end_task(a->tasks, outcome_text(b, job));
	else
		take_status(a->tasks, status);
	return 0;
}

static int ask_batch(struct batch *b, struct err *err)
{
	for (size_t from = 0; from < b->n; from += DESCRIBE) {
		AUTO(json) json_t *ask = json_object();
		AUTO(json) json_t *answer = NULL;
		json_t *ids = json_array(), *job;
		size_t i;
		for (i = from; i < b->n && i < from + DESCRIBE; i++)
			if (b->arrays[i].job && has_work(&b->arrays[i]))
				json_array_append_new(ids, json_string(b->arrays[i].job));
		json_put(ask, "jobs", ids);
		if (!json_array_size(ids))
			continue;
		if (aws_json(&b->aws, "batch", "/v1/describejobs", NULL, ask, false, &answer, err))
			return -1;
		json_array_foreach (json_object_get(answer, "jobs"), i, job)
			for (size_t k = 0; k < b->n; k++)
				if (b->arrays[k].job &&
				    !strcmp(b->arrays[k].job, json_get_str(job, "jobId", "")) &&
				    take_job(b, &b->arrays[k], job, err))
					return -1;
	}
	return 0;
}

/* Trials whose job has ended, and whose own last word was not heard: it may be in the bucket. */
struct unheard {
	struct task **tasks;
	struct trial_ref **refs;
	size_t n, tasks_cap, refs_cap;
	json_t *there; /* keys of results that were listed; NULL: it is not known which there are */
};

static void on_result(void *arg, const char *key, int64_t bytes, const char *etag)
{
	json_put_bool(arg, key, true);
}

/* Of many, it is listed which there are. */
static int list_results(struct batch *b, struct unheard *u, struct err *err)
{
	size_t common = strlen(u->refs[0]->token);

	if (u->n < LIST_FROM)
		return 0;
	for (size_t i = 1; i < u->n; i++) {
		size_t k = 0;
		while (k < common && u->refs[i]->token[k] == u->refs[0]->token[k])
			k++;
		common = k;
	}
	AUTO(free)
	char *prefix = xasprintf(LAYOUT_RESULTS "/%.*s", (int)common, u->refs[0]->token);
	u->there = json_object();
	return s3_list(&b->s3, prefix, NULL, on_result, u->there, err);
}

static void tell_unheard(struct batch *b, struct array *a, const struct task *t,
			 struct trial_ref *r)
{
	AUTO(free) char *child = array_child(a, t);
	AUTO(free) char *silent = xasprintf("job %s ended without a word of its node", child);

	say_ended(r, t->why ? t->why : silent, false);
}

static void get_results(struct batch *b, struct array *a, struct task **tasks,
			struct trial_ref **refs, const struct strv *keys)
{
	struct s3_object objects[GET_MANY];
	struct err err;

	for (size_t i = 0; i < keys->n; i++)
		objects[i] = (struct s3_object){.key = keys->v[i], .fd = -1, .text = BUF_INIT};
	if (s3_get(&b->s3, objects, keys->n, &err))
		driver_note("%s", err.msg);
	for (size_t i = 0; i < keys->n && tasks[i] && refs[i]; i++) {
		AUTO(buf) struct buf text = objects[i].text;
		AUTO(json)
		json_t *j = objects[i].rc ? NULL : json_loadb(text.data, text.len, 0, NULL);
		if (j)
			take_end(b, refs[i], j);
		else if (objects[i].rc > 0)
			tell_unheard(b, a, tasks[i], refs[i]);
	}
}

static void look_for_results(struct batch *b, struct array *a, struct unheard *u)
{
	struct task *tasks[GET_MANY] = {0};
	struct trial_ref *refs[GET_MANY] = {0};
	AUTO(strv) struct strv keys = STRV_INIT;
	struct err err;

	if (list_results(b, u, &err)) {
		driver_note("%s", err.msg);
		return;
	}
	for (size_t i = 0; i < u->n; i++) {
		AUTO(free) char *key = xasprintf(LAYOUT_RESULTS "/%s.json", u->refs[i]->token);
		if (u->there && !json_object_get(u->there, key)) {
			tell_unheard(b, a, u->tasks[i], u->refs[i]);
			continue;
		}
		tasks[keys.n] = u->tasks[i];
		refs[keys.n] = u->refs[i];
		strv_push(&keys, key);
		if (keys.n == GET_MANY) {
			get_results(b, a, tasks, refs, &keys);
			strv_release(&keys);
		}
	}
	get_results(b, a, tasks, refs, &keys);
}

static void look(struct batch *b, struct task *t, struct unheard *u)
{
	for (size_t i = 0; i < t->n && t->state == TASK_ENDED; i++) {
		struct trial_ref *r = &t->trials[i];
		size_t n = u->n;
		if (r->ended)
			continue;
		if (r->how) {
			AUTO(free)
			char *how = xasprintf("%s%s%s", r->how, t->why ? "; " : "",
					      t->why ? t->why : "");
			say_ended(r, how, true);
		} else if (clock_mono_ms() >= t->ended_ms + LATE_MS) {
			GROW(u->tasks, n, u->tasks_cap);
			GROW(u->refs, n, u->refs_cap);
			u->tasks[n] = t;
			u->refs[n] = r;
			u->n++;
		}
	}
}

static void look_at_array(struct batch *b, struct array *a, bool answered)
{
	struct unheard u = {.n = 0};

	if (answered && !a->seen && ++a->missed > MISSED_MAX)
		for (size_t i = 0; i < a->n; i++)
			end_task(&a->tasks[i], xasprintf("AWS Batch no longer knows job %s",
							 a->job ? a->job : "?"));
	for (size_t i = 0; i < a->n; i++)
		look(b, &a->tasks[i], &u);
	if (u.n)
		look_for_results(b, a, &u);
	json_decref(u.there);
	free(u.tasks);
	free(u.refs);
}

void states_poll(struct batch *b)
{
	int64_t start = clock_mono_ms();
	struct err err;

	if (start < b->next_poll_ms || !b->n)
		return;
	for (size_t i = 0; i < b->n; i++)
		b->arrays[i].seen = !has_work(&b->arrays[i]);
	bool answered = !ask_batch(b, &err);
	if (!answered)
		driver_note("%s", err.msg);
	for (size_t i = 0; i < b->n; i++) {
		struct array *a = &b->arrays[i];
		if (!has_work(a))
			continue;
		if (read_events(b, a, &err))
			driver_note("%s", err.msg);
		look_at_array(b, a, answered);
	}
	upload_rollouts(b, false);
	/* Never more than a fifth of the time: asking of ten thousand trials takes a while. */
	int64_t cost = clock_mono_ms() - start, pause = b->settings.poll_sec * 1000;
	b->next_poll_ms = start + (cost * 5 > pause ? cost * 5 : pause);
}

// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "core/event.h"
#include "os/user.h"
#include "sched/internal.h"

enum { FIRST_WORD_MS = 60000 }; /* a worker names its first phase at once */

void attempt_environment(struct strv *env)
{
	const char *path = getenv("PATH"), *tz = getenv("TZ");

	strv_setenv(env, "PATH", path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
	strv_setenv(env, "LANG", "C.UTF-8");
	if (tz)
		strv_setenv(env, "TZ", tz);
	/* A sanitizer in the worker obeys the same settings as ours. */
	for (char **e = environ; *e; e++)
		if (strstr(*e, "SAN_OPTIONS="))
			strv_push(env, *e);
}

/* RUN_ID.attempt and an HMAC: whoever holds the secret needs no table of tokens. */
static char *token(const struct sched *s, const struct attempt *a)
{
	AUTO(free) char *name = xasprintf("%s.%d", a->trial.run_id, a->number);
	char mac[HASH_HEX];

	hash_hmac(s->o->secret, strlen(s->o->secret), name, mac);
	return xasprintf("%s.%s", name, mac);
}

static int launch(struct sched *s, size_t id, const struct attempt *a, int log_fd, struct err *err)
{
	AUTO(free) char *dir = datadir_attempt(a->trial.run_id, a->number);
	AUTO(strv) struct strv env = STRV_INIT;
	const struct strv *given = &s->env;

	if (s->o->secret && a->gateway) {
		AUTO(free) char *value = token(s, a);
		strv_pushv(&env, strv_items(&s->env));
		strv_setenv(&env, "ROLLOUTS_TOKEN", value);
		given = &env;
	}
	struct launch_job job = {.id = id, .dir = dir, .env = strv_items(given), .log_fd = log_fd};
	return s->o->launcher->submit(s->launch, &job, 1, err);
}

static int start(struct sched *s, size_t id, const struct attempt *a, struct err *err)
{
	AUTO(fd) int log_fd = -1;

	if (rundir_make(s->o->store->root_fd, a, &log_fd, err))
		return -1;
	return launch(s, id, a, log_fd, err);
}

/* A gateway of the user's own serves everybody; ours those whose model somebody answers. */
static void choose_gateway(const struct sched *s, struct attempt *a, size_t index)
{
	const struct sched_options *o = s->o;

	if (o->plan->gateway) {
		a->gateway = o->plan->gateway;
	} else if (*a->trial.provider && !a->agent_from) {
		a->gateway = (char *)o->gateway;
		a->control = (char *)o->control;
		a->record = o->record;
		a->replay = o->replay ? o->replay[index] : NULL;
		a->replay_or_live = o->replay_or_live;
	}
}

/* Everything in it is borrowed. */
static struct attempt describe(const struct sched *s, size_t item)
{
	const struct planfile *plan = s->o->plan;
	const struct sched_item *i = &s->items[item].item;
	const struct trial *t = sched_trial(s, item);
	json_t *spec = json_object_get(plan->agents, t->agent);
	struct attempt a = {
		.trial = *t,
		.number = sched_progress(s, item)->attempts + 1,
		.agent_from = i->agent_from,
		.regrade = i->regrade,
		.stream_output = s->o->listener && s->o->listener->wants_output,
		.sync = *json_get_str(spec, "needs", "") != '\0',
		.uid = plan->uid_base && user_may_change() ? plan->uid_base + (uid_t)t->index : 0,
		.agent_spec = spec,
		.bench = plan->name,
	};

	choose_gateway(s, &a, i->index);

	/* Asking for grades outweighs `evaluate = false`. */
	a.trial.evaluate |= i->regrade;
	if (i->task_hash) {
		a.trial.task_hash = (char *)i->task_hash;
		a.trial.task_snapshot = (char *)i->task_snapshot;
	}
	return a;
}

static void journal_start(struct sched *s, const struct attempt *a)
{
	json_t *fields = json_object();

	if (a->agent_from)
		json_put_int(fields, "agent_from", a->agent_from);
	if (a->regrade)
		json_put_bool(fields, "regrade", true);
	journal_add(s->o->journal, EVENT_STARTED, &a->trial, a->number, fields);
}

void attempt_start(struct sched *s, size_t id, size_t item)
{
	struct job *job = &s->jobs[id];
	struct attempt a = describe(s, item);
	struct err err;

	s->items[item].tries++;
	journal_start(s, &a);
	progress_apply(sched_progress(s, item), EVENT_STARTED, a.number, NULL);
	if (start(s, id, &a, &err)) {
		finish_unstarted(s, item, a.number, &err);
		return;
	}
	*job = (struct job){
		.used = true,
		.item = item,
		.attempt = a.number,
		.deadline_ms = clock_mono_ms() + FIRST_WORD_MS,
		.partial = {BUF_INIT, BUF_INIT},
	};
	s->running++;
	admit_take(&s->admit, &a.trial.limits);
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 * Several rollouts as one: their trials are one after the other, as if they had been planned together. */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/store.h"

static const char *form_of(const struct trial_status *t)
{
	const char *graded = trial_graded_hash(t);

	return *graded ? graded : t->shared->task_hash;
}

static char *task_key(const struct trial_shared *t)
{
	return xasprintf("%s\n%s", t->task_id, path_base(t->task_dir));
}

/* A copy of T that is called ID@HASH; the same for all of RENAMED, by their keys. */
static const struct trial_shared *earlier_form(struct rollout *r, json_t *renamed,
					       const struct trial_shared *t, const char *hash)
{
	enum { DIGITS = 8 };
	AUTO(free) char *key = xasprintf("%p %s", (const void *)t, hash);
	const json_t *known = json_object_get(renamed, key);

	if (known)
		return (const struct trial_shared *)(intptr_t)json_integer_value(known);
	AUTO(free) char *name = xasprintf("%s@%.*s", t->task_id, DIGITS, hash);
	struct trial_shared *copy = memory_get(&r->memory, sizeof *copy);
	*copy = *t;
	copy->task_id = memory_text(&r->memory, name, strlen(name));
	json_put_int(renamed, key, (intptr_t)copy);
	return copy;
}

/* A task that changed in between is another task: the trials of all but its latest form get names of their own. */
static void rename_changed(struct rollout *r)
{
	AUTO(json) json_t *latest = json_object(), *renamed = json_object();

	for (size_t i = r->trials_n; i-- > 0;) {
		struct trial_status *t = &r->trials[i];
		const char *hash = form_of(t);
		AUTO(free) char *key = task_key(t->shared);
		const char *known = json_get_str(latest, key, NULL);
		if (!known) {
			json_put_str(latest, key, hash);
			continue;
		}
		if (strcmp(known, hash) == 0)
			continue;
		t->shared = earlier_form(r, renamed, t->shared, hash);
		r->renamed++;
	}
}

static char *same_or_empty(char *of_first, const char *other)
{
	if (strcmp(of_first, other) != 0)
		of_first[0] = '\0';
	return of_first;
}

static void take_part(struct rollout *out, struct rollout *part, size_t at)
{
	out->parts[at] = (struct rollout_part){
		.ref = {xstrdup(part->ref.name), xstrdup(part->ref.stamp), xstrdup(part->ref.path)},
		.complete = rollout_is_complete(part),
		.program = xstrdup(part->program),
		.config_hash = xstrdup(part->config_hash)};
	memcpy(&out->trials[out->trials_n], part->trials, part->trials_n * sizeof *part->trials);
	out->trials_n += part->trials_n;
	part->trials_n = 0;
	out->live |= part->live;
	out->damaged_lines += part->damaged_lines;
	out->cost.calls += part->cost.calls;
	out->cost.tokens += part->cost.tokens;
	out->cost.unpriced_calls += part->cost.unpriced_calls;
	out->cost.usd += part->cost.usd;
	out->strangers += part->strangers;
	if (!out->stranger)
		out->stranger = STEAL(&part->stranger);
	same_or_empty(out->config, part->config);
	same_or_empty(out->config_hash, part->config_hash);
	same_or_empty(out->program, part->program);
	memory_join(&out->memory, &part->memory);
	json_array_append(out->agents, part->agents);
	out->exclusions.v =
		xreallocarray(out->exclusions.v, out->exclusions.n + part->exclusions.n + 1,
			      sizeof *out->exclusions.v);
	memcpy(&out->exclusions.v[out->exclusions.n], part->exclusions.v,
	       part->exclusions.n * sizeof *part->exclusions.v);
	out->exclusions.n += part->exclusions.n;
	part->exclusions.n = 0;
}

void rollout_pool(struct rollout *out, struct rollout *parts, size_t n)
{
	AUTO(buf) struct buf stamps = BUF_INIT;
	size_t trials = 0;

	for (size_t i = 0; i < n; i++) {
		trials += parts[i].trials_n;
		buf_addf(&stamps, "%s%s", i ? "," : "", parts[i].ref.stamp);
	}
	*out = (struct rollout){.ref = {xstrdup(parts[0].ref.name), buf_detach(&stamps),
					xstrdup(parts[0].ref.path)},
				.root = xstrdup(parts[0].root),
				.config = xstrdup(parts[0].config),
				.config_hash = xstrdup(parts[0].config_hash),
				.program = xstrdup(parts[0].program),
				.tags = STRV_INIT,
				.agents = json_array(),
				.parts = xcalloc(n, sizeof *out->parts),
				.parts_n = n,
				.trials = xcalloc(trials + 1, sizeof *out->trials)};
	for (size_t i = 0; i < n; i++) {
		take_part(out, &parts[i], i);
		rollout_release(&parts[i]);
	}
	rollout_mark_excluded(out);
	rename_changed(out);
}

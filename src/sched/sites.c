// SPDX-License-Identifier: GPL-3.0-or-later
#include "sched/sites.h"
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

static const struct site *find(const struct sites *s, const char *launcher)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].name, launcher))
			return &s->v[i];
	return NULL;
}

static int add(struct sites *s, const struct sched_options *o, const struct trial *t,
	       struct err *err)
{
	const struct launch_spec spec = {
		.name = t->launcher,
		.settings = json_object_get(o->plan->launchers, t->launcher),
		.root_fd = o->store->root_fd,
		.worker = o->worker,
		.parallel = (size_t)o->parallel,
		.gateway = o->plan->gateway ? o->plan->gateway : o->gateway,
		.control = o->plan->gateway ? NULL : o->control,
		.node_keys = o->node_keys,
		.node_door = o->node_door,
		.uid_base = o->plan->uid_base,
	};
	struct site site = {.name = t->launcher, .launcher = o->find_launcher(t->launcher)};

	if (!site.launcher)
		return err_set(err, ERR_USAGE, 0,
			       "trial %s is to run at \"%s\", which this rollouts does not know",
			       t->run_id, t->launcher);
	if (site.launcher->open(&site.launch, &spec, err))
		return -1;
	s->v = xreallocarray(s->v, s->n + 1, sizeof *s->v);
	s->v[s->n++] = site;
	return 0;
}

int sites_open(struct sites *out, const struct sched_options *o, struct err *err)
{
	*out = (struct sites){0};
	for (size_t i = 0; i < o->items_n; i++) {
		const struct trial *t = &o->plan->trials[o->items[i].index];
		if (!find(out, t->launcher) && add(out, o, t, err))
			return -1;
	}
	return 0;
}

const struct site *sites_of(const struct sites *s, const struct trial *t)
{
	const struct site *site = find(s, t->launcher);

	if (!site)
		bug("a launcher that was not opened");
	return site;
}

void sites_count(struct sites *s, const struct trial *t)
{
	for (size_t i = 0; i < s->n; i++)
		s->v[i].done += !strcmp(s->v[i].name, t->launcher);
}

size_t sites_watch(struct sites *s, struct pollfd *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		s->v[i].fds = fds + n;
		n += s->v[i].launcher->watch(s->v[i].launch, fds + n);
	}
	return n;
}

int64_t sites_due(const struct sites *s)
{
	int64_t first = -1;

	for (size_t i = 0; i < s->n; i++) {
		const struct site *site = &s->v[i];
		int64_t due = site->launcher->due ? site->launcher->due(site->launch) : -1;
		if (due >= 0 && (first < 0 || due < first))
			first = due;
	}
	return first;
}

void sites_poll(struct sites *s, launch_fn *fn, void *arg)
{
	for (size_t i = 0; i < s->n; i++)
		s->v[i].launcher->poll(s->v[i].launch, s->v[i].fds, fn, arg);
}

void sites_close(struct sites *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->v[i].launcher->close(s->v[i].launch);
	free(s->v);
	*s = (struct sites){0};
}

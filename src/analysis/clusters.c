/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/clusters.h"
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "stats/mean.h"

#define TAG "tag:"

int clusters_check(const char *key, struct err *err)
{
	static const char *const known[] = {"cluster", "repository", "none"};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!key || strcmp(key, known[i]) == 0)
			return 0;
	if (strncmp(key, TAG, strlen(TAG)) == 0 && key[strlen(TAG)])
		return 0;
	return err_set(err, ERR_USAGE, 0,
		       "--cluster %s: one of cluster (what a task says in its metadata, else its "
		       "repository), repository, tag:PREFIX, none",
		       key);
}

static const char *first_tag(const struct trial_shared *t, const char *prefix)
{
	for (size_t i = 0; i < t->tags.n; i++)
		if (strncmp(t->tags.v[i], prefix, strlen(prefix)) == 0)
			return t->tags.v[i];
	return NULL;
}

static const char *or_null(const char *s)
{
	return s && *s ? s : NULL;
}

/* NULL: none. */
static const char *cluster_of(const struct trial_shared *t, const char *key)
{
	if (key && strncmp(key, TAG, strlen(TAG)) == 0)
		return first_tag(t, key + strlen(TAG));
	if (key && strcmp(key, "repository") == 0)
		return or_null(t->repository);
	return or_null(t->cluster) ? t->cluster : or_null(t->repository);
}

static size_t number(json_t *names, const char *name)
{
	const json_t *known = json_object_get(names, name);

	if (known)
		return (size_t)json_integer_value(known);
	size_t n = json_object_size(names);
	json_put_int(names, name, (int64_t)n);
	return n;
}

static bool any_declared(const struct trial_shared *const *tasks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (or_null(tasks[i]->cluster))
			return true;
	return false;
}

static size_t count_repositories(const struct trial_shared *const *tasks, size_t n)
{
	AUTO(json) json_t *names = json_object();

	for (size_t i = 0; i < n; i++)
		if (or_null(tasks[i]->repository))
			(void)number(names, tasks[i]->repository);
	return json_object_size(names);
}

/* Those without a cluster come after all that have one. */
static void fill(struct clusters *out, const struct trial_shared *const *tasks, size_t n,
		 const char *key)
{
	AUTO(json) json_t *names = json_object();
	size_t alone = 0;

	for (size_t i = 0; i < n; i++)
		if (cluster_of(tasks[i], key))
			out->of[i] = number(names, cluster_of(tasks[i], key));
	for (size_t i = 0; i < n; i++)
		if (!cluster_of(tasks[i], key))
			out->of[i] = json_object_size(names) + alone++;
	out->n = json_object_size(names) + alone;
}

void clusters_make(struct clusters *out, const struct trial_shared *const *tasks, size_t n,
		   const char *key)
{
	*out = (struct clusters){.n = n, .repositories = count_repositories(tasks, n)};
	if (key && strcmp(key, "none") == 0)
		return;
	out->of = xcalloc(n + 1, sizeof *out->of);
	fill(out, tasks, n, key);
	bool chosen = key || any_declared(tasks, n);
	if (out->n < n && (chosen || out->n >= STATS_INFORMATIVE))
		return;
	clusters_release(out);
	out->n = n;
}

void clusters_release(struct clusters *c)
{
	free(c->of);
	c->of = NULL;
}

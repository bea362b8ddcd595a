/* SPDX-License-Identifier: GPL-3.0-or-later
 * The content hash of a task: what can make a difference to a trial, and nothing else. Neither
 * where the folder lies, nor times, nor the path of a local repository whose commit is pinned take
 * part. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "task/files.h"

/* Changes when equal tasks would hash differently than before: stored results then belong to no
 * task. */
#define HASH_VERSION "rollouts task 1"

static void hash_strv(struct hash *h, const struct strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		hash_str(h, s->v[i]);
	hash_str(h, NULL);
}

static void hash_json(struct hash *h, const json_t *j)
{
	AUTO(free)
	char *text = j ? json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	hash_str(h, text);
}

static void hash_number(struct hash *h, double v)
{
	char text[32];

	snprintf(text, sizeof text, "%.15g", v);
	hash_str(h, text);
}

static void hash_repo(struct hash *h, const struct task_repo *repo)
{
	hash_str(h, *repo->git_url == '/' ? "local" : repo->git_url);
	hash_str(h, repo->branch);
	hash_str(h, repo->start_commit);
	hash_str(h, repo->subdir);
	hash_strv(h, &repo->sparse);
	hash_strv(h, &repo->remove);
	if (repo->submodules)
		hash_str(h, "submodules");
}

static void hash_grading(struct hash *h, const struct task_step *s)
{
	for (size_t i = 0; i < s->rubrics_n; i++) {
		hash_str(h, s->rubrics[i].id);
		hash_str(h, s->rubrics[i].criterion);
		hash_number(h, s->rubrics[i].weight);
		hash_json(h, s->rubrics[i].criteria);
		if (s->rubrics[i].binary)
			hash_str(h, "binary");
	}
	hash_str(h, NULL);
	for (size_t i = 0; i < s->tests_n; i++) {
		char digest[HASH_HEX];
		hash_once(s->tests[i].content, s->tests[i].content_len, digest);
		hash_str(h, s->tests[i].path);
		hash_str(h, s->tests[i].rubric_id);
		hash_str(h, digest);
		hash_str(h, s->tests[i].command);
		hash_number(h, (double)s->tests[i].timeout_ms);
		if (s->tests[i].partial_credit)
			hash_str(h, "partial_credit");
		if (s->tests[i].tracing)
			hash_str(h, "tracing");
	}
	hash_str(h, NULL);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct kv *)a)->key, ((const struct kv *)b)->key);
}

/* The order of an environment has no effect. */
static void hash_env(struct hash *h, const struct kvs *env)
{
	AUTO(free) struct kv *sorted = xcalloc(env->n + 1, sizeof *sorted);

	if (env->n) {
		memcpy(sorted, env->v, env->n * sizeof *sorted);
		qsort(sorted, env->n, sizeof *sorted, by_key);
	}
	for (size_t i = 0; i < env->n; i++) {
		hash_str(h, sorted[i].key);
		hash_str(h, sorted[i].value);
	}
	hash_str(h, NULL);
}

void task_hash(struct task *t)
{
	struct hash h;

	hash_init(&h);
	hash_str(&h, HASH_VERSION);
	hash_str(&h, t->id);
	hash_str(&h, t->steps[0].instruction);
	hash_repo(&h, &t->repo);
	hash_grading(&h, &t->steps[0]);
	hash_env(&h, &t->env);
	filetree_hash(&t->files->app, &h);
	filetree_hash(&t->files->repo, &h);
	hash_str(&h, t->files->gold ? t->files->gold_digest : NULL);
	/* Only where it says something: other tasks keep the hash they had before there was such a thing. */
	if (t->docker_image) {
		hash_str(&h, "docker_image");
		hash_str(&h, t->docker_image);
	}
	if (*t->files->environment) {
		hash_str(&h, "environment");
		hash_str(&h, t->files->environment);
	}
	for (size_t i = 1; i < t->steps_n; i++) {
		hash_str(&h, t->steps[i].name);
		hash_str(&h, t->steps[i].instruction);
		hash_grading(&h, &t->steps[i]);
	}
	for (size_t i = 0; i < t->steps[0].follow_ups.n; i++) {
		hash_str(&h, "follow_up");
		hash_str(&h, t->steps[0].follow_ups.v[i]);
	}
	for (size_t i = 0; i < t->steps[0].images.n; i++) {
		hash_str(&h, "image");
		hash_str(&h, t->steps[0].images.v[i]);
	}
	if (t->around) {
		hash_str(&h, "around");
		hash_json(&h, t->around);
	}
	if (t->harbor) {
		hash_str(&h, "harbor");
		hash_json(&h, t->harbor);
	}
	if (memcmp(&t->layout, &task_layout_prepared, sizeof t->layout) != 0) {
		AUTO(json) json_t *layout = task_layout_to_json(&t->layout);
		hash_str(&h, "layout");
		hash_json(&h, layout);
	}
	hash_hex(&h, t->hash);
}

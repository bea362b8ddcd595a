/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/bench.h"
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

static const char *const sandbox_names[] = {
	[SANDBOX_AUTO] = "auto",	 [SANDBOX_LOCAL] = "local", [SANDBOX_DOCKER] = "docker",
	[SANDBOX_LANDLOCK] = "landlock", [SANDBOX_NONE] = "none",   [SANDBOX_LAUNCHER] = "launcher",
};

static const char *const workspace_names[] = {
	[WORKSPACE_AUTO] = "auto",
	[WORKSPACE_OVERLAY] = "overlay",
	[WORKSPACE_COPY] = "copy",
};

static int find(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

const char *sandbox_kind_name(enum sandbox_kind k)
{
	return sandbox_names[k];
}

bool sandbox_kind_parse(const char *name, enum sandbox_kind *out)
{
	int i = find(sandbox_names, ARRAY_SIZE(sandbox_names), name);
	if (i >= 0)
		*out = (enum sandbox_kind)i;
	return i >= 0;
}

bool sandbox_kind_is_plain(enum sandbox_kind k)
{
	return k == SANDBOX_LANDLOCK || k == SANDBOX_LAUNCHER;
}

const char *workspace_kind_name(enum workspace_kind k)
{
	return workspace_names[k];
}

bool workspace_kind_parse(const char *name, enum workspace_kind *out)
{
	int i = find(workspace_names, ARRAY_SIZE(workspace_names), name);
	if (i >= 0)
		*out = (enum workspace_kind)i;
	return i >= 0;
}

void bench_init(struct bench *b)
{
	*b = (struct bench){.parallel = 1, .build_timeout_sec = 3600, .judge = judge_default};
}

struct bench_entry *bench_add_entry(struct bench *b)
{
	GROW(b->entries, b->entries_n, b->entries_cap);
	struct bench_entry *e = &b->entries[b->entries_n++];
	*e = (struct bench_entry){
		.agent = xstrdup("auto"),
		.launcher = xstrdup("local"),
		.rollouts = 1,
		.apply_overrides = true,
		.limits = limits_default,
		.retries = 2,
		.evaluate = true,
		.seed = -1,
		.options = model_options_default,
	};
	return e;
}

static void release_entry(struct bench_entry *e)
{
	free(e->prepared_dir);
	free(e->task_path);
	free(e->refused);
	free(e->verifier_tools);
	strv_release(&e->only);
	strv_release(&e->exclude);
	free(e->label);
	free(e->reward);
	free(e->verifier_images);
	free(e->agent_place);
	free(e->model_place);
	free(e->agent);
	free(e->overrides);
	free(e->launcher);
	free(e->image);
	strv_release(&e->models);
	kvs_release(&e->env);
	json_decref(e->roles);
}

void bench_release(struct bench *b)
{
	for (size_t i = 0; i < b->entries_n; i++)
		release_entry(&b->entries[i]);
	free(b->entries);
	free(b->config_path);
	free(b->config_text);
	free(b->name);
	strv_release(&b->tags);
	strv_release(&b->tools);
	json_decref(b->launchers);
	json_decref(b->agents);
	judge_release(&b->judge);
	strv_release(&b->caches);
	bench_init(b);
}

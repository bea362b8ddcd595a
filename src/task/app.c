/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/app.h"
#include <fnmatch.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "task/resolved.h"

enum reason { MADE, GOLD, KEYS, READ, OLD, OURS };

static const char *const refusals[] = {
	[MADE] = "this file is made from the task; override repo, rubrics or the instructions "
		 "instead",
	[GOLD] = "a file of this name is kept from the agent; choose another name",
	[KEYS] = "a file of this name is kept from the agent; use environment_variables",
	[READ] = "use remove_repo_paths instead",
	[OLD] = "this file belongs to the older container system, where nothing runs it; remove it",
	[OURS] = "this folder is not the task's; files for the repository go in overlay_repo_files",
};

/* Names at the top of overlay_files/. */
static const struct {
	const char *pattern;
	enum reason reason;
} withheld[] = {
	{"tb_meta.json", MADE},
	{TASK_INSTRUCTIONS_FILE, MADE},
	{"diff.patch", GOLD},
	{"repo_info.json", GOLD},
	{"notes.md", GOLD},
	{"evaluation", GOLD},
	{"evaluation_results*", GOLD},
	{"trace", GOLD},
	{"traces", GOLD},
	{"overrides.json", GOLD},
	{".env", KEYS},
	{".env.*", KEYS},
	{"remove_repo_paths.txt", READ},
	{"box_bootstrap.sh", OLD},
	{"codex-synth", OLD},
	{"codex-files", OLD},
	{"container_start_proxy.sh", OLD},
	{"export_container_traces.sh", OLD},
	{"container_trace_health_check.sh", OLD},
	{"mitmproxy-ca-cert.pem", OLD},
	{"Dockerfile", OLD},
	{"repo", OURS},
	{"results", OURS},
};

static const enum reason *find_reason(const char *path)
{
	AUTO(free) char *first = xstrndup(path, strcspn(path, "/"));

	for (size_t i = 0; i < ARRAY_SIZE(withheld); i++)
		if (!fnmatch(withheld[i].pattern, first, 0))
			return &withheld[i].reason;
	return NULL;
}

bool app_skips(void *issues, const char *path)
{
	const enum reason *reason = find_reason(path);

	if (!reason)
		return false;
	if (*reason == OURS) {
		AUTO(free) char *file = xasprintf("overlay_files/%s", path);
		issues_add(issues, file, NULL, "%s", refusals[OURS]);
	}
	return true;
}

const char *app_refuses(const char *path)
{
	const enum reason *reason = find_reason(path);

	return reason ? refusals[*reason] : NULL;
}

/* Named members only: whatever else a file holds may be gold. A local path says where the host
 * keeps its repositories, and would make the task's hash depend on it. */
static json_t *make_meta(const struct task *t)
{
	json_t *meta = json_object(), *metadata = json_object(), *repo = json_object(),
	       *lm = json_object();

	json_put_str(meta, "task_id", t->id);
	json_put_str(metadata, "title", t->title);
	json_put(metadata, "tags", t->tags ? json_incref(t->tags) : json_array());
	json_put(meta, "metadata", metadata);
	if (*t->repo.git_url != '/')
		json_put_str(repo, "git_url", t->repo.git_url);
	json_put_str(repo, "branch", t->repo.branch);
	json_put_str(repo, "start_commit_sha", t->repo.start_commit);
	json_put_str(repo, "subdir", t->repo.subdir);
	json_put_strv(repo, "sparse_checkout", &t->repo.sparse);
	json_put(meta, "repo", repo);
	json_put_str(lm, "instructions", t->steps[0].instruction);
	json_put(meta, "lm", lm);
	return meta;
}

void app_add_made(struct filetree *app, const struct task *t)
{
	AUTO(json) json_t *meta = make_meta(t);
	AUTO(buf) struct buf text = BUF_INIT;

	json_format(&text, meta, true);
	buf_addc(&text, '\n');
	/* Both names are withheld from the folder and refused to overrides: nothing is in their
	 * way. */
	AUTO(free) char *a = filetree_put(app, TASK_META_FILE, text.data, text.len);
	AUTO(free)
	char *b = filetree_put(app, TASK_INSTRUCTIONS_FILE, t->steps[0].instruction,
			       strlen(t->steps[0].instruction));
	if (a || b)
		bug("%s", a ? a : b);
}

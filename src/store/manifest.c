// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/manifest.h"
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/roles.h"

#define VERSION 1
#define RESULTS_OPEN ",\n  \"results\": ["

const char *manifest_status(const struct trial_progress *m)
{
	if (!m->attempts)
		return "planned";
	return m->result_attempt && m->outcome == OUTCOME_INFRA_ERROR ? "launch_failed"
								      : "launched";
}

static char *run_dir(const struct manifest *m, size_t i)
{
	return xasprintf("%s/" DATA_RUNS "/%s", m->store->root, m->plan->trials[i].run_id);
}

char *manifest_run_path(const char *run_id)
{
	return xasprintf("../../../" DATA_RUNS "/%s", run_id);
}

static json_t *entry(const struct manifest *m, size_t i, const struct exclusions *excluded_ones)
{
	const struct trial *t = &m->plan->trials[i];
	const struct trial_progress *k = &m->progress[i];
	AUTO(free) char *dir = run_dir(m, i);
	AUTO(free) char *path = manifest_run_path(t->run_id);
	json_t *j = json_object();

	json_put_str(j, "task_dir", t->task_dir);
	json_put_str(j, "run_id", t->run_id);
	json_put_str(j, "status", manifest_status(k));
	json_put(j, "launch_rc",
		 k->attempts ? json_integer(k->result_attempt && k->outcome == OUTCOME_INFRA_ERROR)
			     : json_null());
	json_put_str(j, "run_dir", dir);
	json_put_str(j, "run_path", path);
	json_put_str(j, "task_id", t->task_id);
	json_put_str(j, "task_hash", t->task_hash);
	json_put_str(j, "graded_hash",
		     !k->result_attempt ? NULL
		     : k->graded	? k->graded
					: t->task_hash);
	json_put_str(j, "agent", t->agent);
	json_put_str(j, "model", t->model);
	json_put_str(j, "provider", t->provider && *t->provider ? t->provider : NULL);
	json_put_str(j, "model_id", t->model_id && *t->model_id ? t->model_id : NULL);
	if (t->roles) {
		AUTO(buf) struct buf roles = BUF_INIT;
		roles_text(&roles, t->roles);
		json_put_str(j, "roles", roles.data);
	}
	json_put_str(j, "label", t->variant);
	json_put_int(j, "rollout", t->rollout);
	json_put_str(j, "sandbox", sandbox_kind_name(t->sandbox));
	json_put_int(j, "attempts", k->attempts);
	if (k->replaced)
		json_put(j, "first_try", k->first_scored ? json_real(k->first_score) : json_null());
	json_put_str(j, "outcome", k->result_attempt ? outcome_name(k->outcome) : NULL);
	json_put_str(j, "reason", k->reason);
	bool counted = k->result_attempt && k->tokens >= 0;
	json_put(j, "tokens", counted ? json_integer(k->tokens) : json_null());
	json_put(j, "cost_usd", k->result_attempt && k->usd >= 0 ? json_real(k->usd) : json_null());
	const bool judged = k->result_attempt && k->judge;
	json_put_str(j, "judge_model", judged ? k->judge : NULL);
	json_put(j, "judge_cost_usd",
		 judged && k->judge_usd >= 0 ? json_real(k->judge_usd) : json_null());
	json_put_str(j, "model_served", k->result_attempt ? k->served : NULL);
	json_put(j, "total_score", k->scored ? json_real(k->total_score) : json_null());
	const struct exclusion *excluded = exclusions_find(excluded_ones, t->run_id);
	json_put_str(j, "excluded", excluded ? excluded->reason : NULL);
	return j;
}

static json_t *host_facts(void)
{
	struct utsname u;
	json_t *j = json_object();

	if (!uname(&u)) {
		json_put_str(j, "name", u.nodename);
		json_put_str(j, "system", u.sysname);
		json_put_str(j, "kernel", u.release);
		json_put_str(j, "machine", u.machine);
	}
	json_put_int(j, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
	json_put_int(j, "memory_mb",
		     (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / (1 << 20));
	return j;
}

/* Model -> who answered its trials, each once: two of them where an alias moved. */
static json_t *models_served(const struct manifest *m)
{
	json_t *all = json_object();

	for (size_t i = 0; i < m->plan->n; i++) {
		const char *served = m->progress[i].served, *model = m->plan->trials[i].model;
		if (!served)
			continue;
		json_t *list = json_object_get(all, model), *seen;
		size_t at;
		if (!list)
			json_put(all, model, list = json_array());
		json_array_foreach (list, at, seen)
			if (!strcmp(json_string_value(seen), served))
				break;
		if (at == json_array_size(list))
			json_array_append_new(list, json_string(served));
	}
	return all;
}

static json_t *header(const struct manifest *m, const char *state)
{
	json_t *j = json_object();

	json_put_int(j, "v", VERSION);
	json_put_str(j, "config", m->plan->config);
	json_put_str(j, "rollout_id", m->plan->id);
	json_put_str(j, "name", m->plan->name);
	json_put_str(j, "created_at", m->plan->stamp);
	json_put_str(j, "state", state);
	json_put_str(j, "program", m->plan->program);
	json_put_str(j, "config_hash", m->plan->config_hash);
	json_put(j, "host", host_facts());
	json_put(j, "models_served", models_served(m));
	return j;
}

int manifest_write(const struct manifest *m, const char *state, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *head = header(m, state);
	AUTO(exclusions) struct exclusions excluded = {0};

	if (exclusions_read(&excluded, m->dir_fd, m->ref->path, err))
		return -1;
	/* Entry by entry: a tree of ten thousand would be most of the supervisor's memory. */
	json_format(&text, head, true);
	text.len -= strlen("\n}");
	text.data[text.len] = '\0';
	buf_adds(&text, RESULTS_OPEN);
	for (size_t i = 0; i < m->plan->n; i++) {
		AUTO(json) json_t *j = entry(m, i, &excluded);
		buf_adds(&text, i ? ",\n    " : "\n    ");
		json_format(&text, j, false);
	}
	buf_adds(&text, "\n  ]\n}\n");
	return path_write(m->dir_fd, ROLLOUT_MANIFEST, text.data, text.len, 0644, false, err);
}

static int write_runs(const struct manifest *m, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < m->plan->n; i++)
		buf_addf(&text, "%s/" DATA_RUNS "/%s\n", m->store->root, m->plan->trials[i].run_id);
	return path_write(m->dir_fd, ROLLOUT_RUNS, text.data, text.len, 0644, false, err);
}

static void add_strings(struct buf *text, const char *key, const struct manifest *m,
			char *(*get)(const struct manifest *, size_t))
{
	buf_addf(text, ",\n  \"%s\": [", key);
	for (size_t i = 0; i < m->plan->n; i++) {
		AUTO(free) char *value = get(m, i);
		AUTO(json) json_t *j = json_object();
		json_put_str(j, key, value);
		buf_adds(text, i ? ",\n    " : "\n    ");
		json_format(text, json_object_get(j, key), false);
	}
	buf_adds(text, "\n  ]");
}

static char *task_dir(const struct manifest *m, size_t i)
{
	return xstrdup(m->plan->trials[i].task_dir);
}

static int write_temp(const struct manifest *m, struct err *err)
{
	AUTO(free)
	char *path = xasprintf(DATA_TEMP "/rollout_%s__%s.json", m->plan->name, m->plan->stamp);
	AUTO(free) char *rollout_dir = path_join(m->store->root, m->ref->path);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *head = json_object();

	json_put_int(head, "v", VERSION);
	json_put_str(head, "created_at", m->plan->stamp);
	json_put_str(head, "rollout_dir", rollout_dir);
	json_format(&text, head, true);
	text.len -= strlen("\n}");
	text.data[text.len] = '\0';
	add_strings(&text, "runs", m, run_dir);
	add_strings(&text, "tasks", m, task_dir);
	buf_adds(&text, "\n}\n");
	return path_write(m->store->root_fd, path, text.data, text.len, 0644, false, err);
}

int manifest_begin(const struct manifest *m, struct err *err)
{
	if (path_make_dirs(m->dir_fd, ROLLOUT_RESULTS, 0755, err))
		return -1;
	return write_runs(m, err) || write_temp(m, err) ? -1 : 0;
}

int manifest_task_result(const struct manifest *m, size_t i, const json_t *result, struct err *err)
{
	AUTO(free) char *path = xasprintf(ROLLOUT_RESULTS "/%s.json", m->plan->trials[i].run_id);
	AUTO(buf) struct buf text = BUF_INIT;
	const struct exclusions none = {0};
	AUTO(json) json_t *j = json_object(), *of = entry(m, i, &none);

	json_put_int(j, "v", VERSION);
	json_object_update(j, of);
	json_put(j, "result", json_incref((json_t *)result));
	json_format(&text, j, true);
	buf_addc(&text, '\n');
	return path_write(m->dir_fd, path, text.data, text.len, 0644, false, err);
}

/* The entries may be many, and all that is asked for stands before them. */
char *manifest_state(const struct store *s, const struct rollout_ref *ref)
{
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_MANIFEST);
	AUTO(fd) int fd = openat(s->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[8192 + 1];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 2) : 0;
	struct err ignored;
	AUTO(json) json_t *j = NULL;

	text[n > 0 ? n : 0] = '\0';
	char *end = strstr(text, RESULTS_OPEN);
	if (!end)
		return xstrdup("");
	memcpy(end, "}", 2);
	if (json_parse(&j, text, strlen(text), path, &ignored))
		return xstrdup("");
	return xstrdup(json_get_str(j, "state", ""));
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/models.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "os/spawn.h"
#include "task/dotenv.h"

enum {
	KEY_MAX = 8192,
	COMMAND_MS = 60000,
	LINES_MAX = 20,
};

static void wipe(struct buf *b)
{
	if (b->cap)
		explicit_bzero(b->data, b->len);
	buf_release(b);
}

static char *folder_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	return slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup("");
}

static void add_file(struct strv *out, char *path_take)
{
	if (strv_has(out, path_take) || !path_exists(AT_FDCWD, path_take))
		free(path_take);
	else
		strv_take(out, path_take);
}

void models_env_files(struct strv *out, const char *config_path)
{
	AUTO(free) char *folder = folder_of(config_path);

	add_file(out, xasprintf("%s.env", folder));
	add_file(out, xstrdup(".env"));
}

/* Of the task in the folder DIR, as the benchmark writes it: found where config_locate finds it. */
static void task_env_files(struct strv *out, const char *config_path, const char *dir)
{
	AUTO(free) char *folder = folder_of(config_path);

	add_file(out, path_is_dir(AT_FDCWD, dir) || *dir == '/'
			      ? xasprintf("%s/.env", dir)
			      : xasprintf("%s%s/.env", folder, dir));
}

/* --- keys ------------------------------------------------------------------------------------ */

static bool is_key(const char *s)
{
	for (const char *c = s; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return false;
	return *s && strlen(s) <= KEY_MAX;
}

static int add_key(json_t *keys, const char *id, const char *key, const char *where,
		   struct err *err)
{
	if (!is_key(key))
		return err_set(err, ERR_USAGE, 0,
			       "the key %s (%s) is empty or holds a character that no key has", id,
			       where);
	json_array_append_new(keys, json_pack("{s:s,s:s}", "id", id, "key", key));
	return 0;
}

/* Where keys are looked for. */
struct places {
	const struct strv
		*task; /* the task's files, whose keys are for that task alone; NULL: none */
	const struct strv *files; /* everybody's */
	bool task_key;		  /* out: one of those was found */
};

/* 1: found, 0: not there, -1: no key. */
static int add_from(json_t *keys, const char *name, const char *file, bool of_task, struct err *err)
{
	AUTO(buf) struct buf id = BUF_INIT;
	struct buf value = BUF_INIT;
	int rc = 0;

	buf_adds(&id, name);
	if (of_task) { /* several tasks have one of this name */
		buf_adds(&id, " (");
		text_renders(&id, file, TEXT_TERMINAL_LINE);
		buf_addc(&id, ')');
	}
	if (dotenv_find(AT_FDCWD, file, name, &value) && value.len)
		rc = add_key(keys, id.data, value.data, file, err) ? -1 : 1;
	wipe(&value);
	return rc;
}

static int add_named(json_t *keys, const char *name, struct places *p, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; p->task && i < p->task->n && !rc; i++)
		rc = add_from(keys, name, p->task->v[i], true, err);
	p->task_key |= rc > 0;
	for (size_t i = 0; i < p->files->n && !rc; i++)
		rc = add_from(keys, name, p->files->v[i], false, err);
	return rc < 0 ? -1 : 0;
}

static int run_command(json_t *keys, const struct provider *v, struct err *err)
{
	const char *argv[] = {"sh", "-c", v->key_command, NULL};
	const struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = 2};
	struct buf out = BUF_INIT;
	int status = 0, rc;

	rc = spawn_run(&s, NULL, 0, KEY_MAX + 1, clock_mono_ms() + COMMAND_MS, &out, NULL, &status,
		       err);
	if (rc || status) {
		char how[48];
		wipe(&out);
		return err_set(err, ERR_USAGE, 0, "%s: key_command of provider \"%s\": %s",
			       v->place, v->name,
			       rc ? "does not end" : spawn_status_text(status, how));
	}
	out.data[strcspn(out.data, "\r\n")] = '\0';
	rc = add_key(keys, "key_command", out.data, v->place, err);
	wipe(&out);
	return rc;
}

static int missing(const struct provider *v, const struct strv *files, struct err *err)
{
	AUTO(buf) struct buf names = BUF_INIT;
	AUTO(buf) struct buf places = BUF_INIT;

	for (size_t i = 0; i < v->key_env.n; i++)
		buf_addf(&names, "%s%s", i ? " or " : "", v->key_env.v[i]);
	for (size_t i = 0; i < files->n; i++)
		buf_addf(&places, "%s%s", i ? ", " : "", files->v[i]);
	if (v->origin == PROVIDER_BENCH)
		return err_set(
			err, ERR_USAGE, 0,
			"%s: provider \"%s\" came with the benchmark, so its key is looked for in "
			"%s/.env only: put %s there, or move the provider to your own "
			"configuration",
			v->place, v->name, v->folder, names.data);
	return err_set(
		err, ERR_USAGE, 0,
		"no key for provider \"%s\": set %s in the environment, or in .env of the task's "
		"folder, of the benchmark's folder or of the working directory (%s%s)",
		v->name, names.data, files->n ? "not in " : "none of them has it", places.data);
}

/* What has a name. */
static int collect(json_t *keys, const struct provider *v, struct places *p, struct err *err)
{
	for (size_t i = 0; i < v->key_env.n; i++) {
		const char *value = v->origin == PROVIDER_BENCH ? NULL : getenv(v->key_env.v[i]);

		if (value && *value ? add_key(keys, v->key_env.v[i], value, "the environment", err)
				    : add_named(keys, v->key_env.v[i], p, err))
			return -1;
	}
	return 0;
}

static int collect_all(json_t *keys, const struct provider *v, const struct strv *files,
		       struct err *err)
{
	struct places p = {.files = files};

	if (collect(keys, v, &p, err))
		return -1;
	if (!json_array_size(keys) && v->key_command && run_command(keys, v, err))
		return -1;
	if (!json_array_size(keys) && v->key_env.n)
		return missing(v, files, err);
	return 0;
}

json_t *models_keys(const struct provider *v, const struct strv *env_files, struct err *err)
{
	AUTO(strv) struct strv own = STRV_INIT;
	json_t *keys = json_array();

	if (v->origin == PROVIDER_BENCH)
		strv_pushf(&own, "%s/.env", v->folder);
	if (!collect_all(keys, v, v->origin == PROVIDER_BENCH ? &own : env_files, err))
		return keys;
	json_decref(keys);
	return NULL;
}

/* --- the document ---------------------------------------------------------------------------- */

json_t *models_provider(const struct provider *v, json_t *keys_take)
{
	json_t *j = json_object(), *headers = json_object();

	for (size_t i = 0; i < v->headers.n; i++)
		json_put_str(headers, v->headers.v[i].key, v->headers.v[i].value);
	json_put_str(j, "base_url", v->base_url);
	json_put_strv(j, "apis", &v->apis);
	if (keys_take)
		json_put(j, "keys", keys_take);
	json_put(j, "task_keys", json_object());
	json_put(j, "headers", headers);
	if (v->max_in_flight)
		json_put_int(j, "max_in_flight", v->max_in_flight);
	return j;
}

static json_t *price(const struct price *p)
{
	if (!p->known)
		return json_null();
	json_t *j = json_object();
	json_put_real(j, "input", p->input);
	json_put_real(j, "cached", p->cached);
	json_put_real(j, "cache_write", p->cache_write);
	json_put_real(j, "output", p->output);
	json_put_str(j, "date", p->date);
	return j;
}

json_t *models_rules(const struct providers *p, const json_t *providers)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->rules_n; i++) {
		const struct model_rule *m = &p->rules[i];
		if (!json_object_get(providers, m->provider))
			continue;
		json_t *j = json_object();
		json_put_str(j, "match", m->match);
		json_put_str(j, "provider", m->provider);
		json_put(j, "price", price(&m->price));
		json_array_append_new(list, j);
	}
	return list;
}

/* The document's providers while trials are looked through. */
struct search {
	const struct providers *p;
	const char *config_path;
	const struct strv *files; /* everybody's */
	bool with_keys;
	json_t *list; /* the providers; null: something is wrong with one, and told */
	json_t *seen; /* provider name -> {task folder: true} */
	struct strv *problems;
};

/* Whose trials have no key of their own needs everybody's; looked for once. */
static void need_keys(struct search *s, const struct trial *t, const struct provider *v)
{
	json_t *entry = json_object_get(s->list, v->name), *keys;
	struct err err;

	if (!json_is_object(entry) || json_object_get(entry, "keys"))
		return;
	keys = s->with_keys ? models_keys(v, s->files, &err) : json_array();
	if (keys) {
		json_put(entry, "keys", keys);
		return;
	}
	strv_pushf(s->problems, "model \"%s\", task %s: %s", t->model, t->task_dir, err.msg);
	json_put(s->list, v->name, json_null());
}

/* A key in the .env of a task's folder is spent for that task alone. True: T has such keys. */
static bool add_task_keys(struct search *s, const struct trial *t, const struct provider *v)
{
	json_t *entry = json_object_get(s->list, v->name);
	AUTO(strv) struct strv own = STRV_INIT;
	AUTO(json) json_t *keys = json_array();
	struct places places = {.task = &own, .files = s->files};
	struct err err;

	if (!s->with_keys || v->origin == PROVIDER_BENCH || !json_is_object(entry))
		return false;
	task_env_files(&own, s->config_path, t->task_dir);
	if (!own.n)
		return false;
	if (collect(keys, v, &places, &err)) {
		strv_pushf(s->problems, "model \"%s\", task %s: %s", t->model, t->task_dir,
			   err.msg);
		return true;
	}
	if (places.task_key)
		json_put(json_object_get(entry, "task_keys"), t->task_dir, json_incref(keys));
	return places.task_key;
}

static void add_trial(struct search *s, const struct trial *t)
{
	const struct provider *v = providers_find(s->p, t->provider);
	json_t *tasks = json_object_get(s->seen, t->provider);

	if (!tasks) {
		tasks = json_object();
		json_put(s->seen, t->provider, tasks);
		json_put(s->list, t->provider, v ? models_provider(v, NULL) : json_null());
		if (!v)
			strv_pushf(s->problems,
				   "model \"%s\" was planned with the provider \"%s\", which no "
				   "providers.toml names any more",
				   t->model, t->provider);
	}
	if (!v || json_object_get(tasks, t->task_dir))
		return;
	json_put_bool(tasks, t->task_dir, true);
	if (!add_task_keys(s, t, v))
		need_keys(s, t, v);
}

static int check_program(struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-gateway");

	if (access(program, X_OK))
		return err_set(err, ERR_INFRA, errno, "%s (is the installation complete?)",
			       program);
	return 0;
}

int models_document(json_t **out, const struct providers *p, const char *config_path,
		    const struct trial *trials, size_t n, bool with_keys, struct strv *problems,
		    struct err *err)
{
	AUTO(strv) struct strv files = STRV_INIT;
	AUTO(json) json_t *list = json_object();
	AUTO(json) json_t *seen = json_object();
	struct search s = {p, config_path, &files, with_keys, list, seen, problems};
	size_t before = problems->n;

	*out = NULL;
	models_env_files(&files, config_path);
	for (size_t i = 0; i < n; i++)
		if (*trials[i].provider)
			add_trial(&s, &trials[i]);
	if (!json_object_size(list))
		return 0;
	if (problems->n > before)
		return err_set(err, ERR_USAGE, 0, "%zu models cannot be asked",
			       problems->n - before);
	if (check_program(err))
		return -1;
	*out = json_object();
	json_put_int(*out, "v", 1);
	json_put_bool(*out, "control", true);
	json_put_bool(*out, "record", true);
	json_put(*out, "models", models_rules(p, list));
	json_put(*out, "providers", json_incref(list));
	return 0;
}

void models_lines(struct strv *out, const struct trial *trials, size_t n)
{
	size_t more = 0;

	for (size_t i = 0; i < n; i++) {
		const struct trial *t = &trials[i];
		AUTO(buf) struct buf line = BUF_INIT;

		if (!*t->provider)
			continue;
		buf_addf(&line, "model %s: ", t->model);
		if (strcmp(t->model, t->model_id))
			buf_addf(&line, "%s ", t->model_id);
		buf_addf(&line, "at %s%s%s, agent %s", t->provider, *t->api ? " by " : "", t->api,
			 t->agent);
		if (strv_has(out, line.data))
			continue;
		if (out->n < LINES_MAX)
			strv_push(out, line.data);
		else
			more = 1;
	}
	if (more)
		strv_push(out, "and more models");
}

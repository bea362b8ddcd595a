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

void models_env_files(struct strv *out, const char *config_path, const struct trial *trials,
		      size_t n)
{
	AUTO(free) char *folder = folder_of(config_path);
	const char *last = "";

	for (size_t i = 0; i < n; i++) {
		const char *dir = trials[i].task_dir;
		/* Trials of one task stand together, or alternate in rounds: most repeat the last. */
		if (!strcmp(dir, last))
			continue;
		last = dir;
		add_file(out, xasprintf("%s/.env", dir));
		if (*dir != '/')
			add_file(out, xasprintf("%s%s/.env", folder, dir));
	}
	add_file(out, xasprintf("%s.env", folder));
	add_file(out, xstrdup(".env"));
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

static int add_named(json_t *keys, const char *name, const struct strv *files, struct err *err)
{
	for (size_t i = 0; i < files->n; i++) {
		struct buf value = BUF_INIT;
		int rc = 0;
		bool found = dotenv_find(AT_FDCWD, files->v[i], name, &value) && value.len;

		if (found)
			rc = add_key(keys, name, value.data, files->v[i], err);
		wipe(&value);
		if (found)
			return rc;
	}
	return 0;
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
		v->name, names.data, files->n ? "not in " : "none of them is there", places.data);
}

static int collect(json_t *keys, const struct provider *v, const struct strv *files,
		   struct err *err)
{
	for (size_t i = 0; i < v->key_env.n; i++) {
		const char *value = v->origin == PROVIDER_BENCH ? NULL : getenv(v->key_env.v[i]);

		if (value && *value ? add_key(keys, v->key_env.v[i], value, "the environment", err)
				    : add_named(keys, v->key_env.v[i], files, err))
			return -1;
	}
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
	if (!collect(keys, v, v->origin == PROVIDER_BENCH ? &own : env_files, err))
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
	json_put(j, "keys", keys_take);
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

struct keys_search {
	const struct providers *p;
	const struct strv *files;
	bool with_keys;
	struct strv *problems;
};

static void add_provider(json_t *to, const struct trial *t, const struct keys_search *s)
{
	const struct provider *v = providers_find(s->p, t->provider);
	struct err err;

	if (!v) {
		strv_pushf(s->problems,
			   "model \"%s\" was planned with the provider \"%s\", which no "
			   "providers.toml "
			   "names any more",
			   t->model, t->provider);
		json_put(to, t->provider, json_null());
		return;
	}
	json_t *keys = s->with_keys ? models_keys(v, s->files, &err) : json_array();
	if (!keys)
		strv_pushf(s->problems, "model \"%s\": %s", t->model, err.msg);
	json_put(to, v->name, keys ? models_provider(v, keys) : json_null());
}

int models_document(json_t **out, const struct providers *p, const char *config_path,
		    const struct trial *trials, size_t n, bool with_keys, struct strv *problems,
		    struct err *err)
{
	AUTO(strv) struct strv files = STRV_INIT;
	const struct keys_search search = {p, &files, with_keys, problems};
	AUTO(free) char *program = install_libexec("rollouts-gateway");
	size_t before = problems->n;
	json_t *doc, *list = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!*trials[i].provider || (list && json_object_get(list, trials[i].provider)))
			continue;
		if (!list) {
			list = json_object();
			models_env_files(&files, config_path, trials, n);
		}
		add_provider(list, &trials[i], &search);
	}
	*out = NULL;
	if (!list)
		return 0;
	if (problems->n > before) {
		json_decref(list);
		return err_set(err, ERR_USAGE, 0, "%zu models cannot be asked",
			       problems->n - before);
	}
	if (access(program, X_OK)) {
		json_decref(list);
		return err_set(err, ERR_INFRA, errno, "%s (is the installation complete?)",
			       program);
	}
	doc = json_object();
	json_put_int(doc, "v", 1);
	json_put_bool(doc, "control", true);
	json_put_bool(doc, "record", true);
	json_put(doc, "models", models_rules(p, list));
	json_put(doc, "providers", list);
	*out = doc;
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

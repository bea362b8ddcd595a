/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/keys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "os/spawn.h"
#include "task/dotenv.h"

enum {
	KEY_MAX = 8192,
	COMMAND_MS = 60000,
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

void keys_env_files(struct strv *out, const char *config_path)
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
	rc = add_key(keys, KEY_COMMAND_ID, out.data, v->place, err);
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

json_t *keys_of_provider(const struct provider *v, const struct strv *env_files, struct err *err)
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

int keys_of_task(json_t **out, const struct provider *v, const char *config_path,
		 const char *task_dir, const struct strv *env_files, struct err *err)
{
	AUTO(strv) struct strv own = STRV_INIT;
	AUTO(json) json_t *keys = json_array();
	struct places places = {.task = &own, .files = env_files};

	*out = NULL;
	if (v->origin == PROVIDER_BENCH)
		return 0;
	task_env_files(&own, config_path, task_dir);
	if (!own.n)
		return 0;
	if (collect(keys, v, &places, err))
		return -1;
	if (places.task_key)
		*out = json_incref(keys);
	return 0;
}

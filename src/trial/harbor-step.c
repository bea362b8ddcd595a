/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/harbor-step.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/env-path.h"
#include "harbor/contract.h"
#include "trial/boxes.h"
#include "trial/harbor-files.h"

enum { REWARD_MAX = 1 << 20 };

const json_t *harbor_said(const struct harbor_trial *h, const struct harbor_step *s,
			  const char *phase, const char *key)
{
	const json_t *own = json_object_get(json_object_get(s->own, phase), key);
	const json_t *task = json_object_get(json_object_get(h->contract, phase), key);

	/* A verifier's time is never the task's where there are steps. */
	if (s->own && !strcmp(key, "timeout_ms"))
		return own;
	if (!own || json_is_null(own) ||
	    ((json_is_array(own) && !json_array_size(own)) ||
	     (json_is_object(own) && !json_object_size(own))))
		return task;
	return own;
}

static const char *look_up(void *arg, const char *name)
{
	return kv_is_secret(name) ? NULL : kvs_get(arg, name);
}

void harbor_env(const struct work *w, const json_t *table, struct kvs *out)
{
	const char *key, *missing;
	const json_t *v;
	size_t len;

	json_object_foreach ((json_t *)table, key, v) {
		AUTO(free)
		char *value = harbor_expand(json_string_value(v), look_up,
					    (void *)&w->attempt.trial.env, &missing, &len);
		kvs_set(out, key, value ? value : "");
	}
}

void harbor_command_env(struct harbor_trial *h, struct sandbox *box, const char *user,
			const struct kvs *more, struct strv *out)
{
	struct work *w = h->w;
	const struct kvs *from[] = {&w->task.env, more};
	AUTO(free) char *home = sandbox_home(h->image, user);
	const char *own = NULL;

	for (size_t i = 0; i < h->image->env.n; i++)
		if (!strncmp(h->image->env.v[i], "HOME=", 5))
			own = h->image->env.v[i] + 5;
	sandbox_env(box, out);
	strv_setenv(out, "HOME", own ? own : home);
	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		for (size_t k = 0; from[i] && k < from[i]->n; k++)
			env_path_set(out, from[i]->v[k].key, from[i]->v[k].value);
}

int harbor_bash(struct harbor_trial *h, struct sandbox *box, const char *command, const char *user,
		const struct kvs *more, int64_t timeout_ms, struct sandbox_exit *end,
		struct err *err)
{
	const char *const argv[] = {"bash", "-c", command, NULL};
	AUTO(strv) struct strv env = STRV_INIT;

	harbor_command_env(h, box, user, more, &env);
	const struct sandbox_exec x = {.argv = argv,
				       .env = strv_items(&env),
				       .cwd = h->workdir,
				       .user = user,
				       .deadline_ms = clock_mono_ms() + timeout_ms,
				       .at_end = SANDBOX_LEAVE};
	return sandbox_exec(box, &x, end, err);
}

/* The bytes of a file of the verifier, NULL where there is none. What is there and no plain file is read as one that says nothing. */
static int read_reward_file(struct sandbox *box, const char *path, struct buf *data, bool *there,
			    struct err *err)
{
	struct err why = {0};
	AUTO(fd) int fd = sandbox_get(box, path, &why);

	*there = fd >= 0 || why.sys != ENOENT;
	if (fd < 0 && why.kind == ERR_CANCELLED) {
		*err = why;
		return -1;
	}
	if (fd >= 0 && path_read_fd(fd, REWARD_MAX, data, &why))
		buf_reset(data);
	return 0;
}

static int read_reward(struct sandbox *box, struct reward *out, struct err *err)
{
	AUTO(buf) struct buf json = BUF_INIT;
	AUTO(buf) struct buf txt = BUF_INIT;
	bool has_json, has_txt;

	if (read_reward_file(box, "/logs/verifier/reward.json", &json, &has_json, err) ||
	    read_reward_file(box, "/logs/verifier/reward.txt", &txt, &has_txt, err))
		return -1;
	reward_read(out, has_json ? json.data : NULL, json.len, has_txt ? txt.data : NULL, txt.len);
	return 0;
}

static void fail(struct reward *out, const char *error, const char *why)
{
	reward_release(out);
	out->error = error;
	snprintf(out->why, sizeof out->why, "%s", why);
}

/* The task's tests first, those of the step over them. */
static int put_tests(struct harbor_trial *h, const struct harbor_step *s, struct sandbox *box,
		     struct err *err)
{
	AUTO(free) char *own = xasprintf("steps/%s/tests", s->name);
	static const char *const tests[] = {"/tests", NULL};

	if (h->brings_tests)
		return 0;
	if (s->own && harbor_folders(box, true, "755", tests, err))
		return -1;
	if (harbor_put(box, h->app_fd, "tests", "/tests", "test.sh", err))
		return -1;
	return s->own ? harbor_put(box, h->app_fd, own, "/tests", "test.sh", err) : 0;
}

/* Before what the task says of them: where programs find what tests install, and that nothing is to be asked of a network. */
static void offer_tools(const struct harbor_trial *h, struct kvs *env)
{
	static const char *const said[][2] = {
		{"PATH", VERIFIER_SHIMS ":" VERIFIER_TOOLS "/bin:$PATH"},
		{"UV_OFFLINE", "1"},
		{"UV_FIND_LINKS", VERIFIER_TOOLS "/wheels"},
		{"UV_PYTHON_INSTALL_DIR", VERIFIER_TOOLS "/python"},
		{"UV_PYTHON_DOWNLOADS", "never"},
		{"UV_LINK_MODE", "copy"},
		{"PIP_NO_INDEX", "1"},
		{"PIP_FIND_LINKS", VERIFIER_TOOLS "/wheels"},
		{"PIP_DISABLE_PIP_VERSION_CHECK", "1"},
	};

	for (size_t i = 0;
	     *h->w->attempt.trial.verifier_tools && !h->online && i < ARRAY_SIZE(said); i++)
		kvs_set(env, said[i][0], said[i][1]);
}

int harbor_verify(struct harbor_trial *h, const struct harbor_step *s, struct reward *out,
		  struct err *err)
{
	static const char *const logs[] = {"/logs/verifier", NULL};
	const json_t *user = harbor_said(h, s, "verifier", "user");
	const json_t *timeout = harbor_said(h, s, "verifier", "timeout_ms");
	AUTO(kvs) struct kvs env = KVS_INIT;
	AUTO(free) char *to = xasprintf("%s" HARBOR_VERIFIER, s->dir);
	const struct harbor_take take = {.box_path = "/logs/verifier", .to = to};
	struct sandbox_exit end = {0};

	*out = (struct reward){0};
	offer_tools(h, &env);
	harbor_env(h->w, json_object_get(json_object_get(h->contract, "verifier"), "env"), &env);
	harbor_env(h->w, json_object_get(json_object_get(s->own, "verifier"), "env"), &env);
	if (harbor_folders(h->box, true, "777", logs, err) || put_tests(h, s, h->box, err) ||
	    harbor_bash(h, h->box, "(/tests/test.sh) > /logs/verifier/test-stdout.txt 2>&1",
			json_is_string(user) ? json_string_value(user) : "", &env,
			json_integer_value(timeout), &end, err))
		return -1;
	h->w->result.usage.wall_ms += end.wall_ms;
	h->w->result.usage.cpu_ms += end.cpu_ms;
	if (end.memory_max > h->w->result.usage.memory_max)
		h->w->result.usage.memory_max = end.memory_max;
	if (harbor_take(h->w, h->box, &take, err) < 0)
		return -1;
	switch (end.end) {
	case SANDBOX_EXITED:
		return read_reward(h->box, out, err);
	case SANDBOX_TIMED_OUT:
		fail(out, "VerifierTimeoutError",
		     "the tests took longer than verifier.timeout_sec");
		return 0;
	default:
		fail(out, "VerifierError", end.text);
		return 0;
	}
}

/* What of the manifest is told of one artifact. */
static json_t *entry_of(const json_t *a, const char *to, bool folder, const char *status)
{
	json_t *j = json_object();
	AUTO(free) char *shown = xasprintf("artifacts/%s", to);

	json_put_str(j, "source", json_get_str(a, "source", ""));
	json_put_str(j, "destination", shown);
	json_put_str(j, "type", folder ? "directory" : "file");
	json_put_str(j, "status", status);
	json_put_str(j, "service", json_get_str(a, "service", "main"));
	json_t *exclude = json_object_get(a, "exclude");
	json_put(j, "exclude", exclude ? json_incref(exclude) : json_array());
	return j;
}

static bool overlaps(const json_t *manifest, const char *shown)
{
	const json_t *e;
	size_t i;

	json_array_foreach ((json_t *)manifest, i, e) {
		const char *other = json_get_str(e, "destination", "");
		const size_t n = strlen(other), m = strlen(shown);
		if (!strncmp(other, shown, n < m ? n : m) &&
		    (n == m || (n < m ? shown[n] : other[m]) == '/') &&
		    strcmp(json_get_str(e, "status", ""), "failed") != 0)
			return true;
	}
	return false;
}

static int take_artifact(struct harbor_trial *h, const struct harbor_step *s, const json_t *a,
			 json_t *manifest, struct err *err)
{
	const char *source = json_get_str(a, "source", "");
	AUTO(free)
	char *absolute =
		*source == '/' ? xstrdup(source) : path_join(h->w->task.layout.repo, source);
	const char *to = json_get_str(a, "destination", absolute + 1);
	AUTO(free) char *host = xasprintf("%sartifacts/%s", s->dir, to);
	AUTO(free) char *shown = xasprintf("artifacts/%s", to);
	bool folder = false;
	const struct harbor_take take = {.box_path = absolute,
					 .to = host,
					 .exclude = json_object_get(a, "exclude"),
					 .is_folder = &folder};

	if (overlaps(manifest, shown)) {
		json_array_append_new(manifest, entry_of(a, to, folder, "skipped"));
		return 0;
	}
	if (!path_is_inside(to) || strcmp(json_get_str(a, "service", "main"), "main") != 0) {
		json_array_append_new(manifest, entry_of(a, to, folder, "failed"));
		return 0;
	}
	int got = harbor_take(h->w, h->box, &take, err);
	if (got < 0)
		return -1;
	json_array_append_new(manifest,
			      entry_of(a, to, folder, got == HARBOR_TAKEN ? "ok" : "failed"));
	return 0;
}

/* A file's folder may be written to by whoever verifies, and a folder holds nothing but what came. */
static int restore(struct harbor_trial *h, const struct harbor_step *s, const json_t *a,
		   struct err *err)
{
	const char *source = json_get_str(a, "source", "");
	AUTO(free)
	char *to = *source == '/' ? xstrdup(source) : path_join(h->w->task.layout.repo, source);
	AUTO(free) char *from = xasprintf("%s%s", s->dir, json_get_str(a, "destination", ""));
	const bool folder = !strcmp(json_get_str(a, "type", ""), "directory");
	AUTO(free) char *above = path_folder(to);
	const char *const paths[] = {folder ? to : above, NULL};

	if (strcmp(json_get_str(a, "status", ""), "ok") != 0)
		return 0;
	if ((folder || strcmp(above, "/")) && harbor_folders(h->box, folder, "777", paths, err))
		return -1;
	return folder ? harbor_put(h->box, h->w->run_fd, from, to, NULL, err)
		      : harbor_put_file(h->box, h->w->run_fd, from, to, err);
}

int harbor_restore(struct harbor_trial *h, const struct harbor_step *s, struct err *err)
{
	AUTO(free) char *path = xasprintf("%sartifacts/manifest.json", s->dir);
	AUTO(json) json_t *manifest = NULL;
	const json_t *a;
	size_t i;

	if (json_read(&manifest, h->w->run_fd, path, REWARD_MAX, err))
		return -1;
	json_array_foreach (manifest, i, a)
		if (restore(h, s, a, err))
			return -1;
	return 0;
}

int harbor_artifacts(struct harbor_trial *h, const struct harbor_step *s, struct err *err)
{
	AUTO(json)
	json_t *always = json_pack("{s:s, s:n, s:[], s:s}", "source", "/logs/artifacts",
				   "destination", "exclude", "service", "main");
	const json_t *lists[] = {json_object_get(h->contract, "artifacts"),
				 json_object_get(s->own, "artifacts")};
	AUTO(json) json_t *manifest = json_array();
	const json_t *a;
	size_t i;

	if (take_artifact(h, s, always, manifest, err))
		return -1;
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		json_array_foreach ((json_t *)lists[k], i, a)
			if (take_artifact(h, s, a, manifest, err))
				return -1;
	AUTO(free) char *folder = xasprintf("%sartifacts", s->dir);
	AUTO(free) char *path = path_join(folder, "manifest.json");
	return path_make_dirs(h->w->run_fd, folder, 0755, err) ||
			       json_write(h->w->run_fd, path, manifest, h->w->attempt.sync, err)
		       ? -1
		       : 0;
}

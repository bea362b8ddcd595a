/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/images.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/image.h"
#include "engine/client.h"
#include "engine/container.h"
#include "engine/find.h"
#include "engine/look.h"
#include "os/fdio.h"

#define AT_ONCE 3
#define SPEC_MAX (1 << 20)
#define LOCK_MS (90 * 60 * 1000)

enum { CHILD_BLIND = 2, CHILD_FAILED };

static void say(const char *text)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	text_renders(&safe, text, TEXT_TERMINAL_LINE);
	dprintf(STDOUT_FILENO, "%s\n", safe.data);
}

struct job {
	struct engine *e;
	const char *key;
	json_t *spec; /* of the context */
	struct image image;
};

/* What the record names is still there, in this engine. */
static bool is_ready(struct job *j)
{
	struct err ignored = {0};
	AUTO(free) char *path = NULL;
	AUTO(json) json_t *found = NULL;

	if (image_read(&j->image, AT_FDCWD, j->key, &ignored))
		return false;
	path = xasprintf("/images/%s/json", j->image.id);
	if (!*j->image.error && *j->image.id && !strcmp(j->image.engine, engine_socket(j->e)) &&
	    !engine_json(j->e, "GET", path, NULL, ENGINE_CALL_MS, &found, &ignored))
		return true;
	image_release(&j->image);
	return false;
}

/* Built earlier, from another data root perhaps. NULL: not. The caller frees. */
static char *find_labelled(struct job *j, struct err *err)
{
	AUTO(free) char *filter = xasprintf("{\"label\":[\"" LABEL_IMAGE "=%s\"]}", j->key);
	AUTO(free) char *escaped = engine_escape(j->e, filter);
	AUTO(free) char *path = xasprintf("/images/json?filters=%s", escaped);
	AUTO(json) json_t *list = NULL;

	if (engine_json(j->e, "GET", path, NULL, ENGINE_CALL_MS, &list, err))
		return NULL;
	const char *id = json_get_str(json_array_get(list, 0), "Id", NULL);
	return xstrdup(id);
}

static int open_log(const char *key, struct err *err)
{
	AUTO(free) char *path = xasprintf(DATA_IMAGES "/%s.log", key);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	return fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", path) : fd;
}

static void say_tail(const struct job *j, const struct buf *tail)
{
	AUTO(free) char *text = xstrdup(tail->data);
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		AUTO(free) char *shown = xasprintf("  %s", line);
		say(shown);
	}
}

static int run_client(struct job *j, const struct strv *args, struct err *err)
{
	AUTO(buf) struct buf tail = BUF_INIT;
	AUTO(fd) int log = open_log(j->key, err);

	if (log < 0)
		return -1;
	if (!client_run(j->e, args, log, &tail, err))
		return 0;
	AUTO(free) char *head =
		xasprintf("image of %s: %s; its last lines:", j->image.name, err->msg);
	say(head);
	say_tail(j, &tail);
	/* One line for results: the last that says anything. */
	char *last = strrchr(tail.data, '\n');
	if (last)
		*last = '\0';
	last = strrchr(tail.data, '\n');
	const char *line = last ? last + 1 : tail.data;
	if (*line) {
		AUTO(free) char *what = xstrdup(err->msg);
		err_set(err, ERR_INFRA, 0, "%s: %.300s", what, line);
	}
	return -1;
}

static int pull(struct job *j, const char *name, struct err *err)
{
	AUTO(strv) struct strv args = STRV_INIT;
	AUTO(free) char *path = xasprintf("/images/%s/json", name);
	long status = 0;

	if (engine_call(j->e, "GET", path, NULL, ENGINE_CALL_MS, &status, NULL, err))
		return -1;
	if (status == 200)
		return 0;
	AUTO(free) char *line = xasprintf("pulling image %s", name);
	say(line);
	strv_pushv(&args, (const char *const[]){"pull", name, NULL});
	return run_client(j, &args, err);
}

static int build(struct job *j, struct err *err)
{
	AUTO(strv) struct strv args = STRV_INIT;
	AUTO(free) char *line = xasprintf("building the image of %s", j->image.name);
	const char *name;
	json_t *value;

	say(line);
	strv_pushv(&args, (const char *const[]){"build", "--force-rm", NULL});
	strv_push(&args, "--label");
	strv_pushf(&args, LABEL_IMAGE "=%s", j->key);
	strv_push(&args, "--tag");
	strv_pushf(&args, "rollouts:%.16s", j->key);
	json_object_foreach (json_object_get(j->spec, "args"), name, value) {
		strv_push(&args, "--build-arg");
		strv_pushf(&args, "%s=%s", name, json_string_value(value));
	}
	strv_pushf(&args, DATA_CONTEXTS "/%s/files", j->key);
	return run_client(j, &args, err);
}

/* The engine's name of the image to use, made if need be. The caller frees. */
static char *provide(struct job *j, struct err *err)
{
	const char *name = json_get_str(j->spec, "pull", NULL);

	if (name)
		return pull(j, name, err) ? NULL : xstrdup(name);
	char *id = find_labelled(j, err);
	if (id || err->kind)
		return id;
	return build(j, err) ? NULL : xasprintf("rollouts:%.16s", j->key);
}

static int make(struct job *j, struct err *err)
{
	AUTO(free) char *name = provide(j, err);

	if (!name || look_at_image(j->e, name, &j->image, err))
		return -1;
	/* What was built here is in no registry, whatever Podman says. */
	if (!json_get_str(j->spec, "pull", NULL)) {
		free(j->image.digest);
		j->image.digest = xstrdup(j->image.id);
	}
	return 0;
}

static int make_one(struct engine *e, const char *key, struct err *err)
{
	AUTO(free) char *lock_path = xasprintf(DATA_IMAGES "/%s.lock", key);
	AUTO(free) char *spec_path = xasprintf(DATA_CONTEXTS "/%s/spec.json", key);
	AUTO(fd) int lock = fd_lock(AT_FDCWD, lock_path, clock_mono_ms() + LOCK_MS, err);
	AUTO(json) json_t *spec = NULL;
	struct job j = {.e = e, .key = key};
	struct err why = {0};

	if (lock < 0)
		return -1;
	if (is_ready(&j)) {
		image_release(&j.image);
		return 0;
	}
	if (json_read(&spec, AT_FDCWD, spec_path, SPEC_MAX, err))
		return -1;
	j.spec = spec;
	j.image = (struct image){.name = xstrdup(json_get_str(spec, "name", "?")),
				 .engine = xstrdup(engine_socket(e)),
				 .env = STRV_INIT};
	if (make(&j, &why)) {
		if (why.kind == ERR_USAGE) {
			image_release(&j.image);
			*err = why;
			return -1;
		}
		free(j.image.error);
		j.image.error = xstrdup(*why.msg ? why.msg : "it could not be made");
	}
	int rc = image_write(&j.image, AT_FDCWD, key, err);
	image_release(&j.image);
	return rc;
}

/* In a process of its own, with a connection of its own. */
static void child(const char *socket, const char *key)
{
	AUTO(engine) struct engine *e = NULL;
	struct err err = {0};

	if (!engine_open(&e, socket, ENGINE_CALL_MS, &err) && !make_one(e, key, &err))
		_exit(0);
	if (err.kind == ERR_USAGE)
		_exit(CHILD_BLIND);
	say(err.msg);
	_exit(CHILD_FAILED);
}

static int make_all(const char *socket, char *const *keys, size_t n, struct err *err)
{
	size_t running = 0;
	int status;
	bool failed = false, blind = false;

	for (size_t i = 0; i < n || running;) {
		if (i < n && running < AT_ONCE) {
			pid_t pid = fork();
			if (pid == 0)
				child(socket, keys[i]);
			if (pid < 0)
				return err_set(err, ERR_INFRA, errno, "fork");
			running++;
			i++;
		} else if (wait(&status) > 0) {
			running--;
			failed |= status != 0;
			blind |= WIFEXITED(status) && WEXITSTATUS(status) == CHILD_BLIND;
		} else {
			break;
		}
	}
	if (blind)
		return look_blind(socket, err);
	return failed ? err_set(err, ERR_INFRA, 0, "the images could not be made") : 0;
}

static bool is_key(const char *text)
{
	return strlen(text) == HASH_HEX - 1 && strspn(text, "0123456789abcdef") == HASH_HEX - 1;
}

int images_make(char *const *keys, size_t n, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(strv) struct strv removed = STRV_INIT;
	struct err why;

	for (size_t i = 0; i < n; i++)
		if (!is_key(keys[i]))
			return err_set(err, ERR_USAGE, 0, "not the key of an image: %.80s",
				       keys[i]);
	if (engine_find(&e, err) || engine_check(e, err) ||
	    path_make_dirs(AT_FDCWD, DATA_IMAGES, 0755, err))
		return -1;
	if (container_prune(e, NULL, false, &removed, &why))
		say(why.msg);
	for (size_t i = 0; i < removed.n; i++) {
		AUTO(free) char *line = xasprintf(
			"removed the container %s of a worker that is gone", removed.v[i]);
		say(line);
	}
	return make_all(engine_socket(e), keys, n, err);
}

static int forget_one(struct engine *e, const char *key, struct err *err)
{
	struct job j = {.e = e, .key = key};
	AUTO(free) char *id = find_labelled(&j, err);
	AUTO(free) char *path = id ? xasprintf("/images/%s?force=0", id) : NULL;
	AUTO(free) char *tag = xasprintf("/images/rollouts:%.16s?force=0", key);
	long status = 0;

	if (!id)
		return err->kind ? -1 : 0;
	/* By its tag first: that is all there is as a rule, and takes the image along. */
	if (engine_call(e, "DELETE", tag, NULL, ENGINE_CALL_MS, &status, NULL, err))
		return -1;
	return engine_call(e, "DELETE", path, NULL, ENGINE_CALL_MS, &status, NULL, err);
}

int images_forget(char *const *keys, size_t n, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;

	if (engine_find(&e, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!is_key(keys[i]))
			return err_set(err, ERR_USAGE, 0, "not the key of an image: %.80s",
				       keys[i]);
		else if (forget_one(e, keys[i], err))
			return -1;
	return 0;
}

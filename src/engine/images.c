/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/images.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/json.h"
#include "base/strv.h"
#include "base/text.h"
#include "core/datadir.h"
#include "engine/client.h"
#include "engine/container.h"
#include "engine/find.h"
#include "os/fdio.h"

#define AT_ONCE 3

/* "KEY[=ID][@PATH]..." in parts; *ID is the caller's, NULL: none. */
static void split(const char *item, char key[static HASH_HEX], char **id, struct strv *paths)
{
	const char *at = item + HASH_HEX - 1;

	snprintf(key, HASH_HEX, "%s", item);
	*id = *at == '=' ? xstrndup(at + 1, strcspn(at + 1, "@")) : NULL;
	for (at += strcspn(at, "@"); *at; at += 1 + strcspn(at + 1, "@"))
		strv_take(paths, xstrndup(at + 1, strcspn(at + 1, "@")));
}

/* In a process of its own, with a connection of its own. What only the user can mend goes to REFUSED, whole. */
static void child(const char *socket, const char *item, const struct image_wish *w, int refused)
{
	AUTO(engine) struct engine *e = NULL;
	struct err err = {0};
	char key[HASH_HEX];
	AUTO(free) char *id = NULL;
	AUTO(strv) struct strv paths = STRV_INIT;
	struct image_wish own = *w;

	client_end_with_us();
	split(item, key, &id, &paths);
	own.paths = &paths;
	if (!engine_open(&e, socket, ENGINE_CALL_MS, &err) && !make_image(e, key, id, &own, &err))
		_exit(0);
	if (err.kind == ERR_USAGE)
		dprintf(refused, "%s\n", err.msg);
	else
		make_image_say("%s", err.msg);
	_exit(1);
}

/* "= KEY": whatever became of it, it is written down. */
static void tell_done(const char *item)
{
	dprintf(STDOUT_FILENO, "= %.*s\n", HASH_HEX - 1, item);
}

/* Wait for all children; whether one of them failed. */
static int make_each(const char *socket, char *const *items, size_t n, const struct image_wish *w,
		     int refused, bool *failed, struct err *err)
{
	AUTO(free) pid_t *pids = xcalloc(n + 1, sizeof *pids);
	size_t running = 0;
	int status;

	for (size_t i = 0; i < n || running;) {
		if (i < n && running < AT_ONCE) {
			pids[i] = fork();
			if (pids[i] == 0)
				child(socket, items[i], w, refused);
			if (pids[i] < 0)
				return err_set(err, ERR_INFRA, errno, "fork");
			running++;
			i++;
			continue;
		}
		pid_t pid = wait(&status);
		if (pid <= 0)
			break;
		running--;
		*failed |= status != 0;
		for (size_t k = 0; !status && k < i; k++)
			if (pids[k] == pid)
				tell_done(items[k]);
	}
	return 0;
}

static int make_all(const char *socket, char *const *items, size_t n, const struct image_wish *w,
		    struct err *err)
{
	bool failed = false;
	char text[2048];
	int ends[2];

	if (fd_pipe(ends, err))
		return -1;
	AUTO(fd) int in = ends[0];
	AUTO(fd) int out = ends[1];
	if (make_each(socket, items, n, w, out, &failed, err))
		return -1;
	close(fd_steal(&out));
	ssize_t len = read(in, text, sizeof text - 1);
	if (len > 0) {
		text[len] = '\0';
		return err_set(err, ERR_USAGE, 0, "%.*s", (int)strcspn(text, "\n"), text);
	}
	return failed ? err_set(err, ERR_INFRA, 0, "the images could not be made") : 0;
}

static bool is_key(const char *text)
{
	const char end = text[strspn(text, "0123456789abcdef")];

	return strspn(text, "0123456789abcdef") == HASH_HEX - 1 &&
	       (!end || end == '=' || end == '@');
}

int images_make(char *const *items, size_t n, const struct image_wish *w, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(strv) struct strv removed = STRV_INIT;
	struct err why;

	for (size_t i = 0; i < n; i++)
		if (!is_key(items[i]))
			return err_set(err, ERR_USAGE, 0, "not the key of an image: %.80s",
				       items[i]);
	if (engine_find(&e, err) || engine_check(e, err) ||
	    path_make_dirs(AT_FDCWD, DATA_IMAGES, 0755, err))
		return -1;
	if (container_prune(e, NULL, false, &removed, &why))
		make_image_say("%s", why.msg);
	for (size_t i = 0; i < removed.n; i++)
		make_image_say("removed the container %s of a worker that is gone", removed.v[i]);
	return make_all(engine_socket(e), items, n, w, err);
}

static int forget_one(struct engine *e, const char *key, struct err *err)
{
	AUTO(free) char *id = make_image_find(e, key, NULL, err);
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

static bool is_orphan(const json_t *image, char *const *keys, size_t n)
{
	const json_t *labels = json_object_get(image, "Labels");
	const char *folder = json_get_str(labels, LABEL_FOLDER, "");
	const char *key = json_get_str(labels, LABEL_IMAGE, "");

	for (size_t i = 0; i < n; i++)
		if (!strcmp(keys[i], key))
			return false;
	return *folder == '/' && !path_exists(AT_FDCWD, folder);
}

static int remove_image(struct engine *e, const json_t *image, struct err *err)
{
	const json_t *tags = json_object_get(image, "RepoTags"), *tag;
	AUTO(free) char *path = xasprintf("/images/%s?force=0", json_get_str(image, "Id", ""));
	long status = 0;
	size_t at;

	json_array_foreach (tags, at, tag) {
		AUTO(free) char *by_tag = xasprintf("/images/%s?force=0", json_string_value(tag));
		if (engine_call(e, "DELETE", by_tag, NULL, ENGINE_CALL_MS, &status, NULL, err))
			return -1;
	}
	return engine_call(e, "DELETE", path, NULL, ENGINE_CALL_MS, &status, NULL, err);
}

int images_prune(char *const *keys, size_t n, bool dry_run, struct strv *removed, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(json) json_t *list = NULL;
	const json_t *image;
	size_t at;

	if (engine_find(&e, err))
		return -1;
	AUTO(free) char *filter = engine_escape(e, "{\"label\":[\"" LABEL_FOLDER "\"]}");
	AUTO(free) char *path = xasprintf("/images/json?filters=%s", filter);
	if (engine_json(e, "GET", path, NULL, ENGINE_CALL_MS, &list, err))
		return -1;
	json_array_foreach (list, at, image) {
		if (!is_orphan(image, keys, n))
			continue;
		if (!dry_run && remove_image(e, image, err))
			return -1;
		AUTO(buf) struct buf safe = BUF_INIT;
		AUTO(free)
		char *line =
			xasprintf("%.19s of %s", json_get_str(image, "Id", ""),
				  json_get_str(json_object_get(image, "Labels"), LABEL_FOLDER, ""));
		text_renders(&safe, line, TEXT_TERMINAL_LINE);
		strv_push(removed, safe.data);
	}
	return 0;
}

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
#include "base/strv.h"
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

/* Wait for all children; whether one of them failed. */
static int make_each(const char *socket, char *const *items, size_t n, const struct image_wish *w,
		     int refused, bool *failed, struct err *err)
{
	size_t running = 0;
	int status;

	for (size_t i = 0; i < n || running;) {
		if (i < n && running < AT_ONCE) {
			pid_t pid = fork();
			if (pid == 0)
				child(socket, items[i], w, refused);
			if (pid < 0)
				return err_set(err, ERR_INFRA, errno, "fork");
			running++;
			i++;
		} else if (wait(&status) > 0) {
			running--;
			*failed |= status != 0;
		} else {
			break;
		}
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

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/carry.h"
#include <errno.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "engine/find.h"

enum { CARRY_MS = 60 * 60 * 1000, WORDS_MAX = 400 };

static int keep(void *arg, const char *data, size_t n, struct err *err)
{
	return path_write_all(*(const int *)arg, data, n, err);
}

int carry_save(const char *socket, const char *id, int fd, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(free) char *path = xasprintf("/images/%s/get", id);
	long status = 0;

	if (engine_open(&e, socket, ENGINE_FIND_MS, err) ||
	    engine_stream(e, path, CARRY_MS, &status, keep, &fd, err))
		return -1;
	return status == 200
		       ? 0
		       : err_set(err, ERR_INFRA, 0, "the engine at %s gives no image %s (%ld)",
				 socket, id, status);
}

static int has(struct engine *e, const char *id, struct err *err)
{
	AUTO(free) char *path = xasprintf("/images/%s/json", id);
	long status = 0;

	if (engine_call(e, "GET", path, NULL, ENGINE_CALL_MS, &status, NULL, err))
		return -1;
	return status == 200;
}

int carry_look(const char *id, char **socket, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;

	if (engine_find(&e, err) || engine_check(e, err))
		return -1;
	*socket = xstrdup(engine_socket(e));
	return has(e, id, err);
}

int carry_load(const char *id, int fd, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(buf) struct buf said = BUF_INIT;
	struct stat st;
	long status = 0;

	if (fstat(fd, &st))
		return err_set(err, ERR_INFRA, errno, "an image");
	if (engine_find(&e, err) ||
	    engine_upload(e, "/images/load?quiet=1", fd, st.st_size, CARRY_MS, &status, &said, err))
		return -1;
	int there = status == 200 ? has(e, id, err) : 0;
	if (there < 0)
		return -1;
	return there ? 0
		     : err_set(err, ERR_INFRA, 0,
			       "the engine here did not take the image %s (%ld): %.*s", id, status,
			       WORDS_MAX, said.data);
}

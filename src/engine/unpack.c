/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "engine/client.h"
#include "engine/container.h"
#include "engine/find.h"

enum { UNPACK_MS = 60 * 60 * 1000 };

static int keep(void *arg, const char *data, size_t n, struct err *err)
{
	return path_write_all(*(const int *)arg, data, n, err);
}

static int pull(struct engine *e, const char *image, struct err *err)
{
	AUTO(strv) struct strv args = STRV_INIT;
	AUTO(buf) struct buf tail = BUF_INIT;
	AUTO(fd) int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct client_job job = {
		.args = &args, .what = "pulling an image", .log_fd = log, .timeout_ms = UNPACK_MS};

	client_end_with_us();
	strv_pushv(&args, (const char *const[]){"pull", "--quiet", image, NULL});
	return client_run(e, &job, &tail, err);
}

/* Of an owner whose process ends with this: it is found and removed should this one be killed. */
static int make(struct engine *e, const char *image, json_t **made, struct err *err)
{
	AUTO(free) char *owner = container_owner(getpid());
	AUTO(json)
	json_t *body = json_pack("{s:s, s:[s], s:{s:s}, s:{s:s}}", "Image", image, "Entrypoint",
				 "/.rollouts/none", "Labels", LABEL_OWNER, owner, "HostConfig",
				 "NetworkMode", "none");

	return engine_json(e, "POST", "/containers/create", body, ENGINE_CALL_MS, made, err);
}

int unpack_image(const char *image, const char *file, struct err *err)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(json) json_t *made = NULL;
	long status = 0;
	struct err late;

	AUTO(fd) int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "make %s", file);
	if (engine_find(&e, err))
		return -1;
	AUTO(free) char *name = engine_escape(e, image);
	AUTO(free) char *look = xasprintf("/images/%s/json", name);
	if (engine_call(e, "GET", look, NULL, ENGINE_CALL_MS, &status, NULL, err) ||
	    (status != 200 && pull(e, image, err)) || make(e, image, &made, err))
		return -1;
	AUTO(free) char *files = xasprintf("/containers/%s/export", json_get_str(made, "Id", ""));
	int rc = engine_stream(e, files, UNPACK_MS, &status, keep, &fd, err);
	if (!rc && status != 200)
		rc = err_set(err, ERR_INFRA, 0, "the engine at %s gives no files of %s (%ld)",
			     engine_socket(e), image, status);
	if (container_remove(e, json_get_str(made, "Id", ""), clock_mono_ms() + ENGINE_CALL_MS,
			     rc ? &late : err))
		rc = -1;
	return rc;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/node-image.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/image.h"
#include "os/spawn.h"

enum { ENGINE_MS = 60 * 60 * 1000, WORDS_MAX = 4096, LACKS = 4 << 8 };

/* What rollouts-docker says, without its newline, in TEXT. -1 as well where it fails, but for *LACKS_IT (NULL: that is a failure, too). */
static int ask_engine(const char *const *argv, int in, int out, struct buf *text, bool *lacks_it,
		      struct err *err)
{
	const struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = in, .out = out, .err = -1};
	AUTO(buf) struct buf words = BUF_INIT;
	int status;

	if (spawn_run(&s, NULL, 0, WORDS_MAX, clock_mono_ms() + ENGINE_MS, out < 0 ? text : NULL,
		      &words, &status, err))
		return -1;
	const struct buf *said = out < 0 ? text : &words;
	if (said->len && said->data[said->len - 1] == '\n')
		said->data[said->len - 1] = '\0';
	if (lacks_it)
		*lacks_it = status == LACKS;
	return status && !(lacks_it && *lacks_it) ? err_set(err, ERR_INFRA, 0, "%s", said->data)
						  : 0;
}

int node_image_save(char **out, int root_fd, const char *path, const char *socket, const char *id,
		    struct err *err)
{
	AUTO(free) char *docker = install_libexec("rollouts-docker");
	const char *argv[] = {docker, "save", socket, id, NULL};
	AUTO(buf) struct buf words = BUF_INIT;

	*out = xasprintf("%.*s.tar", (int)(strlen(path) - strlen(".json")), path);
	unlinkat(root_fd, *out, 0);
	AUTO(fd) int fd = path_open_beneath(root_fd, *out, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
	return fd < 0 ? -1 : ask_engine(argv, -1, fd, &words, NULL, err);
}

static int load(struct cache *c, int data_fd, const json_t *inputs, const char *id, struct err *err)
{
	AUTO(free) char *docker = install_libexec("rollouts-docker");
	const char *argv[] = {docker, "load", id, NULL};
	AUTO(json) json_t *wanted = json_array();
	AUTO(buf) struct buf words = BUF_INIT;
	struct cache_hold hold;
	size_t i;
	json_t *input;

	json_array_foreach (inputs, i, input)
		if (!strcmp(json_get_str(input, "image", ""), id))
			json_array_append(wanted, input);
	int rc = cache_have(&hold, c, data_fd, wanted, err);
	if (!rc && !json_array_size(wanted))
		rc = err_set(err, ERR_INFRA, 0, "the engine here lacks it, and it did not travel");
	if (!rc) {
		const char *path = json_get_str(json_array_get(wanted, 0), "path", "");
		AUTO(fd) int in = path_open_beneath(c->root_fd, path, O_RDONLY, 0, err);
		rc = in < 0 ? -1 : ask_engine(argv, in, -1, &words, NULL, err);
	}
	cache_release(&hold);
	return rc;
}

int node_image_have(struct cache *c, int data_fd, const json_t *inputs, const struct trial *t,
		    struct err *err)
{
	AUTO(free) char *docker = install_libexec("rollouts-docker");
	AUTO(buf) struct buf socket = BUF_INIT;
	struct image image;
	bool lacks_it = false;

	if (image_read(&image, c->root_fd, t->image, t->image_id, err))
		return -1;
	const char *argv[] = {docker, "look", image.id, NULL};
	/* One that could not be made is told by the worker. */
	int rc = *image.error ? 0 : ask_engine(argv, -1, -1, &socket, &lacks_it, err);
	if (!rc && lacks_it)
		rc = load(c, data_fd, inputs, image.id, err);
	if (!rc && !*image.error && strcmp(image.engine, socket.data) != 0) {
		free(image.engine);
		image.engine = xstrdup(socket.data);
		rc = image_write(&image, c->root_fd, t->image, err);
	}
	image_release(&image);
	return rc ? err_wrap(err, "the image of this task") : 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/node-gateway.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

enum { DOCUMENT_MAX = 16 << 20, IN_FLIGHT = 256 /* of a provider, where nothing is said */ };

static void on_note(void *arg, const char *text)
{
	log_warn("gateway: %s", text);
}

/* A part of what may be asked at once, never nothing. */
static void share_out(json_t *document, int64_t side_by_side, int64_t parallel)
{
	const char *name;
	json_t *provider;

	json_object_foreach (json_object_get(document, "providers"), name, provider) {
		int64_t all = json_get_int(provider, "max_in_flight", IN_FLIGHT);
		int64_t part = parallel > side_by_side ? all * side_by_side / parallel : all;
		json_put_int(provider, "max_in_flight", part > 0 ? part : 1);
	}
}

int node_gateway_start(struct node_gateway *g, int cache_fd, int data_fd, const char *file,
		       int64_t side_by_side, struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-gateway");
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	if ((*file == '/' ? path_read(AT_FDCWD, file, DOCUMENT_MAX, &text, err)
			  : path_read_beneath(data_fd, file, DOCUMENT_MAX, &text, err)) ||
	    json_parse(&j, text.data, text.len, file, err))
		return err_wrap(err, "the keys of this rollout");
	g->document = json_incref(json_object_get(j, "document"));
	share_out(g->document, side_by_side, json_get_int(j, "parallel", 1));
	g->dir = xasprintf("gateways/%d", (int)getpid());
	if (path_remove_tree(cache_fd, g->dir, err) || path_make_dirs(cache_fd, g->dir, 0700, err))
		return -1;
	g->dir_fd = path_open_beneath(cache_fd, g->dir, O_RDONLY | O_DIRECTORY, 0, err);
	if (g->dir_fd < 0)
		return -1;
	const struct gateway_spec spec = {.program = program,
					  .dir_fd = g->dir_fd,
					  .log_fd = STDERR_FILENO,
					  .document = g->document,
					  .note = on_note};
	return gateway_process_start(&g->process, &spec, err);
}

const char *node_gateway_secret(const struct node_gateway *g)
{
	return json_get_str(g->document, "secret", "");
}

void node_gateway_stop(struct node_gateway *g, int cache_fd)
{
	struct err err;

	gateway_process_stop(g->process);
	if (g->dir && path_remove_tree(cache_fd, g->dir, &err))
		log_warn("%s", err.msg);
	auto_fd(&g->dir_fd);
	json_decref(g->document);
	free(g->dir);
	*g = (struct node_gateway){.dir_fd = -1};
}

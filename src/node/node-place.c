/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/node-place.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "node/home.h"
#include "node/inputs.h"
#include "node/parcel.h"
#include "os/user.h"

enum {
	UID_BASE = 1800000000, /* of workers, where we are root */
	UID_SPAN = 100000000,
};

/* Where its agent's programs, its tools and its caches are here, and who it is here. */
static void place(struct attempt *a, const struct node_request *q, int root_fd,
		  const json_t *inputs)
{
	const json_t *lists[] = {json_object_get(a->agent_spec, "mounts"),
				 json_object_get(a->tools, "mounts"),
				 json_object_get(a->tools, "caches")};
	AUTO(free) char *root = path_of_fd(root_fd);
	size_t i, k;
	json_t *m, *input;

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		json_array_foreach (lists[l], i, m)
			json_array_foreach (inputs, k, input) {
				if (strcmp(json_get_str(input, "host", ""),
					   json_get_str(m, "host", "-")) != 0)
					continue;
				AUTO(free)
				char *here = path_join(root, json_get_str(input, "path", ""));
				json_put_str(m, "host", here);
				break;
			}
	a->around = q->around ? xstrdup(q->around) : NULL;
	if (q->alone && a->trial.sandbox == SANDBOX_LOCAL)
		a->trial.sandbox = SANDBOX_LAUNCHER;
	a->uid = 0;
	if (user_may_change()) {
		char hex[HASH_HEX];
		hash_once(a->trial.run_id, strlen(a->trial.run_id), hex);
		hex[8] = '\0';
		a->uid = UID_BASE + (uid_t)(strtoul(hex, NULL, 16) % UID_SPAN);
	}
}

/* What its agent came to in another sandbox; whatever else is there is nobody's word. */
static int have_agent(struct attempt *a, const struct node_request *q, int root_fd, int data_fd,
		      struct err *err)
{
	AUTO(free) char *dir = datadir_attempt(a->trial.run_id, a->number);
	AUTO(free) char *archive = path_join(dir, HOME_AGENT);
	AUTO(free) char *attempts = path_folder(dir);
	AUTO(free) char *to = path_join(attempts, ATTEMPT_OF_AGENT);

	if (source_get(&q->source, data_fd, archive, err) ||
	    path_make_dirs(root_fd, attempts, 0755, err))
		return -1;
	AUTO(fd) int in = path_open_beneath(data_fd, archive, O_RDONLY, 0, err);
	if (in < 0 || parcel_read(in, NULL, root_fd, to, err))
		return -1;
	AUTO(free) char *result = path_join(to, ATTEMPT_RESULT);
	a->agent_from = a->number;
	return path_remove_tree(root_fd, result, err);
}

int node_place(struct attempt *a, const struct node_request *q, int root_fd, int data_fd,
	       const json_t *inputs, struct err *err)
{
	const bool of_agent = inputs_of_agent(q->alone);

	place(a, q, root_fd, inputs);
	if (!q->alone || a->agent_from || a->preflight)
		return 0;
	a->agent_only = of_agent && a->trial.evaluate;
	return of_agent ? 0 : have_agent(a, q, root_fd, data_fd, err);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/node-keys.h"
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "core/datadir.h"
#include "rollout/leases.h"

int node_keys_write(char **path, const struct session *s, const struct session_work *w,
		    int parallel, struct err *err)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	bool needed = false;

	for (size_t i = 0; i < w->n && !needed; i++)
		needed = lease_is_needed(s, &s->plan.trials[w->items[i].index]);
	if (!w->document || !needed)
		return 0;
	json_put_int(j, "v", 1);
	json_put_int(j, "parallel", parallel);
	json_t *document = json_deep_copy(w->document);
	/* The command for a key is one of this machine. */
	const char *name;
	json_t *provider;
	json_object_foreach (json_object_get(document, "providers"), name, provider)
		json_object_del(provider, "key_command");
	/* Of the budget, each trial has a lease instead. */
	json_object_del(document, "budget");
	json_put(j, "document", document);
	json_format(&text, j, false);
	if (path_write(s->dir_fd, ROLLOUT_NODE_KEYS, text.data, text.len, 0600, false, err))
		return -1;
	*path = path_join(s->ref.path, ROLLOUT_NODE_KEYS);
	return 0;
}

int node_door_write(char **path, const struct session *s, const struct session_work *w,
		    const struct sched_options *o, struct err *err)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	bool needed = false;

	for (size_t i = 0; i < w->n && !needed; i++)
		needed = strv_has(&s->asks_here, s->plan.trials[w->items[i].index].launcher);
	if (!w->document || !needed)
		return 0;
	json_put_int(j, "v", 1);
	json_put_str(j, "secret", s->secret);
	json_put_str(j, "gateway", o->gateway);
	json_put_str(j, "control", o->control);
	json_format(&text, j, false);
	if (path_write(s->dir_fd, ROLLOUT_NODE_DOOR, text.data, text.len, 0600, false, err))
		return -1;
	*path = path_join(s->ref.path, ROLLOUT_NODE_DOOR);
	return 0;
}

void node_keys_remove(const struct session *s)
{
	unlinkat(s->dir_fd, ROLLOUT_NODE_KEYS, 0);
	unlinkat(s->dir_fd, ROLLOUT_NODE_DOOR, 0);
}

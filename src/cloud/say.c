/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cloud/batch.h"
#include "core/driver.h"

void say_submitted(const struct array *a, const struct task *t, const struct trial_ref *r)
{
	AUTO(free) char *child = array_child(a, t);
	AUTO(free) char *name = xasprintf("%s@%s", child, a->name);
	json_t *m = json_object();

	json_put_str(m, "event", "submitted");
	json_put_str(m, "token", r->token);
	json_put_str(m, "job", name);
	driver_say(m);
}

void say_ended(struct batch *b, struct trial_ref *r, const char *how, bool has_result)
{
	json_t *m = json_object();

	r->ended = true;
	if (!r->attached)
		return json_decref(m);
	json_put_str(m, "event", "ended");
	json_put_str(m, "token", r->token);
	json_put_str(m, "how", how);
	if (r->stopped) {
		json_put_bool(m, "stopped", true);
		json_put_bool(m, "committed", r->committed);
	}
	if (has_result)
		json_put_bool(m, "result", true);
	driver_say(m);
}

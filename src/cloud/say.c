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

	driver_say_submitted(r->token, name);
}

void say_ended(struct trial_ref *r, const char *how, bool has_result)
{
	r->ended = true;
	if (!r->attached)
		return;
	json_t *m = driver_ended(r->token, how, r->stopped, r->committed);
	if (has_result)
		json_put_bool(m, "result", true);
	driver_say(m);
}

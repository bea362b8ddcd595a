/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/launchers.h"
#include <string.h>
#include "base/json.h"
#include "core/launcher.h"
#include "launch/launch.h"

static bool lacks(const struct budget *b, double usd, int64_t tokens)
{
	return (b->usd > 0 && !(usd > 0)) || (b->tokens && !tokens);
}

/* Why T cannot run elsewhere, or NULL. ASKS_HERE: its calls pass the gateway of this machine. */
static const char *stays(const struct planfile *p, const struct trial *t, bool asks_here)
{
	if (!asks_here && *t->provider && lacks(&p->budget, t->limits.usd, t->limits.tokens))
		return "of a [budget] each trial elsewhere has a lease: say cost_limit_usd, or "
		       "token_limit, whichever the budget is in";
	if (!asks_here && p->judge.provider && t->evaluate &&
	    lacks(&p->budget, p->judge.usd, p->judge.tokens))
		return "of a [budget] each trial elsewhere has a lease: say cost_limit_usd, or "
		       "token_limit, in [judge] too";
	return p->gateway ? "--gateway is a socket of this machine" : NULL;
}

static bool is_first(const struct planfile *p, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(p->trials[k].launcher, p->trials[i].launcher))
			return false;
	return true;
}

int launchers_check(int root_fd, const struct planfile *p, struct strv *asks_here, struct err *err)
{
	for (size_t i = 0; i < p->n; i++) {
		const char *name = p->trials[i].launcher;
		bool here;
		if (!strcmp(name, LAUNCHER_LOCAL) ||
		    (i && !strcmp(name, p->trials[i - 1].launcher)) || !is_first(p, i))
			continue;
		if (launch_check(root_fd, name, json_object_get(p->launchers, name), &here, err))
			return -1;
		if (here)
			strv_push(asks_here, name);
	}
	for (size_t i = 0; i < p->n; i++) {
		const struct trial *t = &p->trials[i];
		const char *why = strcmp(t->launcher, LAUNCHER_LOCAL)
					  ? stays(p, t, strv_has(asks_here, t->launcher))
					  : NULL;
		if (why)
			return err_set(err, ERR_USAGE, 0,
				       "task %s cannot run with launcher = \"%s\": %s", t->task_id,
				       t->launcher, why);
	}
	return 0;
}

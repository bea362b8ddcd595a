/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doctor/check.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"
#include "os/probe.h"
#include "os/user.h"

#define PROBE_SECONDS 20

void checks_release(struct checks *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->list[i].name);
		free(c->list[i].detail);
		free(c->list[i].remedy);
	}
	free(c->list);
	*c = (struct checks){.scratch = -1};
}

bool checks_passed(const struct checks *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].state == CHECK_FAILED)
			return false;
	return true;
}

void check_add(struct checks *c, enum check_state state, const char *name, const char *remedy,
	       const char *detail, ...)
{
	bool told = state != CHECK_OK && remedy;
	va_list ap;

	va_start(ap, detail);
	char *text = xvasprintf(detail, ap);
	va_end(ap);
	GROW(c->list, c->n, c->cap);
	c->list[c->n++] = (struct check){.state = state,
					 .name = xstrdup(name),
					 .detail = text,
					 .remedy = told ? xstrdup(remedy) : NULL};
}

void check_add_error(struct checks *c, enum check_state state, const char *name,
		     const struct err *err, const char *remedy)
{
	const char *own = strstr(err->msg, "; ");
	size_t cause = own ? (size_t)(own - err->msg) : strlen(err->msg);

	check_add(c, state, name, own ? own + 2 : remedy, "%.*s", (int)cause, err->msg);
}

struct probing {
	probe_fn *before, *probe;
	void *arg;
	int scratch;
};

static int probe_here(void *arg, struct err *err)
{
	const struct probing *p = arg;

	if (fchdir(p->scratch))
		return err_set(err, ERR_INFRA, errno, "enter the scratch folder");
	if (p->before && p->before(p->arg, err))
		return -1;
	if (user_may_change() && user_become(USER_NOBODY, err))
		return -1;
	return p->probe(p->arg, err);
}

int check_in_child(const struct checks *c, probe_fn *before, probe_fn *probe, void *arg,
		   struct err *err)
{
	struct probing p = {before, probe, arg, c->scratch};

	return probe_run(probe_here, &p, PROBE_SECONDS, err);
}

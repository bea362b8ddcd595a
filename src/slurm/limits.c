/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "slurm/slurm.h"

enum { ARRAY_MAX = 1000 };

/* A number of a field; 0: there is no limit. */
static int64_t field(const char *text, int n)
{
	for (; n && text; n--)
		text = strchr(text, '|') ? strchr(text, '|') + 1 : NULL;
	return text ? strtoll(text, NULL, 10) : 0;
}

static void lower(int64_t *limit, int64_t to)
{
	if (to > 0 && (!*limit || to < *limit))
		*limit = to;
}

/* Of the QOS that jobs have. */
static void read_qos(struct slurm *s, const char *name)
{
	AUTO(free) char *where = xasprintf("name=%s", name);
	const char *argv[] = {"sacctmgr", "-n",	   "-P",  "show",
			      "qos",	  "where", where, "format=maxsubmitpu,maxsubmitpa",
			      NULL};
	struct answer a;
	struct err ignored;

	if (!slurm_ask(&a, argv, &ignored) && !a.status) {
		lower(&s->submit_max, field(a.out.data, 0));
		lower(&s->submit_max, field(a.out.data, 1));
	}
	answer_release(&a);
}

/* Where there is accounting: of this user in the account, which is the first one where none is set. */
static void read_accounting(struct slurm *s)
{
	const struct passwd *me = getpwuid(geteuid());
	AUTO(free) char *user = xasprintf("user=%s", me ? me->pw_name : "");
	const char *argv[] = {"sacctmgr", "-n",	   "-P", "show",
			      "assoc",	  "where", user, "format=account,defaultqos,maxsubmitjobs",
			      NULL};
	AUTO(free) char *qos = xstrdup(s->settings.qos ? s->settings.qos : "normal");
	struct answer a;
	struct err ignored;

	bool ok = me && !slurm_ask(&a, argv, &ignored) && !a.status;
	for (char *line = ok ? a.out.data : NULL, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		const size_t n = strcspn(line, "|");
		const char *account = s->settings.account;
		if (account && (strlen(account) != n || strncmp(account, line, n) != 0))
			continue;
		const char *own = strchr(line, '|') ? strchr(line, '|') + 1 : "";
		if (!s->settings.qos && *own && *own != '|') {
			free(qos);
			qos = xstrndup(own, strcspn(own, "|"));
		}
		lower(&s->submit_max, field(line, 2));
		break;
	}
	if (me)
		answer_release(&a);
	if (ok)
		read_qos(s, qos);
}

bool limits_read(struct slurm *s, struct buf *why)
{
	const char *argv[] = {"scontrol", "show", "config", NULL};
	struct answer a;
	struct err err;
	const char *line;

	s->array_max = ARRAY_MAX;
	if (slurm_ask(&a, argv, &err)) {
		buf_addf(why,
			 "no scontrol is to be had (%s): Slurm's programs have to be on PATH of "
			 "this machine",
			 err.msg);
	} else if (a.status) {
		buf_addf(why, "Slurm does not answer: %s", answer_words(&a));
	} else if ((line = strstr(a.out.data, "MaxArraySize"))) {
		const char *equals = strchr(line, '=');
		int64_t size = equals ? strtoll(equals + 1, NULL, 10) : 0;
		/* Indices are below it. */
		if (size > 1)
			s->array_max = size - 1;
	}
	answer_release(&a);
	if (!why->len)
		read_accounting(s);
	return !why->len;
}

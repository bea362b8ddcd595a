/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/cmd.h"
#include "store/owner.h"
#include <stdio.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

static const int status_of[] = {
	[ERR_NONE] = CMD_OK,
	[ERR_USAGE] = CMD_USAGE,
	[ERR_INFRA] = CMD_ENVIRONMENT,
	[ERR_LIMIT] = CMD_ENVIRONMENT,
	[ERR_CANCELLED] = CMD_INTERRUPTED,
};

static void say(const char *prefix, const char *line)
{
	AUTO(buf) struct buf safe = BUF_INIT;
	text_renders(&safe, line, TEXT_TERMINAL_LINE);
	fprintf(stderr, "%s%s\n", prefix, safe.data);
}

void cmd_warn(const char *text)
{
	say("rollouts: ", text);
}

void cmd_warn_strangers(const struct rollout *r)
{
	struct err err;

	if (r->strangers &&
	    owner_refuse(r->ref.name, r->ref.stamp, r->strangers, r->stranger, &err))
		cmd_warn(err.msg);
}

int cmd_fail(const struct err *err)
{
	cmd_warn(err->msg);
	return status_of[err->kind];
}

int cmd_refuse(const struct strv *problems, const struct err *err)
{
	if (!problems->n)
		return cmd_fail(err);
	for (size_t i = 0; i < problems->n; i++)
		say("", problems->v[i]);
	return status_of[err->kind];
}

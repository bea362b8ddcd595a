/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/agents-new.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/install.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "config/agents.h"

#define FOLDER "agents"

enum { TEMPLATE_MAX = 1 << 16 };

/* A file's name, and a word in a command line. */
static bool is_name(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	return *name && *name != '-' && strlen(name) < 60 && !name[strspn(name, allowed)] &&
	       strcmp(name, "auto") != 0 && strcmp(name, "bash") != 0 && !agent_is_builtin(name);
}

/* The one that every sandbox has, rather than one that a version manager puts first on PATH. */
static const char *python(void)
{
	return access("/usr/bin/python3", X_OK) ? "python3" : "/usr/bin/python3";
}

/* TEXT with WORD as WITH; the caller frees. */
static char *filled(const char *text, const char *word, const char *with)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const char *hit;

	for (; (hit = strstr(text, word)); text = hit + strlen(word)) {
		buf_add(&out, text, (size_t)(hit - text));
		buf_adds(&out, with);
	}
	buf_adds(&out, text);
	return buf_detach(&out);
}

/* FOLDER/NAME.END from the template KIND.END, unless there is none. */
static int write_one(const char *name, const char *kind, const char *end, struct err *err)
{
	AUTO(free) char *template = xasprintf("init/agent/%s.%s.in", kind, end);
	AUTO(free) char *from = install_share(template);
	AUTO(free) char *to = xasprintf(FOLDER "/%s.%s", name, end);
	AUTO(buf) struct buf text = BUF_INIT;

	if (!path_exists(AT_FDCWD, from))
		return 0;
	if (path_exists(AT_FDCWD, to))
		return err_set(err, ERR_USAGE, 0, "%s is there already; choose another name", to);
	if (path_read(AT_FDCWD, from, TEMPLATE_MAX, &text, err))
		return -1;
	AUTO(free) char *named = filled(text.data, "NAME", name);
	AUTO(free) char *mine = filled(named, "PYTHON", python());
	if (path_write(AT_FDCWD, to, mine, strlen(mine), 0644, false, err))
		return -1;
	printf("Wrote %s\n", to);
	return 0;
}

int agents_new(const char *name, const char *kind)
{
	static const char *const ends[] = {"toml", "py", "sh"};
	struct err err;

	if (!is_name(name)) {
		err_set(&err, ERR_USAGE, 0,
			"agents new %s: a name has letters, digits, - and _, and is none of those "
			"that are built in",
			name);
		return cmd_fail(&err);
	}
	if (mkdir(FOLDER, 0777) && errno != EEXIST) {
		err_set(&err, ERR_USAGE, errno, "make the folder " FOLDER);
		return cmd_fail(&err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (write_one(name, kind, ends[i], &err))
			return cmd_fail(&err);
	printf("Next: rollouts agents check %s\n", name);
	return CMD_OK;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollouts-docker -- everything that speaks to a container engine, in a program of its own: libcurl would cost every
 * other start of ours more than the start itself. Started by `rollouts` and by workers, not by hand.
 */
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "engine/box.h"
#include "engine/carry.h"
#include "engine/container.h"
#include "engine/find.h"
#include "engine/images.h"
#include "engine/unpack.h"

#define TOLD_ONE_BY_ONE 12 /* images: of more, only what is new is told */

static int complain(const struct err *err)
{
	printf("%s\n", err->msg);
	return err->kind == ERR_USAGE ? 2 : 3;
}

/* The socket of an engine that can serve, and what it is, a line each. */
static int cmd_find(int argc, char **argv)
{
	AUTO(engine) struct engine *e = NULL;
	struct err err = {0};

	if (engine_find(&e, &err) || engine_check(e, &err))
		return complain(&err);
	printf("%s\n%s\n", engine_socket(e), engine_about(e));
	return 0;
}

/* prune DATA_HASH [--dry-run]: the names of the containers that were removed, a line each. "-": of any data root. */
static int cmd_prune(int argc, char **argv)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(strv) struct strv removed = STRV_INIT;
	const bool dry_run = argc > 1 && !strcmp(argv[1], "--dry-run");
	struct err err = {0};

	if (engine_find(&e, &err) ||
	    container_prune(e, strcmp(argv[0], "-") ? argv[0] : NULL, dry_run, &removed, &err))
		return complain(&err);
	for (size_t i = 0; i < removed.n; i++)
		printf("%s\n", removed.v[i]);
	return 0;
}

/* images [--fresh] [--pull] [--rebuild] [--emulate] [--timeout=SECONDS] ITEM... (images.h): in the data root, which is the working directory. */
static int cmd_images(int argc, char **argv)
{
	struct image_wish w = {.timeout_ms = 60 * 60 * 1000};

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	const struct {
		const char *name;
		bool *to;
	} flags[] = {{"--fresh", &w.fresh},
		     {"--pull", &w.pull},
		     {"--rebuild", &w.rebuild},
		     {"--emulate", &w.emulate}};
	struct err err = {0};

	for (; argc && argv[0][0] == '-'; argc--, argv++) {
		if (!strncmp(argv[0], "--timeout=", 10))
			w.timeout_ms = strtoll(argv[0] + 10, NULL, 10) * 1000;
		for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
			if (!strcmp(argv[0], flags[i].name))
				*flags[i].to = true;
	}
	w.quiet = argc > TOLD_ONE_BY_ONE;
	return images_make(argv, (size_t)argc, &w, &err) ? complain(&err) : 0;
}

/* orphans [--dry-run] [KEY...]: images of data folders that are gone, a line each. */
static int cmd_orphans(int argc, char **argv)
{
	const bool dry_run = argc && !strcmp(argv[0], "--dry-run");
	AUTO(strv) struct strv removed = STRV_INIT;
	struct err err = {0};

	if (images_prune(argv + dry_run, (size_t)(argc - dry_run), dry_run, &removed, &err))
		return complain(&err);
	for (size_t i = 0; i < removed.n; i++)
		printf("%s\n", removed.v[i]);
	return 0;
}

static int cmd_forget(int argc, char **argv)
{
	struct err err = {0};

	return images_forget(argv, (size_t)argc, &err) ? complain(&err) : 0;
}

/* save SOCKET ID: to standard output. */
static int cmd_save(int argc, char **argv)
{
	struct err err = {0};

	if (!carry_save(argv[0], argv[1], STDOUT_FILENO, &err))
		return 0;
	fprintf(stderr, "%s\n", err.msg);
	return 3;
}

/* look ID: the engine's socket, a line; 4: it lacks that image. */
static int cmd_look(int argc, char **argv)
{
	AUTO(free) char *socket = NULL;
	struct err err = {0};
	int has = carry_look(argv[0], &socket, &err);

	if (has < 0)
		return complain(&err);
	printf("%s\n", socket);
	return has ? 0 : 4;
}

/* load ID: standard input is a file that `save` wrote. */
static int cmd_load(int argc, char **argv)
{
	struct err err = {0};

	return carry_load(argv[0], STDIN_FILENO, &err) ? complain(&err) : 0;
}

/* unpack IMAGE FILE: its files, a tar archive, to FILE, which is not there yet. */
static int cmd_unpack(int argc, char **argv)
{
	struct err err = {0};

	return unpack_image(argv[0], argv[1], &err) ? complain(&err) : 0;
}

static int cmd_box(int argc, char **argv)
{
	return box_serve(STDIN_FILENO);
}

static const struct {
	const char *name;
	int least;
	int (*run)(int argc, char **argv);
} modes[] = {
	{"box", 0, cmd_box},	     {"find", 0, cmd_find},   {"forget", 1, cmd_forget},
	{"images", 1, cmd_images},   {"load", 1, cmd_load},   {"look", 1, cmd_look},
	{"orphans", 0, cmd_orphans}, {"prune", 1, cmd_prune}, {"save", 2, cmd_save},
	{"unpack", 2, cmd_unpack},
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("rollouts-docker " ROLLOUTS_VERSION);
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(modes); i++)
		if (!strcmp(modes[i].name, argv[1]) && argc - 2 >= modes[i].least)
			return modes[i].run(argc - 2, argv + 2);
	fputs("usage: rollouts-docker box|find|forget|images|load|look|orphans|prune|save|unpack   "
	      "(started by "
	      "`rollouts`, not "
	      "by hand)\n",
	      stderr);
	return 2;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "node/far.h"
#include "node/home.h"
#include "node/node.h"
#include "node/porter.h"

enum { LIST_MAX = 64 << 20, SIDE_BY_SIDE_MAX = 1024 };

static const char usage[] =
	"usage: rollouts-node run --data DIR --cache DIR --out DIR [options] [ATTEMPT_DIR...]\n"
	"  --list FILE    the attempts are those of the list in FILE, JSON, that --index names\n"
	"  --index N      from 0\n"
	"  --events FILE  write event lines to FILE.0, FILE.1 at the next execution, and so on\n"
	"  --cache-mb N   keep the cache at N MB\n"
	"  --side-by-side N\n"
	"  --store PROGRAM  what is missing below DIR is had by `PROGRAM get PATH FILE`, archives "
	"go by\n"
	"                   `PROGRAM put NAME FILE`\n"
	"  --keys FILE      of the gateway here, instead of the one that the trial names\n"
	"       rollouts-node far --job DIR --cache DIR [--cache-mb N] [--side-by-side N] "
	"ATTEMPT_DIR...\n"
	"       rollouts-node home --data DIR --out DIR --events FILE ATTEMPT_DIR... [-- "
	"COMMAND...]\n"
	"Started by a launcher's program (docs/launchers.md), not by hand.\n";

static int read_list(struct node_request *q, const char *file, size_t index)
{
	AUTO(json) json_t *j = NULL;
	struct err err;
	size_t i;
	json_t *dir;

	if (json_read(&j, AT_FDCWD, file, LIST_MAX, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	json_array_foreach (json_array_get(j, index), i, dir)
		strv_push(&q->dirs, json_string_value(dir));
	return 0;
}

static int wrong(void)
{
	fputs(usage, stderr);
	return 2;
}

static void push_rest(struct strv *out, int argc, char **argv)
{
	for (int i = optind; i < argc; i++)
		strv_push(out, argv[i]);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"data", 1, NULL, 'd'},	    {"cache", 1, NULL, 'c'},
		{"out", 1, NULL, 'o'},	    {"events", 1, NULL, 'e'},
		{"list", 1, NULL, 'l'},	    {"index", 1, NULL, 'i'},
		{"cache-mb", 1, NULL, 'm'}, {"side-by-side", 1, NULL, 's'},
		{"store", 1, NULL, 't'},    {"keys", 1, NULL, 'k'},
		{"ask", 1, NULL, 'a'},	    {"sockets", 1, NULL, 'g'},
		{"around", 1, NULL, 'r'},   {"alone", 1, NULL, 'n'},
		{NULL, 0, NULL, 0}};
	struct node_request q = {.side_by_side = 1, .dirs = STRV_INIT};
	const char *list = NULL;
	size_t index = 0;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		const char **texts[] = {
			['d'] = &q.data,   ['c'] = &q.cache,	  ['o'] = &q.out,
			['e'] = &q.events, ['l'] = &list,	  ['t'] = &q.source.store,
			['k'] = &q.keys,   ['a'] = &q.source.ask, ['g'] = &q.sockets,
			['r'] = &q.around, ['n'] = &q.alone};
		if (o == 'i')
			index = strtoul(optarg, NULL, 10);
		else if (o == 'm')
			q.cache_mb = strtoll(optarg, NULL, 10);
		else if (o == 's')
			q.side_by_side = strtoll(optarg, NULL, 10);
		else if (o != '?')
			*texts[o] = optarg;
		else
			return 2;
	}
	push_rest(&q.dirs, argc, argv);
	if (!q.data || !q.cache || !q.out || q.side_by_side < 1 ||
	    q.side_by_side > SIDE_BY_SIDE_MAX)
		return wrong();
	int status = list && read_list(&q, list, index) ? 1 : node_run(&q);
	strv_release(&q.dirs);
	return status;
}

static int far(int argc, char **argv)
{
	static const struct option options[] = {
		{"job", 1, NULL, 'j'},	    {"cache", 1, NULL, 'c'},
		{"cache-mb", 1, NULL, 'm'}, {"side-by-side", 1, NULL, 's'},
		{"around", 1, NULL, 'r'},   {"alone", 1, NULL, 'n'},
		{NULL, 0, NULL, 0}};
	struct far_request q = {.side_by_side = 1, .dirs = STRV_INIT};

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'j')
			q.dir = optarg;
		else if (o == 'c')
			q.cache = optarg;
		else if (o == 'm')
			q.cache_mb = strtoll(optarg, NULL, 10);
		else if (o == 's')
			q.side_by_side = strtoll(optarg, NULL, 10);
		else if (o == 'r')
			q.around = optarg;
		else if (o == 'n')
			q.alone = optarg;
		else
			return 2;
	}
	push_rest(&q.dirs, argc, argv);
	if (!q.dir || !q.cache || !q.dirs.n || q.side_by_side < 1 ||
	    q.side_by_side > SIDE_BY_SIDE_MAX)
		return wrong();
	int status = far_run(&q);
	strv_release(&q.dirs);
	return status;
}

static int home(int argc, char **argv)
{
	static const struct option options[] = {{"data", 1, NULL, 'd'},	  {"out", 1, NULL, 'o'},
						{"events", 1, NULL, 'e'}, {"alone", 1, NULL, 'n'},
						{"agent", 1, NULL, 'a'},  {NULL, 0, NULL, 0}};
	struct home_request q = {.dirs = STRV_INIT};
	int end = argc;

	for (int i = 1; i < argc && end == argc; i++)
		if (!strcmp(argv[i], "--"))
			end = i;
	q.command = end + 1 < argc ? (const char *const *)argv + end + 1 : NULL;
	for (int o; (o = getopt_long(end, argv, "", options, NULL)) != -1;) {
		if (o == '?')
			return HOME_USAGE;
		*(o == 'd'   ? &q.data
		  : o == 'o' ? &q.out
		  : o == 'n' ? &q.alone
		  : o == 'a' ? &q.agent
			     : &q.events) = optarg;
	}
	push_rest(&q.dirs, end, argv);
	if (!q.data || !q.out || !q.events || !q.dirs.n)
		return wrong();
	enum home_status status = home_run(&q);
	strv_release(&q.dirs);
	return (int)status;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int argc, char **argv);
	} verbs[] = {{"run", run}, {"far", far}, {"home", home}};

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("rollouts-node " ROLLOUTS_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "porter"))
		return porter_serve();
	for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].fn(argc - 1, argv + 1);
	return wrong();
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
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

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"data", 1, NULL, 'd'},	    {"cache", 1, NULL, 'c'},	    {"out", 1, NULL, 'o'},
		{"events", 1, NULL, 'e'},   {"list", 1, NULL, 'l'},	    {"index", 1, NULL, 'i'},
		{"cache-mb", 1, NULL, 'm'}, {"side-by-side", 1, NULL, 's'}, {NULL, 0, NULL, 0}};
	struct node_request q = {.side_by_side = 1, .dirs = STRV_INIT};
	const char *list = NULL;
	size_t index = 0;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		const char **texts[] = {['d'] = &q.data,
					['c'] = &q.cache,
					['o'] = &q.out,
					['e'] = &q.events,
					['l'] = &list};
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
	for (int i = optind; i < argc; i++)
		strv_push(&q.dirs, argv[i]);
	if (!q.data || !q.cache || !q.out || q.side_by_side < 1 ||
	    q.side_by_side > SIDE_BY_SIDE_MAX) {
		fputs(usage, stderr);
		return 2;
	}
	int status = list && read_list(&q, list, index) ? 1 : node_run(&q);
	strv_release(&q.dirs);
	return status;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("rollouts-node " ROLLOUTS_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "porter"))
		return porter_serve();
	if (argc >= 2 && !strcmp(argv[1], "run"))
		return run(argc - 1, argv + 1);
	fputs(usage, stderr);
	return 2;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/bucket.h"
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "os/spawn.h"

enum { ANSWER_MAX = 64 << 20 };

static bool is_bucket(const char *word)
{
	return !strncmp(word, "s3://", 5);
}

static const char *const reading[] = {"summarize", "compare", "list",  "show",
				      "report",	   "export",  "power", NULL};
static const char *const writing[] = {"resume", "eval",	   "shell", "merge", "pack",
				      "tag",	"exclude", "clean", NULL};

static bool is_any(const char *const *words, const char *word)
{
	while (*words && strcmp(*words, word) != 0)
		words++;
	return *words;
}

static const char *first_bucket(int argc, char **argv)
{
	for (int k = 1; k < argc; k++)
		if (is_bucket(argv[k]))
			return argv[k];
	return NULL;
}

bool bucket_is_meant(const char *word, int argc, char **argv)
{
	return (is_any(reading, word) || is_any(writing, word)) && first_bucket(argc, argv);
}

/* What rollouts-cloud answers: {"data", "name", "stamp", "names"}. */
static int ask(json_t **out, const char *const *argv, struct err *err)
{
	const struct spawn s = {
		.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = STDERR_FILENO};
	AUTO(buf) struct buf text = BUF_INIT, words = BUF_INIT;
	int status;

	if (spawn_run(&s, NULL, 0, ANSWER_MAX, 0, &text, &words, &status, err))
		return -1;
	if (status) {
		const char *said =
			strncmp(words.data, "rollouts: ", 10) ? words.data : words.data + 10;
		words.data[words.len - (words.len && words.data[words.len - 1] == '\n')] = '\0';
		return err_set(err,
			       WIFEXITED(status) && WEXITSTATUS(status) == CMD_USAGE ? ERR_USAGE
										     : ERR_INFRA,
			       0, "%s", *said ? said : "rollouts-cloud ended without a word");
	}
	*out = json_loadb(text.data, text.len, 0, NULL);
	return *out ? 0 : err_set(err, ERR_INFRA, 0, "rollouts-cloud gave no answer");
}

static char *cache_folder(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	return cache && *cache ? path_join(cache, "rollouts/buckets")
			       : xasprintf("%s/.cache/rollouts/buckets", home ? home : "");
}

/* 20250824__12-34-56-0 */
static bool is_run_id(const char *word)
{
	return strlen(word) > 19 && strspn(word, "0123456789") == 8 && word[8] == '_';
}

static int bring(json_t **out, const char *url, const char *run, struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-cloud");
	AUTO(free) char *folder = cache_folder();
	const char *argv[] = {program, "read", url, folder, run, NULL};

	return ask(out, argv, err);
}

/* The operand as a verb takes rollouts of this machine. */
static int add_rollout(struct strv *out, const char *url, bool whole, struct err *err)
{
	AUTO(free) char *place = xstrdup(url);
	AUTO(json) json_t *j = NULL;
	char *at = strrchr(place, '@');

	if (at && !strchr(at, '/'))
		*at++ = '\0';
	else
		at = NULL;
	if (bring(&j, place, whole ? "all" : NULL, err))
		return -1;
	const json_t *names = json_object_get(j, "names");
	const char *name = json_get_str(j, "name", NULL), *stamp = json_get_str(j, "stamp", at);
	if (!name && json_array_size(names) != 1) {
		AUTO(buf) struct buf list = BUF_INIT;
		size_t i;
		json_t *one;
		json_array_foreach (names, i, one)
			buf_addf(&list, "%s%s", i ? ", " : "", json_string_value(one));
		return err_set(err, ERR_USAGE, 0,
			       "%s: rollouts of several benchmarks are there (%s): %s/NAME", place,
			       list.data, place);
	}
	if (!name)
		name = json_string_value(json_array_get(names, 0));
	strv_pushf(out, "%s/rollouts/%s%s%s", json_get_str(j, "data", ""), name, stamp ? "/" : "",
		   stamp ? stamp : "");
	return 0;
}

/* A place is the data folder: "list s3://B/P", "show s3://B/P RUN_ID", "show s3://B/P/RUN_ID". */
static int add_folder(struct strv *out, const char *url, const char *run, bool is_list,
		      struct err *err)
{
	AUTO(free) char *place = xstrdup(url);
	AUTO(json) json_t *j = NULL;
	char *slash = strrchr(place, '/');
	bool inside = slash && is_run_id(slash + 1);

	if (inside) {
		*slash = '\0';
		run = slash + 1;
	}
	if (!is_list && !run)
		return err_set(err, ERR_USAGE, 0, "%s: which run? rollouts show %s RUN_ID", url,
			       url);
	if (bring(&j, place, is_list ? NULL : run, err))
		return -1;
	strv_pushf(out, "--data-dir=%s", json_get_str(j, "data", ""));
	if (is_list && json_get_str(j, "name", NULL))
		strv_push(out, json_get_str(j, "name", ""));
	if (inside)
		strv_push(out, run);
	return 0;
}

int bucket_bring(struct strv *out, int argc, char **argv, struct err *err)
{
	const bool is_list = !strcmp(argv[0], "list"), is_show = !strcmp(argv[0], "show");

	/* What agents did and said is in the archives. */
	const bool whole = !strcmp(argv[0], "report") || !strcmp(argv[0], "export");

	if (is_any(writing, argv[0])) {
		const char *place = first_bucket(argc, argv);
		return err_set(err, ERR_USAGE, 0,
			       "%s: %s works on a data folder of this machine; `rollouts pull %s` "
			       "brings it here",
			       place, argv[0], place);
	}
	strv_push(out, argv[0]);
	for (int i = 1; i < argc; i++) {
		const char *run = NULL;
		for (int k = i + 1; k < argc && !run; k++)
			run = is_run_id(argv[k]) ? argv[k] : NULL;
		if (!is_bucket(argv[i]))
			strv_push(out, argv[i]);
		else if (is_list || is_show ? add_folder(out, argv[i], run, is_list, err)
					    : add_rollout(out, argv[i], whole, err))
			return -1;
	}
	return 0;
}

int cmd_pull(int argc, char **argv)
{
	const char *data = "data";
	const struct option options[] = {OPTION_DATA_DIR(&data), OPTION_END};
	const struct usage usage = {
		.verb = "pull",
		.operands = "s3://BUCKET/PREFIX",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "bring rollouts of a bucket, with all files of their runs, into a data "
			   "folder",
		.text = "Rollouts that are in the data folder already, because they were run "
			"there, "
			"are left as\nthey are. Once more, it brings what is new.",
		.examples = "rollouts pull s3://bench/team\n"
			    "rollouts pull s3://bench/team/hello --data-dir from-cloud\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	AUTO(free) char *program = install_libexec("rollouts-cloud");
	AUTO(json) json_t *j = NULL;
	struct err err;
	size_t i;
	json_t *one;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	const char *words[] = {program, "pull", operands.v[0], data, NULL};
	if (ask(&j, words, &err))
		return cmd_fail(&err);
	json_array_foreach (json_object_get(j, "rollouts"), i, one)
		printf("%s/rollouts/%s\n", data, json_string_value(one));
	json_array_foreach (json_object_get(j, "left"), i, one)
		fprintf(stderr, "rollouts: %s/rollouts/%s is of this machine, and left as it is\n",
			data, json_string_value(one));
	return CMD_OK;
}

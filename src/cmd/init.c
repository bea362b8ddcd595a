/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "rollout/tools.h"

#define TEMPLATE_MAX_BYTES (1u << 20)

static const struct language {
	const char *name;
	const char *tools[3]; /* what its tests start */
} languages[] = {
	{"go", {"go"}},	    {"rust", {"cargo", "rustc"}}, {"java", {"javac", "java"}},
	{"node", {"node"}}, {"python", {"python3"}},	  {"c++", {"g++"}},
};

/* mkdir -p of the folder PATH lies in. The user's own path: links are followed. */
static int make_parents(const char *path, struct err *err)
{
	AUTO(free) char *part = xstrdup(path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0777) < 0 && errno != EEXIST)
			return err_set(err, ERR_USAGE, errno, "make %s", part);
		*slash = '/';
	}
	return 0;
}

static int refuse_existing(const char *path, struct err *err)
{
	if (path_exists(AT_FDCWD, path))
		return err_set(err, ERR_USAGE, 0, "%s is there already; choose another name", path);
	return make_parents(path, err);
}

static int write_bench(const char *path, struct err *err)
{
	AUTO(free) char *from = install_share("init/bench.toml");
	AUTO(buf) struct buf text = BUF_INIT;
	if (refuse_existing(path, err) < 0)
		return -1;
	if (path_read(AT_FDCWD, from, TEMPLATE_MAX_BYTES, &text, err) < 0)
		return -1;
	return path_write(AT_FDCWD, path, text.data, text.len, 0644, false, err);
}

/* The task is called what its folder is called. */
static int name_task(const char *dir, struct err *err)
{
	AUTO(free) char *path = path_join(dir, "tb_meta.json");
	AUTO(json) json_t *meta = NULL;
	if (json_read(&meta, AT_FDCWD, path, TEMPLATE_MAX_BYTES, err) < 0)
		return -1;
	json_put_str(meta, "task_id", path_base(dir));
	return json_write(AT_FDCWD, path, meta, false, err);
}

/* By the folder's name as well. */
static int write_harbor_task(const char *dir, struct err *err)
{
	AUTO(free) char *from = install_share("init/harbor");

	return refuse_existing(dir, err) < 0 ||
			       path_copy_tree(AT_FDCWD, from, AT_FDCWD, dir, err) < 0
		       ? -1
		       : 0;
}

/* LANGUAGE NULL: the one that needs a shell only. */
static int write_task(const char *dir, const char *language, struct err *err)
{
	AUTO(free) char *name =
		language ? xasprintf("init/languages/%s", language) : xstrdup("init/task");
	AUTO(free) char *from = install_share(name);
	if (refuse_existing(dir, err) < 0 || path_copy_tree(AT_FDCWD, from, AT_FDCWD, dir, err) < 0)
		return -1;
	return name_task(dir, err);
}

static char *without_slashes(const char *path)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	return xstrndup(path, n);
}

static void print_next(const char *path)
{
	AUTO(buf) struct buf word = BUF_INIT;
	text_shell(&word, path);
	printf("Next: rollouts validate %s\n", word.data);
}

/* What sandboxes do not have by themselves, of this user's programs. */
static void print_tools(const struct language *l)
{
	AUTO(buf) struct buf list = BUF_INIT;
	for (size_t i = 0; i < ARRAY_SIZE(l->tools) && l->tools[i]; i++) {
		AUTO(free) char *inside = tools_in_sandbox(l->tools[i]);
		if (!inside)
			buf_addf(&list, "%s\"%s\"", list.len ? ", " : "", l->tools[i]);
	}
	if (list.len)
		printf("In the benchmark: tools = [%s]\n", list.data);
}

static const struct language *find_language(const char *name, struct err *err)
{
	AUTO(buf) struct buf names = BUF_INIT;
	for (size_t i = 0; i < ARRAY_SIZE(languages); i++) {
		if (!strcmp(languages[i].name, name))
			return &languages[i];
		buf_addf(&names, "%s%s", i ? ", " : "", languages[i].name);
	}
	err_set(err, ERR_USAGE, 0, "--language %s: there are %s", name, names.data);
	return NULL;
}

static int init_task(const char *arg, const char *name)
{
	AUTO(free) char *dir = without_slashes(arg);
	const struct language *language = NULL;
	struct err err;
	if (name && !(language = find_language(name, &err)))
		return cmd_fail(&err);
	if (write_task(dir, name, &err) < 0)
		return cmd_fail(&err);
	printf("Wrote the task folder %s; its README.md says what each file is.\n", dir);
	if (language)
		print_tools(language);
	print_next(dir);
	return CMD_OK;
}

static int init_harbor(const char *arg)
{
	AUTO(free) char *dir = without_slashes(arg);
	AUTO(buf) struct buf word = BUF_INIT;
	struct err err;

	if (write_harbor_task(dir, &err))
		return cmd_fail(&err);
	text_shell(&word, dir);
	printf("Wrote the Harbor task %s.\nNext: rollouts run --tasks %s --agent oracle\n", dir,
	       word.data);
	return CMD_OK;
}

static int init_bench(const char *path)
{
	struct err err;
	if (write_bench(path, &err) < 0)
		return cmd_fail(&err);
	printf("Wrote %s: name your tasks and models in it.\n", path);
	print_next(path);
	return CMD_OK;
}

int cmd_init(int argc, char **argv)
{
	const char *task = NULL, *language = NULL, *format = NULL;
	const struct option options[] = {
		{.name = "task",
		 .arg = "DIR",
		 .kind = OPTION_STR,
		 .target = &task,
		 .help = "write a task folder instead: small, commented, ready to run"},
		{.name = "language",
		 .arg = "LANGUAGE",
		 .kind = OPTION_STR,
		 .target = &language,
		 .help = "of the task: go, rust, java, node, python or c++, with tests in its own "
			 "way"},
		{.name = "format",
		 .arg = "F",
		 .kind = OPTION_STR,
		 .target = &format,
		 .help = "of the task: prepared (the default) or harbor"},
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "init",
		.operands = "[FILE]",
		.max = 1,
		.summary = "Write a commented benchmark file to start from",
		.text = "FILE is bench.toml unless named. Nothing that exists is overwritten.",
		.examples = "rollouts init\n"
			    "rollouts init configs/nightly.toml\n"
			    "rollouts init --task tasks/first\n"
			    "rollouts init --task tasks/first --language go\n"
			    "rollouts init --task tasks/first --format harbor\n",
		.options = options,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);
	if (status >= 0)
		return status;
	if (task && operands.n) {
		struct err err;
		err_set(&err, ERR_USAGE, 0, "give either FILE or --task DIR");
		return cmd_fail(&err);
	}
	if (language && !task) {
		struct err err;
		err_set(&err, ERR_USAGE, 0, "--language is of a task: give --task DIR as well");
		return cmd_fail(&err);
	}
	const bool harbor = format && !strcmp(format, "harbor");
	if (format &&
	    (!task || (harbor && language) || (!harbor && strcmp(format, "prepared") != 0))) {
		struct err err;
		err_set(&err, ERR_USAGE, 0,
			"--format is prepared or harbor, of --task DIR; a Harbor task has no "
			"--language");
		return cmd_fail(&err);
	}
	if (harbor)
		return init_harbor(task);
	return task ? init_task(task, language)
		    : init_bench(operands.n ? operands.v[0] : "bench.toml");
}

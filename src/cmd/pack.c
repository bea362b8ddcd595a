/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "os/usage.h"
#include "rollout/merge.h"
#include "rollout/pack.h"
#include "rollout/public.h"

static void tell_packed(const char *file, const struct rollout_ref *ref,
			const struct pack_sums *sums)
{
	char human[16];

	for (size_t i = 0; i < sums->blanked.n; i++) {
		AUTO(free)
		char *text =
			xasprintf("%s holds a password in a URL: the pack has *** in its place",
				  sums->blanked.v[i]);
		cmd_warn(text);
	}
	usage_human(sums->bytes, human);
	if (strcmp(file, "-") != 0)
		printf("%s: %s %s, %zu trial%s, %zu files, %s\n", file, ref->name, ref->stamp,
		       sums->trials, sums->trials == 1 ? "" : "s", sums->files, human);
}

/* A pack that was not finished is none: it gets its name last. */
static int write_file(const struct store *s, const struct rollout_ref *ref,
		      const struct pack_how *how, const char *file, struct pack_sums *sums,
		      struct err *err)
{
	AUTO(free) char *unfinished = xasprintf("%s.%d.tmp", file, (int)getpid());

	if (!strcmp(file, "-"))
		return pack_write(s, ref, how, STDOUT_FILENO, sums, err);
	if (!access(file, F_OK))
		return err_set(err, ERR_USAGE, 0, "%s is there already", file);
	AUTO(fd) int fd = open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "%s", file);
	if (pack_write(s, ref, how, fd, sums, err)) {
		unlink(unfinished);
		return -1;
	}
	if (fsync(fd) || rename(unfinished, file)) {
		err_set(err, ERR_INFRA, errno, "%s", file);
		unlink(unfinished);
		return -1;
	}
	return 0;
}

static int pack(const char *data, const char *name, const char *selector,
		const struct pack_how *how, const char *file, struct err *err)
{
	struct pack_sums sums = {.blanked = STRV_INIT, .found = STRV_INIT};
	struct rollout_ref ref = {0};
	struct store store;

	if (!strcmp(file, "-") && isatty(STDOUT_FILENO))
		return err_set(err, ERR_USAGE, 0, "an archive is nothing for a terminal: -o FILE");
	if (store_open(&store, data, false, err))
		return -1;
	int status = store_find(&store, name, selector, &ref, err);
	if (!status)
		status = write_file(&store, &ref, how, file, &sums, err);
	if (!status)
		tell_packed(file, &ref, &sums);
	for (size_t i = 0; i < sums.found.n; i++)
		cmd_warn(sums.found.v[i]);
	strv_release(&sums.found);
	strv_release(&sums.blanked);
	rollout_ref_release(&ref);
	store_close(&store);
	return status;
}

int cmd_pack(int argc, char **argv)
{
	const char *data = "data", *selector = NULL, *file = NULL, *without = NULL;
	struct strv allowed = STRV_INIT;
	struct pack_how how = {.allowed = &allowed};
	bool latest = false;
	const struct option options[] = {
		{.name = "output",
		 .short_name = 'o',
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &file,
		 .help = "the archive, which must not be there yet; - is standard output"},
		{.name = "public",
		 .kind = OPTION_FLAG,
		 .target = &how.public,
		 .help = "for anybody: host, user, absolute paths and passwords in URLs replaced, "
			 "and a scan for what is left"},
		{.name = "without",
		 .arg = "WHAT",
		 .kind = OPTION_STR,
		 .target = &without,
		 .help = "of a public one: prompts, tests, recordings, or several: a,b"},
		{.name = "allow",
		 .arg = "TEXT",
		 .kind = OPTION_STRV,
		 .target = &allowed,
		 .help = "of a public one: TEXT looks like a key and is none; repeatable"},
		OPTIONS_ROLLOUT(&latest, &selector),
		OPTION_DATA_DIR(&data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "pack",
		.operands = "NAME -o FILE",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "put a rollout with its runs and tasks into one file",
		.text = "The file is a tar archive whose pack.json lists every file with its hash. "
			"It holds no\n"
			"cache that is made again and no secret of this machine; what agents and "
			"models said\n"
			"it does hold. rollouts unpack takes it in elsewhere.",
		.examples = "rollouts pack hello -o hello.tar\n"
			    "rollouts pack hello --rollout baseline -o - | zstd > hello.tar.zst\n"
			    "rollouts pack hello --public --without recordings -o hello.tar\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (latest && selector)
		status = err_set(&err, ERR_USAGE, 0, "--latest and --rollout exclude each other");
	else if (!file)
		status = err_set(&err, ERR_USAGE, 0, "pack needs -o FILE");
	else if ((without || allowed.n) && !how.public)
		status = err_set(&err, ERR_USAGE, 0, "--without and --allow go with --public");
	else if (without && public_without_parse(without, &how.without, &err))
		status = -1;
	else
		status = pack(data, operands.v[0], selector, &how, file, &err);
	strv_release(&allowed);
	return status ? cmd_fail(&err) : CMD_OK;
}

/* The program that reads it, by the file's first bytes, or NULL. */
static const char *compressor_of(int fd)
{
	static const struct {
		const char *magic, *program;
	} known[] = {{"\x1f\x8b", "gzip"},
		     {"\x28\xb5\x2f\xfd", "zstd"},
		     {"\xfd"
		      "7zXZ",
		      "xz"},
		     {"BZh", "bzip2"}};
	char head[8] = "";

	if (pread(fd, head, sizeof head - 1, 0) <= 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(head, known[i].magic, strlen(known[i].magic)))
			return known[i].program;
	return NULL;
}

/* Summarizing and grading start none. Their names say nothing, the plan does. */
static void tell_agents(const char *data, const struct merge_step *step)
{
	AUTO(free) char *path =
		xasprintf("%s/rollouts/%s/%s/plan.json", data, step->name, step->stamp);
	AUTO(buf) struct buf safe = BUF_INIT;

	text_renders(&safe, path, TEXT_TERMINAL_LINE);
	printf("resume would start the programs that its plan names as agents: of a stranger's, "
	       "read %s first\n",
	       safe.data);
}

static void tell_unpacked(void *data, const struct merge_step *step)
{
	AUTO(buf) struct buf line = BUF_INIT, safe = BUF_INIT;

	buf_addf(&line, "%s %s: %zu trial%s %s", step->name, step->stamp, step->trials,
		 step->trials == 1 ? "" : "s",
		 step->kind == MERGE_KNOWN  ? "are here already"
		 : step->kind == MERGE_GREW ? "had gone on elsewhere; brought up to date"
					    : "taken in");
	text_renders(&safe, line.data, TEXT_TERMINAL_LINE);
	puts(safe.data);
	if (step->kind != MERGE_KNOWN)
		tell_agents(data, step);
	cmd_write_summary(data, step->name, step->stamp);
}

int cmd_unpack(int argc, char **argv)
{
	const char *data = "data";
	const struct option options[] = {
		OPTION_DATA_DIR(&data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "unpack",
		.operands = "FILE",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "take in a rollout that was packed",
		.text = "Every file is compared with its hash, and nothing is taken of a pack that "
			"is damaged.\n"
			"- is standard input.",
		.examples = "rollouts unpack hello.tar\n"
			    "zstd -dc hello.tar.zst | rollouts unpack -\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	const char *file = operands.v[0], *program;
	AUTO(fd) int opened =
		strcmp(file, "-") ? open(file, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (opened < 0)
		status = err_set(&err, ERR_USAGE, errno, "%s", file);
	else if ((program = compressor_of(opened)))
		status = err_set(&err, ERR_USAGE, 0,
				 "%s is compressed: %s -dc %s | rollouts unpack -", file, program,
				 file);
	else if ((status = pack_read(data, opened, tell_unpacked, (void *)data, &err)))
		err_wrap(&err, "%s", file);
	return status ? cmd_fail(&err) : CMD_OK;
}

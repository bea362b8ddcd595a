/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/strv.h"
#include "base/text.h"
#include "cmd/bucket.h"
#include "cmd/cmd.h"
#include "cmd/plain.h"

struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

/* In the order of a user's day. */
static const struct verb verbs[] = {
	{"init", cmd_init, "write a commented benchmark or task folder to start from"},
	{"run", cmd_run, "run a benchmark"},
	{"resume", cmd_resume, "finish what is missing of one"},
	{"eval", cmd_eval, "grade the diffs of a rollout again"},
	{"config", cmd_config, "print the effective configuration, each value with its origin"},
	{"validate", cmd_validate, "check a benchmark or a task folder, change nothing"},
	{"summarize", cmd_summarize, "scores with intervals, what is missing and why"},
	{"compare", cmd_compare,
	 "is one model, or one run, better than another: a verdict, or why there is none"},
	{"report", cmd_report, "rollouts as one HTML page to look at"},
	{"shell", cmd_shell, "look into the sandbox in which a trial was graded"},
	{"show", cmd_show, "one run: what happened, its logs, its diff"},
	{"list", cmd_list, "the rollouts there are: state, score, disk use"},
	{"merge", cmd_merge,
	 "take in the rollouts of other data folders, and join the parts of one"},
	{"convert", cmd_convert, "write a prepared task as a Harbor task, or such a one back"},
	{"import", cmd_import, "take in what Harbor ran, as rollouts"},
	{"pull", cmd_pull, "bring rollouts of a bucket, with their runs, into a data folder"},
	{"pack", cmd_pack, "put a rollout with its runs and tasks into one file"},
	{"unpack", cmd_unpack, "take in a rollout that was packed"},
	{"tag", cmd_tag, "name a rollout"},
	{"export", cmd_export, "one row per trial for other programs"},
	{"simulate", cmd_simulate, "how long a benchmark would take, without running it"},
	{"power", cmd_power, "how many tasks and rollouts a difference takes"},
	{"exclude", cmd_exclude, "take runs out of all numbers, with a reason"},
	{"clean", cmd_clean, "remove what killed runs left, the cache, or whole rollouts"},
	{"agents", cmd_agents, "the agents there are, and how to get them"},
	{"launcher", cmd_launcher, "install what a launcher needs, end what it left"},
	{"judge", cmd_judge, "check a judging model against examples that people have graded"},
	{"gateway", cmd_gateway, "pass model requests on with your keys, outside of any benchmark"},
	{"cloud", cmd_cloud, "make, try and reckon what AWS Batch and S3 are needed for"},
	{"models", cmd_models, "which provider answers which model, and at what price"},
	{"doctor", cmd_doctor, "check what this machine needs, by using it"},
	{NULL, NULL, NULL},
};

static const struct verb *find(const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static int unknown(const char *name)
{
	AUTO(strv) struct strv names = STRV_INIT;
	for (const struct verb *v = verbs; v->name; v++)
		strv_push(&names, v->name);
	strv_push(&names, "help");
	const char *near = text_nearest(name, strv_items(&names));
	struct err err;
	err_set(&err, ERR_USAGE, 0, "unknown %s \"%s\"%s%s%s; see: rollouts help",
		*name == '-' ? "option" : "command", name, near ? " (did you mean \"" : "",
		near ? near : "", near ? "\"?)" : "");
	return cmd_fail(&err);
}

static int overview(FILE *to)
{
	fputs("rollouts runs AI coding agents on many tasks, models and rollouts in parallel, each "
	      "in a\n"
	      "sandbox, scores them and says what the numbers mean.\n\n"
	      "Usage: rollouts COMMAND [options] [operands]\n\nCommands:\n",
	      to);
	for (const struct verb *v = verbs; v->name; v++)
		fprintf(to, "  %-12s%s\n", v->name, v->summary);
	fputs("  help        explain a command, with examples: rollouts help run\n\n"
	      "rollouts --version prints the version.\n",
	      to);
	return CMD_OK;
}

static int help(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "help") == 0)
		return overview(stdout);
	const struct verb *v = find(argv[1]);
	if (!v)
		return unknown(argv[1]);
	char *args[] = {argv[1], (char *)"--help", NULL};
	return v->run(2, args);
}

static int run_on_bucket(const struct verb *v, int argc, char **argv)
{
	AUTO(strv) struct strv args = STRV_INIT;
	struct err err;

	return bucket_bring(&args, argc, argv, &err) ? cmd_fail(&err) : v->run((int)args.n, args.v);
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2) {
		overview(stderr);
		return CMD_USAGE;
	}
	const char *word = argv[1];
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		puts("rollouts " ROLLOUTS_VERSION);
		return CMD_OK;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return overview(stdout);
	if (strcmp(word, "help") == 0)
		return help(argc - 1, argv + 1);
	const struct verb *v = find(word);
	if (v && bucket_is_meant(word, argc - 1, argv + 1))
		return run_on_bucket(v, argc - 1, argv + 1);
	return v ? v->run(argc - 1, argv + 1) : unknown(word);
}

/* A file opened in the place of a closed stdout would be written over with what is meant for it. */
static bool occupy_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

/* A limit on the size of files is an error of the write like any other. Not SIG_IGN, which children would inherit. */
static void on_too_large(int signo)
{
}

int main(int argc, char **argv)
{
	struct err err;

	/* Large blocks go back when they are freed. Left alone, the C library keeps more and more of them: of a million
	 * results a tenth of all memory. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	signal(SIGXFSZ, on_too_large);
	if (!occupy_standard_descriptors())
		return CMD_ENVIRONMENT;
	plain_streams();
	int status = dispatch(argc, argv);
	/* Output that got lost must not look like success; what failed already has told why. */
	if ((fflush(stdout) || ferror(stdout)) && status != CMD_ENVIRONMENT) {
		err_set(&err, ERR_INFRA, errno, "standard output");
		return cmd_fail(&err);
	}
	return status;
}

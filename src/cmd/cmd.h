/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cmd.h -- the verbs. Each returns the program's exit status; src/main.c holds the table of them.
 * A verb is one file here, one line below and one line in that table.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"
#include "store/store.h"

enum cmd_status {
	CMD_OK = 0,
	CMD_MISSING = 1,      /* something has no result */
	CMD_USAGE = 2,	      /* the user's mistake */
	CMD_ENVIRONMENT = 3,  /* the machine's */
	CMD_INCONCLUSIVE = 4, /* a gate that could not be decided; one that failed is 1 */
	CMD_INTERRUPTED = 130,
};

int cmd_agents(int argc, char **argv);
int cmd_simulate(int argc, char **argv);
int cmd_launcher(int argc, char **argv);
int cmd_clean(int argc, char **argv);
int cmd_cloud(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_power(int argc, char **argv);
int cmd_exclude(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_gateway(int argc, char **argv);
int cmd_models(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_judge(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_summarize(int argc, char **argv);
int cmd_tag(int argc, char **argv);
int cmd_unpack(int argc, char **argv);
int cmd_validate(int argc, char **argv);

/* Print "rollouts: MESSAGE" on standard error; the exit status of the error's kind. */
int cmd_fail(const struct err *err) MUST_CHECK;
/* Print "rollouts: TEXT" there, and go on. */
void cmd_warn(const char *text);
/* Bring summary.md of a rollout up to date, and append to SHOWN (NULL: nothing) the summary for a terminal. Its journal must be closed
 * by then: the rollout reads as complete. */
int cmd_make_summary(struct buf *shown, const char *data, const char *name, const char *stamp,
		     struct err *err) MUST_CHECK;
/* The same without a text, of one that was taken in; a failure is a warning. */
void cmd_write_summary(const char *data, const char *name, const char *stamp);
/* That run folders of R are another rollout's, where some are. */
void cmd_warn_strangers(const struct rollout *r);
/* cmd_fail after one line per problem, which then stand for the message. */
int cmd_refuse(const struct strv *problems, const struct err *err) MUST_CHECK;

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libexec/rollouts-launch-slurm: the launcher of Slurm (docs/launchers.md). One message after the other; Slurm's own programs are asked in
 * between, so nothing has to be done at the same time.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "slurm/slurm.h"
#include "core/driver.h"

enum { BATCH = 1000 };

/* Slurm says by itself what it would not take: before money is spent. */
static bool try_options(struct slurm *s, struct buf *why)
{
	AUTO(strv) struct strv argv = STRV_INIT;
	struct answer a;
	struct err err;

	batch_options(s, &argv);
	strv_push(&argv, "--test-only");
	strv_pushf(&argv, "--cpus-per-task=%lld",
		   (long long)s->settings.cpus * s->settings.side_by_side);
	if (s->settings.memory_mb)
		strv_pushf(&argv, "--mem=%lldM",
			   (long long)s->settings.memory_mb * s->settings.side_by_side);
	if (s->settings.time)
		strv_pushf(&argv, "--time=%s", s->settings.time);
	strv_push(&argv, "--wrap=true");
	if (slurm_ask(&a, strv_items(&argv), &err))
		buf_addf(why, "sbatch: %s", err.msg);
	else if (a.status && !answer_is_passing(&a) && !answer_is_full(&a))
		buf_addf(why, "Slurm would not take a job with these settings: %s",
			 answer_words(&a));
	answer_release(&a);
	return !why->len;
}

static void on_hello(struct slurm *s, const json_t *m)
{
	AUTO(buf) struct buf why = BUF_INIT;

	s->data = xstrdup(json_get_str(m, "data", ""));
	s->state = xstrdup(json_get_str(m, "state", ""));
	s->node = xstrdup(json_get_str(m, "node", ""));
	s->parallel = json_get_int(m, "parallel", 1);
	if (settings_read(&s->settings, json_object_get(m, "settings"), &why)) {
		driver_refuse(why.data, false);
		return;
	}
	const char *clusters[] = {getenv("SLURM_CLUSTERS"), getenv("SBATCH_CLUSTERS")};
	for (size_t i = 0; i < ARRAY_SIZE(clusters); i++)
		if (clusters[i] && *clusters[i]) {
			buf_addf(&why,
				 "%s is set to \"%s\": jobs go to the cluster of this machine "
				 "alone; "
				 "unset it, or run rollouts on a machine of that cluster",
				 i ? "SBATCH_CLUSTERS" : "SLURM_CLUSTERS", clusters[i]);
			driver_refuse(why.data, false);
			return;
		}
	const bool there = limits_read(s, &why);
	if (!there || !try_options(s, &why)) {
		driver_refuse(why.data, !there);
		return;
	}
	driver_say_hello("shared", BATCH, s->settings.poll_sec * 1000);
}

/* What a user's shell says to Slurm's programs for use by hand: another form of their answers, jobs left out of them, or an sbatch that waits for
 * the end of its job. Where jobs go by default (SBATCH_ACCOUNT, SBATCH_PARTITION ...) is left. */
static void forget_environment(void)
{
	static const char *const ours[] = {
		"SQUEUE_",	  "SACCT_",	      "SACCTMGR_",	 "SCANCEL_",
		"SBATCH_WAIT",	  "SBATCH_ARRAY_INX", "SBATCH_JOB_NAME", "SBATCH_EXPORT",
		"SBATCH_OUTPUT",  "SBATCH_ERROR",     "SBATCH_INPUT",	 "SBATCH_GET_USER_ENV",
		"SBATCH_MEM_PER_"};
	AUTO(strv) struct strv names = STRV_INIT;

	for (char **e = environ; *e; e++)
		for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
			if (!strncmp(*e, ours[i], strlen(ours[i])))
				strv_pushf(&names, "%.*s", (int)strcspn(*e, "="), *e);
	for (size_t i = 0; i < names.n; i++)
		unsetenv(names.v[i]);
}

static void on_attach(struct slurm *s, const json_t *jobs)
{
	size_t i;
	json_t *job;

	json_array_foreach (jobs, i, job) {
		const char *token = json_get_str(job, "token", "");
		if (!batch_attach(s, token, json_get_str(job, "job", NULL)))
			driver_say_unknown(token, "Slurm was never given this trial");
	}
}

static void on_cancel(struct slurm *s, const json_t *m)
{
	size_t i, k;
	json_t *job, *waiting;

	json_array_foreach (json_object_get(m, "jobs"), i, job) {
		const char *token = json_get_str(job, "token", "");
		struct batch *b;
		struct task *t;
		struct trial_ref *r = batch_find(s, token, &b, &t);
		if (r)
			r->cancelled = true;
		json_array_foreach (s->waiting, k, waiting)
			if (!strcmp(json_get_str(waiting, "token", ""), token)) {
				json_array_remove(s->waiting, k);
				break;
			}
	}
	batch_cancel(s, !strcmp(json_get_str(m, "how", ""), "kill"));
	s->next_poll_ms = 0;
}

static void on_poll(struct slurm *s)
{
	if (json_array_size(s->waiting) && clock_mono_ms() >= s->again_ms) {
		AUTO(json) json_t *jobs = s->waiting;
		s->waiting = json_array();
		batch_submit(s, jobs);
	}
	states_poll(s);
	driver_say_polled();
}

static void on_message(struct slurm *s, const json_t *m)
{
	const char *op = json_get_str(m, "op", "");
	const json_t *jobs = json_object_get(m, "jobs");
	size_t i;
	json_t *job;

	if (!strcmp(op, "hello"))
		on_hello(s, m);
	else if (!strcmp(op, "submit"))
		batch_submit(s, jobs);
	else if (!strcmp(op, "attach"))
		on_attach(s, jobs);
	else if (!strcmp(op, "poll"))
		on_poll(s);
	else if (!strcmp(op, "cancel"))
		on_cancel(s, m);
	else if (!strcmp(op, "done"))
		json_array_foreach (jobs, i, job)
			batch_done(s, json_get_str(job, "token", ""));
}

int main(int argc, char **argv)
{
	struct slurm s = {.waiting = json_array()};
	AUTO(free) char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (argc != 1) {
		fputs("usage: rollouts-launch-slurm   (started by `rollouts run`, see "
		      "docs/launchers.md)\n",
		      stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	forget_environment();
	while ((n = getline(&line, &size, stdin)) > 0) {
		AUTO(json) json_t *m = json_loadb(line, (size_t)n, 0, NULL);
		on_message(&s, m);
	}
	for (size_t i = 0; i < s.n; i++)
		batch_release(&s.batches[i]);
	settings_release(&s.settings);
	json_decref(s.waiting);
	free(s.batches);
	free(s.data);
	free(s.state);
	free(s.node);
	return 0;
}

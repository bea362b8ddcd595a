/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/driver.h"
#include "os/dir.h"
#include "slurm/slurm.h"

enum {
	BATCH_JSON_MAX = 64 << 20,
	ROOM_MS = 1000,	   /* before it is looked again whether there is room */
	FULL_MS = 10000,   /* before what a limit held back is tried again */
	PASSING_MS = 5000, /* before a controller that is away is asked again */
	PASSING_TRIES = 60,
};
#define NAME_PREFIX "rollouts-"

void batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct task *t = &b->tasks[i];
		for (size_t k = 0; k < t->n; k++) {
			free(t->trials[k].token);
			free(t->trials[k].dir);
			free(t->trials[k].how);
			free(t->trials[k].archive);
		}
		for (size_t k = 0; k < t->executions_n; k++)
			buf_release(&t->executions[k].begun);
		free(t->executions);
		free(t->trials);
		free(t->why);
	}
	auto_fd(&b->dir_fd);
	free(b->tasks);
	free(b->name);
	free(b->dir);
	*b = (struct batch){.dir_fd = -1};
}

/* "runs/RUN_ID/attempts/N" -> "RUN_ID.N" */
static char *token_of(const char *dir)
{
	AUTO(free) char *attempts = path_folder(dir);
	AUTO(free) char *run = path_folder(attempts);

	return xasprintf("%s.%s", path_base(run), path_base(dir));
}

static void fill_tasks(struct batch *b, const json_t *lists)
{
	size_t i, k;
	json_t *list, *dir;

	b->n = json_array_size(lists);
	b->tasks = xcalloc(b->n ? b->n : 1, sizeof *b->tasks);
	json_array_foreach (lists, i, list) {
		struct task *t = &b->tasks[i];
		t->n = json_array_size(list);
		t->trials = xcalloc(t->n ? t->n : 1, sizeof *t->trials);
		json_array_foreach (list, k, dir) {
			t->trials[k].dir = xstrdup(json_string_value(dir));
			t->trials[k].token = token_of(t->trials[k].dir);
		}
	}
}

static struct batch *keep(struct slurm *s, struct batch *b)
{
	GROW(s->batches, s->n, s->cap);
	s->batches[s->n] = *b;
	return &s->batches[s->n++];
}

static void quote(struct buf *out, const char *text)
{
	buf_addc(out, '\'');
	for (; *text; text++)
		if (*text == '\'')
			buf_adds(out, "'\\''");
		else
			buf_addc(out, *text);
	buf_addc(out, '\'');
}

static void write_script(const struct slurm *s, const struct batch *b, struct buf *out)
{
	const struct settings *q = &s->settings;

	buf_adds(out, "#!/bin/sh\n[ -e ");
	quote(out, b->dir);
	buf_adds(out, "/void ] && exit 0\n");
	if (q->setup)
		buf_addf(out, "%s\n", q->setup);
	buf_adds(out, "cache=");
	if (q->cache)
		quote(out, q->cache);
	else
		buf_adds(out, "${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/rollouts-node-$(id -u)");
	buf_adds(out, "\nexec ");
	quote(out, q->node ? q->node : s->node);
	buf_adds(out, " run --data ");
	quote(out, s->data);
	buf_adds(out, " --cache \"$cache\" --out ");
	quote(out, b->dir);
	buf_adds(out, "/out --events ");
	quote(out, b->dir);
	buf_adds(out, "/out/\"$SLURM_ARRAY_TASK_ID\".events --list ");
	quote(out, b->dir);
	buf_addf(
		out,
		"/list.json --index \"$SLURM_ARRAY_TASK_ID\" --cache-mb %lld --side-by-side %lld\n",
		(long long)q->cache_mb, (long long)q->side_by_side);
}

/* Everything that a killed program would have to know is on disk before sbatch is asked. */
static int write_folder(struct slurm *s, struct batch *b, const json_t *lists, struct err *err)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf script = BUF_INIT;

	if (mkdir(b->dir, 0700))
		return err_set(err, ERR_INFRA, errno, "make directory %s", b->dir);
	b->dir_fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir_fd < 0 || mkdirat(b->dir_fd, "out", 0700))
		return err_set(err, ERR_INFRA, errno, "%s", b->dir);
	json_put_int(j, "v", 1);
	json_put(j, "lists", json_incref((json_t *)lists));
	write_script(s, b, &script);
	return json_write(b->dir_fd, "list.json", lists, false, err) ||
			       path_write(b->dir_fd, "script", script.data, script.len, 0700, false,
					  err) ||
			       json_write(b->dir_fd, "batch.json", j, true, err)
		       ? -1
		       : 0;
}

static void add_option(struct strv *argv, const char *name, const char *value)
{
	if (value)
		strv_pushf(argv, "--%s=%s", name, value);
}

void batch_options(const struct slurm *s, struct strv *argv)
{
	const struct settings *q = &s->settings;
	size_t i;
	json_t *option;

	strv_push(argv, "sbatch");
	strv_push(argv, "--parsable");
	/* Slurm would hand on our whole environment, keys included. */
	strv_push(argv, "--export=NONE");
	add_option(argv, "partition", q->partition);
	add_option(argv, "account", q->account);
	add_option(argv, "qos", q->qos);
	add_option(argv, "constraint", q->constraint);
	add_option(argv, "gres", q->gres);
	strv_push(argv, q->requeue ? "--requeue" : "--no-requeue");
	json_array_foreach (q->options, i, option)
		strv_push(argv, json_string_value(option));
}

static void add_resources(const struct slurm *s, const json_t *job, struct strv *argv)
{
	const struct settings *q = &s->settings;
	int64_t rounds = (q->trials_per_job + q->side_by_side - 1) / q->side_by_side;
	double wanted = json_get_real(job, "cpus", 0);
	int64_t cpus = (int64_t)wanted + (wanted > (double)(int64_t)wanted);
	int64_t memory = json_get_int(job, "memory_mb", 0);
	int64_t minutes = (json_get_int(job, "time_sec", 0) * rounds + 59) / 60;

	cpus = (cpus > q->cpus ? cpus : q->cpus) * q->side_by_side;
	memory = (memory ? memory : q->memory_mb) * q->side_by_side;
	strv_pushf(argv, "--cpus-per-task=%lld", (long long)cpus);
	if (memory)
		strv_pushf(argv, "--mem=%lldM", (long long)memory);
	if (q->time)
		strv_pushf(argv, "--time=%s", q->time);
	else if (minutes)
		strv_pushf(argv, "--time=%lld", (long long)minutes);
}

/* The job of B by its name: sbatch may have been heard by Slurm, and its answer not by us. 0: there is none; -1: Slurm is
 * not to be asked now. */
static int64_t find_job(const struct batch *b)
{
	AUTO(free) char *name = xasprintf("--name=" NAME_PREFIX "%s", b->name);
	const char *argv[] = {"squeue", "-h", "--all", "-t", "all", "-o", "%F", name, NULL};
	const char *old[] = {"sacct", "-n", "-X", "-P",		"-o",
			     "JobID", name, "-S", "now-30days", NULL};
	struct answer a;
	struct err err;

	int rc = slurm_ask(&a, argv, &err);
	int64_t job = rc || a.status ? -1 : strtoll(a.out.data, NULL, 10);
	answer_release(&a);
	if (job)
		return job;
	rc = slurm_ask(&a, old, &err);
	job = rc || a.status ? 0 : strtoll(a.out.data, NULL, 10);
	answer_release(&a);
	return job;
}

static void set_job(struct batch *b, int64_t job)
{
	AUTO(free) char *text = xasprintf("%lld\n", (long long)job);
	struct err err;

	b->job = job;
	if (path_write(b->dir_fd, "job", text, strlen(text), 0600, true, &err))
		driver_note("%s", err.msg);
}

void batch_say_submitted(const struct batch *b, const struct task *t, const struct trial_ref *r)
{
	AUTO(free) char *name =
		xasprintf("%lld_%zu@%s", (long long)b->job, (size_t)(t - b->tasks), b->name);

	driver_say_submitted(r->token, name);
}

static void say_failed(const json_t *jobs, const char *why)
{
	AUTO(free) char *error = xasprintf("Slurm did not take it: %s", why);
	size_t i;
	json_t *job;

	json_array_foreach (jobs, i, job)
		driver_say_failed(json_get_str(job, "token", ""), error);
}

static void wait_for_room(struct slurm *s, const json_t *jobs)
{
	json_array_extend(s->waiting, (json_t *)jobs);
	if (s->again_ms < clock_mono_ms())
		s->again_ms = clock_mono_ms() + FULL_MS;
}

/* The id in what sbatch says: "123", "123;cluster", or "Submitted batch job 123" of one that does not know --parsable; a site's own words may stand
 * around it. 0: there is none. */
static int64_t id_of(const char *text)
{
	static const char words[] = "Submitted batch job ";

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *line = text + strspn(text, " ");
		char *end;
		if (!strncmp(line, words, strlen(words)))
			line += strlen(words);
		int64_t id = strtoll(line, &end, 10);
		if (id > 0 && strchr("\n; ", *end))
			return id;
	}
	return 0;
}

/* Until Slurm has answered, whichever way: 0, the id is in B. 1: a limit of the site. -1: refused, *WHY (owned) says why. */
static int ask_sbatch(struct batch *b, const struct strv *argv, char **why)
{
	for (int i = 0; i < PASSING_TRIES; i++) {
		struct answer a;
		struct err err;
		int rc = slurm_ask(&a, strv_items(argv), &err);
		bool passing =
			(rc && err.kind == ERR_LIMIT) || (!rc && a.status && answer_is_passing(&a));
		int64_t job = !rc && !a.status ? id_of(a.out.data) : 0;
		/* It may have taken the job, and says so in words of its own. */
		if (!job && !rc && !a.status) {
			*why = xasprintf("sbatch said no job id (\"%.60s\")", a.out.data);
			answer_release(&a);
			job = find_job(b);
			if (job > 0)
				set_job(b, job);
			return job > 0 ? 0 : -1;
		}
		bool full = !rc && !passing && answer_is_full(&a);
		if (!job && !passing && !full)
			*why = xstrdup(rc ? err.msg : answer_words(&a));
		answer_release(&a);
		if (job)
			set_job(b, job);
		if (job || !passing)
			return job ? 0 : full ? 1 : -1;
		/* It may have been heard all the same. */
		usleep(PASSING_MS * 1000);
		while ((job = find_job(b)) < 0)
			usleep(PASSING_MS * 1000);
		if (job) {
			set_job(b, job);
			return 0;
		}
	}
	*why = xstrdup("its controller is away");
	return -1;
}

static void submit_array(struct slurm *s, const json_t *jobs)
{
	unsigned char noise[6];
	struct batch b = {.dir_fd = -1};
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(json) json_t *lists = driver_lists_of(jobs, s->settings.trials_per_job);
	AUTO(free) char *why = NULL;
	struct err err;

	if (getrandom(noise, sizeof noise, 0) != sizeof noise)
		bug("no randomness");
	b.name = xasprintf("%02x%02x%02x%02x%02x%02x", noise[0], noise[1], noise[2], noise[3],
			   noise[4], noise[5]);
	b.dir = path_join(s->state, b.name);
	fill_tasks(&b, lists);
	if (write_folder(s, &b, lists, &err)) {
		say_failed(jobs, err.msg);
		batch_release(&b);
		return;
	}
	batch_options(s, &argv);
	add_resources(s, json_array_get(jobs, 0), &argv);
	strv_pushf(&argv, "--job-name=" NAME_PREFIX "%s", b.name);
	strv_pushf(&argv, "--array=0-%zu%%%lld", b.n - 1,
		   (long long)((s->parallel + s->settings.trials_per_job - 1) /
			       s->settings.trials_per_job));
	strv_pushf(&argv, "--output=%s/log", b.dir);
	strv_push(&argv, "--open-mode=append");
	strv_pushf(&argv, "%s/script", b.dir);
	int rc = ask_sbatch(&b, &argv, &why);
	if (rc) {
		if (path_remove_tree(AT_FDCWD, b.dir, &err))
			driver_note("%s", err.msg);
		batch_release(&b);
	}
	if (rc < 0) {
		say_failed(jobs, why);
	} else if (rc && json_array_size(jobs) > 1) {
		/* Half of them may have room. */
		AUTO(json) json_t *first = json_array();
		AUTO(json) json_t *rest = json_array();
		for (size_t i = 0; i < json_array_size(jobs); i++)
			json_array_append(i < json_array_size(jobs) / 2 ? first : rest,
					  json_array_get(jobs, i));
		submit_array(s, first);
		wait_for_room(s, rest);
	} else if (rc) {
		wait_for_room(s, jobs);
	}
	if (rc)
		return;
	struct batch *kept = keep(s, &b);
	for (size_t i = 0; i < kept->n; i++)
		for (size_t k = 0; k < kept->tasks[i].n; k++) {
			kept->tasks[i].trials[k].attached = true;
			batch_say_submitted(kept, &kept->tasks[i], &kept->tasks[i].trials[k]);
		}
}

static bool are_alike(const json_t *a, const json_t *b)
{
	static const char *const names[] = {"cpus", "memory_mb", "time_sec"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!json_equal(json_object_get(a, names[i]), json_object_get(b, names[i])))
			return false;
	return true;
}

/* Array tasks that may be submitted yet, as far as accounting tells. */
static int64_t room(const struct slurm *s)
{
	int64_t left = s->submit_max ? s->submit_max : INT64_MAX;

	for (size_t i = 0; s->submit_max && i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++)
			left -= s->batches[i].tasks[k].state != TASK_ENDED;
	return left;
}

/* Jobs that ask for the same are one array, as far as the site allows. */
void batch_submit(struct slurm *s, const json_t *jobs)
{
	AUTO(json) json_t *left = json_copy((json_t *)jobs);
	while (json_array_size(left)) {
		const int64_t tasks = room(s) < s->array_max ? room(s) : s->array_max;
		const size_t most = (size_t)(tasks * s->settings.trials_per_job);
		if (tasks <= 0) {
			wait_for_room(s, left);
			s->again_ms = clock_mono_ms() + ROOM_MS;
			return;
		}
		AUTO(json) json_t *alike = json_array();
		json_t *others = json_array(), *job;
		size_t i;
		json_array_foreach (left, i, job)
			json_array_append(json_array_size(alike) < most &&
							  are_alike(job, json_array_get(left, 0))
						  ? alike
						  : others,
					  job);
		submit_array(s, alike);
		json_decref(left);
		left = others;
	}
}

struct trial_ref *batch_find(const struct slurm *s, const char *token, struct batch **b,
			     struct task **t)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++)
			for (size_t m = 0; m < s->batches[i].tasks[k].n; m++) {
				struct trial_ref *r = &s->batches[i].tasks[k].trials[m];
				if (strcmp(r->token, token) != 0)
					continue;
				*b = &s->batches[i];
				*t = &s->batches[i].tasks[k];
				return r;
			}
	return NULL;
}

/* One that was written down, and not given up. */
static bool load(struct slurm *s, const char *name)
{
	struct batch b = {.dir_fd = -1};
	AUTO(json) json_t *j = NULL;
	AUTO(buf) struct buf job = BUF_INIT;
	struct err err;

	b.name = xstrdup(name);
	b.dir = path_join(s->state, name);
	b.dir_fd = open(b.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b.dir_fd < 0 || path_exists(b.dir_fd, "void") ||
	    json_read(&j, b.dir_fd, "batch.json", BATCH_JSON_MAX, &err)) {
		batch_release(&b);
		return false;
	}
	fill_tasks(&b, json_object_get(j, "lists"));
	if (!path_read(b.dir_fd, "job", 64, &job, &err))
		b.job = strtoll(job.data, NULL, 10);
	if (!b.job && (b.job = find_job(&b)) > 0)
		set_job(&b, b.job);
	/* Nobody knows of it. Should it come to run all the same, it finds that it shall not. */
	if (b.job <= 0 && (b.job < 0 || path_write(b.dir_fd, "void", "", 0, 0600, true, &err))) {
		batch_release(&b);
		return false;
	}
	if (b.job)
		keep(s, &b);
	else
		batch_release(&b);
	return true;
}

static bool is_loaded(const struct slurm *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->batches[i].name, name))
			return true;
	return false;
}

static void load_all(struct slurm *s)
{
	AUTO(dir) DIR *d = opendir(s->state);

	for (struct dirent *e; d && (e = readdir(d));)
		if (strspn(e->d_name, "0123456789abcdef") == 12 && !e->d_name[12] &&
		    !is_loaded(s, e->d_name))
			load(s, e->d_name);
}

bool batch_attach(struct slurm *s, const char *token, const char *name)
{
	struct batch *b;
	struct task *t;
	struct trial_ref *r = batch_find(s, token, &b, &t);
	const char *at = name ? strchr(name, '@') : NULL;

	if (!r && at && path_is_inside(at + 1) && !strchr(at + 1, '/') && !is_loaded(s, at + 1))
		load(s, at + 1);
	if (!r && !(r = batch_find(s, token, &b, &t))) {
		load_all(s);
		r = batch_find(s, token, &b, &t);
	}
	if (!r)
		return false;
	r->attached = true;
	r->ended = false;
	/* Told again from the beginning. */
	for (size_t i = 0; i < t->executions_n; i++)
		t->executions[i].read_bytes = 0;
	batch_say_submitted(b, t, r);
	return true;
}

void batch_done(struct slurm *s, const char *token)
{
	struct batch *b;
	struct task *t;
	struct trial_ref *r = batch_find(s, token, &b, &t);
	struct err err;

	if (!r)
		return;
	r->done = r->ended = true;
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; k < b->tasks[i].n; k++)
			if (!b->tasks[i].trials[k].done)
				return;
	if (path_remove_tree(AT_FDCWD, b->dir, &err))
		driver_note("%s", err.msg);
	batch_release(b);
	*b = s->batches[--s->n];
}

/* False: Slurm was not to be reached. */
static bool scancel(const struct strv *ids, bool kill)
{
	AUTO(strv) struct strv argv = STRV_INIT;
	struct answer a;
	struct err err;

	strv_push(&argv, "scancel");
	if (kill) {
		strv_push(&argv, "--signal=KILL");
		strv_push(&argv, "--full");
	}
	strv_pushv(&argv, strv_items(ids));
	const int rc = slurm_ask(&a, strv_items(&argv), &err);
	const bool heard = !rc && !(a.status && answer_is_passing(&a));
	if (rc)
		driver_note("%s", err.msg);
	else if (a.status && !kill)
		driver_note("scancel: %s", answer_words(&a));
	answer_release(&a);
	return heard;
}

/* What nobody heard is sent again, with the next poll. */
static void send_again(struct slurm *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++)
			s->batches[i].tasks[k].cancel_sent = false;
}

/* A task ends when all of its trials are to end. */
void batch_cancel(struct slurm *s, bool kill)
{
	AUTO(strv) struct strv ids = STRV_INIT;

	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->batches[i].n; k++) {
			struct task *t = &s->batches[i].tasks[k];
			bool all = true, any = false;
			for (size_t m = 0; m < t->n; m++) {
				all &= t->trials[m].ended || t->trials[m].cancelled;
				any |= t->trials[m].cancelled && !t->trials[m].ended;
			}
			if (!all || !any || (t->cancel_sent && !kill))
				continue;
			t->cancel_sent = true;
			strv_pushf(&ids, "%lld_%zu", (long long)s->batches[i].job, k);
		}
	if (!ids.n)
		return;
	if (kill)
		scancel(&ids, true);
	if (!scancel(&ids, false))
		send_again(s);
}

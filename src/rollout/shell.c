/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/shell.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/image.h"
#include "os/fdio.h"
#include "os/network-env.h"
#include "os/user.h"
#include "rollout/recover.h"
#include "store/rundir.h"
#include "task/task.h"

enum { DOCUMENT_MAX = 16 << 20, GRACE_MS = 10000 };

static int read_attempt(struct attempt *a, const struct store *store, const struct shell_request *q,
			struct err *err)
{
	AUTO(free) char *path = datadir_attempt_file(q->run_id, q->attempt, ATTEMPT_TRIAL);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	return path_read_beneath(store->root_fd, path, DOCUMENT_MAX, &text, err) ||
			       json_parse(&j, text.data, text.len, path, err) ||
			       attempt_from_json(a, j, path, err)
		       ? -1
		       : 0;
}

static json_t *read_result(const struct store *store, const struct shell_request *q)
{
	AUTO(free) char *path = datadir_attempt_file(q->run_id, q->attempt, ATTEMPT_RESULT);
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *j = NULL;
	struct err none;

	if (path_read_beneath(store->root_fd, path, DOCUMENT_MAX, &text, &none) ||
	    json_parse(&j, text.data, text.len, path, &none))
		return NULL;
	return j;
}

static void note_image(struct shell *s, const struct store *store, const struct trial *t,
		       const char *then)
{
	struct image image;
	struct err none;

	if (t->sandbox != SANDBOX_DOCKER ||
	    image_read(&image, store->root_fd, t->image, NULL, &none))
		return;
	if (*then && *image.id && strcmp(image.id, then) != 0)
		strv_pushf(&s->notes,
			   "the image of its task is another one by now (%.19s); this is the one "
			   "from then (%.19s)",
			   image.id, then);
	image_release(&image);
}

/* What is not as it was when the attempt was graded. */
static int note_changes(struct shell *s, const struct store *store, const struct attempt *a,
			const json_t *result, struct err *err)
{
	const char *hash = json_get_str(result, "task_hash", "");

	if (!strcmp(json_get_str(a->agent_spec, "kind", ""), "imported"))
		return err_set(err, ERR_USAGE, 0,
			       "%s was imported from a Harbor job: its task and its container are "
			       "not here",
			       a->trial.run_id);
	if (!path_exists(store->root_fd, a->trial.task_snapshot))
		return err_set(
			err, ERR_USAGE, 0,
			"%s/%s, the snapshot of task %s, is gone: rollouts eval makes it again "
			"where the task is still what it was",
			store->root, a->trial.task_snapshot, a->trial.task_id);
	if (!task_snapshot_is_whole(store->root_fd, a->trial.task_snapshot))
		strv_pushf(&s->notes,
			   "the files of the task's snapshot (%s/%s) are not those from then",
			   store->root, a->trial.task_snapshot);
	if (*hash && strcmp(hash, a->trial.task_hash) != 0)
		strv_pushf(&s->notes,
			   "it was graded with another state of its task (%.12s) than this (%.12s)",
			   hash, a->trial.task_hash);
	note_image(s, store, &a->trial, json_get_str(result, "image_id", ""));
	return 0;
}

/* The same trial in a folder of its own, which people and programs do not take for a trial. */
static void describe(struct shell *s, struct attempt *a, const json_t *result,
		     const struct shell_request *q)
{
	json_t *shell = json_object();

	json_put_str(shell, "mode", q->mode);
	json_put_str(shell, "test", q->test);
	json_put_strv(shell, "argv", q->argv);
	json_put_bool(shell, "terminal", q->terminal);
	json_put_str(shell, "program", json_get_str(result, "program", NULL));
	s->run_id = xasprintf(DATA_PREFLIGHT_PREFIX "%s.shell-%d", q->run_id, (int)getpid());
	free(a->trial.run_id);
	a->trial.run_id = xstrdup(s->run_id);
	json_decref(a->shell);
	a->shell = shell;
	a->number = 1;
	a->agent_from = a->grades_from = 0;
	a->regrade = a->preflight = a->stream_output = a->sync = a->record = false;
	free(a->gateway);
	free(a->control);
	a->gateway = a->control = NULL;
	if (!user_may_change())
		a->uid = 0;
}

static int copy_work(const struct shell *s, const struct shell_request *q, struct err *err)
{
	static const char *const files[] = {ATTEMPT_DIFF, ATTEMPT_DIFF_TIMES};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		AUTO(free) char *from = datadir_attempt_file(q->run_id, q->attempt, files[i]);
		AUTO(free) char *to = datadir_attempt_file(s->run_id, 1, files[i]);
		AUTO(buf) struct buf bytes = BUF_INIT;
		if (!path_exists(s->root_fd, from))
			continue;
		if (path_read_beneath(s->root_fd, from, (size_t)1 << 30, &bytes, err) ||
		    path_write(s->root_fd, to, bytes.data, bytes.len, 0644, false, err))
			return -1;
	}
	return 0;
}

static int spawn(struct shell *s, const int descriptors[3], struct err *err)
{
	AUTO(free) char *worker = install_libexec("rollouts-trial");
	AUTO(free) char *dir = datadir_attempt(s->run_id, 1);
	AUTO(free) char *log_path = datadir_attempt_file(s->run_id, 1, ATTEMPT_WORKER_LOG);
	AUTO(strv) struct strv env = STRV_INIT;
	const char *path = getenv("PATH"), *argv[] = {worker, dir, NULL};
	int pipe[2];

	strv_setenv(&env, "PATH", path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
	strv_setenv(&env, "LANG", "C.UTF-8");
	network_env_add(&env);
	for (char **e = environ; *e; e++)
		if (strstr(*e, "SAN_OPTIONS="))
			strv_push(&env, *e);
	AUTO(fd)
	int log = path_open_beneath(s->root_fd, log_path, O_WRONLY | O_CREAT | O_APPEND, 0644, err);
	if (log < 0 || fd_pipe(pipe, err))
		return -1;
	AUTO(fd) int out = pipe[1];
	const struct spawn how = {.argv = argv,
				  .env = strv_items(&env),
				  .dir_fd = s->root_fd,
				  .in = -1,
				  .out = out,
				  .err = log,
				  .more = descriptors,
				  .more_n = 3};
	s->events = pipe[0];
	fd_set_nonblock(s->events, true);
	return spawn_start(&s->worker, &how, true, err);
}

int shell_start(struct shell *s, const struct store *store, const struct shell_request *q,
		const int descriptors[3], struct err *err)
{
	struct attempt a = {0};

	*s = (struct shell){.root_fd = store->root_fd,
			    .worker.pidfd = -1,
			    .events = -1,
			    .line = BUF_INIT,
			    .notes = STRV_INIT};
	if (read_attempt(&a, store, q, err))
		return -1;
	AUTO(json) json_t *result = read_result(store, q);
	int status = a.trial.sandbox == SANDBOX_NONE
			     ? err_set(err, ERR_USAGE, 0, "%s ran in no sandbox", q->run_id)
			     : note_changes(s, store, &a, result, err);
	if (!status)
		describe(s, &a, result, q);
	status = status || rundir_make(s->root_fd, &a, err) || copy_work(s, q, err) ||
		 spawn(s, descriptors, err);
	attempt_release(&a);
	return status ? -1 : 0;
}

static void take_line(struct shell *s, const char *text, size_t n)
{
	AUTO(json) json_t *j = NULL;
	struct err none;

	if (json_parse(&j, text, n, "event", &none))
		return;
	const char *event = json_get_str(j, "event", "");
	if (!strcmp(event, EVENT_NOTE))
		strv_push(&s->notes, json_get_str(j, "text", ""));
	s->started |= !strcmp(event, EVENT_PHASE) &&
		      !strcmp(json_get_str(j, "phase", ""), PHASE_EVALUATE);
	if (!strcmp(event, EVENT_SHELL)) {
		s->ended = true;
		s->status = (int)json_get_int(j, "status", 0);
		s->not_found = json_get_bool(j, "not_found", false);
		free(s->stopped);
		s->stopped = xstrdup(json_get_str(j, "stopped", NULL));
	}
	if (!strcmp(event, EVENT_SHELL_FAILED)) {
		free(s->failed);
		s->failed = xstrdup(json_get_str(j, "text", ""));
		s->mistaken = json_get_bool(j, "usage", false);
	}
}

bool shell_read(struct shell *s)
{
	char piece[4096], *newline;
	ssize_t n = read(s->events, piece, sizeof piece);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_add(&s->line, piece, (size_t)n);
	while ((newline = memchr(s->line.data, '\n', s->line.len))) {
		const size_t len = (size_t)(newline - s->line.data);
		take_line(s, s->line.data, len);
		memmove(s->line.data, newline + 1, s->line.len - len);
		s->line.len -= len + 1;
	}
	return n > 0;
}

void shell_end(struct shell *s)
{
	AUTO(free) char *run = s->run_id ? path_join(DATA_RUNS, s->run_id) : NULL;
	AUTO(free) char *dir = s->run_id ? datadir_attempt(s->run_id, 1) : NULL;
	struct err err;
	int status;

	if (s->worker.pid > 0) {
		pidfd_send_signal(s->worker.pidfd, SIGTERM, NULL, 0);
		if (spawn_wait(&s->worker, clock_mono_ms() + clock_grace_ms(GRACE_MS), &status,
			       &err))
			spawn_kill(&s->worker, true);
	}
	if (s->events >= 0)
		close(s->events);
	if (run && path_exists(s->root_fd, run)) {
		recover_sweep(s->root_fd, dir);
		if (path_remove_tree(s->root_fd, run, &err))
			log_warn("%s", err.msg);
	}
	buf_release(&s->line);
	strv_release(&s->notes);
	free(s->run_id);
	free(s->stopped);
	free(s->failed);
	*s = (struct shell){.events = -1, .worker.pidfd = -1};
}

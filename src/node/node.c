/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. One poll loop over a few slots, each a worker or free. Trials are begun in order. A worker is known by its
 * lines and its end; then its folder is packed, and the archive's name goes out as the last word of that trial. An engine may begin
 * a job again while its first execution goes on somewhere: each has an event file of its own, made so that only one can
 * have it; what an earlier one has ended is not run again, and on one machine a lock keeps two from running one trial at a time. The
 * submitting side takes the first end there is.
 */
#include "node/node.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sys/stat.h>
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
#include "core/token.h"
#include "core/trial.h"
#include "node/cache.h"
#include "node/home-models.h"
#include "node/inputs.h"
#include "node/node-gateway.h"
#include "node/node-image.h"
#include "node/node-place.h"
#include "node/node-spending.h"
#include "node/parcel.h"
#include "os/fdio.h"
#include "os/lines.h"
#include "os/network-env.h"
#include "os/spawn.h"
#include "store/rundir.h"

enum {
	DOCUMENT_MAX = 16 << 20,
	LINE_MAX_BYTES = 4 << 20,
	READ_BYTES = 64 << 10,
	GRACE_MS = 10000, /* as the scheduler has it */
	RETRY_LOCK_MS = 500,
	EXECUTIONS_MAX = 1000,
	EVENTS_MAX = 1 << 30,
};

struct slot {
	bool used;
	bool committed, finished; /* the agent's work, the attempt: heard before SIGTERM came */
	struct child child;	  /* pid 0: it waits for its lock */
	int out, lock;
	struct buf line;
	struct cache_hold hold;
	char *token, *dir, *run_id;
	int attempt;
	int64_t deadline_ms; /* 0: none */
	struct attempt spec;
	struct node_spending spending;
};

struct node {
	const struct node_request *q;
	struct cache cache;
	int data_fd, out_fd, event_fd, signal_fd;
	int execution;
	json_t *ended; /* token -> true: by an earlier execution */
	struct slot *slots;
	size_t running, next;
	struct buf events;
	struct strv env;
	struct node_gateway gateway;
	bool stopped; /* SIGTERM came */
	bool to_sync; /* something that must not be lost with this machine */
};

static void say(struct node *n, json_t *event_take)
{
	event_add(&n->events, event_take);
}

static void say_end(struct node *n, const struct slot *s, const char *how, const char *archive,
		    const struct parcel *made)
{
	json_t *e = json_object();

	json_put_str(e, "token", s->token);
	if (n->stopped && !s->finished) {
		json_put_bool(e, "stopped", true);
		json_put_bool(e, "committed", s->committed);
	}
	json_put_str(e, "ended", how);
	n->to_sync = true;
	json_put_str(e, "archive", archive);
	if (archive) {
		json_put_str(e, "sha256", made->sha256);
		json_put_int(e, "bytes", made->bytes);
	}
	say(n, e);
}

/* Written whole before its end is told; its name says which execution made it. */
static int pack(struct node *n, const struct slot *s, char **archive, struct parcel *made,
		struct err *err)
{
	AUTO(free) char *name = xasprintf("%s.%d.tar", s->token, n->execution);
	AUTO(free) char *temporary = xasprintf(".%s.%d", name, (int)getpid());
	AUTO(fd) int fd = openat(n->out_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "create %s", temporary);
	int rc = parcel_write(made, fd, n->cache.root_fd, s->dir, datadir_is_box, err);
	if (!rc && (fsync(fd) || renameat(n->out_fd, temporary, n->out_fd, name)))
		rc = err_set(err, ERR_INFRA, errno, "rename to %s", name);
	if (rc)
		unlinkat(n->out_fd, temporary, 0);
	else if (!(rc = source_put(&n->q->source, n->out_fd, name, err)))
		*archive = STEAL(&name);
	return rc;
}

/* Who holds it runs the trial on this machine. */
static char *run_lock(const struct slot *s)
{
	return xasprintf(".inputs/%s.run", s->token);
}

static void release(struct node *n, struct slot *s)
{
	AUTO(free) char *run = path_join(DATA_RUNS, s->run_id ? s->run_id : "");
	struct err err;

	if (s->lock >= 0) {
		AUTO(free) char *lock = run_lock(s);
		if (path_remove_tree(n->cache.root_fd, run, &err))
			log_warn("%s", err.msg);
		unlinkat(n->cache.root_fd, lock, 0);
	}
	auto_fd(&s->out);
	auto_fd(&s->lock);
	buf_release(&s->line);
	cache_release(&s->hold);
	attempt_release(&s->spec);
	free(s->token);
	free(s->dir);
	free(s->run_id);
	*s = (struct slot){.out = -1, .lock = -1, .line = BUF_INIT, .child = {0, -1}};
	n->running--;
	cache_trim(&n->cache);
}

static void end(struct node *n, struct slot *s, const char *how)
{
	AUTO(free) char *archive = NULL;
	AUTO(free) char *why = NULL;
	struct parcel made;
	struct err err;

	if (s->lock >= 0 && path_exists(n->cache.root_fd, s->dir) &&
	    pack(n, s, &archive, &made, &err))
		why = xasprintf("%s, and its files could not be packed: %s", how, err.msg);
	say_end(n, s, why ? why : how, archive, &made);
	release(n, s);
}

static void fail(struct node *n, struct slot *s, const struct err *err)
{
	AUTO(free) char *how = xasprintf("its node could not run it: %s", err->msg);

	end(n, s, how);
}

static void set_gateway(struct slot *s, const char *dir)
{
	free(s->spec.gateway);
	free(s->spec.control);
	s->spec.gateway = path_join(dir, ROLLOUT_GATEWAY_SOCKET);
	s->spec.control = path_join(dir, ROLLOUT_CONTROL_SOCKET);
}

/* The gateway beside the workers, started with the first that needs it, and what this one shows to it. */
static int add_gateway(struct node *n, struct slot *s, const char *keys, struct strv *env,
		       struct err *err)
{
	const struct attempt *a = &s->spec;

	if (!n->gateway.process && node_gateway_start(&n->gateway, n->cache.root_fd, n->data_fd,
						      keys, n->q->side_by_side, err))
		return -1;
	set_gateway(s, n->gateway.dir);
	const char *secret = node_gateway_secret(&n->gateway);
	AUTO(free) char *agent = token_make(secret, a->trial.run_id, a->number, "agent");
	AUTO(free) char *judge = token_make(secret, a->trial.run_id, a->number, "judge");
	strv_setenv(env, "ROLLOUTS_TOKEN", agent);
	strv_setenv(env, "ROLLOUTS_JUDGE_TOKEN", judge);
	return 0;
}

/* The gateway of the home, which makes the tokens. */
static int add_home_gateway(struct node *n, struct slot *s, struct strv *env, struct err *err)
{
	AUTO(free) char *path = path_join(s->dir, HOME_TOKENS);
	AUTO(json) json_t *j = NULL;

	if (source_get(&n->q->source, n->data_fd, path, err) ||
	    json_read(&j, n->data_fd, path, DOCUMENT_MAX, err))
		return -1;
	set_gateway(s, n->q->sockets);
	strv_setenv(env, "ROLLOUTS_TOKEN", json_get_str(j, "agent", ""));
	strv_setenv(env, "ROLLOUTS_JUDGE_TOKEN", json_get_str(j, "judge", ""));
	return 0;
}

static int start_worker(struct node *n, struct slot *s, const json_t *travel, struct err *err)
{
	AUTO(free) char *worker = install_libexec("rollouts-trial");
	AUTO(free) char *log_path = path_join(s->dir, ATTEMPT_WORKER_LOG);
	const char *argv[] = {worker, s->dir, NULL};
	int pipe[2];

	AUTO(strv) struct strv env = STRV_INIT;
	strv_pushv(&env, strv_items(&n->env));
	const char *keys = json_get_str(travel, "keys", NULL);
	const bool is_at_home = json_get_str(travel, "door", NULL);
	if ((keys && add_gateway(n, s, n->q->keys ? n->q->keys : keys, &env, err)) ||
	    (is_at_home && add_home_gateway(n, s, &env, err)) ||
	    rundir_make(n->cache.root_fd, &s->spec, err))
		return -1;
	AUTO(fd)
	int log = path_open_beneath(n->cache.root_fd, log_path,
				    O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0644, err);
	if (log < 0 || fd_pipe(pipe, err))
		return -1;
	AUTO(fd) int in = pipe[0];
	AUTO(fd) int out = pipe[1];
	struct spawn spawn = {.argv = argv,
			      .env = strv_items(&env),
			      .dir_fd = n->cache.root_fd,
			      .in = -1,
			      .out = out,
			      .err = log};
	if (spawn_start(&s->child, &spawn, true, err))
		return -1;
	if (keys)
		node_spending_start(&s->spending);
	fd_set_nonblock(in, true);
	s->out = fd_steal(&in);
	return 0;
}

/* 1: another execution runs this trial here. */
static int lock_run(struct node *n, struct slot *s, struct err *err)
{
	AUTO(free) char *path = run_lock(s);
	struct err why;

	s->lock = fd_lock(n->cache.root_fd, path, clock_mono_ms() - 1, &why);
	if (s->lock < 0 && why.kind == ERR_LIMIT)
		return 1;
	if (s->lock < 0) {
		*err = why;
		return -1;
	}
	/* What an execution that was killed left here. */
	AUTO(free) char *run = path_join(DATA_RUNS, s->run_id);
	return path_remove_tree(n->cache.root_fd, run, err);
}

static int read_trial(struct node *n, struct slot *s, json_t **travel, struct err *err)
{
	AUTO(free) char *trial = path_join(s->dir, ATTEMPT_TRIAL);
	AUTO(free) char *path = path_join(s->dir, ATTEMPT_TRAVEL);
	AUTO(json) json_t *j = NULL;

	if (source_get(&n->q->source, n->data_fd, path, err) ||
	    source_get(&n->q->source, n->data_fd, trial, err) ||
	    json_read(travel, n->data_fd, path, DOCUMENT_MAX, err) ||
	    json_read(&j, n->data_fd, trial, DOCUMENT_MAX, err) ||
	    attempt_from_json(&s->spec, j, trial, err))
		return -1;
	AUTO(free) char *expected = datadir_attempt(s->spec.trial.run_id, s->spec.number);
	if (strcmp(expected, s->dir) != 0)
		return err_set(err, ERR_INFRA, 0, "%s says %s", trial, expected);
	s->run_id = xstrdup(s->spec.trial.run_id);
	s->attempt = s->spec.number;
	return 0;
}

static bool was_ended(struct node *n, const char *token);

/* Those are asked for where the engine here lacks them. */
static json_t *without_images(const json_t *inputs)
{
	json_t *needed = json_array(), *input;
	size_t i;

	json_array_foreach (inputs, i, input)
		if (!json_object_get(input, "image"))
			json_array_append(needed, input);
	return needed;
}

/* Begun, or waiting for the lock. */
static int begin(struct node *n, struct slot *s, struct err *err)
{
	AUTO(json) json_t *travel = NULL;

	attempt_release(&s->spec);
	free(s->run_id);
	s->run_id = NULL;
	if (read_trial(n, s, &travel, err))
		return -1;
	int rc = lock_run(n, s, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	if (was_ended(n, s->token))
		return err_set(err, ERR_CANCELLED, 0,
			       "an earlier execution of this job has run it");
	const json_t *inputs = json_object_get(travel, "inputs");
	if (inputs_of_agent(n->q->alone))
		inputs_take_shares((json_t *)inputs);
	AUTO(json) json_t *needed = without_images(inputs);
	if (cache_have(&s->hold, &n->cache, n->data_fd, needed, err) ||
	    (s->spec.trial.sandbox == SANDBOX_DOCKER &&
	     node_image_have(&n->cache, n->data_fd, inputs, &s->spec.trial, err)))
		return -1;
	if (node_place(&s->spec, n->q, n->cache.root_fd, n->data_fd, inputs, err))
		return -1;
	return start_worker(n, s, travel, err);
}

static void take_slot(struct node *n, const char *dir)
{
	struct slot *s = n->slots;
	const char *attempt = path_base(dir);
	AUTO(free) char *attempts = path_folder(dir);
	AUTO(free) char *run = path_folder(attempts);
	struct err err;

	while (s->used)
		s++;
	n->running++;
	s->used = true;
	s->dir = xstrdup(dir);
	s->token = xasprintf("%s.%s", path_base(run), attempt);
	if (was_ended(n, s->token))
		release(n, s);
	else if (begin(n, s, &err))
		fail(n, s, &err);
}

/* Did SIGTERM come? */
static void take_signal(struct node *n)
{
	struct signalfd_siginfo info;

	if (read(n->signal_fd, &info, sizeof info) != sizeof info)
		return;
	n->stopped = true;
	for (int64_t i = 0; i < n->q->side_by_side; i++)
		if (n->slots[i].child.pid > 0)
			pidfd_send_signal(n->slots[i].child.pidfd, SIGTERM, NULL, 0);
}

struct hearer {
	struct node *n;
	struct slot *s;
};

static void say_line(struct node *n, const struct slot *s, json_t *line_take)
{
	json_t *e = json_object();

	json_put_str(e, "token", s->token);
	json_put(e, "line", line_take);
	say(n, e);
}

static void on_line(void *arg, const char *line, size_t len)
{
	struct hearer *h = arg;
	json_t *j = json_loadb(line, len, 0, NULL);

	const char *event = json_get_str(j, "event", "");
	const char *phase = json_get_str(j, "phase", "");
	/* An engine that ends a job signals all of its processes: what is said from then on may come of that. */
	h->s->committed |= !h->n->stopped && !strcmp(event, EVENT_AGENT_DONE);
	h->s->finished |= !h->n->stopped && !strcmp(event, EVENT_FINISHED);
	if (!strcmp(event, EVENT_PHASE)) {
		int64_t within = json_get_int(j, "deadline_ms", 0);
		h->s->deadline_ms =
			within > 0 ? clock_mono_ms() + within + clock_grace_ms(GRACE_MS) : 0;
	}
	/* From its agent's phase on it may cost something. */
	h->n->to_sync |= !strcmp(event, EVENT_AGENT_DONE) || !strcmp(phase, PHASE_AGENT);
	say_line(h->n, h->s, j ? j : json_null());
}

/* True while there may be more to read at once. */
static bool read_lines(struct node *n, struct slot *s)
{
	char block[READ_BYTES];
	take_signal(n);
	ssize_t k = s->out < 0 ? 0 : read(s->out, block, sizeof block);

	if (k < 0)
		return errno == EINTR;
	if (k == 0) {
		auto_fd(&s->out);
		s->out = -1;
		return false;
	}
	lines_feed(&s->line, block, (size_t)k, LINE_MAX_BYTES, on_line, &(struct hearer){n, s});
	return true;
}

static void finish(struct node *n, struct slot *s)
{
	char text[48];
	int status = -1;
	struct err ignored;
	siginfo_t how = {0};

	while (read_lines(n, s))
		;
	if (!waitid(P_PID, (id_t)s->child.pid, &how, WEXITED | WNOWAIT) &&
	    how.si_code != CLD_EXITED)
		kill(-s->child.pid, SIGKILL);
	if (spawn_wait(&s->child, 0, &status, &ignored))
		status = -1;
	end(n, s, spawn_status_text(status, text));
}

/* Milliseconds until something is due, -1: never. Not long, while the clock is watched. */
static int due(const struct node *n)
{
	int64_t now = clock_mono_ms(), longest = clock_wait_ms(0);
	int64_t first = n->gateway.process ? gateway_process_due(n->gateway.process) : -1;

	for (int64_t i = 0; i < n->q->side_by_side; i++) {
		const struct slot *s = &n->slots[i];
		int64_t at = !s->used		 ? -1
			     : s->child.pid <= 0 ? now + RETRY_LOCK_MS
			     : s->deadline_ms	 ? s->deadline_ms
						 : -1;
		if (s->spending.next_ms && (at < 0 || s->spending.next_ms < at))
			at = s->spending.next_ms;
		if (at >= 0 && (first < 0 || at < first))
			first = at;
	}
	if (first < 0 || (longest >= 0 && first > now + longest))
		return (int)longest;
	return first > now ? (int)(first - now) : 0;
}

static void enforce(struct node *n, struct slot *s)
{
	struct err err = {0};

	if (s->child.pid > 0 && s->deadline_ms && clock_mono_ms() >= s->deadline_ms) {
		s->deadline_ms = 0;
		pidfd_send_signal(s->child.pidfd, SIGKILL, NULL, 0);
	} else if (s->used && s->child.pid <= 0 && n->stopped) {
		end(n, s, "stopped before it began");
	} else if (s->used && s->child.pid <= 0 && begin(n, s, &err)) {
		fail(n, s, &err);
	}
}

static void turn(struct node *n, struct pollfd *fds)
{
	int64_t k = n->q->side_by_side;

	for (int64_t i = 0; i < k; i++) {
		fds[2 * i] = (struct pollfd){.fd = n->slots[i].child.pidfd, .events = POLLIN};
		fds[2 * i + 1] = (struct pollfd){.fd = n->slots[i].out, .events = POLLIN};
	}
	fds[2 * k] = (struct pollfd){.fd = n->signal_fd, .events = POLLIN};
	struct pollfd *others = fds + 2 * k + 1;
	size_t more = n->gateway.process ? gateway_process_watch(n->gateway.process, others) : 0;
	if (poll(fds, (nfds_t)(2 * k + 1) + more, due(n)) < 0)
		return;
	if (more)
		gateway_process_turn(n->gateway.process, others);
	take_signal(n);
	for (int64_t i = 0; i < k; i++) {
		struct slot *s = &n->slots[i];
		if (s->child.pid > 0 && fds[2 * i].revents)
			finish(n, s);
		else if (fds[2 * i + 1].revents)
			read_lines(n, s);
		enforce(n, s);
		json_t *news = s->child.pid > 0
				       ? node_spending_news(&s->spending, n->cache.root_fd, s->dir)
				       : NULL;
		if (news)
			say_line(n, s, news);
		n->to_sync |= news != NULL;
	}
}

static void read_ended(struct node *n, const char *path)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	if (path_read(AT_FDCWD, path, EVENTS_MAX, &text, &ignored))
		return;
	for (char *line = text.data, *newline; (newline = strchr(line, '\n')); line = newline + 1) {
		AUTO(json) json_t *j = json_loadb(line, (size_t)(newline - line), 0, NULL);
		if (json_object_get(j, "ended"))
			json_put_bool(n->ended, json_get_str(j, "token", ""), true);
	}
}

static bool was_ended(struct node *n, const char *token)
{
	for (int k = 0; k < n->execution; k++) {
		AUTO(free) char *path = xasprintf("%s.%d", n->q->events, k);
		read_ended(n, path);
	}
	return json_object_get(n->ended, token);
}

/* A file of our own, whatever runs beside us: O_EXCL holds on every file system that machines share. */
static int open_events(struct node *n, struct err *err)
{
	n->event_fd = n->q->events ? -1 : STDOUT_FILENO;
	for (int k = 0; n->event_fd < 0; k++) {
		AUTO(free) char *path = xasprintf("%s.%d", n->q->events, k);
		n->event_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
		if (n->event_fd < 0 && (errno != EEXIST || k >= EXECUTIONS_MAX))
			return err_set(err, ERR_INFRA, errno, "create %s", path);
		n->execution = k;
	}
	return 0;
}

static int open_folders(struct node *n, struct err *err)
{
	const struct node_request *q = n->q;
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	n->data_fd = open(q->data, flags);
	if (n->data_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open the data folder %s", q->data);
	n->out_fd = open(q->out, flags);
	if (n->out_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open the folder for archives %s", q->out);
	n->cache.source = &q->source;
	return cache_open(&n->cache, q->cache, q->cache_mb << 20, err) ? -1 : open_events(n, err);
}

static int open_node(struct node *n, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_set(err, ERR_INFRA, errno, "block signals");
	n->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (n->signal_fd < 0)
		return err_set(err, ERR_INFRA, errno, "signalfd");
	worker_env_add(&n->env);
	n->slots = xcalloc((size_t)n->q->side_by_side, sizeof *n->slots);
	for (int64_t i = 0; i < n->q->side_by_side; i++)
		n->slots[i] =
			(struct slot){.out = -1, .lock = -1, .line = BUF_INIT, .child = {0, -1}};
	return open_folders(n, err);
}

static void greet(struct node *n)
{
	char host[256] = "";
	json_t *e = json_object();

	gethostname(host, sizeof host - 1);
	json_put_str(e, "node", host);
	json_put_int(e, "pid", getpid());
	json_put_int(e, "execution", n->execution);
	say(n, e);
}

/* Where machines share a file system, the others may see what was written only once it is synced. */
static void send_events(struct node *n)
{
	event_send(n->event_fd, &n->events);
	if (n->to_sync && n->q->events)
		fdatasync(n->event_fd);
	n->to_sync = false;
}

static void loop(struct node *n)
{
	AUTO(free)
	struct pollfd *fds =
		xcalloc(2 * (size_t)n->q->side_by_side + 1 + GATEWAY_PROCESS_FDS, sizeof *fds);

	for (;;) {
		while (!n->stopped && n->running < (size_t)n->q->side_by_side &&
		       n->next < n->q->dirs.n)
			take_slot(n, n->q->dirs.v[n->next++]);
		send_events(n);
		if (!n->running && (n->stopped || n->next == n->q->dirs.n))
			return;
		clock_watch(true);
		turn(n, fds);
	}
}

int node_run(const struct node_request *q)
{
	struct node n = {.q = q,
			 .cache.root_fd = -1,
			 .data_fd = -1,
			 .out_fd = -1,
			 .event_fd = -1,
			 .signal_fd = -1,
			 .gateway.dir_fd = -1,
			 .ended = json_object(),
			 .events = BUF_INIT,
			 .env = STRV_INIT};
	struct err err;
	int status = 1;

	if (open_node(&n, &err)) {
		log_warn("%s", err.msg);
	} else {
		greet(&n);
		loop(&n);
		json_t *e = json_object();
		json_put_str(e, "left", n.stopped ? "stopped" : "done");
		say(&n, e);
		send_events(&n);
		status = n.stopped;
	}
	node_gateway_stop(&n.gateway, n.cache.root_fd);
	cache_close(&n.cache);
	strv_release(&n.env);
	buf_release(&n.events);
	json_decref(n.ended);
	free(n.slots);
	return status;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. Two programs are spoken to: the launcher's own, which knows an engine, and the porter (node/porter.h), which packs
 * what a trial needs and unpacks what came back. A job goes through the states below, one after the other; messages about many
 * jobs go together, once a turn of the loop. The launcher's program may die at any time: it is started again and told of the
 * jobs that it had. A job it had been told of and had not answered for is asked after before it is submitted again, so that a lost
 * answer starts nothing twice.
 */
#include "launch/launch-driver.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/launcher.h"
#include "launch/driver-internal.h"

enum {
	VERSION = 1,
	HELLO_MS = 60000,
	LEAVE_MS = 5000,
	GATHER_MS = 200, /* jobs that are ready wait so long for others that are being packed */
	RESTARTS = 5,	 /* one after the other, without an answer between them */
	RESTART_MS = 500,
	GONE_MS = 60000, /* a job that was to be killed ends by then, or is given up */
};

static struct driver *driver_of(const struct launch *l)
{
	if (l->launcher != &launch_driver)
		bug("not a launcher that is a program");
	return (struct driver *)l;
}

static json_t *message(const char *op)
{
	json_t *m = json_object();

	json_put_str(m, "op", op);
	return m;
}

static void send_hello(struct driver *d)
{
	json_t *m = message("hello");

	json_put_int(m, "v", VERSION);
	json_put_str(m, "launcher", d->spec.name);
	json_put_str(m, "data", d->root);
	json_put_str(m, "state", d->state_dir);
	json_put_str(m, "node", d->node);
	json_put_int(m, "parallel", (json_int_t)d->spec.parallel);
	json_put(m, "settings",
		 d->spec.settings ? json_deep_copy(d->spec.settings) : json_object());
	peer_send(&d->peer, m);
}

static int start_program(struct driver *d, struct err *err)
{
	const char *argv[] = {d->program, NULL};

	d->greeted = d->polling = false;
	*d->refused = '\0';
	if (peer_start(&d->peer, argv, d->spec.root_fd, d->log_fd, err))
		return -1;
	send_hello(d);
	return 0;
}

static int start_porter(struct driver *d, struct err *err)
{
	const char *argv[] = {d->node, "porter", NULL};

	return peer_start(&d->porter, argv, d->spec.root_fd, d->log_fd, err);
}

/* Its first answer is waited for: what its settings say wrongly is told before anything is started. */
static int greet(struct driver *d, struct err *err)
{
	int64_t end = clock_mono_ms() + HELLO_MS;

	while (!d->greeted && !*d->refused) {
		struct pollfd p = peer_watch(&d->peer);
		int64_t left = end - clock_mono_ms();
		if (left <= 0)
			return err_set(err, ERR_INFRA, 0,
				       "launcher %s: no answer from %s within a minute",
				       d->spec.name, d->program);
		if (poll(&p, 1, (int)left) > 0 && !peer_turn(&d->peer, p.revents, driver_hear, d) &&
		    !d->greeted && !*d->refused)
			return err_set(
				err, ERR_INFRA, 0,
				"launcher %s: %s ended without an answer; its last words are in "
				"%s/log",
				d->spec.name, d->program, d->state_dir);
	}
	return *d->refused ? err_set(err, d->fault ? ERR_INFRA : ERR_USAGE, 0, "launcher %s: %s",
				     d->spec.name, d->refused)
			   : 0;
}

static json_t *describe(const struct job *j, bool whole)
{
	json_t *m = json_object();

	json_put_str(m, "token", j->token);
	json_put_str(m, "dir", j->dir);
	if (j->name)
		json_put_str(m, "job", j->name);
	if (!whole)
		return m;
	json_put(m, "inputs", json_incref(j->inputs));
	json_put_real(m, "cpus", j->limits.cpus);
	json_put_int(m, "memory_mb", j->limits.memory_mb);
	json_put_int(m, "disk_mb", j->limits.disk_mb);
	json_put_int(m, "time_sec", limits_job_sec(&j->limits));
	return m;
}

static void send_done(struct driver *d)
{
	if (!json_array_size(d->done))
		return;
	json_t *m = message("done");
	json_put(m, "jobs", d->done);
	d->done = json_array();
	peer_send(&d->peer, m);
}

static void driver_close(struct launch *launch)
{
	struct driver *d = driver_of(launch);

	if (d->greeted)
		send_done(d);
	peer_stop(&d->peer, LEAVE_MS);
	peer_stop(&d->porter, 0);
	for (size_t i = 0; i < d->spec.parallel; i++)
		driver_release(&d->jobs[i]);
	auto_fd(&d->log_fd);
	json_decref(d->done);
	json_decref(d->by_token);
	free(d->jobs);
	free(d->program);
	free(d->node);
	free(d->root);
	free(d->state_dir);
	free(d);
}

static int open_log(struct driver *d, struct err *err)
{
	AUTO(free) char *dir = path_join(DATA_LAUNCH, d->spec.name);
	AUTO(free) char *log = path_join(dir, "log");

	if (path_make_dirs(d->spec.root_fd, dir, 0700, err))
		return -1;
	d->root = path_of_fd(d->spec.root_fd);
	d->state_dir = path_join(d->root, dir);
	d->log_fd =
		path_open_beneath(d->spec.root_fd, log, O_WRONLY | O_CREAT | O_APPEND, 0600, err);
	return d->log_fd < 0 ? -1 : 0;
}

static int driver_open(struct launch **out, const struct launch_spec *spec, struct err *err)
{
	struct driver *d = xcalloc(1, sizeof *d);

	*d = (struct driver){.base.launcher = &launch_driver,
			     .spec = *spec,
			     .program = launcher_program(spec->name),
			     .node = install_libexec("rollouts-node"),
			     .peer = PEER_NONE,
			     .porter = PEER_NONE,
			     .log_fd = -1,
			     .done = json_array(),
			     .by_token = json_object(),
			     .jobs = xcalloc(spec->parallel, sizeof *d->jobs),
			     .poll_ms = DRIVER_POLL_MS,
			     .batch = DRIVER_BATCH};
	int rc = d->program ? open_log(d, err)
			    : err_set(err, ERR_USAGE, 0,
				      "launcher %s: there is no program rollouts-launch-%s",
				      spec->name, spec->name);
	if (rc || start_program(d, err) || greet(d, err) || start_porter(d, err)) {
		driver_close(&d->base);
		return -1;
	}
	*out = &d->base;
	return 0;
}

/* Over there is no gateway of this machine's and no user of its own: rollouts-node fills in what holds there. */
static void driver_place(struct launch *launch, struct attempt *a)
{
	const struct driver *d = driver_of(launch);
	const bool asks = (d->asks_here ? d->spec.node_door : d->spec.node_keys) &&
			  (*a->trial.provider || a->judge.provider);

	a->gateway = a->control = asks ? (char *)"elsewhere" : NULL;
	a->uid = 0;
}

/* It is free from here on. */
static void drop(struct driver *d, struct job *j)
{
	if (j->token)
		json_object_del(d->by_token, j->token);
	driver_release(j);
}

static struct job *take(struct driver *d, const struct launch_job *job)
{
	struct job *j = &d->jobs[job->id];

	drop(d, j);
	j->dir = xstrdup(job->dir);
	j->token = driver_token(job->dir);
	json_put_int(d->by_token, j->token, (int64_t)job->id);
	j->limits = *job->limits;
	return j;
}

static int driver_submit(struct launch *launch, const struct launch_job *job, struct err *err)
{
	struct driver *d = driver_of(launch);

	take(d, job);
	driver_pack(d, job->id);
	return 0;
}

static int driver_attach(struct launch *launch, const struct launch_job *job, const char *name,
			 struct err *err)
{
	struct driver *d = driver_of(launch);
	struct job *j = take(d, job);
	AUTO(free) char *result = path_join(j->dir, ATTEMPT_RESULT);

	j->state = ASKED;
	j->name = xstrdup(name);
	/* Nobody wrote down that its engine has it: where that has not, it was never begun. */
	j->again = !name;
	if (path_exists(d->spec.root_fd, result))
		driver_over(j, "it had ended, and its supervisor had not written that down");
	return 0;
}

static size_t driver_watch(const struct launch *launch, struct pollfd *fds)
{
	const struct driver *d = driver_of(launch);

	fds[0] = peer_watch(&d->peer);
	fds[1] = peer_watch(&d->porter);
	return 2;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int64_t driver_due(const struct launch *launch)
{
	const struct driver *d = driver_of(launch);
	int64_t due = d->restart_ms ? d->restart_ms : -1;

	for (size_t i = 0; i < d->spec.parallel; i++) {
		const struct job *j = &d->jobs[i];
		if (j->state == OVER || (j->state == CAME && !j->due_ms) ||
		    (d->greeted && ((j->state == ASKED || j->state == FETCHING) && !j->asked)) ||
		    (d->greeted && j->to_cancel && j->state == THERE) ||
		    (j->cancelled && (j->state == PACKING || j->state == READY)))
			return 0;
		if (j->state == READY && d->greeted)
			due = sooner(due, d->ready_since_ms ? d->ready_since_ms + GATHER_MS : 0);
		if (j->due_ms)
			due = sooner(due, j->due_ms);
		if (j->state == THERE && d->greeted && !d->polling)
			due = sooner(due, d->next_poll_ms);
	}
	return due;
}

/* Jobs of STATE that were not yet told of, in messages of at most a batch. */
static void send_all(struct driver *d, const char *op, enum state state, bool whole)
{
	json_t *m = NULL, *jobs = NULL;

	for (size_t i = 0; i < d->spec.parallel; i++) {
		struct job *j = &d->jobs[i];
		if (j->state != state || j->asked)
			continue;
		if (!m) {
			m = message(op);
			json_put(m, "jobs", jobs = json_array());
		}
		json_array_append_new(jobs, describe(j, whole));
		j->asked = true;
		if (state == READY) {
			j->state = SENT;
			json_decref(j->inputs);
			j->inputs = NULL;
		}
		if (json_array_size(jobs) == d->batch) {
			peer_send(&d->peer, m);
			m = NULL;
		}
	}
	if (m)
		peer_send(&d->peer, m);
}

static void send_cancels(struct driver *d, enum launch_cancel how)
{
	json_t *m = message("cancel"), *jobs = json_array();

	for (size_t i = 0; i < d->spec.parallel; i++) {
		struct job *j = &d->jobs[i];
		if (!j->to_cancel || j->cancel != how || j->state != THERE)
			continue;
		j->to_cancel = false;
		json_array_append_new(jobs, describe(j, false));
	}
	json_put_str(m, "how", how == LAUNCH_KILL ? "kill" : "stop");
	json_put(m, "jobs", jobs);
	if (json_array_size(jobs))
		peer_send(&d->peer, m);
	else
		json_decref(m);
}

/* One message for many jobs: who is ready waits a moment for those that are being packed. */
static bool may_submit(struct driver *d)
{
	size_t ready = 0, packing = 0;
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < d->spec.parallel; i++) {
		ready += d->jobs[i].state == READY;
		packing += d->jobs[i].state == PACKING;
	}
	if (!ready) {
		d->ready_since_ms = 0;
		return false;
	}
	if (!d->ready_since_ms)
		d->ready_since_ms = now;
	return !packing || ready >= d->batch || now >= d->ready_since_ms + GATHER_MS;
}

static void ask(struct driver *d)
{
	int64_t now = clock_mono_ms();
	bool there = false;

	if (!d->greeted)
		return;
	send_all(d, "attach", ASKED, false);
	if (may_submit(d)) {
		send_all(d, "submit", READY, true);
		d->ready_since_ms = 0;
	}
	if (!d->is_shared)
		send_all(d, "fetch", FETCHING, false);
	send_done(d);
	send_cancels(d, LAUNCH_STOP);
	send_cancels(d, LAUNCH_KILL);
	for (size_t i = 0; i < d->spec.parallel; i++)
		there |= d->jobs[i].state == THERE;
	if (there && !d->polling && now >= d->next_poll_ms) {
		d->polling = true;
		d->next_poll_ms = now + d->poll_ms;
		peer_send(&d->peer, message("poll"));
	}
}

/* What needs no program's answer. Ends are told last: who is told may submit, into the same place. */
static void advance(struct driver *d, size_t id)
{
	struct job *j = &d->jobs[id];
	int64_t now = clock_mono_ms();

	if (j->cancelled && (j->state == PACKING || j->state == READY))
		driver_over(j, "cancelled before it was submitted");
	if (j->state == CAME && now >= j->due_ms) {
		json_t *m = message("unpack");
		json_put_str(m, "dir", j->dir);
		json_put_str(m, "archive", j->archive);
		json_put_bool(m, "cancelled", j->cancelled);
		json_put_bool(m, "stopped", j->stopped);
		json_put_bool(m, "committed", j->committed);
		peer_send(&d->porter, m);
		j->state = UNPACKING;
		j->due_ms = 0;
	}
	if (j->due_ms && now >= j->due_ms && j->state != CAME)
		driver_over(j, "it was cancelled, and its engine does not say that it ended");
	if (j->state == OVER) {
		struct job done = *j;
		json_array_append_new(d->done, describe(j, false));
		json_object_del(d->by_token, done.token);
		*j = (struct job){FREE};
		driver_tell(d, id, LAUNCH_ENDED, (struct launch_event){.how = done.how});
		driver_release(&done);
	}
}

/* Whatever it was asked is asked again; what it may have submitted is asked after first. */
static void program_left(struct driver *d)
{
	peer_stop(&d->peer, 0);
	d->greeted = d->polling = false;
	d->restart_ms = clock_mono_ms() + (RESTART_MS << (d->deaths < RESTARTS ? d->deaths : 0));
	d->deaths++;
	log_warn("launcher %s: its program ended%s%s; starting it again", d->spec.name,
		 *d->refused ? ": " : "", d->refused);
	for (size_t i = 0; i < d->spec.parallel; i++) {
		struct job *j = &d->jobs[i];
		if (j->state == SENT || j->state == THERE || j->state == ASKED) {
			j->again = j->state == SENT;
			j->state = ASKED;
		}
		j->asked = false;
		j->to_cancel = j->cancelled && j->state != PACKING && j->state != READY;
	}
}

static void give_up(struct driver *d)
{
	AUTO(free)
	char *how = xasprintf("the program of launcher %s ends again and again (%s/log)",
			      d->spec.name, d->state_dir);

	for (size_t i = 0; i < d->spec.parallel; i++)
		if (d->jobs[i].state != FREE && d->jobs[i].state < CAME)
			driver_over(&d->jobs[i], how);
	d->restart_ms = 0;
	d->deaths = 0;
}

static void keep_program(struct driver *d)
{
	struct err err;

	if (!d->restart_ms || clock_mono_ms() < d->restart_ms)
		return;
	if (d->deaths > RESTARTS) {
		give_up(d);
		d->restart_ms = clock_mono_ms() + GONE_MS;
		return;
	}
	d->restart_ms = 0;
	if (start_program(d, &err)) {
		log_warn("%s", err.msg);
		program_left(d);
	}
}

static void keep_porter(struct driver *d)
{
	struct err err;

	peer_stop(&d->porter, 0);
	for (size_t i = 0; i < d->spec.parallel; i++) {
		struct job *j = &d->jobs[i];
		if (j->state == PACKING || j->state == UNPACKING)
			driver_over(j, "the program that packs and unpacks its files ended");
	}
	if (start_porter(d, &err))
		log_warn("%s", err.msg);
}

static void driver_poll(struct launch *launch, const struct pollfd *fds, launch_fn *fn, void *arg)
{
	struct driver *d = driver_of(launch);

	d->fn = fn;
	d->arg = arg;
	keep_program(d);
	if (d->peer.fd >= 0 && !peer_turn(&d->peer, fds[0].revents, driver_hear, d))
		program_left(d);
	if (!peer_turn(&d->porter, fds[1].revents, driver_hear_porter, d))
		keep_porter(d);
	ask(d);
	for (size_t i = 0; i < d->spec.parallel; i++)
		if (d->jobs[i].state != FREE)
			advance(d, i);
	d->fn = NULL;
}

static void driver_cancel(struct launch *launch, size_t id, enum launch_cancel how)
{
	struct job *j = &driver_of(launch)->jobs[id];

	j->cancelled = j->to_cancel = true;
	j->cancel = how;
	if (how == LAUNCH_KILL && j->state >= SENT && j->state <= THERE)
		j->due_ms = clock_mono_ms() + GONE_MS;
}

bool launch_driver_asks_here(const struct launch *launch)
{
	return driver_of(launch)->asks_here;
}

const struct launcher launch_driver = {
	.open = driver_open,
	.place = driver_place,
	.submit = driver_submit,
	.attach = driver_attach,
	.watch = driver_watch,
	.due = driver_due,
	.poll = driver_poll,
	.cancel = driver_cancel,
	.close = driver_close,
};

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/driver-internal.h"

enum {
	UNPACK_AGAIN_MS = 1000,
	UNPACK_TRIES = 90, /* a shared file system may show a new file as late as that */
};

static void set(char **to, const char *text)
{
	free(*to);
	*to = xstrdup(text);
}

char *driver_token(const char *dir)
{
	AUTO(free) char *attempts = path_folder(dir);
	AUTO(free) char *run = path_folder(attempts);

	return xasprintf("%s.%s", path_base(run), path_base(dir));
}

void driver_pack(struct driver *d, size_t id)
{
	struct job *j = &d->jobs[id];
	json_t *m = json_object();

	j->state = PACKING;
	json_put_str(m, "op", "pack");
	json_put_str(m, "dir", j->dir);
	json_put_bool(m, "shares", d->shares);
	if (d->asks_here)
		json_put_str(m, "door", d->spec.node_door);
	else
		json_put_str(m, "keys", d->spec.node_keys);
	peer_send(&d->porter, m);
}

void driver_tell(struct driver *d, size_t id, enum launch_kind kind, struct launch_event e)
{
	e.kind = kind;
	e.id = id;
	d->fn(d->arg, &e);
}

void driver_over(struct job *j, const char *how)
{
	j->state = OVER;
	set(&j->how, how);
}

void driver_release(struct job *j)
{
	free(j->token);
	free(j->dir);
	free(j->name);
	free(j->how);
	free(j->archive);
	json_decref(j->inputs);
	*j = (struct job){FREE};
}

static struct job *find(const struct driver *d, const char *token)
{
	const json_t *id = json_object_get(d->by_token, token);

	return id ? &d->jobs[json_integer_value(id)] : NULL;
}

/* Its token is made of the parts of its folder. */
static struct job *find_by_dir(const struct driver *d, const char *dir)
{
	AUTO(free) char *token = driver_token(dir);

	return find(d, token);
}

static size_t id_of(const struct driver *d, const struct job *j)
{
	return (size_t)(j - d->jobs);
}

static void begin_result(struct driver *d, struct job *j, const json_t *m)
{
	const char *archive = json_get_str(m, "archive", NULL);

	if (j->state != THERE && j->state != SENT && j->state != ASKED)
		return; /* told twice */
	set(&j->how, json_get_str(m, "how", "it ended, and its launcher does not say how"));
	j->stopped = json_get_bool(m, "stopped", false);
	j->committed = json_get_bool(m, "committed", false);
	j->asked = false;
	j->due_ms = 0;
	if (archive) {
		set(&j->archive, archive);
		j->state = CAME;
	} else if (json_get_bool(m, "result", false)) {
		j->state = FETCHING;
	} else {
		j->state = OVER;
	}
}

static void on_submitted(struct driver *d, struct job *j, const json_t *m)
{
	const char *name = json_get_str(m, "job", NULL);
	const char *error = json_get_str(m, "error", "not submitted");

	if (j->state != SENT && j->state != ASKED && j->state != THERE)
		return;
	if (!name && j->again && json_get_bool(m, "unknown", false)) {
		j->asked = j->again = false;
		driver_pack(d, id_of(d, j));
		return;
	}
	if (!name) {
		driver_over(j, error);
		return;
	}
	j->state = THERE;
	j->again = false;
	if (!j->name || strcmp(j->name, name) != 0)
		driver_tell(d, id_of(d, j), LAUNCH_NAMED, (struct launch_event){.name = name});
	set(&j->name, name);
}

static void on_line(struct driver *d, struct job *j, const json_t *m)
{
	AUTO(buf) struct buf line = BUF_INIT;

	if (j->state != THERE)
		return;
	json_format(&line, json_object_get(m, "line"), false);
	driver_tell(d, id_of(d, j), LAUNCH_LINE,
		    (struct launch_event){.line = line.data, .len = line.len});
}

static void on_fetched(struct job *j, const json_t *m)
{
	const char *archive = json_get_str(m, "archive", NULL);

	if (j->state != FETCHING)
		return;
	if (!archive) {
		AUTO(free) char *how = xasprintf("%s, and its files were not to be had: %s", j->how,
						 json_get_str(m, "error", "no reason given"));
		driver_over(j, how);
		return;
	}
	set(&j->archive, archive);
	j->state = CAME;
}

static void on_hello(struct driver *d, const json_t *m)
{
	d->greeted = true;
	d->is_shared = strcmp(json_get_str(m, "files", "shared"), "copied") != 0;
	d->asks_here = !strcmp(json_get_str(m, "models", "node"), "here");
	d->shares = json_get_bool(m, "shares", false);
	d->attaches = json_get_bool(m, "attach", false);
	d->poll_ms = json_get_int(m, "poll_ms", DRIVER_POLL_MS);
	d->batch = (size_t)json_get_int(m, "batch", DRIVER_BATCH);
	if (!d->batch || d->batch > DRIVER_BATCH)
		d->batch = DRIVER_BATCH;
}

/* Of one job: the message itself says which, or lists several. */
static void on_job(struct driver *d, const char *event, const json_t *m)
{
	struct job *j = find(d, json_get_str(m, "token", ""));

	if (!j)
		return;
	if (!strcmp(event, "submitted"))
		on_submitted(d, j, m);
	else if (!strcmp(event, "starting") && j->state == THERE)
		driver_tell(d, id_of(d, j), LAUNCH_STARTING, (struct launch_event){0});
	else if (!strcmp(event, "line"))
		on_line(d, j, m);
	else if (!strcmp(event, "fetched"))
		on_fetched(j, m);
	else if (!strcmp(event, "ended"))
		begin_result(d, j, m);
}

void driver_hear(void *arg, const json_t *m)
{
	struct driver *d = arg;
	const char *event = json_get_str(m, "event", "");
	const json_t *jobs = json_object_get(m, "jobs");
	size_t i;
	json_t *one;

	if (!strcmp(event, "hello"))
		on_hello(d, m);
	else if (!strcmp(event, "refused"))
		d->fault = json_get_bool(m, "fault", false),
		snprintf(d->refused, sizeof d->refused, "%s",
			 json_get_str(m, "text", "no reason given"));
	else if (!strcmp(event, "polled"))
		d->polling = false;
	else if (!strcmp(event, "note"))
		log_warn("launcher %s: %s", d->spec.name, json_get_str(m, "text", ""));
	else
		d->answered = true;
	if (strcmp(event, "hello") != 0)
		d->deaths = 0;
	if (!d->fn)
		return;
	if (!jobs)
		on_job(d, event, m);
	json_array_foreach (jobs, i, one)
		on_job(d, event, one);
}

void driver_hear_porter(void *arg, const json_t *m)
{
	struct driver *d = arg;
	const char *event = json_get_str(m, "event", "");
	struct job *j = find_by_dir(d, json_get_str(m, "dir", ""));

	if (!j)
		return;
	if (!strcmp(event, "packed") && j->state == PACKING) {
		j->inputs = json_incref(json_object_get(m, "inputs"));
		j->state = READY;
	} else if (!strcmp(event, "unpacked") && j->state == UNPACKING) {
		j->state = OVER;
	} else if (!strcmp(event, "failed") && j->state == PACKING) {
		driver_over(j, json_get_str(m, "text", ""));
	} else if (!strcmp(event, "failed") && j->state == UNPACKING) {
		AUTO(free) char *how = xasprintf("%s, and its files could not be taken in: %s",
						 j->how, json_get_str(m, "text", ""));
		if (!json_get_bool(m, "retry", false) || ++j->tries >= UNPACK_TRIES) {
			driver_over(j, how);
			return;
		}
		j->state = CAME;
		j->due_ms = clock_mono_ms() + UNPACK_AGAIN_MS;
	}
}

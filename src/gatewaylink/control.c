/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gatewaylink/control.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "os/fdio.h"

enum { MESSAGE_MAX = 64 << 10, ANSWER_MS = 10000 };

struct control {
	int fd;
	int64_t asked;
};

static int gone(struct err *err)
{
	err_set(err, ERR_INFRA, 0, "the gateway is gone");
	err->retry = true;
	return -1;
}

/* The models of ROLES, by those who answer them. */
static json_t *others(const json_t *roles)
{
	json_t *list = json_array(), *role;
	const char *name;

	json_object_foreach ((json_t *)roles, name, role) {
		json_t *j = json_object();
		json_put_str(j, "model", json_get_str(role, "model_id", ""));
		json_put_str(j, "provider", json_get_str(role, "provider", ""));
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *attach_message(const struct control_attach *a)
{
	json_t *j = json_object(), *limits = json_object();

	json_put_str(j, "op", "attach");
	json_put_str(j, "token", a->token);
	json_put_str(j, "provider", a->provider);
	json_put_str(j, "model", a->model);
	json_put_str(j, "task", a->task);
	if (a->limits.tokens)
		json_put_int(limits, "tokens", a->limits.tokens);
	if (a->limits.calls)
		json_put_int(limits, "calls", a->limits.calls);
	if (a->limits.usd > 0)
		json_put_real(limits, "usd", a->limits.usd);
	json_put(j, "limits", limits);
	if (a->declared)
		json_put(j, "models", others(a->roles));
	if (a->open_fd >= 0)
		json_put_bool(j, "open", true);
	if (a->replay_fd >= 0)
		json_put_str(j, "replay", a->replay_or_live ? "live" : "strict");
	return j;
}

static int receive(struct control *c, int64_t deadline_ms, json_t **out, struct err *err)
{
	AUTO(free) char *text = xmalloc(MESSAGE_MAX);
	ssize_t n = fd_recv(c->fd, text, MESSAGE_MAX, NULL, NULL, deadline_ms, err);

	if (n < 0 && err->kind == ERR_LIMIT)
		return -1;
	if (n <= 0)
		return gone(err);
	if (json_parse(out, text, (size_t)n, "gateway", err)) {
		err->kind = ERR_INFRA;
		return -1;
	}
	return 0;
}

static int attach(struct control *c, const struct control_attach *a, struct err *err)
{
	AUTO(json) json_t *message = attach_message(a), *answer = NULL;
	AUTO(buf) struct buf text = BUF_INIT;
	int fds[4];
	size_t n = 0;

	json_format(&text, message, false);
	fds[n++] = a->log_fd;
	if (a->open_fd >= 0)
		fds[n++] = a->open_fd;
	if (a->record_fd >= 0)
		fds[n++] = a->record_fd;
	if (a->replay_fd >= 0)
		fds[n++] = a->replay_fd;
	if (fd_send(c->fd, text.data, text.len, fds, n, err) < 0)
		return gone(err);
	if (receive(c, clock_mono_ms() + ANSWER_MS, &answer, err)) {
		err->retry |= err->kind == ERR_LIMIT; /* it is slow today */
		err->kind = ERR_INFRA;
		return err_wrap(err, "attach to the gateway");
	}
	if (strcmp(json_get_str(answer, "event", ""), "attached") == 0)
		return 0;
	return err_set(err, ERR_INFRA, 0, "the gateway refuses this attempt: %s",
		       json_get_str(answer, "text", "no reason given"));
}

int control_open(struct control **out, const struct control_attach *a, struct err *err)
{
	struct control c = {.fd = fd_connect_at(a->root_fd, a->path, SOCK_SEQPACKET, err)};

	if (c.fd < 0)
		return -1;
	if (attach(&c, a, err)) {
		close(c.fd);
		return -1;
	}
	*out = xmalloc(sizeof c);
	**out = c;
	return 0;
}

int control_fd(const struct control *c)
{
	return c->fd;
}

static void join(char *out, size_t size, const json_t *list)
{
	size_t i, n = 0;
	json_t *item;

	out[0] = '\0';
	json_array_foreach (list, i, item) {
		int more = snprintf(out + n, size - n, "%s%s", i ? ", " : "",
				    json_is_string(item) ? json_string_value(item) : "");
		if (more < 0 || n + (size_t)more >= size)
			return;
		n += (size_t)more;
	}
}

static void read_failure(struct control_failure *out, const json_t *j)
{
	snprintf(out->text, sizeof out->text, "%s", json_get_str(j, "text", ""));
	out->retry = json_get_bool(j, "retry", false);
	out->refused = json_get_bool(j, "refused", false);
}

static void read_state(struct control_state *out, const json_t *j)
{
	*out = (struct control_state){
		.waited_ms = json_get_int(j, "waited_ms", 0),
		.calls = json_get_int(j, "calls", 0),
		.tokens_input = json_get_int(j, "tokens_input", 0),
		.tokens_cached = json_get_int(j, "tokens_cached", 0),
		.tokens_cache_write = json_get_int(j, "tokens_cache_write", 0),
		.tokens_output = json_get_int(j, "tokens_output", 0),
		.tokens_reasoning = json_get_int(j, "tokens_reasoning", 0),
		.estimated = json_get_int(j, "estimated", 0),
		.usd = json_get_real(j, "usd", -1),
	};
	snprintf(out->limit, sizeof out->limit, "%s", json_get_str(j, "limit", ""));
	read_failure(&out->failed, json_object_get(j, "failed"));
	read_failure(&out->unanswered, json_object_get(j, "unanswered"));
	out->answered = json_get_bool(j, "answered", false);
	snprintf(out->undeclared, sizeof out->undeclared, "%s", json_get_str(j, "undeclared", ""));
	model_shares_from_json(&out->by_model, json_object_get(j, "by_model"));
	snprintf(out->diverged, sizeof out->diverged, "%s", json_get_str(j, "diverged", ""));
	join(out->models, sizeof out->models, json_object_get(j, "models"));
	join(out->keys, sizeof out->keys, json_object_get(j, "keys"));
}

/* 1: a state came, 0: another message, -1: error. */
static int next_state(struct control *c, int64_t deadline_ms, struct control_state *out,
		      int64_t *ask, struct err *err)
{
	AUTO(json) json_t *j = NULL;

	if (receive(c, deadline_ms, &j, err))
		return -1;
	if (strcmp(json_get_str(j, "event", ""), "state"))
		return 0;
	read_state(out, j);
	*ask = json_get_int(j, "ask", 0);
	return 1;
}

int control_read(struct control *c, struct control_state *out, struct err *err)
{
	bool changed = false;
	int64_t ask;

	for (;;) {
		/* A deadline that is past: only what is there already. */
		int got = next_state(c, 1, out, &ask, err);
		if (got < 0 && err->kind == ERR_LIMIT)
			return changed;
		if (got < 0)
			return -1;
		changed |= got;
	}
}

int control_state(struct control *c, struct control_state *out, struct err *err)
{
	char text[64];
	int n = snprintf(text, sizeof text, "{\"op\":\"state\",\"ask\":%lld}",
			 (long long)++c->asked);
	int64_t deadline_ms = clock_mono_ms() + ANSWER_MS, ask = 0;

	if (fd_send(c->fd, text, (size_t)n, NULL, 0, err) < 0)
		return gone(err);
	while (ask != c->asked)
		if (next_state(c, deadline_ms, out, &ask, err) < 0) {
			if (err->kind == ERR_LIMIT)
				return gone(err);
			return -1;
		}
	return 0;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c);
}

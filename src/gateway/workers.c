/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "gatewaylink/gateway.h"
#include "gateway/internal.h"
#include "os/fdio.h"

enum { MESSAGE_MAX = 64 << 10, FDS = 4, STATE_PAUSE_MS = 20 };

struct worker {
	struct worker *next, *prev;
	struct gateway *gw;
	struct loop_watch watch;
	struct account *account; /* NULL until attached */
};

static void account_free(struct account *a)
{
	replay_free(a->replay);
	auto_fd(&a->log_fd);
	auto_fd(&a->open_fd);
	free(a->open);
	auto_fd(&a->record_fd);
	auto_fd(&a->replay_fd);
	buf_release(&a->log);
	buf_release(&a->record);
	request_chain_release(&a->requests);
	strv_release(&a->keys);
	strv_release(&a->models);
	for (size_t i = 0; i < a->uses_n; i++)
		free(a->uses[i].model);
	free(a->uses);
	free(a->token);
	free(a->model);
	free(a);
}

static void worker_close(struct worker *w)
{
	struct gateway *gw = w->gw;

	if (w->account) {
		call_cancel_all(w->account);
		accounts_remove(w->account);
		account_free(w->account);
	}
	loop_unwatch(gw->loop, &w->watch);
	close(w->watch.fd);
	*(w->prev ? &w->prev->next : &gw->workers) = w->next;
	if (w->next)
		w->next->prev = w->prev;
	free(w);
}

/* False: its socket is full. */
static bool send_message(struct worker *w, const json_t *message)
{
	AUTO(buf) struct buf text = BUF_INIT;

	json_format(&text, message, false);
	ssize_t n = send(w->watch.fd, text.data, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A broken socket is heard of by its end. */
	return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void send_event(struct worker *w, const char *event, const char *text)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "event", event);
	if (text)
		json_put_str(j, "text", text);
	send_message(w, j);
}

static int read_limits(struct control_limits *out, const json_t *j, struct err *err)
{
	out->tokens = json_get_int(j, "tokens", 0);
	out->calls = json_get_int(j, "calls", 0);
	out->usd = json_get_real(j, "usd", 0);
	if (out->tokens < 0 || out->calls < 0 || !(out->usd >= 0))
		return err_set(err, ERR_USAGE, 0, "a limit is below 0");
	return 0;
}

static int take_fds(struct account *a, bool record, int *fds, size_t n, struct err *err)
{
	size_t want = 1 + (a->open_fd == -2) + record + (a->replay_fd == -2), at = 0;

	if (n != want)
		return err_set(err, ERR_USAGE, 0, "attach needs %zu descriptors, %zu came", want,
			       n);
	a->log_fd = fd_steal(&fds[at++]);
	if (a->open_fd == -2)
		a->open_fd = fd_steal(&fds[at++]);
	if (record)
		a->record_fd = fd_steal(&fds[at++]);
	if (a->replay_fd == -2)
		a->replay_fd = fd_steal(&fds[at]);
	return 0;
}

static int add_use(struct account *a, const struct upstream *provider, const char *model,
		   const char *task, struct err *err)
{
	struct account_use *use = &a->uses[a->uses_n++];

	*use = (struct account_use){provider, xstrdup(model), setup_keys(provider, task), NULL};
	if (!use->keys->keys_n)
		return err_set(err, ERR_USAGE, 0,
			       "attach: no key of provider \"%s\" is for this task",
			       provider->name);
	return 0;
}

/* Its own model, and the others that were declared. */
static int read_uses(struct gateway *gw, struct account *a, const json_t *j, struct err *err)
{
	const char *task = json_get_str(j, "task", "");
	const json_t *models = json_object_get(j, "models"), *one;
	size_t i;

	a->declared = json_is_array(models);
	a->uses = xcalloc(1 + json_array_size(models), sizeof *a->uses);
	if (add_use(a, a->provider, a->model, task, err))
		return -1;
	json_array_foreach (models, i, one) {
		const char *model, *provider;
		if (json_need_str(one, "model", "attach, models", &model, err) ||
		    json_need_str(one, "provider", "attach, models", &provider, err))
			return -1;
		const struct upstream *by = setup_provider(&gw->doc, provider);
		if (!by)
			return err_set(err, ERR_USAGE, 0, "attach: no provider \"%s\"", provider);
		if (add_use(a, by, model, task, err))
			return -1;
	}
	return 0;
}

static int read_attach(struct gateway *gw, struct account *a, const json_t *j, int *fds,
		       size_t fds_n, struct err *err)
{
	const char *token, *provider, *model, *replay = json_get_str(j, "replay", NULL);

	if (json_need_str(j, "token", "attach", &token, err) ||
	    json_need_str(j, "provider", "attach", &provider, err) ||
	    json_need_str(j, "model", "attach", &model, err) ||
	    read_limits(&a->limits, json_object_get(j, "limits"), err))
		return -1;
	a->token = xstrdup(token);
	a->model = xstrdup(model);
	a->provider = setup_provider(&gw->doc, provider);
	if (!a->provider)
		return err_set(err, ERR_USAGE, 0, "attach: no provider \"%s\"", provider);
	if (read_uses(gw, a, j, err))
		return -1;
	if (replay && strcmp(replay, "strict") && strcmp(replay, "live"))
		return err_set(err, ERR_USAGE, 0,
			       "attach: \"replay\" must be \"strict\" or \"live\"");
	a->replay_live = replay && strcmp(replay, "live") == 0;
	a->replay_fd = replay ? -2 : -1;
	a->open_fd = json_get_bool(j, "open", false) ? -2 : -1;
	if (take_fds(a, gw->doc.record, fds, fds_n, err)) {
		a->replay_fd = a->open_fd = -1;
		return -1;
	}
	if (replay && replay_open(&a->replay, a->replay_fd, err))
		return -1;
	return accounts_add(gw, a, err);
}

static void attach(struct worker *w, const json_t *j, int *fds, size_t fds_n)
{
	struct account *a;
	struct err err;

	if (w->account) {
		send_event(w, "refused", "attached already");
		return;
	}
	a = xcalloc(1, sizeof *a);
	a->log_fd = a->open_fd = a->record_fd = a->replay_fd = -1;
	a->log = a->record = (struct buf)BUF_INIT;
	a->sum.usd = 0;
	a->worker = w;
	if (read_attach(w->gw, a, j, fds, fds_n, &err)) {
		send_event(w, "refused", err.msg);
		account_free(a);
		return;
	}
	w->account = a;
	send_event(w, "attached", NULL);
}

static bool is_urgent(const struct account *a)
{
	return *a->sum.limit || *a->sum.failed.text || *a->sum.diverged;
}

static void tell(struct account *a)
{
	int64_t now = loop_now_ms(a->gw->loop);

	/* A chatty agent's worker need not hear of each call by itself. */
	if (!is_urgent(a) && now - a->state_sent_ms < STATE_PAUSE_MS) {
		loop_set(a->gw->loop, &a->state_timer, a->state_sent_ms + STATE_PAUSE_MS);
		return;
	}
	AUTO(json) json_t *state = accounts_state(a);
	a->state_sent_ms = now;
	if (!send_message(a->worker, state))
		loop_set(a->gw->loop, &a->state_timer, now + STATE_PAUSE_MS);
}

void workers_tell(struct gateway *gw)
{
	struct account *a;

	while ((a = gw->tell)) {
		gw->tell = a->tell_next;
		a->state_dirty = false;
		tell(a);
	}
}

static void answer_state(struct worker *w, const json_t *j)
{
	if (!w->account) {
		send_event(w, "refused", "not attached");
		return;
	}
	AUTO(json) json_t *state = accounts_state(w->account);
	/* So that whoever asked knows the answer from a state that was on its way. */
	if (json_is_integer(json_object_get(j, "ask")))
		json_put_int(state, "ask", json_get_int(j, "ask", 0));
	send_message(w, state);
}

static void take_message(struct worker *w, const char *text, size_t n, int *fds, size_t fds_n)
{
	AUTO(json) json_t *j = NULL;
	struct err err;

	if (json_parse(&j, text, n, "control", &err)) {
		send_event(w, "refused", err.msg);
		return;
	}
	const char *op = json_get_str(j, "op", "");
	if (strcmp(op, "attach") == 0)
		attach(w, j, fds, fds_n);
	else if (strcmp(op, "state") == 0)
		answer_state(w, j);
	else
		send_event(w, "refused", "unknown \"op\"");
}

static void worker_ready(void *ctx, uint32_t events)
{
	struct worker *w = ctx;
	static char text[MESSAGE_MAX];
	int fds[FDS] = {-1, -1, -1, -1};
	size_t fds_n = FDS;
	struct err err;

	ssize_t n = fd_recv(w->watch.fd, text, sizeof text, fds, &fds_n, 1, &err);
	if (n < 0 && err.kind == ERR_LIMIT) /* nothing there after all */
		return;
	if (n > 0)
		take_message(w, text, (size_t)n, fds, fds_n);
	for (size_t i = 0; i < fds_n; i++)
		auto_fd(&fds[i]);
	if (n <= 0)
		worker_close(w);
}

static void worker_comes(void *ctx, uint32_t events)
{
	struct gateway *gw = ctx;
	struct err err;

	int fd = accept4(GATEWAY_FD_CONTROL, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			events_note(gw, "out of descriptors: %s", strerror(errno));
		return;
	}
	struct worker *w = xcalloc(1, sizeof *w);
	w->gw = gw;
	w->watch = (struct loop_watch){.fd = fd, .ready = worker_ready, .ctx = w};
	w->next = gw->workers;
	if (w->next)
		w->next->prev = w;
	gw->workers = w;
	if (loop_watch(gw->loop, &w->watch, EPOLLIN, &err))
		worker_close(w);
}

int workers_open(struct gateway *gw, struct err *err)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof a;

	if (getsockname(GATEWAY_FD_CONTROL, (struct sockaddr *)&a, &n))
		return err_set(err, ERR_INFRA, errno, "descriptor %d", GATEWAY_FD_CONTROL);
	fd_set_nonblock(GATEWAY_FD_CONTROL, true);
	gw->control_watch =
		(struct loop_watch){.fd = GATEWAY_FD_CONTROL, .ready = worker_comes, .ctx = gw};
	return loop_watch(gw->loop, &gw->control_watch, EPOLLIN, err);
}

void workers_close(struct gateway *gw)
{
	loop_unwatch(gw->loop, &gw->control_watch);
	for (struct worker *w = gw->workers, *next; w; w = next) {
		next = w->next;
		worker_close(w);
	}
}

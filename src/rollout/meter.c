/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/meter.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/event.h"
#include "rollout/cost.h"

enum { TELL_MS = 2000 };

static void on_note(void *arg, const char *text)
{
	struct meter *m = arg;
	AUTO(buf) struct buf line = BUF_INIT;
	json_t *fields = json_object();

	text_renders(&line, text, TEXT_TERMINAL_LINE);
	listener_say(m->listener, "gateway: %s", line.data);
	json_put_str(fields, "text", text);
	journal_add(m->s->journal, EVENT_NOTE, NULL, 0, fields);
}

/* Of the whole rollout so far. */
static struct journal_cost cost_of(const struct meter *m)
{
	struct journal_cost all = m->before;

	all.calls += m->leases.spent.calls;
	all.tokens += m->leases.spent.tokens;
	all.usd += m->leases.spent.usd;
	all.unpriced_calls += m->leases.spent.unpriced_calls;
	if (m->gateway) {
		const struct gateway_totals *t = gateway_process_totals(m->gateway);
		all.calls += t->calls;
		all.tokens += t->tokens;
		all.usd += t->usd;
		all.unpriced_calls += t->unpriced_calls;
	}
	return all;
}

/* What the gateway is told when it starts, or starts again: what running trials may still spend. */
static void tell_budget(const struct meter *m)
{
	const struct budget *b = &m->s->plan.budget;
	const struct journal_cost all = cost_of(m);
	json_t *j = json_object();

	if (b->usd > 0 && b->hard != BUDGET_SOFT) {
		json_put_real(j, "usd", b->usd);
		json_put_real(j, "usd_spent", all.usd);
	}
	if (b->tokens && b->hard == BUDGET_HARD) {
		json_put_int(j, "tokens", b->tokens);
		json_put_int(j, "tokens_spent", all.tokens);
	}
	json_put(m->document, "budget", j);
}

int meter_open(struct meter *m, const struct session *s, const struct listener *listener,
	       const struct session_work *w, struct err *err)
{
	*m = (struct meter){
		.s = s,
		.listener = listener,
		.before = s->stats.cost,
		.wall_ms = w->wall_ms,
		.wall_end_ms = w->wall_ms ? clock_mono_ms() + w->wall_ms : 0,
	};
	if (!w->document)
		return 0;
	cost_raise(&m->before, s);
	AUTO(free) char *program = install_libexec("rollouts-gateway");
	AUTO(fd)
	int log = openat(s->dir_fd, ROLLOUT_GATEWAY_LOG,
			 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log < 0)
		return err_set(err, ERR_INFRA, errno, "open " ROLLOUT_GATEWAY_LOG);
	json_put_str(w->document, "secret", s->secret);
	m->document = w->document;
	leases_open(&m->leases, s, w->document);
	tell_budget(m);
	const struct gateway_spec spec = {.program = program,
					  .dir_fd = s->dir_fd,
					  .log_fd = log,
					  .document = w->document,
					  .note = on_note,
					  .arg = m};
	return gateway_process_start(&m->gateway, &spec, err);
}

static bool has_news(const struct meter *m)
{
	const struct gateway_totals *t = m->gateway ? gateway_process_totals(m->gateway) : NULL;

	return t && (t->calls != m->told.calls || t->tokens != m->told.tokens);
}

static void tell(struct meter *m)
{
	const struct journal_cost all = cost_of(m);
	json_t *fields = json_object();

	json_put_int(fields, "calls", all.calls);
	json_put_int(fields, "tokens", all.tokens);
	json_put_real(fields, "usd", all.usd);
	json_put_int(fields, "unpriced_calls", all.unpriced_calls);
	journal_add(m->s->journal, EVENT_SPENT, NULL, 0, fields);
	m->told = *gateway_process_totals(m->gateway);
	m->tell_ms = clock_mono_ms() + TELL_MS;
}

static size_t watch(void *arg, struct pollfd *fds)
{
	const struct meter *m = arg;

	return m->gateway ? gateway_process_watch(m->gateway, fds) : 0;
}

/* What a gateway that died had not told yet stands in the logs; none is running now that could tell it again. */
static void make_up(struct meter *m)
{
	const struct journal_cost known = cost_of(m);
	struct journal_cost all = known;

	m->deaths = gateway_process_deaths(m->gateway);
	cost_raise(&all, m->s);
	m->before.calls += all.calls - known.calls;
	m->before.tokens += all.tokens - known.tokens;
	m->before.unpriced_calls += all.unpriced_calls - known.unpriced_calls;
	m->before.usd += all.usd - known.usd;
	tell_budget(m);
	tell(m);
}

static void turn(void *arg, const struct pollfd *fds)
{
	struct meter *m = arg;

	if (m->gateway)
		gateway_process_turn(m->gateway, fds);
	if (m->gateway && gateway_process_deaths(m->gateway) != m->deaths)
		make_up(m);
	if ((has_news(m) && clock_mono_ms() >= m->tell_ms) ||
	    (m->gateway && leases_return(&m->leases)))
		tell(m);
}

static int64_t due(void *arg)
{
	const struct meter *m = arg;
	int64_t at = m->gateway ? gateway_process_due(m->gateway) : -1, wall = m->wall_end_ms;

	if (has_news(m) && (at < 0 || m->tell_ms < at))
		at = m->tell_ms;
	const int64_t lease = leases_due(&m->leases);
	if (lease >= 0 && (at < 0 || lease < at))
		at = lease;
	/* Once it is past, nothing is started and nobody has to be woken. */
	if (wall > clock_mono_ms() && (at < 0 || wall < at))
		at = wall;
	return at;
}

static bool is_over_budget(const struct meter *m, char *why, size_t size)
{
	const struct budget *b = &m->s->plan.budget;
	const struct journal_cost all = cost_of(m);

	if (m->gateway && b->usd > 0 && all.usd >= b->usd)
		snprintf(why, size, "the budget of %.15g USD is used up (%.4f USD)", b->usd,
			 all.usd);
	else if (m->gateway && b->tokens && all.tokens >= b->tokens)
		snprintf(why, size, "the budget of %lld tokens is used up (%lld)",
			 (long long)b->tokens, (long long)all.tokens);
	else if (m->wall_end_ms && clock_mono_ms() >= m->wall_end_ms)
		snprintf(why, size, "the budget of %.15g s is used up (wall_sec)",
			 (double)m->wall_ms / 1000);
	else
		return false;
	return true;
}

static enum sched_hold hold(void *arg, char *why, size_t size)
{
	const struct meter *m = arg;
	const char *failure = m->gateway ? gateway_process_failure(m->gateway) : NULL;

	if (failure) {
		snprintf(why, size, "%s", failure);
		return SCHED_FAULT;
	}
	if (is_over_budget(m, why, size))
		return SCHED_STOP;
	if (*m->no_room && !m->leases.n) {
		snprintf(why, size, "%s", m->no_room);
		return SCHED_STOP;
	}
	return m->gateway && !gateway_process_is_ready(m->gateway) ? SCHED_WAIT : SCHED_GO;
}

/* Leases that are out come back and make room; without any, what is left is too little for good. */
static bool is_ready(void *arg, size_t trial)
{
	struct meter *m = arg;
	const struct trial *t = &m->s->plan.trials[trial];
	const struct journal_cost spent = cost_of(m), lease = lease_of(m->s, t);

	if (!m->gateway || !lease_is_needed(m->s, t) || leases_take(&m->leases, trial, &spent))
		return true;
	if (!m->leases.n && !*m->no_room)
		snprintf(m->no_room, sizeof m->no_room,
			 "what is left of the budget (%.4f USD, %lld tokens are spent) is less "
			 "than the "
			 "lease of another trial (%.15g USD, %lld tokens: its own limits)",
			 spent.usd, (long long)spent.tokens, lease.usd, (long long)lease.tokens);
	return false;
}

static void heard(void *arg, size_t trial, const char *event, const json_t *line)
{
	struct meter *m = arg;

	leases_hear(&m->leases, trial, event, line);
}

struct sched_hook meter_hook(struct meter *m)
{
	return (struct sched_hook){watch, turn, due, hold, is_ready, heard, m};
}

void meter_close(struct meter *m)
{
	if (!m->gateway)
		return;
	const bool settled = leases_settle(&m->leases);
	gateway_process_leave(m->gateway);
	if (settled || has_news(m))
		tell(m);
	m->before = cost_of(m);
	leases_close(&m->leases);
	gateway_process_stop(m->gateway);
	m->gateway = NULL;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/call-table.h"
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "model/call-log.h"
#include "report/report.h"
#include "report/table.h"

struct sums {
	int64_t calls, input, cached, output, unpriced, damaged;
	double usd;
};

static void add_span(struct table *t, int64_t ms)
{
	char span[16];

	clock_human(ms, span);
	table_text(t, span);
}

/* One name where the answer bears the one that was asked for. */
static void add_model(struct table *t, const struct logged_call *c)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_adds(&text, *c->model_asked ? c->model_asked : "-");
	if (*c->model_served && strcmp(c->model_asked, c->model_served))
		buf_addf(&text, " -> %s", c->model_served);
	table_text(t, text.data);
}

static void add_remarks(struct table *t, const struct logged_call *c)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (strcmp(c->end, "ok"))
		buf_addf(&text, ", %s: %s", c->end, c->error ? c->error : "-");
	if (c->retries)
		buf_addf(&text, ", %d retries", c->retries);
	if (c->estimated)
		buf_adds(&text, ", tokens estimated");
	if (c->replayed)
		buf_adds(&text, ", replayed");
	table_text(t, text.len ? text.data + 2 : "");
}

static void add_call(struct table *t, struct sums *s, const struct logged_call *c)
{
	char when[CLOCK_STAMP + 8];

	clock_iso(c->at_ms, when);
	when[19] = '\0';
	table_int(t, c->call);
	table_text(t, when + 11);
	add_model(t, c);
	if (c->status)
		table_int(t, c->status);
	else
		table_missing(t, NULL);
	table_int(t, c->tokens.input);
	table_int(t, c->tokens.cached);
	table_int(t, c->tokens.output);
	if (c->usd >= 0)
		table_real(t, c->usd, 4);
	else
		table_missing(t, "N/A");
	add_span(t, c->queued_ms);
	add_span(t, c->total_ms);
	add_remarks(t, c);
	s->calls++;
	s->input += c->tokens.input;
	s->cached += c->tokens.cached;
	s->output += c->tokens.output;
	s->usd += c->usd >= 0 ? c->usd : 0;
	s->unpriced += c->usd < 0;
}

static void add_lines(struct table *t, struct sums *s, const struct buf *log)
{
	struct call_log_reader r = {.at = log->data, .end = log->data + log->len};
	struct logged_call c;

	while (call_log_read(&r, &c))
		add_call(t, s, &c);
	s->damaged = r.damaged;
	call_log_release(&r);
}

int call_table_make(struct buf *out, const struct buf *log, struct err *err)
{
	static const char *const names[] = {"call",   "time (UTC)", "model",  "status",
					    "input",  "cached",	    "output", "USD",
					    "waited", "took",	    ""};
	AUTO(table) struct table t = {0};
	struct sums s = {0};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		table_column(&t, names[i],
			     i == 2 || i == ARRAY_SIZE(names) - 1 ? TABLE_LEFT : TABLE_RIGHT);
	add_lines(&t, &s, log);
	table_terminal(&t, report_width(STDOUT_FILENO), out);
	buf_addf(out, "\n%lld call%s, %lld tokens in (%lld cached), %lld out, ", (long long)s.calls,
		 s.calls == 1 ? "" : "s", (long long)s.input, (long long)s.cached,
		 (long long)s.output);
	if (s.unpriced)
		buf_adds(out, "cost N/A\n");
	else
		buf_addf(out, "%.4f USD\n", s.usd);
	if (s.damaged)
		buf_addf(out, "%lld damaged line%s left out\n", (long long)s.damaged,
			 s.damaged == 1 ? "" : "s");
	return 0;
}

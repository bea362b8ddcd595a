/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/call-table.h"
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
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
static void add_model(struct table *t, const json_t *call)
{
	const char *asked = json_get_str(call, "model_asked", ""),
		   *served = json_get_str(call, "model_served", "");
	AUTO(buf) struct buf text = BUF_INIT;

	buf_adds(&text, *asked ? asked : "-");
	if (*served && strcmp(asked, served))
		buf_addf(&text, " -> %s", served);
	table_text(t, text.data);
}

static void add_cost(struct table *t, const json_t *usd)
{
	if (json_is_number(usd))
		table_real(t, json_number_value(usd), 4);
	else
		table_missing(t, "N/A");
}

static void add_remarks(struct table *t, const json_t *call)
{
	const char *end = json_get_str(call, "end", "ok");
	int64_t retries = json_get_int(call, "retries", 0);
	AUTO(buf) struct buf text = BUF_INIT;

	if (strcmp(end, "ok"))
		buf_addf(&text, ", %s: %s", end, json_get_str(call, "error", "-"));
	if (retries)
		buf_addf(&text, ", %lld retries", (long long)retries);
	if (json_get_bool(call, "estimated", false))
		buf_adds(&text, ", tokens estimated");
	if (json_get_bool(call, "replayed", false))
		buf_adds(&text, ", replayed");
	table_text(t, text.len ? text.data + 2 : "");
}

static void add_call(struct table *t, struct sums *s, const json_t *call)
{
	const json_t *tokens = json_object_get(call, "tokens"), *usd = json_object_get(call, "usd");
	int64_t input = json_get_int(tokens, "input", 0),
		cached = json_get_int(tokens, "cached", 0);
	int64_t output = json_get_int(tokens, "output", 0),
		status = json_get_int(call, "status", 0);
	char when[CLOCK_STAMP + 8];

	clock_iso(json_get_int(call, "at", 0), when);
	when[19] = '\0';
	table_int(t, json_get_int(call, "call", 0));
	table_text(t, when + 11);
	add_model(t, call);
	if (status)
		table_int(t, status);
	else
		table_missing(t, NULL);
	table_int(t, input);
	table_int(t, cached);
	table_int(t, output);
	add_cost(t, usd);
	add_span(t, json_get_int(call, "queued_ms", 0));
	add_span(t, json_get_int(call, "total_ms", 0));
	add_remarks(t, call);
	s->calls++;
	s->input += input;
	s->cached += cached;
	s->output += output;
	s->usd += json_number_value(usd);
	s->unpriced += !json_is_number(usd);
}

static void add_lines(struct table *t, struct sums *s, const struct buf *log)
{
	const char *at = log->data, *end = at + log->len;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((newline ? newline : end) - at);
		AUTO(json) json_t *call = json_loadb(at, n, 0, NULL);
		if (json_is_object(call))
			add_call(t, s, call);
		else
			s->damaged++;
		at += n + 1;
	}
}

int call_table_make(struct buf *out, const struct buf *log, struct err *err)
{
	static const char *const names[] = {"call",   "time (UTC)", "model",  "status",
					    "input",  "cached",	    "output", "USD",
					    "waited", "took",	    ""};
	AUTO(table) struct table t = {0};
	struct sums s = {0};

	table_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		table_column(&t, names[i],
			     i == 2 || i == ARRAY_SIZE(names) - 1 ? TABLE_LEFT : TABLE_RIGHT);
	add_lines(&t, &s, log);
	table_terminal(&t, report_width(STDOUT_FILENO), out);
	buf_addf(out, "\n%lld calls, %lld tokens in (%lld cached), %lld out, ", (long long)s.calls,
		 (long long)s.input, (long long)s.cached, (long long)s.output);
	if (s.unpriced)
		buf_adds(out, "cost N/A\n");
	else
		buf_addf(out, "%.4f USD\n", s.usd);
	if (s.damaged)
		buf_addf(out, "%lld lines are damaged and left out\n", (long long)s.damaged);
	return 0;
}

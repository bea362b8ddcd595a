/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/messages.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/answer-stream.h"
#include "model/endpoint.h"
#include "model/recording.h"

const char *messages_part_name(enum messages_part part)
{
	static const char *const names[] = {"main", "compaction", "sub-agent"};

	return names[part];
}

/* A call under way: calls of several conversations may be mixed. */
struct open_call {
	int64_t call;
	size_t said; /* its conversation */
	struct buf body;
	bool events, failed;
};

struct reading {
	struct messages *out;
	struct request_chain requests;
	struct open_call *open;
	size_t open_n, open_cap;
};

static size_t in_common(const json_t *a, const json_t *b)
{
	size_t n = 0;

	while (n < json_array_size(a) && n < json_array_size(b) &&
	       json_equal(json_array_get(a, n), json_array_get(b, n)))
		n++;
	return n;
}

static const char *role_at(const json_t *messages, size_t i)
{
	return json_get_str(json_array_get(messages, i), "role", "");
}

/* Whether a request with MESSAGES goes on with S. Agents put notes into the message that is the last one, which they take
 * out again later: that one alone may differ once there are more. */
static bool goes_on(const struct conversation_said *s, const json_t *messages, size_t *common)
{
	*common = in_common(s->messages, messages);
	if (*common >= s->asked)
		return json_array_size(messages) >= s->asked;
	return *common && *common + 1 == s->asked && json_array_size(messages) > s->asked &&
	       !strcmp(role_at(s->messages, *common), role_at(messages, *common));
}

static size_t said_of(struct messages *m, int64_t call, const json_t *messages)
{
	size_t best = m->n, longest = 0, common;

	for (size_t i = 0; i < m->n; i++)
		if (goes_on(&m->v[i], messages, &common) && common >= longest) {
			best = i;
			longest = common;
		}
	if (best < m->n)
		return best;
	GROW(m->v, m->n, m->cap);
	m->v[m->n] = (struct conversation_said){.messages = json_array(),
						.tools = json_array(),
						.model = xstrdup(""),
						.first_call = call};
	return m->n++;
}

static int take_request(struct reading *r, const struct recording_frame *f, const char *data,
			size_t n, struct err *err)
{
	const struct buf *whole = request_chain_join(&r->requests, f->call, &f->part, data, n);
	json_t *messages = json_array(), *tools = json_array();

	if (!whole) {
		json_decref(messages);
		json_decref(tools);
		return err_set(err, ERR_USAGE, 0,
			       "the recording is damaged: call %lld has no request",
			       (long long)f->call);
	}
	AUTO(json) json_t *j = json_foreign(whole->data, whole->len);
	messages_of_request(messages, tools, j);
	if (endpoint_of(f->method, f->path, false).kind != ENDPOINT_GENERATE ||
	    !json_array_size(messages)) {
		json_decref(messages);
		json_decref(tools);
		return 0;
	}
	size_t at = said_of(r->out, f->call, messages);
	struct conversation_said *s = &r->out->v[at];
	json_decref(s->messages);
	json_decref(s->tools);
	s->messages = messages;
	s->tools = tools;
	s->asked = json_array_size(messages);
	s->last_call = f->call;
	GROW(r->open, r->open_n, r->open_cap);
	r->open[r->open_n++] = (struct open_call){.call = f->call, .said = at, .body = BUF_INIT};
	return 0;
}

static void take_answer(struct reading *r, struct open_call *o, const char *model)
{
	struct conversation_said *s = &r->out->v[o->said];
	AUTO(json)
	json_t *answer = o->events ? answer_join(&o->body, NULL)
				   : json_foreign(o->body.data ? o->body.data : "", o->body.len);

	/* Two calls at the same time: the messages are those of the later one. */
	if (o->failed || !answer || s->last_call != o->call)
		return;
	messages_of_answer(s->messages, answer);
	if (json_array_size(s->messages) <= s->asked)
		return;
	s->calls++;
	if (model && *model) {
		free(s->model);
		s->model = xstrdup(model);
	}
}

static struct open_call *find_open(struct reading *r, int64_t call)
{
	for (size_t i = 0; i < r->open_n; i++)
		if (r->open[i].call == call)
			return &r->open[i];
	return NULL;
}

static void close_call(struct reading *r, struct open_call *o)
{
	buf_release(&o->body);
	*o = r->open[--r->open_n];
}

static int take_frame(struct reading *r, const struct recording_frame *f, const char *data,
		      size_t n, struct err *err)
{
	struct open_call *o = find_open(r, f->call);

	if (f->kind == FRAME_REQUEST)
		return take_request(r, f, data, n, err);
	if (!o)
		return 0;
	if (f->kind == FRAME_HEAD) {
		o->events = f->events;
		o->failed = f->status >= 400;
	} else if (f->kind == FRAME_BODY) {
		buf_add(&o->body, data, n);
	} else {
		take_answer(r, o, f->model);
		close_call(r, o);
	}
	return 0;
}

static void drop_unanswered(struct messages *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].calls) {
			m->v[kept++] = m->v[i];
			continue;
		}
		json_decref(m->v[i].messages);
		json_decref(m->v[i].tools);
		free(m->v[i].model);
	}
	m->n = kept;
}

static bool same_setting(const struct conversation_said *a, const struct conversation_said *b)
{
	if (json_array_size(a->tools) || json_array_size(b->tools))
		return json_equal(a->tools, b->tools);
	return !strcmp(role_at(a->messages, 0), "system") &&
	       json_equal(json_array_get(a->messages, 0), json_array_get(b->messages, 0));
}

/* The main one is the first that may do something; what comes after its end with the same tools is its continuation. */
static void name_parts(struct messages *m)
{
	size_t main_at = 0;

	while (main_at < m->n && !json_array_size(m->v[main_at].tools))
		main_at++;
	main_at = main_at < m->n ? main_at : 0;
	for (size_t i = 0, last = main_at; i < m->n; i++) {
		struct conversation_said *s = &m->v[i];
		s->part = i == main_at ? MESSAGES_MAIN : MESSAGES_SUB_AGENT;
		if (i > main_at && s->first_call > m->v[last].last_call &&
		    same_setting(s, &m->v[main_at])) {
			s->part = MESSAGES_COMPACTION;
			last = i;
		}
	}
}

int messages_read(struct messages *out, const struct buf *recording, struct err *err)
{
	struct recording_reader reader = {.fd = -1, .text = recording};
	struct reading r = {.out = out};
	struct recording_frame f;
	int got;

	*out = (struct messages){0};
	while ((got = recording_read(&reader, &f, err)) > 0)
		if ((got = take_frame(&r, &f, recording->data + f.at, (size_t)f.bytes, err)))
			break;
	/* A worker that was killed left its last answer without an end. */
	while (r.open_n) {
		take_answer(&r, &r.open[r.open_n - 1], NULL);
		close_call(&r, &r.open[r.open_n - 1]);
	}
	recording_release(&reader);
	request_chain_release(&r.requests);
	free(r.open);
	drop_unanswered(out);
	name_parts(out);
	return got;
}

void messages_release(struct messages *m)
{
	for (size_t i = 0; i < m->n; i++) {
		json_decref(m->v[i].messages);
		json_decref(m->v[i].tools);
		free(m->v[i].model);
	}
	free(m->v);
	*m = (struct messages){0};
}

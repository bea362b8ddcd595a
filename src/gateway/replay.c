/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "gateway/internal.h"
#include "model/recording.h"
#include "model/request.h"
#include "model/request-diff.h"

struct frame {
	off_t at; /* of its bytes */
	int64_t bytes;
	uint32_t call; /* index in calls */
	enum frame_kind kind;
};

struct recorded {
	int64_t id;
	char hash[HASH_HEX], method[8];
	char loose[HASH_HEX]; /* "" until somebody needs it */
	char *path;
	bool given, has_head, is_events;
	int status;
	int64_t length, bytes; /* as the head states it, -1: not; of the answer */
	size_t request, first; /* frames: the request, the first behind it */
	struct request_part part;
	struct replay_cost cost;
};

struct replay {
	struct recording_reader file;
	struct frame *frames;
	size_t frames_n, frames_cap;
	struct recorded *calls;
	size_t calls_n, calls_cap;
	bool live;     /* it diverged, and the provider answers from now on */
	bool is_loose; /* the calls have their loose hashes */
	bool differed; /* a call was answered though it is not quite the recorded one */
};

/* Where an answer that is being given again has come to. */
struct replay_call {
	struct replay *replay;
	const struct recorded *recorded;
	size_t next;
};

static struct recorded *find_call(struct replay *r, int64_t id)
{
	for (size_t i = r->calls_n; i-- > 0;) /* mostly one of the last */
		if (r->calls[i].id == id)
			return &r->calls[i];
	return NULL;
}

static struct recorded *new_call(struct replay *r, const struct recording_frame *f)
{
	GROW(r->calls, r->calls_n, r->calls_cap);
	struct recorded *c = &r->calls[r->calls_n++];
	*c = (struct recorded){.id = f->call,
			       .request = r->frames_n,
			       .first = r->frames_n + 1,
			       .part = f->part,
			       .cost.end = "cut"};
	snprintf(c->hash, sizeof c->hash, "%s", f->hash);
	snprintf(c->method, sizeof c->method, "%s", f->method);
	c->path = xstrdup(f->path);
	return c;
}

static int take_frame(struct replay *r, const struct recording_frame *f, struct err *err)
{
	struct recorded *c = find_call(r, f->call);

	/* The first frame of a call is its request, and no other is. */
	if ((f->kind == FRAME_REQUEST) == (c != NULL))
		return err_set(err, ERR_USAGE, 0,
			       "recording: call %lld: its frames are out of order",
			       (long long)f->call);
	if (!c)
		c = new_call(r, f);
	if (f->kind == FRAME_HEAD) {
		c->has_head = true;
		c->status = f->status;
		c->length = f->length;
		c->is_events = f->events;
	} else if (f->kind == FRAME_BODY) {
		c->bytes += f->bytes;
	} else if (f->kind == FRAME_END) {
		c->cost.tokens = f->tokens;
		c->cost.estimated = f->estimated;
		snprintf(c->cost.model, sizeof c->cost.model, "%s", f->model);
		snprintf(c->cost.end, sizeof c->cost.end, "%s", f->end);
	}
	GROW(r->frames, r->frames_n, r->frames_cap);
	r->frames[r->frames_n++] =
		(struct frame){f->at, f->bytes, (uint32_t)(c - r->calls), f->kind};
	return 0;
}

static int read_frames(struct replay *r, struct err *err)
{
	struct recording_frame f;
	int got;

	while ((got = recording_read(&r->file, &f, err)) > 0)
		if (take_frame(r, &f, err))
			return -1;
	return got;
}

int replay_open(struct replay **out, int fd, struct err *err)
{
	struct replay *r = xcalloc(1, sizeof *r);

	r->file.fd = fd;
	if (read_frames(r, err)) {
		replay_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void replay_free(struct replay *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->calls_n; i++)
		free(r->calls[i].path);
	recording_release(&r->file);
	free(r->calls);
	free(r->frames);
	free(r);
}

/* False: the file changed under us. */
static bool read_frame(const struct replay *r, const struct frame *f, struct buf *out)
{
	return recording_read_bytes(&r->file, f->at, f->bytes, out);
}

/* The requests before it have to be gone through. */
static void differ(struct call *c, const struct recorded *wanted, char *out, size_t size)
{
	const struct replay *r = c->account->replay;
	struct request_chain chain = {0};
	const struct buf *whole = NULL;

	snprintf(out, size, "the recording is damaged");
	for (const struct recorded *at = r->calls; at <= wanted; at++) {
		AUTO(buf) struct buf part = BUF_INIT;
		whole = read_frame(r, &r->frames[at->request], &part)
				? request_chain_join(&chain, at->id, &at->part, part.data, part.len)
				: NULL;
		if (!whole)
			break;
	}
	if (whole)
		request_diff(out, size, whole->data, whole->len, c->asked.body.data,
			     c->asked.body.len);
	request_chain_release(&chain);
}

static void diverged(struct call *c)
{
	struct account *a = c->account;
	struct replay *r = a->replay;
	const struct recorded *other = NULL;
	char text[sizeof a->sum.diverged];
	int n;

	/* The first that was not asked for yet is what should have come. */
	for (size_t i = 0; i < r->calls_n && !other; i++)
		if (!r->calls[i].given)
			other = &r->calls[i];
	if (!other) {
		snprintf(text, sizeof text, "call %lld: the recording has %zu calls",
			 (long long)c->id, r->calls_n);
	} else {
		n = snprintf(text, sizeof text, "call %lld: ", (long long)c->id);
		if (strcmp(other->hash, c->asked.hash) == 0)
			snprintf(text + n, sizeof text - (size_t)n,
				 "it has no answer in the recording");
		else if (strcmp(other->path, c->asked.target.data))
			snprintf(text + n, sizeof text - (size_t)n,
				 "path: recorded %.150s, now %.150s", other->path,
				 c->asked.target.data);
		else
			differ(c, other, text + n, sizeof text - (size_t)n);
	}
	if (a->replay_live) {
		r->live = true;
		events_note(c->gw, "a replay goes on with the provider: %s", text);
		return;
	}
	if (!*a->sum.diverged)
		snprintf(a->sum.diverged, sizeof a->sum.diverged, "%s", text);
	accounts_dirty(a, true, false);
	n = snprintf(c->error, sizeof c->error, "%.*s", (int)sizeof c->error - 1, text);
	answer_own(c, 400, a->sum.diverged);
}

static void give(struct call *c, struct recorded *found)
{
	struct replay *r = c->account->replay;
	size_t head = found->first;

	found->given = true;
	while (r->frames[head].kind != FRAME_HEAD || &r->calls[r->frames[head].call] != found)
		head++;
	c->replayed = xcalloc(1, sizeof *c->replayed);
	*c->replayed = (struct replay_call){r, found, head + 1};
	c->answer.status = found->status;
	c->answer.is_events = found->is_events;
	c->answer.length = found->length;
	if (!read_frame(r, &r->frames[head], &c->answer.headers))
		buf_reset(&c->answer.headers);
	recording_request(c);
	recording_head(c);
	c->answer.head_ready = true;
	c->answer.bytes = found->bytes;
	if (c->answer.status >= 400)
		snprintf(c->error, sizeof c->error, "status %d", c->answer.status);
}

static void make_loose(struct replay *r)
{
	struct request_chain chain = {0};

	for (size_t i = 0; i < r->calls_n; i++) {
		struct recorded *at = &r->calls[i];
		AUTO(buf) struct buf part = BUF_INIT;
		const struct buf *whole =
			read_frame(r, &r->frames[at->request], &part)
				? request_chain_join(&chain, at->id, &at->part, part.data, part.len)
				: NULL;
		if (!whole)
			break;
		model_request_loose_hash(at->method, at->path, whole->data, whole->len, at->loose);
	}
	request_chain_release(&chain);
	r->is_loose = true;
}

/* The next call that says the same after other answers of its tools: an agent that does the same again is answered the
 * same, although its commands told it another time. NULL: none. */
static struct recorded *find_loose(struct call *c)
{
	struct replay *r = c->account->replay;
	char loose[HASH_HEX];

	if (!r->is_loose)
		make_loose(r);
	model_request_loose_hash(c->asked.method, c->asked.target.data, c->asked.body.data,
				 c->asked.body.len, loose);
	for (size_t i = 0; i < r->calls_n; i++)
		if (!r->calls[i].given && r->calls[i].has_head &&
		    strcmp(r->calls[i].loose, loose) == 0)
			return &r->calls[i];
	return NULL;
}

/* Told once for an attempt: what follows repeats it. */
static void tell_difference(struct call *c, const struct recorded *found)
{
	struct replay *r = c->account->replay;

	if (r->differed)
		snprintf(c->differs, sizeof c->differs, "as calls before it");
	else
		differ(c, found, c->differs, sizeof c->differs);
	r->differed = true;
}

enum replay_says replay_call(struct call *c, const struct replay_cost **cost)
{
	struct replay *r = c->account->replay;
	struct recorded *found = NULL;

	if (r->live)
		return REPLAY_LIVE;
	for (size_t i = 0; i < r->calls_n && !found; i++)
		if (!r->calls[i].given && r->calls[i].has_head &&
		    strcmp(r->calls[i].hash, c->asked.hash) == 0)
			found = &r->calls[i];
	if (!found && (found = find_loose(c)))
		tell_difference(c, found);
	if (!found) {
		diverged(c);
		return c->answer.done ? REPLAY_REFUSED : REPLAY_LIVE;
	}
	give(c, found);
	*cost = &found->cost;
	return REPLAY_GIVEN;
}

void replay_feed(struct call *c)
{
	struct replay_call *at = c->replayed;
	struct replay *r = at->replay;

	while (at->next < r->frames_n) {
		const struct frame *f = &r->frames[at->next++];
		if (&r->calls[f->call] != at->recorded)
			continue;
		if (f->kind == FRAME_BODY && read_frame(r, f, &c->answer.out)) {
			recording_bytes(c, c->answer.out.data, c->answer.out.len);
			return;
		}
		break;
	}
	c->answer.done = true;
	c->answer.cut = strcmp(at->recorded->cost.end, "cut") == 0 ||
			strcmp(at->recorded->cost.end, "client_left") == 0;
	recording_end(c, &at->recorded->cost.tokens, at->recorded->cost.estimated,
		      at->recorded->cost.end);
	replay_call_free(c);
}

void replay_call_free(struct call *c)
{
	free(c->replayed);
	c->replayed = NULL;
}

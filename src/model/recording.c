/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/recording.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/json.h"
#include "base/mem.h"
#include "model/json-text.h"

enum { HEAD_MAX = 8 << 10, BODY_MAX = 1 << 30 };

static void begin(struct buf *out, int64_t call, const char *kind)
{
	json_text_number(out, "{\"call\":", call);
	json_text_string(out, ",\"kind\":", kind);
}

static void finish(struct buf *out, const char *data, size_t n)
{
	json_text_number(out, ",\"bytes\":", (int64_t)n);
	buf_adds(out, "}\n");
	buf_add(out, data, n);
	buf_addc(out, '\n');
}

void recording_put_request(struct buf *out, struct request_chain *chain, int64_t call,
			   const char *method, const char *path, const char *hash,
			   const struct buf *body)
{
	const struct request_part p = request_chain_cut(chain, call, body->data, body->len);

	begin(out, call, "request");
	json_text_number(out, ",\"v\":", REQUEST_CHAIN_VERSION);
	if (p.base) {
		json_text_number(out, ",\"base\":", p.base);
		json_text_number(out, ",\"head\":", (int64_t)p.head);
		json_text_number(out, ",\"tail\":", (int64_t)p.tail);
	}
	json_text_string(out, ",\"method\":", method);
	json_text_string(out, ",\"path\":", path);
	json_text_string(out, ",\"hash\":", hash);
	finish(out, body->data + p.head, body->len - p.head - p.tail);
}

void recording_put_head(struct buf *out, int64_t call, int status, int64_t length, bool events,
			const struct buf *headers)
{
	begin(out, call, "head");
	json_text_number(out, ",\"status\":", status);
	json_text_number(out, ",\"length\":", length);
	json_text_bool(out, ",\"events\":", events);
	finish(out, headers->data, headers->len);
}

void recording_put_body(struct buf *out, int64_t call, const char *data, size_t n)
{
	begin(out, call, "body");
	finish(out, data, n);
}

void recording_put_end(struct buf *out, int64_t call, const char *end, const char *model,
		       const struct token_usage *tokens, bool estimated)
{
	begin(out, call, "end");
	json_text_string(out, ",\"end\":", end);
	json_text_string(out, ",\"model\":", model);
	json_text_usage(out, ",\"tokens\":", tokens);
	json_text_bool(out, ",\"estimated\":", estimated);
	finish(out, "", 0);
}

/* Up to N bytes; fewer at the end only. */
static ssize_t read_at(const struct recording_reader *r, off_t at, char *to, size_t n)
{
	size_t got = 0;

	if (r->fd < 0) {
		size_t left = (size_t)at < r->text->len ? r->text->len - (size_t)at : 0;
		n = n < left ? n : left;
		memcpy(to, r->text->data + at, n);
		return (ssize_t)n;
	}
	while (got < n) {
		ssize_t more = pread(r->fd, to + got, n - got, at + (off_t)got);
		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -1;
		if (more == 0)
			break;
		got += (size_t)more;
	}
	return (ssize_t)got;
}

static int read_head(struct recording_reader *r, struct recording_frame *f, struct err *err)
{
	static const char *const kinds[] = {"request", "head", "body", "end"};
	const json_t *j = r->head;
	const char *kind;
	size_t k = 0;

	if (json_need_int(j, "call", "recording", &f->call, err) ||
	    json_need_str(j, "kind", "recording", &kind, err))
		return -1;
	while (k < ARRAY_SIZE(kinds) && strcmp(kinds[k], kind))
		k++;
	f->kind = (enum frame_kind)k;
	switch (k) {
	case FRAME_REQUEST:
		f->method = json_get_str(j, "method", "");
		f->path = json_get_str(j, "path", "");
		f->hash = json_get_str(j, "hash", "");
		return request_part_read(&f->part, j, err);
	case FRAME_HEAD:
		f->status = (int)json_get_int(j, "status", 0);
		f->length = json_get_int(j, "length", -1);
		f->events = json_get_bool(j, "events", false);
		return 0;
	case FRAME_BODY:
		return 0;
	case FRAME_END:
		f->end = json_get_str(j, "end", "");
		f->model = json_get_str(j, "model", "");
		f->tokens = json_text_usage_read(json_object_get(j, "tokens"));
		f->estimated = json_get_bool(j, "estimated", false);
		return 0;
	default:
		return err_set(err, ERR_USAGE, 0, "recording: call %lld: unexpected \"%.20s\"",
			       (long long)f->call, kind);
	}
}

int recording_read(struct recording_reader *r, struct recording_frame *out, struct err *err)
{
	char line[HEAD_MAX], last;
	struct recording_frame f = {0};
	ssize_t n = read_at(r, r->at, line, sizeof line);

	json_decref(r->head);
	r->head = NULL;
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "read the recording");
	char *end = memchr(line, '\n', (size_t)n);
	if (!end && n < HEAD_MAX)
		return 0;
	if (!end || json_parse(&r->head, line, (size_t)(end - line), "recording", err) ||
	    json_need_int(r->head, "bytes", "recording", &f.bytes, err) || f.bytes < 0 ||
	    f.bytes > BODY_MAX)
		return err_set(err, ERR_USAGE, 0, "the recording is damaged at byte %lld",
			       (long long)r->at);
	f.at = r->at + (end - line) + 1;
	/* A frame is whole when the newline behind its bytes is there. */
	if (read_at(r, f.at + f.bytes, &last, 1) != 1)
		return 0;
	if (read_head(r, &f, err))
		return -1;
	r->at = f.at + f.bytes + 1;
	*out = f;
	return 1;
}

bool recording_read_bytes(const struct recording_reader *r, off_t at, int64_t bytes,
			  struct buf *out)
{
	buf_grow(out, (size_t)bytes);
	ssize_t n = read_at(r, at, out->data + out->len, (size_t)bytes);
	if (n != bytes)
		return false;
	out->len += (size_t)n;
	out->data[out->len] = '\0';
	return true;
}

void recording_release(struct recording_reader *r)
{
	json_decref(r->head);
	r->head = NULL;
}

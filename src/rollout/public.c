/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/public.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "model/recording.h"
#include "model/request.h"
#include "rollout/public-words.h"
#include "store/crc.h"

int public_without_parse(const char *words, unsigned *out, struct err *err)
{
	static const char *const names[] = {"prompts", "tests", "recordings"};
	AUTO(free) char *copy = xstrdup(words);

	*out = 0;
	for (char *rest = copy, *word; (word = strsep(&rest, ","));) {
		size_t i = 0;
		while (i < ARRAY_SIZE(names) && strcmp(word, names[i]) != 0)
			i++;
		if (i == ARRAY_SIZE(names))
			return err_set(err, ERR_USAGE, 0,
				       "--without %s: of prompts, tests, recordings", words);
		*out |= 1u << i;
	}
	return 0;
}

static bool is_recording(const char *path)
{
	const char *name = path_base(path);

	return !strncmp(path, DATA_RUNS "/", strlen(DATA_RUNS "/")) &&
	       (!strcmp(name, ATTEMPT_RECORDING) || !strcmp(name, ATTEMPT_JUDGE_RECORDING));
}

bool public_leaves_out(const struct public_words *w, const char *path)
{
	const char *name = path_base(path);

	/* Prompts stand in what was said, too. */
	if (w->without & (WITHOUT_RECORDINGS | WITHOUT_PROMPTS) && is_recording(path))
		return true;
	if (w->without & WITHOUT_PROMPTS &&
	    (!strcmp(name, "LM_INSTRUCTIONS.md") || !strcmp(name, ATTEMPT_VERDICTS)))
		return true;
	/* A report for people repeats both. What a test prints when it fails is mostly its own lines. */
	if (w->without & (WITHOUT_TESTS | WITHOUT_PROMPTS) && !strcmp(name, ATTEMPT_SCORING))
		return true;
	return w->without & WITHOUT_TESTS &&
	       (!strcmp(name, SNAPSHOT_GOLD) || !strcmp(name, path_base(ATTEMPT_EVAL_LOG)));
}

char *public_name(const struct public_words *w, const char *path)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_adds(&text, path);
	public_words_replace(w, &text);
	return buf_detach(&text);
}

/* Its files are no longer those that its hash was made of. */
static void rewrite_task(const struct public_words *w, json_t *j)
{
	json_t *step, *test;
	size_t i, k;

	json_put_str(j, "trees", "");
	if (w->without & WITHOUT_TESTS)
		json_put_bool(j, "has_gold", false);
	json_array_foreach (json_object_get(j, "steps"), i, step) {
		if (w->without & WITHOUT_PROMPTS)
			json_put_str(step, "instruction", "");
		json_array_foreach (json_object_get(step, "tests"), k, test)
			if (w->without & WITHOUT_TESTS)
				json_put_str(test, "content", "");
	}
}

static void rewrite_meta(const struct public_words *w, json_t *j)
{
	if (w->without & WITHOUT_PROMPTS)
		json_object_del(j, "lm");
}

/* Of a test its numbers, not what it printed. */
static void rewrite_evaluation(const struct public_words *w, json_t *j)
{
	const char *path, *key;
	json_t *test, *v;
	void *next;

	if (w->without & WITHOUT_TESTS)
		json_object_foreach (json_object_get(j, "test_results"), path, test)
			json_object_foreach_safe(
				test, next, key,
				v) if (json_is_object(v) || json_is_array(v) ||
				       (json_is_string(v) && strcmp(key, "rubric_id") != 0))
				json_object_del(test, key);
}

/* Files of ours that are changed as data; what cannot be read stays what it is. */
static void rewrite_document(const struct public_words *w, const char *path, struct buf *text)
{
	static const struct {
		const char *name, *below;
		void (*rewrite)(const struct public_words *w, json_t *j);
	} kinds[] = {{SNAPSHOT_TASK, DATA_TASKS, rewrite_task},
		     {"tb_meta.json", DATA_TASKS, rewrite_meta},
		     {ATTEMPT_EVALUATION, DATA_RUNS, rewrite_evaluation}};
	struct err none;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		AUTO(json) json_t *j = NULL;
		if (strcmp(path_base(path), kinds[i].name) != 0 ||
		    strncmp(path, kinds[i].below, strlen(kinds[i].below)) != 0 ||
		    json_parse(&j, text->data, text->len, path, &none))
			continue;
		kinds[i].rewrite(w, j);
		buf_reset(text);
		json_format(text, j, true);
		buf_addc(text, '\n');
	}
}

/* Each line says what its checksum is. */
static void rewrite_journal(const struct public_words *w, struct buf *text)
{
	static const char crc[] = ",\"crc\":\"";
	AUTO(buf) struct buf out = BUF_INIT, line = BUF_INIT;

	for (const char *at = text->data, *end = at + text->len, *next; at < end; at = next) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		next = newline ? newline + 1 : end;
		const size_t n = (size_t)(next - at), tail = strlen(crc) + 11;
		buf_reset(&line);
		bool whole = newline && n > tail && !memcmp(next - tail, crc, strlen(crc));
		buf_add(&line, at, whole ? n - tail : n);
		public_words_replace(w, &line);
		buf_add(&out, line.data, line.len);
		if (whole)
			buf_addf(&out, "%s%08x\"}\n", crc, crc32_of(line.data, line.len));
	}
	buf_reset(text);
	buf_add(text, out.data, out.len);
}

/* The answers of calls under way. */
struct answers {
	struct answer {
		int64_t call;
		struct buf body;
	} * v;
	size_t n, cap;
};

static struct buf *answer_of(struct answers *a, int64_t call)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].call == call)
			return &a->v[i].body;
	GROW(a->v, a->n, a->cap);
	a->v[a->n] = (struct answer){call, BUF_INIT};
	return &a->v[a->n++].body;
}

struct recoding {
	const struct public_words *w;
	struct request_chain from, to;
	struct answers answers;
	struct buf *out;
};

static int recode_request(struct recoding *r, const struct recording_frame *f, const char *data,
			  struct err *err)
{
	AUTO(buf) struct buf body = BUF_INIT;
	char hash[HASH_HEX];
	const struct buf *whole =
		request_chain_join(&r->from, f->call, &f->part, data, (size_t)f->bytes);

	if (!whole)
		return err_set(err, ERR_USAGE, 0, "call %lld has no request", (long long)f->call);
	buf_add(&body, whole->data, whole->len);
	bool changed = public_words_replace(r->w, &body);
	if (changed)
		model_request_hash(f->method, f->path, body.data, body.len, hash);
	recording_put_request(r->out, &r->to, f->call, f->method, f->path, changed ? hash : f->hash,
			      &body);
	return 0;
}

/* Of the headers only what is needed to read the answer: others name accounts. */
static void recode_head(struct recoding *r, const struct recording_frame *f, const char *data)
{
	AUTO(buf) struct buf headers = BUF_INIT;
	const char *end = data + f->bytes;

	while (data < end) {
		const char *value = data + strnlen(data, (size_t)(end - data)) + 1;
		const char *next =
			value < end ? value + strnlen(value, (size_t)(end - value)) + 1 : end;
		if (value < end && next <= end && !strcasecmp(data, "content-type"))
			buf_add(&headers, data, (size_t)(next - data));
		data = next;
	}
	recording_put_head(r->out, f->call, f->status, -1, f->events, &headers);
}

static int recode(struct recoding *r, const struct recording_frame *f, const char *data,
		  struct err *err)
{
	struct buf *body;

	switch (f->kind) {
	case FRAME_REQUEST:
		return recode_request(r, f, data, err);
	case FRAME_HEAD:
		recode_head(r, f, data);
		return 0;
	case FRAME_BODY:
		buf_add(answer_of(&r->answers, f->call), data, (size_t)f->bytes);
		return 0;
	case FRAME_END:
		body = answer_of(&r->answers, f->call);
		public_words_replace(r->w, body);
		if (body->len)
			recording_put_body(r->out, f->call, body->data, body->len);
		buf_release(body);
		recording_put_end(r->out, f->call, f->end, f->model, &f->tokens, f->estimated);
	}
	return 0;
}

/* Its lengths and what it shares between requests are of the old words. */
static int rewrite_recording(const struct public_words *w, struct buf *text, struct err *err)
{
	AUTO(buf) struct buf out = BUF_INIT;
	struct recording_reader reader = {.fd = -1, .text = text};
	struct recoding r = {.w = w, .out = &out};
	struct recording_frame f;
	int got;

	while ((got = recording_read(&reader, &f, err)) > 0)
		if (recode(&r, &f, text->data + f.at, err)) {
			got = -1;
			break;
		}
	recording_release(&reader);
	request_chain_release(&r.from);
	request_chain_release(&r.to);
	for (size_t i = 0; i < r.answers.n; i++)
		buf_release(&r.answers.v[i].body);
	free(r.answers.v);
	buf_reset(text);
	buf_add(text, out.data, out.len);
	return got;
}

int public_rewrite(const struct public_words *w, const char *path, struct buf *text,
		   struct err *err)
{
	const char *name = path_base(path);

	if (is_recording(path))
		return rewrite_recording(w, text, err) ? err_wrap(err, "%s", path) : 0;
	rewrite_document(w, path, text);
	if (!strcmp(name, ROLLOUT_JOURNAL))
		rewrite_journal(w, text);
	else if (!memchr(text->data, '\0', text->len))
		public_words_replace(w, text);
	return 0;
}

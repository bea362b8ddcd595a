/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page/texts.h"
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "model/transcript.h"
#include "report/doc.h"
#include "report/number.h"

enum {
	READ_MAX = 256 << 10,	  /* of one text */
	JSON_MAX = 32 << 20,	  /* of a result document */
	RECORDING_MAX = 24 << 20, /* one that is longer is not read */
	TRANSCRIPT_ROOM = 2000,	  /* with less of it for a trial, no conversation is put together */
	LEAST = 40,		  /* bytes that any text gets */
	FRAME = 130,		  /* bytes of markup that each takes, and the trial itself */
};

enum text_kind { TEXT_HEAD, TEXT_TAIL, TEXT_TESTS, TEXT_JUDGE, TEXT_TRANSCRIPT };

static const struct source {
	const char *title, *file;
	enum text_kind kind;
} sources[] = {
	{"tests", ATTEMPT_EVALUATION, TEXT_TESTS},
	{"diff", ATTEMPT_DIFF, TEXT_HEAD},
	{"judge", ATTEMPT_EVALUATION, TEXT_JUDGE},
	{"agent's log", ATTEMPT_AGENT_LOG, TEXT_TAIL},
	{"agent's errors", ATTEMPT_AGENT_ERR, TEXT_TAIL},
	{"tests' log", ATTEMPT_EVAL_LOG, TEXT_TAIL},
	{"notes", ATTEMPT_NOTES, TEXT_HEAD},
	{"transcript", ATTEMPT_RECORDING, TEXT_TRANSCRIPT},
	{"worker's log", ATTEMPT_WORKER_LOG, TEXT_TAIL},
};

#define SOURCES ARRAY_SIZE(sources)

struct text {
	struct buf bytes; /* the first or the last of it */
	size_t total;	  /* bytes there are */
	size_t escaped;	  /* what BYTES takes in the page */
	size_t room;	  /* that it may take */
};

int texts_attempt(const struct trial_status *t)
{
	return t->has_result && t->result.attempt > 0 ? t->result.attempt : t->attempts;
}

/* The first or the last MOST bytes of a regular file. */
static void read_end(struct text *out, int root, const char *path, bool tail, size_t most)
{
	struct err ignored;
	struct stat st;
	AUTO(fd) int fd =
		path_open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &ignored);

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return;
	out->total = (size_t)st.st_size;
	off_t at = tail && out->total > most ? st.st_size - (off_t)most : 0;
	while (out->bytes.len < most) {
		size_t want = most - out->bytes.len;
		buf_grow(&out->bytes, want);
		ssize_t got = pread(fd, out->bytes.data + out->bytes.len, want, at);
		if (got <= 0)
			break;
		at += got;
		out->bytes.len += (size_t)got;
		out->bytes.data[out->bytes.len] = '\0';
	}
}

static void put_value(struct buf *out, const json_t *score)
{
	char text[NUMBER_TEXT];

	if (json_is_number(score))
		buf_adds(out, number_score(text, json_number_value(score)));
	else
		buf_adds(out, "not scored");
}

static void put_cases(struct buf *out, const json_t *test)
{
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(test, "cases"), i, one) {
		const char *message = json_get_str(one, "message", "");
		buf_addf(out, "    %s %s%s%s\n", json_get_str(one, "outcome", "?"),
			 json_get_str(one, "name", "?"), *message ? ": " : "", message);
	}
}

/* Rubrics, then each test script with what it said. */
static void put_tests(struct buf *out, const json_t *doc)
{
	const json_t *rubrics = json_object_get(json_object_get(doc, "evaluation"), "rubrics");
	const char *id;
	json_t *one;

	json_object_foreach ((json_t *)rubrics, id, one) {
		buf_addf(out, "%s: ", id);
		put_value(out, json_object_get(one, "score"));
		buf_addf(out, " (weight %g) %s\n", json_get_real(one, "weight", 0),
			 json_get_str(one, "criterion", ""));
	}
	if (!json_get_bool(doc, "patch_applied", true))
		buf_addf(out, "the diff did not apply: %s\n",
			 json_get_str(doc, "patch_reason", ""));
	json_object_foreach (json_object_get(doc, "test_results"), id, one) {
		const char *reason = json_get_str(one, "reason", "");
		bool good = json_get_bool(one, "success", false);
		buf_addf(out, "\n%s %s (%s)%s%s\n",
			 json_get_str(one, "outcome", good ? "passed" : "failed"), id,
			 json_get_str(one, "rubric_id", ""), *reason ? ": " : "", reason);
		put_cases(out, one);
		if (!good)
			buf_addf(out, "%s\n", json_get_str(one, "output", ""));
	}
}

static void put_judge(struct buf *out, const json_t *doc)
{
	const json_t *judged = json_object_get(doc, "lm_evaluation"), *one;
	size_t i;

	if (!json_is_object(judged))
		return;
	buf_addf(out, "%s: ", json_get_str(json_object_get(judged, "metadata"), "model", "judge"));
	put_value(out, json_object_get(judged, "weighted_score"));
	buf_addf(out, "\n%s\n", json_get_str(judged, "summary", ""));
	json_array_foreach (json_object_get(judged, "rubric_scores"), i, one) {
		buf_addf(out, "\n%s: ", json_get_str(one, "rubric_id", "?"));
		put_value(out, json_object_get(one, "score"));
		buf_addf(out, "\n%s\n", json_get_str(one, "reasoning", ""));
		const json_t *evidence = json_object_get(one, "evidence");
		if (json_is_string(evidence))
			buf_addf(out, "evidence: %s\n", json_string_value(evidence));
		else if (json_array_size(evidence)) {
			buf_adds(out, "evidence: ");
			json_format(out, evidence, false);
			buf_addc(out, '\n');
		}
	}
}

static void read_transcript(struct text *out, int root, const char *path, size_t room)
{
	AUTO(buf) struct buf recording = BUF_INIT;
	struct err err;
	struct text there = {.bytes = BUF_INIT};

	if (room >= TRANSCRIPT_ROOM &&
	    !path_read_beneath(root, path, RECORDING_MAX, &recording, &err)) {
		if (recording.len && transcript_make(&out->bytes, &recording, &err))
			buf_addf(&out->bytes, "%s\n", err.msg);
		out->total = out->bytes.len;
		return;
	}
	/* There is one, and no room for it. */
	read_end(&there, root, path, false, 1);
	out->total = there.total;
	buf_release(&there.bytes);
}

static void read_one(struct text *out, const struct source *s, int root, const char *path,
		     size_t room)
{
	AUTO(json) json_t *doc = NULL;
	AUTO(buf) struct buf bytes = BUF_INIT;
	struct err ignored;

	switch (s->kind) {
	case TEXT_HEAD:
	case TEXT_TAIL:
		read_end(out, root, path, s->kind == TEXT_TAIL, room < READ_MAX ? room : READ_MAX);
		return;
	case TEXT_TRANSCRIPT:
		read_transcript(out, root, path, room);
		return;
	case TEXT_TESTS:
	case TEXT_JUDGE:
		if (path_read_beneath(root, path, JSON_MAX, &bytes, &ignored))
			return;
		doc = json_foreign(bytes.data, bytes.len);
		if (s->kind == TEXT_TESTS)
			put_tests(&out->bytes, doc);
		else
			put_judge(&out->bytes, doc);
		out->total = out->bytes.len;
	}
}

/* Short texts are shown whole; the long ones share what is left. */
static void share_room(struct text *texts, size_t room)
{
	size_t left = 0;

	for (size_t i = 0; i < SOURCES; i++)
		left += texts[i].total > 0;
	room -= room > FRAME * (left + 1) ? FRAME * (left + 1) : room;
	for (bool again = true; again && left;) {
		again = false;
		for (size_t i = 0; i < SOURCES; i++) {
			if (!texts[i].total || texts[i].room || texts[i].escaped > room / left)
				continue;
			texts[i].room = texts[i].escaped + 1;
			room -= texts[i].escaped;
			left--;
			again = left > 0;
			if (!left)
				break;
		}
	}
	for (size_t i = 0; i < SOURCES; i++)
		if (texts[i].total && !texts[i].room)
			texts[i].room = room / left > LEAST ? room / left : LEAST;
}

/* As much of BYTES as takes about ROOM bytes once it is escaped; returns the bytes of it. */
static size_t render(struct buf *out, const struct buf *bytes, size_t room, bool tail)
{
	size_t keep = bytes->len, begin = out->len;

	for (int tries = 0; tries < 6; tries++) {
		size_t from = tail ? bytes->len - keep : 0;
		/* Not in the middle of a letter. */
		while (tail && from < bytes->len &&
		       ((unsigned char)bytes->data[from] & 0xc0) == 0x80)
			from++;
		size_t n = tail ? bytes->len - from : text_cut(bytes->data, keep);
		out->len = begin;
		text_render(out, bytes->data + from, n, TEXT_HTML);
		size_t took = out->len - begin;
		if (took <= room || keep < 16)
			return n;
		keep = (size_t)((double)keep * 0.97 * (double)room / (double)took);
	}
	return keep;
}

/* True where it had to be cut. */
static bool put_one(struct buf *out, const struct source *s, const struct text *x)
{
	AUTO(buf) struct buf shown = BUF_INIT, note = BUF_INIT;
	bool tail = s->kind == TEXT_TAIL;
	size_t n = render(&shown, &x->bytes, x->room, tail);
	bool cut = n < x->total;

	buf_addf(out, "<details%s><summary>%s</summary>",
		 strcmp(s->title, "diff") == 0 ? " class=\"diff\"" : "", s->title);
	if (cut && n)
		buf_addf(&note, "<p class=\"cut\">The %s %zu of %zu bytes</p>",
			 tail ? "last" : "first", n, x->total);
	else if (cut)
		buf_addf(&note, "<p class=\"cut\">Left out: %zu bytes</p>", x->total);
	if (tail)
		buf_add(out, note.data, note.len);
	/* A parser drops the first newline of a pre. */
	if (n) {
		buf_adds(out, "<pre>\n");
		buf_add(out, shown.data, shown.len);
		buf_adds(out, "</pre>");
	}
	if (!tail)
		buf_add(out, note.data, note.len);
	buf_adds(out, "</details>\n");
	return cut;
}

void texts_put(struct buf *out, int root_fd, const struct trial_status *t, size_t room)
{
	struct text texts[SOURCES];
	int attempt = texts_attempt(t);

	for (size_t i = 0; i < SOURCES; i++)
		texts[i] = (struct text){.bytes = BUF_INIT};
	for (size_t i = 0; i < SOURCES && attempt > 0; i++) {
		AUTO(free)
		char *path = datadir_attempt_file(RUN_ID(t), attempt, sources[i].file);
		/* Our own log is for those who look for our own mistakes. */
		if (strcmp(sources[i].file, ATTEMPT_WORKER_LOG) != 0 || !t->has_result ||
		    outcome_is_missing((enum outcome)t->result.outcome))
			read_one(&texts[i], &sources[i], root_fd, path, room);
		/* More of what was put together than can be shown need not be escaped. */
		if (texts[i].bytes.len > room)
			texts[i].bytes.len = text_cut(texts[i].bytes.data, room);
		AUTO(buf) struct buf escaped = BUF_INIT;
		text_render(&escaped, texts[i].bytes.data, texts[i].bytes.len, TEXT_HTML);
		texts[i].escaped = escaped.len;
	}
	share_room(texts, room);
	bool cut = false;
	for (size_t i = 0; i < SOURCES; i++) {
		if (texts[i].total)
			cut |= put_one(out, &sources[i], &texts[i]);
		buf_release(&texts[i].bytes);
	}
	if (cut) {
		AUTO(free) char *folder = datadir_attempt(RUN_ID(t), attempt);
		buf_addf(out,
			 "<p class=\"cut\">All of what is cut: <code>rollouts show %s</code>, or "
			 "in <code>%s</code></p>\n",
			 RUN_ID(t), folder);
	}
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * conversation.h -- asking a model, turn by turn, in whatever API dialect it speaks. The history is linear and only
 * grows, so that a provider's prompt cache holds all of it but the last turn; only when a provider refuses it for its
 * length are the oldest outputs taken out. Answers are a model's: nothing in them is trusted.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "core/api.h"
#include "core/model-options.h"
#include "model/http.h"

/* What the model may call. */
struct tool {
	const char *name, *description;
	json_t *parameters; /* a JSON schema of the arguments */
};

struct tool_call {
	char *id;	   /* "" where the dialect has none */
	char *name;	   /* of the tool, as asked for */
	json_t *arguments; /* whatever the model gave; NULL: it was no JSON */
	bool failed;	   /* set by the caller: it could not be done as asked for */
};

/* One answer, read. */
struct reply {
	struct buf text;
	struct tool_call *calls;
	size_t calls_n, calls_cap;
	bool refused; /* the text is the model's refusal, which this API marks as one */
	int status;   /* of HTTP, where a provider did not answer; else 0 */
	bool goes_on; /* the next answer to the same is the rest of it */
	bool cut;     /* it reached the model's output limit */
	char *stuck;  /* the model gives no answer: "finishReason SAFETY"; NULL: it does */
	int64_t input, cached, output; /* tokens; -1 unknown */
	size_t forgotten; /* outputs that had to be taken out of the history before it was answered */
};
#define REPLY_INIT                                                                                 \
	{                                                                                          \
		.text = BUF_INIT, .input = -1, .cached = -1, .output = -1                          \
	}

/* The output of a call, where it stands in the history. */
struct shown_output {
	json_t *holder; /* borrowed from the history */
	const char *member;
};

/* The form that answers are to have, and what a request says beside. */
struct answer_form {
	const char *name;     /* [A-Za-z0-9_-]{1,64} */
	const json_t *schema; /* of JSON Schema what every provider takes: see eval/judge-form.c */
	const char *effort;   /* of reasoning; NULL: the model's own */
	double temperature, top_p; /* negative: the model's own */
};

/* What of an answer_form, or of a conversation, a provider refused and is sent no more. */
enum form_part {
	FORM_SCHEMA = 1,
	FORM_SAMPLING = 2,
	FORM_EFFORT = 4,
	FORM_CACHE_KEY = 8,
	FORM_STREAM_OPTIONS = 16,
	FORM_STREAM = 32,
};

/* Starts with the first six set, and an empty array as history. */
struct conversation {
	const struct dialect *dialect;
	const char *model;		/* as its provider names it; borrowed */
	char *system;			/* NULL: none; owned */
	const struct tool *tool;	/* NULL: none; borrowed */
	const struct answer_form *form; /* NULL: free text. Borrowed */
	const char *
		cache_key; /* of OpenAI's prompt cache, at most 64 characters; NULL: none. Borrowed */
	int max_output;	   /* tokens of an answer; 0: what the dialect asks for by itself */
	/* What is to be said whatever the provider makes of it, instead of what FORM says; NULL: nothing. Borrowed. */
	const struct model_options *options;
	bool stream; /* answers come in pieces, so that a long one is not taken for silence */
	/* gemini: what an answer holds that goes on, and by which word; NULL: none does. Owned. */
	json_t *begun;
	char *continuation;
	json_t *history;	    /* an array in the dialect's own shape; owned */
	unsigned dropped;	    /* of enum form_part */
	bool plain;		    /* responses: the model has no encrypted reasoning to give */
	struct shown_output *shown; /* long outputs that stand in the history, the oldest first */
	size_t shown_n, shown_cap;
	size_t seen; /* how many of them stood in a request that was answered */
};

struct dialect {
	enum api api;
	const char *path;	 /* "{model}" stands for the model */
	const char *stream_path; /* the same for answers in pieces; NULL: one path for both */
	const char *key;	 /* the header that carries a key; %s is the key */
	const char *headers;	 /* further ones, whole lines */
	json_t *(*request)(const struct conversation *t); /* new reference */
	/* Append the model's turn to the history and fill REPLY. False: ANSWER is no answer of this dialect. */
	bool (*read)(struct conversation *t, const json_t *answer, struct reply *reply);
	/* Append what the calls of REPLY gave, each its text in OUTPUTS. */
	void (*results)(struct conversation *t, const struct reply *reply,
			const struct buf *outputs);
	void (*say)(struct conversation *t, const char *text); /* append a message of the user's */
	/* Append an image of a media TYPE to the message of the user's that stands last. */
	void (*picture)(struct conversation *t, const char *type, const char *base64);
	/* An earlier part of the history was changed: take out what was bound to it. Returns whether there was any. NULL:
	 * nothing ever is. */
	bool (*unbind)(struct conversation *t);
};

extern const struct dialect dialect_responses, dialect_chat, dialect_anthropic, dialect_gemini;
extern const struct dialect *const dialects[API_COUNT]; /* by enum api */

/* Add a message of the user's. */
void conversation_say(struct conversation *t, const char *text);
/* Add a picture (core/image-type.h) to the message of the user's that was added last. */
void conversation_picture(struct conversation *t, const void *data, size_t len);
/* Of a dialect whose messages are a text, or a list of parts: the list of the last one, its text now its first part, as TYPE.
 * Borrowed. */
json_t *conversation_last_parts(struct conversation *t, const char *type);
/* Answer the calls of REPLY, which was the model's last turn: the text of each in OUTPUTS. */
void conversation_results(struct conversation *t, const struct reply *reply,
			  const struct buf *outputs);
/* Ask once for the next turn, and leave history as it is; OUT is the provider's answer as it came. As http_post. */
int conversation_post(const struct conversation *t, const struct model_client *c,
		      struct http_answer *out, struct err *err) MUST_CHECK;

enum asked {
	ASKED_ANSWERED, /* OUT is the model's turn, and stands in the history */
	ASKED_REFUSED,	/* the provider will not answer this: out->stuck says why */
	ASKED_LATE,	/* the deadline came first */
};

/* Ask for the next turn; what a provider refuses in a form that can be mended is mended and asked again. What fails for
 * the moment (a 5xx, a failure inside a 200, an answer that is cut off or cannot be read) is asked again four times
 * within 15 s. Returns an enum asked, or -1: as http_post, and ERR_INFRA (retry) when it failed each time. OUT starts as
 * REPLY_INIT and must be released in any case. */
int conversation_ask(struct conversation *t, const struct model_client *c, struct reply *out,
		     struct err *err) MUST_CHECK;
void conversation_release(struct conversation *t);
void reply_release(struct reply *r);

/* HOLDER, about to become a part of the history, gets TEXT, the output of a call, as its MEMBER. */
void conversation_show(struct conversation *t, json_t *holder, const char *member,
		       const struct buf *text);
/* Take the older half, by bytes, of the outputs that the model has seen out of the history: what remains of each is its
 * last line. Returns how many were taken; 0: there is nothing left to be taken. */
size_t conversation_forget(struct conversation *t);
/* What a request may still say of the form: NULL, or a negative number, where it may not, or has nothing to. */
const json_t *conversation_schema(const struct conversation *t);
/* Whether a request may ask for pieces. */
bool conversation_streams(const struct conversation *t);
const char *conversation_effort(const struct conversation *t);
const char *conversation_cache_key(const struct conversation *t);
double conversation_temperature(const struct conversation *t);
double conversation_top_p(const struct conversation *t);
/* "": nothing. */
const char *conversation_thinking(const struct conversation *t);
int64_t conversation_seed(const struct conversation *t);
/* ARGUMENTS is borrowed, and may be anything, or NULL. */
void reply_add_call(struct reply *r, const char *id, const char *name, json_t *arguments);
/* The same for a dialect whose HOLDER has the arguments as JSON text: a model may have given an object, or what is no
 * JSON. HOLDER's then become the text of an object that says the same, since servers fail on a history that they
 * cannot read. */
void reply_add_call_text(struct reply *r, const char *id, const char *name, json_t *holder);
/* Append a string member, or another, of whatever shape the model gave it. */
void reply_add_text(struct buf *out, const json_t *text);

static inline void auto_reply(struct reply *r)
{
	reply_release(r);
}

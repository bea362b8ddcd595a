/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * bash-talk.h -- private to agent: the built-in agent's conversation with a model, and how each API dialect
 * puts it. The history is linear and only grows, so that a provider's prompt cache holds all of it but the
 * last turn; only when a provider refuses it for its length are the oldest outputs taken out. Answers are a
 * model's: nothing in them is trusted.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"

struct bash_call {
	char *id;      /* "" where the dialect has none */
	char *name;    /* of the tool, as asked for */
	char *command; /* NULL: the call makes no sense, and problem says why */
	const char *problem;
};

/* One answer, read. */
struct bash_reply {
	struct buf text;
	struct bash_call *calls;
	size_t calls_n, calls_cap;
	bool cut;    /* it reached the model's output limit */
	char *stuck; /* the model gives no answer: "finishReason SAFETY"; NULL: it does */
	int64_t input, cached, output; /* tokens; -1 unknown */
};

/* The output of a command, where it stands in the history. */
struct bash_shown {
	json_t *holder; /* borrowed from the history */
	const char *member;
};

struct bash_talk {
	const struct bash_dialect *dialect;
	const char *model;
	char *system;
	json_t *history;	  /* an array in the dialect's own shape */
	bool plain;		  /* responses: the model has no encrypted reasoning to give */
	struct bash_shown *shown; /* long outputs that stand in the history, the oldest first */
	size_t shown_n, shown_cap;
	size_t seen; /* how many of them stood in a request that was answered */
};

struct bash_dialect {
	const char *api;			       /* as in trial.api */
	const char *path;			       /* "{model}" stands for the model */
	const char *auth;			       /* header lines; %s is the token */
	json_t *(*request)(const struct bash_talk *t); /* new reference */
	/* Append the model's turn to the history and fill REPLY. False: ANSWER is no answer of this dialect. */
	bool (*read)(struct bash_talk *t, const json_t *answer, struct bash_reply *reply);
	/* Append what the calls of REPLY gave, each its text in OUTPUTS. */
	void (*results)(struct bash_talk *t, const struct bash_reply *reply,
			const struct buf *outputs);
	void (*say)(struct bash_talk *t, const char *text); /* append a message of the user's */
};

extern const struct bash_dialect bash_responses, bash_chat, bash_anthropic, bash_gemini;

/* The dialect of an API, or NULL. */
const struct bash_dialect *bash_dialect_find(const char *api);

/* HOLDER, about to become a part of the history, gets TEXT, the output of a command, as its MEMBER. */
void bash_talk_show(struct bash_talk *t, json_t *holder, const char *member,
		    const struct buf *text);
/* Take the older half, by bytes, of the outputs that the model has seen out of the history: what remains of each is its
 * last line. Returns how many were taken; 0: there is nothing left to be taken. */
size_t bash_talk_forget(struct bash_talk *t);
void bash_talk_release(struct bash_talk *t);

#define BASH_TOOL "bash"
const char *bash_tool_description(void);
json_t *bash_tool_schema(void); /* of its arguments; new reference */

/* A call as asked for: ARGUMENTS is an object (borrowed, may be anything), or what could not be parsed. */
void bash_reply_call(struct bash_reply *r, const char *id, const char *name,
		     const json_t *arguments);
/* The same with the arguments as the JSON text that two dialects send. */
void bash_reply_call_text(struct bash_reply *r, const char *id, const char *name,
			  const char *arguments);
void bash_reply_release(struct bash_reply *r);
/* Append a string member, or another, of whatever shape the model gave it. */
void bash_add_text(struct buf *out, const json_t *text);

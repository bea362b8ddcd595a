/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * listener.h -- what is told of a benchmark while it is run, to whoever shows it. What does the
 * work prints nothing: it tells a listener, whose functions must not block.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum listener_kind {
	LISTENER_REMARK, /* TEXT is for the user */
	LISTENER_OUTPUT, /* TEXT is a line of RUN_ID: of its agent, its tests, a phase, a note */
	LISTENER_ENDED, /* the trial RUN_ID has ended: OK, CUT, STATUS, and in TEXT its outcome and why */
	LISTENER_JOURNAL, /* TEXT is whole lines of the journal, about to be written */
	LISTENER_TURN,	  /* nothing more is told for now: show it. DONE, TOTAL, LEFT_MS */
};

/* Trials at a launcher: that wait for their turn, that their engine has begun, that have said something, that have ended. */
struct listener_site {
	const char *name;
	size_t queued, starting, running, done;
};

/* Everything is borrowed for the call. Text that is not ours (OUTPUT, ENDED) may hold anything. */
struct listener_event {
	enum listener_kind kind;
	const char *run_id;
	const char *text;
	size_t len; /* of TEXT */
	bool ok;  /* nothing failed of what was to be done: its agent's work, or grading it again */
	bool cut; /* it was ended before its end: cancelled, interrupted */
	bool missing;	    /* it has no result that counts */
	const char *status; /* as in the manifest */
	size_t done, total; /* trials; TOTAL 0: they are not counted */
	/* Where trials run elsewhere: one for each launcher. */
	const struct listener_site *sites;
	size_t sites_n;
	int64_t left_ms; /* a guess at the time to the end; -1: none */
};

struct listener {
	void (*tell)(void *arg, const struct listener_event *e);
	/* When it wants the next TURN though nothing has happened, as clock_mono_ms; -1: never. */
	int64_t (*due)(void *arg);
	void *arg;
	bool wants_output; /* else the output of agents and tests is not even asked for */
};

/* TO may be NULL: nobody listens. */
void listener_tell(const struct listener *to, const struct listener_event *e);
/* A remark. */
void listener_say(const struct listener *to, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void listener_output(const struct listener *to, const char *run_id, const char *text, size_t len);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * index-form.h -- the trials of a rollout as arrays of fixed records and one text. Private to store/index.c. Offsets lead into
 * the text, where strings follow each other, each with its NUL; 0 is "".
 */
#pragma once
#include "store/store.h"

/* Another number wherever a record, or what is read from a journal, changes its meaning. */
#define INDEX_FORM 3

struct index_head {
	uint64_t form, sizes; /* what the program takes them for */
	uint64_t trials, entries, origins, more, settings;
	int64_t damaged_lines;
	struct journal_cost cost;
};

/* What trials of one task in one entry share. SETTING: which of the settings has the rest, as JSON. */
struct index_entry {
	int64_t seed;
	uint32_t stem, task_dir, task_id, task_hash, planned_hash, task_snapshot, repository,
		cluster, image, image_id, setting, tags,
		tags_n; /* tags: the first of tags_n strings */
};

struct index_origin {
	uint32_t task_hash, served, agent_version, judge_served, judge_model, judge_prompt,
		image_id, program; /* 0: not known */
};

struct index_trial {
	double total_score, money_usd;
	int64_t tokens, wall_ms;
	int32_t tool_calls, calls, rollout, attempts, attempt;
	uint32_t entry, number, origin, reason;
	uint16_t suspect;
	uint8_t outcome, state, has_result, scored, replaced, first_scored, as_planned, disturbed,
		unused[2];
};

/* Of trial number TRIAL; EXTRA: JSON, or 0. */
struct index_more {
	double judge_score, first_score;
	int64_t skipped, ignored;
	uint32_t trial, extra;
};

/* Arrays by their names in the file. */
enum index_kind {
	INDEX_TEXT,
	INDEX_SETTINGS,
	INDEX_ENTRIES,
	INDEX_ORIGINS,
	INDEX_TRIALS,
	INDEX_MORE
};

/* FN is handed the content of each array, piece by piece, in the order of enum index_kind; it returns 0 to go on. */
typedef int index_put_fn(void *arg, enum index_kind kind, const void *data, size_t n);
/* -1: what R holds has no room in this form, or FN said so. HEAD is filled. */
int index_pack(const struct rollout *r, struct index_head *head, index_put_fn *fn, void *arg);

/* A rollout while it is read. */
struct index_unpacking {
	struct rollout *r;
	struct index_head head;
	const char *text;
	size_t text_n;
	struct trial_shared *entries;
	size_t entries_n;
	const struct trial **settings;
	size_t settings_n;
	struct result_origin *origins;
	size_t origins_n, more_n, trials_n;
};
/* R->ref is filled, its memory empty. False: this program would have written it in another way. */
bool index_unpack_begin(struct index_unpacking *u, struct rollout *r,
			const struct index_head *head);
/* The pieces, as and when they were handed out. False: it is no such thing. */
bool index_unpack(struct index_unpacking *u, enum index_kind kind, const void *data, size_t n);
/* Whether all has come. What it took from R's memory stays there, whatever this says. */
bool index_unpack_end(struct index_unpacking *u);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge-prompt.h -- private to eval: what a judge reads, in this order: what the agent was asked, the criterion, the
 * diff, the results of the tests, the files that the rubric names; and between what is the agent's our own words,
 * before and after. Pure.
 */
#pragma once
#include <jansson.h>
#include "base/hash.h"
#include "base/strv.h"
#include "core/judge.h"
#include "eval/fence.h"
#include "eval/diff-parts.h"
#include "task/task.h"

/* A file of the workspace after the change, as much of it as was read. */
struct judge_file {
	char *path, *text;
	size_t len;
	bool cut;
};
struct judge_files {
	struct judge_file *v;
	size_t n, cap;
};
void judge_files_release(struct judge_files *f);

struct judge_material {
	const char *instruction;
	const struct diff_parts *diff;
	const char *patch_refused; /* why the diff does not apply; NULL: it does */
	const json_t *tests;	   /* test_results of the document */
	const struct judge_files *files;
};

/* A statement about the diff whose truth is known here. */
struct judge_control {
	char text[512];
	bool is_true;
};

struct judge_prompt {
	struct buf text;
	struct strv cut;	      /* what of the material is not shown whole, one a line */
	struct judge_control control; /* its text "": there is none */
	char hash[HASH_HEX];	      /* of the system's words and the text */
};

extern const char judge_system[];

/* Whether R is met or not met, instead of having degrees. */
bool judge_is_binary(const struct task_rubric *r);
/* Names of files in R's words, "README.md", "src/x.py": appended to OUT. */
void judge_named(const struct task_rubric *r, struct strv *out);
/* CODE is the fences'. OUT must be released. */
void judge_prompt_make(struct judge_prompt *out, const struct judge *j, const struct task_rubric *r,
		       const struct judge_material *m, const char *code);
void judge_prompt_release(struct judge_prompt *p);
/* What tells one way of asking from another: our words, the form of the answer, and the settings that reach the model. */
void judge_prompt_identity(const struct judge *j, char out[HASH_HEX]);

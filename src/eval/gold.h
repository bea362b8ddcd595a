/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * gold.h -- examples that people have graded, to grade a judge by. JSON lines, each an object:
 *
 *   id            for people; the line's number when absent
 *   instruction   what the agent was asked
 *   criterion     with evaluation_criteria[] and scale ("binary" or "degrees") as in tb_meta.json
 *   diff          what the agent did; or diff_file, a path beside the file
 *   tests         {path: true | false}, may be absent
 *   files         {path: text}: named files as they are after the change, may be absent
 *   human         what people say: 0 to 1, or true or false
 *   kind          "right", "wrong", "injected" ...: told apart in the result, may be absent
 */
#pragma once
#include "eval/judge-prompt.h"

struct gold_example {
	char *id, *kind; /* kind: "" none */
	char *instruction, *diff;
	struct task_rubric rubric;
	json_t *tests; /* as test_results of an evaluation; NULL: none */
	struct judge_files files;
	double human;
};

struct gold {
	struct gold_example *v;
	size_t n, cap;
};

/* Each line that is wrong is a line in PROBLEMS; -1 with ERR_USAGE then. OUT must be released in any case. */
int gold_read(struct gold *out, const char *path, struct strv *problems,
	      struct err *err) MUST_CHECK;
void gold_release(struct gold *g);

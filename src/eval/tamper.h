/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tamper.h -- what in an agent's diff is meant for its tests and not for its task: a changed test, a conftest.py, a module
 * that stands in for pytest. It is told as evidence, not as a verdict, and left out of the tree that is graded; what the
 * task's own solution changes as well is left alone. Looks at text only and runs nothing.
 */
#pragma once
#include "base/buf.h"
#include "base/strv.h"
#include "task/task.h"

struct tamper {
	struct strv
		evidence; /* "conftest.py: changes how pytest runs", one a line, at most TAMPER_MAX */
	struct buf clean; /* the diff without those files; only where some are left out */
	size_t left_out;  /* files */
};

enum { TAMPER_MAX = 20 };

/* EXEMPT: paths that may be touched. OUT is to be released. */
void tamper_look(struct tamper *out, const struct task_step *step, const struct strv *exempt,
		 const char *diff, size_t n);
void tamper_release(struct tamper *t);
/* One more line of evidence, made harmless. */
void tamper_tell(struct strv *evidence, const char *path, const char *what);
/* Whether DIFF gives Python code that is no test words by which a test is skipped, or expected to fail, while it runs. */
bool tamper_skips(const char *diff, size_t n);
/* Append the path of each file that DIFF touches. */
void tamper_paths(struct strv *out, const char *diff, size_t n);

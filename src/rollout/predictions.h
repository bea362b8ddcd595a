/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * predictions.h -- work that was done elsewhere, as patches: they become trials of the agent "import", committed before anything is
 * run, so that all that follows is what happens to any agent's work. Prints nothing.
 */
#pragma once
#include "rollout/session.h"

struct prediction {
	char *task, *model; /* `instance_id`, `model_name_or_path` */
	char *patch;	    /* NULL: there is none */
	size_t patch_len;
	int rollout; /* the how-manieth of this task and model, from 0 */
	bool used;
};
struct predictions {
	struct prediction *v;
	size_t n, cap;
	struct strv models; /* each once */
	int rollouts;	    /* the most of one task and model */
};

/* A file of SWE-bench's predictions: JSON lines, a list, or an object by instance. Each mistake is a line in PROBLEMS. */
int predictions_read(struct predictions *out, const char *path, struct strv *problems,
		     struct err *err) MUST_CHECK;
void predictions_release(struct predictions *p);

/* Of the plan of IN, made for the agent "import" and the models of P, only trials that there is a patch for. NOTES tells what of P is
 * not of this benchmark, and which tasks have none. ERR_USAGE when nothing is left. */
int predictions_choose(struct inputs *in, struct predictions *p, struct strv *notes,
		       struct err *err) MUST_CHECK;
/* Commit the patches as the first attempts of the trials of S, which was just made of that plan. */
int predictions_commit(struct session *s, const struct predictions *p, struct err *err) MUST_CHECK;

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * context.h -- what a task's container image is made from: a name to pull (docker_image), or its Dockerfile with the
 * files beside it. Copied to DATA/cache/contexts/KEY/ when a benchmark starts, so that a later edit of the task
 * folder changes nothing half way:
 *   spec.json   {name: for people, pull: NAME | absent, args{}: build arguments,
 *               bases[]: the images it is built on, kept_out[]: paths, for people}
 *   files/      the build context: what COPY and ADD name and .dockerignore leaves, with its modes and times
 *
 * Left out of it is what an agent must not see, and every secret (kept-out.h). Where a Dockerfile may name such a file,
 * an empty one stands in.
 */
#pragma once
#include "task/filetree.h"
#include "task/task.h"

struct task_context {
	char key[HASH_HEX]; /* of everything that can make a difference to the image */
	char *name;	    /* "TASK (Dockerfile)" or the image's name */
	char *pull;	    /* NULL: it is built */
	json_t *args;
	struct strv bases;    /* images of FROM and COPY --from, as far as they can be told */
	struct strv kept_out; /* paths of what was not copied though it was asked for */
	struct filetree files;
	char *dir; /* what the files lie in: the task folder */
	bool whole; /* of a Harbor task: its folder environment/, nothing left out; also in spec.json */
};

/* Whether T asks for a container at all. */
bool task_wants_image(const struct task *t);
/* Read it. Issues, and files that the Dockerfile copies but the folder lacks, are lines appended to ISSUES.
 * Reads only. The caller frees *out, also after a failure (NULL then). */
int task_context_read(struct task_context **out, const struct task *t,
		      const struct task_source *src, struct strv *issues,
		      struct err *err) MUST_CHECK;
/* Of a Harbor task: what the images of verifiers are made from that have one of their own. *KEYS has a word for each step of T, the key of
 * its context, "+" where its verifier has a container of the agent's image, "-" where it shares the agent's; the caller frees all. */
struct task_contexts {
	struct task_context **v;
	size_t n;
};
int task_context_verifiers(struct task_contexts *out, char **keys, const struct task *t,
			   const struct task_source *src, struct strv *issues,
			   struct err *err) MUST_CHECK;
/* Write it below ROOT_FD unless it is there. */
int task_context_write(const struct task_context *c, int root_fd, struct err *err) MUST_CHECK;
/* The digest of the Dockerfile of T and of what it copies, for the task's identity. Reads only. */
void task_context_digest(const struct task *t, char out[HASH_HEX]);
void task_context_free(struct task_context *c); /* accepts NULL */

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * check.h -- one thing that was tried on this machine, and what came of it. Every prerequisite is checked by
 * using it, not by looking whether it is there.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "os/probe.h"

enum check_state {
	CHECK_OK,
	CHECK_LESS,   /* rollouts runs, but without something good */
	CHECK_FAILED, /* rollouts does not run */
};

struct check {
	enum check_state state;
	char *name, *detail, *remedy; /* remedy: NULL when there is nothing to do */
};

struct checks {
	struct check *list; /* in the order in which they were made */
	size_t n, cap;
	const char *data; /* the data folder, which need not exist yet; borrowed */
	int scratch; /* an open folder beside where trials will have theirs; -1 before and after */
};

void checks_release(struct checks *c);
/* None of them failed: rollouts runs here. */
bool checks_passed(const struct checks *c);

/* Append one. REMEDY is copied, and left out when STATE is CHECK_OK. */
void check_add(struct checks *c, enum check_state state, const char *name, const char *remedy,
	       const char *detail, ...) __attribute__((format(printf, 5, 6)));
/* Append one that failed with ERR, whose message may bring a remedy of its own along: "CAUSE; REMEDY". */
void check_add_error(struct checks *c, enum check_state state, const char *name,
		     const struct err *err, const char *remedy);

/* Run PROBE in a child process, with the scratch folder as its working directory and the rights of a trial's
 * user; it is killed after 20 seconds. BEFORE (may be NULL) runs in the child first, still with our rights.
 * 0 when both returned 0; else -1 with what they said. */
int check_in_child(const struct checks *c, probe_fn *before, probe_fn *probe, void *arg,
		   struct err *err) MUST_CHECK;

/* The checks, a file each. */
void check_sandbox(struct checks *c); /* kernel, namespaces, overlay, cgroups, bubblewrap, engine */
void check_programs(struct checks *c);	 /* ours, git, bash, python with pytest, agents */
void check_toolchains(struct checks *c); /* what is installed of languages, in a sandbox */
void check_machine(struct checks *c);	 /* disk, clock, open files */
void check_rollouts(struct checks *c);	 /* what rollouts that are there lack */
void check_models(struct checks *c);	 /* each key of a provider, by a call that costs a little */

/* The launcher NAME with these settings (NULL: none): a job that does nothing goes there and comes back. Blocks for two minutes at most. */
void check_launcher(struct checks *c, const char *name, const json_t *settings);

static inline void auto_checks(struct checks *c)
{
	checks_release(c);
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * doctor.h -- findings about this machine. Every prerequisite is checked by using it.
 */
#pragma once
#include <stddef.h>
#include "base/err.h"

enum finding {
	FINDING_OK,
	FINDING_LESS,	/* rollouts runs, but without something good */
	FINDING_FAILED, /* rollouts does not run */
};

struct doctor_line {
	enum finding finding;
	char *name, *detail, *remedy; /* remedy: NULL when there is nothing to do */
};

struct doctor {
	const char *data; /* the data folder, which need not exist yet */
	int scratch; /* a directory beside where scratch directories will be; removed at the end */
	struct doctor_line *lines;
	size_t n, cap;
};

void doctor_add(struct doctor *d, enum finding finding, const char *name, const char *remedy,
		const char *detail, ...) __attribute__((format(printf, 5, 6)));

/* A check that runs in a child with d->scratch as its working directory, and is killed after some seconds.
 * BEFORE (may be NULL) still has our rights; PROBE is the unprivileged user a worker of root becomes. */
typedef int doctor_probe(void *arg, struct err *err);
int doctor_in_child(const struct doctor *d, doctor_probe *before, doctor_probe *probe, void *arg,
		    struct err *err) MUST_CHECK;
#define DOCTOR_NOBODY 65534

void doctor_check_sandbox(
	struct doctor *d); /* kernel, user namespaces, overlay, cgroups, bubblewrap */
void doctor_check_programs(struct doctor *d); /* ours, git, bash, python with pytest, agents */
void doctor_check_models(
	struct doctor *d); /* keys of providers, each by a call that costs a little */
void doctor_check_machine(struct doctor *d); /* disk, clock, open files */

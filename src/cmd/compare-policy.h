/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-policy.h -- gates over several benchmarks at once, from a TOML file:
 *
 *	[[benchmarks]]
 *	candidate = "core"           # as `compare` takes it
 *	baseline = "core@baseline"   # a rollout, or a model, label or agent of the candidate's
 *	margin = 0.05
 *	weight = "must"              # or "advise": told, and never decides
 *
 * All that must hold have to pass, so none of them is corrected for the others. That one fails is a claim which
 * some of many make by chance: it holds after Holm's correction for all of them.
 */
#pragma once
#include "cmd/compare-case.h"
#include "report/report.h"

struct policy_request {
	const char *path;
	const char *junit; /* a file to write, or NULL */
	struct compare_how how;
	struct report_form form;
};

/* Print what became of each. *GATE: of all that must hold. */
int policy_run(const struct policy_request *q, enum stats_gate *gate, struct err *err) MUST_CHECK;

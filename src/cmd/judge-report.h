/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge-report.h -- how a judge did on examples that people have graded: printed, and kept for later runs.
 */
#pragma once
#include "eval/gold.h"
#include "eval/judge-ask.h"
#include "gatewaylink/process.h"

/* VOTES: those on each example, one example after the other. Prints, and writes DATA_JUDGES/... below DATA_DIR if that folder is
 * there. */
int judge_report(const struct judge *j, const struct gold *g, const struct judge_vote *votes,
		 const struct gateway_totals *totals, const char *data_dir, bool json,
		 struct err *err) MUST_CHECK;

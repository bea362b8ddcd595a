/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/compare-report.h"

const char *compare_report_verdict(enum stats_verdict v)
{
	static const char *const names[] = {"not decided", "better", "worse", "equivalent"};

	return names[v];
}

const char *compare_report_gate(enum stats_gate g)
{
	static const char *const names[] = {"inconclusive", "pass", "fail"};

	return names[g];
}

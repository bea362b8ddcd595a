/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * planfile-lines.h -- plan.json line by line. Private to store/planfile.c and store/planfile-shared.c.
 */
#pragma once
#include "store/planfile.h"

/* A line of plan.json, and which trial it is. */
struct plan_line {
	const char *text;
	size_t n, index;
	const char *where;
};
typedef int plan_line_fn(void *arg, const struct plan_line *line, struct err *err);

/* All but the trials, and FN for each of those; FN is NULL: only the head. */
int plan_read_lines(struct planfile *out, int dir_fd, plan_line_fn *fn, void *arg,
		    const char *where, struct err *err) MUST_CHECK;
int plan_parse_trial(struct trial *out, const struct plan_line *line, struct err *err) MUST_CHECK;

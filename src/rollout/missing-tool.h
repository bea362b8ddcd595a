/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * missing-tool.h -- which program was not there, in the words of whoever looked for it: shells, env, make, Python,
 * node, Go, Rust, Java, Perl. Only for output that nobody chose: of a task's tests on its start commit.
 */
#pragma once
#include <stdbool.h>

struct missing_tool {
	char *name; /* a plain name or an absolute path; NULL: no program is missed */
	char *line; /* that says so */
	/* What is missed, if only that, is a file which the task's own work would bring: "./tool". */
	bool own;
};

/* What OUTPUT says, which ended with EXIT_CODE. OUT is to be released. */
void missing_tool_find(struct missing_tool *out, const char *output, int exit_code);
void missing_tool_release(struct missing_tool *m);

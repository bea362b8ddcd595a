/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * bash-tool.h -- private to agent: the one tool of the built-in agent, as the model is told of it and calls it.
 */
#pragma once
#include "model/conversation.h"

/* The caller releases its parameters. */
struct tool bash_tool(void);
/* The command that C asks for, borrowed from it. NULL: it makes no sense, and *PROBLEM (unless PROBLEM is NULL) says
 * why. */
const char *bash_tool_command(const struct tool_call *c, const char **problem);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-template.h -- text with {placeholders}, as agent files hold it.
 */
#pragma once
#include "agent/agent.h"
#include "base/buf.h"

/* Append TEXT with every known {placeholder} replaced once: values are not looked at again. */
void agent_expand(struct buf *out, const char *text, const struct agent_job *job);
/* The same as a string; the caller frees. */
char *agent_expanded(const char *text, const struct agent_job *job);

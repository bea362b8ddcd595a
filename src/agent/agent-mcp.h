/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-mcp.h -- private to agent: what its task has around it, and how it is told of its MCP servers.
 */
#pragma once
#include "agent/agent.h"

/* Lay what TASK says of servers and services over those of SPEC, and tell SPEC's agent of all servers in the way of its
 * mcp_config: {mcp} stands for their list from then on. SPEC is of this call alone, its members are not. */
void agent_mcp_lay(json_t *spec, const struct task *task);

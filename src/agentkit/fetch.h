/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fetch.h -- private to agentkit: the ways beside npm in which an agent is fetched into the folder DIR. Nothing of it is executed.
 */
#pragma once
#include "agentkit/agentkit.h"
#include "config/agent-cache.h"

/* A virtual environment with I's packages, by uv where it is on PATH, else by pip. Wheels alone: what is built runs what it is
 * built from. */
int fetch_pip(const struct agent_install *i, int dir, const struct agentkit_listener *l,
	      struct err *err) MUST_CHECK;
/* The files of I's image, by way of the container engine here; nothing of it is started. */
int fetch_image(const struct agent_install *i, int dir, const struct agentkit_listener *l,
		struct err *err) MUST_CHECK;
/* I's file by curl, if it has the digest that was named; an archive is unpacked. */
int fetch_url(const struct agent_install *i, int dir, const struct agentkit_listener *l,
	      struct err *err) MUST_CHECK;

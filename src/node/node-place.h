/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * node-place.h -- what of an attempt depends on the node that it runs on.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/trial.h"
#include "node/node.h"

/* Say in A where its agent's programs, its tools and its caches are below ROOT_FD, this node's cache, by INPUTS; who it is here; what
 * holds this machine; and, where that is its box, which part of it this is. The agent's work of the first part is asked for by way of
 * DATA_FD. Blocks. */
int node_place(struct attempt *a, const struct node_request *q, int root_fd, int data_fd,
	       const json_t *inputs, struct err *err) MUST_CHECK;

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * home-models.h -- private to home.h: model calls of a node's trials, led to the gateway of this machine. Its secret and its sockets are in a file
 * of the supervisor's, ROLLOUT_NODE_DOOR, which travel.json names as "door":
 *   v 1; secret; gateway, control: the paths of its sockets
 * The log of an attempt's calls is written by the gateway into the attempt's folder here, and what comes to it is sent to the node before the
 * message that tells its worker, so that there everything is as it were beside the gateway.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"
#include "node/streams.h"

#define HOME_TOKENS "tokens.json" /* in an attempt's folder on its node: agent, judge */

struct home_models {
	int data_fd;
	const struct strv *dirs;
	struct streams streams;
};

void home_models_init(struct home_models *m, int data_fd, const struct strv *dirs,
		      struct frames *frames);
/* Append what the attempt in DIR shows to the gateway. */
int home_models_tokens(struct home_models *m, const char *dir, struct buf *out,
		       struct err *err) MUST_CHECK;
void home_models_open(struct home_models *m, const struct frame *f);
void home_models_hear(struct home_models *m, const struct frame *f);
void home_models_release(struct home_models *m);

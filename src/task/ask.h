/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ask.h -- private to task: what a task asks of its agent beside the instruction: follow-ups, images, and the MCP servers and
 * services that are to be there.
 */
#pragma once
#include "task/resolved.h"
#include "task/task.h"

#define ASK_FOLLOW_UPS 15	   /* at most */
#define ASK_IMAGES 20		   /* at most, */
#define ASK_IMAGE_BYTES (5u << 20) /* each, and all of them four times that */

/* After the trees were read: an image that is not among the files of overlay_files is put beside them. */
void ask_fill(struct task *t, const struct resolved *r, int dir_fd, struct issues *m);

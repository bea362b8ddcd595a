/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * app.h -- what of overlay_files/ an agent may see under /app. Gold, credentials and the machinery
 * of the older container system stay out; tb_meta.json and the instructions are made anew.
 */
#pragma once
#include <stdbool.h>
#include "task/filetree.h"
#include "task/task.h"

/* For filetree_scan: PATH (below overlay_files/) is left out. Names that are ours are issues. */
bool app_skips(void *issues, const char *path);
/* Why an override may not put PATH there; NULL when it may. Static text. */
const char *app_refuses(const char *path);
/* Add the instructions and tb_meta.json without its gold. */
void app_add_made(struct filetree *app, const struct task *t);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trials.h -- the table of trials of a page. Each row opens on what is known of the trial, and its texts. Private to this room.
 */
#pragma once
#include "page/series.h"

/* Append the table, in which texts take about ROOM bytes in all, shared by the trials: those without a full score have more. */
void trials_put(struct buf *out, const struct series_list *l, size_t room);
/* About how many bytes the table takes without any texts. */
size_t trials_bare(const struct series_list *l);

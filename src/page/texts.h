/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * texts.h -- the texts of one attempt, for its place in a page: tests, diff, judge, logs, notes, transcript. All of them come
 * from agents, models or code under test: they are read without following a link and written as text. Private to this room.
 */
#pragma once
#include "base/buf.h"
#include "store/store.h"

/* Append the texts of the attempt of T that counts, each a part to be unfolded, in about ROOM bytes: what is too long is cut, and
 * says where all of it is. ROOT_FD: the data folder. */
void texts_put(struct buf *out, int root_fd, const struct trial_status *t, size_t room);
/* The attempt that is shown: whose result counts, else the last; 0: it was never started. */
int texts_attempt(const struct trial_status *t);

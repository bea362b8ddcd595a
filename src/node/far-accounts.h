/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * far-accounts.h -- private to far.h: a worker's connection to the gateway at home, over lines that are cut. The worker's end stays open; when
 * there is a line again, its account is opened anew, with what home finds left of its limits, and what the log at home says of the calls
 * before is added to what the new one tells.
 */
#pragma once
#include "node/streams.h"

/* To be called as streams.h has it. */
void far_account_sent(struct stream *s, const char *text, size_t n);
bool far_account_came(struct stream *s, struct buf *text);
/* The line is cut: what was told so far is what the next account begins with. False: it is over, or never began. */
bool far_account_cut(struct stream *s);
/* What its calls came to before its account was opened anew, of a FRAME_SPENT. */
void far_account_spent(struct stream *s, const char *text, size_t n);
/* Over a new line: what the worker would say. */
void far_account_again(struct stream *s, struct frames *frames);
void far_account_free(struct far_account *a); /* accepts NULL */

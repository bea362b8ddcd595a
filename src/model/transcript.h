/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * transcript.h -- a recording of model calls (docs/formats.md, recording) as a conversation for people, in any of
 * the four dialects. What a request repeats of the one before is shown once. Everything in it is untrusted:
 * whoever prints the result renders it.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"

/* Append the conversation to OUT; long texts are cut, and it says so. ERR_USAGE when RECORDING is not one. */
int transcript_make(struct buf *out, const struct buf *recording, struct err *err) MUST_CHECK;

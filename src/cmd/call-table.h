/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * call-table.h -- the log of a trial's model calls (docs/formats.md, logs/llm.jsonl) as a table for people. What
 * stands in it comes from agents and providers: whoever prints the result renders it.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"

/* Append a row for each call of LOG to OUT, and what they come to. Lines that are no calls are counted. */
int call_table_make(struct buf *out, const struct buf *log, struct err *err) MUST_CHECK;

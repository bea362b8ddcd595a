/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * notes.h -- what people say of a rollout, in its summary: the title, and what its tags are for. Private to this room.
 */
#pragma once
#include "report/doc.h"
#include "store/store.h"

/* Append them; nothing where nobody said anything. */
void report_said(struct doc *d, const struct rollout *r);

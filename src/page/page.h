/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * page.h -- rollouts as one HTML page to be looked at: charts, the verdict where sides are compared, and a table of trials that
 * opens on what each did. One file that fetches nothing; its policy lets no script or style run but the page's own two, told by
 * their hashes. Whatever an agent, a model or a task wrote is text. It reads without its script, too.
 */
#pragma once
#include "analysis/compare.h"

struct page {
	const struct rollout *rollouts;
	size_t rollouts_n;
	const struct comparison *comparison; /* of them; NULL: there is nothing to compare */
	const char *title;		     /* NULL: their names */
	size_t max_bytes; /* texts of trials are cut to keep to it; what is left without them may be more */
};

/* Append the page. Reads journals and the texts of trials; what cannot be read is left out. */
void page_make(struct buf *out, const struct page *p);

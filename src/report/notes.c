/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/notes.h"
#include "base/json.h"

void report_said(struct doc *d, const struct rollout *r)
{
	if (json_object_get(r->notes, "title")) {
		doc_paragraph(d);
		doc_text(d, json_get_str(r->notes, "title", ""));
	}
	for (size_t i = 0; i < r->tags.n; i++) {
		const char *tag = r->tags.v[i];
		const json_t *notes = json_object_get(r->notes, "tags");
		if (!json_object_get(notes, tag))
			continue;
		doc_item(d);
		doc_text(d, tag);
		doc_words(d, ": ");
		doc_text(d, json_get_str(notes, tag, ""));
	}
}

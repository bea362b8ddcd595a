/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * xml.h -- what AWS answers in XML: elements by their names, without attributes. Not a parser of XML: text of another form gives
 * nothing, or something odd, and never harm.
 */
#pragma once
#include <stddef.h>

/* The text of the first element NAME in the first LEN bytes of TEXT, unescaped. NULL: there is none. The caller frees. */
char *xml_text(const char *text, size_t len, const char *name);
/* The inside of the next element NAME at or behind *AT, which moves behind it. NULL: there is none. Borrowed from TEXT. */
const char *xml_next(const char **at, const char *end, const char *name, size_t *len);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * schema.h -- private to harbor: which keys a task.toml has, and of which kind their values are.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"

/* What of DOC the schema knows, numbers that stand as text as numbers: a new reference. A value of the wrong kind is a line in ISSUES, a
 * key that it does not know its path in UNKNOWN. */
json_t *harbor_schema_check(const json_t *doc, struct strv *issues, struct strv *unknown);

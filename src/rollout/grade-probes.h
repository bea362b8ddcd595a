/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * grade-probes.h -- private to grade-check: agents that do no work. Some do what would fool careless tests; one looks whether
 * the solution can be had from where an agent works.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"

enum { GRADE_PROBES = 6 };
/* Probe I of a task whose solution changes the files PATHS. *NAME is static. A new agent spec; NULL: it says nothing of
 * such a task. */
json_t *grade_probe(int i, const struct strv *paths, const char **name);
/* The one that looks: prints a line "reachable: ..." for each thing that it finds of GOLD, a diff of LEN bytes, or of
 * END_COMMIT (may be NULL). */
json_t *grade_probe_look(const char *gold, size_t len, const char *end_commit);
/* An agent that applies PATCH. */
json_t *grade_probe_patch(const char *patch, size_t len);
/* Append the files that a diff changes or makes, one by one. */
void grade_probe_paths(struct strv *out, const char *diff, size_t len);

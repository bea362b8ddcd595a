/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * caches.h -- the caches of a benchmark: folders of this machine, such as a module cache or an offline repository, that
 * agents and tests see and may write to without changing them.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"

/* Find NAMES, each "FOLDER" or "FOLDER:INSIDE", and add them to *TOOLS (tools.h), which is made where it is NULL: `caches`
 * [{host, box}], and to its `id` what they are. A folder below the user's home folder is shown at the same place of a
 * sandbox's, another by its own path, unless INSIDE says otherwise; "~/" begins both. What cannot be shown is a line in
 * PROBLEMS, which begins with FILE: one that is not there, and one that holds credentials. */
void caches_find(json_t **tools, const struct strv *names, const char *file, struct strv *problems);
/* Of those found: what cannot be shown where nothing is mounted and the folder is copied by the trial's user. */
void caches_check_plain(const json_t *tools, const char *file, struct strv *problems);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * env-path.h -- what PATH is inside a sandbox: that of the machine or image, what a task makes of it, and before
 * everything the benchmark's tools, for its agents and its tests alike.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"

/* As strv_setenv. In PATH, $PATH and ${PATH} are what it was until then. */
void env_path_set(struct strv *env, const char *key, const char *value);
/* Put the folders of DIRS, an array of strings, in front of PATH, in their order. DIRS may be NULL. */
void env_path_first(struct strv *env, const json_t *dirs);
/* Put them behind it: what PATH has already counts more. */
void env_path_last(struct strv *env, const json_t *dirs);

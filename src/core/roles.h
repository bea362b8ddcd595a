/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * roles.h -- the models that an agent asks beside the trial's own, by the names of their roles ("coder", "small"): a JSON
 * object NAME -> {"model": as the benchmark names it}, and once it is known who answers "model_id", "provider" and "api", of the
 * meanings that struct trial has for them. NULL: there are none.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/buf.h"

enum { ROLES_MAX = 7 };

/* Small letters, digits, "_" and "-", a letter first; at most 32 bytes. */
bool role_is_name(const char *name);
/* The role's MEMBER, borrowed; NULL: there is no such role. */
const char *role_get(const json_t *roles, const char *name, const char *member);
/* The same models have the same roles, whoever answers them. */
bool roles_equal(const json_t *a, const json_t *b);
/* Append "coder=gpt-5 small=gpt-5-nano", in the order of their names. */
void roles_text(struct buf *out, const json_t *roles);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * accounts.h -- private to sandbox: who a user named in an image is. Read from the texts that were taken out of the
 * image before a trial, not from inside, where an agent may have written others.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "core/image.h"

/* USER is "NAME", "UID", "NAME:GROUP" or "UID:GID", as in a Dockerfile. A number without a line of its own is in
 * group 0, as container engines have it. ERR_USAGE when IMAGE has no such user or group. */
int accounts_find(const struct image *image, const char *user, uid_t *uid, gid_t *gid,
		  struct err *err) MUST_CHECK;
/* The groups that list USER, by its name, as far as there is room; returns how many. */
size_t accounts_groups(const struct image *image, const char *user, uint32_t *out, size_t max);

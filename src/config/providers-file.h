/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * providers-file.h -- private to config: reads one providers.toml.
 */
#pragma once
#include "config/providers.h"

/* Add what PATH holds behind what is there; a missing file is success. Issues are lines in ISSUES with
 * their place; -1 with ERR_USAGE then. */
int providers_file_read(struct providers *p, const char *path, enum provider_origin origin,
			struct strv *issues, struct err *err) MUST_CHECK;

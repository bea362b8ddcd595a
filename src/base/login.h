/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * login.h -- passwords where people put them without thinking: scheme://USER:PASSWORD@HOST.
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"

enum login_which {
	LOGIN_SECRET, /* not those of this machine (localhost), nor passwords that are the user's name */
	LOGIN_ALL,
};

/* Put *** in the place of each password. True when there was one. */
bool login_blank(struct buf *text, enum login_which which);
bool login_is_in(const char *text, enum login_which which);

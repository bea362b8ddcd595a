/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * user.h -- which users we may become. Root of a machine may become any; root of a container usually as well; root of a
 * user namespace, or without capabilities, cannot, and does everything as itself, as ordinary users do.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"

/* The user of no one, as which root tries things. */
#define USER_NOBODY 65534

/* Whether we are root, may become every user that a trial may get (their ids are below INT32_MAX) and may give files to
 * them. Found out by trying, once: the first call of root forks. */
bool user_may_change(void);
/* Root becomes UID and its group, for good, in no other group. Our files in /proc stay our own. */
int user_become(uid_t uid, struct err *err) MUST_CHECK;

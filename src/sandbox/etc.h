/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * etc.h -- what belongs to this machine's programs but lies in /etc: a JDK's security settings, Maven's, the modules that
 * Perl and PHP load. A sandbox shows /usr, and without these files many a program below it does not start.
 *
 * They are found by the links that lead from /usr into /etc, and by a list of folders that programs read without one. Only
 * what everybody on this machine may read is taken, and nothing that tells about its users or usually holds a password.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"

/* A folder with a copy of them, "cache/etc/KEY" below ROOT_FD; the caller frees. Made where there is none yet: that reads all
 * folders of /usr, and is done again only when programs came or went. NULL: *err says why it cannot be made. */
char *etc_find(int root_fd, struct err *err) MUST_CHECK;
/* Of the links below DIR, those folders of /etc that they lead into and that may be shown: "/etc/java-17-openjdk". */
void etc_folders_of(struct strv *out, const char *dir);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * etc.h -- the /etc of local sandboxes: files of ours, and what belongs to this machine's programs but lies in /etc: the linker's
 * cache, a JDK's security settings, Maven's, the modules that Perl and PHP load. A sandbox shows /usr, and without these files
 * many a program below it does not start.
 *
 * They are found by a list of names, and by the links that lead from /usr into /etc. Only what everybody on this machine may
 * read is taken, and nothing that tells about its users or usually holds a password.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"

/* Whoever commits in any repository, unless it or its user says otherwise. */
#define ETC_GITCONFIG "[user]\n\tname = agent\n\temail = agent@localhost\n"

/* The host's, hundreds of links each: shown as they are. Whoever has them has an empty folder for each in the folders made here. */
extern const char *const etc_shown[4];

/* A folder with all that is the same in each sandbox whose agent has HOME, "cache/etc/KEY/etc" below ROOT_FD; the caller frees. It
 * is shown, and never changed: when a file of this machine changed, another is made. Making one reads all folders of /usr
 * when programs came or went since that was done last. NULL: *err says why it cannot be made. */
char *etc_find(int root_fd, const char *home, struct err *err) MUST_CHECK;
/* The same without the folders of programs, into the folder DIR, empty as yet: for where there is no other. */
int etc_write(int dir, const char *home, struct err *err) MUST_CHECK;
/* Of the links below DIR, those folders of /etc that they lead into and that may be shown: "/etc/java-17-openjdk". */
void etc_folders_of(struct strv *out, const char *dir);

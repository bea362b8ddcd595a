/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * userns.h -- user namespaces of our own: root over what our user owns, and over nothing else.
 */
#pragma once
#include <sys/types.h>
#include "base/err.h"

/* Make the calling process root of a new user namespace that maps only our user and group; EXTRA: further
 * CLONE_NEW* flags. Single-threaded callers only. Failure says what forbids it and the remedy. */
int userns_enter(int extra, struct err *err) MUST_CHECK;
/* Fork a child that is root of such a namespace and PID 1 of a new PID namespace: with it ends whatever it
 * has started. 0 with *pid in the parent, and with *pid 0 in the child. A failure with *pid 0 is the child's:
 * it tells and exits. */
int userns_fork(pid_t *pid, struct err *err) MUST_CHECK;
/* A namespace in which the id FROM of a file system reads as TO, for an id-mapped mount. Needs root.
 * Returns a descriptor the caller owns. */
int userns_mapping(uid_t from_uid, uid_t to_uid, gid_t from_gid, gid_t to_gid,
		   struct err *err) MUST_CHECK;
/* For root that may become other users but may not mount, as in most containers: enter a user and a mount namespace of
 * our own in which every id is what it was, and have every right there. Single-threaded callers only. */
int userns_enter_with_mounts(struct err *err) MUST_CHECK;

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * overlay.h -- the files of a task snapshot's repo/ folder, which are laid over the checkout.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"

struct overlay_file {
	char *path; /* relative to repo/; owned */
	bool is_link, executable;
	int64_t size;
};

struct overlay {
	int fd;			    /* of repo/, or -1: nothing to lay over */
	struct overlay_file *files; /* sorted by path */
	size_t n, cap;
};

/* List SNAPSHOT/repo below ROOT_FD; absent is empty. ERR_USAGE for a name git cannot hold. */
int overlay_open(struct overlay *o, int root_fd, const char *snapshot, struct err *err) MUST_CHECK;
void overlay_close(struct overlay *o);
/* Feed names, kinds and contents. */
int overlay_hash_files(const struct overlay *o, struct hash *h, struct err *err) MUST_CHECK;

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * overlay.h -- a file tree to be laid over /app or the repository: files of the task folder and
 * texts of overrides, resolved to one sorted list before anything is written. It holds regular
 * files, directories and symbolic links that stay inside; nothing else gets in.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "task/mistakes.h"

#define OVERLAY_MAX_FILE ((int64_t)256 << 20)
#define OVERLAY_MAX_BYTES ((int64_t)1 << 30)
#define OVERLAY_MAX_ITEMS 20000
#define OVERLAY_MAX_DEPTH 64

enum overlay_kind { OVERLAY_DIR, OVERLAY_FILE, OVERLAY_LINK };

struct overlay_item {
	char *path;
	enum overlay_kind kind;
	bool executable;
	char *source; /* below the task folder, where the bytes lie there; else NULL and: */
	char *data;   /* a file's bytes, a link's target */
	size_t len;
	char digest[HASH_HEX]; /* of the bytes or the target */
};

struct overlay {
	struct overlay_item *v; /* sorted by path; every parent directory is an item */
	size_t n, cap;
	int64_t bytes;
};

/* Add what lies in FOLDER (below DIR_FD; may be missing); whatever cannot be is a mistake. SKIP says
 * which paths below it are left out; it may report mistakes of its own. */
void overlay_scan(struct overlay *o, int dir_fd, const char *folder,
		  bool (*skip)(void *arg, const char *path), void *arg, struct mistakes *m);
/* Put a file of DATA at PATH, replacing a file or a link. Executable when it was, or starts with
 * "#!". NULL, or why not (owned by the caller). PATH is inside already. */
char *overlay_put(struct overlay *o, const char *path, const void *data, size_t len) MUST_CHECK;
/* Remove files whose digest is DIGEST; how many. */
size_t overlay_drop(struct overlay *o, const char *digest);
void overlay_hash(const struct overlay *o, struct hash *h);
/* Write all of it into the directory DST_FD, reading sources below SRC_FD. A source that is no
 * longer what was scanned is ERR_USAGE. Directories 0755, files 0644 or 0755 whatever the umask. */
int overlay_write(const struct overlay *o, int src_fd, int dst_fd, struct err *err) MUST_CHECK;
void overlay_release(struct overlay *o);

/* Hash a regular file below DIR_FD, following no link; copy it to OUT_FD unless that is -1.
 * ERR_LIMIT past MAX. */
int overlay_digest(int dir_fd, const char *path, int64_t max, int out_fd, char digest[HASH_HEX],
		   int64_t *size, struct err *err) MUST_CHECK;

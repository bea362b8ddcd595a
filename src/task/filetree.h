/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * filetree.h -- a file tree to be laid over /app or the repository: files of the task folder and
 * texts of overrides, resolved to one sorted list before anything is written. It holds regular
 * files, directories and symbolic links that stay inside; nothing else gets in.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/strv.h"
#include "task/issues.h"

#define FILETREE_MAX_FILE ((int64_t)256 << 20)
#define FILETREE_MAX_BYTES ((int64_t)1 << 30)
#define FILETREE_MAX_ITEMS 20000
#define FILETREE_MAX_DEPTH 64

enum filetree_kind { FILETREE_DIR, FILETREE_FILE, FILETREE_LINK };

struct filetree_item {
	char *path;
	enum filetree_kind kind;
	bool executable;
	char *source; /* below the task folder, where the bytes lie there; else NULL and: */
	char *data;   /* a file's bytes, a link's target */
	size_t len;
	char digest[HASH_HEX]; /* of the bytes or the target */
	unsigned mode;	       /* of an exact tree: permissions, and the time of the last change */
	int64_t mtime_s;
};

struct filetree {
	struct filetree_item *v; /* sorted by path; every parent directory is an item */
	size_t n, cap;
	int64_t bytes;
	/* Set before a scan: modes and times are kept, and links may lead anywhere. Else a file is 0644 or 0755. */
	bool exact;
};

/* Add what lies in FOLDER (below DIR_FD; may be missing); whatever cannot be is an issue. SKIP says
 * which paths below it are left out; it may report issues of its own. */
void filetree_scan(struct filetree *o, int dir_fd, const char *folder,
		   bool (*skip)(void *arg, const char *path), void *arg, struct issues *m);
/* All of FROM, which is emptied, becomes the folder NAME of O. FROM was scanned in a folder of that name below the same task folder. */
void filetree_graft(struct filetree *o, const char *name, struct filetree *from);
/* Put a file of DATA at PATH, replacing a file or a link. Executable when it was, or starts with
 * "#!". NULL, or why not (owned by the caller). PATH is inside already. */
char *filetree_put(struct filetree *o, const char *path, const void *data, size_t len) MUST_CHECK;
/* Remove files whose digest is DIGEST; their paths are appended to REMOVED. */
void filetree_drop(struct filetree *o, const char *digest, struct strv *removed);
/* Remove those items of which WHICH says so, asked from the last to the first: folders come after what is in them. */
void filetree_remove(struct filetree *o,
		     bool (*which)(void *arg, const struct filetree *o, size_t i), void *arg);
void filetree_hash(const struct filetree *o, struct hash *h);
/* Write all of it into the directory DST_FD, reading sources below SRC_FD. A source that is no
 * longer what was scanned is ERR_USAGE. Unless the tree is exact: directories 0755, files 0644 or 0755 whatever the umask. */
int filetree_write(const struct filetree *o, int src_fd, int dst_fd, struct err *err) MUST_CHECK;
void filetree_release(struct filetree *o);

/* Hash a regular file below DIR_FD, following no link; copy it to OUT_FD unless that is -1.
 * ERR_LIMIT past MAX. */
int filetree_digest(int dir_fd, const char *path, int64_t max, int out_fd, char digest[HASH_HEX],
		    int64_t *size, struct err *err) MUST_CHECK;

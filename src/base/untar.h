/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * untar.h -- a tar archive read as it arrives: ustar, with the long names of GNU and of pax. Nothing in it is trusted:
 * names that leave the folder, and what is neither a file, a folder nor a link, are passed over.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

enum tar_kind { TAR_FILE, TAR_FOLDER, TAR_LINK, TAR_HARD_LINK };

struct tar_entry {
	enum tar_kind kind;
	const char *path;   /* relative, as path_is_inside has it, no slash at its end; borrowed */
	const char *target; /* of links; a hard link's is a path of the archive */
	mode_t mode;
	int64_t size, mtime;
};

/* Told of each entry in turn, and then of its content in pieces. Both may fail, which ends the reading. */
struct tar_sink {
	int (*entry)(void *arg, const struct tar_entry *e, struct err *err);
	int (*content)(void *arg, const char *data, size_t n, struct err *err); /* N 0: its end */
	void *arg;
};

struct tar {
	const struct tar_sink *sink; /* borrowed */
	char head[512];
	size_t head_n;
	char kind;			 /* of what is being read */
	bool told;			 /* to the sink */
	int64_t left, padding;		 /* of its content */
	struct buf meta;		 /* content of a header that only names the next entry */
	struct buf long_path, long_link; /* of the next entry; empty: as its header says */
	bool has_size;
	int64_t size; /* the same */
};

#define TAR_INIT(s)                                                                                \
	((struct tar){.sink = (s), .meta = BUF_INIT, .long_path = BUF_INIT, .long_link = BUF_INIT})
/* Take the next N bytes. ERR_INFRA where it is no archive, or what the sink says. */
int tar_feed(struct tar *t, const char *data, size_t n, struct err *err) MUST_CHECK;
void tar_release(struct tar *t);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * harbor-files.h -- private to trial: trees that go into a Harbor task's container and come out of it, by way of PID 1. What comes out is
 * the agent's: plain files and folders only, bounded, below the attempt's directory.
 */
#pragma once
#include "trial/work.h"

/* Folders in BOX with MODE ("777"), made as needed; FRESH: emptied. PATHS ends with NULL. */
int harbor_folders(struct sandbox *box, bool fresh, const char *mode, const char *const *paths,
		   struct err *err) MUST_CHECK;
/* Lay the folder FROM (relative to DIR_FD) over TO in BOX, as root's, with its modes; what is there already stays. EXECUTABLE: the name of a
 * file in it that may be run whatever its mode; NULL: none. A missing FROM is success. */
int harbor_put(struct sandbox *box, int dir_fd, const char *from, const char *to,
	       const char *executable, struct err *err) MUST_CHECK;

/* The file FROM becomes TO in BOX, root's. */
int harbor_put_file(struct sandbox *box, int dir_fd, const char *from, const char *to,
		    struct err *err) MUST_CHECK;

enum harbor_taken { HARBOR_TAKEN, HARBOR_MISSING, HARBOR_TOO_LARGE };

struct harbor_take {
	const char *box_path;
	const char *to;	       /* below the attempt's directory */
	const json_t *exclude; /* patterns over names and paths below it; NULL: none */
	bool *is_folder;       /* what it was; may be NULL */
};

/* Take a file or a folder out. Returns an enum harbor_taken, or -1. */
int harbor_take(struct work *w, struct sandbox *box, const struct harbor_take *t,
		struct err *err) MUST_CHECK;
/* "PID NAME" of each process in BOX but PID 1. */
int harbor_processes(struct sandbox *box, struct strv *out, struct err *err) MUST_CHECK;
/* Run the helper of PID 1's program with ARGV (argv[0] is filled in) as root; its output goes to OUT_FD, -1: nowhere. *STATUS: how it exited. */
int harbor_helper(struct sandbox *box, const char **argv, int out_fd, int *status,
		  struct err *err) MUST_CHECK;

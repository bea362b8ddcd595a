/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inspect-files.h -- files of a container that was made and never started: what is in an image.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "engine/http.h"

struct file_facts {
	bool there, is_dir, is_link;
	mode_t mode;	  /* permissions */
	char target[256]; /* of a link, as the engine resolves it */
};

/* What PATH, absolute, is in the container ID; links on the way are followed, the last name is not. */
int files_look(struct engine *e, const char *id, const char *path, struct file_facts *out,
	       struct err *err) MUST_CHECK;
/* The text of PATH, at most 256 kB; "" when it is not there. The caller frees. */
char *files_read(struct engine *e, const char *id, const char *path);
/* The image's own copy of a repository: what lies at PATH (a folder) of the container, which is of the image IMAGE_ID. It is
 * taken to DATA_COPIES/KEY once (repo/own-copy.h reads it): files/ without any .git; git/ has what tells which files are
 * tracked and which commits are there: index, the packs' .idx, loose (a file of ids); meta.json {path, git}. *KEY is the
 * caller's; NULL: PATH is no folder there. Blocks for as long as the engine takes to send it. */
int files_take_copy(struct engine *e, const char *id, const char *image_id, const char *path,
		    char **key, struct err *err) MUST_CHECK;

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * node-image.h -- the image of a trial in a container: it travels as its record (core/image.h) and as an archive that the engines know,
 * which a node asks for where its own engine lacks that image. In travel.json that input has "image": its id.
 */
#pragma once
#include "core/trial.h"
#include "node/cache.h"

/* Have the image ID of the record PATH saved as a file below ROOT_FD; *OUT is its path, owned by the caller. Blocks. */
int node_image_save(char **out, int root_fd, const char *path, const char *socket, const char *id,
		    struct err *err) MUST_CHECK;
/* Have the engine of this machine hold it, and the record in C say where that engine is. INPUTS are those of the trial. Blocks. */
int node_image_have(struct cache *c, int data_fd, const json_t *inputs, const struct trial *t,
		    struct err *err) MUST_CHECK;

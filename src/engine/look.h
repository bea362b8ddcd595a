/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * look.h -- what must be known of an image before a container of it is made.
 */
#pragma once
#include "core/image.h"
#include "engine/http.h"

/* Fill id, digest, platform, created, entrypoint, env, passwd, group and gitconfig of OUT (name and engine are left alone) for the image NAME. Also makes sure
 * that the engine sees our files: look_blind when it is on another machine. Writes a small file into DATA_IMAGES and
 * makes a container that is never started; both are gone again afterwards. */
int look_at_image(struct engine *e, const char *name, struct image *out,
		  struct err *err) MUST_CHECK;
/* ERR_USAGE: the engine at SOCKET answers here and lives elsewhere. */
int look_blind(const char *socket, struct err *err);

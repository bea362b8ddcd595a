/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * look.h -- what must be known of an image before a container of it is made.
 */
#pragma once
#include "core/image.h"
#include "engine/http.h"

/* Fill OUT for the image NAME, all but its name, engine, error and bases. PATHS are where tasks want the repository: the
 * image's own copy of it there, and at its WORKDIR, is taken. Also makes sure that the engine sees our files: look_blind
 * when it is on another machine. ERR_INFRA where no trial can run in it. Writes a small file into DATA_IMAGES and makes a
 * container that is never started; both are gone again afterwards. */
int look_at_image(struct engine *e, const char *name, const struct strv *paths, struct image *out,
		  struct err *err) MUST_CHECK;
/* The same for a container that is the image as it is (a Harbor task's): only its accounts are looked at. */
int look_at_whole_image(struct engine *e, const char *name, struct image *out,
			struct err *err) MUST_CHECK;
/* ERR_USAGE: the engine at SOCKET answers here and lives elsewhere. */
int look_blind(const char *socket, struct err *err);

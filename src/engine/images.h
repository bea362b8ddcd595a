/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * images.h -- the images of a benchmark's tasks: found, pulled or built, before trials start.
 *
 * What an image is made from lies in cache/contexts/KEY (src/task/context.h); what became of it is written to
 * cache/images/KEY.json (src/core/image.h), the client's output to KEY.log beside it. Standard output gets lines for
 * people; those that begin with "| " are what the client said, and "= KEY" says that the record of KEY is written.
 */
#pragma once
#include <stddef.h>
#include "engine/make-image.h"

/* For each of ITEMS, "KEY", or "KEY=ID" where only one image will do, then "@PATH" for each place where a task wants the
 * repository (look.h): several at a time but each only once on this machine. The working directory is the data root. A failed image is told in its record and is not an error; -1: none could be tried, or ERR_USAGE: the user has to do something first. Removes containers that dead workers left, too. */
int images_make(char *const *items, size_t n, const struct image_wish *w,
		struct err *err) MUST_CHECK;
/* Remove the images that were built for data folders which no longer exist, and for none of KEYS; what people know them by is
 * appended to REMOVED. One that a container uses stays. DRY_RUN: only look. */
int images_prune(char *const *keys, size_t n, bool dry_run, struct strv *removed,
		 struct err *err) MUST_CHECK;
/* Remove the images that were built for KEYS. One that a container uses stays. */
int images_forget(char *const *keys, size_t n, struct err *err) MUST_CHECK;

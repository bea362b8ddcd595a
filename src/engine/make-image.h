/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * make-image.h -- one image: found, pulled or built, and what became of it written down.
 */
#pragma once
#include <stdbool.h>
#include "base/strv.h"
#include "engine/http.h"

struct image_wish {
	bool fresh;   /* names are looked up again: a tag may have moved, a base been built anew */
	bool pull;    /* ask the registry, also for what the engine has */
	bool rebuild; /* build without the engine's cache */
	bool emulate; /* an image for another processor will do */
	const struct strv *paths; /* where its tasks want the repository, see look.h */
	int64_t timeout_ms;	  /* for building or pulling one */
	bool quiet; /* nothing is said of an image that was there and is the one of the last time */
};

/* See that the image of KEY is there, with lines for people on standard output. ID: only that one will do; NULL: whichever
 * W asks for. The working directory is the data root. An image that could not be made is told in its record and is
 * no error. -1, ERR_USAGE: nothing can be done before the user does something, for all images. */
int make_image(struct engine *e, const char *key, const char *id, const struct image_wish *w,
	       struct err *err) MUST_CHECK;
/* The id of the newest image built for KEY on BASES (its label; NULL: on any). NULL: none, or *err. The caller frees. */
char *make_image_find(struct engine *e, const char *key, const char *bases, struct err *err);
/* A line for people: what is in it is made harmless. */
void make_image_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

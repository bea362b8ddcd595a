/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dockerfile.h -- what must be known of a Dockerfile before the engine reads it: which files it takes from the
 * folder beside it, which images it is built on, which build arguments it asks for. What is not understood here is left to the
 * builder: then the whole folder is wanted.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"
#include "core/kv.h"

struct dockerfile_copy {
	int line;
	char *word;   /* as written */
	char *source; /* in the short form, "": the whole folder; wildcards as they are */
};

struct dockerfile {
	struct dockerfile_copy *copies;
	size_t copies_n, cap;
	bool wants_all;	   /* some source cannot be told */
	struct strv bases; /* images of FROM and COPY --from, without this file's own stages */
	struct strv args;  /* names of ARG */
};

/* Read TEXT, which is changed. GIVEN: build arguments, NAME=value, that count before the file's own defaults. */
void dockerfile_parse(struct dockerfile *out, char *text, const struct kvs *given);
void dockerfile_release(struct dockerfile *d);
/* Whether the path of a file or folder is one that D copies, or lies in one, or has one in it. */
bool dockerfile_wants(const struct dockerfile *d, const char *path);
/* Whether PATH itself is what the copy SOURCE names. */
bool dockerfile_names(const char *source, const char *path);
/* A path as the builder shortens it: "./a//b/../c/" is "a/c". NULL: it leads out of the folder. The caller frees. */
char *dockerfile_clean(const char *path);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * image.h -- what became of a container image: DATA/cache/images/KEY.json, written by rollouts-docker before
 * trials start. KEY is the hash of what the image is made from, and KEY.json that of the latest: beside it lies
 * KEY.ID.json (the id's first 12 digits) for each that there was, which is what workers read. So a rollout keeps the image
 * that it began with, whatever another one makes of the same KEY meanwhile.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/strv.h"

struct image {
	char *name;	      /* as people know it: "Dockerfile", or the name that was pulled */
	char *engine;	      /* unix socket of the engine that has it, absolute */
	char *id;	      /* "sha256:..."; "" when there is none */
	char *digest;	      /* of the registry's manifest, or the id */
	char *error;	      /* why there is no image, one line; "" when there is one */
	char *passwd, *group; /* the image's own /etc/passwd and /etc/group; "" without */
	char *gitconfig;      /* its /etc/gitconfig; "" without */
	char *platform;	      /* "linux/amd64" */
	char *created;	      /* as the engine has it: RFC 3339, or an absurd date */
	char *entrypoint;     /* its ENTRYPOINT, for people; "": none */
	char *workdir;	      /* its WORKDIR, without a slash at the end; "": none */
	struct strv env;      /* "K=V": ENV of the image */
	char *user;	      /* its USER; "": root */
	struct strv entry;    /* its ENTRYPOINT, as a command */
	json_t *health;	      /* its HEALTHCHECK as the engine has it; NULL: none */
	json_t *copies;	      /* {PATH: key in DATA_COPIES, or "" where it has no such folder} */
	struct strv
		closed; /* folders that hold programs of its PATH and that only root may enter */
	bool sudo;	/* programs there may want to gain privileges */
	int looked;	/* IMAGE_LOOKED when all of this was looked for */
	struct strv proxies; /* "K=V": what the engine's client gives to what has a network */
	struct strv bases;   /* "NAME=ID": what it was built on, of those the engine has by name */
};

#define IMAGE_LOOKED 2

/* Whether its ENTRYPOINT is run: a shell or an interpreter that is given no program serves nothing. */
bool image_runs_entry(const struct image *i);
/* The key of the image's own copy of what lies at PATH; NULL: it has none. Borrowed. */
const char *image_copy(const struct image *i, const char *path);
/* Where its record is below the data folder, "...json"; ID as in image_read. The caller frees. */
char *image_path(const char *key, const char *id);
/* ID: "sha256:..." as image.id; "" or NULL: the latest. */
int image_read(struct image *out, int root_fd, const char *key, const char *id,
	       struct err *err) MUST_CHECK;
int image_write(const struct image *i, int root_fd, const char *key, struct err *err) MUST_CHECK;
void image_release(struct image *i);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * image.h -- what became of a container image: DATA/cache/images/KEY.json, written by rollouts-docker before
 * trials start. KEY is the hash of what the image is made from, and KEY.json that of the latest: beside it lies
 * KEY.ID.json (the id's first 12 digits) for each that there was, which is what workers read. So a rollout keeps the image
 * that it began with, whatever another one makes of the same KEY meanwhile.
 */
#pragma once
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
	struct strv env;      /* "K=V": ENV of the image */
	struct strv bases;    /* "NAME=ID": what it was built on, of those the engine has by name */
};

/* ID: "sha256:..." as image.id; "" or NULL: the latest. */
int image_read(struct image *out, int root_fd, const char *key, const char *id,
	       struct err *err) MUST_CHECK;
int image_write(const struct image *i, int root_fd, const char *key, struct err *err) MUST_CHECK;
void image_release(struct image *i);

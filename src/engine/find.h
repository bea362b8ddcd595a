/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * find.h -- which container engine is meant: DOCKER_HOST; else the context of DOCKER_CONTEXT or of
 * ~/.docker/config.json; else the first of the usual sockets that answers: Docker's, then Podman's.
 */
#pragma once
#include "base/strv.h"
#include "engine/http.h"

#define ENGINE_FIND_MS 5000

/* Open it. ERR_INFRA names what was tried and the remedy; ERR_USAGE where an engine on another machine was named. */
int engine_find(struct engine **out, struct err *err) MUST_CHECK;
/* A file of the client's configuration folder. The caller frees. */
char *engine_client_file(const char *name);
/* The proxies that this configuration gives to what runs in the engine at SOCKET, "K=V" in both spellings. One with a
 * password stays out, its name going to WITHHELD. */
void engine_proxies(const char *socket, struct strv *out, struct strv *withheld);
/* Refuse one that maps users, with ERR_USAGE. */
int engine_check(struct engine *e, struct err *err) MUST_CHECK;

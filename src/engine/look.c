/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/look.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "engine/container.h"

#define BLOCK 512 /* of a tar archive */
#define ACCOUNTS_MAX (256 << 10)
#define NONCE_BOX "/.rollouts/nonce"

/* The first regular file of a tar archive; NULL: none. The caller frees. */
static char *first_file(const struct buf *tar)
{
	for (size_t at = 0; at + BLOCK <= tar->len && tar->data[at];) {
		const char *head = tar->data + at;
		char digits[13] = {0};
		memcpy(digits, head + 124, 12);
		size_t size = strtoull(digits, NULL, 8);
		at += BLOCK;
		if (size > tar->len - at)
			return NULL;
		if (head[156] == '0' || !head[156])
			return xstrndup(tar->data + at, strnlen(tar->data + at, size));
		at += (size + BLOCK - 1) / BLOCK * BLOCK;
	}
	return NULL;
}

/* PATH in the container, or "" when it is not there. The caller frees. */
static char *read_inside(struct engine *e, const char *id, const char *path)
{
	AUTO(free) char *escaped = engine_escape(e, path);
	AUTO(free) char *url = xasprintf("/containers/%s/archive?path=%s", id, escaped);
	AUTO(buf) struct buf tar = BUF_INIT;
	long status = 0;
	struct err ignored;

	if (engine_call(e, "GET", url, NULL, ENGINE_CALL_MS, &status, &tar, &ignored) ||
	    status != 200 || tar.len > ACCOUNTS_MAX)
		return xstrdup("");
	char *text = first_file(&tar);
	return text ? text : xstrdup("");
}

static json_t *probe_body(const char *image, const char *nonce, const char *owner)
{
	return json_pack("{s:s, s:[s], s:{s:s}, s:{s:s, s:[{s:s, s:s, s:s, s:b}]}}", "Image", image,
			 "Entrypoint", "/.rollouts/none", "Labels", LABEL_OWNER, owner,
			 "HostConfig", "NetworkMode", "none", "Mounts", "Type", "bind", "Source",
			 nonce, "Target", NONCE_BOX, "ReadOnly", 1);
}

/* The file's name is new to the world: an engine that can mount it sees this machine's files. */
static int write_nonce(char **path, struct err *err)
{
	char here[4096];
	AUTO(free) char *name =
		xasprintf(DATA_IMAGES "/.tmp-nonce-%d-%lld", getpid(), (long long)clock_wall_ms());

	if (!getcwd(here, sizeof here))
		return err_set(err, ERR_INFRA, 0, "the data folder is gone");
	if (path_write(AT_FDCWD, name, "nonce\n", 6, 0644, false, err))
		return -1;
	*path = path_join(here, name);
	return 0;
}

int look_blind(const char *socket, struct err *err)
{
	return err_set(err, ERR_USAGE, 0,
		       "the engine at %s does not see the files of this machine: it must run here, "
		       "not on another machine or "
		       "in a container; or set sandbox = \"local\"",
		       socket);
}

static int probe(struct engine *e, const char *image, const char *nonce, struct image *out,
		 struct err *err)
{
	AUTO(free) char *owner = container_owner(getpid());
	AUTO(json) json_t *body = probe_body(image, nonce, owner);
	AUTO(json) json_t *made = NULL;

	if (engine_json(e, "POST", "/containers/create", body, ENGINE_CALL_MS, &made, err)) {
		if (strstr(err->msg, "bind source path") || strstr(err->msg, "no such file"))
			return look_blind(engine_socket(e), err);
		return -1;
	}
	const char *id = json_get_str(made, "Id", "");
	free(out->passwd);
	free(out->group);
	free(out->gitconfig);
	out->passwd = read_inside(e, id, "/etc/passwd");
	out->group = read_inside(e, id, "/etc/group");
	out->gitconfig = read_inside(e, id, "/etc/gitconfig");
	return container_remove(e, id, clock_mono_ms() + ENGINE_CALL_MS, err);
}

static char *entrypoint_of(const json_t *config)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const json_t *word;
	size_t at;

	json_array_foreach (json_object_get(config, "Entrypoint"), at, word)
		buf_addf(&text, "%s%s", at ? " " : "",
			 json_string_value(word) ? json_string_value(word) : "");
	return xstrdup(text.data ? text.data : "");
}

int look_at_image(struct engine *e, const char *name, struct image *out, struct err *err)
{
	AUTO(free) char *path = xasprintf("/images/%s/json", name);
	AUTO(json) json_t *j = NULL;
	AUTO(free) char *nonce = NULL;
	const json_t *item;
	size_t at;

	if (engine_json(e, "GET", path, NULL, ENGINE_CALL_MS, &j, err))
		return err_wrap(err, "image %s", name);
	const char *id = json_get_str(j, "Id", "");
	const char *digest =
		json_string_value(json_array_get(json_object_get(j, "RepoDigests"), 0));
	/* Podman leaves the algorithm out. */
	AUTO(free) char *full = xasprintf("%s%s", strchr(id, ':') ? "" : "sha256:", id);
	out->platform = xasprintf("%s/%s", json_get_str(j, "Os", "linux"),
				  json_get_str(j, "Architecture", "?"));
	out->entrypoint = entrypoint_of(json_object_get(j, "Config"));
	out->created = xstrdup(json_get_str(j, "Created", ""));
	json_array_foreach (json_object_get(json_object_get(j, "Config"), "Env"), at, item)
		if (json_is_string(item))
			strv_push(&out->env, json_string_value(item));
	if (write_nonce(&nonce, err))
		return -1;
	int rc = probe(e, full, nonce, out, err);
	unlink(nonce);
	if (rc)
		return rc;
	out->digest = xstrdup(digest ? digest : full);
	out->id = STEAL(&full);
	return 0;
}

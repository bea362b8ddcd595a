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
#include "engine/inspect-files.h"

#define NONCE_BOX "/.rollouts/nonce"

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

/* What the trial puts a folder of its own on must be none of the image's links: the engine would follow it, and what looks
 * for files there afterwards would not. */
static int check_places(struct engine *e, const char *id, struct err *err)
{
	static const char *const places[] = {"/app", "/home", "/home/agent", "/app/repo"};
	struct file_facts facts;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (files_look(e, id, places[i], &facts, err))
			return -1;
		if (facts.is_link)
			return err_set(err, ERR_INFRA, 0,
				       "in the image %s is a link to %s, where a trial needs a "
				       "folder: remove it (RUN rm %s)",
				       places[i], facts.target, places[i]);
		if (facts.there && !facts.is_dir)
			return err_set(err, ERR_INFRA, 0,
				       "in the image %s is a file, where a trial needs a folder: "
				       "remove it (RUN rm %s)",
				       places[i], places[i]);
	}
	return 0;
}

/* Of a folder on PATH, the first folder on the way that only its owner may enter. */
static int find_closed(struct engine *e, const char *id, const char *dir, struct image *out,
		       struct err *err)
{
	struct file_facts facts;

	if (!strncmp(dir, "/usr/", 5) || !strcmp(dir, "/bin") || !strcmp(dir, "/sbin"))
		return 0;
	for (const char *at = dir; *at;) {
		at = strchrnul(at + 1, '/');
		AUTO(free) char *part = xstrndup(dir, (size_t)(at - dir));
		if (files_look(e, id, part, &facts, err))
			return -1;
		if (!facts.there)
			return 0;
		if (facts.is_dir && !(facts.mode & 01) && !strv_has(&out->closed, part))
			strv_push(&out->closed, part);
	}
	return 0;
}

/* Programs of PATH, and those that lie in root's home, as uv, rustup and pipx put them. */
static int find_all_closed(struct engine *e, const char *id, struct image *out, struct err *err)
{
	const char *path = "";
	char *save = NULL;

	for (size_t i = 0; i < out->env.n; i++)
		if (!strncmp(out->env.v[i], "PATH=", 5))
			path = out->env.v[i] + 5;
	AUTO(free) char *dirs = xasprintf("%s:/root", path);
	for (char *dir = strtok_r(dirs, ":", &save); dir; dir = strtok_r(NULL, ":", &save))
		if (*dir == '/' && find_closed(e, id, dir, out, err))
			return -1;
	return 0;
}

static int take_copy(struct engine *e, const char *id, struct image *out, const char *path,
		     struct err *err)
{
	AUTO(free) char *key = NULL;

	if (json_object_get(out->copies, path))
		return 0;
	if (files_take_copy(e, id, out->id, path, &key, err))
		return -1;
	json_put_str(out->copies, path, key ? key : "");
	return 0;
}

/* A repository is where the image works, if anywhere, or where its task says. */
static int take_copies(struct engine *e, const char *id, const struct strv *paths,
		       struct image *out, struct err *err)
{
	AUTO(free) char *git = xasprintf("%s/.git", out->workdir);
	struct file_facts facts = {0};

	if (!out->copies)
		out->copies = json_object();
	if (*out->workdir && files_look(e, id, git, &facts, err))
		return -1;
	if (facts.is_dir && take_copy(e, id, out, out->workdir, err))
		return -1;
	for (size_t i = 0; i < paths->n; i++)
		if (take_copy(e, id, out, paths->v[i], err))
			return -1;
	return 0;
}

static int find_sudo(struct engine *e, const char *id, struct image *out, struct err *err)
{
	struct file_facts facts;

	if (files_look(e, id, "/usr/bin/sudo", &facts, err))
		return -1;
	out->sudo = facts.there;
	return 0;
}

static int look_inside(struct engine *e, const char *id, const struct strv *paths,
		       struct image *out, struct err *err)
{
	free(out->passwd);
	free(out->group);
	free(out->gitconfig);
	out->passwd = files_read(e, id, "/etc/passwd");
	out->group = files_read(e, id, "/etc/group");
	out->gitconfig = files_read(e, id, "/etc/gitconfig");
	strv_release(&out->closed);
	if (!paths)
		return find_sudo(e, id, out, err);
	return check_places(e, id, err) || find_all_closed(e, id, out, err) ||
			       take_copies(e, id, paths, out, err)
		       ? -1
		       : 0;
}

static int probe(struct engine *e, const char *nonce, const struct strv *paths, struct image *out,
		 struct err *err)
{
	AUTO(free) char *owner = container_owner(getpid());
	AUTO(json) json_t *body = probe_body(out->id, nonce, owner);
	AUTO(json) json_t *made = NULL;
	struct err ignored = {0};

	if (engine_json(e, "POST", "/containers/create", body, ENGINE_CALL_MS, &made, err)) {
		if (strstr(err->msg, "bind source path") || strstr(err->msg, "no such file"))
			return look_blind(engine_socket(e), err);
		return -1;
	}
	const char *id = json_get_str(made, "Id", "");
	int rc = look_inside(e, id, paths, out, err);
	return container_remove(e, id, clock_mono_ms() + ENGINE_CALL_MS, rc ? &ignored : err) || rc
		       ? -1
		       : 0;
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

static void take_list(struct strv *out, const json_t *list)
{
	const json_t *item;
	size_t at;

	strv_release(out);
	json_array_foreach (list, at, item)
		if (json_is_string(item))
			strv_push(out, json_string_value(item));
}

static void replace(char **at, char *by_take)
{
	free(*at);
	*at = by_take;
}

/* What the engine says of it. */
static void take_config(struct image *out, const json_t *j)
{
	const json_t *config = json_object_get(j, "Config");
	const json_t *health = json_object_get(config, "Healthcheck");
	const char *id = json_get_str(j, "Id", ""), *dir = json_get_str(config, "WorkingDir", "");
	const char *digest =
		json_string_value(json_array_get(json_object_get(j, "RepoDigests"), 0));
	size_t n = strlen(dir);

	/* Podman leaves the algorithm out. */
	replace(&out->id, xasprintf("%s%s", strchr(id, ':') ? "" : "sha256:", id));
	replace(&out->digest, xstrdup(digest ? digest : out->id));
	replace(&out->platform, xasprintf("%s/%s", json_get_str(j, "Os", "linux"),
					  json_get_str(j, "Architecture", "?")));
	replace(&out->entrypoint, entrypoint_of(config));
	replace(&out->created, xstrdup(json_get_str(j, "Created", "")));
	while (n && dir[n - 1] == '/')
		n--;
	replace(&out->workdir, xstrndup(dir, n));
	replace(&out->user, xstrdup(json_get_str(config, "User", "")));
	take_list(&out->env, json_object_get(config, "Env"));
	take_list(&out->entry, json_object_get(config, "Entrypoint"));
	json_decref(out->health);
	out->health = json_is_object(health) ? json_incref((json_t *)health) : NULL;
}

int look_at_image(struct engine *e, const char *name, const struct strv *paths, struct image *out,
		  struct err *err)
{
	AUTO(free) char *path = xasprintf("/images/%s/json", name);
	AUTO(json) json_t *j = NULL;
	AUTO(free) char *nonce = NULL;

	if (engine_json(e, "GET", path, NULL, ENGINE_CALL_MS, &j, err))
		return err_wrap(err, "image %s", name);
	take_config(out, j);
	if (write_nonce(&nonce, err))
		return -1;
	int rc = probe(e, nonce, paths, out, err);
	unlink(nonce);
	out->looked = IMAGE_LOOKED;
	return rc;
}

int look_at_whole_image(struct engine *e, const char *name, struct image *out, struct err *err)
{
	return look_at_image(e, name, NULL, out, err);
}

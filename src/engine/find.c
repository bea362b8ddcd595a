/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/find.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"

enum { CONFIG_MAX = 1 << 20 };

static const char *const usual[] = {"/var/run/docker.sock", "/run/podman/podman.sock"};

char *engine_client_file(const char *name)
{
	const char *given = getenv("DOCKER_CONFIG"), *home = getenv("HOME");

	if (given && *given)
		return path_join(given, name);
	AUTO(free) char *folder = path_join(home && *home ? home : "/nonexistent", ".docker");
	return path_join(folder, name);
}

/* The context that is in use; NULL for the default one. The caller frees. */
static char *context_name(void)
{
	const char *given = getenv("DOCKER_CONTEXT");
	AUTO(free) char *path = engine_client_file("config.json");
	AUTO(json) json_t *j = NULL;
	struct err ignored;

	if (given && *given)
		return xstrdup(given);
	if (!path_exists(AT_FDCWD, path) || json_read(&j, AT_FDCWD, path, CONFIG_MAX, &ignored))
		return NULL;
	const char *name = json_get_str(j, "currentContext", "");
	return *name && strcmp(name, "default") ? xstrdup(name) : NULL;
}

static int context_host(char **out, const char *name, struct err *err)
{
	char digest[HASH_HEX];
	AUTO(json) json_t *j = NULL;

	hash_once(name, strlen(name), digest);
	AUTO(free) char *inside = xasprintf("contexts/meta/%s/meta.json", digest);
	AUTO(free) char *path = engine_client_file(inside);
	if (json_read(&j, AT_FDCWD, path, CONFIG_MAX, err))
		return err_wrap(err, "docker context \"%.60s\"", name);
	const json_t *endpoint = json_object_get(json_object_get(j, "Endpoints"), "docker");
	*out = xstrdup(json_get_str(endpoint, "Host", ""));
	return 0;
}

static int open_host(struct engine **out, const char *host, const char *said_by, struct err *err)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	text_render(&safe, host, strnlen(host, 200), TEXT_TERMINAL_LINE);
	if (strncmp(host, "unix://", 7))
		return err_set(err, ERR_USAGE, 0,
			       "%s names the engine \"%s\": only one on this machine "
			       "(unix:///path/of/socket) can see "
			       "the files of a trial",
			       said_by, safe.data);
	if (engine_open(out, host + 7, ENGINE_FIND_MS, err))
		return err_wrap(err, "%s", said_by);
	return 0;
}

static int open_usual(struct engine **out, struct err *err)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	AUTO(free) char *own = run && *run ? path_join(run, "podman/podman.sock") : NULL;
	const char *const tried[] = {usual[0], own, usual[1]};
	struct err first = {0};

	for (size_t i = 0; i < ARRAY_SIZE(tried); i++) {
		if (!tried[i] || !path_exists(AT_FDCWD, tried[i]))
			continue;
		if (!engine_open(out, tried[i], ENGINE_FIND_MS, err))
			return 0;
		if (!first.kind)
			first = *err;
	}
	*err = first;
	return first.kind ? -1
			  : err_set(err, ERR_INFRA, 0,
				    "no container engine runs here (%s and Podman's sockets are "
				    "missing)",
				    usual[0]);
}

int engine_find(struct engine **out, struct err *err)
{
	const char *host = getenv("DOCKER_HOST");

	if (host && *host)
		return open_host(out, host, "DOCKER_HOST", err);
	AUTO(free) char *context = context_name();
	if (!context)
		return open_usual(out, err);
	AUTO(free) char *where = NULL;
	if (context_host(&where, context, err))
		return -1;
	AUTO(free) char *said_by = xasprintf("docker context \"%.60s\"", context);
	return open_host(out, where, said_by, err);
}

/* Podman tells only in a dialect of its own that it is rootless. */
static int podman_is_rootless(struct engine *e, bool *out, struct err *err)
{
	AUTO(json) json_t *info = NULL;

	*out = false;
	if (strncmp(engine_about(e), "Podman", 6))
		return 0;
	if (engine_json(e, "GET", "/libpod/info", NULL, ENGINE_CALL_MS, &info, err))
		return -1;
	const json_t *security = json_object_get(json_object_get(info, "host"), "security");
	*out = json_get_bool(security, "rootless", false);
	return 0;
}

/* The files of a trial belong to its user, and must do so inside as well. */
int engine_check(struct engine *e, struct err *err)
{
	AUTO(json) json_t *info = NULL;
	const json_t *option;
	const char *how = NULL;
	bool rootless;
	size_t at;

	if (engine_json(e, "GET", "/info", NULL, ENGINE_CALL_MS, &info, err) ||
	    podman_is_rootless(e, &rootless, err))
		return -1;
	json_array_foreach (json_object_get(info, "SecurityOptions"), at, option) {
		const char *name = json_string_value(option);
		rootless |= name && !strncmp(name, "name=rootless", 13);
		if (name && !strncmp(name, "name=userns", 11))
			how = "userns-remap";
	}
	if (rootless)
		how = "it is rootless";
	return how ? err_set(err, ERR_USAGE, 0,
			     "the engine at %s maps users (%s), which is not supported yet: use "
			     "one that runs as root "
			     "without userns-remap, or set sandbox = \"local\"",
			     engine_socket(e), how)
		   : 0;
}

void engine_proxies(const char *socket, struct strv *out, struct strv *withheld)
{
	static const char *const names[][3] = {{"httpProxy", "HTTP_PROXY", "http_proxy"},
					       {"httpsProxy", "HTTPS_PROXY", "https_proxy"},
					       {"ftpProxy", "FTP_PROXY", "ftp_proxy"},
					       {"allProxy", "ALL_PROXY", "all_proxy"},
					       {"noProxy", "NO_PROXY", "no_proxy"}};
	AUTO(free) char *path = engine_client_file("config.json");
	AUTO(free) char *host = xasprintf("unix://%s", socket);
	AUTO(json) json_t *j = NULL;
	struct err ignored;

	if (json_read(&j, AT_FDCWD, path, CONFIG_MAX, &ignored))
		return;
	const json_t *all = json_object_get(j, "proxies"), *own = json_object_get(all, host);
	if (!own)
		own = json_object_get(all, "default");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = json_get_str(own, names[i][0], "");
		/* USER:PASSWORD@HOST, and a user alone may be a token. */
		if (strchr(value, '@'))
			strv_push(withheld, names[i][0]);
		for (size_t k = 1; *value && !strchr(value, '@') && k < 3; k++)
			strv_pushf(out, "%s=%s", names[i][k], value);
	}
}

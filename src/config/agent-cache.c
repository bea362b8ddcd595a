/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-cache.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

enum { LOCK_BYTES = 16 << 20 };

static char *cache_folder(const char *name)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return xasprintf("%s/rollouts/agents/%s", xdg, name);
	if (home && *home == '/')
		return xasprintf("%s/.cache/rollouts/agents/%s", home, name);
	return NULL;
}

/* A folder of its own, and a word for npm that means one version for ever: no tag, no range. */
static bool is_exact(const char *version)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-";

	return *version >= '0' && *version <= '9' && strchr(version, '.') &&
	       !strstr(version, "..") && strlen(version) < 48 &&
	       version[strspn(version, allowed)] == '\0';
}

static char *expanded(const char *text, const char *version)
{
	struct utsname u = {.machine = "?"};
	(void)uname(&u);
	const char *arch = strcmp(u.machine, "x86_64") == 0    ? "x64"
			   : strcmp(u.machine, "aarch64") == 0 ? "arm64"
							       : u.machine;
	const struct {
		const char *name, *value;
	} places[] = {{"{version}", version}, {"{arch}", arch}, {"{machine}", u.machine}};
	AUTO(buf) struct buf out = BUF_INIT;

	while (*text) {
		size_t n = 0;
		for (size_t i = 0; !n && i < ARRAY_SIZE(places); i++)
			if (strncmp(text, places[i].name, strlen(places[i].name)) == 0) {
				buf_adds(&out, places[i].value);
				n = strlen(places[i].name);
			}
		if (!n)
			buf_addc(&out, *text);
		text += n ? n : 1;
	}
	return buf_detach(&out);
}

static void expand_all(struct strv *out, const json_t *list, const char *version)
{
	size_t i;
	json_t *item;

	json_array_foreach (list, i, item)
		if (json_is_string(item))
			strv_take(out, expanded(json_string_value(item), version));
}

int agent_install_make(struct agent_install *out, const char *name, const json_t *spec,
		       const char *version, struct err *err)
{
	AUTO(free) char *folder = cache_folder(name);
	const char *own = json_get_str(spec, "version", ""),
		   *before = json_get_str(spec, "before", NULL);

	if (!version)
		version = own;
	if (!is_exact(version))
		return err_set(err, ERR_USAGE, 0,
			       "agent \"%s\": \"%.60s\" is not an exact version, as %s is", name,
			       version, json_get_str(spec, "version", "1.2.3"));
	if (!folder)
		return err_set(err, ERR_INFRA, 0,
			       "there is no place to keep agents: set HOME or XDG_CACHE_HOME");
	*out = (struct agent_install){.version = xstrdup(version), .folder = STEAL(&folder)};
	if (before && strcmp(version, own) == 0)
		out->before = xstrdup(before);
	expand_all(&out->npm, json_object_get(spec, "npm"), version);
	expand_all(&out->program, json_object_get(spec, "program"), version);
	return 0;
}

void agent_install_release(struct agent_install *i)
{
	free(i->version);
	free(i->folder);
	free(i->before);
	strv_release(&i->npm);
	strv_release(&i->program);
	*i = (struct agent_install){0};
}

bool agent_install_is_there(const struct agent_install *i)
{
	for (size_t n = 0; n < i->program.n; n++) {
		AUTO(free)
		char *path = xasprintf("%s/%s/%s", i->folder, i->version, i->program.v[n]);
		if (access(path, n ? R_OK : X_OK))
			return false;
	}
	return i->program.n > 0;
}

bool agent_install_tree(const struct agent_install *i, char out[HASH_HEX])
{
	AUTO(free) char *path =
		xasprintf("%s/%s/node_modules/.package-lock.json", i->folder, i->version);
	AUTO(json) json_t *lock = NULL;
	AUTO(strv) struct strv lines = STRV_INIT;
	struct hash h;
	struct err ignored;
	const char *where;
	json_t *package;

	if (json_read(&lock, AT_FDCWD, path, LOCK_BYTES, &ignored))
		return false;
	json_object_foreach (json_object_get(lock, "packages"), where, package)
		strv_pushf(&lines, "%s %s %s", where, json_get_str(package, "version", ""),
			   json_get_str(package, "integrity", ""));
	strv_sort(&lines);
	hash_init(&h);
	for (size_t n = 0; n < lines.n; n++)
		hash_str(&h, lines.v[n]);
	hash_hex(&h, out);
	return true;
}

char *agent_install_current(const char *name)
{
	AUTO(free) char *folder = cache_folder(name);
	char version[64];

	if (!folder)
		return NULL;
	AUTO(free) char *link = path_join(folder, "current");
	ssize_t n = readlink(link, version, sizeof version - 1);
	if (n <= 0)
		return NULL;
	version[n] = '\0';
	return is_exact(version) ? xstrdup(version) : NULL;
}

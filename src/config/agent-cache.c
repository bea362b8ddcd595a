/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-cache.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agent-source.h"

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

static void make_id(struct agent_install *i)
{
	struct hash h;

	hash_init(&h);
	hash_str(&h, i->npm.n ? "npm" : i->pip.n ? "pip" : i->image ? "image" : "url");
	for (size_t n = 0; n < i->npm.n; n++)
		hash_str(&h, i->npm.v[n]);
	for (size_t n = 0; n < i->pip.n; n++)
		hash_str(&h, i->pip.v[n]);
	if (i->url) {
		hash_str(&h, i->url);
		hash_str(&h, i->sha256);
	}
	if (i->image)
		hash_str(&h, i->image);
	hash_str(&h, i->before ? i->before : "");
	hash_hex(&h, i->id);
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
	expand_all(&out->pip, json_object_get(spec, "pip"), version);
	const char *url = json_get_str(spec, "url", NULL);
	if (url) {
		out->url = expanded(url, version);
		/* A digest is of one version. */
		out->sha256 =
			xstrdup(strcmp(version, own) == 0 ? json_get_str(spec, "sha256", "") : "");
	}
	const char *image = json_get_str(spec, "image", NULL);
	if (image)
		out->image = expanded(image, version);
	expand_all(&out->program, json_object_get(spec, "program"), version);
	make_id(out);
	return 0;
}

void agent_install_release(struct agent_install *i)
{
	free(i->version);
	free(i->folder);
	free(i->before);
	strv_release(&i->npm);
	strv_release(&i->pip);
	free(i->url);
	free(i->sha256);
	free(i->image);
	strv_release(&i->program);
	*i = (struct agent_install){0};
}

static bool has_programs(const struct agent_install *i, const char *dir)
{
	for (size_t n = 0; n < i->program.n; n++) {
		AUTO(free) char *path = path_join(dir, i->program.v[n]);
		if (access(path, n ? R_OK : X_OK))
			return false;
	}
	return i->program.n > 0;
}

/* An older program left no account: its npm did. */
static bool depends_on(const char *dir, const struct strv *packages)
{
	AUTO(free) char *path = path_join(dir, "package.json");
	AUTO(json) json_t *doc = NULL;
	struct err ignored;

	if (json_read(&doc, AT_FDCWD, path, 1 << 20, &ignored))
		return false;
	for (size_t n = 0; n < packages->n; n++) {
		const char *at = strrchr(packages->v[n], '@');
		AUTO(free)
		char *name = at ? xstrndup(packages->v[n], (size_t)(at - packages->v[n])) : NULL;
		if (!at || strcmp(json_get_str(json_object_get(doc, "dependencies"), name, ""),
				  at + 1) != 0)
			return false;
	}
	return packages->n > 0;
}

static bool was_fetched(const struct agent_install *i, const char *dir)
{
	AUTO(free) char *path = path_join(dir, AGENT_FETCHED);
	AUTO(json) json_t *doc = NULL;
	struct err ignored;

	if (json_read(&doc, AT_FDCWD, path, 1 << 20, &ignored))
		return depends_on(dir, &i->npm);
	return strcmp(json_get_str(doc, "id", ""), i->id) == 0;
}

static void list_folders(const char *dir, struct strv *out)
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			strv_take(out, path_join(dir, e->d_name));
	closedir(d);
	strv_sort(out);
}

/* Every installation there is, I's own folder first. */
static void list_all(const char *folder, struct strv *out)
{
	AUTO(free) char *cache = path_folder(folder);
	AUTO(strv) struct strv names = STRV_INIT;

	list_folders(folder, out);
	list_folders(cache, &names);
	for (size_t i = 0; i < names.n; i++)
		if (strcmp(names.v[i], folder) != 0)
			list_folders(names.v[i], out);
}

char *agent_install_find(const struct agent_install *i)
{
	AUTO(strv) struct strv all = STRV_INIT;

	list_all(i->folder, &all);
	for (size_t n = 0; n < all.n; n++) {
		struct stat st;
		if (lstat(all.v[n], &st) == 0 && S_ISDIR(st.st_mode) && has_programs(i, all.v[n]) &&
		    was_fetched(i, all.v[n]))
			return xstrdup(all.v[n]);
	}
	return NULL;
}

char *agent_install_name(const struct agent_install *i)
{
	AUTO(free) char *usual = path_join(i->folder, i->version);

	if (!path_exists(AT_FDCWD, usual) || was_fetched(i, usual))
		return xstrdup(i->version);
	return xasprintf("%s-%.8s", i->version, i->id);
}

void agent_install_versions(const char *name, const json_t *spec, struct strv *out)
{
	AUTO(free) char *folder = cache_folder(name);
	AUTO(strv) struct strv all = STRV_INIT;

	if (!folder)
		return;
	list_all(folder, &all);
	for (size_t n = 0; n < all.n; n++) {
		const char *version = path_base(all.v[n]);
		struct agent_install i;
		struct err ignored;
		if (!is_exact(version) || strv_has(out, version) ||
		    agent_install_make(&i, name, spec, version, &ignored))
			continue;
		AUTO(free) char *there = agent_install_find(&i);
		if (there)
			strv_push(out, version);
		agent_install_release(&i);
	}
	strv_sort(out);
}

bool agent_install_tree(const char *dir, char out[HASH_HEX])
{
	AUTO(free) char *path = path_join(dir, "node_modules/.package-lock.json");
	AUTO(json) json_t *lock = NULL;
	AUTO(strv) struct strv lines = STRV_INIT;
	struct hash h;
	struct err ignored;
	const char *where;
	json_t *package;

	AUTO(free) char *venv = path_join(dir, AGENT_VENV);
	if (path_is_dir(AT_FDCWD, venv)) {
		AUTO(json) json_t *linked = json_array();
		agent_venv(out, venv, linked);
		return true;
	}
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

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/caches.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/task-layout.h"
#include "os/user.h"
#include "sandbox/sandbox.h"

/* What programs keep beside their caches: ~/.cargo/credentials.toml, ~/.m2/settings.xml. */
static const char *const credentials[] = {
	"credentials.toml", "credentials", "settings.xml",     "settings-security.xml",
	".npmrc",	    ".netrc",	   "auth.json",	       "config.json",
	"hosts.yml",	    "id_rsa",	   "id_ed25519",       "gradle.properties",
	"known_hosts",	    ".env",	   ".git-credentials", "nuget.config",
};

/* Where nothing may be laid over. */
static const char *const taken[] = {"/",    "/usr", "/etc",  "/proc", "/sys",	 "/dev",
				    "/tmp", "/run", "/home", "/root", "/var/tmp"};

static char *expand(const char *path, const char *home)
{
	return strncmp(path, "~/", 2) ? xstrdup(path) : path_join(home, path + 2);
}

/* Where HOST is seen when nothing is said. */
static char *same_place(const char *host, const char *home)
{
	const size_t n = home ? strlen(home) : 0;

	return n > 1 && !strncmp(host, home, n) && host[n] == '/'
		       ? path_join(task_layout_prepared.home, host + n + 1)
		       : xstrdup(host);
}

static bool is_taken(const char *path)
{
	const size_t n = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (!strcmp(path, taken[i]))
			return true;
	/* The workspace, the home folder and what lies above them. */
	return !strncmp(path, task_layout_prepared.app, strlen(task_layout_prepared.app)) ||
	       (!strncmp(task_layout_prepared.home, path, n) &&
		strchr("/", task_layout_prepared.home[n]));
}

/* Why HOST, a folder, is not shown at BOX; NULL: it can be. */
static char *complain(const char *host, const char *box, const char *home)
{
	const size_t n = strlen(host);

	if (home && !strncmp(home, host, n) && strchr("/", home[n]))
		return xasprintf("%s holds your home folder: name the cache itself", host);
	for (size_t i = 0; i < ARRAY_SIZE(credentials); i++) {
		AUTO(free) char *path = path_join(host, credentials[i]);
		if (path_exists(AT_FDCWD, path))
			return xasprintf("%s may hold credentials, which no sandbox shall see: "
					 "name a folder below %s",
					 path, host);
	}
	if (*box != '/' || strstr(box, "/../") || is_taken(box))
		return xasprintf("%s is no place for a cache: give another as \"%s:PLACE\"", box,
				 host);
	return NULL;
}

static void add(json_t *list, struct hash *h, const char *name, const char *file,
		struct strv *problems)
{
	const char *home = getenv("HOME"), *colon = strstr(name, ":/");

	if (!colon)
		colon = strstr(name, ":~/");
	AUTO(free) char *first = xstrndup(name, colon ? (size_t)(colon - name) : strlen(name));
	AUTO(free) char *path = expand(first, home ? home : "/");
	AUTO(free) char *host = realpath(path, NULL);
	AUTO(free)
	char *box = colon ? expand(colon + 1, task_layout_prepared.home) : same_place(path, home);
	if (!host || !path_is_dir(AT_FDCWD, host)) {
		strv_pushf(problems, "%s: caches: %s is not a folder: fill the cache first", file,
			   path);
		return;
	}
	while (strlen(box) > 1 && box[strlen(box) - 1] == '/')
		box[strlen(box) - 1] = '\0';
	AUTO(free) char *why = complain(host, box, home);
	if (why) {
		strv_pushf(problems, "%s: caches: %s", file, why);
		return;
	}
	json_array_append_new(list, json_pack("{s:s, s:s}", "host", host, "box", box));
	hash_str(h, box);
}

void caches_find(json_t **tools, const struct strv *names, const char *file, struct strv *problems)
{
	char id[HASH_HEX];
	struct hash h;

	if (!names->n)
		return;
	if (names->n > SANDBOX_CACHES_MAX) {
		strv_pushf(problems, "%s: caches: at most %d", file, SANDBOX_CACHES_MAX);
		return;
	}
	if (!*tools)
		*tools = json_object();
	json_t *list = json_array();
	hash_init(&h);
	hash_str(&h, json_get_str(*tools, "id", ""));
	for (size_t i = 0; i < names->n; i++)
		add(list, &h, names->v[i], file, problems);
	hash_hex(&h, id);
	json_put(*tools, "caches", list);
	json_put_str(*tools, "id", id);
}

/* Whether users who have no part in it may go to FOLDER and list it. */
static bool is_open_to_others(const char *folder)
{
	struct stat st;

	for (const char *p = strchr(folder + 1, '/'); p; p = strchr(p + 1, '/')) {
		AUTO(free) char *above = xstrndup(folder, (size_t)(p - folder));
		if (stat(above, &st) || !(st.st_mode & S_IXOTH))
			return false;
	}
	return !stat(folder, &st) && (st.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH);
}

void caches_check_plain(const json_t *tools, const char *file, struct strv *problems)
{
	const size_t n = strlen(task_layout_prepared.home);
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(tools, "caches"), i, item) {
		const char *host = json_get_str(item, "host", ""),
			   *box = json_get_str(item, "box", "");
		if (strncmp(box, task_layout_prepared.home, n) || box[n] != '/')
			strv_pushf(problems,
				   "%s: caches: sandbox = \"landlock\" mounts nothing, so %s "
				   "cannot be "
				   "shown at %s: give it a place below the home folder, "
				   "\"%s:~/PLACE\"",
				   file, host, box, host);
		else if (user_may_change() && !is_open_to_others(host))
			strv_pushf(problems,
				   "%s: caches: the users that trials get cannot read %s, and "
				   "sandbox = "
				   "\"landlock\" mounts nothing: open it and the way to it to "
				   "others, or "
				   "start as the user whose it is",
				   file, host);
	}
}

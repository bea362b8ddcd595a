/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. Installing happens below a lock of the agent's folder, in a temporary folder that is
 * renamed when it is complete: a version is there as a whole or not at all, whoever is killed. What others
 * left half done is removed by the next one who holds the lock.
 */
#include "agentkit/agentkit.h"
#include "agentkit/fetch.h"
#include "agentkit/guard.h"
#include "agentkit/registry.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agent-cache.h"
#include "config/agent-program.h"
#include "config/agents.h"
#include "os/fdio.h"
#include "os/spawn.h"

#define TEMP ".new."

enum { INSTALL_MS = 30 * 60 * 1000, OUTPUT_MAX = 1 << 20 };

static void auto_agent_install(struct agent_install *i)
{
	agent_install_release(i);
}

/* What a killed installation left; the lock is ours. */
static int remove_leftovers(int folder, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return err_set(err, ERR_INFRA, errno, "read the folder");
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (strncmp(d->d_name, TEMP, strlen(TEMP)) == 0)
			strv_push(&names, d->d_name);
	closedir(dir);
	for (size_t i = 0; i < names.n; i++)
		if (path_remove_tree(folder, names.v[i], err))
			return -1;
	return 0;
}

static void say(const struct agentkit_listener *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct agentkit_listener *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	AUTO(free) char *line = xvasprintf(fmt, ap);
	va_end(ap);
	l->said(l->arg, line);
}

/* Scripts of packages are not run: nothing of an agent is executed outside a sandbox. */
static int run_npm(const struct agent_install *i, int dir, const struct agentkit_listener *l,
		   struct err *err)
{
	static const char *const npm[] = {"npm",
					  "install",
					  "--no-audit",
					  "--no-fund",
					  "--no-update-notifier",
					  "--ignore-scripts",
					  "--save-exact",
					  "--loglevel=error",
					  "--fetch-retries=1",
					  "--fetch-retry-mintimeout=500",
					  "--fetch-retry-maxtimeout=1000",
					  NULL};
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(buf) struct buf out = BUF_INIT, text = BUF_INIT;
	char ended[48];
	int status = 0;

	strv_pushv(&argv, npm);
	if (i->before)
		strv_take(&argv, xasprintf("--before=%s", i->before));
	strv_push(&argv, "--");
	strv_pushv(&argv, strv_items(&i->npm));
	const struct spawn s = {
		.argv = strv_items(&argv), .dir_fd = dir, .in = -1, .out = -1, .err = -1};
	if (spawn_run(&s, NULL, 0, OUTPUT_MAX, clock_mono_ms() + INSTALL_MS, &out, &text, &status,
		      err)) {
		l->output(l->arg, "npm", text.data, text.len);
		return err_wrap(err, "npm");
	}
	if (!status)
		return 0;
	if (registry_network_error(text.len ? text.data : "", err))
		return -1;
	l->output(l->arg, "npm", out.data, out.len);
	l->output(l->arg, "npm", text.data, text.len);
	return err_set(err, ERR_INFRA, 0, "npm could not fetch %s (%s): see its words above",
		       i->npm.v[0], spawn_status_text(status, ended));
}

static int fetch_npm(const struct agent_install *i, int dir, const struct agentkit_listener *l,
		     struct err *err)
{
	static const char package[] = "{\"private\": true}\n";

	return path_write(dir, "package.json", package, strlen(package), 0644, false, err) ||
			       registry_reach(dir, err) || run_npm(i, dir, l, err)
		       ? -1
		       : 0;
}

/* The first of what it fetches, for people. */
static const char *what(const struct agent_install *i)
{
	return i->npm.n ? i->npm.v[0] : i->pip.n ? i->pip.v[0] : i->image ? i->image : i->url;
}

/* A link of an image that begins at its root leads elsewhere here. */
static int check_inside(const struct agent_install *i, int dir, struct err *err)
{
	for (size_t n = 0; n < i->program.n; n++) {
		AUTO(fd) int fd = path_open_beneath(dir, i->program.v[n], O_RDONLY, 0, err);
		if (fd < 0)
			return err_set(
				err, ERR_INFRA, 0,
				"%s holds a link at %s that leads out of it: name the file that is "
				"meant",
				i->image, i->program.v[n]);
	}
	return 0;
}

static int fetch(const struct agent_install *i, int folder, const char *temp,
		 const struct agentkit_listener *l, struct err *err)
{
	if (mkdirat(folder, temp, 0755))
		return err_set(err, ERR_INFRA, errno, "make %s/%s", i->folder, temp);
	AUTO(fd) int dir = path_open_beneath(folder, temp, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	if (i->npm.n   ? fetch_npm(i, dir, l, err)
	    : i->pip.n ? fetch_pip(i, dir, l, err)
	    : i->image ? fetch_image(i, dir, l, err)
		       : fetch_url(i, dir, l, err))
		return -1;
	for (size_t n = 0; n < i->program.n; n++)
		if (faccessat(dir, i->program.v[n], n ? R_OK : X_OK, 0))
			return err_set(
				err, ERR_INFRA, 0,
				"%s was fetched, but holds no %s: another version may be laid out "
				"differently",
				what(i), i->program.v[n]);
	return i->image ? check_inside(i, dir, err) : 0;
}

/* What tells it from others of its name (config/agent-cache.h). */
static int write_account(const struct agent_install *i, int dir, struct err *err)
{
	AUTO(json) json_t *account = json_object();

	json_put_str(account, "id", i->id);
	json_put_strv(account, "npm", &i->npm);
	json_put_strv(account, "pip", &i->pip);
	json_put_str(account, "url", i->url);
	json_put_str(account, "image", i->image);
	json_put_str(account, "before", i->before);
	return json_write(dir, AGENT_FETCHED, account, false, err);
}

static int put_in_place(const struct agent_install *i, int folder, const char *temp,
			const char *place, struct err *err)
{
	AUTO(fd) int dir = path_open_beneath(folder, temp, O_RDONLY | O_DIRECTORY, 0, err);

	if (dir < 0 || write_account(i, dir, err) || path_remove_tree(folder, place, err))
		return -1;
	if (renameat(folder, temp, folder, place))
		return err_set(err, ERR_INFRA, errno, "rename %s/%s", i->folder, temp);
	return 0;
}

static int install_locked(const struct agent_install *i, const char *name, int folder,
			  const struct agentkit_listener *l, struct err *err)
{
	AUTO(free) char *temp = xasprintf(TEMP "%d", (int)getpid());
	AUTO(free) char *there = NULL;
	struct err late;

	if (remove_leftovers(folder, err))
		return -1;
	there = agent_install_find(i);
	if (there) {
		say(l, "%s %s is installed already, in %s", name, i->version, there);
		return 0;
	}
	AUTO(free) char *place = agent_install_name(i);
	say(l, "fetching %s %s with %s: %s", name, i->version,
	    i->npm.n   ? "npm"
	    : i->pip.n ? "pip"
	    : i->image ? "the container engine"
		       : "curl",
	    what(i));
	struct guard guard;
	if (guard_start(&guard, folder, temp, err))
		return -1;
	int rc = fetch(i, folder, temp, l, err) || put_in_place(i, folder, temp, place, err) ? -1
											     : 0;
	if (rc)
		(void)!path_remove_tree(folder, temp, &late);
	guard_stop(&guard);
	if (rc)
		return -1;
	char tree[HASH_HEX] = "";
	AUTO(free) char *dir = path_join(i->folder, place);
	const bool known = agent_install_tree(dir, tree);
	say(l, "%s %s is installed, in %s%s%.12s", name, i->version, dir, known ? ", tree " : "",
	    tree);
	return 0;
}

static int read_install(struct agent_install *out, const struct agent_query *q, struct err *err)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *file = NULL;
	AUTO(free) char *path = NULL;

	if (agent_read(&file, &path, q, &problems, err))
		return problems.n ? err_set(err, ERR_USAGE, 0, "%s", problems.v[0]) : -1;
	if (!path)
		return err_set(err, ERR_USAGE, 0,
			       "agent \"%s\" is built in: nothing is to be installed", q->name);
	const json_t *spec = json_object_get(file, "install");
	if (!spec)
		return err_set(err, ERR_USAGE, 0,
			       "%s has no [install]: put its program on PATH yourself", path);
	return agent_install_make(out, json_get_str(file, "stem", q->name), spec,
				  json_get_str(file, "pin", NULL), err);
}

int agentkit_install(const struct agent_query *q, const struct agentkit_listener *l,
		     struct err *err)
{
	AUTO(agent_install) struct agent_install i = {0};

	if (read_install(&i, q, err))
		return -1;
	AUTO(free) char *npm = program_on_path("npm");
	AUTO(free) char *there = agent_install_find(&i);
	if (i.npm.n && !npm && !there)
		return err_set(
			err, ERR_INFRA, 0,
			"agents are fetched by npm, which is not on PATH: apt-get install npm");
	umask(022); /* whoever a trial runs as must be able to read it */
	if (path_make_dirs(AT_FDCWD, i.folder, 0755, err))
		return -1;
	AUTO(fd) int folder = open(i.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", i.folder);
	AUTO(fd) int lock = fd_lock(folder, ".lock", clock_mono_ms() + INSTALL_MS, err);
	if (lock < 0)
		return err_wrap(err, "%s is being installed by another process",
				path_base(i.folder));
	return install_locked(&i, path_base(i.folder), folder, l, err);
}

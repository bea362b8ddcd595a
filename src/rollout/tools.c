/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/tools.h"
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agent-program.h"
#include "os/spawn.h"
#include "sandbox/etc.h"

enum { MANAGER_MS = 10000, ANSWER_MAX = 4096 };

/* The program that answers "which NAME" for the shim at PATH; NULL: it is none. */
static char *manager_of(const char *path)
{
	AUTO(free) char *real = realpath(path, NULL);
	const char *shims = strstr(path, "/shims/");

	if (real && !strcmp(path_base(real), "rustup") && strcmp(path_base(path), "rustup") != 0)
		return STEAL(&real);
	if (!shims || strchr(shims + strlen("/shims/"), '/'))
		return NULL;
	/* ~/.pyenv/shims/python is of pyenv. */
	AUTO(free) char *root = xstrndup(path, (size_t)(shims - path));
	const char *name = path_base(root);
	name += *name == '.';
	AUTO(free) char *inside = xasprintf("%s/bin/%s", root, name);
	return access(inside, X_OK) ? program_on_path(name) : STEAL(&inside);
}

/* What the shim NAME stands for; NULL: its manager does not say. */
static char *ask_manager(const char *manager, const char *name)
{
	const char *argv[] = {manager, "which", name, NULL};
	const struct spawn spawn = {
		.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(buf) struct buf words = BUF_INIT;
	struct err ignored;
	int status;

	if (spawn_run(&spawn, "", 0, ANSWER_MAX, clock_mono_ms() + MANAGER_MS, &out, &words,
		      &status, &ignored) ||
	    status || !out.len)
		return NULL;
	out.data[strcspn(out.data, "\r\n")] = '\0';
	return *out.data == '/' && !access(out.data, X_OK) ? xstrdup(out.data) : NULL;
}

char *tools_in_sandbox(const char *name)
{
	static const char *const dirs[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					   "/usr/bin",	      "/sbin",		"/bin"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char *path = path_join(dirs[i], name);
		if (!access(path, X_OK) && !path_is_dir(AT_FDCWD, path))
			return path;
		free(path);
	}
	return NULL;
}

char *tools_program(const char *name, char **why)
{
	AUTO(free) char *path = *name == '/' ? xstrdup(name) : program_on_path(name);
	AUTO(free) char *manager = path ? manager_of(path) : NULL;

	if (!path)
		*why = xasprintf("\"%s\" is not on PATH", name);
	if (!manager)
		return STEAL(&path);
	char *stands_for = ask_manager(manager, path_base(path));
	if (!stands_for)
		*why = xasprintf(
			"%s stands for another program, and %s does not say for which: give "
			"the folder with its bin/ instead",
			path, manager);
	return stands_for;
}

static void add_mount(json_t *mounts, const char *path)
{
	json_array_append_new(mounts, json_pack("{s:s, s:s}", "host", path, "box", path));
}

/* A container has its image's /usr and /etc: of an installation there, such as a JDK's, it is shown the folder and what that
 * has in /etc. */
static void add_for_containers(json_t *mounts, const char *dir, bool whole)
{
	AUTO(strv) struct strv etc = STRV_INIT;

	if (strncmp(dir, "/usr/", 5) != 0)
		return;
	if (!whole)
		add_mount(mounts, dir);
	etc_folders_of(&etc, dir);
	for (size_t i = 0; i < etc.n; i++)
		add_mount(mounts, etc.v[i]);
}

/* The folder that holds all of the program REAL, "/usr/local/go"; NULL: it lies among others, as in /usr/bin. */
static char *own_folder(const char *real)
{
	static const char *const shared[] = {"", "/usr", "/usr/local", "/usr/lib", "/usr/libexec"};
	AUTO(free) char *dir = xstrndup(real, (size_t)(path_base(real) - real - 1));
	const char *base = path_base(dir);

	if (!strcmp(base, "bin") || !strcmp(base, "sbin"))
		dir[base - dir - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (!strcmp(dir, shared[i]))
			return NULL;
	return STEAL(&dir);
}

/* A virtual environment's python is a link that may lead through others: uv's to cpython-3.14-linux, itself a link to
 * cpython-3.14.5-linux, whose name it must find. */
static void add_aliases(const struct programs *p, const char *python)
{
	AUTO(free) char *path = xstrdup(python);
	char target[PATH_MAX];

	for (int i = 0; i < 8; i++) {
		ssize_t n = readlink(path, target, sizeof target - 1);
		if (n <= 0)
			return;
		target[n] = '\0';
		char *next = *target == '/' ? xstrdup(target)
					    : xasprintf("%.*s%s", (int)(path_base(path) - path),
							path, target);
		free(path);
		path = next;
		AUTO(free) char *bin = xstrndup(path, (size_t)(path_base(path) - path - 1));
		AUTO(free) char *alias = xstrndup(bin, (size_t)(path_base(bin) - bin - 1));
		AUTO(free) char *real = realpath(alias, NULL);
		if (real && strcmp(real, alias) != 0 && strcmp(path_base(bin), "bin") == 0 &&
		    strncmp(alias, "/usr", 4) != 0 && *alias)
			json_array_append_new(p->mounts,
					      json_pack("{s:s, s:s}", "host", real, "box", alias));
	}
}

/* A folder of an installation: all of it is shown. */
static int add_dir(const struct programs *p, const char *dir, char **why)
{
	AUTO(free) char *bin = path_join(dir, "bin");
	AUTO(free) char *venv = path_join(dir, "pyvenv.cfg");
	AUTO(free) char *python = path_join(bin, "python3");
	struct err err;

	add_mount(p->mounts, dir);
	json_array_append_new(p->path, json_string(path_is_dir(AT_FDCWD, bin) ? bin : dir));
	/* A virtual environment is nothing without the Python that it was made with. */
	AUTO(free) char *real = path_exists(AT_FDCWD, venv) ? realpath(python, NULL) : NULL;
	if (real && program_add(p, real, "/", NULL, &err)) {
		*why = xstrdup(err.msg);
		return -1;
	}
	if (real)
		add_aliases(p, python);
	return 0;
}

static int add(const struct programs *p, json_t *tools, const char *name, char **real, char **why)
{
	json_t *in_containers = json_object_get(tools, "container_mounts");
	AUTO(free) char *path = NULL;
	struct err err;

	if (*name == '/' && path_is_dir(AT_FDCWD, name)) {
		*real = realpath(name, NULL);
		if (!*real || !strcmp(*real, "/"))
			*why = xasprintf("%s cannot be shown", name);
		else if (!add_dir(p, *real, why))
			add_for_containers(in_containers, *real, true);
	} else if ((path = tools_program(name, why))) {
		*real = realpath(path, NULL);
		if (!*real || program_add(p, path, "/", NULL, &err)) {
			*why = *real ? xstrdup(err.msg) : xasprintf("%s: no such file", path);
			return -1;
		}
		AUTO(free) char *folder = own_folder(*real);
		if (folder)
			add_for_containers(in_containers, folder, false);
		else
			json_array_append_new(json_object_get(tools, "not_in_containers"),
					      json_string(name));
	}
	return *real && !*why ? 0 : -1;
}

/* Another version is another file, or the same name with another time. */
static void add_to_id(struct hash *h, const char *name, const char *real)
{
	struct stat st = {0};
	char text[96];

	(void)!stat(real, &st);
	snprintf(text, sizeof text, "%jd %jd", (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec);
	hash_str(h, name);
	hash_str(h, real);
	hash_str(h, text);
}

void tools_find(json_t **out, const struct strv *names, const char *file, struct strv *problems)
{
	char id[HASH_HEX];
	struct hash h;

	*out = NULL;
	if (!names->n)
		return;
	*out = json_object();
	const struct programs p = {json_array(), json_array()};
	json_t *programs = json_object();
	json_put(*out, "container_mounts", json_array());
	json_put(*out, "not_in_containers", json_array());
	hash_init(&h);
	for (size_t i = 0; i < names->n; i++) {
		AUTO(free) char *real = NULL;
		AUTO(free) char *why = NULL;
		if (add(&p, *out, names->v[i], &real, &why)) {
			strv_pushf(problems, "%s: tools: %s", file, why);
			continue;
		}
		json_put_str(programs, names->v[i], real);
		add_to_id(&h, names->v[i], real);
	}
	hash_hex(&h, id);
	json_put(*out, "mounts", p.mounts);
	json_put(*out, "path", p.path);
	json_put(*out, "programs", programs);
	json_put_str(*out, "id", id);
}

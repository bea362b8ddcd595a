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

/* The program that NAME is, past shims; NULL with *WHY. */
static char *find_program(const char *name, char **why)
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

/* A folder of an installation: all of it is shown. */
static void add_dir(const struct programs *p, const char *dir)
{
	AUTO(free) char *bin = path_join(dir, "bin");
	json_t *m = json_object();

	json_put_str(m, "host", dir);
	json_put_str(m, "box", dir);
	json_array_append_new(p->mounts, m);
	json_array_append_new(p->path, json_string(path_is_dir(AT_FDCWD, bin) ? bin : dir));
}

static int add(const struct programs *p, const char *name, char **real, char **why)
{
	AUTO(free) char *path = NULL;
	struct err err;

	if (*name == '/' && path_is_dir(AT_FDCWD, name)) {
		*real = realpath(name, NULL);
		if (*real && strcmp(*real, "/") != 0)
			add_dir(p, *real);
		else
			*why = xasprintf("%s cannot be shown", name);
	} else if ((path = find_program(name, why))) {
		*real = realpath(path, NULL);
		if (!*real || program_add(p, path, "/", NULL, &err))
			*why = *real ? xstrdup(err.msg) : xasprintf("%s: no such file", path);
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
	hash_init(&h);
	for (size_t i = 0; i < names->n; i++) {
		AUTO(free) char *real = NULL;
		AUTO(free) char *why = NULL;
		if (add(&p, names->v[i], &real, &why)) {
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

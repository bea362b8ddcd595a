/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agents.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "config/agent-cache.h"
#include "config/agent-own.h"
#include "config/agent-program.h"

#define REQUIRED_BIN ".rollouts/bin"
#define BOX_PREFIX "/opt/rollouts/" /* where what was fetched is mounted, in any image */

static void auto_agent_install(struct agent_install *i)
{
	agent_install_release(i);
}

/* A script whose first line says more than a name: env looks for its interpreter on PATH. */
static bool needs_path(const char *program)
{
	char line[64] = "";
	AUTO(fd) int fd = open(program, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, line, sizeof line - 1) > 0 &&
	       strncmp(line, "#!/usr/bin/env -", 16) == 0;
}

struct resolving {
	json_t *spec;
	const char *path, *folder; /* of its last base */
	const char *config;	   /* of the benchmark, or NULL */
	const json_t *variants;
	struct programs programs;
};

/* The installation DIR: a mount of its own, under a name that tells nothing of this machine. */
static void mount_installation(const struct resolving *r, const char *dir, const char *name)
{
	json_t *m = json_object();
	json_put_str(m, "host", dir);
	json_put(m, "box", json_sprintf(BOX_PREFIX "%s", name));
	json_array_append_new(r->programs.mounts, m);
}

/* What `agents install` fetched, for the version that is meant. */
static bool use_installed(const struct resolving *r, const struct agent_install *i,
			  const char *name)
{
	json_t *argv = json_object_get(r->spec, "argv");
	AUTO(free) char *dir = agent_install_find(i);
	char tree[HASH_HEX];
	if (!dir)
		return false;
	mount_installation(r, dir, name);
	json_array_remove(argv, 0);
	for (size_t n = i->program.n; n--;)
		json_array_insert_new(argv, 0,
				      json_sprintf(BOX_PREFIX "%s/%s", name, i->program.v[n]));
	json_put_str(r->spec, "version", i->version);
	if (agent_install_tree(dir, tree))
		json_put_str(r->spec, "tree", tree);
	/* A Python that is not the system's comes with the environment that was made from it. */
	AUTO(free) char *program = path_join(dir, i->program.v[0]);
	AUTO(free) char *real = realpath(program, NULL);
	struct err ignored;
	if (i->pip.n && real && !program_is_shown(&r->programs, real)) {
		AUTO(json) json_t *off_path = json_array();
		struct programs p = r->programs;
		p.path = off_path;
		return program_add(&p, real, "/", NULL, &ignored) == 0;
	}
	return true;
}

/* It is started by its whole path, as is the interpreter that it asks for by name: what PATH has is the task's. */
static int use_path(const struct resolving *r, const char *first, struct err *err)
{
	AUTO(free) char *inside = NULL;
	AUTO(json) json_t *off_path = json_array();
	struct programs p = r->programs;
	p.path = off_path;
	if (program_add(&p, first, r->folder, &inside, err) < 0)
		return -1;
	AUTO(free) char *interpreter = program_by_env(inside);
	if (!interpreter && needs_path(inside))
		json_array_extend(r->programs.path, off_path);
	AUTO(free) char *content = program_digest(inside);
	if (content)
		json_put_str(r->spec, "content", content);
	AUTO(free) char *on_path = strchr(first, '/') ? NULL : program_on_path(first);
	AUTO(free) char *version = on_path ? program_version(on_path) : NULL;
	/* A container image has its own: agent/agent.h. */
	if (on_path)
		json_put_str(r->spec, "program", first);
	json_t *argv = json_object_get(r->spec, "argv");
	json_array_set_new(argv, 0, json_string(inside)); /* FIRST is gone */
	if (interpreter)
		json_array_insert_new(argv, 0, json_string(interpreter));
	if (version && !json_object_get(r->spec, "version"))
		json_put_str(r->spec, "version", version);
	return 0;
}

/* What is there instead, and the command that fetches what is meant. */
static int not_installed(const struct resolving *r, const struct agent_install *i,
			 const char *first, struct err *err)
{
	const char *stem = json_get_str(r->spec, "stem", ""),
		   *pin = json_get_str(r->spec, "pin", NULL);
	AUTO(strv) struct strv others = STRV_INIT;
	AUTO(buf) struct buf there = BUF_INIT;
	AUTO(free) char *on_path = strchr(first, '/') ? NULL : program_on_path(first);
	AUTO(free) char *version = on_path ? program_version(on_path) : NULL;
	AUTO(free) char *beside = r->config ? path_folder(r->config) : NULL;
	const size_t n = beside ? strlen(beside) : 0;
	const bool of_bench =
		beside &&
		(!strcmp(r->path, r->config) ||
		 (strncmp(r->path, beside, n) == 0 && strncmp(r->path + n, "/agents/", 8) == 0) ||
		 strncmp(r->path, "agents/", 7) == 0);

	agent_install_versions(stem, json_object_get(r->spec, "install"), &others);
	for (size_t k = 0; k < others.n; k++)
		buf_addf(&there, "%s%s", k ? ", " : "", others.v[k]);
	if (on_path)
		buf_addf(&there, "%s%s on PATH%s%s", there.len ? ", and " : "",
			 version ? version : "one",
			 version ? "" : " that says no version: ", version ? "" : on_path);
	const char *where = of_bench ? r->config : "", *option = of_bench ? " -c " : "";
	if (!there.len && !pin)
		return err_set(err, ERR_USAGE, 0,
			       "agent \"%s\" is not installed: rollouts agents install %s%s%s",
			       json_get_str(r->spec, "name", stem), stem, option, where);
	return err_set(
		err, ERR_USAGE, 0,
		"agent \"%s\" is not installed in version %s, which %s names%s%s%s: rollouts "
		"agents install %s%s%s%s%s",
		json_get_str(r->spec, "name", stem), i->version, pin ? "the benchmark" : "its file",
		there.len ? " (there is " : "", there.len ? there.data : "", there.len ? ")" : "",
		stem, pin ? "@" : "", pin ? pin : "", option, where);
}

/* A program on PATH will do where it is known to be the very version. */
static bool path_has(const char *first, const char *version)
{
	AUTO(free) char *on_path = strchr(first, '/') ? NULL : program_on_path(first);
	AUTO(free) char *its = on_path ? program_version(on_path) : NULL;
	return its && strcmp(its, version) == 0;
}

static int find_program(const struct resolving *r, struct err *err)
{
	const json_t *install = json_object_get(r->spec, "install");
	const char *stem = json_get_str(r->spec, "stem", ""),
		   *pin = json_get_str(r->spec, "pin", NULL);
	const char *first = json_string_value(json_array_get(json_object_get(r->spec, "argv"), 0));
	AUTO(agent_install) struct agent_install i = {0};
	if (pin && !install)
		return err_set(
			err, ERR_USAGE, 0,
			"agent \"%s\": %s has no [install], so that no version can be chosen",
			json_get_str(r->spec, "name", stem), stem);
	if (install) {
		if (agent_install_make(&i, stem, install, pin, err) < 0)
			return -1;
		if (use_installed(r, &i, stem))
			return 0;
		if (!path_has(first, i.version))
			return not_installed(r, &i, first, err);
	}
	/* A program that begins with a placeholder exists inside only. */
	return *first == '{' ? 0 : use_path(r, first, err);
}

/* A program of it that PATH finds by the agent's name: a small script, since what starts it may be an interpreter with a file. */
static int require_installed(const struct resolving *r, const char *name, const json_t *file,
			     json_t *versions, struct err *err)
{
	AUTO(agent_install) struct agent_install i = {0};
	AUTO(buf) struct buf script = BUF_INIT;
	if (agent_install_make(&i, json_get_str(file, "stem", name),
			       json_object_get(file, "install"), json_get_str(file, "pin", NULL),
			       err) < 0)
		return -1;
	AUTO(free) char *dir = agent_install_find(&i);
	if (!dir)
		return err_set(err, ERR_USAGE, 0,
			       "requires \"%s\", which is not installed: rollouts agents install "
			       "%s@%s",
			       name, name, i.version);
	mount_installation(r, dir, name);
	buf_adds(&script, "#!/bin/sh\nexec");
	for (size_t n = 0; n < i.program.n; n++)
		buf_addf(&script, " " BOX_PREFIX "%s/%s", name, i.program.v[n]);
	buf_adds(&script, " \"$@\"\n");
	json_t *files = json_object_get(r->spec, "files");
	if (!files) {
		files = json_object();
		json_put(r->spec, "files", files);
	}
	AUTO(free) char *place = xasprintf("{home}/" REQUIRED_BIN "/%s", name);
	json_put_str(files, place, script.data);
	json_array_append_new(r->programs.path, json_string("{home}/" REQUIRED_BIN));
	json_put_str(versions, name, i.version);
	return 0;
}

/* Another agent that this one starts: what `agents install` has of it, else what PATH has, with the version. */
static int require(const struct resolving *r, const char *what, json_t *versions, struct err *err)
{
	const struct agent_query q = {
		.name = what, .config_path = r->config, .variants = r->variants};
	const char *version;
	AUTO(free) char *name = agent_bare_name(what, &version);
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *file = NULL;
	AUTO(free) char *path = NULL;
	struct err ignored;

	if (!agent_is_builtin(name) && !agent_exists(&q, &ignored) &&
	    !agent_read(&file, &path, &q, &problems, &ignored) && json_object_get(file, "install"))
		return require_installed(r, name, file, versions, err);
	AUTO(free) char *on_path = program_on_path(name);
	AUTO(free) char *its = on_path ? program_version(on_path) : NULL;
	if (version && (!its || strcmp(its, version) != 0))
		return err_set(err, ERR_USAGE, 0,
			       "requires \"%s\": the program on PATH is %s, and no agent file of "
			       "that name has [install]",
			       what, its ? its : "of no known version");
	if (its)
		json_put_str(versions, name, its);
	return program_add(&r->programs, name, r->folder, NULL, err);
}

/* Fill in `mounts`, `path`, `version`, `tree` and the like (agent/agent.h), and write argv as a sandbox has it. SPEC is as agent_read
 * gives it for Q, with its `stem` and `pin`; PATH is where its last base is. */
static int find_programs(json_t *spec, const char *path, const struct agent_query *q,
			 struct err *err)
{
	AUTO(free) char *folder = path_folder(path);
	AUTO(free) char *beside = q->config_path ? path_folder(q->config_path) : NULL;
	AUTO(free) char *hidden = beside ? realpath(beside, NULL) : NULL;
	const struct resolving r = {.spec = spec,
				    .path = path,
				    .folder = folder,
				    .config = q->config_path && *q->config_path ? q->config_path
										: NULL,
				    .variants = q->variants,
				    .programs = {json_array(), json_array(), hidden}};
	AUTO(json) json_t *versions = json_object();
	json_t *name;
	size_t i;
	json_put(spec, "mounts", r.programs.mounts);
	json_put(spec, "path", r.programs.path);
	if (agent_own_programs(spec, &r.programs, folder, err) < 0 || find_program(&r, err) < 0)
		return err_wrap(err, "%s", path);
	json_array_foreach (json_object_get(spec, "requires"), i, name)
		if (require(&r, json_string_value(name), versions, err) < 0)
			return err_wrap(err, "%s", path);
	if (json_object_size(versions))
		json_object_set(spec, "required", versions);
	return agent_own_check(spec, &r.programs, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

int agent_find(json_t **spec, const struct agent_query *q, struct strv *issues, struct err *err)
{
	AUTO(json) json_t *file = NULL;
	AUTO(free) char *path = NULL;
	if (agent_read(&file, &path, q, issues, err) < 0)
		return -1;
	if (path && find_programs(file, path, q, err) < 0)
		return -1;
	static const char *const done[] = {"models", "requires", "install", "stem",
					   "pin",    "base",	 "shows"};
	for (size_t i = 0; i < ARRAY_SIZE(done); i++)
		json_object_del(file, done[i]);
	*spec = json_incref(file);
	return 0;
}

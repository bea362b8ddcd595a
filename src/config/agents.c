/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agents.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "config/agent-cache.h"
#include "config/agent-file.h"
#include "config/agent-program.h"

static const char *const builtins[] = {"nop", "oracle", "import"};
#define BASH "bash"		    /* built in as well, but it needs a model */
#define BOX_PREFIX "/opt/rollouts/" /* where what was fetched is mounted, in any image */

/* What "auto" falls back to. */
static const struct usual {
	const char *models, *agent;
} usual[] = {
	{"gpt*", "codex"},     {"o[0-9]*", "codex"},  {"codex*", "codex"}, {"chatgpt*", "codex"},
	{"claude*", "claude"}, {"gemini*", "gemini"}, {"*", "bash"},
};

bool agent_is_builtin(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		if (strcmp(builtins[i], name) == 0)
			return true;
	return false;
}

static void add_user_folder(struct strv *folders)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (xdg && *xdg == '/')
		strv_pushf(folders, "%s/rollouts/agents", xdg);
	else if (home && *home == '/')
		strv_pushf(folders, "%s/.config/rollouts/agents", home);
}

/* Where agent files may be, the first one first. */
static void list_folders(const char *config_path, struct strv *folders)
{
	const char *slash = config_path ? strrchr(config_path, '/') : NULL;
	if (config_path)
		strv_pushf(folders, "%.*sagents", slash ? (int)(slash - config_path) + 1 : 0,
			   config_path);
	add_user_folder(folders);
	strv_take(folders, install_share("agents"));
}

static void list_names(const char *folder, struct strv *names)
{
	DIR *dir = opendir(folder);
	if (!dir)
		return;
	for (struct dirent *d; (d = readdir(dir));) {
		size_t n = strlen(d->d_name);
		if (n > 5 && d->d_name[0] != '.' && strcmp(d->d_name + n - 5, ".toml") == 0) {
			AUTO(free) char *name = xstrndup(d->d_name, n - 5);
			strv_push(names, name);
		}
	}
	closedir(dir);
	strv_sort(names);
}

void agent_names(const char *config_path, struct strv *names)
{
	AUTO(strv) struct strv folders = STRV_INIT;
	list_folders(config_path, &folders);
	for (size_t i = 0; i < folders.n; i++) {
		AUTO(strv) struct strv here = STRV_INIT;
		list_names(folders.v[i], &here);
		for (size_t j = 0; j < here.n; j++)
			if (!strv_has(names, here.v[j]))
				strv_push(names, here.v[j]);
	}
}

/* A file that cannot be read claims no model: it is complained of when somebody names it. */
static bool claims_model(const char *path, const char *model)
{
	AUTO(strv) struct strv issues = STRV_INIT;
	AUTO(json) json_t *file = NULL;
	struct err err;
	size_t i;
	json_t *glob;
	if (agent_file_read(&file, path, &issues, &err) < 0)
		return false;
	json_array_foreach (json_object_get(file, "models"), i, glob)
		if (text_glob(json_string_value(glob), model))
			return true;
	return false;
}

char *agent_for_model(const char *model, const char *config_path)
{
	AUTO(strv) struct strv folders = STRV_INIT;
	list_folders(config_path, &folders);
	for (size_t i = 0; i < folders.n; i++) {
		AUTO(strv) struct strv names = STRV_INIT;
		list_names(folders.v[i], &names);
		for (size_t j = 0; j < names.n; j++) {
			AUTO(free) char *path = xasprintf("%s/%s.toml", folders.v[i], names.v[j]);
			if (claims_model(path, model))
				return xstrdup(names.v[j]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (text_glob(usual[i].models, model))
			return xstrdup(usual[i].agent);
	bug("no agent for model \"%s\"", model);
}

static int missing(const struct agent_query *q, const struct strv *folders, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(buf) struct buf places = BUF_INIT;
	for (size_t i = 0; i < folders->n; i++) {
		list_names(folders->v[i], &names);
		buf_addf(&places, "%s%s", i ? ", " : "", folders->v[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		strv_push(&names, builtins[i]);
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		strv_push(&names, usual[i].agent);
	const char *near = text_nearest(q->name, strv_items(&names));
	return err_set(err, ERR_USAGE, 0, "no agent \"%s\"%s%s%s: looked for %s.toml in %s",
		       q->name, near ? " (did you mean \"" : "", near ? near : "",
		       near ? "\"?)" : "", q->name, places.data);
}

static char *find_file(const struct agent_query *q, struct err *err)
{
	AUTO(strv) struct strv folders = STRV_INIT;
	list_folders(q->config_path, &folders);
	for (size_t i = 0; i < folders.n; i++) {
		AUTO(free) char *path = xasprintf("%s/%s.toml", folders.v[i], q->name);
		if (access(path, F_OK) == 0)
			return STEAL(&path);
	}
	(void)missing(q, &folders, err);
	return NULL;
}

/* An agent of the user's own of that name counts more. */
static bool is_bash(const struct agent_query *q)
{
	struct err ignored;
	if (strcmp(q->name, BASH) != 0)
		return false;
	AUTO(free) char *path = find_file(q, &ignored);
	return !path;
}

int agent_exists(const struct agent_query *q, struct err *err)
{
	if (agent_is_builtin(q->name) || is_bash(q))
		return 0;
	AUTO(free) char *path = find_file(q, err);
	return path ? 0 : -1;
}

/* What `agents install` fetched: a mount of its own, under a name that tells nothing of this machine. */
static bool use_installed(json_t *spec, const json_t *install, const struct programs *p,
			  const char *name)
{
	AUTO(free) char *version = agent_install_current(name);
	struct agent_install i;
	struct err ignored;
	char tree[HASH_HEX];
	if (!version || agent_install_make(&i, name, install, version, &ignored) < 0)
		return false;
	bool there = agent_install_is_there(&i);
	if (there) {
		AUTO(free) char *host = path_join(i.folder, version);
		json_t *argv = json_object_get(spec, "argv"), *m = json_object();
		json_put_str(m, "host", host);
		json_put(m, "box", json_sprintf(BOX_PREFIX "%s", name));
		json_array_append_new(p->mounts, m);
		json_array_remove(argv, 0);
		for (size_t n = i.program.n; n--;)
			json_array_insert_new(
				argv, 0, json_sprintf(BOX_PREFIX "%s/%s", name, i.program.v[n]));
		json_put_str(spec, "version", version);
		if (agent_install_tree(&i, tree))
			json_put_str(spec, "tree", tree);
	}
	agent_install_release(&i);
	return there;
}

static int use_path(json_t *spec, const struct programs *p, const char *first, const char *folder,
		    struct err *err)
{
	AUTO(free) char *inside = NULL;
	if (program_add(p, first, folder, &inside, err) < 0)
		return -1;
	AUTO(free) char *content = program_digest(inside);
	if (content)
		json_put_str(spec, "content", content);
	AUTO(free) char *on_path = strchr(first, '/') ? NULL : program_on_path(first);
	AUTO(free) char *version = on_path ? program_version(on_path) : NULL;
	/* A container image has its own: agent/agent.h. */
	if (on_path)
		json_put_str(spec, "program", first);
	json_array_set_new(json_object_get(spec, "argv"), 0,
			   json_string(inside)); /* FIRST is gone */
	if (version && !json_object_get(spec, "version"))
		json_put_str(spec, "version", version);
	return 0;
}

static int find_program(json_t *spec, const struct programs *p, const char *folder, struct err *err)
{
	const char *name = json_get_str(spec, "name", "");
	const json_t *install = json_object_get(spec, "install");
	const char *first = json_string_value(json_array_get(json_object_get(spec, "argv"), 0));
	/* A program that begins with a placeholder exists inside only. */
	if (*first == '{' || (install && use_installed(spec, install, p, name)))
		return 0;
	if (use_path(spec, p, first, folder, err) == 0)
		return 0;
	if (install && !strchr(first, '/'))
		return err_set(err, ERR_USAGE, 0,
			       "agent \"%s\" is not installed: rollouts agents install %s", name,
			       name);
	return -1;
}

static int find_programs(json_t *spec, const char *path, struct err *err)
{
	const struct programs p = {json_array(), json_array()};
	AUTO(free) char *folder = path_folder(path);
	json_t *name;
	size_t i;
	json_put(spec, "mounts", p.mounts);
	json_put(spec, "path", p.path);
	if (find_program(spec, &p, folder, err) < 0)
		return err_wrap(err, "%s", path);
	json_array_foreach (json_object_get(spec, "requires"), i, name)
		if (program_add(&p, json_string_value(name), folder, NULL, err) < 0)
			return err_wrap(err, "%s", path);
	return 0;
}

static json_t *builtin_spec(const char *name)
{
	json_t *spec = json_object();
	bool bash = strcmp(name, BASH) == 0;
	json_put_str(spec, "name", name);
	json_put_str(spec, "kind", name);
	json_put_str(spec, "needs", bash ? "model" : "");
	if (bash) {
		json_put(spec, "apis",
			 json_pack("[s, s, s, s]", "anthropic", "responses", "gemini", "chat"));
		json_put_str(spec, "version", ROLLOUTS_VERSION);
	}
	return spec;
}

int agent_find(json_t **spec, const struct agent_query *q, struct strv *issues, struct err *err)
{
	AUTO(json) json_t *file = NULL;
	if (is_bash(q) || agent_is_builtin(q->name)) {
		*spec = builtin_spec(q->name);
		return 0;
	}
	AUTO(free) char *path = find_file(q, err);
	if (!path || agent_file_read(&file, path, issues, err) < 0)
		return -1;
	json_put_str(file, "name", q->name);
	json_put_str(file, "kind", "cli");
	if (find_programs(file, path, err) < 0)
		return -1;
	json_object_del(file, "models");
	json_object_del(file, "requires");
	json_object_del(file, "install");
	*spec = json_incref(file);
	return 0;
}

int agent_read(json_t **file, char **path, const struct agent_query *q, struct strv *issues,
	       struct err *err)
{
	AUTO(free) char *found = NULL;
	if (agent_is_builtin(q->name) || is_bash(q)) {
		*file = builtin_spec(q->name);
		*path = NULL;
		return 0;
	}
	found = find_file(q, err);
	if (!found || agent_file_read(file, found, issues, err) < 0)
		return -1;
	*path = STEAL(&found);
	return 0;
}

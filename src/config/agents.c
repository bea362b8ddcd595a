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
#include "config/agent-file.h"
#include "config/agent-layers.h"
#include "config/agent-own.h"

static const char *const builtins[] = {"nop", "oracle", "import"};
#define BASH "bash" /* built in as well, but it needs a model */

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

char *agent_bare_name(const char *what, const char **version)
{
	const char *at = strchr(what, '@');
	*version = at ? at + 1 : NULL;
	return at ? xstrndup(what, (size_t)(at - what)) : xstrdup(what);
}

static int missing(const char *name, const struct agent_query *q, const struct strv *folders,
		   struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(buf) struct buf places = BUF_INIT;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)q->variants, key, v)
		if (*key)
			strv_push(&names, key);
	for (size_t i = 0; i < folders->n; i++) {
		list_names(folders->v[i], &names);
		buf_addf(&places, "%s%s", i ? ", " : "", folders->v[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		strv_push(&names, builtins[i]);
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		strv_push(&names, usual[i].agent);
	const char *near = text_nearest(name, strv_items(&names));
	return err_set(err, ERR_USAGE, 0, "no agent \"%s\"%s%s%s: looked for %s.toml in %s", name,
		       near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "", name,
		       places.data);
}

/* Where NAME is: the file of the benchmark that has a table for it, or its own. */
static char *find_file(const char *name, const struct agent_query *q, struct err *err)
{
	AUTO(strv) struct strv folders = STRV_INIT;
	if (json_object_get(q->variants, name))
		return xstrdup(q->config_path);
	list_folders(q->config_path, &folders);
	for (size_t i = 0; i < folders.n; i++) {
		AUTO(free) char *path = xasprintf("%s/%s.toml", folders.v[i], name);
		if (access(path, F_OK) == 0)
			return STEAL(&path);
	}
	(void)missing(name, q, &folders, err);
	return NULL;
}

/* An agent of the user's own of that name counts more. */
static bool is_bash(const char *name, const struct agent_query *q)
{
	struct err ignored;
	if (strcmp(name, BASH) != 0)
		return false;
	AUTO(free) char *path = find_file(name, q, &ignored);
	return !path;
}

int agent_exists(const struct agent_query *q, struct err *err)
{
	const char *version;
	AUTO(free) char *name = agent_bare_name(q->name, &version);
	if (!version && (agent_is_builtin(name) || is_bash(name, q)))
		return 0;
	AUTO(free) char *path = find_file(name, q, err);
	return path ? 0 : -1;
}

/* What our own agent may be told, in the form of a file. */
static const char bash_file[] =
	"{\"apis\": [\"anthropic\", \"responses\", \"gemini\", \"chat\"],"
	" \"option_layers\": {"
	"\"effort\": {\"model\": true}, \"thinking\": {\"model\": true},"
	"\"temperature\": {\"model\": true}, \"top_p\": {\"model\": true},"
	"\"seed\": {\"model\": true}, \"max_output_tokens\": {\"model\": true},"
	"\"max_turns\": {\"env\": {\"BASH_AGENT_STEPS\": \"{option:max_turns}\"}},"
	"\"command_sec\": {\"env\": {\"BASH_AGENT_COMMAND_SEC\": \"{option:command_sec}\"}}},"
	" \"prompt_layers\": {\"replace\": {}, \"append\": {}}}";

static json_t *builtin_spec(const char *name)
{
	const bool bash = strcmp(name, BASH) == 0;
	json_t *spec = bash ? json_loads(bash_file, 0, NULL) : json_object();
	json_put_str(spec, "name", name);
	json_put_str(spec, "kind", name);
	json_put_str(spec, "needs", bash ? "model" : "");
	if (bash)
		json_put_str(spec, "version", ROLLOUTS_VERSION);
	return spec;
}

/* One file or table, without its base. The caller owns *SPEC and *PATH; that is NULL for one that is built in. */
static int load_one(json_t **spec, char **path, const char *name, const struct agent_query *q,
		    struct strv *issues, struct err *err)
{
	const json_t *table = json_object_get(q->variants, name);
	AUTO(free) char *found = NULL;
	AUTO(json) json_t *file = NULL;
	if (agent_is_builtin(name) || is_bash(name, q)) {
		*spec = builtin_spec(name);
		*path = NULL;
		return 0;
	}
	found = find_file(name, q, err);
	if (!found)
		return -1;
	if (json_is_null(table))
		return err_set(err, ERR_USAGE, 0, "[agents.%s] has mistakes", name);
	if (table)
		file = json_deep_copy(table);
	else if (agent_file_read(&file, found, issues, err) < 0)
		return -1;
	AUTO(free) char *folder = path_folder(found);
	agent_anchor(file, folder);
	json_put_str(file, "name", name);
	json_put_str(file, "kind", "cli");
	*spec = json_incref(file);
	*path = STEAL(&found);
	return 0;
}

enum { BASES_MAX = 8 };

/* NAME with all that it is a variant of laid below it. `stem` of it is the name of the last base, `pin` the version asked for. */
static int load(json_t **spec, char **path, const char *what, int depth,
		const struct agent_query *q, struct strv *issues, struct err *err)
{
	const char *version;
	AUTO(free) char *name = agent_bare_name(what, &version);
	AUTO(json) json_t *mine = NULL;
	AUTO(json) json_t *below = NULL;
	AUTO(free) char *at = NULL;
	if (depth > BASES_MAX)
		return err_set(err, ERR_USAGE, 0, "agent \"%s\": its base leads back to itself",
			       q->name);
	if (load_one(&mine, &at, name, q, issues, err) < 0)
		return -1;
	const char *base = json_get_str(mine, "base", NULL);
	if (!at && version)
		return err_set(err, ERR_USAGE, 0,
			       "agent \"%s\" is built in: it has the version of this program",
			       name);
	if (base && (!strcmp(base, "nop") || !strcmp(base, "oracle")))
		return err_set(err, ERR_USAGE, 0, "agent \"%s\": \"%s\" has no variants", name,
			       base);
	if (base) {
		free(STEAL(&at));
		if (load(&below, &at, base, depth + 1, q, issues, err) < 0) {
			err->kind = ERR_USAGE;
			return issues->n ? -1
					 : err_wrap(err, "agent \"%s\", base \"%s\"", name, base);
		}
		agent_lay_over(below, mine);
	}
	json_t *out = below ? below : mine;
	if (!base)
		json_put_str(out, "stem", name);
	if (version)
		json_put_str(out, "pin", version);
	*spec = json_incref(out);
	*path = STEAL(&at);
	return 0;
}

int agent_read(json_t **file, char **path, const struct agent_query *q, struct strv *issues,
	       struct err *err)
{
	AUTO(json) json_t *spec = NULL;
	AUTO(free) char *at = NULL;
	if (load(&spec, &at, q->name, 0, q, issues, err) < 0)
		return -1;
	const json_t *around = json_object_get(q->variants, AGENT_AROUND);
	if (around && *json_get_str(spec, "needs", ""))
		agent_lay_over(spec, around);
	if (agent_settle(spec, err) < 0)
		return err_wrap(err, "agent \"%s\"", q->name);
	json_put_str(spec, "name", q->name);
	*file = json_incref(spec);
	*path = STEAL(&at);
	return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-own.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "config/agent-source.h"

static const char *item(const json_t *argv, size_t i)
{
	const char *text = json_string_value(json_array_get(argv, i));

	return text ? text : "";
}

static char *from(const char *folder, const char *path)
{
	return *path == '/' ? xstrdup(path) : path_join(folder, path);
}

/* TEXT with {folder} as FOLDER; the caller frees. */
static char *with_folder(const char *text, const char *folder)
{
	static const char place[] = "{folder}";
	AUTO(buf) struct buf out = BUF_INIT;
	const char *hit;

	for (; (hit = strstr(text, place)); text = hit + sizeof place - 1) {
		buf_add(&out, text, (size_t)(hit - text));
		buf_adds(&out, folder);
	}
	buf_adds(&out, text);
	return buf_detach(&out);
}

static void put_folder(json_t *v, const char *folder)
{
	const char *key;
	json_t *inner;
	size_t i;

	if (json_is_string(v) && strstr(json_string_value(v), "{folder}")) {
		AUTO(free) char *text = with_folder(json_string_value(v), folder);
		json_string_set(v, text);
	}
	if (json_is_array(v))
		json_array_foreach (v, i, inner)
			put_folder(inner, folder);
	if (json_is_object(v))
		json_object_foreach (v, key, inner)
			put_folder(inner, folder);
}

void agent_anchor(json_t *spec, const char *folder)
{
	static const char *const members[] = {"argv",  "args", "env",	   "stdin", "shows",
					      "files", "mcp",  "services", "before"};
	AUTO(free) char *found = realpath(folder, NULL);
	const char *real = found ? found : folder;
	json_t *argv = json_object_get(spec, "argv"), *shows = json_object_get(spec, "shows"), *v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members); i++)
		put_folder(json_object_get(spec, members[i]), real);
	if (strchr(item(argv, 0), '/') && *item(argv, 0) != '{') {
		AUTO(free) char *path = from(real, item(argv, 0));
		json_array_set_new(argv, 0, json_string(path));
	}
	json_array_foreach (shows, i, v) {
		AUTO(free) char *path = from(real, json_string_value(v));
		json_array_set_new(shows, i, json_string(path));
	}
}

/* ---- What people write -------------------------------------------------------------------------------------------------------- */

/* The folder at or above FOLDER that holds a pyproject.toml; the caller frees. */
static char *project_of(const char *folder)
{
	AUTO(free) char *at = realpath(folder, NULL);

	for (char *slash; at && (slash = strrchr(at, '/')); *slash = '\0') {
		AUTO(free) char *file = path_join(at, "pyproject.toml");
		if (access(file, F_OK) == 0)
			return STEAL(&at);
	}
	return NULL;
}

/* Options of `uv run` whose value is the next word. */
static bool takes_value(const char *option)
{
	static const char *const options[] = {"-p",
					      "--python",
					      "--with",
					      "--with-editable",
					      "--with-requirements",
					      "--extra",
					      "--group",
					      "--env-file",
					      "--index",
					      "--default-index",
					      "--no-extra",
					      "--no-group",
					      "--only-group",
					      "--package",
					      "--cache-dir",
					      "--exclude-newer",
					      "--config-file"};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (!strcmp(option, options[i]))
			return true;
	return false;
}

/* What makes the environment: a project's is made from its pyproject.toml. */
static int refuse_uv(const char *project, struct err *err)
{
	AUTO(free) char *file = path_join(project, "pyproject.toml");

	if (access(file, F_OK) == 0)
		return err_set(err, ERR_USAGE, 0,
			       "uv run would make an environment, which it cannot in a sandbox: "
			       "make it here, `uv sync --project %s`",
			       project);
	return err_set(
		err, ERR_USAGE, 0,
		"uv run would make an environment, which it cannot in a sandbox: make it here, "
		"`uv venv %s/.venv`, and what it needs into it, `uv pip install --python "
		"%s/.venv/bin/python ...`",
		project, project);
}

/* `uv run [--project P] CMD ...` makes an environment first, which needs a network: what it would start then is started. */
static int resolve_uv(json_t *argv, const char *folder, struct err *err)
{
	AUTO(free) char *project = project_of(folder);
	size_t n = 2;

	bool module = false;
	for (; *item(argv, n) == '-' && !module; n++)
		if (!strcmp(item(argv, n), "-m") || !strcmp(item(argv, n), "--module")) {
			module = true;
		} else if (takes_value(item(argv, n))) {
			n++;
		} else if (!strcmp(item(argv, n), "--project") ||
			   !strcmp(item(argv, n), "--directory")) {
			free(project);
			project = from(folder, item(argv, ++n));
		} else if (!strncmp(item(argv, n), "--project=", 10) ||
			   !strncmp(item(argv, n), "--directory=", 12)) {
			free(project);
			project = from(folder, strchr(item(argv, n), '=') + 1);
		}
	AUTO(free) char *python = xasprintf("%s/.venv/bin/python", project ? project : folder);
	const char *what = item(argv, n);
	if (!*what)
		return err_set(err, ERR_USAGE, 0, "uv run names no program");
	if (access(python, X_OK))
		return refuse_uv(project ? project : folder, err);
	const size_t len = strlen(what);
	const bool script = len > 3 && !strcmp(what + len - 3, ".py");
	AUTO(free) char *program =
		!script && !module && strncmp(what, "python", 6) != 0
			? xasprintf("%s/.venv/bin/%s", project ? project : folder, what)
			: xstrdup(python);
	AUTO(free) char *name = xstrdup(what);
	for (size_t i = 0; i <= n; i++)
		json_array_remove(argv, 0);
	if (script || module)
		json_array_insert_new(argv, 0, json_string(name));
	if (module)
		json_array_insert_new(argv, 0, json_string("-m"));
	json_array_insert_new(argv, 0, json_string(program));
	return 0;
}

static bool is_interpreter(const char *program)
{
	static const char *const names[] = {"python", "node", "bash",	"sh",	"dash",
					    "zsh",    "ruby", "perl",	"deno", "bun",
					    "php",    "java", "Rscript"};
	const char *base = path_base(program);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const size_t n = strlen(names[i]);
		if (!strncmp(base, names[i], n) && !base[n + strspn(base + n, "0123456789.")])
			return true;
	}
	return false;
}

/* The script that an interpreter is given, where it lies beside the file: its folder is shown, or it alone where that holds more
 * than the agent. */
static void show_script(json_t *argv, const struct programs *p, const char *folder, json_t *shown)
{
	if (!is_interpreter(item(argv, 0)))
		return;
	for (size_t i = 1; i < json_array_size(argv); i++) {
		const char *text = item(argv, i);
		if (!strcmp(text, "-c") || !strcmp(text, "-m") || !strcmp(text, "-e"))
			return;
		if (*text == '-')
			continue;
		AUTO(free) char *path = from(folder, text);
		AUTO(free) char *real = realpath(path, NULL);
		if (!real || path_is_dir(AT_FDCWD, real) || program_is_shown(p, real))
			return;
		AUTO(free) char *dir = path_folder(real);
		const bool whole = program_may_show(p, dir);
		json_array_set_new(argv, i, json_string(real));
		json_array_append_new(shown, json_string(whole ? dir : real));
		return;
	}
}

static int show_all(json_t *spec, const struct programs *p, const json_t *shown, struct err *err)
{
	json_t *sources = json_array(), *v;
	AUTO(buf) struct buf version = BUF_INIT;
	size_t i;

	json_put(spec, "sources", sources);
	json_array_foreach ((json_t *)shown, i, v) {
		const char *path = json_string_value(v);
		AUTO(free) char *real = realpath(path, NULL);
		AUTO(json) json_t *source = NULL;
		if (!real)
			return err_set(err, ERR_USAGE, 0, "shows: %s is not there", path);
		if (path_is_dir(AT_FDCWD, real) && !program_may_show(p, real))
			return err_set(
				err, ERR_USAGE, 0,
				"shows: %s holds more than an agent: the benchmark, or a home "
				"folder; name a folder below it",
				real);
		if (agent_source(&source, real, err))
			return err_wrap(err, "shows");
		program_show(p, real);
		json_array_append(sources, source);
		const char *commit = json_get_str(source, "commit", NULL);
		const bool dirty = json_get_bool(source, "dirty", false);
		buf_addf(&version, "%s%.10s%s", i ? " " : "",
			 commit ? commit : json_get_str(source, "digest", ""), dirty ? "+" : "");
		if (dirty)
			buf_addf(&version, "%.8s", json_get_str(source, "digest", ""));
	}
	if (!json_array_size(sources))
		json_object_del(spec, "sources");
	else if (!json_object_get(spec, "version"))
		json_put_str(spec, "version", version.data);
	return 0;
}

int agent_own_programs(json_t *spec, const struct programs *p, const char *folder, struct err *err)
{
	json_t *argv = json_object_get(spec, "argv"), *v;
	AUTO(json) json_t *shown = json_array();
	size_t i;

	if (!strcmp(path_base(item(argv, 0)), "uv") && !strcmp(item(argv, 1), "run") &&
	    resolve_uv(argv, folder, err))
		return -1;
	json_array_foreach (json_object_get(spec, "shows"), i, v)
		json_array_append(shown, v);
	AUTO(free) char *path = strchr(item(argv, 0), '/') ? from(folder, item(argv, 0)) : NULL;
	AUTO(free) char *venv = path ? program_venv(path) : NULL;
	if (venv) {
		char digest[HASH_HEX];
		agent_venv(digest, venv, shown);
		json_put_str(spec, "tree", digest);
	}
	show_script(argv, p, folder, shown);
	return show_all(spec, p, shown, err);
}

/* ---- What would be missing ---------------------------------------------------------------------------------------------------- */

/* The first path in TEXT that is here and not there; the caller frees. */
static char *missing_path(const char *text, const struct programs *p)
{
	static const char ends[] = " \t\n\"'`;,&|()<>=:{}$*";

	for (const char *at = text; *at;) {
		const size_t n = strcspn(at, ends);
		AUTO(free) char *path = xstrndup(at, n);
		const bool whole = *path == '/' && strchr(path + 1, '/') && !strstr(path, "//");
		if (whole && !program_is_shown(p, path) && access(path, F_OK) == 0)
			return STEAL(&path);
		at += n ? n : 1;
	}
	return NULL;
}

static int refuse(const char *what, const char *path, struct err *err)
{
	AUTO(free) char *dir = path_is_dir(AT_FDCWD, path) ? xstrdup(path) : path_folder(path);

	return err_set(err, ERR_USAGE, 0,
		       "%s: %s is here, but not in the sandbox: add shows = [\"%s\"]", what, path,
		       dir);
}

/* A variable that is a file here and nothing else is meant for it; of folders, which a sandbox may have as well or make, those
 * that are searched. */
static char *missing_in_env(const char *key, const char *value, const struct programs *p)
{
	const size_t n = strlen(key);
	struct stat st;
	const bool searched = n >= 4 && !strcmp(key + n - 4, "PATH");
	const bool is_file = value && *value == '/' && stat(value, &st) == 0 && S_ISREG(st.st_mode);

	return searched || is_file ? missing_path(value, p) : NULL;
}

int agent_own_check(const json_t *spec, const struct programs *p, struct err *err)
{
	const json_t *argv = json_object_get(spec, "argv");
	const char *key;
	json_t *v;

	for (size_t i = 1; i < json_array_size(argv); i++) {
		AUTO(free) char *path = missing_path(item(argv, i), p);
		if (path)
			return refuse("argv", path, err);
	}
	json_object_foreach (json_object_get(spec, "mcp"), key, v) {
		const json_t *command = json_object_get(v, "command");
		for (size_t i = 0; i < json_array_size(command); i++) {
			AUTO(free) char *path = missing_path(item(command, i), p);
			AUTO(free) char *what = xasprintf("mcp.%s", key);
			if (path)
				return refuse(what, path, err);
		}
	}
	json_object_foreach (json_object_get(spec, "env"), key, v) {
		AUTO(free) char *path = missing_in_env(key, json_string_value(v), p);
		if (path) {
			AUTO(free) char *what = xasprintf("env.%s", key);
			return refuse(what, path, err);
		}
	}
	return 0;
}

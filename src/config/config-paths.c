/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/config-steps.h"

/* The folder of the configuration with its slash, "" when that is the working directory. */
static char *config_folder(const struct config *c)
{
	const char *slash = strrchr(c->req->path, '/');
	return slash ? xstrndup(c->req->path, (size_t)(slash - c->req->path) + 1) : xstrdup("");
}

char *config_locate(const struct config *c, const char *path, struct buf *tried)
{
	if (path_exists(AT_FDCWD, path) || path_is_dir(AT_FDCWD, path))
		return xstrdup(path);
	if (*path == '/') {
		buf_addf(tried, "%s is not there", path);
		return NULL;
	}
	AUTO(free) char *folder = config_folder(c);
	AUTO(free) char *beside = xasprintf("%s%s", folder, path);
	if (*folder && (path_exists(AT_FDCWD, beside) || path_is_dir(AT_FDCWD, beside)))
		return STEAL(&beside);
	if (*folder)
		buf_addf(tried, "tried %s in the working directory and %s beside the benchmark",
			 path, beside);
	else
		buf_addf(tried, "tried %s in the working directory, where the benchmark is too",
			 path);
	return NULL;
}

static void add_escaped(struct buf *pattern, const char *literal)
{
	for (; *literal; literal++) {
		if (strchr("*?[\\", *literal))
			buf_addc(pattern, '\\');
		buf_addc(pattern, *literal);
	}
}

/* Directories matching FOLDER/PATTERN in OUT. */
static void match_plain(const char *folder, const char *pattern, struct strv *out)
{
	AUTO(buf) struct buf whole = BUF_INIT;
	glob_t found;
	add_escaped(&whole, folder);
	buf_adds(&whole, pattern);
	if (glob(whole.data, GLOB_NOSORT, NULL, &found) != 0) {
		globfree(&found);
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (path_is_dir(AT_FDCWD, found.gl_pathv[i]))
			strv_push(out, found.gl_pathv[i]);
	globfree(&found);
}

/* Directories matching FOLDER/PATTERN, sorted bytewise, in OUT: in the place of a component "**", any number of folders
 * up to DEPTH. */
static void match(const char *folder, const char *pattern, struct strv *out)
{
	enum { DEPTH = 8 };
	const char *any = strncmp(pattern, "**/", 3) == 0 ? pattern : strstr(pattern, "/**/");
	if (any) {
		any += *any == '/';
		AUTO(buf) struct buf some = BUF_INIT;
		buf_add(&some, pattern, (size_t)(any - pattern));
		for (int i = 0; i <= DEPTH; i++, buf_adds(&some, "*/")) {
			AUTO(free) char *plain = xasprintf("%s%s", some.data, any + 3);
			match_plain(folder, plain, out);
		}
	} else {
		match_plain(folder, pattern, out);
	}
	strv_sort(out);
}

static void expand(struct config *c, const struct value *v, struct strv *paths, struct strv *shown)
{
	AUTO(free) char *folder = *v->text == '/' ? xstrdup("") : config_folder(c);
	match("", v->text, paths);
	size_t skip = 0;
	if (!paths->n && *folder) {
		match(folder, v->text, paths);
		skip = strlen(folder);
	}
	for (size_t i = 0; i < paths->n; i++)
		strv_push(shown, paths->v[i] + skip);
	if (!paths->n)
		config_value_issue(
			c, KEY_PREPARED_DIR, v,
			"no folder matches \"%s\": tried in the working directory and in %s",
			v->text, *folder ? folder : "no other place");
}

/* What makes a folder a task of either format. */
static bool is_task(const char *path)
{
	static const char *const files[] = {"tb_meta.json", "task.toml"};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		AUTO(free) char *file = path_join(path, files[i]);
		if (path_exists(AT_FDCWD, file))
			return true;
	}
	return false;
}

/* The tasks in the folder PATH, by name; false: there is none. */
static bool add_dataset(const char *path, const char *shown_as, struct strv *paths,
			struct strv *shown)
{
	AUTO(free) char *folder = xasprintf("%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/");
	AUTO(strv) struct strv found = STRV_INIT;
	size_t n = 0;

	match_plain(folder, "*", &found);
	strv_sort(&found);
	for (size_t i = 0; i < found.n; i++) {
		if (!is_task(found.v[i]))
			continue;
		n++;
		strv_push(paths, found.v[i]);
		strv_take(shown, path_join(shown_as, path_base(found.v[i])));
	}
	return n > 0;
}

/* The file of data sets that TEXT begins with, "DIR/registry.json:NAME", in FILE; what follows it, else NULL: it is none. */
static const char *dataset_file(const char *text, char **file)
{
	const char *json = strstr(text, ".json");
	const size_t n = strlen(text);

	if (json && (!json[5] || json[5] == ':')) {
		*file = xstrndup(text, (size_t)(json + 5 - text));
		return json + 5;
	}
	if (!strcmp(path_base(text), "dataset.toml")) {
		*file = xstrdup(text);
		return text + n;
	}
	return NULL;
}

/* False: V is no data set but a folder. */
static bool add_listed(struct config *c, const struct value *v, struct strv *paths,
		       struct strv *shown)
{
	AUTO(free) char *file = NULL;
	AUTO(free) char *path = NULL;
	AUTO(free) char *spec = NULL;
	AUTO(buf) struct buf tried = BUF_INIT;
	const char *rest = NULL;
	struct err err;

	if (strncmp(v->text, "git+", 4) != 0) {
		rest = dataset_file(v->text, &file);
		path = rest ? config_locate(c, file, &tried) : NULL;
		if (!rest || (path && path_is_dir(AT_FDCWD, path)))
			return false;
		if (!path) {
			config_value_issue(c, KEY_PREPARED_DIR, v, "no file \"%s\": %s", file,
					   tried.data);
			return true;
		}
	}
	spec = path ? xasprintf("%s%s", path, rest) : xstrdup(v->text);
	if (!c->req->datasets)
		config_value_issue(c, KEY_PREPARED_DIR, v, "\"%s\" is not looked up here", v->text);
	else if (c->req->datasets(c->req, spec, paths, shown, &err))
		config_value_issue(c, KEY_PREPARED_DIR, v, "%s", err.msg);
	return true;
}

void config_folders(struct config *c, const struct value *v, struct strv *paths, struct strv *shown)
{
	AUTO(buf) struct buf tried = BUF_INIT;
	if (add_listed(c, v, paths, shown))
		return;
	AUTO(free) char *path = config_locate(c, v->text, &tried);
	if (!path && strpbrk(v->text, "*?[")) {
		expand(c, v, paths, shown);
	} else if (!path) {
		config_value_issue(c, KEY_PREPARED_DIR, v, "no folder \"%s\": %s", v->text,
				   tried.data);
	} else if (!path_is_dir(AT_FDCWD, path)) {
		config_value_issue(c, KEY_PREPARED_DIR, v, "\"%s\" is not a folder", path);
	} else if (!is_task(path) && add_dataset(path, v->text, paths, shown)) {
		/* each task in it */
	} else {
		strv_push(paths, path);
		strv_push(shown, v->text);
	}
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/datasets.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/toml.h"
#include "os/dir.h"
#include "rollout/dataset-git.h"

enum { LIST_MAX = 64 << 20 };

/* A place in which tasks are looked for: a folder on this machine, or what a repository had at a commit. */
struct place {
	const struct config_request *req;
	struct dataset_commit commit; /* .dir NULL: a folder of the user's */
	char *at;		      /* the folder below it, "" or "a/b" */
	char *shown;		      /* how it is called, without a trailing slash */
	char *root;		      /* where it is, from here */
	int fd;
};

static void release(struct place *p)
{
	dataset_commit_release(&p->commit);
	free(p->at);
	free(p->shown);
	free(p->root);
	auto_fd(&p->fd);
}

/* A file, and no link. */
static bool has_file(int dir_fd, const char *path)
{
	struct err ignored;
	AUTO(fd) int fd = path_open_beneath(dir_fd, path, O_RDONLY | O_NONBLOCK, 0, &ignored);
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static bool is_task(int dir_fd, const char *path)
{
	AUTO(free) char *harbor = path_join(path, "task.toml");
	AUTO(free) char *prepared = path_join(path, "tb_meta.json");

	return has_file(dir_fd, harbor) || has_file(dir_fd, prepared);
}

static void add(const struct place *p, const char *path, struct strv *paths, struct strv *shown)
{
	const bool top = !strcmp(path, ".");

	strv_take(paths, top ? xstrdup(p->root) : path_join(p->root, path));
	if (top)
		strv_push(shown, p->shown);
	else
		strv_pushf(shown, "%s%s%s", p->shown,
			   strchr(p->shown, '#') || !p->commit.dir ? "/" : "#", path);
}

/* The tasks directly inside PATH, by name. */
static int add_folder(const struct place *p, const char *path, struct strv *paths,
		      struct strv *shown, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	const size_t before = paths->n;
	int fd = path_open_beneath(p->fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return err_set(err, ERR_USAGE, 0, "%s has no folder \"%s\" (or it is a link)",
			       p->shown, path);
	if (is_task(p->fd, path)) {
		add(p, path, paths, shown);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			strv_push(&names, e->d_name);
	strv_sort(&names);
	for (size_t i = 0; i < names.n; i++) {
		AUTO(free) char *one =
			!strcmp(path, ".") ? xstrdup(names.v[i]) : path_join(path, names.v[i]);
		if (is_task(p->fd, one))
			add(p, one, paths, shown);
	}
	return paths->n > before
		       ? 0
		       : err_set(err, ERR_USAGE, 0,
				 "%s%s%s: no folder in it has a task.toml or tb_meta.json",
				 p->shown, strcmp(path, ".") ? ": " : "",
				 strcmp(path, ".") ? path : "");
}

/* The folder DIR of the user's; SHOWN is what it is called. */
static int open_folder(struct place *p, const struct config_request *req, const char *dir,
		       const char *shown, struct err *err)
{
	*p = (struct place){.req = req,
			    .at = xstrdup(""),
			    .root = xstrdup(dir),
			    .shown = xstrdup(shown),
			    .fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	return p->fd < 0 ? err_set(err, ERR_USAGE, errno, "open %s", dir) : 0;
}

/* URL at REF; NULL: at its head. */
static int open_commit(struct place *p, const struct config_request *req, const char *url,
		       const char *ref, struct err *err)
{
	*p = (struct place){.req = req, .at = xstrdup(""), .fd = -1};
	if (dataset_commit_get(&p->commit, req, url, ref, err))
		return -1;
	p->root = xstrdup(p->commit.dir);
	p->shown = xstrdup(p->commit.shown);
	p->fd = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", p->root) : 0;
}

/* NAME or NAME@VERSION of the registry LIST; without a version "head", else the highest. NULL: WANTED is not in it. */
static const json_t *choose(const json_t *list, const char *wanted)
{
	const char *at = wanted ? strrchr(wanted, '@') : NULL;
	const size_t n = !wanted ? 0 : at ? (size_t)(at - wanted) : strlen(wanted);
	const json_t *best = NULL, *one;
	size_t i;

	json_array_foreach ((json_t *)list, i, one) {
		const char *name = json_get_str(one, "name", "");
		const char *version = json_get_str(one, "version", "");
		if (wanted && (strlen(name) != n || strncmp(name, wanted, n) != 0))
			continue;
		if (at && strcmp(version, at + 1) != 0)
			continue;
		const char *other = best ? json_get_str(best, "version", "") : NULL;
		if (!best || !strcmp(version, "head") ||
		    (strcmp(other, "head") != 0 && strverscmp(version, other) > 0))
			best = one;
	}
	return best;
}

static int unknown_dataset(const char *file, const json_t *list, const char *wanted,
			   struct err *err)
{
	AUTO(buf) struct buf known = BUF_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)list, i, one)
		if (known.len < 300)
			buf_addf(&known, "%s%.60s@%.40s", known.len ? ", " : "",
				 json_get_str(one, "name", "?"), json_get_str(one, "version", "?"));
	return err_set(err, ERR_USAGE, 0, "%s %s%s%s: it has %s", file,
		       wanted ? "has no data set \""
			      : "lists several data sets, name one as FILE:NAME",
		       wanted ? wanted : "", wanted ? "\"" : "", known.len ? known.data : "none");
}

/* One task of a registry: of a repository, or of a folder beside FILE or, as Harbor has it, below the working directory. */
static int add_listed(const struct place *beside, const json_t *task, struct strv *paths,
		      struct strv *shown, struct err *err)
{
	const char *path = json_get_str(task, "path", ""),
		   *url = json_get_str(task, "git_url", NULL);
	AUTO(free) char *plain = xstrdup(path);
	struct place p = {.fd = -1};
	struct err ignored;
	int status;

	for (size_t n = strlen(plain); n > 1 && plain[n - 1] == '/'; n--)
		plain[n - 1] = '\0';
	const char *inside = !strncmp(plain, "./", 2) ? plain + 2 : plain;
	if (!path_is_inside(inside) && (url || beside->commit.dir || *inside != '/'))
		return err_set(err, ERR_USAGE, 0,
			       "the task \"%.100s\" has no path that stays inside: \"%.200s\"",
			       json_get_str(task, "name", "?"), path);
	if (url && *url) {
		status = open_commit(&p, beside->req, url,
				     json_get_str(task, "git_commit_id", NULL), err) ||
					 add_folder(&p, inside, paths, shown, err)
				 ? -1
				 : 0;
		release(&p);
		return status;
	}
	if (*inside != '/' && !add_folder(beside, inside, paths, shown, err))
		return 0;
	if (beside->commit.dir || *inside == '/')
		return err_set(err, ERR_USAGE, 0, "there is no task %s", path);
	status = open_folder(&p, beside->req, ".", ".", &ignored) ||
				 add_folder(&p, inside, paths, shown, &ignored)
			 ? -1
			 : 0;
	release(&p);
	return status ? err_set(err, ERR_USAGE, 0,
				"the task %s is neither beside it nor below the working directory",
				path)
		      : 0;
}

static int add_registry(const struct place *p, const char *file, const char *wanted,
			struct strv *paths, struct strv *shown, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *list = NULL;
	const json_t *task;
	size_t i;

	if (path_read_beneath(p->fd, file, LIST_MAX, &text, err) ||
	    json_parse(&list, text.data, text.len, file, err)) {
		err->kind = ERR_USAGE;
		return -1;
	}
	if (!json_is_array(list))
		return err_set(err, ERR_USAGE, 0,
			       "%s is no list of data sets, as a registry.json is", file);
	const json_t *set = wanted || json_array_size(list) == 1 ? choose(list, wanted) : NULL;
	if (!set)
		return unknown_dataset(file, list, wanted, err);
	const json_t *tasks = json_object_get(set, "tasks");
	json_array_foreach ((json_t *)tasks, i, task)
		if (add_listed(p, task, paths, shown, err))
			return err_wrap(err, "%s, %s", file, json_get_str(set, "name", "?"));
	return i ? 0
		 : err_set(err, ERR_USAGE, 0, "%s: the data set %s has no tasks", file,
			   json_get_str(set, "name", "?"));
}

/* Whether the task in the folder PATH is called NAME, "org/name", or is of the folder of that name. */
static bool is_called(const struct place *p, const char *path, const char *name)
{
	AUTO(free) char *file = path_join(path, "task.toml");
	AUTO(buf) struct buf text = BUF_INIT;
	struct toml_error error;
	struct err ignored;
	bool same = false;

	if (path_read_beneath(p->fd, file, LIST_MAX, &text, &ignored))
		return false;
	struct toml_node *root = toml_parse(text.data, text.len, &error);
	const struct toml_node *task = root ? toml_get(root, "task") : NULL;
	const struct toml_node *own =
		task && task->kind == TOML_TABLE ? toml_get(task, "name") : NULL;
	if (own && own->kind == TOML_STRING)
		same = !strcmp(own->text, name);
	else
		same = !strcmp(path_base(path), path_base(name));
	toml_free(root);
	return same;
}

static int add_named(const struct place *p, const char *folder, const char *name,
		     const struct strv *all, struct strv *paths, struct strv *shown,
		     struct err *err)
{
	for (size_t i = 0; i < all->n; i++) {
		if (!is_called(p, all->v[i], name))
			continue;
		add(p, all->v[i], paths, shown);
		return 0;
	}
	return err_set(
		err, ERR_USAGE, 0,
		"%s/dataset.toml names the task \"%.120s\", and no folder beside it is one (it "
		"may be one of Harbor's hub, which cannot be asked from here)",
		folder, name);
}

/* The folders beside a dataset.toml that are tasks. */
static void list_tasks(const struct place *p, const char *folder, struct strv *out)
{
	struct err ignored;
	int fd = path_open_beneath(p->fd, folder, O_RDONLY | O_DIRECTORY, 0, &ignored);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO(free) char *path =
			!strcmp(folder, ".") ? xstrdup(e->d_name) : path_join(folder, e->d_name);
		if (e->d_name[0] != '.' && is_task(p->fd, path))
			strv_push(out, path);
	}
	strv_sort(out);
}

static int add_dataset_toml(const struct place *p, const char *file, struct strv *paths,
			    struct strv *shown, struct err *err)
{
	AUTO(free) char *folder = path_folder(file);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(strv) struct strv all = STRV_INIT;
	struct toml_error error;
	int status = 0;

	if (path_read_beneath(p->fd, file, LIST_MAX, &text, err)) {
		err->kind = ERR_USAGE;
		return -1;
	}
	struct toml_node *root = toml_parse(text.data, text.len, &error);
	if (!root)
		return err_set(err, ERR_USAGE, 0, "%s:%d:%d: %s", file, error.line, error.col,
			       error.msg);
	const struct toml_node *tasks = toml_get(root, "tasks");
	const size_t n = tasks && tasks->kind == TOML_ARRAY ? tasks->n : 0;
	list_tasks(p, folder, &all);
	for (size_t i = 0; !status && i < n; i++) {
		const struct toml_node *name = tasks->items[i].kind == TOML_TABLE
						       ? toml_get(&tasks->items[i], "name")
						       : NULL;
		status = name && name->kind == TOML_STRING
				 ? add_named(p, folder, name->text, &all, paths, shown, err)
				 : err_set(err, ERR_USAGE, 0, "%s:%d: a task without a name", file,
					   tasks->items[i].line);
	}
	if (!status && !n)
		status = err_set(err, ERR_USAGE, 0, "%s lists no [[tasks]]", file);
	toml_free(root);
	return status;
}

/* INSIDE P: a folder, or one of the files that list tasks. */
static int add_inside(const struct place *p, const char *inside, struct strv *paths,
		      struct strv *shown, struct err *err)
{
	const char *json = strstr(inside, ".json");
	const size_t n = strlen(inside);

	if (json && (!json[5] || json[5] == ':')) {
		AUTO(free) char *file = xstrndup(inside, (size_t)(json + 5 - inside));
		return add_registry(p, file, json[5] ? json + 6 : NULL, paths, shown, err);
	}
	if (n >= 12 && !strcmp(inside + n - 12, "dataset.toml"))
		return add_dataset_toml(p, inside, paths, shown, err);
	return add_folder(p, *inside ? inside : ".", paths, shown, err);
}

/* "git+https://HOST/REPO@REF#INSIDE"; a "@" before the first "/" of the path is of a user's name. */
static int find_git(const struct config_request *req, const char *spec, struct strv *paths,
		    struct strv *shown, struct err *err)
{
	const char *scheme = strstr(spec, "://");
	const char *hash = strchr(spec, '#');
	const size_t n = hash ? (size_t)(hash - spec) : strlen(spec);
	AUTO(free) char *inside = xstrdup(hash ? hash + 1 : "");
	struct place p = {.fd = -1};

	if (!scheme || scheme > spec + n)
		return err_set(err, ERR_USAGE, 0,
			       "\"%s\": write git+https://HOST/REPO@COMMIT#FOLDER (or git+ssh://, "
			       "git+file://)",
			       spec);
	const char *path = memchr(scheme + 3, '/', n - (size_t)(scheme + 3 - spec));
	const char *at = path ? memrchr(path, '@', n - (size_t)(path - spec)) : NULL;
	AUTO(free) char *url = xstrndup(spec + 4, (size_t)((at ? at : spec + n) - spec) - 4);
	AUTO(free) char *ref = at ? xstrndup(at + 1, (size_t)(spec + n - at) - 1) : NULL;
	for (size_t k = strlen(inside); k && inside[k - 1] == '/'; k--)
		inside[k - 1] = '\0';
	const char *colon = strchr(inside, ':');
	AUTO(free) char *file = xstrndup(inside, colon ? (size_t)(colon - inside) : strlen(inside));
	if (*file && !path_is_inside(file))
		return err_set(err, ERR_USAGE, 0, "\"%s\": %s leaves the repository", spec, inside);
	int status = open_commit(&p, req, url, ref && *ref ? ref : NULL, err) ||
				     add_inside(&p, inside, paths, shown, err)
			     ? -1
			     : 0;
	release(&p);
	return status;
}

int datasets_find(const struct config_request *req, const char *spec, struct strv *paths,
		  struct strv *shown, struct err *err)
{
	struct place p;

	if (!strncmp(spec, "git+", 4))
		return find_git(req, spec, paths, shown, err);
	/* A file of the user's: "DIR/registry.json:NAME", "DIR/dataset.toml". */
	const char *json = strstr(spec, ".json");
	AUTO(free) char *whole = xstrndup(spec, json ? (size_t)(json - spec) : strlen(spec));
	AUTO(free) char *folder = path_folder(whole);
	const char *name = path_base(whole);
	int status = open_folder(&p, req, folder, folder, err) ||
				     add_inside(&p, spec + (name - whole), paths, shown, err)
			     ? -1
			     : 0;
	release(&p);
	return status;
}

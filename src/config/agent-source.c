/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-source.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "git/git.h"

enum { FILES_MAX = 50000, DEPTH = 64, GIT_MS = 30000, ANSWER_MAX = 1 << 20, RECORD_MAX = 16 << 20 };

struct walk {
	struct hash hash;
	size_t files;
	bool sizes_only; /* inside of an environment */
};

static bool is_left_out(const char *name)
{
	static const char *const names[] = {".git",	     "__pycache__", ".mypy_cache",
					    ".pytest_cache", ".ruff_cache", ".hg",
					    ".tox"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	const size_t n = strlen(name);
	return n > 4 && strcmp(name + n - 4, ".pyc") == 0;
}

static int list(const char *path, struct strv *names, struct err *err)
{
	DIR *dir = opendir(path);

	if (!dir)
		return err_set(err, ERR_USAGE, errno, "read the folder %s", path);
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, "..") && !is_left_out(d->d_name))
			strv_push(names, d->d_name);
	closedir(dir);
	strv_sort(names);
	return 0;
}

static int add_content(struct walk *w, const char *path, struct err *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char block[1 << 16];
	ssize_t n;

	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", path);
	while ((n = read(fd, block, sizeof block)) > 0)
		hash_bytes(&w->hash, block, (size_t)n);
	return n < 0 ? err_set(err, ERR_USAGE, errno, "read %s", path) : 0;
}

static int add_link(struct walk *w, const char *path)
{
	char target[4096];
	const ssize_t n = readlink(path, target, sizeof target - 1);

	target[n < 0 ? 0 : n] = '\0';
	hash_str(&w->hash, target);
	return 0;
}

static int add_path(struct walk *w, const char *path, const char *name, int depth, struct err *err)
{
	struct stat st;

	if (lstat(path, &st))
		return err_set(err, ERR_USAGE, errno, "%s", path);
	if (depth > DEPTH || ++w->files > FILES_MAX)
		return err_set(err, ERR_USAGE, 0,
			       "%s: more than %d files, which is more than an agent's source: show "
			       "a folder below it",
			       path, FILES_MAX);
	hash_str(&w->hash, name);
	hash_str(&w->hash, S_ISDIR(st.st_mode)	  ? "dir"
			   : S_ISLNK(st.st_mode)  ? "link"
			   : st.st_mode & S_IXUSR ? "program"
						  : "file");
	if (S_ISLNK(st.st_mode))
		return add_link(w, path);
	if (S_ISREG(st.st_mode)) {
		AUTO(free) char *size = xasprintf("%lld", (long long)st.st_size);
		hash_str(&w->hash, size);
		return w->sizes_only ? 0 : add_content(w, path, err);
	}
	if (!S_ISDIR(st.st_mode))
		return 0;
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(free) char *cfg = path_join(path, "pyvenv.cfg");
	const bool before = w->sizes_only;
	w->sizes_only = before || !access(cfg, F_OK) || !strcmp(name, "node_modules");
	int rc = list(path, &names, err);
	for (size_t i = 0; !rc && i < names.n; i++) {
		AUTO(free) char *inner = path_join(path, names.v[i]);
		rc = add_path(w, inner, names.v[i], depth + 1, err);
	}
	w->sizes_only = before;
	hash_str(&w->hash, "end");
	return rc;
}

/* What git says below PATH, a folder; NULL: it is no repository, or there is no git. The caller frees. */
static char *ask_git(const char *path, const char *const *argv)
{
	AUTO(fd) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(buf) struct buf out = BUF_INIT, said = BUF_INIT;
	struct err ignored;
	int status;

	if (dir < 0)
		return NULL;
	const struct git_cmd c = {.dir_fd = dir,
				  .argv = argv,
				  .max = ANSWER_MAX,
				  .deadline_ms = clock_mono_ms() + GIT_MS};
	if (git_run(&c, &out, &said, &status, &ignored) || status)
		return NULL;
	return buf_detach(&out);
}

static void add_commit(json_t *source, const char *path)
{
	static const char *const head[] = {"rev-parse", "--verify", "HEAD", NULL};
	static const char *const state[] = {"status", "--porcelain", "--untracked-files=all",
					    "--",     ".",	     NULL};
	AUTO(free) char *folder = path_is_dir(AT_FDCWD, path) ? xstrdup(path) : path_folder(path);
	AUTO(free) char *commit = ask_git(folder, head);
	AUTO(free) char *changed = commit ? ask_git(folder, state) : NULL;

	if (commit)
		commit[strcspn(commit, "\n")] = '\0';
	json_put_str(source, "commit", commit);
	json_put(source, "dirty", changed ? json_boolean(*changed) : json_null());
}

int agent_source(json_t **out, const char *path, struct err *err)
{
	AUTO(json) json_t *source = json_object();
	struct walk w = {.files = 0};
	char digest[HASH_HEX];

	hash_init(&w.hash);
	if (add_path(&w, path, "", 0, err))
		return -1;
	hash_hex(&w.hash, digest);
	json_put_str(source, "path", path);
	json_put_str(source, "digest", digest);
	add_commit(source, path);
	*out = json_incref(source);
	return 0;
}

static bool has(const json_t *list, const char *text)
{
	size_t i;
	json_t *v;

	json_array_foreach ((json_t *)list, i, v)
		if (!strcmp(json_string_value(v), text))
			return true;
	return false;
}

/* The folder whose source a package is, by what pip wrote beside it: {"dir_info": {"editable": true}, "url": "file:///..."}. */
static void add_editable(json_t *sources, const char *info)
{
	static const char scheme[] = "file://";
	AUTO(free) char *path = path_join(info, "direct_url.json");
	AUTO(json) json_t *doc = NULL;
	struct err ignored;

	if (json_read(&doc, AT_FDCWD, path, RECORD_MAX, &ignored) ||
	    !json_get_bool(json_object_get(doc, "dir_info"), "editable", false))
		return;
	const char *url = json_get_str(doc, "url", "");
	if (!strncmp(url, scheme, sizeof scheme - 1) && !has(sources, url + sizeof scheme - 1))
		json_array_append_new(sources, json_string(url + sizeof scheme - 1));
}

/* Lines of a .pth file that name folders, as an older pip wrote them. */
static void add_pth(json_t *sources, const char *path, const char *venv)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;
	const size_t n = strlen(venv);

	if (path_read(AT_FDCWD, path, ANSWER_MAX, &text, &ignored) || !text.data)
		return;
	for (char *rest = text.data, *line; (line = strsep(&rest, "\r\n"));)
		if (*line == '/' && path_is_dir(AT_FDCWD, line) && strncmp(line, venv, n) != 0 &&
		    !has(sources, line))
			json_array_append_new(sources, json_string(line));
}

void agent_venv(char digest[HASH_HEX], const char *venv, json_t *sources)
{
	AUTO(free) char *infos = xasprintf("%s/lib/python*/site-packages/*.dist-info", venv);
	AUTO(free) char *pths = xasprintf("%s/lib/python*/site-packages/*.pth", venv);
	struct hash h;
	glob_t found;

	hash_init(&h);
	if (glob(infos, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++) {
			AUTO(free) char *record = path_join(found.gl_pathv[i], "RECORD");
			AUTO(buf) struct buf text = BUF_INIT;
			struct err ignored;
			hash_str(&h, path_base(found.gl_pathv[i]));
			if (!path_read(AT_FDCWD, record, RECORD_MAX, &text, &ignored))
				hash_bytes(&h, text.data, text.len);
			add_editable(sources, found.gl_pathv[i]);
		}
	globfree(&found);
	if (glob(pths, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			add_pth(sources, found.gl_pathv[i], venv);
	globfree(&found);
	hash_hex(&h, digest);
}

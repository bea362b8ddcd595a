/* SPDX-License-Identifier: GPL-3.0-or-later
 * Reading a prepared task folder: tb_meta.json, its overrides, its files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "task/app.h"
#include "task/ask.h"
#include "task/context.h"
#include "task/dotenv.h"
#include "task/files.h"
#include "task/kept-out.h"
#include "task/fill.h"
#include "task/resolved.h"
#include "task/task-format.h"

struct reader {
	struct task *t;
	const struct task_source *src;
	int dir_fd;
	struct resolved r;
	struct issues *m;
};

static const struct at *const top = NULL;

/* Text of a file of the folder; false when there is none. */
static bool read_text(struct reader *rd, const char *path, size_t max, struct buf *out)
{
	struct err err = {0};

	if (path_read_beneath(rd->dir_fd, path, max, out, &err)) {
		if (err.sys != ENOENT)
			issues_add(rd->m, path, NULL, "cannot be read: %s", err.msg);
		return false;
	}
	if (text_is_utf8(out->data, out->len) && strlen(out->data) == out->len)
		return true;
	issues_add(rd->m, path, NULL, "must be UTF-8 text");
	return false;
}

static void read_instructions(struct reader *rd)
{
	static const char file[] = "overlay_files/" TASK_INSTRUCTIONS_FILE;
	AUTO(buf) struct buf text = BUF_INIT;

	if (!read_text(rd, file, TASK_MAX_INSTRUCTION, &text))
		return;
	AUTO(json) json_t *v = json_stringn(text.data, text.len);
	resolved_set(&rd->r, "instruction", NULL, v, file, top);
}

/* The older system leaves its removals here: one path a line. */
static void read_removals(struct reader *rd)
{
	static const char file[] = "overlay_files/remove_repo_paths.txt";
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *list = json_array();

	if (!read_text(rd, file, TASK_MAX_INSTRUCTION, &text))
		return;
	for (char *line = text.data, *end; *line; line = end) {
		end = strchrnul(line, '\n');
		size_t len = (size_t)(end - line);
		end += *end != '\0';
		while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
			len--;
		if (len)
			json_array_append_new(list, json_stringn(line, len));
	}
	resolved_set(&rd->r, "remove_repo_paths", NULL, list, file, top);
}

static bool same_file(int dir_fd, const char *a, const char *b)
{
	struct stat x, y;

	return !fstatat(dir_fd, a, &x, 0) && !stat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* The task's own overrides first: the file of the configuration entry then has the last word. */
static void read_overrides(struct reader *rd)
{
	const char *entry = rd->src->overrides;
	bool own = path_exists(rd->dir_fd, TASK_OVERRIDES_FILE);

	if (!rd->src->apply_overrides)
		return;
	if (own && !(entry && same_file(rd->dir_fd, TASK_OVERRIDES_FILE, entry)))
		overrides_read(&rd->r, rd->dir_fd, TASK_OVERRIDES_FILE, rd->m, &rd->t->notes);
	if (entry)
		overrides_read(&rd->r, AT_FDCWD, entry, rd->m, &rd->t->notes);
}

static void put_texts(struct reader *rd, struct filetree *o, const char *key)
{
	const json_t *texts = json_object_get(rd->r.v, key);
	const char *path;
	json_t *text;

	json_object_foreach ((json_t *)texts, path, text) {
		if (!json_is_string(text))
			continue;
		AUTO(free)
		char *why =
			filetree_put(o, path, json_string_value(text), json_string_length(text));
		if (why)
			issues_add(rd->m, resolved_place(&rd->r, key, path, key), NULL, "%s", why);
	}
}

static bool is_secret(struct reader *rd, const char *folder, const char *path)
{
	if (!kept_out_by_name(path))
		return false;
	issues_note(&rd->t->notes, folder, NULL,
		    "%s is kept from the agent: by its name it holds credentials", path);
	return true;
}

static bool overlay_skips(void *reader, const char *path)
{
	struct reader *rd = reader;

	return app_skips(rd->m, path) || is_secret(rd, "overlay_files", path);
}

static bool repo_skips(void *reader, const char *path)
{
	struct reader *rd = reader;
	AUTO(free) char *why = path_issue(path, "the repository");

	if (!why)
		return is_secret(rd, "overlay_repo_files", path);
	AUTO(free) char *file = xasprintf("overlay_repo_files/%s", path);
	issues_add(rd->m, file, NULL, "%s", why);
	return true;
}

/* An author's copy of a test script would tell the agent what is asked of it. */
static void keep_out(struct reader *rd, struct filetree *tree, const char *folder)
{
	AUTO(strv) struct strv removed = STRV_INIT;

	kept_out_by_content(tree, rd->t, &removed);
	for (size_t i = 0; i < removed.n; i++)
		issues_note(&rd->t->notes, folder, NULL,
			    "%s is kept from the agent: it is a copy of a test script or of the "
			    "gold diff",
			    removed.v[i]);
}

static void read_trees(struct reader *rd)
{
	struct task_files *files = rd->t->files;

	filetree_scan(&files->app, rd->dir_fd, "overlay_files", overlay_skips, rd, rd->m);
	filetree_scan(&files->repo, rd->dir_fd, "overlay_repo_files", repo_skips, rd, rd->m);
	keep_out(rd, &files->app, "overlay_files");
	keep_out(rd, &files->repo, "overlay_repo_files");
	put_texts(rd, &files->app, "overlay_files");
	put_texts(rd, &files->repo, "overlay_repo_files");
}

/* What a known solution should not be like. */
static void gold_notes(struct reader *rd, const char *place)
{
	AUTO(buf) struct buf gold = BUF_INIT;
	struct err ignored = {0};

	if (path_read_beneath(rd->dir_fd, place, TASK_MAX_GOLD, &gold, &ignored))
		return;
	if (!gold.data[strspn(gold.data, " \t\r\n")]) {
		rd->t->has_gold = false;
		issues_note(&rd->t->notes, place, NULL,
			    "is empty, so the agent oracle has nothing to apply");
	}
	const char *line = strchrnul(gold.data, '\n');
	if (line > gold.data && line[-1] == '\r')
		issues_note(&rd->t->notes, place, NULL,
			    "has Windows line ends (CRLF): where the repository's files have "
			    "others, it does not apply");
}

static void read_gold(struct reader *rd)
{
	static const char *const places[] = {"overlay_files/diff.patch", "diff.patch"};
	struct task_files *files = rd->t->files;

	for (size_t i = 0; i < ARRAY_SIZE(places) && !rd->t->has_gold; i++) {
		struct err err = {0};
		int64_t size;
		if (!filetree_digest(rd->dir_fd, places[i], TASK_MAX_GOLD, -1, files->gold_digest,
				     &size, &err))
			rd->t->has_gold = true;
		else if (err.sys != ENOENT)
			issues_add(rd->m, places[i], NULL, "cannot be read: %s", err.msg);
		if (rd->t->has_gold)
			gold_notes(rd, places[i]);
		if (rd->t->has_gold)
			files->gold = xstrdup(places[i]);
	}
}

static void remark(struct reader *rd)
{
	rd->t->has_dockerfile = path_exists(rd->dir_fd, "Dockerfile");
	if (rd->t->has_dockerfile && !rd->t->docker_image)
		task_context_digest(rd->t, rd->t->files->environment);
	if (rd->r.legacy)
		issues_note(
			&rd->t->notes, TASK_META_FILE, AT(top, "evaluation"),
			"older shape: three default rubrics without tests, so nothing is scored");
	else if (!rd->t->steps[0].tests_n)
		issues_note(&rd->t->notes, TASK_META_FILE, AT(top, "evaluation"),
			    "no test scripts, so nothing is scored");
}

static int read_all(struct reader *rd, struct err *err)
{
	bool has_meta = meta_read(&rd->r, rd->dir_fd, rd->m);
	read_instructions(rd);
	read_removals(rd);
	dotenv_read(&rd->t->env, rd->dir_fd, ".env", rd->m, &rd->t->notes, &rd->t->withheld);
	read_overrides(rd);
	/* Without the document everything in it would be called missing. */
	if (has_meta && task_fill(rd->t, &rd->r, rd->dir_fd, rd->m, err))
		return -1;
	read_gold(rd);
	read_trees(rd);
	if (has_meta)
		ask_fill(rd->t, &rd->r, rd->dir_fd, rd->m);
	remark(rd);
	if (!rd->m->n)
		app_add_made(&rd->t->files->app, rd->t);
	return 0;
}

static int read_prepared(struct task *t, const struct task_source *src, int dir_fd,
			 struct issues *m, struct err *err)
{
	struct reader rd = {.t = t, .src = src, .dir_fd = dir_fd, .m = m};

	t->layout = task_layout_prepared;
	t->steps = xcalloc(1, sizeof *t->steps);
	t->steps_n = 1;
	t->steps[0].name = xstrdup("");
	resolved_init(&rd.r);
	int rc = read_all(&rd, err);
	resolved_release(&rd.r);
	return rc;
}

const struct task_format task_prepared = {.file = TASK_META_FILE, .read = read_prepared};

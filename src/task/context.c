/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/context.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/kv.h"
#include "os/fdio.h"

#define CONTEXT_VERSION "rollouts image 2"
#define DOCKERFILE_MAX (1 << 20)
#define LOCK_MS (10 * 60 * 1000)

bool task_wants_image(const struct task *t)
{
	return t->docker_image || t->has_dockerfile;
}

/* --- what is left out --- */

static const char *const left_out[] = {
	"tb_meta.json",
	"overrides.json",
	"evaluation",
	"evaluation_results*",
	"trace",
	"traces",
	"diff.patch",
	"notes.md",
	".env",
	".env.*",
	".git",
	"overlay_files/tb_meta.json",
	"overlay_files/diff.patch",
	"overlay_files/repo_info.json",
	"overlay_files/notes.md",
	"overlay_files/.env*",
	"overlay_files/evaluation*",
	"overlay_files/trace*",
};

/* A Dockerfile of the older system copies these one by one. */
static const char *const stand_ins[] = {
	".env",
	"tb_meta.json",
	"overlay_files/tb_meta.json",
	"overlay_files/diff.patch",
	"overlay_files/repo_info.json",
	"overlay_files/notes.md",
};

static bool skips(void *unused, const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (!fnmatch(left_out[i], path, FNM_PATHNAME))
			return true;
	/* Of a coding agent that somebody logged in to. */
	return !strcmp(path_base(path), "auth.json");
}

static void put_stand_ins(struct task_context *c, int dir_fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(stand_ins); i++) {
		/* .env is a file people make when they need it; what it says reaches the agent another way. */
		if (i && !path_exists(dir_fd, stand_ins[i]))
			continue;
		free(filetree_put(&c->files, stand_ins[i], "", 0));
	}
}

/* --- the Dockerfile --- */

struct dockerfile {
	struct task_context *c;
	const struct task *t;
	struct issues *m;
	struct strv words;
	struct strv stages;  /* their names so far */
	struct kvs defaults; /* of ARG before the first FROM */
	int line;
};

static bool is_there(const struct filetree *files, const char *source)
{
	AUTO(free) char *path = xstrdup(source[0] == '.' && source[1] == '/' ? source + 2 : source);
	size_t len = strlen(path);

	while (len && path[len - 1] == '/')
		path[--len] = '\0';
	if (!len || !strcmp(path, "."))
		return true;
	for (size_t i = 0; i < files->n; i++)
		if (!fnmatch(path, files->v[i].path, FNM_PATHNAME))
			return true;
	return false;
}

static const char *without_slash(const char *source)
{
	while (*source == '/')
		source++;
	return source;
}

/* NAME with $A, ${A} and ${A:-default} of the ARGs before FROM; NULL where one is not known. The caller frees. */
static char *expand(const struct dockerfile *d, const char *name)
{
	AUTO(buf) struct buf out = BUF_INIT;

	for (const char *c = name; *c;) {
		if (*c != '$') {
			buf_addc(&out, *c++);
			continue;
		}
		const bool braced = *++c == '{';
		c += braced;
		size_t n = strspn(
			c, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
		AUTO(free) char *key = xstrndup(c, n);
		const char *given = json_get_str(d->c->args, key, NULL);
		const char *value = given ? given : kvs_get(&d->defaults, key);
		c += n;
		size_t rest = braced ? strcspn(c, "}") : 0;
		const bool fallback = rest >= 2 && c[0] == ':' && c[1] == '-';
		if (value && *value)
			buf_adds(&out, value);
		else if (fallback)
			buf_add(&out, c + 2, rest - 2);
		else
			return NULL;
		c += rest + (braced && c[rest] == '}');
	}
	return buf_detach(&out);
}

static bool holds(const struct strv *list, const char *word)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcasecmp(list->v[i], word))
			return true;
	return false;
}

/* An image that the engine takes files of, unless it is one of this file's stages. */
static void take_base(struct dockerfile *d, const char *word)
{
	AUTO(free) char *name = expand(d, word);

	if (name && *name && strcmp(name, "scratch") != 0 && !holds(&d->stages, name) &&
	    name[strspn(name, "0123456789")] && !holds(&d->c->bases, name))
		strv_push(&d->c->bases, name);
}

/* FROM [--platform=...] IMAGE [AS NAME] */
static void take_from(struct dockerfile *d)
{
	size_t at = 1;

	while (at < d->words.n && !strncmp(d->words.v[at], "--", 2))
		at++;
	if (at >= d->words.n)
		return;
	take_base(d, d->words.v[at]);
	if (at + 2 < d->words.n && !strcasecmp(d->words.v[at + 1], "AS"))
		strv_push(&d->stages, d->words.v[at + 2]);
	else
		strv_push(&d->stages, "");
}

static void check_copy(struct dockerfile *d)
{
	size_t first = 1;

	for (; first < d->words.n && !strncmp(d->words.v[first], "--", 2); first++)
		if (!strncmp(d->words.v[first], "--from=", 7)) {
			take_base(d, d->words.v[first] + 7);
			return;
		}
	for (size_t i = first; i + 1 < d->words.n; i++) {
		const char *source = without_slash(d->words.v[i]);
		if (strpbrk(source, "$[\"<") || strstr(source, "://") ||
		    is_there(&d->c->files, source))
			continue;
		AUTO(free) char *place = xasprintf("Dockerfile:%d", d->line);
		issues_add(d->m, place, NULL,
			   skips(NULL, source) ? "copies \"%s\", which is kept out of images: "
						 "take the line out, or set "
						 "sandbox = \"local\""
					       : "copies \"%s\", which is not in the task "
						 "folder: put it there, or set "
						 "sandbox = \"local\"",
			   source);
	}
}

/* Only what the older system passed, and only where it is asked for; never a credential. */
static void take_arg(struct dockerfile *d)
{
	const struct task *t = d->t;
	const struct {
		const char *name, *value;
	} known[] = {
		{"GIT_URL", t->repo.git_url && *t->repo.git_url != '/' ? t->repo.git_url : NULL},
		{"GIT_BRANCH", t->repo.branch},
		{"GIT_COMMIT", t->repo.start_commit},
		{"TASK_ID", t->id},
	};

	for (size_t w = 1; w < d->words.n; w++) {
		const char *word = d->words.v[w];
		size_t len = strcspn(word, "=");
		if (!d->stages.n && word[len]) {
			const char quote = word[len + 1];
			const bool quoted = quote == '"' || quote == '\'';
			AUTO(free) char *key = xstrndup(word, len);
			AUTO(free) char *value = xstrdup(word + len + 1 + quoted);
			if (quoted)
				value[strcspn(value, "\"'")] = '\0';
			kvs_set(&d->defaults, key, value);
		}
		for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
			if (known[i].value && strlen(known[i].name) == len &&
			    !strncmp(word, known[i].name, len))
				json_put_str(d->c->args, known[i].name, known[i].value);
		}
	}
}

static void take_instruction(struct dockerfile *d)
{
	if (!d->words.n)
		return;
	if (!strcasecmp(d->words.v[0], "COPY") || !strcasecmp(d->words.v[0], "ADD"))
		check_copy(d);
	else if (!strcasecmp(d->words.v[0], "ARG"))
		take_arg(d);
	else if (!strcasecmp(d->words.v[0], "FROM"))
		take_from(d);
}

static void read_instructions(struct dockerfile *d, char *text)
{
	int number = 0;
	bool goes_on = false;
	char *end;

	for (char *line = text; line && *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		number++;
		size_t len = strlen(line);
		while (len && isspace((unsigned char)line[len - 1]))
			line[--len] = '\0';
		if (line[strspn(line, " \t")] == '#')
			continue;
		if (!goes_on) {
			strv_release(&d->words);
			d->line = number;
		}
		goes_on = len && line[len - 1] == '\\';
		if (goes_on)
			line[len - 1] = '\0';
		char *save = NULL;
		for (char *w = strtok_r(line, " \t", &save); w; w = strtok_r(NULL, " \t", &save))
			strv_push(&d->words, w);
		if (!goes_on)
			take_instruction(d);
	}
}

static int read_dockerfile(struct task_context *c, const struct task *t, int dir_fd,
			   struct issues *m, struct err *err)
{
	struct dockerfile d = {.c = c,
			       .t = t,
			       .m = m,
			       .words = STRV_INIT,
			       .stages = STRV_INIT,
			       .defaults = KVS_INIT};
	AUTO(buf) struct buf text = BUF_INIT;

	if (path_read_beneath(dir_fd, "Dockerfile", DOCKERFILE_MAX, &text, err))
		return -1;
	read_instructions(&d, text.data);
	strv_release(&d.words);
	strv_release(&d.stages);
	kvs_release(&d.defaults);
	return 0;
}

/* --- the whole --- */

static void make_key(struct task_context *c)
{
	AUTO(free) char *args = json_dumps(c->args, JSON_SORT_KEYS | JSON_COMPACT);
	struct hash h;

	hash_init(&h);
	hash_str(&h, CONTEXT_VERSION);
	hash_str(&h, c->pull);
	hash_str(&h, args);
	filetree_hash(&c->files, &h);
	hash_hex(&h, c->key);
}

static int read_all(struct task_context *c, const struct task *t, struct issues *m, struct err *err)
{
	if (t->docker_image) {
		c->pull = xstrdup(t->docker_image);
		c->name = xstrdup(t->docker_image);
		return 0;
	}
	c->name = xasprintf("%s (Dockerfile)", t->id);
	AUTO(fd) int fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open task folder %s", t->dir);
	filetree_scan(&c->files, fd, ".", skips, NULL, m);
	put_stand_ins(c, fd);
	return read_dockerfile(c, t, fd, m, err);
}

int task_context_read(struct task_context **out, const struct task *t,
		      const struct task_source *src, struct strv *issues, struct err *err)
{
	struct task_context *c = xcalloc(1, sizeof *c);
	struct issues m = {issues, 0};

	c->args = json_object();
	c->dir = xstrdup(t->dir);
	*out = NULL;
	int rc = read_all(c, t, &m, err);
	if (!rc && m.n)
		rc = err_set(err, ERR_USAGE, 0, "task %s: %zu mistakes", src->dir, m.n);
	if (rc) {
		task_context_free(c);
		return -1;
	}
	make_key(c);
	*out = c;
	return 0;
}

static int write_spec(const struct task_context *c, int fd, struct err *err)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "name", c->name);
	if (c->pull)
		json_put_str(j, "pull", c->pull);
	json_put(j, "args", json_incref(c->args));
	json_put_strv(j, "bases", &c->bases);
	return json_write(fd, "spec.json", j, false, err);
}

/* spec.json comes last: a folder without it is what a killed process left. */
static int write_into(const struct task_context *c, int fd, struct err *err)
{
	AUTO(fd) int src = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (src < 0)
		return err_set(err, ERR_USAGE, errno, "open task folder %s", c->dir);
	if (path_remove_tree(fd, "files", err) || path_make_dirs(fd, "files", 0755, err))
		return -1;
	AUTO(fd) int files = path_open_beneath(fd, "files", O_RDONLY | O_DIRECTORY, 0, err);
	if (files < 0 || filetree_write(&c->files, src, files, err))
		return -1;
	return write_spec(c, fd, err);
}

int task_context_write(const struct task_context *c, int root_fd, struct err *err)
{
	AUTO(free) char *path = xasprintf(DATA_CONTEXTS "/%s", c->key);
	AUTO(free) char *spec = path_join(path, "spec.json");

	if (path_exists(root_fd, spec))
		return 0;
	if (path_make_dirs(root_fd, path, 0755, err))
		return -1;
	AUTO(fd) int fd = path_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(fd) int lock = fd < 0 ? -1 : fd_lock(fd, ".lock", clock_mono_ms() + LOCK_MS, err);
	if (lock < 0)
		return -1;
	return path_exists(root_fd, spec) ? 0 : write_into(c, fd, err);
}

void task_context_free(struct task_context *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->pull);
	free(c->dir);
	json_decref(c->args);
	strv_release(&c->bases);
	filetree_release(&c->files);
	free(c);
}

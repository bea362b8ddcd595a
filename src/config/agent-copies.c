/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-copies.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/base64.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"

#define FILE_WORD "file:"
#define DIR_WORD "dir:"

/* It is in the plan once, and in every attempt's trial.json. */
enum { COPIES_BYTES = 1 << 20, DEPTH = 16 };

struct taking {
	json_t *copies;
	size_t bytes;
	const char *top; /* a folder's real path: no link may lead out of it */
};

static char *place(const char *path, const char *folder)
{
	return *path == '/' ? xstrdup(path) : path_join(folder, path);
}

static int add_file(struct taking *t, const char *host, const char *box, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT, coded = BUF_INIT;
	AUTO(fd) int fd = open(host, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return err_set(err, ERR_USAGE, errno, "open %s", host);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_USAGE, 0, "%s is no plain file", host);
	if (path_read_fd(fd, COPIES_BYTES, &text, err) || (t->bytes += text.len) > COPIES_BYTES)
		return err_set(err, ERR_USAGE, 0,
			       "%s: the files of an agent may have 1 MB in all; show a larger "
			       "folder with shows = [\"PATH\"]",
			       host);
	json_t *copy = json_object();
	json_put_str(copy, "path", box);
	if (text_is_utf8(text.data, text.len) && !memchr(text.data, '\0', text.len)) {
		json_put_strn(copy, "text", text.data, text.len);
	} else {
		base64_encode(&coded, text.data, text.len);
		json_put_str(copy, "base64", coded.data);
	}
	if (st.st_mode & 0111)
		json_put_bool(copy, "executable", true);
	json_array_append_new(t->copies, copy);
	return 0;
}

static int list(const char *host, struct strv *names, struct err *err)
{
	DIR *dir = opendir(host);

	if (!dir)
		return err_set(err, ERR_USAGE, errno, "read the folder %s", host);
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, "..") && strcmp(d->d_name, ".git"))
			strv_push(names, d->d_name);
	closedir(dir);
	strv_sort(names);
	return 0;
}

static int add_tree(struct taking *t, const char *host, const char *box, int depth, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;

	if (depth > DEPTH)
		return err_set(err, ERR_USAGE, 0, "%s: more than %d folders deep", host, DEPTH);
	if (list(host, &names, err))
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		AUTO(free) char *from = path_join(host, names.v[i]);
		AUTO(free) char *to = path_join(box, names.v[i]);
		AUTO(free) char *real = realpath(from, NULL);
		if (!real || !path_is_within(real, t->top))
			return err_set(err, ERR_USAGE, 0, "%s is a link that leads out of %s", from,
				       t->top);
		if (path_is_dir(AT_FDCWD, from) ? add_tree(t, from, to, depth + 1, err)
						: add_file(t, from, to, err))
			return -1;
	}
	return 0;
}

static int add(struct taking *t, const char *word, const char *path, const char *folder,
	       const char *box, struct err *err)
{
	AUTO(free) char *host = place(path, folder);
	AUTO(free) char *real = realpath(host, NULL);
	const bool dir = strcmp(word, DIR_WORD) == 0;

	if (!real)
		return err_set(err, ERR_USAGE, errno, "%s%s: %s", word, path, host);
	if (path_is_dir(AT_FDCWD, real) != dir)
		return err_set(err, ERR_USAGE, 0, "%s%s: %s is %s: write \"%s%s\"", word, path,
			       host, dir ? "no folder" : "a folder", dir ? FILE_WORD : DIR_WORD,
			       path);
	t->top = real;
	return dir ? add_tree(t, real, box, 0, err) : add_file(t, real, box, err);
}

int agent_copies_take(json_t *spec, const char *folder, struct err *err)
{
	static const char *const words[] = {FILE_WORD, DIR_WORD};
	json_t *files = json_object_get(spec, "files"), *v;
	AUTO(json) json_t *copies = json_array();
	struct taking t = {.copies = copies};
	AUTO(strv) struct strv names = STRV_INIT;
	const char *name;

	json_object_foreach (files, name, v)
		strv_push(&names, name);
	strv_sort(&names);
	for (size_t i = 0; i < names.n; i++) {
		AUTO(free) char *text = xstrdup(json_get_str(files, names.v[i], ""));
		for (size_t w = 0; w < ARRAY_SIZE(words); w++) {
			const size_t n = strlen(words[w]);
			if (strncmp(text, words[w], n) != 0)
				continue;
			if (add(&t, words[w], text + n, folder, names.v[i], err))
				return -1;
			json_object_del(files, names.v[i]);
		}
	}
	if (json_array_size(copies))
		json_object_set(spec, "copies", copies);
	return 0;
}

int agent_text_read(char **out, const char *text, const char *folder, struct err *err)
{
	AUTO(buf) struct buf content = BUF_INIT;

	if (strncmp(text, FILE_WORD, strlen(FILE_WORD)) != 0) {
		*out = xstrdup(text);
		return 0;
	}
	AUTO(free) char *path = place(text + strlen(FILE_WORD), folder);
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "%s: open %s", text, path);
	if (path_read_fd(fd, COPIES_BYTES, &content, err)) {
		err->kind = ERR_USAGE;
		return err_wrap(err, "%s", path);
	}
	if (!text_is_utf8(content.data, content.len) || memchr(content.data, '\0', content.len))
		return err_set(err, ERR_USAGE, 0, "%s is no text", path);
	*out = buf_detach(&content);
	return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/source.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/fdio.h"
#include "os/spawn.h"

enum { STORE_MS = 60 * 60 * 1000, WORDS_MAX = 4096 };
#define NEW ".coming"

/* The last line that a program said. */
static const char *last_words(struct buf *text)
{
	while (text->len && text->data[text->len - 1] == '\n')
		text->data[--text->len] = '\0';
	const char *newline = strrchr(text->data, '\n');
	return newline ? newline + 1 : text->data;
}

static int run_store(const struct source *s, int dir_fd, const char *how, const char *name,
		     const char *file, struct err *err)
{
	const char *argv[] = {s->store, how, name, file, NULL};
	const struct spawn spawn = {
		.argv = argv, .dir_fd = dir_fd, .in = -1, .out = STDERR_FILENO, .err = -1};
	AUTO(buf) struct buf text = BUF_INIT;
	char end[48];
	int status;

	if (spawn_run(&spawn, NULL, 0, WORDS_MAX, clock_mono_ms() + STORE_MS, NULL, &text, &status,
		      err))
		return err_wrap(err, "%s %s %s", s->store, how, name);
	if (status)
		return err_retry(err, 0, "%s %s %s: %s: %s", s->store, how, name,
				 spawn_status_text(status, end), last_words(&text));
	return 0;
}

static int ask(const struct source *s, const char *path, struct err *err)
{
	AUTO(fd) int fd = fd_connect_at(AT_FDCWD, s->ask, SOCK_STREAM, err);
	AUTO(free) char *line = xasprintf("%s\n", path);
	AUTO(buf) struct buf answer = BUF_INIT;
	char block[512];
	ssize_t n;

	if (fd < 0)
		return -1;
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		return err_retry(err, errno, "ask for %s", path);
	while ((n = read(fd, block, sizeof block)) > 0)
		buf_add(&answer, block, (size_t)n);
	return strcmp(answer.data, "ok") != 0
		       ? err_retry(err, 0, "%s is not to be had: %s", path,
				   answer.len ? answer.data : "whoever was asked for it is gone")
		       : 0;
}

int source_get(const struct source *s, int data_fd, const char *path, struct err *err)
{
	if (path_exists(data_fd, path))
		return 0;
	if (s->ask)
		return ask(s, path, err);
	if (!s->store)
		return 0;
	AUTO(free) char *parent = path_folder(path);
	AUTO(free) char *temporary = xasprintf("%s" NEW "-%d", path, (int)getpid());
	if (path_make_dirs(data_fd, parent, 0700, err) ||
	    run_store(s, data_fd, "get", path, temporary, err))
		return -1;
	return renameat(data_fd, temporary, data_fd, path)
		       ? err_retry(err, errno, "%s get %s made no %s", s->store, path, temporary)
		       : 0;
}

int source_put(const struct source *s, int dir_fd, const char *file, struct err *err)
{
	return s->store ? run_store(s, dir_fd, "put", file, file, err) : 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agentkit/guard.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

enum { TRIES = 100, PAUSE_MS = 50 };

/* Whoever works in FOLDER, or below it, is ended; returns how many there were. */
static int end_those_in(const char *folder)
{
	DIR *dir = opendir("/proc");
	const size_t len = strlen(folder);
	int n = 0;

	for (struct dirent *d; dir && (d = readdir(dir));) {
		char link[64], at[4096];
		const int pid = (int)strtol(d->d_name, NULL, 10);
		if (pid <= 0 || pid == getpid())
			continue;
		snprintf(link, sizeof link, "/proc/%d/cwd", pid);
		ssize_t size = readlink(link, at, sizeof at - 1);
		if (size < (ssize_t)len)
			continue;
		at[size] = '\0';
		if (strncmp(at, folder, len) || (at[len] && at[len] != '/' && at[len] != ' '))
			continue;
		n += kill(pid, SIGKILL) == 0;
	}
	if (dir)
		closedir(dir);
	return n;
}

/* Ends when the other one says that all is well, or is gone. */
static void watch(int said, int folder, const char *temp)
{
	struct err ignored;
	char byte, link[64], at[4096];

	while (read(said, &byte, 1) < 0 && errno == EINTR)
		;
	if (byte == 'd')
		return;
	snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
	ssize_t size = readlink(link, at, sizeof at - 1);
	if (size < 0)
		return;
	at[size] = '\0';
	AUTO(free) char *path = path_join(at, temp);
	for (int i = 0; i < TRIES && end_those_in(path); i++)
		usleep(PAUSE_MS * 1000);
	(void)!path_remove_tree(folder, temp, &ignored);
}

int guard_start(struct guard *g, int folder, const char *temp, struct err *err)
{
	int pair[2];

	*g = (struct guard){.pid = -1, .tell = -1};
	if (pipe2(pair, O_CLOEXEC))
		return err_set(err, ERR_INFRA, errno, "pipe");
	g->pid = fork();
	if (g->pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return err_set(err, ERR_INFRA, errno, "fork");
	}
	if (!g->pid) {
		setsid();
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		close(pair[1]);
		watch(pair[0], folder, temp);
		_exit(0);
	}
	close(pair[0]);
	g->tell = pair[1];
	return 0;
}

void guard_stop(struct guard *g)
{
	if (g->pid <= 0)
		return;
	(void)!write(g->tell, "d", 1);
	close(g->tell);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*g = (struct guard){.pid = -1, .tell = -1};
}

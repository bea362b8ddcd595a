/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a worker needs done inside a container whose files are its own, and no image can be counted on to have a program
 * for: `rollouts-init folder|fresh|empty|pack|ps ...`, run as a command like any other.
 */
#include "init/init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define DEPTH_MAX 200
#define ENTRIES_MAX 200000

struct pack {
	long long left; /* bytes that may still be written */
	unsigned entries;
};

static int put(struct pack *p, const void *data, size_t n)
{
	const char *at = data;

	p->left -= (long long)n;
	if (p->left < 0)
		return EFBIG;
	while (n) {
		ssize_t done = write(STDOUT_FILENO, at, n);
		if (done < 0 && errno != EINTR)
			return errno;
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int put_header(struct pack *p, const char *path, char kind, const struct stat *st,
		      const char *target, long long size)
{
	char h[BLOCK] = "";
	unsigned sum = 0;

	snprintf(h, 100, "%.99s", path);
	snprintf(h + 100, 8, "%07o", (unsigned)st->st_mode & 0777);
	snprintf(h + 108, 8, "%07o", 0);
	snprintf(h + 116, 8, "%07o", 0);
	snprintf(h + 124, 12, "%011llo", size);
	snprintf(h + 136, 12, "%011llo",
		 st->st_mtime > 0 ? (unsigned long long)st->st_mtime & 077777777777 : 0);
	memset(h + 148, ' ', 8);
	h[156] = kind;
	snprintf(h + 157, 100, "%.99s", target);
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	return put(p, h, sizeof h);
}

static int pad(struct pack *p, long long size)
{
	static const char zero[BLOCK];
	const size_t n = (size_t)((BLOCK - size % BLOCK) % BLOCK);

	return n ? put(p, zero, n) : 0;
}

static int put_entry(struct pack *p, const char *path, char kind, const struct stat *st,
		     const char *target, long long size)
{
	const size_t n = strlen(path) + 1;
	int error = 0;

	if (n > 100)
		error = put_header(p, "././@LongLink", 'L', st, "", (long long)n);
	if (n > 100 && !error)
		error = put(p, path, n);
	if (n > 100 && !error)
		error = pad(p, (long long)n);
	return error ? error : put_header(p, path, kind, st, target, size);
}

/* Exactly SIZE bytes, whatever becomes of the file meanwhile. */
static int put_file(struct pack *p, int fd, const char *path, const struct stat *st)
{
	char block[65536];
	long long left = st->st_size;
	int error = put_entry(p, path, '0', st, "", left);

	while (left && !error) {
		size_t want = left < (long long)sizeof block ? (size_t)left : sizeof block;
		ssize_t n = read(fd, block, want);
		if (n <= 0) {
			memset(block, 0, want);
			n = (ssize_t)want;
		}
		error = put(p, block, (size_t)n);
		left -= n;
	}
	return error ? error : pad(p, st->st_size);
}

static int put_at(struct pack *p, int dir, const char *name, const char *path, int depth);

static int put_folder(struct pack *p, int fd, const char *path, const struct stat *st, int depth)
{
	char below[4096];
	struct dirent *e;
	int error = put_entry(p, path, '5', st, "", 0);
	DIR *d = error ? NULL : fdopendir(fd);

	if (!d) {
		close(fd);
		return error;
	}
	while (!error && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below)
			error = put_at(p, dirfd(d), e->d_name, below, depth + 1);
	closedir(d);
	return error;
}

/* Files and folders; a link is no content, and what is neither is left out. */
static int put_at(struct pack *p, int dir, const char *name, const char *path, int depth)
{
	struct stat st;
	int error;

	if (depth > DEPTH_MAX || p->entries++ > ENTRIES_MAX ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)))
		return 0;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))) {
		close(fd);
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return put_folder(p, fd, path, &st, depth);
	error = put_file(p, fd, path, &st);
	close(fd);
	return error;
}

/* pack MAX PATH: a tar archive to standard output, of PATH as "x". 2: it is not there; 3: more than MAX bytes. */
static int pack(char **argv)
{
	static const char zero[2 * BLOCK];
	struct pack p = {.left = strtoll(argv[0], NULL, 10)};

	if (access(argv[1], F_OK))
		return 2;
	int error = put_at(&p, AT_FDCWD, argv[1], "x", 0);
	p.left += sizeof zero;
	return error || put(&p, zero, sizeof zero) ? 3 : 0;
}

/* folder MODE PATH... */
static int folders(char **argv, bool fresh)
{
	const mode_t mode = (mode_t)strtoul(argv[0], NULL, 8);

	for (argv++; *argv; argv++)
		if (file_folder(*argv, mode, fresh))
			return 1;
	return 0;
}

static int empty(char **argv)
{
	for (; *argv; argv++)
		if (file_empty(*argv))
			return 1;
	return 0;
}

/* ps: "PID NAME" of each process but us and PID 1, a line each. */
static int processes(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[64], name[64] = "";
		const long pid = strtol(e->d_name, NULL, 10);
		if (pid <= 1 || pid == getpid() || !service_is_alive(e->d_name))
			continue;
		snprintf(path, sizeof path, "/proc/%ld/comm", pid);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
		if (fd >= 0)
			close(fd);
		if (n > 0)
			printf("%ld %.*s", pid, (int)n, name);
	}
	if (d)
		closedir(d);
	return 0;
}

int helper_run(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "pack"))
		return pack(argv + 2);
	if (argc >= 4 && !strcmp(argv[1], "folder"))
		return folders(argv + 2, false);
	if (argc >= 4 && !strcmp(argv[1], "fresh"))
		return folders(argv + 2, true);
	if (argc >= 3 && !strcmp(argv[1], "empty"))
		return empty(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "ps"))
		return processes();
	return 64;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <unistd.h>

#define TMPFS 0x01021994
#define FDS_MAX 20000 /* looked at each time */
#define SEEN_MAX 1024

/* Open files without a name: a process and its children share them, and they count once. */
struct nameless {
	struct {
		dev_t dev;
		ino_t ino;
	} seen[SEEN_MAX];
	size_t n, looked;
	int64_t bytes;
};

static int64_t micros(struct timeval t)
{
	return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

int64_t stats_children_cpu_us(void)
{
	struct rusage ru;

	getrusage(RUSAGE_CHILDREN, &ru);
	return micros(ru.ru_utime) + micros(ru.ru_stime);
}

static const char *read_proc(const char *pid, const char *file, char *buf, size_t max)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%.20s/%s", pid, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	ssize_t n = read(fd, buf, max - 1);
	close(fd);
	if (n <= 0)
		return NULL;
	buf[n] = '\0';
	return buf;
}

/* Field 14 to 17 (times in ticks) and 24 (resident pages) of /proc/PID/stat, counted from behind the name,
 * which is the process's own choice and may hold anything. */
static bool read_stat(const char *pid, int64_t *cpu_ticks, int64_t *pages)
{
	char buf[1024];
	const char *text = read_proc(pid, "stat", buf, sizeof buf);
	const char *at = text ? strrchr(text, ')') : NULL;

	if (!at)
		return false;
	*cpu_ticks = *pages = 0;
	for (int field = 3; field <= 24 && (at = strchr(at, ' ')); field++) {
		long long value = strtoll(++at, NULL, 10);
		if (field >= 14 && field <= 17)
			*cpu_ticks += value;
		else if (field == 24)
			*pages = value;
	}
	return true;
}

/* What this process is to be charged for memory it shares. One that made itself unreadable pays in full, one
 * that is just ending has none left. Adds to *SHARED what of it lies in shared memory. */
static int64_t proportional(const char *pid, int64_t resident, int64_t *shared)
{
	char buf[4096];
	errno = 0;
	const char *text = read_proc(pid, "smaps_rollup", buf, sizeof buf);
	const char *at = text ? strstr(text, "\nPss:") : NULL;
	const char *shmem = text ? strstr(text, "\nPss_Shmem:") : NULL;

	*shared += shmem ? strtoll(shmem + 11, NULL, 10) * 1024 : 0;
	if (at)
		return strtoll(at + 5, NULL, 10) * 1024;
	return errno == EACCES || errno == EPERM ? resident : 0;
}

static int64_t tmpfs_bytes(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) || fs.f_type != TMPFS)
		return 0;
	return (int64_t)(fs.f_blocks - fs.f_bfree) * fs.f_bsize;
}

/* Segments of System V: they live without any process that has them. Of those that one has attached, what is touched is
 * in the processes' own sums. */
static int64_t segments_bytes(int64_t *attached)
{
	long long rss, swap;
	unsigned long users;
	int64_t alone = 0;
	char line[512];
	FILE *f = fopen("/proc/sysvipc/shm", "re");

	*attached = 0;
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line,
			   "%*s %*s %*s %*s %*s %*s %lu %*s %*s %*s %*s %*s %*s %*s %lld %lld",
			   &users, &rss, &swap) == 3)
			*(users ? attached : &alone) += rss + swap;
	if (f)
		fclose(f);
	return alone;
}

static bool is_new(struct nameless *u, const struct stat *st)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->seen[i].dev == st->st_dev && u->seen[i].ino == st->st_ino)
			return false;
	if (u->n < SEEN_MAX) {
		u->seen[u->n].dev = st->st_dev;
		u->seen[u->n++].ino = st->st_ino;
	}
	return true;
}

/* No walk over a tree finds a file that was removed while it is open, and it takes space all the same. */
static void add_nameless(struct nameless *u, const char *pid)
{
	char path[64];
	struct statfs fs;
	struct dirent *e;
	struct stat st;

	snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
	DIR *d = opendir(path);
	while (d && u->looked < FDS_MAX && (e = readdir(d))) {
		u->looked++;
		if (fstatat(dirfd(d), e->d_name, &st, 0) || !S_ISREG(st.st_mode) || st.st_nlink)
			continue;
		snprintf(path, sizeof path, "/proc/%.20s/fd/%.20s", pid, e->d_name);
		/* A memory file has no name either. */
		if (!statfs(path, &fs) && fs.f_type != TMPFS && is_new(u, &st))
			u->bytes += (int64_t)st.st_blocks * 512;
	}
	if (d)
		closedir(d);
}

void stats_read(struct proto_reply *out, bool precise)
{
	const long page = sysconf(_SC_PAGESIZE), hz = sysconf(_SC_CLK_TCK);
	static struct nameless nameless;
	int64_t cpu, pages, attached = 0, shared = 0;
	struct dirent *e;
	DIR *d = opendir("/proc");

	nameless.n = nameless.looked = 0;
	nameless.bytes = 0;
	out->cpu_us = stats_children_cpu_us();
	/* Without namespaces these are the machine's. */
	out->memory = confine_is_on() ? 0
				      : tmpfs_bytes("/dev/shm") + tmpfs_bytes("/run") +
						segments_bytes(&attached);
	confine_look();
	while (d && (e = readdir(d))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !confine_is_ours(e->d_name) ||
		    !read_stat(e->d_name, &cpu, &pages))
			continue;
		out->memory +=
			precise ? proportional(e->d_name, pages * page, &shared) : pages * page;
		out->cpu_us += cpu * (1000000 / hz);
		out->processes++;
		add_nameless(&nameless, e->d_name);
	}
	if (attached > shared)
		out->memory += attached - shared;
	out->unlinked = nameless.bytes;
	if (d)
		closedir(d);
}

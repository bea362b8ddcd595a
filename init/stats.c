/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <unistd.h>

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
 * that is just ending has none left. */
static int64_t proportional(const char *pid, int64_t resident)
{
	char buf[4096];
	errno = 0;
	const char *text = read_proc(pid, "smaps_rollup", buf, sizeof buf);
	const char *at = text ? strstr(text, "\nPss:") : NULL;

	if (at)
		return strtoll(at + 5, NULL, 10) * 1024;
	return errno == EACCES || errno == EPERM ? resident : 0;
}

static int64_t tmpfs_bytes(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) || fs.f_type != 0x01021994 /* TMPFS_MAGIC */)
		return 0;
	return (int64_t)(fs.f_blocks - fs.f_bfree) * fs.f_bsize;
}

void stats_read(struct proto_reply *out, bool precise)
{
	const long page = sysconf(_SC_PAGESIZE), hz = sysconf(_SC_CLK_TCK);
	int64_t cpu, pages;
	struct dirent *e;
	DIR *d = opendir("/proc");

	out->cpu_us = stats_children_cpu_us();
	out->memory = tmpfs_bytes("/dev/shm") + tmpfs_bytes("/run");
	while (d && (e = readdir(d))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !strcmp(e->d_name, "1") ||
		    !read_stat(e->d_name, &cpu, &pages))
			continue;
		out->memory += precise ? proportional(e->d_name, pages * page) : pages * page;
		out->cpu_us += cpu * (1000000 / hz);
		out->processes++;
	}
	if (d)
		closedir(d);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "doctor/check.h"
#include "os/folder-try.h"
#include "os/open-files.h"
#include "os/usage.h"

#define MIN_FREE_BYTES ((int64_t)2 << 30)
#define MIN_FREE_SHARE 0.05
#define FILES_GOOD 256
#define YEAR_2025_MS INT64_C(1735689600000)

/* The folder, or where it would be made. */
static void check_data(struct checks *c)
{
	AUTO(free) char *dir = xstrdup(*c->data ? c->data : ".");

	while (access(dir, F_OK) && errno == ENOENT && strcmp(dir, ".") && strcmp(dir, "/")) {
		char *slash = strrchr(dir, '/');
		if (slash)
			slash[slash == dir] = '\0';
		else
			memcpy(dir, ".", sizeof ".");
	}
	struct err err;
	static const char *const inside[] = {"", "/" DATA_ROLLOUTS, "/" DATA_RUNS, "/" DATA_CACHE};
	bool there = strcmp(dir, c->data) == 0;

	for (size_t i = 0; i < (there ? ARRAY_SIZE(inside) : 1); i++) {
		AUTO(free) char *path = xasprintf("%s%s", dir, inside[i]);
		if (i && access(path, F_OK))
			continue;
		AUTO(fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && !folder_try(fd, &err))
			continue;
		check_add(c, CHECK_FAILED, "data folder",
			  "choose another place with --data-dir, or mend its rights",
			  "%s cannot hold results: %s", path, fd < 0 ? strerror(errno) : err.msg);
		return;
	}
	check_add(c, CHECK_OK, "data folder", NULL, "%s%s", c->data,
		  there ? ": files, links and locks can be made in it, and run" : " can be made");
}

static void check_disk(struct checks *c)
{
	struct statvfs fs;
	char free_text[16], all_text[16];

	if (fstatvfs(c->scratch, &fs)) {
		check_add(c, CHECK_FAILED, "disk space", "choose another place with --data-dir",
			  "cannot be asked for");
		return;
	}
	int64_t free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
	int64_t all_bytes = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
	usage_human(free_bytes, free_text);
	usage_human(all_bytes, all_text);
	bool good = free_bytes >= MIN_FREE_BYTES &&
		    (double)free_bytes >= MIN_FREE_SHARE * (double)all_bytes;
	check_add(c, good ? CHECK_OK : CHECK_FAILED, "disk space",
		  "no trial starts below 2 GB or 5 % free: rollouts clean --cache, or --data-dir",
		  "%s of %s free for %s", free_text, all_text, c->data);
}

static void check_clock(struct checks *c)
{
	char now[CLOCK_STAMP + 8];
	int64_t wall = clock_wall_ms();

	clock_iso(wall, now);
	check_add(c, wall > YEAR_2025_MS ? CHECK_OK : CHECK_FAILED, "clock",
		  "set the clock: rollouts are named after the time", "%s", now);
}

static void check_files(struct checks *c)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	long long trials =
		open_files_trials(l.rlim_max > 1 << 20 ? 1 << 20 : (long long)l.rlim_max);
	check_add(c, l.rlim_max >= FILES_GOOD ? CHECK_OK : CHECK_LESS, "open files",
		  "raise the limit: ulimit -Hn 4096",
		  "%lld (at most %lld): enough for parallel = %lld", (long long)l.rlim_cur,
		  (long long)l.rlim_max, trials);
}

void check_machine(struct checks *c)
{
	check_data(c);
	check_disk(c);
	check_clock(c);
	check_files(c);
}

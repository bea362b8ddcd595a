// SPDX-License-Identifier: GPL-3.0-or-later
#include "os/capped-log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"

enum { GAP_MAX = 80, BLOCK = 64 << 10 };

/* The file holds the first CAP bytes, then a ring of CAP bytes in which the newest overwrite the
 * oldest. As long as the ring has not gone round, that is the log as it has to be. */
struct capped_log {
	int fd;
	size_t cap;
	int64_t total, lost;
};

int capped_log_open(struct capped_log **out, int dir_fd, const char *path, size_t cap,
		    struct err *err)
{
	int fd = openat(dir_fd, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "create log %s", path);
	struct capped_log *log = xcalloc(1, sizeof *log);
	log->fd = fd;
	log->cap = cap;
	*out = log;
	return 0;
}

static int write_at(const struct capped_log *log, const char *data, size_t n, int64_t at,
		    struct err *err)
{
	while (n) {
		ssize_t done = pwrite(log->fd, data, n, at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_set(err, ERR_INFRA, errno, "write a log");
		data += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

/* A full disk costs lines of a log; it must not cost the work of which they tell. */
static int keep(struct capped_log *log, const char *data, size_t n, int64_t at, struct err *err)
{
	if (!write_at(log, data, n, at, err))
		return 0;
	if (!err_no_room(err))
		return -1;
	log->lost += (int64_t)n;
	return 0;
}

/* Where the byte AT of the stream is kept. */
static int64_t place_of(const struct capped_log *log, int64_t at)
{
	int64_t cap = (int64_t)log->cap;

	return at < cap ? at : cap + (at - cap) % cap;
}

int capped_log_add(struct capped_log *log, const void *data, size_t n, struct err *err)
{
	const char *from = data;

	while (n) {
		int64_t at = place_of(log, log->total);
		size_t room = log->cap - (size_t)at % log->cap, k = n < room ? n : room;
		if (keep(log, from, k, at, err))
			return -1;
		log->total += (int64_t)k;
		from += k;
		n -= k;
	}
	return 0;
}

int64_t capped_log_total(const struct capped_log *log)
{
	return log->total;
}

/* TO is not behind FROM. */
static int move(const struct capped_log *log, int64_t from, int64_t to, int64_t n, char *block,
		struct err *err)
{
	while (n > 0) {
		ssize_t got = pread(log->fd, block, n < BLOCK ? (size_t)n : BLOCK, from);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return err_set(err, ERR_INFRA, got < 0 ? errno : EIO, "read a log");
		if (write_at(log, block, (size_t)got, to, err))
			return -1;
		from += got;
		to += got;
		n -= got;
	}
	return 0;
}

/* The ring, which has gone round, becomes the line about the gap and the tail in its order: that is
 * first put together behind the ring, and then moved down over it. */
static int unroll(const struct capped_log *log, struct err *err)
{
	AUTO(free) char *block = xmalloc(BLOCK);
	const int64_t cap = (int64_t)log->cap, oldest = place_of(log, log->total) - cap;
	const int64_t behind = 2 * cap + GAP_MAX;
	char line[GAP_MAX];
	int n = snprintf(line, sizeof line, "\n[rollouts: %lld bytes left out here]\n",
			 (long long)(log->total - 2 * cap));

	if (move(log, cap + oldest, behind, cap - oldest, block, err) ||
	    move(log, cap, behind + cap - oldest, oldest, block, err) ||
	    write_at(log, line, (size_t)n, cap, err) || move(log, behind, cap + n, cap, block, err))
		return -1;
	return ftruncate(log->fd, 2 * cap + n) ? err_set(err, ERR_INFRA, errno, "cut a log") : 0;
}

/* As good as that can be said on such a disk. */
static void say_lost(const struct capped_log *log)
{
	char line[GAP_MAX];
	struct err ignored;
	int n = snprintf(line, sizeof line,
			 "\n[rollouts: %lld bytes were lost, the disk was full]\n",
			 (long long)log->lost);

	if (write_at(log, line, (size_t)n, lseek(log->fd, 0, SEEK_END), &ignored))
		return;
}

int capped_log_close(struct capped_log *log, struct err *err)
{
	if (!log)
		return 0;
	int status = log->total > 2 * (int64_t)log->cap && !log->lost ? unroll(log, err) : 0;
	if (log->lost)
		say_lost(log);
	close(log->fd);
	free(log);
	return status;
}

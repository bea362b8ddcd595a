// SPDX-License-Identifier: GPL-3.0-or-later
#include "os/capped-log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

struct capped_log {
	int fd;
	size_t cap;
	int64_t total;
	/* The last bytes after the head: a plain array that grows until it holds CAP, then a ring.
	 */
	char *tail;
	size_t tail_len, tail_size, tail_start;
};

int capped_log_open(struct capped_log **out, int dir_fd, const char *path, size_t cap,
		    struct err *err)
{
	int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "create log %s", path);
	struct capped_log *log = xcalloc(1, sizeof *log);
	log->fd = fd;
	log->cap = cap;
	*out = log;
	return 0;
}

static void tail_grow(struct capped_log *log, size_t more)
{
	size_t want = log->tail_len + more, size = log->tail_size ? log->tail_size : 65536;
	while (size < want)
		size *= 2;
	if (size > log->cap)
		size = log->cap;
	if (size > log->tail_size) {
		log->tail = xrealloc(log->tail, size);
		log->tail_size = size;
	}
}

// Once the array holds CAP bytes, tail_start is both the oldest byte and the next to be
// overwritten.
static void tail_wrap(struct capped_log *log, const char *data, size_t n)
{
	while (n) {
		size_t k = log->cap - log->tail_start;
		if (k > n)
			k = n;
		memcpy(log->tail + log->tail_start, data, k);
		log->tail_start = (log->tail_start + k) % log->cap;
		data += k;
		n -= k;
	}
}

static void tail_add(struct capped_log *log, const char *data, size_t n)
{
	if (log->cap == 0)
		return;
	if (n > log->cap) {
		data += n - log->cap;
		n = log->cap;
	}
	size_t room = log->cap - log->tail_len, k = n < room ? n : room;
	if (k) {
		tail_grow(log, k);
		memcpy(log->tail + log->tail_len, data, k);
		log->tail_len += k;
	}
	tail_wrap(log, data + k, n - k);
}

int capped_log_add(struct capped_log *log, const void *data, size_t n, struct err *err)
{
	size_t head = 0;
	if (log->total < (int64_t)log->cap) {
		head = log->cap - (size_t)log->total;
		if (head > n)
			head = n;
		if (path_write_all(log->fd, data, head, err) < 0)
			return err_wrap(err, "write a log");
	}
	tail_add(log, (const char *)data + head, n - head);
	log->total += (int64_t)n;
	return 0;
}

int64_t capped_log_total(const struct capped_log *log)
{
	return log->total;
}

static int write_tail(const struct capped_log *log, struct err *err)
{
	int64_t after_head = log->total - (int64_t)log->cap;
	if (after_head <= 0)
		return 0;
	int64_t gap = after_head - (int64_t)log->tail_len;
	if (gap > 0) {
		char line[80];
		int n = snprintf(line, sizeof line, "\n[rollouts: %lld bytes left out here]\n",
				 (long long)gap);
		if (path_write_all(log->fd, line, (size_t)n, err) < 0)
			return -1;
	}
	if (log->tail_len == 0)
		return 0;
	if (path_write_all(log->fd, log->tail + log->tail_start, log->tail_len - log->tail_start,
			   err) < 0)
		return -1;
	return path_write_all(log->fd, log->tail, log->tail_start, err);
}

int capped_log_close(struct capped_log *log, struct err *err)
{
	if (!log)
		return 0;
	int rc = write_tail(log, err);
	if (rc < 0)
		rc = err_wrap(err, "write a log");
	close(log->fd);
	free(log->tail);
	free(log);
	return rc;
}

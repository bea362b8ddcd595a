// SPDX-License-Identifier: GPL-3.0-or-later
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "core/event.h"
#include "store/crc.h"
#include "store/journal.h"

enum { CHUNK = 256 << 10 };

/* ,"crc":"01234567"} */
#define CRC_HEAD ",\"crc\":\""
enum { CRC_HEAD_LEN = sizeof CRC_HEAD - 1, CRC_TAIL_LEN = CRC_HEAD_LEN + 8 + 2 };

struct journal_reader {
	int dir_fd; /* ours */
	int fd;	    /* -1: there was no file yet */
	enum journal_depth depth;
	journal_fn *fn;
	void *arg;
	struct journal_stats stats;
	int line;
	struct buf begun; /* a line whose end was not there yet */
};

static bool is_whole(const char *line, size_t n)
{
	char expected[CRC_TAIL_LEN + 1];

	if (n <= CRC_TAIL_LEN)
		return false;
	snprintf(expected, sizeof expected, CRC_HEAD "%08x\"}", crc32_of(line, n - CRC_TAIL_LEN));
	return !memcmp(line + n - CRC_TAIL_LEN, expected, CRC_TAIL_LEN);
}

static void damaged(struct journal_reader *r)
{
	if (!r->stats.damaged++)
		r->stats.first_damaged = r->line;
}

/* The value of the first member "event". Quotes inside strings are escaped: this is the member. */
static const char *event_of(const char *line, size_t n)
{
	static const char member[] = ",\"event\":\"";
	const char *found = memmem(line, n, member, sizeof member - 1);

	return found ? found + sizeof member - 1 : "";
}

static bool is_event(const char *value, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(value, name, n) && value[n] == '"';
}

/* A line of this version that only JOURNAL_ALL needs, told without parsing it. */
static bool skip(struct journal_reader *r, const char *line, size_t n)
{
	static const char head[] = "{\"v\":1,\"seq\":";

	static_assert(JOURNAL_VERSION == 1, "head says 1");
	if (r->depth == JOURNAL_ALL || n < sizeof head || memcmp(line, head, sizeof head - 1))
		return false;
	const char *event = event_of(line, n);
	if (!is_event(event, EVENT_PHASE) && !is_event(event, EVENT_NOTE) &&
	    !(r->depth == JOURNAL_RESULTS && is_event(event, EVENT_AGENT_DONE)))
		return false;
	int64_t seq = strtoll(line + sizeof head - 1, NULL, 10);
	if (seq > r->stats.last_seq)
		r->stats.last_seq = seq;
	r->stats.lines++;
	return true;
}

static json_t *parse(const struct journal_reader *r, const char *line, size_t n)
{
	static const char member[] = ",\"result\":{", last[] = ",\"measured\":[";
	const char *result =
		r->depth == JOURNAL_ALL ? NULL : memmem(line, n, member, sizeof member - 1);

	/* Written by an older program: what is counted is in the result alone. */
	if (result && r->depth == JOURNAL_RESULTS &&
	    !memmem(line, (size_t)(result - line), last, sizeof last - 1))
		result = NULL;
	if (!result)
		return json_line(line, n, 0);
	AUTO(buf) struct buf head = BUF_INIT;
	buf_add(&head, line, (size_t)(result - line));
	buf_addc(&head, '}');
	return json_line(head.data, head.len, 0);
}

static int take(struct journal_reader *r, const json_t *j, struct err *err)
{
	int64_t version = json_get_int(j, "v", 0), seq = json_get_int(j, "seq", 0);

	if (version > JOURNAL_VERSION)
		return err_set(err, ERR_USAGE, 0,
			       ROLLOUT_JOURNAL
			       ":%d: version %lld is newer than this program; use a newer rollouts",
			       r->line, (long long)version);
	if (seq > r->stats.last_seq)
		r->stats.last_seq = seq;
	r->stats.lines++;
	r->fn(r->arg, j);
	return 0;
}

static int read_line(struct journal_reader *r, const char *line, size_t n, struct err *err)
{
	r->line++;
	if (!is_whole(line, n)) {
		damaged(r);
		return 0;
	}
	if (skip(r, line, n))
		return 0;
	AUTO(json) json_t *j = parse(r, line, n);
	if (j)
		return take(r, j, err);
	damaged(r);
	return 0;
}

/* Hand on the whole lines that were begun or are new, from FRESH on, and keep the rest. */
static int take_lines(struct journal_reader *r, size_t fresh, struct err *err)
{
	struct buf *buf = &r->begun;
	char *start = buf->data, *end = buf->data + buf->len, *scan = buf->data + fresh, *newline;

	while ((newline = memchr(scan, '\n', (size_t)(end - scan)))) {
		if (read_line(r, start, (size_t)(newline - start), err))
			return -1;
		start = scan = newline + 1;
	}
	buf->len = (size_t)(end - start);
	memmove(buf->data, start, buf->len);
	return 0;
}

static int open_file(struct journal_reader *r, struct err *err)
{
	r->fd = openat(r->dir_fd, ROLLOUT_JOURNAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (r->fd < 0 && errno != ENOENT)
		return err_set(err, ERR_INFRA, errno, "open " ROLLOUT_JOURNAL);
	return 0;
}

int journal_reader_open(struct journal_reader **out, int dir_fd, enum journal_depth depth,
			struct err *err)
{
	AUTO(fd) int dir = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);

	if (dir < 0)
		return err_set(err, ERR_INFRA, errno, "open the folder of " ROLLOUT_JOURNAL);
	struct journal_reader *r = xcalloc(1, sizeof *r);
	r->dir_fd = fd_steal(&dir);
	r->fd = -1;
	r->depth = depth;
	r->begun = (struct buf)BUF_INIT;
	*out = r;
	return 0;
}

int journal_reader_next(struct journal_reader *r, journal_fn *fn, void *arg, struct err *err)
{
	r->fn = fn;
	r->arg = arg;
	if (r->fd < 0 && open_file(r, err))
		return -1;
	while (r->fd >= 0) {
		size_t before = r->begun.len;
		buf_grow(&r->begun, CHUNK);
		ssize_t n = read(r->fd, r->begun.data + before, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "read " ROLLOUT_JOURNAL);
		if (!n)
			break;
		r->begun.len += (size_t)n;
		if (take_lines(r, before, err))
			return -1;
	}
	return 0;
}

struct journal_stats *journal_reader_stats(struct journal_reader *r)
{
	return &r->stats;
}

void journal_reader_close(struct journal_reader *r)
{
	if (!r)
		return;
	auto_fd(&r->fd);
	auto_fd(&r->dir_fd);
	buf_release(&r->begun);
	free(r);
}

int journal_read(int dir_fd, enum journal_depth depth, journal_fn *fn, void *arg,
		 struct journal_stats *stats, struct err *err)
{
	struct journal_reader *r;

	*stats = (struct journal_stats){0};
	if (journal_reader_open(&r, dir_fd, depth, err))
		return -1;
	int status = journal_reader_next(r, fn, arg, err);
	/* Without its newline a line may still be whole: its checksum says so. */
	if (!status && r->begun.len)
		status = read_line(r, r->begun.data, r->begun.len, err);
	*stats = r->stats;
	journal_reader_close(r);
	return status;
}

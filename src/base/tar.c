/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/tar.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

enum {
	CHUNK = 1 << 18, /* of a file that is read */
	BLOCK = 512,
	EXTENDED_MAX = 1 << 20, /* bytes of a pax header: names, not contents */
};
#define OCTAL_MAX ((int64_t)1 << 33) /* sizes from here on do not fit into eleven octal digits */

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
	char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155];
	char rest[12];
};
static_assert(sizeof(struct header) == BLOCK, "as POSIX lays it out");

void tar_member_release(struct tar_member *m)
{
	free(m->path);
	free(m->link);
	*m = (struct tar_member){0};
}

static unsigned sum_of(const struct header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	unsigned sum = 0;

	for (size_t i = 0; i < BLOCK; i++)
		sum += i - offsetof(struct header, sum) < sizeof h->sum ? ' ' : bytes[i];
	return sum;
}

/* TEXT as far as it fits: what is longer stands in a pax header. */
static void put_text(char *field, size_t size, const char *text)
{
	size_t n = strlen(text);

	memcpy(field, text, n < size ? n : size);
}

/* In octal digits, with a NUL behind them. */
static void put_number(char *field, size_t size, int64_t value)
{
	for (size_t i = size - 1; i-- > 0; value /= 8)
		field[i] = (char)('0' + value % 8);
}

static int write_header(int fd, const char *name, const char *link, char type, mode_t mode,
			int64_t size, int64_t mtime, struct err *err)
{
	struct header h = {.magic = "ustar", .version = {'0', '0'}, .type = type};

	put_text(h.name, sizeof h.name, name);
	put_text(h.link, sizeof h.link, link);
	put_number(h.mode, sizeof h.mode, mode & 07777);
	put_number(h.uid, sizeof h.uid, 0);
	put_number(h.gid, sizeof h.gid, 0);
	put_number(h.size, sizeof h.size, size < OCTAL_MAX ? size : 0);
	put_number(h.mtime, sizeof h.mtime, mtime > 0 ? mtime : 0);
	put_number(h.sum, sizeof h.sum - 1, sum_of(&h));
	h.sum[7] = ' ';
	return path_write_all(fd, &h, sizeof h, err);
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void add_record(struct buf *out, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, length = rest;

	while (length != rest + (size_t)snprintf(NULL, 0, "%zu", length))
		length = rest + (size_t)snprintf(NULL, 0, "%zu", length);
	buf_addf(out, "%zu %s=%s\n", length, key, value);
}

int tar_write_head(int fd, const struct tar_member *m, struct err *err)
{
	AUTO(buf) struct buf more = BUF_INIT;
	const char *link = m->link ? m->link : "";
	char size[24];

	if (strlen(m->path) > sizeof((struct header *)NULL)->name)
		add_record(&more, "path", m->path);
	if (strlen(link) > sizeof((struct header *)NULL)->link)
		add_record(&more, "linkpath", link);
	if (m->size >= OCTAL_MAX) {
		snprintf(size, sizeof size, "%" PRId64, m->size);
		add_record(&more, "size", size);
	}
	if (more.len && (write_header(fd, "pax", "", 'x', 0644, (int64_t)more.len, m->mtime, err) ||
			 path_write_all(fd, more.data, more.len, err) ||
			 tar_write_pad(fd, (int64_t)more.len, err)))
		return -1;
	return write_header(fd, m->path, link,
			    m->link	? '2'
			    : m->is_dir ? '5'
					: '0',
			    m->mode, m->link || m->is_dir ? 0 : m->size, m->mtime, err);
}

int tar_write_pad(int fd, int64_t size, struct err *err)
{
	static const char zeros[BLOCK];

	return path_write_all(fd, zeros, (size_t)((BLOCK - size % BLOCK) % BLOCK), err);
}

int tar_write_end(int fd, struct err *err)
{
	static const char zeros[2 * BLOCK];

	return path_write_all(fd, zeros, sizeof zeros, err);
}

int tar_read(int fd, void *to, size_t n, struct err *err)
{
	for (size_t got = 0; got < n;) {
		ssize_t k = read(fd, (char *)to + got, n - got);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? err_set(err, ERR_INFRA, errno, "read")
				 : err_set(err, ERR_USAGE, 0, "the archive ends too early");
		got += (size_t)k;
	}
	return 0;
}

int tar_read_pad(int fd, int64_t size, struct err *err)
{
	char rest[BLOCK];

	return tar_read(fd, rest, (size_t)((BLOCK - size % BLOCK) % BLOCK), err);
}

static int read_number(const char *field, size_t size, int64_t *out, struct err *err)
{
	AUTO(free) char *text = xstrndup(field, size);
	char *end;

	*out = (int64_t)strtoull(text, &end, 8);
	if (end == text || (*end && *end != ' ') || *out < 0)
		return err_set(err, ERR_USAGE, 0, "the archive is damaged: a number is none");
	return 0;
}

/* What pax headers and GNU tar's long names say of the member that follows. */
struct said {
	char *path, *link;
	int64_t size; /* -1: nothing */
};

static void take(char **to, const char *text, size_t n)
{
	free(*to);
	*to = xstrndup(text, n);
}

static int read_records(struct said *s, const struct buf *text, struct err *err)
{
	for (char *at = text->data, *end = at + text->len; at < end;) {
		char *space, *equals;
		size_t length = strtoul(at, &space, 10);
		if (*space != ' ' || length < 3 || length > (size_t)(end - at) ||
		    !(equals = memchr(space, '=', length - (size_t)(space - at))))
			return err_set(err, ERR_USAGE, 0, "the archive is damaged: a pax header");
		const char *value = equals + 1;
		size_t n = length - (size_t)(value - at) - 1;
		*equals = '\0';
		if (!strcmp(space + 1, "path"))
			take(&s->path, value, n);
		else if (!strcmp(space + 1, "linkpath"))
			take(&s->link, value, n);
		else if (!strcmp(space + 1, "size"))
			s->size = strtoll(value, NULL, 10);
		at += length;
	}
	return 0;
}

static int read_extended(int fd, struct said *s, char type, int64_t size, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (size > EXTENDED_MAX)
		return err_set(err, ERR_USAGE, 0, "the archive is damaged: a header of %lld bytes",
			       (long long)size);
	buf_grow(&text, (size_t)size);
	if (tar_read(fd, text.data, (size_t)size, err) || tar_read_pad(fd, size, err))
		return -1;
	text.len = (size_t)size;
	text.data[text.len] = '\0';
	if (type == 'L')
		take(&s->path, text.data, strlen(text.data));
	else if (type == 'K')
		take(&s->link, text.data, strlen(text.data));
	return type == 'x' ? read_records(s, &text, err) : 0;
}

static int read_block(int fd, struct header *h, int64_t *size, struct err *err)
{
	static const struct header zeros;
	int64_t sum;

	if (tar_read(fd, h, sizeof *h, err))
		return -1;
	if (!memcmp(h, &zeros, sizeof zeros))
		return 0;
	if (read_number(h->sum, sizeof h->sum, &sum, err) || sum != sum_of(h))
		return err_set(err, ERR_USAGE, 0, "this is no tar archive, or it is damaged");
	return read_number(h->size, sizeof h->size, size, err) ? -1 : 1;
}

static int fill(struct tar_member *out, const struct header *h, struct said *s, int64_t size,
		struct err *err)
{
	AUTO(free) char *name = xstrndup(h->name, sizeof h->name);
	AUTO(free) char *prefix = xstrndup(h->prefix, sizeof h->prefix);
	int64_t mode, mtime;

	if (read_number(h->mode, sizeof h->mode, &mode, err) ||
	    read_number(h->mtime, sizeof h->mtime, &mtime, err))
		return -1;
	bool has_prefix = *prefix && !memcmp(h->magic, "ustar", sizeof h->magic);
	*out = (struct tar_member){
		.path = s->path	     ? STEAL(&s->path)
			: has_prefix ? path_join(prefix, name)
				     : xstrdup(name),
		.link = h->type != '2' ? NULL
			: s->link      ? STEAL(&s->link)
				       : xstrndup(h->link, sizeof h->link),
		.is_dir = h->type == '5',
		.mode = (mode_t)mode & 07777,
		.size = s->size >= 0 ? s->size : size,
		.mtime = mtime,
	};
	return 0;
}

int tar_read_head(int fd, struct tar_member *out, struct err *err)
{
	struct said said = {.size = -1};
	struct header h;
	int64_t size;
	int status;

	while ((status = read_block(fd, &h, &size, err)) > 0 && strchr("xgLK", h.type) && h.type)
		if ((status = read_extended(fd, &said, h.type, size, err)))
			break;
	if (status > 0 && (!strchr("025", h.type) && h.type))
		status = err_set(err, ERR_USAGE, 0,
				 "%.100s in the archive is neither a file, a folder nor a link",
				 h.name);
	if (status > 0 && fill(out, &h, &said, size, err))
		status = -1;
	free(said.path);
	free(said.link);
	return status;
}

int tar_read_file(int fd, const struct tar_member *m, int dir_fd, const char *place,
		  char sha256[HASH_HEX], struct err *err)
{
	AUTO(fd) int out = path_open_beneath(dir_fd, place, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
	AUTO(free) char *chunk = xmalloc(CHUNK);
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = m->mtime}};
	struct hash h;

	if (out < 0)
		return -1;
	hash_init(&h);
	for (int64_t left = m->size; left > 0;) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		if (tar_read(fd, chunk, n, err) || path_write_all(out, chunk, n, err))
			return err_wrap(err, "%s", place);
		hash_bytes(&h, chunk, n);
		left -= (int64_t)n;
	}
	hash_hex(&h, sha256);
	if (fchmod(out, m->mode & 0777) || futimens(out, times))
		return err_set(err, ERR_INFRA, errno, "%s", place);
	return tar_read_pad(fd, m->size, err);
}

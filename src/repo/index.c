/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/index.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

enum {
	INDEX_MAX = 256 << 20,
	HEADER = 12,
	STAT = 40, // of an entry, before its id
	EXTENDED = 0x4000,
};

struct cursor {
	const unsigned char *at, *end;
	size_t id; // bytes of an object id
};

static uint32_t number(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// How many bytes of the name before are not in this one, as version 4 writes it.
static bool take_varint(struct cursor *c, size_t *value)
{
	*value = 0;
	for (int i = 0; i < 5 && c->at < c->end; i++) {
		unsigned char byte = *c->at++;
		*value = ((*value + (i > 0)) << 7) + (byte & 127);
		if (!(byte & 128))
			return true;
	}
	return false;
}

// One entry: LAST becomes its name.
static bool take_entry(struct cursor *c, uint32_t version, struct buf *last)
{
	const unsigned char *start = c->at;
	size_t head = STAT + c->id + 2, strip;
	if ((size_t)(c->end - c->at) < head + 2)
		return false;
	if (version >= 3 && (start[head - 2] << 8 & EXTENDED))
		head += 2;
	c->at += head;
	if (version == 4) {
		if (!take_varint(c, &strip) || strip > last->len)
			return false;
		last->len -= strip;
	} else {
		buf_reset(last);
	}
	const unsigned char *nul = memchr(c->at, '\0', (size_t)(c->end - c->at));
	if (!nul)
		return false;
	buf_add(last, (const char *)c->at, (size_t)(nul - c->at));
	c->at = nul + 1;
	if (version < 4) {
		size_t whole = ((size_t)(nul - start) + 8) & ~(size_t)7;
		if (whole > (size_t)(c->end - start))
			return false;
		c->at = start + whole;
	}
	return true;
}

// The names of all entries, after what NAMES holds; false when DATA is not an index with such ids.
static bool take_entries(struct cursor *c, struct buf *names)
{
	AUTO(buf) struct buf last = BUF_INIT;
	if (c->end - c->at < HEADER || memcmp(c->at, "DIRC", 4) != 0)
		return false;
	uint32_t version = number(c->at + 4), n = number(c->at + 8);
	if (version < 2 || version > 4)
		return false;
	c->at += HEADER;
	for (uint32_t i = 0; i < n; i++) {
		if (!take_entry(c, version, &last))
			return false;
		// In a split index an entry that replaces another has no name.
		if (last.len)
			buf_add(names, last.data, last.len + 1);
	}
	return true;
}

// A split index names the file that holds the rest; the caller frees, NULL: it is whole.
static char *shared_name(const struct cursor *c)
{
	for (const unsigned char *p = c->at; (size_t)(c->end - p) > 8 + c->id;) {
		size_t len = number(p + 4);
		if (len > (size_t)(c->end - p) - 8)
			return NULL;
		if (memcmp(p, "link", 4) == 0 && len >= c->id) {
			struct buf name = BUF_INIT;
			buf_adds(&name, "sharedindex.");
			for (size_t i = 0; i < c->id; i++)
				buf_addf(&name, "%02x", p[8 + i]);
			return buf_detach(&name);
		}
		p += 8 + len;
	}
	return NULL;
}

static bool read_plain(int git_fd, const char *name, struct buf *data)
{
	struct err ignored = {0};
	struct stat st;
	AUTO(fd)
	int fd = openat(git_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       path_read_fd(fd, INDEX_MAX, data, &ignored) == 0;
}

static bool take_file(int git_fd, const char *file, size_t id, struct buf *names, bool follow)
{
	AUTO(buf) struct buf data = BUF_INIT;
	if (!read_plain(git_fd, file, &data))
		return false;
	struct cursor c = {.at = (const unsigned char *)data.data,
			   .end = (const unsigned char *)data.data + data.len,
			   .id = id};
	if (!take_entries(&c, names)) {
		buf_reset(names);
		return false;
	}
	AUTO(free) char *shared = follow ? shared_name(&c) : NULL;
	return !shared || take_file(git_fd, shared, id, names, false);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void index_read(struct index_names *out, int git_fd)
{
	*out = (struct index_names){.text = BUF_INIT};
	if (git_fd < 0 || (!take_file(git_fd, "index", 20, &out->text, true) &&
			   !take_file(git_fd, "index", 32, &out->text, true)))
		return;
	const char *end = out->text.data + out->text.len;
	size_t cap = 0;
	for (const char *s = out->text.data; s < end; s += strlen(s) + 1) {
		GROW(out->v, out->n, cap);
		out->v[out->n++] = s;
	}
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_name);
}

void index_release(struct index_names *x)
{
	free(x->v);
	buf_release(&x->text);
	*x = (struct index_names){.text = BUF_INIT};
}

bool index_has(const struct index_names *x, const char *path)
{
	size_t lo = 0, hi = x->n, len = strlen(path);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(x->v[mid], path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == x->n)
		return false;
	return len && path[len - 1] == '/' ? strncmp(x->v[lo], path, len) == 0
					   : strcmp(x->v[lo], path) == 0;
}

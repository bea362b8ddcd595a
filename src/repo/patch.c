/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/patch.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/path.h"

// Neither a hunk's line nor a line of a binary patch can begin so: this is always a new file.
static const char header[] = "diff --git ";

enum { HEADER_LEN = sizeof header - 1, FLUSH_AT = 128 << 10 };

int patch_begin(struct patch *p, int fd, int64_t max, struct err *err)
{
	*p = (struct patch){.fd = fd, .max = max, .line = BUF_INIT, .out = BUF_INIT};
	p->start = lseek(fd, 0, SEEK_CUR);
	if (p->start < 0)
		return err_set(err, ERR_INFRA, errno, "the patch must go into a file");
	return 0;
}

void patch_release(struct patch *p)
{
	buf_release(&p->line);
	buf_release(&p->out);
}

static int flush(struct patch *p, struct err *err)
{
	if (path_write_all(p->fd, p->out.data, p->out.len, err) < 0)
		return err_wrap(err, "write the patch");
	buf_reset(&p->out);
	return 0;
}

static void count_file(struct patch *p)
{
	p->added += p->file_added;
	p->removed += p->file_removed;
	p->file_added = p->file_removed = 0;
}

static int cut(struct patch *p, struct err *err)
{
	if (flush(p, err) < 0)
		return -1;
	p->truncated = true;
	p->files--;
	p->bytes = p->file_at;
	p->file_added = p->file_removed = 0;
	if (ftruncate(p->fd, p->start + p->bytes) < 0 ||
	    lseek(p->fd, p->start + p->bytes, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "cut the patch");
	return 1;
}

static int emit(struct patch *p, const char *data, size_t n, struct err *err)
{
	if (p->bytes + (int64_t)n > p->max)
		return cut(p, err);
	buf_add(&p->out, data, n);
	p->bytes += (int64_t)n;
	return p->out.len >= FLUSH_AT ? flush(p, err) : 0;
}

static bool is_header(const struct buf *line)
{
	return line->len >= HEADER_LEN && memcmp(line->data, header, HEADER_LEN) == 0;
}

// `git apply` cannot find the name of an empty file in "diff --git a/X b/X" when X contains " /", unless
// the names are quoted; git quotes for other reasons only.
static void quote_header(struct buf *line)
{
	const char *a = line->data + HEADER_LEN;
	size_t names = line->len - HEADER_LEN - 1, n = (names - 5) / 2;
	if (names < 7 || names != 2 * n + 5 || a[0] == '"' || memcmp(a + 2, a + n + 5, n) != 0 ||
	    !memmem(a + 2, n, " /", 2))
		return;
	struct buf quoted = BUF_INIT;
	buf_addf(&quoted, "%s\"%.*s\" \"%.*s\"\n", header, (int)n + 2, a, (int)n + 2, a + n + 3);
	buf_release(line);
	*line = quoted;
}

// What the line is, from its first bytes; a header is here as a whole.
static void classify(struct patch *p)
{
	const char *s = p->line.data;
	if (is_header(&p->line)) {
		count_file(p);
		p->file_at = p->bytes;
		p->files++;
		p->in_hunk = false;
		quote_header(&p->line);
	} else if (p->in_hunk) {
		p->file_added += s[0] == '+';
		p->file_removed += s[0] == '-';
	} else if (strncmp(s, "@@ ", 3) == 0) {
		p->in_hunk = true;
	}
}

static int start_line(struct patch *p, struct err *err)
{
	classify(p);
	int rc = emit(p, p->line.data, p->line.len, err);
	p->in_line = p->line.len && p->line.data[p->line.len - 1] != '\n';
	buf_reset(&p->line);
	return rc;
}

// How many bytes the next step may take at most: to the end of a line, or as many as tell what it is.
static size_t appetite(const struct patch *p, size_t n)
{
	if (p->in_line || is_header(&p->line))
		return n;
	size_t want = HEADER_LEN - p->line.len;
	return want < n ? want : n;
}

int patch_add(void *patch, const char *data, size_t n, struct err *err)
{
	struct patch *p = patch;
	int rc = 0;
	while (n && rc == 0) {
		size_t k = appetite(p, n);
		const char *nl = memchr(data, '\n', k);
		if (nl)
			k = (size_t)(nl - data) + 1;
		if (p->in_line) {
			rc = emit(p, data, k, err);
			p->in_line = !nl;
		} else {
			buf_add(&p->line, data, k);
			if (nl || (p->line.len == HEADER_LEN && !is_header(&p->line)))
				rc = start_line(p, err);
		}
		data += k;
		n -= k;
	}
	return rc;
}

int patch_end(struct patch *p, struct err *err)
{
	if (!p->truncated && p->line.len && start_line(p, err) < 0)
		return -1;
	count_file(p);
	return flush(p, err);
}

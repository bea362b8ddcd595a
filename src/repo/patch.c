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

// What the line is, from its first bytes.
static void classify(struct patch *p)
{
	const char *s = p->line.data;
	if (strncmp(s, header, HEADER_LEN) == 0) {
		count_file(p);
		p->file_at = p->bytes;
		p->files++;
		p->in_hunk = false;
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

int patch_add(void *patch, const char *data, size_t n, struct err *err)
{
	struct patch *p = patch;
	int rc = 0;
	while (n && rc == 0) {
		size_t want = p->in_line ? n : HEADER_LEN - p->line.len;
		const char *nl = memchr(data, '\n', want < n ? want : n);
		size_t k = nl ? (size_t)(nl - data) + 1 : want < n ? want : n;
		if (p->in_line) {
			rc = emit(p, data, k, err);
			p->in_line = !nl;
		} else {
			buf_add(&p->line, data, k);
			if (nl || p->line.len == HEADER_LEN)
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

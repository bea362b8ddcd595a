/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/import.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "git/git.h"

enum { FLUSH_AT = 256 << 10 };

int import_open(struct import *imp, int dir_fd, struct err *err)
{
	static const char name[] = "import.stream";
	*imp = (struct import){.fd = -1, .buf = BUF_INIT};
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "create %s", name);
	unlinkat(dir_fd, name, 0);
	imp->fd = fd;
	return 0;
}

void import_close(struct import *imp)
{
	auto_fd(&imp->fd);
	imp->fd = -1;
	buf_release(&imp->buf);
}

static int flush(struct import *imp, struct err *err)
{
	if (path_write_all(imp->fd, imp->buf.data, imp->buf.len, err) < 0)
		return err_wrap(err, "write the import stream");
	buf_reset(&imp->buf);
	return 0;
}

// Counts what was added since OLD_LEN and writes when it is worth a call.
static int added(struct import *imp, size_t old_len, struct err *err)
{
	imp->size += (int64_t)(imp->buf.len - old_len);
	return imp->buf.len >= FLUSH_AT ? flush(imp, err) : 0;
}

static void add_quoted(struct buf *b, const char *path)
{
	buf_addc(b, '"');
	for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_addc(b, '\\');
		if (*p < 0x20 || *p >= 0x7f)
			buf_addf(b, "\\%03o", *p);
		else
			buf_addc(b, (char)*p);
	}
	buf_addc(b, '"');
}

int import_commit(struct import *imp, const char *from, int64_t date, const char *message,
		  struct err *err)
{
	size_t old = imp->buf.len;
	buf_addf(&imp->buf,
		 "commit " IMPORT_REF "\ncommitter rollouts <rollouts@localhost> %" PRId64
		 " +0000\ndata %zu\n%s\n",
		 date, strlen(message), message);
	if (from)
		buf_addf(&imp->buf, "from %s\n", from);
	return added(imp, old, err);
}

int import_delete(struct import *imp, const char *path, struct err *err)
{
	size_t old = imp->buf.len;
	buf_adds(&imp->buf, "D ");
	add_quoted(&imp->buf, path);
	buf_addc(&imp->buf, '\n');
	return added(imp, old, err);
}

int import_tree(struct import *imp, const char *path, const char *tree_id, struct err *err)
{
	size_t old = imp->buf.len;
	buf_addf(&imp->buf, "M 040000 %s ", tree_id);
	add_quoted(&imp->buf, path);
	buf_addc(&imp->buf, '\n');
	return added(imp, old, err);
}

static void add_inline(struct buf *b, const char *mode, const char *path, int64_t size)
{
	buf_addf(b, "M %s inline ", mode);
	add_quoted(b, path);
	buf_addf(b, "\ndata %" PRId64 "\n", size);
}

int import_link(struct import *imp, const char *path, const char *target, size_t len,
		struct err *err)
{
	size_t old = imp->buf.len;
	add_inline(&imp->buf, "120000", path, (int64_t)len);
	buf_add(&imp->buf, target, len);
	buf_addc(&imp->buf, '\n');
	return added(imp, old, err);
}

static ssize_t read_some(int fd, char *to, size_t n)
{
	ssize_t got;
	while ((got = read(fd, to, n)) < 0 && errno == EINTR)
		;
	return got;
}

// Content goes through the buffer until it is worth a write of its own. Returns the bytes that were
// missing.
static int64_t copy_content(struct import *imp, int fd, int64_t size, struct err *err)
{
	while (size > 0) {
		size_t want = size < 65536 ? (size_t)size : 65536;
		buf_grow(&imp->buf, want);
		ssize_t n = read_some(fd, imp->buf.data + imp->buf.len, want);
		if (n <= 0)
			return size;
		imp->buf.len += (size_t)n;
		imp->buf.data[imp->buf.len] = '\0';
		imp->size += n;
		size -= n;
		if (imp->buf.len >= FLUSH_AT && flush(imp, err) < 0)
			return -1;
	}
	return 0;
}

static int roll_back(struct import *imp, off_t start, struct err *err)
{
	buf_reset(&imp->buf);
	imp->size = start;
	if (ftruncate(imp->fd, start) < 0 || lseek(imp->fd, start, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "rewind the import stream");
	return 0;
}

int import_file(struct import *imp, const char *path, bool executable, int fd, int64_t size,
		bool *short_read, struct err *err)
{
	*short_read = false;
	// Nothing is written half way through a file that shares the buffer with others, or it
	// could not be taken back.
	if ((int64_t)imp->buf.len + size >= FLUSH_AT / 2 && flush(imp, err) < 0)
		return -1;
	size_t old = imp->buf.len;
	int64_t start = imp->size;
	add_inline(&imp->buf, executable ? "100755" : "100644", path, size);
	imp->size += (int64_t)(imp->buf.len - old);
	int64_t missing = copy_content(imp, fd, size, err);
	if (missing < 0)
		return -1;
	if (missing > 0) {
		*short_read = true;
		if (old == 0)
			return roll_back(imp, start, err);
		imp->buf.len = old;
		imp->buf.data[old] = '\0';
		imp->size = start;
		return 0;
	}
	old = imp->buf.len;
	buf_addc(&imp->buf, '\n');
	return added(imp, old, err);
}

int import_run(struct import *imp, int dir_fd, const char *git_dir, int64_t deadline_ms,
	       struct err *err)
{
	if (flush(imp, err) < 0)
		return -1;
	if (lseek(imp->fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "rewind the import stream");
	// The objects live for moments: compressing or syncing them, or looking for deltas, is time
	// lost.
	static const char *const argv[] = {
		"-c",	   "core.compression=0", "-c", "core.fsync=none", "fast-import",
		"--quiet", "--depth=0",		 NULL};
	AUTO(free) char *dir = xasprintf("GIT_DIR=%s", git_dir);
	const char *env[] = {dir, NULL};
	struct git_cmd c = {
		.dir_fd = dir_fd,
		.argv = argv,
		.env = env,
		.in_fd = imp->fd,
		.deadline_ms = deadline_ms,
	};
	return git_must(&c, NULL, err);
}

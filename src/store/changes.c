/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/changes.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

enum { CHANGES_MAX = 256 << 10 };

/* The user's own file: a link to another place is as good. */
static int read_first(const char *path, struct buf *out, struct err *err)
{
	struct stat st;
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st))
		return err_set(err, ERR_USAGE, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return 0;
	buf_grow(out, CHANGES_MAX);
	while (out->len < CHANGES_MAX) {
		ssize_t n = read(fd, out->data + out->len, CHANGES_MAX - out->len);
		if (n < 0)
			return err_set(err, ERR_USAGE, errno, "%s", path);
		if (n == 0)
			break;
		out->len += (size_t)n;
	}
	out->data[out->len] = '\0';
	return 0;
}

int changes_keep(int dir_fd, const char *config_path, struct err *err)
{
	static const char *const names[] = {"CHANGES", "CHANGES.md"};
	AUTO(free) char *folder = path_folder(config_path);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(free) char *path = path_join(folder, names[i]);
		AUTO(buf) struct buf text = BUF_INIT;
		if (read_first(path, &text, err))
			return -1;
		if (text.len)
			return path_write(dir_fd, ROLLOUT_CHANGES, text.data, text.len, 0644, false,
					  err);
	}
	return 0;
}

void changes_read(const struct rollout *r, struct buf *out)
{
	AUTO(free) char *path = path_join(r->ref.path, ROLLOUT_CHANGES);
	AUTO(fd) int root = open(r->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err ignored;

	if (root < 0 || path_read_beneath(root, path, CHANGES_MAX, out, &ignored))
		buf_reset(out);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cloud/archive.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include "base/cleanup.h"
#include "base/mem.h"

enum { LEVEL = 3 };

static int write_all(int fd, const char *data, size_t n, struct err *err)
{
	while (n) {
		ssize_t k = write(fd, data, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_set(err, ERR_INFRA, errno, "write an archive");
		data += k;
		n -= (size_t)k;
	}
	return 0;
}

int archive_compress(int out_fd, int in_fd, struct err *err)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	const size_t in_size = ZSTD_CStreamInSize(), out_size = ZSTD_CStreamOutSize();
	AUTO(free) char *from = xmalloc(in_size);
	AUTO(free) char *to = xmalloc(out_size);
	int rc = 0;
	bool over = false;

	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
	while (!rc && !over) {
		ssize_t n = read(in_fd, from, in_size);
		if (n < 0)
			rc = err_set(err, ERR_INFRA, errno, "read an archive");
		ZSTD_inBuffer in = {from, n > 0 ? (size_t)n : 0, 0};
		for (bool more = !rc; more;) {
			ZSTD_outBuffer out = {to, out_size, 0};
			size_t left = ZSTD_compressStream2(z, &out, &in,
							   n ? ZSTD_e_continue : ZSTD_e_end);
			rc = ZSTD_isError(left)
				     ? err_set(err, ERR_INFRA, 0, "compress an archive: %s",
					       ZSTD_getErrorName(left))
				     : write_all(out_fd, to, out.pos, err);
			more = !rc && (n ? in.pos < in.size : left > 0);
			over = !n && !left;
		}
	}
	ZSTD_freeCCtx(z);
	return rc;
}

int archive_expand(int out_fd, int in_fd, struct err *err)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	const size_t in_size = ZSTD_DStreamInSize(), out_size = ZSTD_DStreamOutSize();
	AUTO(free) char *from = xmalloc(in_size);
	AUTO(free) char *to = xmalloc(out_size);
	size_t left = 1;
	ssize_t n;
	int rc = 0;

	while (!rc && (n = read(in_fd, from, in_size)) > 0) {
		ZSTD_inBuffer in = {from, (size_t)n, 0};
		while (!rc && in.pos < in.size) {
			ZSTD_outBuffer out = {to, out_size, 0};
			left = ZSTD_decompressStream(z, &out, &in);
			rc = ZSTD_isError(left)
				     ? err_set(err, ERR_USAGE, 0, "a damaged archive: %s",
					       ZSTD_getErrorName(left))
				     : write_all(out_fd, to, out.pos, err);
		}
	}
	if (!rc && left)
		rc = err_set(err, ERR_USAGE, 0, "an archive that is cut off");
	ZSTD_freeDCtx(z);
	return rc;
}

int archive_fetch(struct s3 *s, const char *key, int dir_fd, const char *path, struct err *err)
{
	AUTO(free) char *packed = xasprintf("%s.zst", path);
	AUTO(fd)
	int in = openat(dir_fd, packed, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	AUTO(fd)
	int out = openat(dir_fd, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct s3_object o = {.key = key, .fd = in};

	if (in < 0 || out < 0)
		return err_set(err, ERR_INFRA, errno, "create %s", path);
	int rc = s3_get(s, &o, 1, err);
	buf_release(&o.text);
	if (!rc && o.rc)
		rc = err_set(err, ERR_INFRA, 0, "s3://%s/%s%s%s is not there", s->place.bucket,
			     s->place.prefix, *s->place.prefix ? "/" : "", key);
	if (!rc)
		rc = archive_expand(out, in, err);
	unlinkat(dir_fd, packed, 0);
	if (rc)
		unlinkat(dir_fd, path, 0);
	return rc;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/decode.h"
#include <brotli/decode.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>
#include "base/cleanup.h"
#include "base/mem.h"

enum { STEP = 64 << 10, CODINGS_MAX = 4, ZSTD_WINDOW_LOG = 27 };

/* What a decoder reads and writes in one step. */
struct piece {
	const unsigned char *in;
	size_t in_n;
	unsigned char *out;
	size_t out_n;
};

enum step { STEP_MORE, STEP_DONE, STEP_BROKEN };

static enum step inflate_step(void *state, struct piece *p)
{
	z_stream *z = state;
	uInt in_n = p->in_n > INT_MAX ? INT_MAX : (uInt)p->in_n, out_n = (uInt)p->out_n;

	z->next_in = (Bytef *)p->in;
	z->avail_in = in_n;
	z->next_out = p->out;
	z->avail_out = out_n;
	int rc = inflate(z, Z_NO_FLUSH);
	p->in += in_n - z->avail_in;
	p->in_n -= in_n - z->avail_in;
	p->out_n = z->avail_out;
	return rc == Z_STREAM_END ? STEP_DONE : rc == Z_OK ? STEP_MORE : STEP_BROKEN;
}

static enum step brotli_step(void *state, struct piece *p)
{
	BrotliDecoderResult rc =
		BrotliDecoderDecompressStream(state, &p->in_n, &p->in, &p->out_n, &p->out, NULL);
	return rc == BROTLI_DECODER_RESULT_SUCCESS ? STEP_DONE
	       : rc == BROTLI_DECODER_RESULT_ERROR ? STEP_BROKEN
						   : STEP_MORE;
}

static enum step zstd_step(void *state, struct piece *p)
{
	ZSTD_inBuffer in = {p->in, p->in_n, 0};
	ZSTD_outBuffer out = {p->out, p->out_n, 0};
	size_t rc = ZSTD_decompressStream(state, &out, &in);

	p->in += in.pos;
	p->in_n -= in.pos;
	p->out_n -= out.pos;
	return ZSTD_isError(rc) ? STEP_BROKEN : rc == 0 && !p->in_n ? STEP_DONE : STEP_MORE;
}

static int run(struct buf *out, const struct buf *in, size_t max, void *state,
	       enum step (*step)(void *state, struct piece *p), const char *coding, struct err *err)
{
	struct piece p = {(const unsigned char *)in->data, in->len, NULL, 0};
	enum step got = STEP_MORE;

	while (got == STEP_MORE) {
		buf_grow(out, STEP);
		p.out = (unsigned char *)out->data + out->len;
		p.out_n = STEP;
		size_t before = p.in_n;
		got = step(state, &p);
		out->len += STEP - p.out_n;
		out->data[out->len] = '\0';
		if (out->len > max)
			return err_set(err, ERR_LIMIT, 0, "it is larger than %zu bytes", max);
		if (got == STEP_MORE && p.out_n == STEP && before == p.in_n)
			got = STEP_BROKEN; /* it ends too early */
	}
	if (got == STEP_BROKEN)
		return err_set(err, ERR_USAGE, 0, "it is no %s data", coding);
	return 0;
}

static int decode_inflate(struct buf *out, const struct buf *in, size_t max, const char *coding,
			  struct err *err)
{
	/* "deflate" is zlib's format by the standard, and raw by some who send it. */
	bool raw = strcasecmp(coding, "deflate") == 0 && in->len && (in->data[0] & 0x0f) != 8;
	z_stream z = {0};

	if (inflateInit2(&z, raw ? -15 : 15 + 32) != Z_OK)
		bug("inflateInit2");
	int rc = run(out, in, max, &z, inflate_step, coding, err);
	inflateEnd(&z);
	return rc;
}

static int decode_brotli(struct buf *out, const struct buf *in, size_t max, struct err *err)
{
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);

	if (!s)
		bug("BrotliDecoderCreateInstance");
	int rc = run(out, in, max, s, brotli_step, "br", err);
	BrotliDecoderDestroyInstance(s);
	return rc;
}

static int decode_zstd(struct buf *out, const struct buf *in, size_t max, struct err *err)
{
	ZSTD_DCtx *s = ZSTD_createDCtx();

	if (!s)
		bug("ZSTD_createDCtx");
	ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	int rc = run(out, in, max, s, zstd_step, "zstd", err);
	ZSTD_freeDCtx(s);
	return rc;
}

static int decode_one(struct buf *out, const struct buf *in, size_t max, const char *coding,
		      struct err *err)
{
	if (!strcasecmp(coding, "gzip") || !strcasecmp(coding, "x-gzip") ||
	    !strcasecmp(coding, "deflate"))
		return decode_inflate(out, in, max, coding, err);
	if (!strcasecmp(coding, "br"))
		return decode_brotli(out, in, max, err);
	if (!strcasecmp(coding, "zstd"))
		return decode_zstd(out, in, max, err);
	return err_set(err, ERR_USAGE, 0, "nobody here decodes \"%.20s\"", coding);
}

int decode_body(struct buf *out, const char *coding, const void *data, size_t n, size_t max,
		struct err *err)
{
	AUTO(free) char *list = xstrdup(coding);
	char *names[CODINGS_MAX], *rest = NULL;
	size_t names_n = 0;
	struct buf at = BUF_INIT;

	for (char *name = strtok_r(list, ", \t", &rest); name;
	     name = strtok_r(NULL, ", \t", &rest)) {
		if (names_n == CODINGS_MAX)
			return err_set(err, ERR_USAGE, 0, "it was encoded too often");
		names[names_n++] = name;
	}
	buf_add(&at, data, n);
	while (names_n) {
		struct buf next = BUF_INIT;
		const char *name = names[--names_n];
		if (strcasecmp(name, "identity") == 0)
			continue;
		int rc = decode_one(&next, &at, max, name, err);
		buf_release(&at);
		at = next;
		if (rc) {
			buf_release(&at);
			return -1;
		}
	}
	buf_add(out, at.data, at.len);
	buf_release(&at);
	return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/untar.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#define META_MAX (1 << 20)

/* Octal digits, or a large number in the bytes themselves. */
static int64_t number(const char *field, size_t n)
{
	char digits[16] = {0};
	uint64_t value = 0;

	if (!((unsigned char)field[0] & 0x80)) {
		memcpy(digits, field, n < sizeof digits ? n : sizeof digits - 1);
		return strtoll(digits, NULL, 8);
	}
	for (size_t i = n > 8 ? n - 8 : 1; i < n; i++)
		value = value << 8 | (unsigned char)field[i];
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* "LENGTH KEY=VALUE\n" each. */
static void take_pax(struct tar *t)
{
	char *at = t->meta.data, *end = at + t->meta.len;

	while (at < end) {
		char *rest;
		long len = strtol(at, &rest, 10);
		if (len <= 0 || len > end - at || *rest != ' ' || at[len - 1] != '\n')
			return;
		at[len - 1] = '\0';
		if (!strncmp(rest, " path=", 6)) {
			buf_reset(&t->long_path);
			buf_adds(&t->long_path, rest + 6);
		} else if (!strncmp(rest, " linkpath=", 10)) {
			buf_reset(&t->long_link);
			buf_adds(&t->long_link, rest + 10);
		} else if (!strncmp(rest, " size=", 6)) {
			t->size = strtoll(rest + 6, NULL, 10);
			t->has_size = t->size >= 0;
		}
		at += len;
	}
}

static void take_meta(struct tar *t)
{
	struct buf *to = t->kind == 'L' ? &t->long_path : &t->long_link;

	buf_add(&t->meta, "", 0);
	if (t->kind == 'x') {
		take_pax(t);
	} else if (t->kind != 'g') {
		buf_reset(to);
		buf_adds(to, t->meta.data);
	}
	buf_reset(&t->meta);
}

static char *name_in(const char *head, const struct buf *longer)
{
	const char *prefix = head + 345;

	if (longer->len)
		return xstrdup(longer->data);
	if (!memcmp(head + 257, "ustar", 5) && *prefix && !memcmp(head + 262, "\0", 1))
		return xasprintf("%.155s/%.100s", prefix, head);
	return xasprintf("%.100s", head);
}

/* Whether the sink was told of it: *TOLD. */
static int tell(struct tar *t, int64_t size, bool *told, struct err *err)
{
	const char *head = t->head;
	AUTO(free) char *path = name_in(head, &t->long_path);
	AUTO(free)
	char *target =
		t->long_link.len ? xstrdup(t->long_link.data) : xasprintf("%.100s", head + 157);
	struct tar_entry e = {.target = target,
			      .mode = (mode_t)(number(head + 100, 8) & 07777),
			      .size = size,
			      .mtime = number(head + 136, 12)};

	*told = false;
	buf_reset(&t->long_path);
	buf_reset(&t->long_link);
	if (!strchr("07521", t->kind))
		return 0;
	e.kind = t->kind == '5'	  ? TAR_FOLDER
		 : t->kind == '2' ? TAR_LINK
		 : t->kind == '1' ? TAR_HARD_LINK
				  : TAR_FILE;
	char *from = path;
	while (!strncmp(from, "./", 2))
		from += 2;
	size_t len = strlen(from);
	while (len && from[len - 1] == '/')
		from[--len] = '\0';
	e.path = from;
	if (!path_is_inside(from))
		return 0;
	*told = true;
	return t->sink->entry(t->sink->arg, &e, err);
}

static int end_content(struct tar *t, struct err *err)
{
	if (strchr("LKxg", t->kind))
		take_meta(t);
	else if (t->told)
		return t->sink->content(t->sink->arg, NULL, 0, err);
	return 0;
}

static int begin(struct tar *t, struct err *err)
{
	const char *head = t->head;
	int64_t size = number(head + 124, 12);

	t->head_n = 0;
	if (!*head) /* zeros: the end, or what stands between archives */
		return 0;
	t->kind = head[156] ? head[156] : '0';
	const bool meta = strchr("LKxg", t->kind);
	if (!meta && t->has_size)
		size = t->size;
	if (size < 0 || (meta && size > META_MAX))
		return err_set(err, ERR_INFRA, 0, "the engine sent a damaged archive");
	if (!meta) {
		t->has_size = false;
		if (t->kind != '0' && t->kind != '7')
			size = 0;
		if (tell(t, size, &t->told, err))
			return -1;
	}
	t->left = size;
	t->padding = (512 - size % 512) % 512;
	return size ? 0 : end_content(t, err);
}

static int take_content(struct tar *t, const char *data, size_t n, struct err *err)
{
	t->left -= (int64_t)n;
	if (strchr("LKxg", t->kind))
		buf_add(&t->meta, data, n);
	else if (t->told && t->sink->content(t->sink->arg, data, n, err))
		return -1;
	return t->left ? 0 : end_content(t, err);
}

int tar_feed(struct tar *t, const char *data, size_t n, struct err *err)
{
	while (n) {
		size_t take = sizeof t->head - t->head_n;
		if (t->left)
			take = (uint64_t)t->left < n ? (size_t)t->left : n;
		else if (t->padding)
			take = (size_t)t->padding;
		take = take < n ? take : n;
		if (t->left) {
			if (take_content(t, data, take, err))
				return -1;
		} else if (t->padding) {
			t->padding -= (int64_t)take;
		} else {
			memcpy(t->head + t->head_n, data, take);
			t->head_n += take;
			if (t->head_n == sizeof t->head && begin(t, err))
				return -1;
		}
		data += take;
		n -= take;
	}
	return 0;
}

void tar_release(struct tar *t)
{
	buf_release(&t->meta);
	buf_release(&t->long_path);
	buf_release(&t->long_link);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/plain.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"

/* A stream of ours in the place of a standard one. */
struct plain {
	int fd;
	bool exact;
	char rest[4]; /* of a character that is not complete yet */
	size_t rest_n;
};

static struct plain out = {.fd = STDOUT_FILENO}, err = {.fd = STDERR_FILENO};

bool plain_is_wanted(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *locale = getenv(names[i]);
		if (locale && *locale)
			return !strcasestr(locale, "utf-8") && !strcasestr(locale, "utf8");
	}
	return false;
}

/* The length of the character that S begins with, by its first byte; 0: none begins so. */
static size_t length_of(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if ((first & 0xf0) == 0xe0)
		return 3;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

static void add_character(struct buf *to, const char *s, size_t n)
{
	static const char *const marks[][2] = {
		{"✓", "+"}, {"✗", "x"}, {"–", "-"}, {"—", "-"},	 {"×", "x"},
		{"…", "~"}, {"⠋", "|"}, {"⠙", "/"}, {"⠹", "-"},	 {"⠸", "\\"},
		{"⠼", "|"}, {"⠴", "/"}, {"⠦", "-"}, {"⠧", "\\"}, {"⠇", "|"},
		{"⠏", "/"}, {"’", "'"}, {"‘", "'"}, {"█", "#"},	 {"░", "."},
	};
	unsigned long code = (unsigned char)s[0] & (0xffu >> (n + 1));

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (strlen(marks[i][0]) == n && memcmp(marks[i][0], s, n) == 0) {
			buf_adds(to, marks[i][1]);
			return;
		}
	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)s[i] & 0x3f);
	buf_addf(to, code > 0xffff ? "\\U%08lx" : "\\u%04lx", code);
}

size_t plain_text(struct buf *to, const char *s, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t n = length_of((unsigned char)s[i]);
		if (n > 1 && i + n > len)
			break;
		if (n == 1)
			buf_addc(to, s[i]);
		else if (n)
			add_character(to, s + i, n);
		else
			buf_addf(to, "\\x%02x", (unsigned char)s[i]);
		i += n ? n : 1;
	}
	return i;
}

static bool write_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t w = write(fd, s, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return false;
		s += w;
		n -= (size_t)w;
	}
	return true;
}

static ssize_t on_write(void *cookie, const char *s, size_t n)
{
	struct plain *p = cookie;
	AUTO(buf) struct buf all = BUF_INIT, ascii = BUF_INIT;

	if (p->exact)
		return write_all(p->fd, s, n) ? (ssize_t)n : 0;
	buf_add(&all, p->rest, p->rest_n);
	buf_add(&all, s, n);
	size_t taken = plain_text(&ascii, all.data, all.len);
	p->rest_n = all.len - taken;
	memcpy(p->rest, all.data + taken, p->rest_n);
	return write_all(p->fd, ascii.data, ascii.len) ? (ssize_t)n : 0;
}

static void replace(FILE **stream, struct plain *p, int buffering)
{
	FILE *plain = fopencookie(p, "w", (cookie_io_functions_t){.write = on_write});

	if (!plain)
		return;
	setvbuf(plain, NULL, buffering, BUFSIZ);
	*stream = plain;
}

void plain_streams(void)
{
	if (!plain_is_wanted())
		return;
	replace(&stdout, &out, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
	replace(&stderr, &err, _IOLBF);
}

void plain_exact(void)
{
	fflush(stdout);
	out.exact = true;
}

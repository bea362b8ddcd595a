/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agentkit/registry.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "os/fdio.h"
#include "os/spawn.h"

/* npm itself may take long to start on a machine that is busy. */
enum { ANSWER_MS = 8000, START_MS = 120000, TEXT_MAX = 64 << 10 };

static int unreachable(const char *why, struct err *err)
{
	return err_set(
		err, ERR_INFRA, 0,
		"npm cannot reach its registry (%s): fetching an agent needs a network; behind "
		"a proxy set HTTPS_PROXY, for a registry of your own npm_config_registry",
		why);
}

int registry_network_error(const char *text, struct err *err)
{
	static const char *const codes[] = {
		"ENOTFOUND",	"EAI_AGAIN",  "ECONNREFUSED", "ETIMEDOUT",	    "ENETUNREACH",
		"EHOSTUNREACH", "ECONNRESET", "ENETDOWN",     "ERR_SOCKET_TIMEOUT", "EADDRNOTAVAIL",
	};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strstr(text, codes[i]))
			return unreachable(codes[i], err);
	return 0;
}

/* What it writes until it ends; -1: it has been silent since it asked, for too long. */
static int read_words(int fd, struct buf *text)
{
	int64_t deadline = clock_mono_ms() + START_MS;
	char block[4096];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (fd_poll(&p, 1, deadline) <= 0)
			return -1;
		ssize_t n = read(fd, block, sizeof block);
		if (n <= 0)
			return 0;
		if (!text->len) /* "npm notice PING": now it asks */
			deadline = clock_mono_ms() + ANSWER_MS;
		if (text->len < TEXT_MAX)
			buf_add(text, block, (size_t)n);
	}
}

int registry_reach(int dir, struct err *err)
{
	static const char *const argv[] = {
		"npm", "ping", "--loglevel=notice", "--no-update-notifier", "--fetch-retries=0",
		NULL};
	AUTO(buf) struct buf text = BUF_INIT;
	struct child npm;
	int words[2];

	if (fd_pipe(words, err))
		return -1;
	AUTO(fd) int from = words[0];
	const struct spawn s = {.argv = argv, .dir_fd = dir, .in = -1, .out = -1, .err = words[1]};
	int rc = spawn_start(&npm, &s, true, err);
	close(words[1]);
	if (rc)
		return err_wrap(err, "npm");
	rc = read_words(from, &text);
	spawn_kill(&npm, true);
	if (rc)
		return unreachable("it does not answer", err);
	return registry_network_error(text.len ? text.data : "", err);
}

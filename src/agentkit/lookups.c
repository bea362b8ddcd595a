/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nscd's protocol: a request is three 32-bit numbers (version 2, what is asked, the length of the key) and the key; an answer to "which
 * addresses" begins with version, found, and four more. A connection that is closed unanswered sends the library elsewhere.
 */
#include "agentkit/lookups.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"

enum { NSCD_VERSION = 2, GET_BY_NAME = 4, GET_BY_NAME6 = 5, GET_ADDRESSES = 14, HOST_UNKNOWN = 1 };

struct request {
	int32_t version, type, len;
};

static void note(struct lookups *l, const char *host)
{
	const unsigned n = atomic_load(&l->n);
	unsigned i = 0;

	while (i < n && strcmp(l->v[i].host, host) != 0)
		i++;
	if (i == LOOKUP_HOSTS)
		return;
	if (i == n) {
		l->v[i] = (struct lookup){.first_ms = clock_mono_ms()};
		snprintf(l->v[i].host, sizeof l->v[i].host, "%s", host);
		atomic_store(&l->n, n + 1);
	}
	l->v[i].times++;
	l->v[i].last_ms = clock_mono_ms();
}

static bool is_name(const char *host)
{
	return *host && strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789.-_") == strlen(host);
}

/* Which is asked for on the way to the model; left to the library, it would ask nobody here for a while. By both forms: numbers, name, address,
 * and in the one of them what kind the address is. */
static void answer_localhost(int fd, int32_t type)
{
	static const char name[] = "localhost";
	static const int32_t addresses[6] = {NSCD_VERSION, 1, 1, 4, sizeof name, 0};
	static const int32_t entry[8] = {NSCD_VERSION, 1, sizeof name, 0, AF_INET, 4, 1, 0};
	static const char address[5] = {127, 0, 0, 1, AF_INET};
	AUTO(buf) struct buf out = BUF_INIT;

	if (type == GET_ADDRESSES) {
		buf_add(&out, addresses, sizeof addresses);
		buf_add(&out, address, 5);
		buf_add(&out, name, sizeof name);
	} else {
		buf_add(&out, entry, sizeof entry);
		buf_add(&out, name, sizeof name);
		buf_add(&out, address, 4);
	}
	(void)!send(fd, out.data, out.len, MSG_NOSIGNAL);
}

/* What has no dot is the machine's own, which /etc/hosts knows: left to the library. */
static void serve(int fd, struct lookups *l)
{
	const struct timeval idle = {.tv_sec = 1};
	struct request r;
	char host[LOOKUP_NAME] = "";

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
	if (recv(fd, &r, sizeof r, MSG_WAITALL) != (ssize_t)sizeof r || r.version != NSCD_VERSION ||
	    r.len < 2 || r.len >= LOOKUP_NAME ||
	    recv(fd, host, (size_t)r.len, MSG_WAITALL) != r.len || host[r.len - 1] ||
	    (r.type != GET_ADDRESSES && r.type != GET_BY_NAME && r.type != GET_BY_NAME6) ||
	    !is_name(host))
		return;
	if (r.type != GET_BY_NAME6 && !strcmp(host, "localhost")) {
		answer_localhost(fd, r.type);
		return;
	}
	if (!strchr(host, '.')) {
		static const int32_t elsewhere[8] = {NSCD_VERSION, -1};
		(void)!send(fd, elsewhere, sizeof elsewhere, MSG_NOSIGNAL);
		return;
	}
	note(l, host);
	const int32_t addresses[6] = {NSCD_VERSION, 0, 0, 0, 0, HOST_UNKNOWN};
	const int32_t entry[8] = {NSCD_VERSION, 0, 0, 0, -1, -1, 0, HOST_UNKNOWN};
	if (r.type == GET_ADDRESSES)
		(void)!send(fd, addresses, sizeof addresses, MSG_NOSIGNAL);
	else
		(void)!send(fd, entry, sizeof entry, MSG_NOSIGNAL);
}

pid_t lookups_start(int listener, struct lookups *l)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (true) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
			_exit(1);
		if (fd < 0)
			continue;
		serve(fd, l);
		close(fd);
	}
}

void lookups_tell(const struct lookups *l, struct strv *lines)
{
	const unsigned n = atomic_load(&l->n);

	for (unsigned i = 0; i < n && i < LOOKUP_HOSTS; i++) {
		const struct lookup *k = &l->v[i];
		char span[16], more[80] = "";
		clock_human(k->last_ms - k->first_ms, span);
		if (k->times > 1)
			snprintf(more, sizeof more, ", %u times, %s from the first to the last",
				 k->times, span);
		strv_pushf(lines, "looked up %s, which no sandbox can reach%s", k->host, more);
	}
}

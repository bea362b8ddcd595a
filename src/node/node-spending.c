/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/node-spending.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"

enum { AGAIN_MS = 1000, LOG_MAX = 1 << 30 };

static const char *const logs[] = {ATTEMPT_CALLS, ATTEMPT_CALLS_OPEN, ATTEMPT_JUDGE_CALLS,
				   ATTEMPT_JUDGE_CALLS_OPEN};

void node_spending_start(struct node_spending *s)
{
	*s = (struct node_spending){.next_ms = clock_mono_ms() + AGAIN_MS};
}

static int64_t look(int root_fd, const char *dir)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		AUTO(free) char *path = path_join(dir, logs[i]);
		struct stat st;
		struct err ignored;
		AUTO(fd) int fd = path_open_beneath(root_fd, path, O_RDONLY, 0, &ignored);
		seen *= 31;
		if (fd >= 0 && !fstat(fd, &st))
			seen += (uint64_t)st.st_size + (uint64_t)st.st_mtim.tv_sec * 1000000000 +
				(uint64_t)st.st_mtim.tv_nsec;
	}
	return (int64_t)seen;
}

json_t *node_spending_news(struct node_spending *s, int root_fd, const char *dir)
{
	struct call_log_sum sum = {0};

	if (!s->next_ms || clock_mono_ms() < s->next_ms)
		return NULL;
	s->next_ms = clock_mono_ms() + AGAIN_MS;
	/* Looked at before they are read: what comes in between is news the next time. */
	const int64_t seen = look(root_fd, dir);
	if (seen == s->seen)
		return NULL;
	s->seen = seen;
	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		AUTO(free) char *path = path_join(dir, logs[i]);
		AUTO(buf) struct buf text = BUF_INIT;
		struct err ignored; /* there may be none */
		if (!path_read_beneath(root_fd, path, LOG_MAX, &text, &ignored))
			call_log_add_up(&sum, text.data, text.len);
	}
	if (sum.calls == s->told.calls && sum.tokens == s->told.tokens)
		return NULL;
	s->told = sum;
	json_t *line = json_object();
	json_put_str(line, "event", EVENT_SPENDING);
	json_put_int(line, "calls", sum.calls);
	json_put_int(line, "tokens", sum.tokens);
	json_put_real(line, "usd", sum.usd);
	json_put_int(line, "unpriced_calls", sum.unpriced_calls);
	return line;
}

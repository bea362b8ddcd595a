/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "os/spawn.h"
#include "slurm/slurm.h"

enum { ANSWER_MAX = 256 << 20, ASK_MS = 60000 };

int slurm_ask(struct answer *a, const char *const *argv, struct err *err)
{
	const struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};

	*a = (struct answer){0, BUF_INIT, BUF_INIT};
	return spawn_run(&s, NULL, 0, ANSWER_MAX, clock_mono_ms() + ASK_MS, &a->out, &a->err,
			 &a->status, err);
}

void answer_release(struct answer *a)
{
	buf_release(&a->out);
	buf_release(&a->err);
}

const char *answer_words(const struct answer *a)
{
	char *text = a->err.data;
	size_t n = a->err.len;

	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	const char *line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

static bool says(const struct answer *a, const char *const *words)
{
	for (; *words; words++)
		if (strcasestr(a->err.data, *words))
			return true;
	return false;
}

bool answer_is_passing(const struct answer *a)
{
	static const char *const words[] = {"Unable to contact slurm controller",
					    "Socket timed out",
					    "Connection refused",
					    "temporarily unable",
					    "Slurm backup controller in standby",
					    "Zero Bytes were transmitted",
					    "try again later",
					    "rate limit",
					    NULL};
	return says(a, words);
}

bool answer_is_full(const struct answer *a)
{
	static const char *const words[] = {
		"MaxSubmitJob", "job submit limit",	"Reached maximum number of jobs",
		"MaxJobCount",	"Slurm job queue full", NULL};
	return says(a, words);
}

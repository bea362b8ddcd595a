/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <sys/mman.h>
#include "agent/agent-kind.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"

static int apply_gold(const struct agent_job *job, struct sandbox *s, char **why, struct err *err)
{
	AUTO(fd) int fd = memfd_create("gold.patch", MFD_CLOEXEC);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memory for the gold diff");
	if (path_write_all(fd, job->gold, job->gold_len, err))
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "rewind the gold diff");
	return sandbox_apply(s, fd, -1, why, err);
}

/* Applies the task's gold diff: what the tests say of the known solution. */
static int oracle_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
		      struct err *err)
{
	AUTO(free) char *why = NULL;
	int64_t start = clock_mono_ms();

	if (!job->gold) {
		agent_end(out, OUTCOME_AGENT_ERROR, "the task has no gold diff to apply");
		return 0;
	}
	if (s && apply_gold(job, s, &why, err))
		return err_wrap(err, "oracle");
	if (why)
		agent_end(out, OUTCOME_AGENT_ERROR, "the task's gold diff does not apply: %s", why);
	out->metrics.wall_ms = clock_mono_ms() - start;
	return 0;
}

const struct agent_kind agent_oracle = {.name = "oracle", .run = oracle_run};

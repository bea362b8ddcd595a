/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/open-files.h"
#include <sys/resource.h>

/* A worker's log, its events, its process and its control group; and those for one more that is being started. */
#define PER_TRIAL 4
#define ELSE 48

long long open_files_trials(long long limit)
{
	return limit > ELSE ? (limit - ELSE) / PER_TRIAL : 0;
}

int open_files_allow(long long parallel, struct err *err)
{
	const rlim_t wanted = (rlim_t)(parallel * PER_TRIAL + ELSE);
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur >= wanted)
		return 0;
	if (l.rlim_max < wanted)
		return err_set(err, ERR_USAGE, 0,
			       "%lld trials at a time need %llu open files, and `ulimit -Hn` "
			       "allows %llu: use "
			       "--parallel %lld or less, or raise that limit",
			       parallel, (unsigned long long)wanted, (unsigned long long)l.rlim_max,
			       open_files_trials((long long)l.rlim_max));
	l.rlim_cur = wanted;
	setrlimit(RLIMIT_NOFILE, &l);
	return 0;
}

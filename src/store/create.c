// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/create.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

enum {
	TRIES = 3600,
	UID_FIRST = 1900000000,
	UID_ROOM = 1 << 20, /* for trials appended later */
};

/* 1: ours, 0: somebody has it. */
static int claim(const struct store *s, const char *path, const char *stamp, struct err *err)
{
	AUTO(free) char *run = xasprintf(DATA_RUNS "/%s-0", stamp);

	if (mkdirat(s->root_fd, run, 0700)) {
		if (errno == EEXIST)
			return 0;
		return err_set(err, ERR_INFRA, errno, "make directory %s/%s", s->root, run);
	}
	if (!mkdirat(s->root_fd, path, 0755))
		return 1;
	int sys = errno;
	unlinkat(s->root_fd, run, AT_REMOVEDIR);
	return sys == EEXIST ? 0
			     : err_set(err, ERR_INFRA, sys, "make directory %s/%s", s->root, path);
}

/* The second of STAMP; -1: it is none. */
static int64_t stamp_ms(const char *stamp)
{
	struct tm tm = {0};
	const char *rest = strptime(stamp, "%Y%m%d__%H-%M-%S", &tm);

	return rest && !*rest ? (int64_t)timegm(&tm) * 1000 : -1;
}

/* When a new rollout of NAME begins by its stamp: now, or a second after the last one where the clock was set back since. The
 * last by its stamp, for us and for `ls`, is then the one that was started last. */
static int begin_ms(const struct store *s, const char *name, int64_t *out, struct err *err)
{
	struct rollout_ref *refs;
	size_t n;
	char stamp[CLOCK_STAMP];

	*out = clock_wall_ms();
	clock_stamp(*out, stamp);
	if (store_list(s, name, &refs, &n, err))
		return -1;
	const char *last = n ? refs[n - 1].stamp : "";
	int64_t last_ms = strcmp(last, stamp) > 0 ? stamp_ms(last) : -1;
	if (last_ms >= 0)
		*out = last_ms + 1000;
	for (size_t i = 0; i < n; i++)
		rollout_ref_release(&refs[i]);
	free(refs);
	return 0;
}

/* The first free second from BEGIN on. */
static int claim_second(const struct store *s, const char *name, int64_t begin,
			struct rollout_ref *out, struct err *err)
{
	AUTO(free) char *folder = path_join(DATA_ROLLOUTS, name);
	char stamp[CLOCK_STAMP];

	for (int i = 0; i < TRIES; i++) {
		clock_stamp(begin + i * 1000, stamp);
		AUTO(free) char *path = path_join(folder, stamp);
		int claimed = claim(s, path, stamp, err);
		if (claimed < 0)
			return -1;
		if (claimed) {
			*out = (struct rollout_ref){xstrdup(name), xstrdup(stamp), STEAL(&path)};
			return 0;
		}
	}
	return err_set(err, ERR_INFRA, 0, "%s: no free second for a new rollout", s->root);
}

static int make_folder(const struct store *s, const char *name, struct err *err)
{
	AUTO(free) char *folder = path_join(DATA_ROLLOUTS, name);

	if (!store_name_is_valid(name))
		return err_set(err, ERR_USAGE, 0, "\"%s\" cannot be the name of a benchmark", name);
	return path_make_dirs(s->root_fd, folder, 0755, err);
}

int create_rollout(const struct store *s, const char *name, struct rollout_ref *out,
		   struct err *err)
{
	int64_t begin;

	return make_folder(s, name, err) || begin_ms(s, name, &begin, err) ||
			       claim_second(s, name, begin, out, err)
		       ? -1
		       : 0;
}

int create_rollout_as(const struct store *s, const char *name, const char *stamp,
		      struct rollout_ref *out, struct err *err)
{
	int64_t begin = stamp_ms(stamp);

	if (begin < 0)
		return err_set(err, ERR_USAGE, 0, "%s/%s: a rollout is named by its second", name,
			       stamp);
	return make_folder(s, name, err) || claim_second(s, name, begin, out, err) ? -1 : 0;
}

void create_undo(const struct store *s, const struct rollout_ref *ref)
{
	AUTO(free) char *run = xasprintf(DATA_RUNS "/%s-0", ref->stamp);

	unlinkat(s->root_fd, ref->path, AT_REMOVEDIR);
	unlinkat(s->root_fd, run, AT_REMOVEDIR);
}

uid_t create_uid_base(size_t n)
{
	uint64_t random = 0, room = n + UID_ROOM;

	if (geteuid() != 0 || getrandom(&random, sizeof random, 0) != sizeof random)
		return 0;
	return (uid_t)(UID_FIRST + random % (INT32_MAX - UID_FIRST - room));
}

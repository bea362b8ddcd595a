// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/owner.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "core/datadir.h"

void owner_new_id(char out[OWNER_ID])
{
	uint64_t random;

	if (getrandom(&random, sizeof random, 0) != sizeof random)
		bug("getrandom");
	snprintf(out, OWNER_ID, "%016llx", (unsigned long long)random);
}

bool owner_is_of(const struct planfile *p, const char *id)
{
	size_t i;
	json_t *part;

	if (!id || !*id || (p->id && !strcmp(id, p->id)))
		return true;
	json_array_foreach (p->merged, i, part)
		if (!strcmp(id, json_get_str(part, "rollout_id", "")))
			return true;
	return false;
}

/* The first members of trial.json: fifty thousand of them are read at once. */
static bool is_strangers(int root_fd, const struct planfile *p, const char *run_id, int attempt)
{
	static const char head[] = "{\"v\":1,\"rollout_id\":\"";
	AUTO(free) char *path = datadir_attempt_file(run_id, attempt, ATTEMPT_TRIAL);
	char text[sizeof head + OWNER_ID];
	struct err ignored;
	AUTO(fd) int fd = path_open_beneath(root_fd, path, O_RDONLY | O_NONBLOCK, 0, &ignored);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	if (n < (ssize_t)sizeof head)
		return false;
	text[n] = '\0';
	if (strncmp(text, head, sizeof head - 1) != 0)
		return false;
	char *id = text + sizeof head - 1;
	id[strcspn(id, "\"")] = '\0';
	return !owner_is_of(p, id);
}

bool owner_is_stranger(int root_fd, const struct planfile *p, const char *run_id, int attempts)
{
	return is_strangers(root_fd, p, run_id, 1) ||
	       (attempts > 1 && is_strangers(root_fd, p, run_id, attempts));
}

int owner_refuse(const char *name, const char *stamp, size_t n, const char *run_id, struct err *err)
{
	return err_set(err, ERR_USAGE, 0,
		       "%s %s: %zu of its run folders, " DATA_RUNS
		       "/%s among them, belong%s to another rollout: data "
		       "folders were copied over each other. Take each from where it was made with "
		       "rollouts merge",
		       name, stamp, n, run_id, n == 1 ? "s" : "");
}

int owner_check_journal(const struct planfile *p, const char *id, const char *where,
			struct err *err)
{
	if (owner_is_of(p, id))
		return 0;
	return err_set(err, ERR_USAGE, 0,
		       "%s: its " ROLLOUT_JOURNAL " is of another rollout than its " ROLLOUT_PLAN
		       ": data folders were copied over each other. Take each from where it was "
		       "made with rollouts merge",
		       where);
}

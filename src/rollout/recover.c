/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/recover.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "sandbox/sandbox.h"
#include "store/rundir.h"

bool recover_sweep(int root_fd, const char *attempt_dir)
{
	struct err err;
	int fd = path_open_beneath(root_fd, attempt_dir, O_RDONLY | O_DIRECTORY, 0, &err);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	bool clean = true;

	for (struct dirent *e; d && (e = readdir(d));) {
		if (strncmp(e->d_name, ATTEMPT_BOX_PREFIX, strlen(ATTEMPT_BOX_PREFIX)))
			continue;
		AUTO(free) char *path = path_join(attempt_dir, e->d_name);
		if (sandbox_remove_scratch(root_fd, path, &err)) {
			log_debug("%s", err.msg);
			clean = false;
		}
	}
	if (d)
		closedir(d);
	return clean;
}

static void journal_result(struct session *s, size_t i, int attempt, const struct rundir_left *left)
{
	struct manifest m = {&s->store, &s->ref, &s->plan, s->progress, s->dir_fd};
	json_t *fields = progress_finished(left->outcome, left->result);
	struct err err;

	if (progress_apply(&s->progress[i], EVENT_FINISHED, attempt, fields) &&
	    manifest_task_result(&m, i, left->result, &err))
		log_warn("%s", err.msg);
	journal_add(s->journal, EVENT_FINISHED, &s->plan.trials[i], attempt, fields);
}

static void take_attempt(struct session *s, size_t i, int attempt)
{
	const struct trial *t = &s->plan.trials[i];
	struct trial_progress *m = &s->progress[i];
	AUTO(free) char *dir = datadir_attempt(t->run_id, attempt);
	struct rundir_left left;

	rundir_look(s->store.root_fd, &s->plan, t, attempt, &left);
	if (left.agent_committed && attempt > m->agent_committed && attempt >= m->agent_started) {
		progress_apply(m, EVENT_AGENT_DONE, attempt, NULL);
		journal_add(s->journal, EVENT_AGENT_DONE, t, attempt, NULL);
	}
	if (left.result && attempt > m->last_finished)
		journal_result(s, i, attempt, &left);
	json_decref(left.result);
	if (!recover_sweep(s->store.root_fd, dir))
		log_warn("%s: some of its scratch directories could not be removed", dir);
}

/* From the last attempt that ended in order, whose worker cleaned up after itself, to the last
 * there is. */
void recover_left(struct session *s)
{
	for (size_t i = 0; i < s->plan.n; i++) {
		struct trial_progress *m = &s->progress[i];
		if (progress_has_result(m) && m->state == TRIAL_FINISHED)
			continue;
		if (m->state == TRIAL_RUNNING && launch_attaches(s->plan.trials[i].launcher))
			continue;
		int last = rundir_last_attempt(s->store.root_fd, s->plan.trials[i].run_id);
		int from = m->last_finished ? m->last_finished : 1;
		for (int attempt = from; attempt <= last; attempt++)
			take_attempt(s, i, attempt);
		if (last > m->attempts)
			m->attempts = last;
		if (m->state != TRIAL_RUNNING)
			continue;
		progress_apply(m, EVENT_INTERRUPTED, m->attempts, NULL);
		journal_add(s->journal, EVENT_INTERRUPTED, &s->plan.trials[i], m->attempts, NULL);
	}
}

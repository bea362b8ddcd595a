/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * remotes.h -- the repositories that are fetched from elsewhere: logins for them, and asking each once before anything starts.
 *
 * A token for a host is looked for in the environment, in .env of the benchmark's folder and of the working directory, and in .env
 * of the folders of tasks from that host, as GIT_HOST_TOKEN, where HOST is the host in capitals with "_" for each dot and "__"
 * for each dash; GITHUB_TOKEN and GH_TOKEN are github.com's, GITLAB_TOKEN gitlab.com's. It is handed to our git for that host, and
 * to nothing in a sandbox. "NAME:TOKEN" names a user as well.
 */
#pragma once
#include "rollout/session.h"

struct remotes_task {
	const char *git_url, *branch;
	const char *start; /* its start commit; NULL: the tip of the branch */
	const char *dir;   /* the task's folder; NULL: not known */
	const char *id;
	const struct task_repo *repo;
	bool known; /* it was fetched from before, and need not be asked */
};
/* Have our git and that of our workers log in where there is a token for one of N tasks. CONFIG_PATH may be NULL. */
void remotes_login(const struct remotes_task *tasks, size_t n, const char *config_path);
/* Ask each remote of N tasks once. A refusal is a line in PROBLEMS with its remedy, and so is what a task takes out of the checkout and
 * is not there; what may pass by itself one in
 * NOTES. What agents will not see of a repository, submodules and what Git LFS holds, is one in HOLLOW, for each of them once.
 * Blocks, for 60 s at most for one that does not answer. */
void remotes_ask(const struct remotes_task *tasks, size_t n, struct strv *problems,
		 struct strv *notes, struct strv *hollow);
/* Both for the trials of W; those whose repository was fetched before ask nobody. ERR_USAGE with the first of the refusals. */
int remotes_check(struct session *s, const struct listener *l, const struct session_work *w,
		  struct err *err) MUST_CHECK;

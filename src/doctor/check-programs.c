/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "doctor/check.h"
#include "config/agents.h"
#include "os/spawn.h"

#define RUN_MS 20000

static void check_own(struct checks *c)
{
	static const struct {
		const char *name;
		bool program;
	} ours[] = {{"rollouts-trial", true}, {"rollouts-init", true}, {"seccomp.bpf", false}};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		AUTO(free)
		char *path = ours[i].program ? install_libexec(ours[i].name)
					     : install_share(ours[i].name);
		if (!access(path, ours[i].program ? X_OK : R_OK))
			check_add(c, CHECK_OK, ours[i].name, NULL, "%s", path);
		else
			check_add(c, CHECK_FAILED, ours[i].name, "install again: make install",
				  "%s: %s", path, strerror(errno));
	}
}

/* The first line a program prints. INSIDE: what a sandbox would find, through env(1), which looks
 * in the PATH given to it and not in ours. */
static int first_line(const char *const *argv, bool inside, struct buf *line, struct err *err)
{
	static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
					  "PYTHONNOUSERSITE=1", NULL};
	const struct spawn s = {.argv = argv,
				.env = inside ? env : NULL,
				.dir_fd = AT_FDCWD,
				.in = -1,
				.out = -1,
				.err = -1};
	AUTO(buf) struct buf complaint = BUF_INIT;
	char ended[48];
	int status;

	if (spawn_run(&s, NULL, 0, 4096, clock_mono_ms() + RUN_MS, line, &complaint, &status, err))
		return -1;
	if (!line->len)
		buf_add(line, complaint.data, complaint.len);
	char *end = strchrnul(line->data, '\n');
	line->len = (size_t)(end - line->data);
	*end = '\0';
	if (status)
		return err_set(err, ERR_INFRA, 0, "%s",
			       line->len ? line->data : spawn_status_text(status, ended));
	return 0;
}

static void check_git(struct checks *c)
{
	static const char empty_blob[] = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
	static const char *const version[] = {"git", "--version", NULL};
	static const char *const hash[] = {"git", "hash-object", "-t", "blob", "--stdin", NULL};
	AUTO(buf) struct buf is = BUF_INIT, blob = BUF_INIT;
	struct err err;

	if (first_line(version, false, &is, &err) || first_line(hash, false, &blob, &err))
		check_add(c, CHECK_FAILED, "git", "apt-get install git", "%s", err.msg);
	else if (strcmp(blob.data, empty_blob) != 0)
		check_add(c, CHECK_FAILED, "git", "apt-get install --reinstall git",
			  "hashes wrongly: %s", blob.data);
	else
		check_add(c, CHECK_OK, "git", NULL, "%s", is.data);
}

static void check_bash(struct checks *c)
{
	static const char *const argv[] = {"/usr/bin/env", "bash", "-c", "echo $BASH_VERSION",
					   NULL};
	AUTO(buf) struct buf line = BUF_INIT;
	struct err err;

	if (first_line(argv, true, &line, &err))
		check_add(c, CHECK_LESS, "bash", "for agents and .sh tests: apt-get install bash",
			  "%s", err.msg);
	else
		check_add(c, CHECK_OK, "bash", NULL, "%s", line.data);
}

static void check_pytest(struct checks *c)
{
	static const char *const argv[] = {"/usr/bin/env", "python3",	"-m",
					   "pytest",	   "--version", NULL};
	AUTO(buf) struct buf line = BUF_INIT;
	struct err err;

	if (first_line(argv, true, &line, &err))
		check_add(c, CHECK_LESS, "pytest",
			  "for tasks whose tests are .py files: apt-get install python3-pytest "
			  "(sandboxes see /usr, not a "
			  "virtual environment)",
			  "%s", err.msg);
	else
		check_add(c, CHECK_OK, "pytest", NULL, "%s", line.data);
}

/* A line for each that can be used or is broken; those that were never fetched share one. */
static void check_agent(struct checks *c, const char *name, struct buf *not_installed)
{
	const struct agent_query query = {.name = name};
	AUTO(strv) struct strv problems = STRV_INIT, unread = STRV_INIT;
	AUTO(json) json_t *spec = NULL, *file = NULL;
	AUTO(free) char *title = xasprintf("agent %s", name), *path = NULL;
	struct err err, ignored;

	if (!agent_find(&spec, &query, &problems, &err))
		check_add(c, CHECK_OK, title, NULL, "%s%s", json_get_str(spec, "kind", ""),
			  *json_get_str(spec, "needs", "") ? ", needs a model" : "");
	else if (!agent_read(&file, &path, &query, &unread, &ignored) &&
		 json_object_get(file, "install"))
		buf_addf(not_installed, "%s%s", not_installed->len ? ", " : "", name);
	else
		check_add(c, CHECK_LESS, title, "other agents work without", "%s",
			  problems.n ? problems.v[0] : err.msg);
}

void check_programs(struct checks *c)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(buf) struct buf not_installed = BUF_INIT;

	check_own(c);
	check_git(c);
	check_bash(c);
	check_pytest(c);
	check_add(c, CHECK_OK, "agents", NULL, "built in: bash, oracle, nop");
	agent_names(NULL, &names);
	for (size_t i = 0; i < names.n; i++)
		check_agent(c, names.v[i], &not_installed);
	if (not_installed.len)
		check_add(c, CHECK_LESS, "agents", "to use one: rollouts agents install NAME",
			  "not installed: %s", not_installed.data);
}

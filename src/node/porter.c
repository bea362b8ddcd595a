/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/porter.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/result.h"
#include "core/run-links.h"
#include "core/trial.h"
#include "node/inputs.h"
#include "node/parcel.h"
#include "os/dir.h"

enum { DOCUMENT_MAX = 16 << 20 };
#define CAME ".came" /* in an attempt's folder: what is not whole yet */

static int replace(int fd, const char *name, struct err *err)
{
	AUTO(free) char *from = path_join(CAME, name);

	if (!path_exists(fd, from))
		return 0;
	if (path_remove_tree(fd, name, err))
		return -1;
	return renameat(fd, from, fd, name) ? err_set(err, ERR_INFRA, errno, "rename to %s", name)
					    : 0;
}

/* What we wrote ourselves stays, and what commits comes last. */
static bool waits(const char *name)
{
	static const char *const names[] = {ATTEMPT_TRIAL, ATTEMPT_TRAVEL, ATTEMPT_AGENT,
					    ATTEMPT_RESULT};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

/* What the gateway here wrote of the calls of a trial elsewhere is whole, and what went there of that may lack its end. */
static int keep_calls(int fd, struct err *err)
{
	static const char *const names[] = {ATTEMPT_CALLS, ATTEMPT_JUDGE_CALLS, ATTEMPT_RECORDING,
					    ATTEMPT_JUDGE_RECORDING};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(free) char *came = path_join(CAME, names[i]);
		struct stat here, there;
		if (fstatat(fd, names[i], &here, AT_SYMLINK_NOFOLLOW) ||
		    fstatat(fd, came, &there, AT_SYMLINK_NOFOLLOW) || !S_ISREG(here.st_mode) ||
		    here.st_size <= there.st_size)
			continue;
		if (renameat(fd, names[i], fd, came))
			return err_set(err, ERR_INFRA, errno, "rename to %s", came);
	}
	return 0;
}

static int take_over(int fd, struct err *err)
{
	int came = path_open_beneath(fd, CAME, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(dir) DIR *d = came < 0 ? NULL : fdopendir(came);

	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));)
		if (!dir_is_dots(e->d_name) && !waits(e->d_name))
			strv_push(&names, e->d_name);
	for (size_t i = 0; i < names.n; i++)
		if (replace(fd, names.v[i], err))
			return -1;
	return replace(fd, ATTEMPT_AGENT, err);
}

/* A grade made again is shown once there is one, as the worker has it. */
static bool is_shown(int fd)
{
	AUTO(json) json_t *trial = NULL;
	AUTO(json) json_t *result = NULL;
	struct err ignored;
	enum outcome outcome;

	if (json_read(&trial, fd, ATTEMPT_TRIAL, DOCUMENT_MAX, &ignored) ||
	    !json_get_bool(trial, "regrade", false))
		return true;
	return !json_read(&result, fd, CAME "/" ATTEMPT_RESULT, DOCUMENT_MAX, &ignored) &&
	       outcome_parse(json_get_str(result, "outcome", ""), &outcome) &&
	       outcome != OUTCOME_INFRA_ERROR && outcome != OUTCOME_CANCELLED &&
	       outcome != OUTCOME_REPLAY_DIVERGED;
}

/* An engine that ends a job signals whatever runs in it: to a worker that looks like a user who cancels, or like an agent that
 * fails. What it wrote then is no result; what was committed before stays. */
static int drop_doubtful(int fd, const json_t *request, struct err *err)
{
	AUTO(json) json_t *result = NULL;
	struct err ignored;
	enum outcome outcome;

	if (json_get_bool(request, "cancelled", false))
		return 0;
	if (json_get_bool(request, "stopped", false)) {
		if (!json_get_bool(request, "committed", false) &&
		    path_remove_tree(fd, CAME "/" ATTEMPT_AGENT, err))
			return -1;
		return path_remove_tree(fd, CAME "/" ATTEMPT_RESULT, err);
	}
	if (json_read(&result, fd, CAME "/" ATTEMPT_RESULT, DOCUMENT_MAX, &ignored) ||
	    !outcome_parse(json_get_str(result, "outcome", ""), &outcome) ||
	    outcome != OUTCOME_CANCELLED)
		return 0;
	return path_remove_tree(fd, CAME "/" ATTEMPT_RESULT, err);
}

static int show(int fd, int run_fd, int attempt, struct err *err)
{
	if (!is_shown(fd))
		return 0;
	return run_links_make(run_fd, attempt, err) ||
			       (path_exists(fd, ATTEMPT_EVALUATION) && run_links_grade(run_fd, err))
		       ? -1
		       : 0;
}

static int unpack(const char *dir, const json_t *request, struct err *err)
{
	AUTO(fd) int fd = path_open_beneath(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
	const char *archive = json_get_str(request, "archive", "");
	AUTO(fd) int in = fd < 0 ? -1 : open(archive, O_RDONLY | O_CLOEXEC);
	AUTO(fd) int run = fd < 0 ? -1 : openat(fd, "../..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (in < 0 || run < 0)
		return err_retry(err, errno, "open %s", archive);
	if (path_remove_tree(fd, CAME, err) || parcel_read(in, NULL, fd, CAME, err) ||
	    drop_doubtful(fd, request, err) || keep_calls(fd, err) || take_over(fd, err))
		return -1;
	/* Its number is the last part of its path. */
	if (show(fd, run, (int)strtol(path_base(dir), NULL, 10), err) ||
	    replace(fd, ATTEMPT_RESULT, err))
		return -1;
	return path_remove_tree(fd, CAME, err);
}

static json_t *serve(struct packer *p, const json_t *request, const char **event, struct err *err)
{
	const char *op = json_get_str(request, "op", ""), *dir = json_get_str(request, "dir", "");
	json_t *answer = json_object();
	json_t *travel = NULL;

	*event = "failed";
	p->shares = json_get_bool(request, "shares", false);
	if (!strcmp(op, "pack") &&
	    !inputs_pack(p, dir, json_get_str(request, "keys", NULL),
			 json_get_str(request, "door", NULL), &travel, err)) {
		json_put(answer, "inputs", json_incref(json_object_get(travel, "inputs")));
		json_decref(travel);
		*event = "packed";
	} else if (!strcmp(op, "unpack") && !unpack(dir, request, err)) {
		*event = "unpacked";
	}
	json_put_str(answer, "dir", dir);
	return answer;
}

int porter_serve(void)
{
	struct packer p = {.root_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			   .made = json_object()};
	AUTO(buf) struct buf lines = BUF_INIT;
	AUTO(free) char *line = NULL;
	size_t size = 0;
	ssize_t n;

	signal(SIGPIPE, SIG_IGN);
	while (p.root_fd >= 0 && (n = getline(&line, &size, stdin)) > 0) {
		AUTO(json) json_t *request = json_loadb(line, (size_t)n, 0, NULL);
		struct err err = {0};
		const char *event;
		json_t *answer = serve(&p, request, &event, &err);
		json_put_str(answer, "event", event);
		if (!strcmp(event, "failed")) {
			json_put_str(answer, "text", err.msg);
			json_put_bool(answer, "retry", err.retry);
		}
		event_add(&lines, answer);
		event_send(STDOUT_FILENO, &lines);
	}
	json_decref(p.made);
	auto_fd(&p.root_fd);
	return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/doctor.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/datadir.h"
#include "sandbox/userns.h"

#define PROBE_SECONDS 20

void doctor_add(struct doctor *d, enum finding finding, const char *name, const char *remedy,
		const char *detail, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, detail);
	if (vasprintf(&text, detail, ap) < 0)
		text = xstrdup("");
	va_end(ap);
	GROW(d->lines, d->n, d->cap);
	d->lines[d->n++] = (struct doctor_line){finding, xstrdup(name), text,
						finding == FINDING_OK ? NULL : xstrdup(remedy)};
}

static void become_nobody(void)
{
	if (userns_is_host_root() &&
	    (setgroups(0, NULL) || setresgid(DOCTOR_NOBODY, DOCTOR_NOBODY, DOCTOR_NOBODY) ||
	     setresuid(DOCTOR_NOBODY, DOCTOR_NOBODY, DOCTOR_NOBODY)))
		_exit(1);
	/* Changing users made our /proc files root's, and a user namespace is mapped through them. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

struct probing {
	doctor_probe *before, *probe;
	void *arg;
	int scratch, answer; /* answer: a pipe */
};

static int probe_here(const struct probing *p)
{
	struct err err = {0};

	alarm(PROBE_SECONDS);
	if (fchdir(p->scratch))
		return 1;
	int status = p->before ? p->before(p->arg, &err) : 0;
	if (!status) {
		become_nobody();
		status = p->probe(p->arg, &err);
	}
	if (!status)
		return 0;
	/* Shorter than PIPE_BUF: written whole. */
	return write(p->answer, &err, sizeof err) == (ssize_t)sizeof err ? 1 : 2;
}

int doctor_in_child(const struct doctor *d, doctor_probe *before, doctor_probe *probe, void *arg,
		    struct err *err)
{
	int fds[2], status = 0;
	struct err told;

	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, ERR_INFRA, errno, "make a pipe");
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(probe_here(&(struct probing){before, probe, arg, d->scratch, fds[1]}));
	close(fds[1]);
	ssize_t n = pid > 0 ? read(fds[0], &told, sizeof told) : -1;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_set(err, ERR_INFRA, errno, "start a process");
	if (n == (ssize_t)sizeof told) {
		*err = told;
		return -1;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return err_set(err, ERR_LIMIT, 0, "no answer within %d seconds", PROBE_SECONDS);
	return status ? err_set(err, ERR_INFRA, 0, "the check itself failed") : 0;
}

/* Where scratch directories will be: in the data folder, or where it would be made. */
static int make_scratch(struct doctor *d, char **path, struct err *err)
{
	const char *const places[] = {d->data, ".", "/tmp"};
	static const char *const inside[] = {"lower", "upper", "work", "merged", "tmp"};

	d->scratch = -1;
	for (size_t i = 0; i < ARRAY_SIZE(places) && d->scratch < 0; i++) {
		char *candidate =
			xasprintf("%s/" DATA_DOCTOR_PREFIX "%d", places[i], (int)getpid());
		if (!mkdir(candidate, 0755))
			d->scratch = open(candidate, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d->scratch >= 0)
			*path = candidate;
		else
			free(candidate);
	}
	if (d->scratch < 0)
		return err_set(err, ERR_INFRA, errno, "cannot write in %s, here or in /tmp",
			       d->data);
	bool root = userns_is_host_root();
	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		if (mkdirat(d->scratch, inside[i], 0755) ||
		    (root && fchownat(d->scratch, inside[i], DOCTOR_NOBODY, DOCTOR_NOBODY, 0)))
			return err_set(err, ERR_INFRA, errno, "prepare %s", *path);
	if (root && fchown(d->scratch, DOCTOR_NOBODY, DOCTOR_NOBODY))
		return err_set(err, ERR_INFRA, errno, "prepare %s", *path);
	return path_write(d->scratch, "lower/file", "x", 1, 0644, false, err) ||
			       (root &&
				fchownat(d->scratch, "lower/file", DOCTOR_NOBODY, DOCTOR_NOBODY, 0))
		       ? -1
		       : 0;
}

static void say_path(const char *key, const char *text)
{
	AUTO(buf) struct buf safe = BUF_INIT;
	text_renders(&safe, text, TEXT_TERMINAL_LINE);
	printf("%s%s\n", key, safe.data);
}

static bool print_lines(const struct doctor *d)
{
	static const char *const marks[] = {"✓", "–", "✗"};
	bool ready = true;

	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_line *l = &d->lines[i];
		AUTO(free) char *head = xasprintf("%s %-16s ", marks[l->finding], l->name);
		say_path(head, l->detail);
		if (l->remedy)
			say_path("    ", l->remedy);
		ready = ready && l->finding != FINDING_FAILED;
	}
	puts(ready ? "\nReady to run." : "\nNot ready: see the lines with ✗.");
	return ready;
}

static bool print_json(const struct doctor *d)
{
	static const char *const names[] = {"ok", "less", "failed"};
	AUTO(json) json_t *doc = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *checks = json_array();
	bool ready = true;

	for (size_t i = 0; i < d->n; i++) {
		json_t *j = json_object();
		json_put_str(j, "check", d->lines[i].name);
		json_put_str(j, "state", names[d->lines[i].finding]);
		json_put_str(j, "detail", d->lines[i].detail);
		json_put_str(j, "remedy", d->lines[i].remedy);
		json_array_append_new(checks, j);
		ready = ready && d->lines[i].finding != FINDING_FAILED;
	}
	json_put_bool(doc, "ready", ready);
	json_put(doc, "checks", checks);
	json_format(&text, doc, true);
	puts(text.data);
	return ready;
}

static void release(struct doctor *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->lines[i].name);
		free(d->lines[i].detail);
		free(d->lines[i].remedy);
	}
	free(d->lines);
	if (d->scratch >= 0)
		close(d->scratch);
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor d = {.data = "data", .scratch = -1};
	bool json = false, models = false;
	const struct option options[] = {
		{.name = "models",
		 .kind = OPTION_FLAG,
		 .target = &models,
		 .help = "also try every key of a model provider: one small call each, and the "
			 "quota left"},
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &json,
		 .help = "the findings as JSON"},
		OPTION_DATA_DIR(&d.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "doctor",
		.operands = "",
		.options = options,
		.summary = "check what this machine needs to run benchmarks, by using it, with "
			   "remedies",
		.text = "✓ works; – rollouts runs, but without something good; ✗ rollouts does not "
			"run.\n"
			"The exit status is 0 when nothing has ✗, else 3.",
		.examples = "rollouts doctor\nrollouts doctor --models\nrollouts doctor --data-dir "
			    "/fast/data --json\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	AUTO(free) char *scratch = NULL;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (make_scratch(&d, &scratch, &err)) {
		doctor_add(&d, FINDING_FAILED, "scratch space",
			   "choose another place with --data-dir", "%s", err.msg);
	} else {
		doctor_check_sandbox(&d);
		doctor_check_programs(&d);
		doctor_check_machine(&d);
		if (models)
			doctor_check_models(&d);
	}
	if (scratch && path_remove_tree(AT_FDCWD, scratch, &err))
		cmd_warn(&err);
	bool ready = json ? print_json(&d) : print_lines(&d);
	release(&d);
	return ready ? CMD_OK : CMD_ENVIRONMENT;
}

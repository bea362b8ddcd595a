/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doctor/check.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "os/user.h"

#define PROBE_SECONDS 20

void checks_release(struct checks *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->list[i].name);
		free(c->list[i].detail);
		free(c->list[i].remedy);
	}
	free(c->list);
	*c = (struct checks){.scratch = -1};
}

bool checks_passed(const struct checks *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].state == CHECK_FAILED)
			return false;
	return true;
}

void check_add(struct checks *c, enum check_state state, const char *name, const char *remedy,
	       const char *detail, ...)
{
	bool told = state != CHECK_OK && remedy;
	va_list ap;

	va_start(ap, detail);
	char *text = xvasprintf(detail, ap);
	va_end(ap);
	GROW(c->list, c->n, c->cap);
	c->list[c->n++] = (struct check){.state = state,
					 .name = xstrdup(name),
					 .detail = text,
					 .remedy = told ? xstrdup(remedy) : NULL};
}

void check_add_error(struct checks *c, enum check_state state, const char *name,
		     const struct err *err, const char *remedy)
{
	const char *own = strstr(err->msg, "; ");
	size_t cause = own ? (size_t)(own - err->msg) : strlen(err->msg);

	check_add(c, state, name, own ? own + 2 : remedy, "%.*s", (int)cause, err->msg);
}

static void become_nobody(void)
{
	if (user_may_change() &&
	    (setgroups(0, NULL) || setresgid(USER_NOBODY, USER_NOBODY, USER_NOBODY) ||
	     setresuid(USER_NOBODY, USER_NOBODY, USER_NOBODY)))
		_exit(1);
	/* Changing users made our /proc files root's, and a user namespace is mapped through them. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

struct probing {
	check_probe *before, *probe;
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

int check_in_child(const struct checks *c, check_probe *before, check_probe *probe, void *arg,
		   struct err *err)
{
	int fds[2], status = 0;
	struct err told;

	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, ERR_INFRA, errno, "make a pipe");
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(probe_here(&(struct probing){before, probe, arg, c->scratch, fds[1]}));
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

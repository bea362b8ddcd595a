// SPDX-License-Identifier: GPL-3.0-or-later
#include "sched/interrupt.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include "base/mem.h"
#include "os/fdio.h"

static const int signals[] = {SIGINT, SIGTERM}, unheeded[] = {SIGHUP, SIGPIPE};
static struct sigaction before[ARRAY_SIZE(signals)], unheeded_before[ARRAY_SIZE(unheeded)];
static volatile sig_atomic_t write_end = -1;

static void on_signal(int signo)
{
	int sys = errno;
	char byte = (char)signo;
	/* A full pipe holds more requests than there are levels. */
	ssize_t ignored = write(write_end, &byte, 1);

	(void)ignored;
	errno = sys;
}

/* Not SIG_IGN, which workers would inherit. */
static void on_unheeded(int signo)
{
}

int interrupt_open(struct err *err)
{
	int fds[2];
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	if (fd_pipe(fds, err))
		return -1;
	fd_set_nonblock(fds[0], true);
	fd_set_nonblock(fds[1], true);
	write_end = fds[1];
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &act, NULL);
	}
	act.sa_handler = on_unheeded;
	for (size_t i = 0; i < ARRAY_SIZE(unheeded); i++) {
		sigaction(unheeded[i], NULL, &unheeded_before[i]);
		if (unheeded_before[i].sa_handler != SIG_IGN)
			sigaction(unheeded[i], &act, NULL);
	}
	return fds[0];
}

enum interrupt_level interrupt_read(int fd, enum interrupt_level level)
{
	char bytes[64];
	ssize_t n = read(fd, bytes, sizeof bytes);

	for (ssize_t i = 0; i < n && level < INTERRUPT_KILL; i++)
		level++;
	return level;
}

void interrupt_close(int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &before[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(unheeded); i++)
		sigaction(unheeded[i], &unheeded_before[i], NULL);
	close(fd);
	close(write_end);
	write_end = -1;
}

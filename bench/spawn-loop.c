// SPDX-License-Identifier: GPL-3.0-or-later
// The yardstick: start PROGRAM N times, at most P at once, and wait. Prints the seconds it took.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: spawn-loop N P PROGRAM [ARG...]\n");
		return 2;
	}
	long n = strtol(argv[1], NULL, 10), parallel = strtol(argv[2], NULL, 10), running = 0;
	double start = now();
	for (long i = 0; i < n || running;) {
		pid_t pid;
		if (i < n && running < parallel) {
			if (posix_spawn(&pid, argv[3], NULL, NULL, argv + 3, environ))
				return 3;
			i++;
			running++;
		} else if (wait(NULL) > 0) {
			running--;
		}
	}
	printf("%.6f\n", now() - start);
	return 0;
}

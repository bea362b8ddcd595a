// SPDX-License-Identifier: GPL-3.0-or-later
// usage: hog MODE [MEGABYTES]   -- uses up one thing as badly behaved agents do; see the table.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int anonymous(long mb)
{
	for (; mb > 0; mb--) {
		char *p = malloc(1 << 20);
		if (!p)
			return 1;
		memset(p, 1, 1 << 20);
	}
	return 0;
}

static int fill(int fd, long mb)
{
	static char block[1 << 20];

	memset(block, 1, sizeof block);
	while (fd >= 0 && mb-- > 0)
		if (write(fd, block, sizeof block) <= 0)
			return 1;
	return fd < 0;
}

/* Never mapped: no process shows it. */
static int memory_file(long mb)
{
	return fill(memfd_create("hog", 0), mb);
}

/* More descriptors than one, then a little more: what the kernel kills first holds little of it. */
static int spread(long mb)
{
	for (long i = 0; i < mb / 10; i++)
		if (!fork()) {
			memory_file(10);
			pause();
		}
	return sleep(60) != 0;
}

static int forks(long unused)
{
	int n = 0;

	for (pid_t pid; (pid = fork()) >= 0; n++)
		if (!pid) {
			pause();
			_exit(0);
		}
	printf("%d processes\n", n);
	return 0;
}

static int spin(long seconds)
{
	fork();
	alarm((unsigned)seconds);
	for (volatile long i = 0;; i++)
		;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(long n);
	} modes[] = {{"anonymous", anonymous},
		     {"memfd", memory_file},
		     {"spread", spread},
		     {"forks", forks},
		     {"spin", spin}};

	for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
		if (!strcmp(argv[1], modes[i].name))
			return modes[i].run(argc > 2 ? strtol(argv[2], NULL, 10) : 0);
	return 2;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/pressure.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"

static int64_t read_stalled(void)
{
	AUTO(fd) int fd = open("/proc/pressure/cpu", O_RDONLY | O_CLOEXEC);
	char text[256];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (n <= 0)
		return -1;
	text[n] = '\0';
	const char *total = strncmp(text, "some ", 5) == 0 ? strstr(text, " total=") : NULL;
	return total ? strtoll(total + strlen(" total="), NULL, 10) : -1;
}

/* "cpu  USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ..."; what guests took is in USER. */
static void read_stolen(struct pressure *p)
{
	enum { COUNTED = 8 };
	AUTO(fd) int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	char text[512];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	p->stolen = p->ticks = -1;
	if (n <= 0)
		return;
	text[n] = '\0';
	if (strncmp(text, "cpu ", 4) != 0)
		return;
	char *at = text + 4, *end;
	int64_t all = 0, last = 0;
	for (int i = 0; i < COUNTED; i++, at = end) {
		last = strtoll(at, &end, 10);
		if (end == at)
			return;
		all += last;
	}
	p->stolen = last;
	p->ticks = all;
}

struct pressure pressure_now(void)
{
	struct pressure p = {.stalled_us = read_stalled(), .at_ms = clock_mono_ms()};

	read_stolen(&p);
	return p;
}

static double from_load(void)
{
	double load;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (getloadavg(&load, 1) != 1 || cpus < 1)
		return -1;
	return load > (double)cpus ? 1 - (double)cpus / load : 0;
}

double pressure_cpu_since(const struct pressure *before)
{
	int64_t now_us = read_stalled(), took_us = 1000 * (clock_mono_ms() - before->at_ms);

	if (before->stalled_us < 0 || now_us < before->stalled_us)
		return from_load();
	if (took_us <= 0)
		return 0;
	double share = (double)(now_us - before->stalled_us) / (double)took_us;
	return share < 1 ? share : 1;
}

double pressure_steal_since(const struct pressure *before)
{
	struct pressure now = {0};

	read_stolen(&now);
	if (before->ticks < 0 || now.ticks < before->ticks || now.stolen < before->stolen)
		return -1;
	if (now.ticks == before->ticks)
		return 0;
	return (double)(now.stolen - before->stolen) / (double)(now.ticks - before->ticks);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/pressure.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"

int64_t pressure_cpu_us(void)
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

static double from_load(void)
{
	double load;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (getloadavg(&load, 1) != 1 || cpus < 1)
		return -1;
	return load > (double)cpus ? 1 - (double)cpus / load : 0;
}

double pressure_cpu_since(int64_t before_us, int64_t since_ms)
{
	int64_t now_us = pressure_cpu_us(), took_us = 1000 * (clock_mono_ms() - since_ms);

	if (before_us < 0 || now_us < before_us)
		return from_load();
	if (took_us <= 0)
		return 0;
	double share = (double)(now_us - before_us) / (double)took_us;
	return share < 1 ? share : 1;
}

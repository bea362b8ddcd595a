// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/processors.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"

const char *const processors_shown[3] = {
	"/sys/devices/system/cpu/online",
	"/sys/devices/system/cpu/possible",
	"/sys/devices/system/cpu/present",
};

enum { CPUINFO_MAX = 8 << 20 };

static cpu_set_t ours(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof set, &set))
		log_debug("sched_getaffinity: %s", strerror(errno));
	return set;
}

bool processors_are_fewer(void)
{
	cpu_set_t set = ours();
	int n = CPU_COUNT(&set);

	return n > 0 && n < sysconf(_SC_NPROCESSORS_ONLN);
}

void processors_list(struct buf *out)
{
	cpu_set_t set = ours();
	const char *comma = "";

	for (int i = 0; i < CPU_SETSIZE; i++) {
		int last = i;
		if (!CPU_ISSET(i, &set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set))
			last++;
		buf_addf(out, last > i ? "%s%d-%d" : "%s%d", comma, i, last);
		comma = ",";
		i = last;
	}
	buf_addc(out, '\n');
}

/* Paragraphs, each of which begins with the number of its processor; on some machines one about the board comes last. */
static void choose_paragraphs(struct buf *out, const char *text)
{
	cpu_set_t set = ours();

	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) + 2 : strlen(text);
		int cpu;
		if (sscanf(text, "processor : %d", &cpu) != 1 || cpu < 0 || cpu >= CPU_SETSIZE ||
		    CPU_ISSET(cpu, &set))
			buf_add(out, text, len);
		text += len;
	}
}

int processors_write(int dir_fd, struct err *err)
{
	AUTO(buf) struct buf list = BUF_INIT;
	AUTO(buf) struct buf all = BUF_INIT;
	AUTO(buf) struct buf info = BUF_INIT;

	processors_list(&list);
	if (path_read(AT_FDCWD, "/proc/cpuinfo", CPUINFO_MAX, &all, err))
		return -1;
	choose_paragraphs(&info, all.data);
	return path_write(dir_fd, PROCESSORS_LIST, list.data, list.len, 0444, false, err) ||
			       path_write(dir_fd, PROCESSORS_INFO, info.data, info.len, 0444, false,
					  err)
		       ? -1
		       : 0;
}

void processors_hand_to(int pid)
{
	cpu_set_t set = ours();

	if (sched_setaffinity(pid, sizeof set, &set))
		log_debug("sched_setaffinity: %s", strerror(errno));
}

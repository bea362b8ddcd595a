/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/test-network.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"

enum { PROBE_MS = 60000 };

struct counters {
	struct buf text;
};

static void keep_output(void *arg, int stream, const char *data, size_t n)
{
	struct counters *c = arg;

	if (stream == 1 && c->text.len < 65536)
		buf_add(&c->text, data, n);
}

/* The counter NAME of PROTOCOL in /proc/net/snmp, which has a line of names before each line of numbers. */
static int64_t network_counter(const char *text, const char *protocol, const char *name)
{
	AUTO(free) char *head = xasprintf("%s: ", protocol);
	const char *names = strstr(text, head), *numbers = names ? strstr(names + 1, head) : NULL;

	if (!numbers)
		return 0;
	names += strlen(head);
	numbers += strlen(head);
	while (*names && *names != '\n' && *numbers && *numbers != '\n') {
		size_t n = strcspn(names, " \n"), k = strcspn(numbers, " \n");
		if (n == strlen(name) && !strncmp(names, name, n))
			return strtoll(numbers, NULL, 10);
		names += n + (names[n] == ' ');
		numbers += k + (numbers[k] == ' ');
	}
	return 0;
}

int test_network_attempts(const struct eval_job *job, struct sandbox *s, int64_t *attempts,
			  struct err *err)
{
	static const char *const argv[] = {"cat", "/proc/net/snmp", NULL};
	struct counters c = {BUF_INIT};
	AUTO(strv) struct strv env = STRV_INIT;

	sandbox_env(s, &env);
	const struct sandbox_exec x = {.argv = argv,
				       .env = strv_items(&env),
				       .cwd = "/",
				       .user = job->task->layout.test_user,
				       .on_output = keep_output,
				       .on_output_arg = &c,
				       .deadline_ms = clock_mono_ms() + PROBE_MS,
				       .at_end = SANDBOX_KILL_ALL};
	struct sandbox_exit end;
	int rc = sandbox_exec(s, &x, &end, err);
	if (!rc && c.text.len)
		*attempts = network_counter(c.text.data, "Ip", "OutNoRoutes") +
			    network_counter(c.text.data, "Udp", "NoPorts");
	buf_release(&c.text);
	return rc;
}

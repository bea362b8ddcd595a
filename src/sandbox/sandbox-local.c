/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The local backend: a mount holder of ours holds the mounts, bubblewrap isolates, rollouts-init is PID 1.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "os/fdio.h"
#include "sandbox/backend-common.h"
#include "sandbox/refusal.h"
#include "os/user.h"

/* Why PID 1 did not start, in bubblewrap's own words, where it has said any. */
static int explain_bwrap(int errors, struct err *err)
{
	static const int passing[] = {EAGAIN, EBUSY, ENOMEM, ENOSPC};
	char text[512];
	ssize_t n;

	fd_set_nonblock(errors, true);
	n = read(errors, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!*text)
		return -1;
	err_set(err, ERR_INFRA, 0, "cannot start the sandbox: %s", text);
	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		err->retry |= strstr(text, strerror(passing[i])) != NULL;
	if (strstr(text, "Unknown option"))
		return err_set(err, ERR_INFRA, 0, "%s; bubblewrap 0.8 or newer is needed", text);
	return strstr(text, "install") ? -1 : refusal_explain(err);
}

static int start(struct common_sandbox *l, struct err *err)
{
	if (common_start_here(l, explain_bwrap, clock_mono_ms() + COMMON_START_MS, err))
		return -1;
	return common_start_forwarder(l, err);
}

static int local_open(struct sandbox **out, const struct sandbox_spec *spec, struct err *err)
{
	if (user_may_change())
		return err_set(err, ERR_INFRA, 0,
			       "a sandbox is never opened as root: become another user first");
	if (spec->network)
		return err_set(err, ERR_USAGE, 0,
			       "network = true needs sandbox = \"docker\": a local sandbox has no "
			       "network");
	struct common_sandbox *l = common_new(&sandbox_local, spec, err);
	if (!l)
		return -1;
	if (start(l, err)) {
		err_wrap(err, "sandbox");
		common_close(&l->base);
		return -1;
	}
	*out = &l->base;
	return 0;
}

const struct sandbox_backend sandbox_local = {
	.name = "local",
	.open = local_open,
	.apply = common_apply,
	.stop = common_stop,
	.diff = common_diff,
	.disk_bytes = common_disk_bytes,
	.close = common_close,
};

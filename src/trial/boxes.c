/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/boxes.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "eval/eval.h"

#define WHOLE_GATEWAY_PORT 58765

/* Read-only, and found by the tests alone. */
static void add_verifier_tools(struct work *w, struct sandbox_spec *spec, enum work_box which)
{
	const char *tools = w->attempt.trial.verifier_tools;

	if (!*tools || spec->mounts_n + 2 > ARRAY_SIZE(w->mounts[which]))
		return;
	if (!w->verifier_shims)
		w->verifier_shims = install_share("verifier");
	w->mounts[which][spec->mounts_n++] = (struct sandbox_mount){tools, VERIFIER_TOOLS};
	w->mounts[which][spec->mounts_n++] =
		(struct sandbox_mount){w->verifier_shims, VERIFIER_SHIMS};
}

static void fill_spec(struct work *w, struct sandbox_spec *spec, enum work_box which)
{
	static const char *const scratch[] = {
		[BOX_AGENT] = ATTEMPT_BOX_AGENT, [BOX_EVALUATE] = ATTEMPT_BOX_EVALUATE};
	const struct trial *t = &w->attempt.trial;
	const bool plain = sandbox_kind_is_plain(t->sandbox);

	free(w->scratch[which]);
	w->scratch[which] = path_join(w->dir, scratch[plain ? BOX_AGENT : which]);
	snprintf(w->box_name[which], sizeof w->box_name[which], "%.100s%s",
		 /* A host or a container has no dot there. */
		 t->run_id + (*t->run_id == '.'),
		 which == BOX_EVALUATE && t->sandbox == SANDBOX_DOCKER ? "-eval" : "");
	*spec = (struct sandbox_spec){
		.root_fd = w->root_fd,
		.name = w->box_name[which],
		.layout = &w->task.layout,
		.baseline = w->baseline.path,
		.app = w->app,
		.scratch = w->scratch[which],
		.workspace = t->workspace,
		.plain = plain,
		.alone = t->sandbox == SANDBOX_LAUNCHER,
		.network = t->network,
		.limits = t->limits,
		.inherited = w->inherited[which],
		.image = t->sandbox == SANDBOX_DOCKER ? &w->image : NULL,
		.bench = w->attempt.bench,
		.run = t->run_id,
		.cancel_fds = {w->signal_fd, w->event_fd},
	};
	spec->mounts = w->mounts[which];
	spec->mounts_n = agent_mounts(w->attempt.tools, "mounts", w->mounts[which],
				      ARRAY_SIZE(w->mounts[which]));
	if (spec->image)
		spec->mounts_n += agent_mounts(w->attempt.tools, "container_mounts",
					       w->mounts[which] + spec->mounts_n,
					       ARRAY_SIZE(w->mounts[which]) - spec->mounts_n);
	if (trial_is_harbor(t)) {
		spec->whole = true;
		/* Which of them has it when is seen to while it runs. */
		spec->network |= t->eval_network && (!w->separate || w->task.steps_n > 1);
		if (which == BOX_EVALUATE) {
			spec->image = &w->verifier_image;
			spec->network = t->eval_network;
		}
		add_verifier_tools(w, spec, which);
		spec->privileges = w->privileges = spec->image && spec->image->sudo;
		spec->app = NULL;
		spec->baseline = NULL;
	}
	spec->caches = w->caches[which];
	spec->caches_n = agent_mounts(w->attempt.tools, "caches", w->caches[which],
				      ARRAY_SIZE(w->caches[which]));
	spec->grading = which == BOX_EVALUATE && !spec->whole;
	spec->untraced = spec->grading;
	for (size_t i = 0; w->step && i < w->step->tests_n; i++)
		spec->untraced &= !w->step->tests[i].tracing;
	if (which != BOX_AGENT)
		return;
	spec->mounts_n +=
		agent_mounts(w->attempt.agent_spec, "mounts", w->mounts[which] + spec->mounts_n,
			     ARRAY_SIZE(w->mounts[which]) - spec->mounts_n);
	if (attempt_agent_asks(&w->attempt))
		spec->gateway = w->attempt.gateway;
	snprintf(w->calls, sizeof w->calls, "%s/" ATTEMPT_CALLS, w->dir);
	snprintf(w->recording, sizeof w->recording, "%s/" ATTEMPT_RECORDING, w->dir);
	spec->counted[0] = w->calls;
	spec->counted[1] = w->recording;
	/* Such a task serves ports of its own. */
	spec->gateway_port = spec->whole ? WHOLE_GATEWAY_PORT : AGENT_GATEWAY_PORT;
}

/* Nobody else is on the machine, so that the usual names may lead to what an agent works in. */
static int lead_to(const char *scratch, int root_fd, struct err *err)
{
	static const char *const names[] = {"/app", "/home/agent"};
	AUTO(free) char *root = path_of_fd(root_fd);
	AUTO(free) char *top = path_join(root, scratch);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(free) char *to = xasprintf("%s%s", top, names[i]);
		unlink(names[i]);
		if (symlink(to, names[i]) && errno != EEXIST && errno != EISDIR)
			return err_set(err, ERR_INFRA, errno, "link %s", names[i]);
	}
	return 0;
}

int work_unmount(struct work *w, struct err *err)
{
	AUTO(free) char *scratch = path_join(w->dir, ATTEMPT_BOX_AGENT);

	if (sandbox_plain_layout(&w->task.layout, w->root_fd, scratch, err))
		return -1;
	if (w->attempt.trial.sandbox == SANDBOX_LAUNCHER && lead_to(scratch, w->root_fd, err))
		return -1;
	agent_unmount(w->attempt.agent_spec);
	agent_unmount(w->attempt.tools);
	return 0;
}

int work_sandbox(struct work *w, struct sandbox **out, enum work_box which, struct err *err)
{
	struct sandbox_spec spec;

	fill_spec(w, &spec, which);
	return sandbox_open(out, sandbox_kind_name(w->attempt.trial.sandbox), &spec, err);
}

/* Whether WHICH is the sandbox that somebody looks into. */
static bool shell_wants(const struct work *w, enum work_box which)
{
	return (which == BOX_AGENT) == !strcmp(json_get_str(w->attempt.shell, "mode", ""), "agent");
}

int work_open_inherited(struct work *w, struct err *err)
{
	const bool wanted[] = {
		[BOX_AGENT] = !w->attempt.agent_from && !w->attempt.preflight,
		[BOX_EVALUATE] = w->attempt.trial.evaluate &&
				 (trial_is_harbor(&w->attempt.trial)
					  ? w->separate
					  : eval_needs_sandbox(&w->attempt, w->step)),
	};
	struct sandbox_spec spec;

	if (w->attempt.trial.sandbox == SANDBOX_NONE)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (w->attempt.shell ? !shell_wants(w, (enum work_box)i) : !wanted[i])
			continue;
		fill_spec(w, &spec, (enum work_box)i);
		if (sandbox_inherited_open(&w->inherited[i], &spec, w->attempt.uid, w->attempt.uid,
					   err))
			return -1;
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which sandbox "auto" is, and what the images of containers are made from.
 */
#include <fcntl.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "engine/ask.h"
#include "rollout/inputs-internal.h"

static void problem(struct inputs *in, const struct bench_entry *e, struct strv *problems,
		    const char *text)
{
	strv_pushf(problems, "%s:%d:%d: \"%s\": %s", in->bench.config_path, e->line, e->col,
		   e->prepared_dir, text);
}

/* Once for all entries. */
static int find_engine(struct inputs *in, struct err *err)
{
	AUTO(buf) struct buf out = BUF_INIT;

	if (in->engine)
		return 0;
	if (engine_ask((const char *const[]){"find", NULL}, AT_FDCWD, &out, err))
		return -1;
	char *about = strchr(out.data, '\n');
	about = about ? about + 1 : out.data;
	in->engine = xstrndup(about, strcspn(about, "\n"));
	return 0;
}

static int read_context(struct inputs *in, struct bench_entry *e, struct inputs_task *t,
			struct strv *problems, struct err *err)
{
	AUTO(strv) struct strv lines = STRV_INIT;

	if (!t->context && task_context_read(&t->context, &t->task, &t->source, &lines, err)) {
		if (!lines.n)
			return -1;
		inputs_task_lines(&t->source, &lines, problems);
		return 0;
	}
	e->image = xstrdup(t->context->key);
	return 0;
}

static int resolve(struct inputs *in, size_t i, struct strv *problems, struct err *err)
{
	struct bench_entry *e = &in->bench.entries[i];
	struct inputs_task *t = &in->tasks[in->entry_task[i]];
	const bool wanted = task_wants_image(&t->task), asked = e->sandbox == SANDBOX_DOCKER;

	if (e->sandbox == SANDBOX_AUTO && !wanted)
		e->sandbox = SANDBOX_LOCAL;
	if (e->sandbox == SANDBOX_LOCAL || e->sandbox == SANDBOX_NONE) {
		if (e->network)
			problem(in, e, problems,
				"network = true needs sandbox = \"docker\", and with it a "
				"Dockerfile or docker_image: "
				"sandbox = \"local\" has no network");
		return 0;
	}
	if (!wanted) {
		problem(in, e, problems,
			"sandbox = \"docker\" needs a Dockerfile in the task folder, or "
			"docker_image in its tb_meta.json");
		return 0;
	}
	if (find_engine(in, err)) {
		if (!asked)
			err_wrap(err,
				 "task %s has a %s, and no container engine is to be had; start "
				 "one (rollouts doctor), "
				 "or set sandbox = \"local\" to run it with the programs of this "
				 "machine",
				 t->task.id, t->task.docker_image ? "docker_image" : "Dockerfile");
		return -1;
	}
	e->sandbox = SANDBOX_DOCKER;
	return read_context(in, e, t, problems, err);
}

int inputs_settle_sandboxes(struct inputs *in, struct strv *problems, struct err *err)
{
	for (size_t i = 0; i < in->bench.entries_n; i++)
		if (resolve(in, i, problems, err))
			return -1;
	return 0;
}

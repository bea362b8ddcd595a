/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which sandbox "auto" is, and what the images of containers are made from.
 */
#include <fcntl.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "engine/ask.h"
#include "rollout/caches.h"
#include "rollout/inputs-internal.h"
#include "sandbox/sandbox.h"

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

static void cannot_read(struct bench_entry *e, const struct inputs_task *t,
			const struct strv *lines, struct strv *problems)
{
	if (inputs_refuse(e, lines->v[0]))
		e->sandbox = SANDBOX_NONE;
	else
		inputs_task_lines(&t->source, lines, problems);
}

static int read_context(struct inputs *in, struct bench_entry *e, struct inputs_task *t,
			struct strv *problems, struct err *err)
{
	AUTO(strv) struct strv lines = STRV_INIT;

	if (!t->context && task_context_read(&t->context, &t->task, &t->source, &lines, err)) {
		if (!lines.n)
			return -1;
		cannot_read(e, t, &lines, problems);
		return 0;
	}
	e->image = xstrdup(t->context->key);
	if (t->task.harbor && !t->verifier_keys &&
	    task_context_verifiers(&t->verifiers, &t->verifier_keys, &t->task, &t->source, &lines,
				   err)) {
		if (!lines.n)
			return -1;
		cannot_read(e, t, &lines, problems);
	}
	e->verifier_images = xstrdup(t->verifier_keys);
	return 0;
}

/* Trying starts one: only where something depends on it. */
static enum sandbox_kind usual_sandbox(struct inputs *in)
{
	struct err why = {0};

	if (in->usual != SANDBOX_AUTO)
		return in->usual;
	in->usual = SANDBOX_LOCAL;
	if (!strcmp(sandbox_usual(in->bench.allow_weaker_sandbox, &why), "landlock")) {
		in->usual = SANDBOX_LANDLOCK;
		in->weaker = xstrdup(why.msg);
	}
	return in->usual;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_.-", c));
}

/* As a path of its own, and not as a part of another. */
static bool names_place(const char *text, size_t len, const char *place)
{
	const size_t n = strlen(place);
	const char *end = text + len, *hit = text;

	for (; (hit = memmem(hit, (size_t)(end - hit), place, n)); hit++) {
		const char before = hit > text ? hit[-1] : ' ';
		const char after = hit + n < end ? hit[n] : ' ';
		if (!is_word(before) && !strchr("/})~", before) && !is_word(after))
			return true;
	}
	return false;
}

/* Where nothing is mounted these places are elsewhere, or not to be had: a test would fail for that alone. */
static void check_names(struct inputs *in, const struct bench_entry *e, const struct task *t,
			struct strv *problems)
{
	static const char *const places[] = {"/app", "/home/agent", "/tmp", "/var/tmp", "/dev/shm"};

	for (size_t s = 0; s < t->steps_n; s++)
		for (size_t i = 0; i < t->steps[s].tests_n; i++) {
			const struct task_test *test = &t->steps[s].tests[i];
			const char *command = test->command ? test->command : "";
			for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
				if (!names_place(command, strlen(command), places[k]) &&
				    !names_place(test->content ? test->content : "",
						 test->content_len, places[k]))
					continue;
				AUTO(free)
				char *text = xasprintf(
					"test %s names %s, which sandbox = \"landlock\" does not "
					"have: nothing can be mounted there (go by the working "
					"directory, $HOME and $TMPDIR)",
					test->path, places[k]);
				problem(in, e, problems, text);
				break;
			}
		}
}

static int resolve(struct inputs *in, size_t i, struct strv *problems, struct err *err)
{
	struct bench_entry *e = &in->bench.entries[i];
	struct inputs_task *t = &in->tasks[in->entry_task[i]];
	const bool wanted = task_wants_image(&t->task), asked = e->sandbox == SANDBOX_DOCKER;

	if (e->sandbox == SANDBOX_AUTO && !wanted)
		e->sandbox = usual_sandbox(in);
	if (e->sandbox == SANDBOX_LANDLOCK)
		check_names(in, e, &t->task, problems);
	if (e->sandbox != SANDBOX_AUTO && !asked) {
		if (e->network)
			problem(in, e, problems,
				"network = true needs sandbox = \"docker\", and with it a "
				"Dockerfile or docker_image: any other has no network");
		return 0;
	}
	if (!wanted) {
		problem(in, e, problems,
			"sandbox = \"docker\" needs a Dockerfile in the task folder, or "
			"docker_image in its tb_meta.json");
		return 0;
	}
	if (find_engine(in, err)) {
		if (!asked && t->task.harbor)
			err_wrap(err,
				 "task %s is a Harbor task, which runs in a container, and no "
				 "container engine is to be had; start one (rollouts doctor)",
				 t->task.id);
		else if (!asked)
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
	bool plain = false;

	for (size_t i = 0; i < in->bench.entries_n; i++) {
		if (in->bench.entries[i].refused)
			in->bench.entries[i].sandbox = SANDBOX_NONE;
		else if (resolve(in, i, problems, err))
			return -1;
		plain |= in->bench.entries[i].sandbox == SANDBOX_LANDLOCK;
	}
	if (plain)
		caches_check_plain(in->tools, in->bench.config_path, problems);
	return 0;
}

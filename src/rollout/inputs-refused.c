/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Tasks of a folder that cannot be run here. They must neither stop the others nor make the denominator smaller without a word: they are
 * planned like any, and each trial of them ends at once, missing, with the reason.
 */
#include <fcntl.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "rollout/inputs-internal.h"

enum { TOLD_MAX = 20 };

/* One that the user named by itself is a mistake to be told, and so is a prepared task, whose author is the user. */
bool inputs_refuse(struct bench_entry *e, const char *why)
{
	AUTO(free) char *file = path_join(e->task_path, "task.toml");

	if (!e->found || !path_exists(AT_FDCWD, file))
		return false;
	/* Its folder is told beside it. */
	const size_t n = strlen(e->prepared_dir);
	const char *at = strstr(why, e->prepared_dir);
	if (at && (at == why || at[-1] == '"') && at[n])
		why = at + n + strspn(at + n, "/\": ");
	if (!e->refused)
		e->refused = xstrdup(why);
	return true;
}

void inputs_settle_refused(struct inputs *in, struct strv *problems)
{
	size_t n = 0;

	for (size_t i = 0; i < in->bench.entries_n; i++)
		n += in->bench.entries[i].refused != NULL;
	if (!n || n < in->bench.entries_n)
		return;
	/* There is nothing to run. */
	for (size_t i = 0; i < n; i++)
		strv_pushf(problems, "%s: %s", in->bench.entries[i].prepared_dir,
			   in->bench.entries[i].refused);
}

void inputs_note_refused(struct inputs *in)
{
	AUTO(strv) struct strv lines = STRV_INIT;
	size_t trials = 0;

	for (size_t i = 0; i < in->plan.n; i++) {
		const struct trial *t = &in->plan.trials[i];
		AUTO(free) char *line = xasprintf("  %s: %s", t->task_dir, t->refused);
		trials += *t->refused != '\0';
		if (*t->refused && !strv_has(&lines, line))
			strv_push(&lines, line);
	}
	if (!trials)
		return;
	strv_pushf(&in->plan.notes,
		   "%zu task%s cannot be run here: %zu of %zu trials will be missing from the "
		   "results, with the reason (--exclude FOLDER leaves a task out altogether)",
		   lines.n, lines.n == 1 ? "" : "s", trials, in->plan.n);
	for (size_t i = 0; i < lines.n && i < TOLD_MAX; i++)
		strv_push(&in->plan.notes, lines.v[i]);
	if (lines.n > TOLD_MAX)
		strv_pushf(&in->plan.notes, "  and %zu more tasks", lines.n - TOLD_MAX);
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * resolved.h -- a task between its documents and struct task: tb_meta.json in one normal form,
 * which each layer of overrides then changes. Every value remembers where it was written, so that a
 * issue found after merging is still told at its source.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "task/issues.h"

#define TASK_META_FILE "tb_meta.json"
#define TASK_OVERRIDES_FILE "overrides.json"
#define TASK_INSTRUCTIONS_FILE "LM_INSTRUCTIONS.md"
#define TASK_MAX_DOC ((size_t)16 << 20) /* bytes of a JSON document */
#define TASK_MAX_LIST 2000		/* rubrics, test scripts */

struct resolved {
	/* instruction, follow_ups[], images[], mcp{}, services{}, id, title, tags, repo{}, rubrics[], test_scripts[], overlay_files{path:
	 * text}, overlay_repo_files{path: text} (injected files included), remove_repo_paths[],
	 * environment_variables{} */
	json_t *v;
	/* The same keys, and one level below them for objects: "FILE: PLACE". */
	json_t *from;
	bool legacy;	 /* the evaluation was of the older shape */
	bool bad_shapes; /* a list of rubrics or tests was left out because of its issues */
};

void resolved_init(struct resolved *r);
void resolved_release(struct resolved *r);
/* Set KEY, or with INNER one member of the object KEY. VALUE is borrowed; null unsets. */
void resolved_set(struct resolved *r, const char *key, const char *inner, json_t *value,
		  const char *file, const struct at *at);
/* "FILE: PLACE" of KEY or its member INNER, else FALLBACK. Borrowed. */
const char *resolved_place(const struct resolved *r, const char *key, const char *inner,
			   const char *fallback);

/* Check and replace "rubrics" or "test_scripts" (LIST NULL: leave it). An item takes the members it
 * does not name from the earlier item with the same id or path. */
void resolved_set_list(struct resolved *r, const char *key, json_t *list, const char *file,
		       const struct at *at, struct issues *m);

/* The shape of `repo` in tb_meta.json and in overrides. */
extern const struct member repo_members[];

/* Read tb_meta.json of the folder DIR_FD into R; false when there is no document at all. */
bool meta_read(struct resolved *r, int dir_fd, struct issues *m);
/* Read the overrides file PATH (relative to DIR_FD) on top of R; its lines begin with PATH. */
void overrides_read(struct resolved *r, int dir_fd, const char *path, struct issues *m,
		    struct strv *notes);

/* Read a JSON object; issues go to M. NULL: there is none to go on with. The caller owns it. */
json_t *document_read(int dir_fd, const char *path, struct issues *m);

/* Why PATH cannot name a file laid into a tree called WHERE ("the repository"); NULL when it can.
 * Owned by the caller. */
char *path_issue(const char *path, const char *where);

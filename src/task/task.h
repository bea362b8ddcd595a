/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * task.h -- a task as resolved: the task folder with its overrides applied, in memory and as a snapshot
 * under DATA/cache/tasks/HASH that workers read. The task folder itself is never written to.
 *
 * Snapshot layout (made once, atomically; read-only afterwards):
 *   task.json   everything below but the file trees
 *   app/        of a Harbor task its tests/, solution/, steps/ and what environment/ has to upload; else what the agent may see at layout.app (overlay_files without gold: no diff.patch, no
 *               repo_info.json, no creator's notes.md; tb_meta.json without evaluation and end commit),
 *               LM_INSTRUCTIONS.md included
 *   repo/       overlay_repo_files and injected files, to be laid over the checkout
 *   gold.patch  the gold diff, if the task has one (never mounted into a sandbox; oracle only)
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/strv.h"
#include "core/kv.h"
#include "core/task-layout.h"

struct task_repo {
	char *git_url; /* any git URL, or an absolute local path (a repository or a bundle) */
	char *branch;
	char *start_commit; /* full SHA; of a remote repository also NULL: the branch's tip */
	char *end_commit;   /* gold: never reaches a sandbox */
	char *subdir;	    /* NULL: none. Restricts the checkout to it; the agent starts there */
	struct strv sparse; /* patterns of sparse_checkout */
	struct strv remove; /* remove_repo_paths, wildcards allowed */
	bool submodules; /* their files are the repository's own; else their folders stay empty */
};

struct task_rubric {
	char *id, *criterion;
	double weight;	  /* negative: points that are lost where it is met */
	bool binary;	  /* met or not met, instead of having degrees */
	json_t *criteria; /* evaluation_criteria array or NULL */
};

struct task_test {
	char *path; /* inside the repository */
	char *rubric_id;
	char *content;
	size_t content_len;
	char *command;	     /* NULL: by suffix (.py pytest, .sh bash, else the file itself) */
	int64_t timeout_ms;  /* 0: the trial's eval_timeout */
	bool partial_credit; /* what passed of it counts, not only all of it */
	bool tracing;	     /* it may use a debugger, and so may what it tests */
};

/* What the agent is asked, and what its work is graded by. */
struct task_step {
	char *name; /* "" for the only step of a prepared task */
	char *instruction;
	struct strv
		follow_ups; /* what is asked next in the same session, each when the last was answered */
	struct strv
		images; /* that go with the instruction: paths below layout.app, in the snapshot below app/ */
	struct task_rubric *rubrics;
	size_t rubrics_n;
	struct task_test *tests;
	size_t tests_n;
};

struct task {
	char *dir; /* absolute, resolved */
	char *id, *title;
	json_t *tags;	  /* array or NULL */
	char *difficulty; /* a word, for choosing tasks; NULL: not said */
	char *cluster;	  /* tasks with the same one depend on each other; NULL: not said */
	struct task_layout layout;
	struct task_repo repo;
	struct task_step *steps; /* in order, one after the other; at least one */
	size_t steps_n;
	struct kvs
		env; /* .env and the environment_variables override; names of keys are left out */
	struct strv withheld; /* names of credentials in its .env, of a folder just read */
	char *docker_image;   /* a name to pull; NULL: none */
	bool has_dockerfile;  /* of the folder: not kept in a snapshot */
	bool has_gold;
	json_t *around; /* {mcp, services} of its agents, as in an agent's file (agent/agent.h); NULL: none */
	json_t *harbor; /* of a Harbor task: what its task.toml says, see harbor/contract.h; else NULL */
	char *fetches; /* "tests/test.sh:5: uvx": what its tests fetch to verify; of one just read. NULL: nothing known */
	struct strv unknown; /* keys of its task.toml that nobody knows; of one just read */
	char hash[HASH_HEX];
	char trees[HASH_HEX]; /* of the files in a snapshot; "": an older program's */
	struct strv
		hollow; /* what of its repository is not there for an agent: submodules, LFS; of a local one just read */
	struct strv notes; /* one-line remarks of task_read for people: what is not used, and why */
	struct task_files *files; /* private: the file trees for task_snapshot; NULL when loaded */
};

/* Where a task is read from, and with which overrides. */
struct task_source {
	const char *dir;       /* the task folder, as found */
	const char *overrides; /* the entry's overrides file, or NULL */
	bool apply_overrides;  /* false: neither that file nor the task's own overrides.json */
};

/* Read and check a task folder. Every issue is one line appended to ISSUES ("tb_meta.json: ..."), all
 * in one go; -1 with ERR_USAGE when there was any. Reads only. Blocks on the file system only. */
int task_read(struct task *out, const struct task_source *src, struct strv *issues,
	      struct err *err) MUST_CHECK;
/* In the place of a task that cannot be read from DIR and whose agents never run: nothing but its name. */
void task_stand_in(struct task *out, const char *dir);
/* Append the paths of the files that T, as task_read left it, lays over the repository. */
void task_overlay_paths(const struct task *t, struct strv *out);
/* Write the snapshot below ROOT_FD unless it is there; *path is "cache/tasks/HASH", owned by the caller. */
int task_snapshot(const struct task *t, const struct task_source *src, int root_fd, char **path,
		  struct err *err) MUST_CHECK;
/* Whether the files of the snapshot are those that were put there: a copy may lose modes, hidden files, empty folders. One of
 * an older program is taken to be whole. */
bool task_snapshot_is_whole(int root_fd, const char *snapshot);
/* Read a snapshot back (dir is left NULL). */
int task_load(struct task *out, int root_fd, const char *snapshot, struct err *err) MUST_CHECK;
void task_release(struct task *t);
/* Whether a test of STEP scores the rubric ID. */
bool task_step_tests(const struct task_step *step, const char *id);

/* What became of a task since its snapshot was made, beyond its tests and rubrics. */
struct task_change {
	const char *
		start; /* what of the start of the agent's work differs, as tb_meta.json names it; NULL: nothing */
	char *start_commit; /* of the snapshot, owned; NULL: it named a branch. Not compared: the caller may know more */
	bool instruction;  /* it reads otherwise */
	bool surroundings; /* files under /app or variables differ */
};

/* Compare T, as task_read left it, with SNAPSHOT. Reads only. OUT must be released when it succeeds. */
int task_compare(struct task_change *out, const struct task *t, int root_fd, const char *snapshot,
		 struct err *err) MUST_CHECK;
void task_change_release(struct task_change *c);

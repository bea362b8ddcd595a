/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/session.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agent-program.h"
#include "core/datadir.h"
#include "core/event.h"
#include "os/folder-try.h"
#include "rollout/carried.h"
#include "rollout/launchers.h"
#include "rollout/recover.h"
#include "sandbox/sandbox.h"
#include "sched/disk.h"
#include "store/changes.h"
#include "store/create.h"
#include "store/owner.h"

static int open_dir(struct session *s, struct err *err)
{
	s->dir_fd = openat(s->store.root_fd, s->ref.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s/%s", s->store.root, s->ref.path);
	return 0;
}

/* Whether anybody will show a token: to a gateway of the user's or to ours. */
static bool needs_secret(const struct session *s)
{
	bool needed = s->plan.gateway;

	for (size_t i = 0; i < s->plan.n && !needed; i++)
		needed = *s->plan.trials[i].provider;
	return needed || s->plan.judge.provider;
}

/* Tokens are made from it, also by the supervisor that resumes this one. */
static int make_secret(struct session *s, struct err *err)
{
	unsigned char bytes[32];

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return err_set(err, ERR_INFRA, errno, "getrandom");
	s->secret = xcalloc(1, HASH_HEX);
	hash_once(bytes, sizeof bytes, s->secret);
	return path_write(s->dir_fd, "secret", s->secret, HASH_HEX - 1, 0600, false, err);
}

static int read_secret(struct session *s, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (!path_exists(s->dir_fd, "secret"))
		return needs_secret(s) ? make_secret(s, err) : 0;
	if (path_read(s->dir_fd, "secret", HASH_HEX, &text, err))
		return err_wrap(err, "%s", s->ref.path);
	s->secret = buf_detach(&text);
	return 0;
}

static int set_gateway(struct session *s, const char *gateway, struct err *err)
{
	if (gateway) {
		s->plan.gateway = realpath(gateway, NULL);
		if (!s->plan.gateway)
			return err_set(err, ERR_USAGE, errno, "--gateway %s", gateway);
	}
	return needs_secret(s) ? make_secret(s, err) : 0;
}

static int make_plan(struct session *s, struct inputs *in, const struct config_request *req,
		     struct err *err)
{
	struct planfile *p = &s->plan;
	char hash[HASH_HEX], id[OWNER_ID];

	hash_once(in->bench.config_text, strlen(in->bench.config_text), hash);
	owner_new_id(id);
	*p = (struct planfile){
		.id = xstrdup(id),
		.name = xstrdup(in->bench.name),
		.stamp = xstrdup(s->ref.stamp),
		.config = xstrdup(in->bench.config_path),
		.config_hash = xstrdup(hash),
		.program = install_build(),
		.parallel = in->bench.parallel,
		.fail_fast = in->bench.fail_fast,
		.fail_on_error = in->bench.fail_on_error,
		.budget = in->bench.budget,
		.replay = xstrdup(req->replay),
		.replay_or_live = req->replay_or_live,
		.allow_emulation = req->allow_emulation,
		.build_timeout_sec = in->bench.build_timeout_sec,
		.uid_base = create_uid_base(in->plan.n),
		.agents = json_incref(in->agents),
		.tools = json_incref(in->tools),
		.launchers = json_incref(in->bench.launchers),
		.judge = in->bench.judge,
		.trials = STEAL(&in->plan.trials),
		.n = in->plan.n,
	};
	in->bench.judge = judge_default;
	in->plan.n = in->plan.cap = 0;
	s->progress = xcalloc(p->n ? p->n : 1, sizeof *s->progress);
	return set_gateway(s, req->gateway, err);
}

int session_judge(struct session *s, struct judge *judge_take, struct err *err)
{
	judge_release(&s->plan.judge);
	s->plan.judge = *judge_take;
	*judge_take = judge_default;
	return !s->secret && needs_secret(s) ? make_secret(s, err) : 0;
}

static struct manifest manifest_of(const struct session *s)
{
	return (struct manifest){&s->store, &s->ref, &s->plan, s->progress, s->dir_fd};
}

/* The plan comes last: a folder without one is no rollout. */
static int write_files(struct session *s, const struct bench *b, struct err *err)
{
	struct manifest m = manifest_of(s);

	if (path_write(s->dir_fd, ROLLOUT_CONFIG, b->config_text, strlen(b->config_text), 0644,
		       false, err))
		return -1;
	if (changes_keep(s->dir_fd, b->config_path, err))
		return -1;
	if (b->tags.n && store_tags_write(&s->store, &s->ref, &b->tags, err))
		return -1;
	return manifest_begin(&m, err) || planfile_write(&s->plan, s->dir_fd, err) ? -1 : 0;
}

static void journal_plan(struct session *s, size_t from, const char *file)
{
	json_t *fields = json_object();

	if (s->plan.id)
		json_put_str(fields, "rollout_id", s->plan.id);
	json_put_int(fields, "from", (int64_t)from);
	json_put_int(fields, "trials", (int64_t)(s->plan.n - from));
	json_put_str(fields, "config_hash", s->plan.config_hash);
	json_put_str(fields, "config", file);
	journal_add(s->journal, EVENT_PLANNED, NULL, 0, fields);
}

/* Files that an error leaves are few and ours: without a plan nobody takes them for a rollout. */
static int build(struct session *s, struct inputs *in, const struct config_request *req,
		 struct err *err)
{
	if (open_dir(s, err))
		return -1;
	if (inputs_commit(in, &s->store, s->ref.stamp, err) || make_plan(s, in, req, err) ||
	    launchers_check(s->store.root_fd, &s->plan, &s->asks_here, err) ||
	    journal_open(&s->journal, s->dir_fd, err))
		return -1;
	/* Pending until the first turn of the scheduler, which shows it too. */
	journal_plan(s, 0, ROLLOUT_CONFIG);
	return write_files(s, &in->bench, err);
}

static int check_worker(struct err *err)
{
	AUTO(free) char *worker = install_libexec("rollouts-trial");

	if (access(worker, X_OK))
		return err_set(err, ERR_INFRA, errno, "%s (is the installation complete?)", worker);
	return 0;
}

/* Told of one file among many it would be a riddle: what is full, and what to do. */
static int explain_full(const char *root, struct err *err)
{
	if (err->sys == ENOSPC || err->sys == EDQUOT)
		err_wrap(err,
			 "no room for the data folder %s: remove what may go (rollouts clean "
			 "--dry-run), or give another with --data-dir",
			 root);
	return -1;
}

static int no_sandbox(struct session *s, bool local, struct err *err)
{
	struct err ignored;
	const size_t n = strlen(err->msg);

	if (local && !sandbox_try(s->store.root_fd, "landlock", &ignored))
		snprintf(err->msg + n, sizeof err->msg - n,
			 "; a weaker one would start: --allow-weaker-sandbox (docs/sandbox.md)");
	return err_wrap(err, "no sandbox starts here, see: rollouts doctor");
}

/* Told once and at once, not by every trial after its retries. */
int session_check_host(struct session *s, const struct trial *trials, size_t n, struct err *err)
{
	static const char *const needed[][2] = {{"git", "git"}, {"bwrap", "bubblewrap"}};
	bool boxed = false, local = false, landlock = false;
	struct disk disk;

	if (s->host_checked)
		return 0;
	disk_init(&disk, s->store.root_fd);
	if (!disk_has_room(&disk))
		return err_set(
			err, ERR_INFRA, 0,
			"the disk of %s is nearly full (%lld MB free; 5 %% and 2 GB are kept "
			"free): rollouts clean --cache, or --data-dir",
			s->store.root, (long long)(disk.free_bytes >> 20));
	for (size_t i = 0; i < n; i++) {
		boxed |= trials[i].sandbox != SANDBOX_NONE;
		local |= trials[i].sandbox == SANDBOX_LOCAL;
		landlock |= trials[i].sandbox == SANDBOX_LANDLOCK;
	}
	for (size_t i = 0; boxed && i < ARRAY_SIZE(needed) - !local; i++) {
		AUTO(free) char *path = program_on_path(needed[i][0]);
		if (!path)
			return err_set(err, ERR_INFRA, 0,
				       "%s is not on PATH: install the package %s, then see: "
				       "rollouts doctor",
				       needed[i][0], needed[i][1]);
	}
	if (boxed && folder_try(s->store.root_fd, err))
		return err_wrap(err,
				"%s is on a file system that no task can be worked on: --data-dir "
				"on another",
				s->store.root);
	if ((local && sandbox_try(s->store.root_fd, "local", err)) ||
	    (landlock && sandbox_try(s->store.root_fd, "landlock", err)))
		return no_sandbox(s, local, err);
	if (local)
		sandbox_warm(s->store.root_fd);
	s->host_checked = true;
	return 0;
}

void session_undo(struct session *s)
{
	struct err err;

	if (path_remove_tree(s->store.root_fd, s->ref.path, &err))
		log_warn("%s", err.msg);
	create_undo(&s->store, &s->ref);
	/* The folder of its benchmark stays with what else is in it. */
	AUTO(free) char *name =
		xstrndup(s->ref.path, (size_t)(path_base(s->ref.path) - s->ref.path));
	unlinkat(s->store.root_fd, name, AT_REMOVEDIR);
}

int session_create(struct session *s, struct inputs *in, const struct config_request *req,
		   struct err *err)
{
	const char *root = req->data_dir ? req->data_dir : "data";

	*s = (struct session){
		.dir_fd = -1, .store.root_fd = -1, .images = {true, req->pull, req->rebuild}};
	if (check_worker(err) || store_open(&s->store, root, true, err))
		return explain_full(root, err);
	if (session_check_host(s, in->plan.trials, in->plan.n, err) ||
	    create_rollout(&s->store, in->bench.name, &s->ref, err)) {
		session_close(s);
		return explain_full(root, err);
	}
	if (!build(s, in, req, err)) {
		s->fresh = true;
		return 0;
	}
	session_undo(s);
	session_close(s);
	return explain_full(root, err);
}

/* A supervisor that was killed leaves workers that are about to end; what they write must not be
 * missed. */
static int end_strays(const struct session *s, struct err *err)
{
	AUTO(free) char *prefix = xasprintf(DATA_RUNS "/%s-", s->plan.stamp);

	return launch_end_strays(s->store.root_fd, prefix, err);
}

/* Before anything is taken in from them. */
static int check_owner(const struct session *s, struct err *err)
{
	const char *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < s->plan.n; i++) {
		const char *run = s->plan.trials[i].run_id;
		if (!owner_is_stranger(s->store.root_fd, &s->plan, run, s->progress[i].attempts))
			continue;
		first = first ? first : run;
		n++;
	}
	return n ? owner_refuse(s->plan.name, s->plan.stamp, n, first, err) : 0;
}

static int open_rollout(struct session *s, struct err *err)
{
	if (open_dir(s, err))
		return -1;
	/* Locked before anything is read: nobody else writes from here on. */
	if (journal_open(&s->journal, s->dir_fd, err))
		return err->sys == EACCES ? carried_refuse(&s->store, s->ref.path, err)
					  : err_wrap(err, "%s/%s", s->store.root, s->ref.path);
	/* Before its lock was ours, `clean --runs` may have had it. */
	struct stat there, ours;
	if (fstatat(s->store.root_fd, s->ref.path, &there, AT_SYMLINK_NOFOLLOW) ||
	    fstat(s->dir_fd, &ours) || there.st_ino != ours.st_ino || there.st_dev != ours.st_dev)
		return err_set(err, ERR_USAGE, 0, "%s/%s was removed just now", s->store.root,
			       s->ref.path);
	if (planfile_read(&s->plan, s->dir_fd, s->ref.path, err))
		return -1;
	if (s->plan.imported)
		return err_set(err, ERR_USAGE, 0,
			       "%s %s was imported from the Harbor job %s: its tasks, agents and "
			       "containers are not here, and nothing of it can be run or graded "
			       "again; run its tasks with: rollouts run --tasks DIR",
			       s->plan.name, s->plan.stamp,
			       json_get_str(s->plan.imported, "job", "?"));
	/* Made by an ordinary user, and ours to go on with. */
	if (!s->plan.uid_base)
		s->plan.uid_base = create_uid_base(s->plan.n);
	s->progress = xcalloc(s->plan.n ? s->plan.n : 1, sizeof *s->progress);
	if (progress_read(s->progress, s->plan.trials, s->plan.n, s->dir_fd, JOURNAL_PROGRESS, NULL,
			  NULL, &s->stats, err))
		return -1;
	journal_continue(s->journal, s->stats.last_seq);
	if (owner_check_journal(&s->plan, s->stats.rollout_id, s->ref.path, err) ||
	    check_owner(s, err))
		return -1;
	if (read_secret(s, err) || end_strays(s, err))
		return -1;
	recover_left(s);
	return 0;
}

int session_open(struct session *s, const char *data_dir, const char *name, const char *selector,
		 struct err *err)
{
	*s = (struct session){.dir_fd = -1, .store.root_fd = -1};
	if (store_open(&s->store, data_dir ? data_dir : "data", false, err))
		return -1;
	if (store_check_links(&s->store, err) || store_use_cache(&s->store, err) ||
	    store_find(&s->store, name, selector, &s->ref, err) || open_rollout(s, err)) {
		session_close(s);
		return -1;
	}
	return 0;
}

/* What was made in one image is not graded in another. */
static int check_moved_images(const struct session *s, const struct inputs *in, struct err *err)
{
	for (size_t i = 0; i < s->plan.n; i++) {
		const struct trial *t = &s->plan.trials[i];
		bool same = !trial_is_moved(t) || t->sandbox != SANDBOX_DOCKER;
		for (size_t e = 0; e < in->bench.entries_n && !same; e++) {
			const char *image = in->bench.entries[e].image;
			same = !strcmp(in->tasks[in->entry_task[e]].task.hash, t->task_hash) &&
			       !strcmp(image ? image : "", t->image);
		}
		if (!same)
			return err_set(
				err, ERR_USAGE, 0,
				"task %s: its image is not made from what it was made from when "
				"the trials here ran: take that change back, or start anew with "
				"`rollouts run`",
				t->task_id);
	}
	return 0;
}

int session_extend(struct session *s, struct inputs *in, bool only_look, struct err *err)
{
	struct planfile *p = &s->plan;
	size_t before = p->n, more = in->plan.n;
	const char *name;
	json_t *spec;

	if (more && strcmp(json_get_str(in->tools, "id", ""), json_get_str(p->tools, "id", "")))
		return err_set(
			err, ERR_USAGE, 0,
			"tools are not what they were when this rollout began, and its trials must "
			"stay comparable: start another with rollouts run");
	if (s->moved && check_moved_images(s, in, err))
		return -1;
	if (only_look)
		plan_stamp(&in->plan, p->stamp);
	else if (inputs_commit(in, &s->store, p->stamp, err))
		return -1;
	p->trials = xreallocarray(p->trials, before + more + 1, sizeof *p->trials);
	if (more)
		memcpy(p->trials + before, in->plan.trials, more * sizeof *p->trials);
	s->progress = xreallocarray(s->progress, before + more + 1, sizeof *s->progress);
	memset(s->progress + before, 0, (more + 1) * sizeof *s->progress);
	p->n += more;
	in->plan.n = 0;
	p->budget = in->bench.budget;
	json_decref(p->launchers);
	p->launchers = json_incref(in->bench.launchers);
	judge_release(&p->judge);
	p->judge = in->bench.judge;
	in->bench.judge = judge_default;
	if (only_look)
		return 0;
	json_object_foreach (in->agents, name, spec)
		if (!json_object_get(p->agents, name))
			json_object_set(p->agents, name, spec);
	if (more || s->moved) {
		AUTO(free) char *file = NULL;
		if (planfile_keep_config(s->dir_fd, in->bench.config_text, &file, err))
			return explain_full(s->store.root, err);
		free(p->config_hash);
		p->config_hash = xcalloc(1, HASH_HEX);
		hash_once(in->bench.config_text, strlen(in->bench.config_text), p->config_hash);
		journal_plan(s, before, file);
	}
	if (!s->secret && needs_secret(s) && make_secret(s, err))
		return -1;
	struct manifest m = manifest_of(s);
	return planfile_write(p, s->dir_fd, err) || manifest_begin(&m, err)
		       ? explain_full(s->store.root, err)
		       : 0;
}

void session_close(struct session *s)
{
	struct err err;

	if (journal_close(s->journal, &err))
		log_warn("%s", err.msg);
	for (size_t i = 0; s->progress && i < s->plan.n; i++)
		progress_release(&s->progress[i]);
	free(s->progress);
	planfile_release(&s->plan);
	rollout_ref_release(&s->ref);
	if (s->store.root)
		store_close(&s->store);
	auto_fd(&s->dir_fd);
	free(s->secret);
	strv_release(&s->asks_here);
	*s = (struct session){.dir_fd = -1, .store.root_fd = -1};
}

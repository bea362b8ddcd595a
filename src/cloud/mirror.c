/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cloud/mirror.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "cloud/archive.h"
#include "cloud/layout.h"
#include "core/datadir.h"
#include "core/event.h"
#include "node/parcel.h"
#include "store/journal.h"
#include "store/planfile.h"
#include "store/progress.h"
#include "store/rundir.h"

enum { KNOWN_MAX = 256 << 20, MANY = 64 };
#define KNOWN DATA_CACHE "/bucket.json"

void mirror_release(struct mirror *m)
{
	json_decref(m->known);
	json_decref(m->results);
	strv_release(&m->rollouts);
	strv_release(&m->left);
}

struct found {
	struct mirror *m;
	struct strv fresh, etags;
};

/* "rollouts/NAME/STAMP/FILE" -> "NAME/STAMP"; NULL: it is none. The caller frees. */
static char *rollout_of(const char *key)
{
	const char *name = key + strlen(LAYOUT_ROLLOUTS "/");
	const char *stamp = strchr(name, '/');
	const char *file = stamp ? strchr(stamp + 1, '/') : NULL;

	return file && file[1] && !strchr(file + 1, '/') && path_is_inside(key) && *name != '.' &&
			       stamp[1] != '.' && file[1] != '.'
		       ? xstrndup(name, (size_t)(file - name))
		       : NULL;
}

static bool is_wanted(const struct mirror *m, const char *rollout)
{
	const size_t n = strcspn(rollout, "/");

	if (m->name && (strlen(m->name) != n || strncmp(m->name, rollout, n)))
		return false;
	return !m->stamp || !strncmp(rollout + n + 1, m->stamp, strlen(m->stamp));
}

static void on_file(void *arg, const char *key, int64_t bytes, const char *etag)
{
	struct found *f = arg;
	AUTO(free) char *rollout = rollout_of(key);

	if (!rollout || !is_wanted(f->m, rollout) || strv_has(&f->m->left, rollout))
		return;
	if (!strv_has(&f->m->rollouts, rollout)) {
		AUTO(free) char *marker = xasprintf("here %s", rollout);
		AUTO(free) char *path = xasprintf(DATA_ROLLOUTS "/%s", rollout);
		/* One that was run, or taken in, here is its own. */
		if (!f->m->own && !json_object_get(f->m->known, marker) &&
		    path_exists(f->m->dir_fd, path)) {
			strv_push(&f->m->left, rollout);
			return;
		}
		json_put_bool(f->m->known, marker, true);
		strv_push(&f->m->rollouts, rollout);
	}
	if (strcmp(json_get_str(f->m->known, key, ""), etag) != 0) {
		strv_push(&f->fresh, key);
		strv_push(&f->etags, etag);
	}
}

static int bring_file(struct mirror *m, const char *key, const char *etag, struct err *err)
{
	AUTO(free) char *folder = path_folder(key);
	AUTO(free) char *temporary = xasprintf("%s/.%s.new", folder, path_base(key));

	if (path_make_dirs(m->dir_fd, folder, 0755, err))
		return -1;
	AUTO(fd)
	int fd = path_open_beneath(m->dir_fd, temporary, O_RDWR | O_CREAT | O_TRUNC, 0644, err);
	if (fd < 0)
		return -1;
	struct s3_object o = {.key = key, .fd = fd, .text = BUF_INIT};
	if (s3_get(m->s3, &o, 1, err))
		return -1;
	if (o.rc) /* gone since it was listed */
		return unlinkat(m->dir_fd, temporary, 0) ? 0 : 0;
	if (renameat(m->dir_fd, temporary, m->dir_fd, key))
		return err_set(err, ERR_INFRA, errno, "rename to %s", key);
	json_put_str(m->known, key, etag);
	return 0;
}

static void on_result(void *arg, const char *key, int64_t bytes, const char *etag)
{
	struct found *f = arg;
	const char *name = path_base(key);
	const size_t n = strlen(name);

	if (n < 6 || strcmp(name + n - 5, ".json") || *name == '.')
		return;
	AUTO(free) char *token = xstrndup(name, n - 5);
	json_put_bool(f->m->results, token, true);
	if (strcmp(json_get_str(f->m->known, key, ""), etag) != 0) {
		strv_push(&f->fresh, key);
		strv_push(&f->etags, etag);
	}
}

/* "RUN_ID.N" -> "runs/RUN_ID/attempts/N"; NULL: it is none. The caller frees. */
static char *attempt_of(const char *token, char **run_id, int *number)
{
	const char *dot = strrchr(token, '.');

	*number = dot ? (int)strtol(dot + 1, NULL, 10) : 0;
	if (*number < 1)
		return NULL;
	*run_id = xstrndup(token, (size_t)(dot - token));
	char *dir = datadir_attempt(*run_id, *number);
	if (!path_is_inside(dir) || strchr(*run_id, '/')) {
		free(dir);
		return NULL;
	}
	return dir;
}

/* What the object says of an attempt, as files of its folder. Where its archive was brought there is more already. */
static int lay_result(struct mirror *m, const char *token, const json_t *j, struct err *err)
{
	AUTO(free) char *run_id = NULL;
	int number;
	AUTO(free) char *dir = attempt_of(token, &run_id, &number);
	json_t *result = json_object_get(j, "result"), *cloud = json_object_get(j, "cloud");

	if (!dir || !json_is_object(result))
		return 0;
	AUTO(free) char *result_path = path_join(dir, ATTEMPT_RESULT);
	AUTO(free) char *cloud_path = path_join(dir, ATTEMPT_CLOUD);
	if (path_exists(m->dir_fd, result_path))
		return 0;
	if (path_make_dirs(m->dir_fd, dir, 0755, err) ||
	    (cloud && json_write(m->dir_fd, cloud_path, cloud, false, err)) ||
	    json_write(m->dir_fd, result_path, result, false, err))
		return -1;
	return rundir_lead_to(m->dir_fd, run_id, number, err);
}

/* Whether a run is of a rollout that was brought here. */
static bool is_ours(const struct mirror *m, const char *token)
{
	for (size_t i = 0; i < m->rollouts.n; i++) {
		const char *stamp = path_base(m->rollouts.v[i]);
		if (!strncmp(token, stamp, strlen(stamp)))
			return true;
	}
	return false;
}

static int bring_results(struct mirror *m, const struct found *f, struct err *err)
{
	struct s3_object objects[MANY];
	int rc = 0;

	for (size_t i = 0; i < f->fresh.n && !rc;) {
		size_t n = 0, at[MANY];
		for (; i < f->fresh.n && n < MANY; i++)
			if (is_ours(m, path_base(f->fresh.v[i]))) {
				at[n] = i;
				objects[n++] = (struct s3_object){
					.key = f->fresh.v[i], .fd = -1, .text = BUF_INIT};
			}
		rc = s3_get(m->s3, objects, n, err);
		for (size_t k = 0; k < n; k++) {
			AUTO(json)
			json_t *j = objects[k].rc ? NULL
						  : json_loadb(objects[k].text.data,
							       objects[k].text.len, 0, NULL);
			AUTO(free)
			char *token = xstrndup(path_base(objects[k].key),
					       strlen(path_base(objects[k].key)) - 5);
			if (!rc && j)
				rc = lay_result(m, token, j, err);
			if (!rc && j)
				json_put_str(m->known, objects[k].key, f->etags.v[at[k]]);
			buf_release(&objects[k].text);
		}
	}
	return rc;
}

/* Results that the journal of the bucket does not have. */
static int complete_journal(struct mirror *m, const char *rollout, struct err *err)
{
	AUTO(free) char *path = xasprintf(DATA_ROLLOUTS "/%s", rollout);
	AUTO(fd) int fd = path_open_beneath(m->dir_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(planfile) struct planfile plan = {0};
	struct journal_stats stats;
	struct journal *journal = NULL;

	if (fd < 0 || planfile_read(&plan, fd, path, err))
		return -1;
	AUTO(free)
	struct trial_progress *p = xcalloc(plan.n ? plan.n : 1, sizeof *p);
	int rc = progress_read(p, plan.trials, plan.n, fd, JOURNAL_PROGRESS, NULL, NULL, &stats,
			       err);
	for (size_t i = 0; !rc && i < plan.n; i++) {
		const char *run_id = plan.trials[i].run_id;
		int last = rundir_last_attempt(m->dir_fd, run_id);
		for (int k = p[i].last_finished + 1; !rc && k <= last; k++) {
			struct rundir_left left;
			rundir_look(m->dir_fd, &plan, &plan.trials[i], k, &left);
			if (left.result && !journal) {
				rc = journal_open(&journal, fd, err);
				if (!rc)
					journal_continue(journal, stats.last_seq);
			}
			if (left.result && !rc)
				journal_add(journal, EVENT_FINISHED, &plan.trials[i], k,
					    progress_finished(left.outcome, left.result));
			json_decref(left.result);
		}
	}
	for (size_t i = 0; i < plan.n; i++)
		progress_release(&p[i]);
	struct err why;
	if (journal && journal_close(journal, &why) && !rc) {
		*err = why;
		rc = -1;
	}
	return rc;
}

int mirror_update(struct mirror *m, struct err *err)
{
	struct found files = {m, STRV_INIT, STRV_INIT}, results = {m, STRV_INIT, STRV_INIT};
	struct err ignored;
	int rc;

	m->results = json_object();
	if (json_read(&m->known, m->dir_fd, KNOWN, KNOWN_MAX, &ignored))
		m->known = json_object();
	rc = s3_list(m->s3, LAYOUT_ROLLOUTS "/", NULL, on_file, &files, err);
	for (size_t i = 0; !rc && i < files.fresh.n; i++)
		rc = bring_file(m, files.fresh.v[i], files.etags.v[i], err);
	if (!rc)
		rc = s3_list(m->s3, LAYOUT_RESULTS "/", NULL, on_result, &results, err);
	if (!rc)
		rc = bring_results(m, &results, err);
	for (size_t i = 0; !rc && i < m->rollouts.n; i++)
		rc = complete_journal(m, m->rollouts.v[i], err);
	if (!rc)
		rc = path_make_dirs(m->dir_fd, DATA_CACHE, 0755, err) ||
				     json_write(m->dir_fd, KNOWN, m->known, false, err)
			     ? -1
			     : 0;
	strv_release(&files.fresh);
	strv_release(&files.etags);
	strv_release(&results.fresh);
	strv_release(&results.etags);
	return rc;
}

/* The whole folder of an attempt in the place of what its result alone had made. */
static int bring_archive(struct mirror *m, const char *token, struct err *err)
{
	AUTO(free) char *run_id = NULL;
	int number;
	AUTO(free) char *dir = attempt_of(token, &run_id, &number);
	AUTO(free) char *key = xasprintf(LAYOUT_ARCHIVES "/%s.tar.zst", token);
	AUTO(free) char *file = xasprintf(DATA_CACHE "/.%s.tar", token);
	AUTO(free) char *fresh = dir ? xasprintf(DATA_CACHE "/.%s.new", token) : NULL;
	AUTO(free) char *trial = dir ? path_join(dir, ATTEMPT_TRIAL) : NULL;
	AUTO(free) char *cloud = dir ? path_join(dir, ATTEMPT_CLOUD) : NULL;
	AUTO(free) char *cloud_new = dir ? path_join(fresh, ATTEMPT_CLOUD) : NULL;

	if (!dir || path_exists(m->dir_fd, trial))
		return 0;
	if (archive_fetch(m->s3, key, m->dir_fd, file, err))
		return -1;
	AUTO(fd) int fd = path_open_beneath(m->dir_fd, file, O_RDONLY, 0, err);
	int rc = fd < 0 || path_remove_tree(m->dir_fd, fresh, err) ||
				 parcel_read(fd, NULL, m->dir_fd, fresh, err)
			 ? -1
			 : 0;
	unlinkat(m->dir_fd, file, 0);
	if (rc)
		return -1;
	if (renameat(m->dir_fd, cloud, m->dir_fd, cloud_new) && errno != ENOENT)
		return err_set(err, ERR_INFRA, errno, "rename %s", cloud);
	AUTO(free) char *attempts = path_folder(dir);
	if (path_make_dirs(m->dir_fd, attempts, 0755, err) || path_remove_tree(m->dir_fd, dir, err))
		return -1;
	if (renameat(m->dir_fd, fresh, m->dir_fd, dir))
		return err_set(err, ERR_INFRA, errno, "rename to %s", dir);
	return rundir_lead_to(m->dir_fd, run_id, number, err);
}

int mirror_archives(struct mirror *m, const char *run, size_t *n, struct err *err)
{
	const char *token;
	json_t *v;

	*n = 0;
	json_object_foreach (m->results, token, v) {
		const size_t len = run ? strlen(run) : 0;
		if ((run && (strncmp(token, run, len) || (token[len] != '.' && token[len]))) ||
		    !is_ours(m, token))
			continue;
		if (bring_archive(m, token, err))
			return -1;
		++*n;
	}
	return 0;
}

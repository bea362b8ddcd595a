/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/merge.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "rollout/inputs-internal.h"
#include "rollout/merge-internal.h"
#include "store/journal.h"
#include "store/owner.h"

#define OWN SIZE_MAX /* the number of the data folder itself among the folders */

struct parts {
	struct merge_part *v;
	size_t n, cap;
};

struct merging {
	const struct merge_request *q;
	struct merge m;
	struct store *stores; /* of the folders */
	size_t stores_n;
	struct parts here, there;
};

static void release_parts(struct parts *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct merge_part *part = &p->v[i];
		rollout_ref_release(&part->ref);
		planfile_release(&part->plan);
		auto_fd(&part->dir_fd);
		free(part->from);
		free(part->why);
		json_decref(part->keys);
	}
	free(p->v);
}

static int open_part(struct merge_part *part, bool only_head, struct err *err)
{
	part->from = xasprintf("%s/%s", part->store->root, part->ref.path);
	part->dir_fd = path_open_beneath(part->store->root_fd, part->ref.path,
					 O_RDONLY | O_DIRECTORY, 0, err);
	if (part->dir_fd < 0)
		return -1;
	return only_head ? planfile_read_head(&part->plan, part->dir_fd, part->from, err)
			 : planfile_read(&part->plan, part->dir_fd, part->from, err);
}

static int open_all(struct parts *out, const struct store *s, size_t folder, bool only_head,
		    struct err *err)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0;
	int status = store_list(s, NULL, &refs, &n, err);

	for (size_t i = 0; i < n; i++) {
		GROW(out->v, out->n, out->cap);
		struct merge_part *part = &out->v[out->n++];
		*part = (struct merge_part){
			.store = s, .folder = folder, .ref = refs[i], .dir_fd = -1};
		if (!status)
			status = open_part(part, only_head, err);
	}
	free(refs);
	return status;
}

static bool is_plain(const char *id)
{
	return *id && *id != '.' && !strchr(id, '/');
}

/* What is taken in must be whole, and nobody's but its own. */
static int check_part(const struct merge_part *part, struct err *err)
{
	size_t strangers = 0;
	const char *first = NULL;

	if (journal_is_live(part->dir_fd))
		return err_set(err, ERR_USAGE, 0, "%s is running: wait for it, or interrupt it",
			       part->from);
	for (size_t i = 0; i < part->plan.n; i++) {
		const char *run = part->plan.trials[i].run_id;
		if (!is_plain(run))
			return err_set(err, ERR_USAGE, 0, "%s: \"%s\" is no RUN_ID", part->from,
				       run);
		if (!owner_is_stranger(part->store->root_fd, &part->plan, run, 1))
			continue;
		first = first ? first : run;
		strangers++;
	}
	return strangers ? owner_refuse(part->from, "", strangers, first, err) : 0;
}

enum relation { SAME, SHORTER, LONGER, FORKED };

/* How far the journal in A has come, beside that in B. */
static enum relation compare_journals(int a_dir, int b_dir)
{
	AUTO(fd) int a = openat(a_dir, ROLLOUT_JOURNAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO(fd) int b = openat(b_dir, ROLLOUT_JOURNAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char x[1 << 14], y[1 << 14];

	for (off_t at = 0;;) {
		ssize_t n = a < 0 ? 0 : pread(a, x, sizeof x, at);
		ssize_t k = b < 0 ? 0 : pread(b, y, sizeof y, at);
		size_t both = (size_t)(n < k ? n : k);
		if (n < 0 || k < 0 || memcmp(x, y, both) != 0)
			return FORKED;
		if (n != k || !n)
			return n == k ? SAME : n < k ? SHORTER : LONGER;
		at += n;
	}
}

static int64_t journal_bytes(int dir_fd)
{
	struct stat st;

	return fstatat(dir_fd, ROLLOUT_JOURNAL, &st, AT_SYMLINK_NOFOLLOW) ? 0 : (int64_t)st.st_size;
}

static const json_t *joined_part(const struct planfile *p, const char *id)
{
	size_t i;
	json_t *part;

	json_array_foreach (p->merged, i, part)
		if (id && !strcmp(id, json_get_str(part, "rollout_id", "")))
			return part;
	return NULL;
}

/* An older program's has no id: then its name, its stamp and what happened have to do. */
static bool is_same_start(const struct merge_part *a, const struct merge_part *b)
{
	if (a->plan.id && b->plan.id)
		return !strcmp(a->plan.id, b->plan.id);
	return !a->plan.id && !b->plan.id && !strcmp(a->ref.name, b->ref.name) &&
	       !strcmp(a->ref.stamp, b->ref.stamp) &&
	       compare_journals(a->dir_fd, b->dir_fd) != FORKED;
}

static int went_on_twice(const struct merge_part *a, const struct merge_part *b, struct err *err)
{
	return err_set(err, ERR_USAGE, 0,
		       "%s and %s are one rollout that went on in both places: one of them has to "
		       "be chosen",
		       a->from, b->from);
}

static int find_known(struct merge_part *part, struct parts *here, struct err *err)
{
	for (size_t i = 0; i < here->n; i++) {
		struct merge_part *p = &here->v[i];
		const json_t *as_part = joined_part(&p->plan, part->plan.id);
		if (!as_part && !is_same_start(part, p))
			continue;
		part->known = p;
		if (as_part &&
		    json_get_int(as_part, "journal_bytes", 0) != journal_bytes(part->dir_fd))
			return err_set(err, ERR_USAGE, 0,
				       "%s has gone on since it was merged into %s, where its "
				       "trials are others by now",
				       part->from, p->from);
		if (as_part)
			return 0;
		enum relation r = compare_journals(p->dir_fd, part->dir_fd);
		if (r == FORKED)
			return went_on_twice(p, part, err);
		part->kind = r == SHORTER ? MERGE_GREW : MERGE_KNOWN;
		return 0;
	}
	return 0;
}

/* One start may lie in two of the folders: the one that has come further is taken. */
static int find_double(struct merge_part *part, struct parts *there, struct err *err)
{
	for (struct merge_part *p = there->v; p < part; p++) {
		if (p->folder == part->folder || p->known || !is_same_start(p, part))
			continue;
		enum relation r = compare_journals(p->dir_fd, part->dir_fd);
		if (r == FORKED)
			return went_on_twice(p, part, err);
		struct merge_part *less = r == SHORTER ? p : part;
		less->known = less == p ? part : p;
		less->kind = MERGE_KNOWN;
		return 0;
	}
	return 0;
}

static const json_t *keys_of(struct merge_part *p)
{
	if (p->keys)
		return p->keys;
	p->keys = json_object();
	for (size_t i = 0; i < p->plan.n; i++)
		json_put_int(p->keys, p->plan.trials[i].key, (int64_t)i);
	return p->keys;
}

/* The first trial of B that A has as well, or NULL. */
static const struct trial *shared_trial(struct merge_part *a, const struct merge_part *b)
{
	const json_t *keys = keys_of(a);

	for (size_t i = 0; i < b->plan.n; i++)
		if (json_object_get(keys, b->plan.trials[i].key))
			return &b->plan.trials[i];
	return NULL;
}

/* Why A and B, of one benchmark file, are no parts of one benchmark; NULL: they are. The caller frees. */
static char *difference(const struct merge_part *a, const struct merge_part *b)
{
	AUTO(json) json_t *hashes = json_object();
	const char *name;
	json_t *spec;

	for (size_t i = 0; i < a->plan.n; i++)
		json_put_str(hashes, a->plan.trials[i].task_dir, a->plan.trials[i].task_hash);
	for (size_t i = 0; i < b->plan.n; i++) {
		const struct trial *t = &b->plan.trials[i];
		const char *hash = json_get_str(hashes, t->task_dir, t->task_hash);
		if (strcmp(hash, t->task_hash) != 0)
			return xasprintf("the task %s is not the same", t->task_id);
	}
	json_object_foreach (b->plan.agents, name, spec) {
		const json_t *other = json_object_get(a->plan.agents, name);
		if (other && !inputs_same_agent(other, spec))
			return xasprintf("the agent %s is not the same", name);
	}
	if (strcmp(json_get_str(a->plan.tools, "id", ""), json_get_str(b->plan.tools, "id", "")))
		return xstrdup("their tools are not the same");
	return NULL;
}

static bool is_of_one_file(const struct merge_part *a, const struct merge_part *b)
{
	return !strcmp(a->ref.name, b->ref.name) && *a->plan.config_hash &&
	       !strcmp(a->plan.config_hash, b->plan.config_hash);
}

static int collide(const struct merge_part *a, const struct merge_part *b, const struct trial *t,
		   struct err *err)
{
	return err_set(err, ERR_USAGE, 0,
		       "%s and %s both have the trial of %s, agent %s%s%s, rollout %d: parts of "
		       "one benchmark share none. "
		       "--apart takes each in as a rollout of its own",
		       a->from, b->from, t->task_id, t->agent, *t->model ? ", model " : "",
		       t->model, t->rollout);
}

/* 1: PART can be added to the group that FIRST begins, 0: not. */
static int fits(struct merge_part *part, struct merge_part *first, const struct parts *there,
		struct err *err)
{
	if (!is_of_one_file(first, part)) {
		if (!strcmp(first->ref.name, part->ref.name) && first->folder != part->folder &&
		    !part->why)
			part->why = xstrdup("their benchmark files are not the same");
		return 0;
	}
	for (struct merge_part *p = there->v; p < there->v + there->n; p++) {
		if (p->group != first)
			continue;
		if (p->folder == part->folder)
			return 0;
		char *why = difference(p, part);
		if (why) {
			free(part->why);
			part->why = why;
			return 0;
		}
		const struct trial *t = shared_trial(p, part);
		if (t)
			return collide(p, part, t, err);
	}
	return 1;
}

static int find_group(struct merge_part *part, struct parts *there, struct err *err)
{
	part->group = part;
	part->kind = MERGE_TAKEN;
	for (struct merge_part *p = there->v; p < part; p++) {
		if (p->group != p)
			continue;
		int fit = fits(part, p, there, err);
		if (fit < 0)
			return -1;
		if (!fit)
			continue;
		part->group = p;
		part->kind = MERGE_JOINED;
		free(part->why);
		part->why = NULL;
		return 0;
	}
	return 0;
}

/* Whether all that goes with FIRST may be added to HERE, a rollout of an earlier day perhaps: then they share trials. */
static int joins(struct merge_part *first, struct merge_part *here, const struct parts *there,
		 struct err *err)
{
	if (!is_of_one_file(first, here))
		return 0;
	if (!here->plan.n) {
		planfile_release(&here->plan);
		if (planfile_read(&here->plan, here->dir_fd, here->from, err))
			return -1;
	}
	for (struct merge_part *p = there->v; p < there->v + there->n; p++) {
		if (p->group != first)
			continue;
		AUTO(free) char *why = difference(here, p);
		if (why || shared_trial(here, p))
			return 0;
	}
	return 1;
}

static int find_place(struct merge_part *first, struct merging *g, struct err *err)
{
	for (size_t i = g->here.n; i-- > 0;) {
		int status = joins(first, &g->here.v[i], &g->there, err);
		if (status < 0)
			return -1;
		if (!status)
			continue;
		first->known = &g->here.v[i];
		first->kind = MERGE_JOINED;
		return 0;
	}
	return 0;
}

static int decide(struct merging *g, struct err *err)
{
	struct merge_part *end = g->there.v + g->there.n;

	for (size_t i = 0; i < g->here.n; i++)
		g->here.v[i].group = &g->here.v[i];
	for (struct merge_part *p = g->there.v; p < end; p++)
		if (check_part(p, err) || find_known(p, &g->here, err) ||
		    (!p->known && find_double(p, &g->there, err)))
			return -1;
	for (struct merge_part *p = g->there.v; p < end; p++) {
		if (p->known)
			continue;
		if (g->q->apart) {
			p->group = p;
			p->kind = MERGE_TAKEN;
		} else if (find_group(p, &g->there, err)) {
			return -1;
		}
	}
	for (struct merge_part *p = g->there.v; p < end && !g->q->apart; p++)
		if (p->group == p && find_place(p, g, err))
			return -1;
	return 0;
}

static const struct rollout_ref *target(const struct merge_part *part)
{
	while (part->known || part->group != part)
		part = part->known ? part->known : part->group;
	return &part->ref;
}

static int write_part(struct merging *g, struct merge_part *part, struct err *err)
{
	struct rollout_ref into;

	switch (part->kind) {
	case MERGE_KNOWN:
		return 0;
	case MERGE_JOINED:
		return merge_join(&g->m, part, target(part), err);
	case MERGE_GREW:
		return merge_grow(&g->m, part, target(part), err);
	case MERGE_TAKEN:
		break;
	}
	if (merge_take(&g->m, part, &into, err))
		return -1;
	/* From now on it is known by where it is here. */
	rollout_ref_release(&part->ref);
	part->ref = into;
	return 0;
}

static int write_all(struct merging *g, merge_fn *done, void *arg, struct err *err)
{
	for (size_t i = 0; i < g->there.n; i++) {
		struct merge_part *part = &g->there.v[i];
		size_t trials = part->plan.n;
		if (!g->q->dry_run && write_part(g, part, err))
			return err_wrap(err, "%s", part->from);
		const struct rollout_ref *into = target(part);
		done(arg, &(struct merge_step){.kind = part->kind,
					       .from = part->from,
					       .name = into->name,
					       .stamp = into->stamp,
					       .trials = trials,
					       .why = part->why});
	}
	return 0;
}

static int open_folders(struct merging *g, struct err *err)
{
	size_t n = 0;

	while (g->q->folders[n])
		n++;
	g->stores = xcalloc(n + 1, sizeof *g->stores);
	for (; g->stores_n < n; g->stores_n++)
		if (store_open(&g->stores[g->stores_n], g->q->folders[g->stores_n], false, err))
			return err_set(err, ERR_USAGE, errno, "%s", g->q->folders[g->stores_n]);
	for (size_t i = 0; i < n; i++) {
		size_t before = g->there.n;
		if (open_all(&g->there, &g->stores[i], i, false, err))
			return -1;
		if (g->there.n == before)
			return err_set(err, ERR_USAGE, 0,
				       "%s holds no rollout: a data folder, with rollouts/ and "
				       "runs/, is meant",
				       g->stores[i].root);
	}
	return 0;
}

/* Looking makes no data folder. */
static int open_own(struct merging *g, struct err *err)
{
	struct stat own, other;

	if (g->q->dry_run && access(g->q->data_dir, F_OK))
		return 0;
	if (store_open(&g->m.store, g->q->data_dir, !g->q->dry_run, err))
		return -1;
	/* It would be taken into itself. */
	for (size_t i = 0; i < g->stores_n; i++)
		if (!fstat(g->m.store.root_fd, &own) && !fstat(g->stores[i].root_fd, &other) &&
		    own.st_dev == other.st_dev && own.st_ino == other.st_ino)
			return err_set(err, ERR_USAGE, 0,
				       "%s is the data folder itself; --data-dir names where to",
				       g->stores[i].root);
	return open_all(&g->here, &g->m.store, OWN, true, err);
}

int merge_rollouts(const struct merge_request *q, merge_fn *done, void *arg, struct err *err)
{
	struct merging g = {.q = q, .m = {.store.root_fd = -1, .share = q->share}};
	int status = open_folders(&g, err) || open_own(&g, err) || decide(&g, err) ||
				     write_all(&g, done, arg, err)
			     ? -1
			     : 0;

	release_parts(&g.here);
	release_parts(&g.there);
	for (size_t i = 0; i < g.stores_n; i++)
		store_close(&g.stores[i]);
	free(g.stores);
	if (g.m.store.root)
		store_close(&g.m.store);
	return status;
}

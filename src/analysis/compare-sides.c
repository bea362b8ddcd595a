/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/compare-sides.h"
#include <stdlib.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"

enum kind { KIND_MODEL, KIND_LABEL, KIND_AGENT, KIND_COUNT };

static const char *part(const struct trial *t, enum kind kind)
{
	const char *const parts[] = {t->model, t->variant, t->agent};

	return parts[kind] ? parts[kind] : "";
}

/* The different models, labels or agents of R, in order of appearance; borrowed. */
struct parts {
	const char **v;
	size_t n, cap;
};

static void auto_parts(struct parts *p)
{
	free(p->v);
}

static const char *find_part(const struct parts *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i], name) == 0)
			return p->v[i];
	return NULL;
}

static void list_parts(struct parts *out, const struct rollout *r, enum kind kind)
{
	for (size_t i = 0; i < r->trials_n; i++) {
		const char *name = part(r->trials[i].shared->setting, kind);
		if ((out->n && strcmp(out->v[out->n - 1], name) == 0) || find_part(out, name))
			continue;
		GROW(out->v, out->n, out->cap);
		out->v[out->n++] = name;
	}
}

static struct compare_side *add_side(struct compare_sides *s, const struct rollout *r,
				     char *name_take)
{
	s->v = xreallocarray(s->v, s->n + 1, sizeof *s->v);
	s->v[s->n] = (struct compare_side){.name = name_take, .rollout = r};
	return &s->v[s->n++];
}

static void add_part(struct compare_sides *s, const struct rollout *r, enum kind kind,
		     const char *name)
{
	static const char *const nameless[] = {"(no model)", "(no label)", "(no agent)"};
	struct compare_side *side = add_side(s, r, xstrdup(*name ? name : nameless[kind]));

	*(kind == KIND_MODEL   ? &side->model
	  : kind == KIND_LABEL ? &side->label
			       : &side->agent) = name;
}

/* What a name is of: the first kind that has it. */
static bool kind_of(const struct rollout *r, const char *name, enum kind *kind, const char **found)
{
	for (*kind = KIND_MODEL; *kind < KIND_COUNT; (*kind)++) {
		AUTO(parts) struct parts p = {0};
		list_parts(&p, r, *kind);
		*found = *name ? find_part(&p, name) : NULL;
		if (*found)
			return true;
	}
	return false;
}

bool compare_sides_has(const struct rollout *r, const char *name)
{
	enum kind kind;
	const char *found;

	return kind_of(r, name, &kind, &found);
}

static int unknown_part(const struct rollout *r, const char *name, struct err *err)
{
	AUTO(strv) struct strv known = STRV_INIT;
	AUTO(buf) struct buf list = BUF_INIT;

	for (enum kind k = KIND_MODEL; k < KIND_COUNT; k++) {
		AUTO(parts) struct parts p = {0};
		list_parts(&p, r, k);
		for (size_t i = 0; i < p.n; i++)
			if (*p.v[i] && !strv_has(&known, p.v[i]))
				strv_push(&known, p.v[i]);
	}
	for (size_t i = 0; i < known.n && list.len < 250; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", known.v[i]);
	const char *near = text_nearest(name, strv_items(&known));
	return err_set(err, ERR_USAGE, 0,
		       "%s %s has no model, label or agent \"%s\"%s%s%s (it has: %s)", r->ref.name,
		       r->ref.stamp, name, near ? "; did you mean \"" : "", near ? near : "",
		       near ? "\"?" : "", list.len ? list.data : "none");
}

static int sides_of_names(struct compare_sides *out, const struct rollout *r,
			  const struct strv *names, struct err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		enum kind kind;
		const char *found;
		if (!kind_of(r, names->v[i], &kind, &found))
			return unknown_part(r, names->v[i], err);
		add_part(out, r, kind, found);
	}
	if (out->n < 2)
		return err_set(err, ERR_USAGE, 0,
			       "\"%s\" alone: name what of %s it is to be compared with",
			       names->v[0], r->ref.name);
	return 0;
}

static int sides_of_rollout(struct compare_sides *out, const struct rollout *r, struct err *err)
{
	for (enum kind k = KIND_MODEL; k < KIND_COUNT && !out->n; k++) {
		AUTO(parts) struct parts p = {0};
		list_parts(&p, r, k);
		for (size_t i = 0; p.n > 1 && i < p.n; i++)
			add_part(out, r, k, p.v[i]);
	}
	if (!out->n)
		return err_set(err, ERR_USAGE, 0,
			       "%s %s has one model, one label and one agent: there is nothing to "
			       "compare; "
			       "name another rollout as well: rollouts compare %s@STAMP %s@STAMP",
			       r->ref.name, r->ref.stamp, r->ref.name, r->ref.name);
	return 0;
}

static char *rollout_name(const struct rollout *r)
{
	if (r->parts_n > 2)
		return xasprintf("%s@%s..%s (%zu rollouts)", r->ref.name, r->parts[0].ref.stamp,
				 r->parts[r->parts_n - 1].ref.stamp, r->parts_n);
	return xasprintf("%s@%s", r->ref.name, r->tags.n ? r->tags.v[0] : r->ref.stamp);
}

static void add_match(struct compare_sides *s, size_t candidate, size_t baseline)
{
	s->matches = xreallocarray(s->matches, s->matches_n + 1, sizeof *s->matches);
	s->matches[s->matches_n++] = (struct compare_match){candidate, baseline};
}

static void add_model_of(struct compare_sides *out, const struct rollout *r, const char *model)
{
	AUTO(free) char *of = rollout_name(r);
	struct compare_side *side =
		add_side(out, r, xasprintf("%s of %s", *model ? model : "(no model)", of));

	side->model = model;
}

/* Where both have one model, it may be another one: that is what is compared. */
static int models_of_two(struct compare_sides *out, const struct rollout *a,
			 const struct rollout *b, const struct parts *of_a,
			 const struct parts *of_b, struct err *err)
{
	for (size_t i = 0; i < of_a->n; i++) {
		const char *same = find_part(of_b, of_a->v[i]);
		if (!same)
			continue;
		add_model_of(out, a, of_a->v[i]);
		add_model_of(out, b, same);
		add_match(out, out->n - 2, out->n - 1);
	}
	if (!out->matches_n)
		return err_set(
			err, ERR_USAGE, 0,
			"%s %s and %s %s have several models and none in common: nothing says "
			"which to compare with which",
			a->ref.name, a->ref.stamp, b->ref.name, b->ref.stamp);
	return 0;
}

static int sides_of_rollouts(struct compare_sides *out, const struct rollout *rollouts, size_t n,
			     struct err *err)
{
	AUTO(parts) struct parts first = {0}, second = {0};

	list_parts(&first, &rollouts[0], KIND_MODEL);
	list_parts(&second, &rollouts[1], KIND_MODEL);
	if (n == 2 && (first.n > 1 || second.n > 1))
		return models_of_two(out, &rollouts[0], &rollouts[1], &first, &second, err);
	for (size_t i = 0; i < n; i++) {
		AUTO(parts) struct parts models = {0};
		list_parts(&models, &rollouts[i], KIND_MODEL);
		if (models.n > 1)
			return err_set(
				err, ERR_USAGE, 0,
				"%s %s has %zu models: more than two rollouts are compared where "
				"each has one",
				rollouts[i].ref.name, rollouts[i].ref.stamp, models.n);
		add_side(out, &rollouts[i], rollout_name(&rollouts[i]));
	}
	return 0;
}

static bool is_called(const struct compare_side *side, const char *name)
{
	AUTO(free) char *full =
		xasprintf("%s@%s", side->rollout->ref.name, side->rollout->ref.stamp);

	return !strcmp(side->name, name) || !strcmp(full, name) ||
	       !strcmp(side->rollout->ref.stamp, name) || strv_has(&side->rollout->tags, name) ||
	       !strcmp(side->rollout->ref.name, name);
}

static int no_such_side(const struct compare_sides *s, const char *name, size_t found,
			struct err *err)
{
	AUTO(buf) struct buf list = BUF_INIT;

	for (size_t i = 0; i < s->n && list.len < 300; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", s->v[i].name);
	return err_set(err, ERR_USAGE, 0,
		       "--baseline %s: %s of the sides is called that (there is: %s)", name,
		       found ? "more than one" : "none", list.data);
}

static int find_baseline(const struct compare_sides *s, const char *name, size_t *out,
			 struct err *err)
{
	size_t found = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (!is_called(&s->v[i], name))
			continue;
		*out = i;
		found++;
	}
	return found == 1 ? 0 : no_such_side(s, name, found, err);
}

/* Models of two rollouts are matched already: the baseline is one of the rollouts. */
static int turn_matches(struct compare_sides *s, const char *baseline, struct err *err)
{
	const struct compare_match *m = &s->matches[0];
	bool first = is_called(&s->v[m->candidate], baseline);
	bool second = is_called(&s->v[m->baseline], baseline);

	if (first == second)
		return err_set(
			err, ERR_USAGE, 0,
			"--baseline %s: %s of the two rollouts is called that; name its stamp",
			baseline, first ? "each" : "none");
	for (size_t i = 0; first && i < s->matches_n; i++)
		s->matches[i] =
			(struct compare_match){s->matches[i].baseline, s->matches[i].candidate};
	return 0;
}

static int match(struct compare_sides *s, const char *baseline, struct err *err)
{
	size_t against = 0;

	if (s->matches_n)
		return baseline ? turn_matches(s, baseline, err) : 0;
	if (baseline && find_baseline(s, baseline, &against, err))
		return -1;
	s->all_pairs = !baseline;
	for (size_t i = 0; i < s->n; i++)
		for (size_t j = baseline ? 0 : i + 1; j < s->n; j++)
			if (i != j && (!baseline || j == against))
				add_match(s, i, j);
	return 0;
}

/* No trial may stand on both sides. */
static int check_apart(const struct compare_sides *s, struct err *err)
{
	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = i + 1; j < s->n; j++) {
			const struct rollout *r = s->v[i].rollout, *q = s->v[j].rollout;
			for (size_t k = 0; k < r->trials_n; k++) {
				const struct trial *t = r->trials[k].shared->setting;
				const char *m = part(t, KIND_MODEL), *l = part(t, KIND_LABEL),
					   *a = part(t, KIND_AGENT);
				if (q == r && compare_side_holds(&s->v[i], r, m, l, a) &&
				    compare_side_holds(&s->v[j], r, m, l, a))
					return err_set(
						err, ERR_USAGE, 0,
						"\"%s\" and \"%s\" share trials, such as %s: they "
						"cannot be compared",
						s->v[i].name, s->v[j].name, RUN_ID(&r->trials[k]));
			}
		}
	}
	return 0;
}

static const char *part_path(const struct rollout *r, size_t i)
{
	return r->parts_n ? r->parts[i].ref.path : r->ref.path;
}

static bool share_rollout(const struct rollout *a, const struct rollout *b)
{
	size_t n = a->parts_n ? a->parts_n : 1, m = b->parts_n ? b->parts_n : 1;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < m; j++)
			if (strcmp(part_path(a, i), part_path(b, j)) == 0 &&
			    strcmp(a->root, b->root) == 0)
				return true;
	return false;
}

static int check_different(const struct rollout *rollouts, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (share_rollout(&rollouts[i], &rollouts[j]))
				return err_set(
					err, ERR_USAGE, 0,
					"%s %s is named twice: it cannot be compared with itself",
					rollouts[i].ref.name, rollouts[i].ref.stamp);
	return 0;
}

int compare_sides_make(struct compare_sides *out, const struct rollout *rollouts, size_t n,
		       const struct strv *names, const char *baseline, struct err *err)
{
	int status = check_different(rollouts, n, err);

	*out = (struct compare_sides){0};
	if (!status)
		status = n > 1	    ? sides_of_rollouts(out, rollouts, n, err)
			 : names->n ? sides_of_names(out, rollouts, names, err)
				    : sides_of_rollout(out, rollouts, err);
	if (!status)
		status = check_apart(out, err);
	if (!status)
		status = match(out, baseline, err);
	if (status)
		compare_sides_release(out);
	return status;
}

void compare_sides_release(struct compare_sides *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	free(s->matches);
	*s = (struct compare_sides){0};
}

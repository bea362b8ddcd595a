/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/rollout-operand.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "config/config.h"
#include "core/datadir.h"

struct refs {
	struct rollout_ref *v;
	size_t n;
};

static void auto_refs(struct refs *r)
{
	for (size_t i = 0; i < r->n; i++)
		rollout_ref_release(&r->v[i]);
	free(r->v);
}

static int add_ref(struct refs *to, const struct store *s, const char *name, const char *selector,
		   struct err *err)
{
	to->v = xreallocarray(to->v, to->n + 1, sizeof *to->v);
	if (store_find(s, name, selector, &to->v[to->n], err))
		return -1;
	to->n++;
	for (size_t i = 0; i + 1 < to->n; i++)
		if (strcmp(to->v[i].path, to->v[to->n - 1].path) == 0)
			return err_set(err, ERR_USAGE, 0, "%s %s is named twice", to->v[i].name,
				       to->v[i].stamp);
	return 0;
}

static int find_all(struct refs *out, const struct store *s, const char *name,
		    const char *selectors, bool all, struct err *err)
{
	if (all) {
		/* The name may be written as a file or a folder: what was found has it plain. */
		AUTO(refs) struct refs latest = {0};
		return add_ref(&latest, s, name, NULL, err) ||
				       store_list(s, latest.v[0].name, &out->v, &out->n, err)
			       ? -1
			       : 0;
	}
	AUTO(free) char *copy = xstrdup(selectors);
	if (!copy)
		return add_ref(out, s, name, NULL, err);
	for (char *rest = copy, *selector; (selector = strsep(&rest, ","));)
		if (add_ref(out, s, name, selector, err))
			return -1;
	return 0;
}

static int by_stamp(const void *a, const void *b)
{
	const struct rollout_ref *x = a, *y = b;

	return strcmp(x->stamp, y->stamp);
}

static int load_one(struct rollout *out, const struct store *s, const struct rollout_ref *ref,
		    const struct rollout_operand_how *how, struct err *err)
{
	if (rollout_read(out, s, ref,
			 &(struct rollout_how){.measured = how->measured, .index = true}, err))
		return -1;
	cmd_warn_strangers(out);
	return 0;
}

static int load_refs(struct rollout *out, const struct store *s, struct refs *refs,
		     const struct rollout_operand_how *how, struct err *err)
{
	if (refs->n == 1)
		return load_one(out, s, &refs->v[0], how, err);
	AUTO(free) struct rollout *parts = xcalloc(refs->n, sizeof *parts);
	qsort(refs->v, refs->n, sizeof *refs->v, by_stamp);
	for (size_t i = 0; i < refs->n; i++) {
		if (!load_one(&parts[i], s, &refs->v[i], how, err))
			continue;
		while (i-- > 0)
			rollout_release(&parts[i]);
		return -1;
	}
	rollout_pool(out, parts, refs->n);
	return 0;
}

int rollout_operand_select(struct rollout *out, const struct rollout_operand_how *how,
			   const char *name, const char *selectors, struct err *err)
{
	AUTO(refs) struct refs refs = {0};
	struct store store;

	if (store_open(&store, how->data_dir, false, err))
		return -1;
	int status = find_all(&refs, &store, name, selectors, how->all, err);
	if (!status)
		status = load_refs(out, &store, &refs, how, err);
	store_close(&store);
	return status;
}

/* "DATA/rollouts/NAME" with "/STAMP", or a date, behind it, as run prints it: it names its own data folder. Cuts OPERAND
 * up; false: it is no such path. */
static bool take_apart(char *operand, const char **root, const char **name, const char **selector)
{
	char *last[2] = {NULL, NULL}, *slash;

	for (size_t n = strlen(operand); n > 1 && operand[n - 1] == '/'; n--)
		operand[n - 1] = '\0';
	for (int i = 0; i < 2 && (slash = strrchr(operand, '/')); i++) {
		last[1] = last[0];
		last[0] = slash + 1;
		*slash = '\0';
		if (strcmp(path_base(operand), DATA_ROLLOUTS) != 0)
			continue;
		slash = strrchr(operand, '/');
		if (slash)
			*slash = '\0';
		*root = !slash ? "." : *operand ? operand : "/";
		*name = last[0];
		*selector = last[1];
		return true;
	}
	return false;
}

static bool is_config(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strcmp(dot, ".toml") == 0 && access(path, F_OK) == 0;
}

int rollout_operand_load(struct rollout *out, const struct rollout_operand_how *how,
			 const char *operand, struct err *err)
{
	AUTO(free) char *name = xstrdup(operand), *path = xstrdup(operand), *of_config = NULL;
	const char *root, *plain, *selector;

	if (take_apart(path, &root, &plain, &selector))
		return rollout_operand_select(
			out,
			&(struct rollout_operand_how){
				.data_dir = root, .all = how->all, .measured = how->measured},
			plain, selector, err);
	if (strchr(operand, '/') && path_is_dir(AT_FDCWD, operand))
		return err_set(err, ERR_USAGE, 0,
			       "%s: the folder of a rollout is DATA/rollouts/NAME/STAMP", operand);
	char *at = strrchr(name, '@');
	if (at)
		*at++ = '\0';
	if (is_config(name) && config_name(&of_config, name, err))
		return -1;
	return rollout_operand_select(out, how, of_config ? of_config : name, at, err);
}

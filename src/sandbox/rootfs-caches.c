/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "sandbox/rootfs-parts.h"

/* An engine would make the folders that lead to it, as root and for root. */
static int make_way(const struct sandbox_spec *spec, int scratch, const char *box, struct err *err)
{
	const size_t n = strlen(spec->layout->home);

	if (strncmp(box, spec->layout->home, n) || box[n] != '/')
		return 0;
	AUTO(free) char *rel = path_join("home", box + n + 1);
	return path_make_dirs(scratch, rel, 0755, err);
}

static int show_below(const struct rootfs *st, const char *name, int tree, struct err *err)
{
	struct mount_attr attr = {.attr_set =
					  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
	AUTO(free) char *path = rootfs_at(st, name);

	if (rootfs_place(st, name, tree, err))
		return -1;
	return mount_setattr(AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof attr)
		       ? err_set(err, ERR_INFRA, errno, "make %s read-only", path)
		       : 0;
}

static int add_cache(struct rootfs *st, const struct sandbox_spec *spec,
		     const struct sandbox_inherited *inherited, int scratch, size_t i,
		     struct err *err)
{
	char name[32], below[40], layers[40];
	struct err why = {0};
	int rc;

	snprintf(name, sizeof name, ROOTFS_CACHE, i);
	snprintf(below, sizeof below, "%s-below", name);
	snprintf(layers, sizeof layers, "%s-layers", name);
	if (show_below(st, below, inherited->caches[i].tree, err))
		return -1;
	if (spec->image && !inherited->caches_mapped)
		rc = err_set(&why, ERR_INFRA, 0, "only root shows an overlay to a container");
	else
		rc = rootfs_overlay(st, scratch, below, NULL, layers, name, &why);
	if (!rc) {
		st->cache_overlays |= 1u << i;
		return spec->image && mkdirat(scratch, name, 0755)
			       ? err_set(err, ERR_INFRA, errno, "make directory %s", name)
			       : 0;
	}
	log_debug("the cache %s is copied: %s", spec->caches[i].host, why.msg);
	AUTO(free) char *from = rootfs_at(st, below);
	return path_copy_tree(AT_FDCWD, from, scratch, name, err)
		       ? -1
		       : rootfs_bind(st, name, scratch, name, err);
}

int rootfs_caches(struct rootfs *st, const struct sandbox_spec *spec,
		  const struct sandbox_inherited *inherited, int scratch, struct err *err)
{
	st->cache_overlays = 0;
	for (size_t i = 0; i < spec->caches_n; i++)
		if (add_cache(st, spec, inherited, scratch, i, err) ||
		    make_way(spec, scratch, spec->caches[i].box, err))
			return err_wrap(err, "caches: %s", spec->caches[i].host);
	return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rootfs-parts.h -- private to rootfs*.c: the mounts that a local sandbox's root is put together from (rootfs-mounts.c), and its
 * larger parts.
 */
#pragma once
#include "sandbox/rootfs.h"

/* With the machine's own name: what resolves where there is no network. */
#define ROOTFS_HOSTS "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.0.1 %s\n"

#define ROOTFS_CACHE                                                                               \
	"cache%zu" /* the root's name of a cache, and its folder below the scratch directory */

/* "java-17-openjdk" of "/etc/java-17-openjdk"; NULL: BOX is elsewhere, or deeper. */
const char *rootfs_name_in_etc(const char *box);
/* The path of NAME, which is relative to the root; the caller frees. */
char *rootfs_at(const struct rootfs *st, const char *name);
/* Show PATH below DIR_FD as NAME. A file or folder NAME is made where there is none. */
int rootfs_bind(const struct rootfs *st, const char *name, int dir_fd, const char *path,
		struct err *err) MUST_CHECK;
/* A detached copy of the mount of PATH. Links are followed only on request: a source below a directory of
 * ours is never one, a path of the user's configuration may be. */
int rootfs_clone(int dir_fd, const char *path, bool follow, struct err *err) MUST_CHECK;
/* Show TREE, a detached mount, as NAME; _as: where its caller knows whether it is a folder. */
int rootfs_place_as(const struct rootfs *st, const char *name, int tree, bool is_dir,
		    struct err *err) MUST_CHECK;
int rootfs_place(const struct rootfs *st, const char *name, int tree, struct err *err) MUST_CHECK;
/* Make NAME, a file that is not there yet, with mode 0444. */
int rootfs_file(const struct rootfs *st, const char *name, const char *text,
		struct err *err) MUST_CHECK;
/* Make NAME an overlay over BELOW, both relative to the root, and over DEEPEST, an absolute path (NULL: nothing); what is written
 * lies in LAYERS of SCRATCH. */
int rootfs_overlay(const struct rootfs *st, int scratch, const char *below, const char *deepest,
		   const char *layers, const char *name, struct err *err) MUST_CHECK;
int rootfs_tmpfs(const struct rootfs *st, const char *name, const char *options,
		 struct err *err) MUST_CHECK;

/* Make "etc": the folder MADE below ROOT (see etc.h; NULL: there is none, and little is shown), with this sandbox's names over it. */
int rootfs_etc(const struct rootfs *st, const struct sandbox_spec *spec, int root, const char *made,
	       struct err *err) MUST_CHECK;
/* Make "sys", a small /sys, and "cgroups", a /proc/cgroups that goes with it: the machine's processors as they are, and a
 * control group that says what limits hold, whatever holds them. Where the kernel refuses a part of it, it is left out. */
int rootfs_sys(const struct rootfs *st, const struct sandbox_spec *spec,
	       const struct sandbox_inherited *inherited, struct err *err) MUST_CHECK;
/* Make "cacheN" of each of the spec's caches: overlays where they can be had, else copies. */
int rootfs_caches(struct rootfs *st, const struct sandbox_spec *spec,
		  const struct sandbox_inherited *inherited, int scratch,
		  struct err *err) MUST_CHECK;

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "sandbox/rootfs-parts.h"

/* The host's own, nothing of which tells about the host's users or holds a secret. */
static const char *const shown[] = {
	"ld.so.cache", "ld.so.conf",	  "ld.so.conf.d",  "alternatives",
	"ssl/certs",   "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust/extracted",
	"os-release",  "debian_version",  "mime.types",	   "protocols",
	"services",
};

static const struct {
	const char *name, *text;
} made[] = {
	{"group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"},
	{"resolv.conf", "# no network\n"},
	{"host.conf", "multi on\n"}, /* or localhost would be 127.0.0.1 alone */
	{"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
	{"gitconfig", ROOTFS_GITCONFIG},
};

static int write_file(const struct rootfs *st, const char *name, const char *text, struct err *err)
{
	AUTO(free) char *path = rootfs_at(st, name);

	return path_write(AT_FDCWD, path, text, strlen(text), 0444, false, err);
}

/* The name that processes inside are told, which must resolve as well. */
static int write_names(const struct rootfs *st, const struct sandbox_spec *spec, struct err *err)
{
	char name[HOST_NAME_MAX + 1] = "";
	AUTO(free)
	char *passwd = xasprintf("root:x:0:0:root:/root:/usr/sbin/nologin\n"
				 "agent:x:1000:1000:agent:%s:/bin/bash\n"
				 "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
				 spec->layout->home);

	(void)!gethostname(name, sizeof name - 1);
	AUTO(free) char *line = xasprintf("%s\n", name);
	AUTO(free) char *hosts = xasprintf(ROOTFS_HOSTS, name);
	return write_file(st, "etc/passwd", passwd, err) ||
			       write_file(st, "etc/hostname", line, err) ||
			       write_file(st, "etc/hosts", hosts, err)
		       ? -1
		       : 0;
}

/* HOST as etc/REL. A copied file or link is cheaper than one mount more in every namespace from here on. */
static int show(const struct rootfs *st, const char *host, const char *rel, struct err *err)
{
	AUTO(free) char *name = path_join("etc", rel);
	AUTO(free) char *box = rootfs_at(st, name);
	struct stat s;

	if (lstat(host, &s))
		return 0;
	AUTO(free) char *parent = xstrndup(box, (size_t)(path_base(box) - box - 1));
	if (path_make_dirs(AT_FDCWD, parent, 0755, err))
		return -1;
	return S_ISDIR(s.st_mode) || s.st_size > 65536
		       ? rootfs_bind(st, name, AT_FDCWD, host, err)
		       : path_copy_tree(AT_FDCWD, host, AT_FDCWD, box, err);
}

/* What the folder found/REL has and etc/REL does not. */
static int merge(const struct rootfs *st, const char *rel, struct err *err)
{
	AUTO(free) char *name = *rel ? path_join("found", rel) : xstrdup("found");
	AUTO(free) char *folder = rootfs_at(st, name);
	DIR *d = opendir(folder);
	const struct dirent *e;
	int rc = 0;

	while (!rc && d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		AUTO(free) char *below = *rel ? path_join(rel, e->d_name) : xstrdup(e->d_name);
		AUTO(free) char *from = path_join(folder, e->d_name);
		AUTO(free) char *in_etc = path_join("etc", below);
		AUTO(free) char *box = rootfs_at(st, in_etc);
		if (!path_exists(AT_FDCWD, box))
			rc = show(st, from, below, err);
		else if (path_is_dir(AT_FDCWD, box) && path_is_dir(AT_FDCWD, from))
			rc = merge(st, below, err);
	}
	if (d)
		closedir(d);
	return rc;
}

int rootfs_etc(const struct rootfs *st, const struct sandbox_spec *spec, int root,
	       const char *found, struct err *err)
{
	AUTO(free) char *etc = rootfs_at(st, "etc");

	if (mkdir(etc, 0755))
		return err_set(err, ERR_INFRA, errno, "make %s", etc);
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		AUTO(free) char *name = path_join("etc", made[i].name);
		if (write_file(st, name, made[i].text, err))
			return -1;
	}
	if (write_names(st, spec, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		AUTO(free) char *host = path_join("/etc", shown[i]);
		if (show(st, host, shown[i], err))
			return -1;
	}
	if (!found)
		return 0;
	return rootfs_bind(st, "found", root, found, err) ? -1 : merge(st, "", err);
}

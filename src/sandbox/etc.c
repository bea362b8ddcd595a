/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/etc.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "core/datadir.h"

enum {
	LINKS_MAX = 8,	       /* one after the other */
	DEPTH_MAX = 24,	       /* folders in folders */
	FILES_MAX = 4000,      /* in all; more belongs to no program */
	FILE_MAX = 2 << 20,    /* bytes of one */
	ENTRIES_MAX = 2000000, /* looked at below /usr */
	LIST_MAX = 4 << 20,
};

/* Read by programs that have no link to it. */
static const char *const by_name[] = {
	"ImageMagick*",
	"OpenCL",
	"R",
	"crypto-policies",
	"debian_version",
	"dpkg/origins",
	"ethertypes",
	"fonts",
	"ghostscript",
	"glvnd",
	"java*",
	"jvm*",
	"ld-musl-*",
	"ld.so.cache",
	"ld.so.conf",
	"ld.so.conf.d",
	"libblas*",
	"lsb-release",
	"lua*",
	"magic*",
	"maven*",
	"mime.types",
	"mke2fs.conf",
	"mono",
	"netconfig",
	"octave*",
	"openmpi*",
	"os-release",
	"papersize",
	"perl",
	"php*",
	"pki/java",
	"postgresql-common",
	"protocols",
	"python*",
	"redhat-release",
	"rpc",
	"services",
	"sgml",
	"shells",
	"ssl/openssl.cnf",
	"system-release",
	"terminfo",
	"texmf",
	"vulkan",
	"xml",
};

/* Made for each sandbox, shown as they are, about this machine and its users, or where people put passwords. */
static const char *const never[] = {
	"passwd*",    "group*",	      "shadow*",     "gshadow*",      "subuid*",   "subgid*",
	"hosts*",     "hostname",     "localtime",   "timezone",      "fstab",	   "mtab",
	"machine-id", "environment*", "resolv.conf", "nsswitch.conf", "gitconfig", "npmrc",
	"pip.conf",   "netrc",	      "wgetrc",	     "curlrc",	      "docker",	   "containers",
	"containerd", "kubernetes",   "ssh",	     "sudoers*",      "krb5*",	   "security",
	"pam*",	      "default",      "systemd",     "alternatives",
};

const char *const etc_shown[4] = {"alternatives", "ssl/certs", "pki/tls/certs",
				  "pki/ca-trust/extracted"};

/* Over the names of a sandbox, which are empty here, each lays its own. */
static const struct {
	const char *name, *text;
} ours[] = {
	{"group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"},
	{"resolv.conf", "# no network\n"},
	{"host.conf", "multi on\n"}, /* or localhost would be 127.0.0.1 alone */
	{"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
	{"gitconfig", ETC_GITCONFIG},
	{"hostname", ""},
	{"hosts", ""},
};

struct search {
	struct strv paths; /* "java-17-openjdk/net.properties": files and links, below /etc */
	size_t entries;
};

static bool matches(const char *const *patterns, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!fnmatch(patterns[i], name, FNM_PATHNAME))
			return true;
	return false;
}

static bool is_refused(const char *rel)
{
	AUTO(free) char *first = xstrndup(rel, strcspn(rel, "/"));
	const char *base = path_base(rel);

	return matches(never, ARRAY_SIZE(never), first) ||
	       matches(etc_shown, ARRAY_SIZE(etc_shown), rel) || strcasestr(base, "password") ||
	       strcasestr(base, "secret") || strcasestr(base, "credential") ||
	       !fnmatch("*.key", base, 0);
}

/* PATH, absolute, without "." and ".."; the caller frees. Links are not looked at. */
static char *tidy(const char *path)
{
	AUTO(free) char *copy = xstrdup(path);
	AUTO(strv) struct strv parts = STRV_INIT;
	AUTO(buf) struct buf out = BUF_INIT;
	char *save = NULL;

	for (char *p = strtok_r(copy, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		const bool is_up = !strcmp(p, "..");
		if (is_up && parts.n)
			free(parts.v[--parts.n]);
		else if (!is_up && strcmp(p, ".") != 0)
			strv_push(&parts, p);
	}
	for (size_t i = 0; i < parts.n; i++)
		buf_addf(&out, "/%s", parts.v[i]);
	return buf_detach(&out);
}

/* What the link at PATH leads to, when that lies in /etc: its path there, owned; else NULL. */
static char *leads_into_etc(const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target - 1);

	if (n <= 0)
		return NULL;
	target[n] = '\0';
	AUTO(free) char *dir = xstrndup(path, (size_t)(path_base(path) - path));
	AUTO(free) char *whole = *target == '/' ? xstrdup(target) : xasprintf("%s%s", dir, target);
	AUTO(free) char *plain = tidy(whole);
	return strncmp(plain, "/etc/", 5) ? NULL : xstrdup(plain + 5);
}

static void add(struct search *s, const char *rel, int links, int depth);

static void add_dir(struct search *s, const char *rel, int links, int depth)
{
	AUTO(free) char *path = path_join("/etc", rel);
	DIR *d = depth < DEPTH_MAX ? opendir(path) : NULL;
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		AUTO(free) char *below = path_join(rel, e->d_name);
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			add(s, below, links, depth + 1);
	}
	if (d)
		closedir(d);
}

/* Everybody may go where REL lies. */
static bool is_reachable(const char *rel)
{
	for (const char *p = strchr(rel, '/'); p; p = strchr(p + 1, '/')) {
		AUTO(free) char *above = xasprintf("/etc/%.*s", (int)(p - rel), rel);
		struct stat st;
		if (stat(above, &st) || !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

/* What /etc/REL is, and what links in it lead to. */
static void add(struct search *s, const char *rel, int links, int depth)
{
	AUTO(free) char *path = path_join("/etc", rel);
	struct stat st;

	if (s->paths.n >= FILES_MAX || is_refused(rel) || lstat(path, &st) || !is_reachable(rel))
		return;
	if (S_ISDIR(st.st_mode) && (st.st_mode & 05) == 05) {
		add_dir(s, rel, links, depth);
	} else if (S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) && st.st_size <= FILE_MAX) {
		strv_push(&s->paths, rel);
	} else if (S_ISLNK(st.st_mode) && links < LINKS_MAX) {
		strv_push(&s->paths, rel);
		AUTO(free) char *next = leads_into_etc(path);
		if (next)
			add(s, next, links + 1, depth);
	}
}

/* Large, and without a link into /etc; /usr/lib/google-cloud-sdk alone may be two thirds of all folders of /usr. */
static bool is_left_out(const char *path)
{
	static const char *const dirs[] = {"/usr/share/man",	  "/usr/share/doc",
					   "/usr/share/locale",	  "/usr/share/icons",
					   "/usr/share/zoneinfo", "/usr/src",
					   "/usr/include",	  "/usr/local/go/src",
					   "/usr/local/go/test",  "/usr/lib/google-cloud-sdk"};
	const char *name = path_base(path);

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (!strcmp(path, dirs[i]))
			return true;
	return !strcmp(name, "__pycache__") || !strcmp(name, "node_modules");
}

/* And no link to one. */
static bool is_folder(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode);
}

static void walk(struct search *s, const char *path, int depth)
{
	DIR *d = depth < DEPTH_MAX && !is_left_out(path) ? opendir(path) : NULL;
	const struct dirent *e;

	while (d && s->entries < ENTRIES_MAX && (e = readdir(d))) {
		s->entries++;
		if (e->d_type != DT_DIR && e->d_type != DT_LNK && e->d_type != DT_UNKNOWN)
			continue;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		AUTO(free) char *below = path_join(path, e->d_name);
		AUTO(free) char *found = e->d_type == DT_DIR ? NULL : leads_into_etc(below);
		if (found)
			add(s, found, 0, 0);
		else if (e->d_type == DT_DIR || (e->d_type == DT_UNKNOWN && is_folder(below)))
			walk(s, below, depth + 1);
	}
	if (d)
		closedir(d);
}

void etc_folders_of(struct strv *out, const char *dir)
{
	struct search s = {.paths = STRV_INIT};

	walk(&s, dir, 0);
	for (size_t i = 0; i < s.paths.n; i++) {
		AUTO(free) char *top =
			xasprintf("/etc/%.*s", (int)strcspn(s.paths.v[i], "/"), s.paths.v[i]);
		/* Certificates and the like are the image's own. */
		if (is_folder(top) && strcmp(top, "/etc/ssl") != 0 &&
		    strcmp(top, "/etc/pki") != 0 && !strv_has(out, top))
			strv_push(out, top);
	}
	strv_release(&s.paths);
}

static void add_by_name(struct search *s)
{
	DIR *d = opendir("/etc");
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (*e->d_name != '.' && matches(by_name, ARRAY_SIZE(by_name), e->d_name))
			add(s, e->d_name, 0, 0);
	if (d)
		closedir(d);
	for (size_t i = 0; i < ARRAY_SIZE(by_name); i++)
		if (strchr(by_name[i], '/'))
			add(s, by_name[i], 0, 0);
}

/* --- kept ----------------------------------------------------------------------------------------- */

static void add_stat(struct hash *h, const char *path)
{
	struct stat st = {0};
	int64_t what[4] = {-1};

	if (!lstat(path, &st)) {
		what[0] = st.st_mtim.tv_sec;
		what[1] = st.st_mtim.tv_nsec;
		what[2] = st.st_size;
		what[3] = st.st_mode;
	}
	hash_str(h, path);
	hash_bytes(h, what, sizeof what);
}

/* Differs when programs came or went: by a package manager's books, or by the folders that programs are put into. */
static void programs_key(char key[static HASH_HEX])
{
	static const char *const places[] = {
		"/var/lib/dpkg/status",
		"/var/lib/rpm",
		"/usr/lib/sysimage/rpm",
		"/lib/apk/db/installed",
		"/var/lib/pacman/local",
		"/usr/bin",
		"/usr/sbin",
		"/usr/lib",
		"/usr/share",
		"/usr/lib/jvm",
		"/usr/local",
		"/usr/local/bin",
		"/usr/local/lib",
		"/usr/local/share",
	};
	struct hash h;

	hash_init(&h);
	hash_str(&h, ROLLOUTS_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(by_name); i++)
		hash_str(&h, by_name[i]);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		add_stat(&h, places[i]);
	hash_hex(&h, key);
}

/* The paths below /etc: as kept by an earlier search, or searched for now. */
static int list_paths(int root_fd, struct strv *out, struct err *err)
{
	char key[HASH_HEX];
	AUTO(buf) struct buf text = BUF_INIT;
	struct err none;
	char *save = NULL;

	programs_key(key);
	AUTO(free) char *file = xasprintf(DATA_ETC "/%s.list", key);
	if (!path_read(root_fd, file, LIST_MAX, &text, &none)) {
		for (char *p = strtok_r(text.data, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
			if (path_is_inside(p))
				strv_push(out, p);
		return 0;
	}
	struct search s = {.paths = STRV_INIT};
	walk(&s, "/usr", 0);
	add_by_name(&s);
	strv_sort(&s.paths);
	for (size_t i = 0; i < s.paths.n; i++) {
		if (i && !strcmp(s.paths.v[i], s.paths.v[i - 1]))
			continue;
		if (strchr(s.paths.v[i], '\n'))
			continue;
		strv_push(out, s.paths.v[i]);
		buf_addf(&text, "%s\n", s.paths.v[i]);
	}
	strv_release(&s.paths);
	return path_make_dirs(root_fd, DATA_ETC, 0755, err) ||
			       path_write(root_fd, file, text.data, text.len, 0644, false, err)
		       ? -1
		       : 0;
}

/* Where the link at FROM leads to, when that is out of /etc: as an absolute path, owned, which holds wherever the folder lies (a data
 * folder is copied with links followed); else NULL. */
static char *leads_out(const char *from)
{
	char target[PATH_MAX];
	ssize_t n = readlink(from, target, sizeof target - 1);

	if (n <= 0 || *target == '/')
		return NULL;
	target[n] = '\0';
	AUTO(free) char *dir = path_folder(from);
	AUTO(free) char *whole = path_join(dir, target);
	AUTO(free) char *plain = tidy(whole);
	return strncmp(plain, "/etc/", 5) ? STEAL(&plain) : NULL;
}

/* MADE: the folder made last, owned. Paths are sorted, so that most need no other. */
static int copy_one(int dir, const char *rel, char **made, struct err *err)
{
	AUTO(free) char *from = path_join("/etc", rel);
	AUTO(free) char *folder = path_folder(rel);

	/* A file that went, or was closed, since it was found is none of a program's any more. */
	if (access(from, R_OK) && errno != ENOENT)
		return 0;
	if (!*made || strcmp(*made, folder) != 0) {
		if (path_make_dirs(dir, folder, 0755, err))
			return -1;
		free(*made);
		*made = STEAL(&folder);
	}
	struct err why = {0};
	AUTO(free) char *out = leads_out(from);
	if (out ? !symlinkat(out, dir, rel) : !path_copy_tree(AT_FDCWD, from, dir, rel, &why))
		return 0;
	if (out)
		err_set(&why, ERR_INFRA, errno, "link %s", rel);
	/* A full disk, say, would leave half of a file. */
	if (why.sys && why.sys != ENOENT && why.sys != EACCES) {
		*err = why;
		return -1;
	}
	log_debug("%s", why.msg);
	return 0;
}

static int copy_list(int dir, const struct strv *paths, struct err *err)
{
	AUTO(free) char *made = NULL;

	for (size_t i = 0; i < paths->n; i++)
		if ((!i || strcmp(paths->v[i], paths->v[i - 1]) != 0) &&
		    copy_one(dir, paths->v[i], &made, err))
			return -1;
	return 0;
}

/* For what is shown as it is; where that is a link, as on Fedora, the link does. */
static int make_place(int dir, const char *rel, struct err *err)
{
	AUTO(free) char *host = path_join("/etc", rel);
	AUTO(free) char *folder = path_folder(rel);
	struct stat st;

	if (lstat(host, &st))
		return 0;
	if (S_ISDIR(st.st_mode))
		return path_make_dirs(dir, rel, 0755, err);
	return path_make_dirs(dir, folder, 0755, err) ||
			       path_copy_tree(AT_FDCWD, host, dir, rel, err)
		       ? -1
		       : 0;
}

static int write_ours(int dir, const char *home, struct err *err)
{
	AUTO(free)
	char *passwd = xasprintf("root:x:0:0:root:/root:/usr/sbin/nologin\n"
				 "agent:x:1000:1000:agent:%s:/bin/bash\n"
				 "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
				 home);

	if (path_write(dir, "passwd", passwd, strlen(passwd), 0444, false, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (path_write(dir, ours[i].name, ours[i].text, strlen(ours[i].text), 0444, false,
			       err))
			return -1;
	for (size_t i = 0; i < ARRAY_SIZE(etc_shown); i++)
		if (make_place(dir, etc_shown[i], err))
			return -1;
	return 0;
}

int etc_write(int dir, const char *home, struct err *err)
{
	struct search s = {.paths = STRV_INIT};

	for (size_t i = 0; i < ARRAY_SIZE(by_name); i++) {
		AUTO(free) char *path = path_join("/etc", by_name[i]);
		if (!is_folder(path))
			add(&s, by_name[i], 0, 0);
	}
	strv_sort(&s.paths);
	int rc = write_ours(dir, home, err) || copy_list(dir, &s.paths, err) ? -1 : 0;
	strv_release(&s.paths);
	return rc;
}

static int make(int root_fd, const char *to, const struct strv *paths, const char *home,
		struct err *err)
{
	AUTO(free) char *temp = xasprintf("%s.%d", to, (int)getpid());
	AUTO(free) char *etc = path_join(temp, "etc");
	struct err ignored;

	if (path_remove_tree(root_fd, temp, err) || path_make_dirs(root_fd, etc, 0755, err))
		return -1;
	AUTO(fd) int dir = path_open_beneath(root_fd, etc, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	if (write_ours(dir, home, err) || copy_list(dir, paths, err)) {
		(void)!path_remove_tree(root_fd, temp, &ignored);
		return -1;
	}
	/* Another worker may have made it meanwhile. */
	if (!renameat(root_fd, temp, root_fd, to))
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "rename %s", temp);
	return path_remove_tree(root_fd, temp, err);
}

/* Of what it would hold, and of its form. */
static void contents_key(const struct strv *paths, const char *home, char key[static HASH_HEX])
{
	struct hash h;

	hash_init(&h);
	hash_str(&h, home);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		hash_str(&h, ours[i].text);
	for (size_t i = 0; i < ARRAY_SIZE(etc_shown) + paths->n; i++) {
		AUTO(free)
		char *path =
			path_join("/etc", i < paths->n ? paths->v[i] : etc_shown[i - paths->n]);
		add_stat(&h, path);
	}
	hash_hex(&h, key);
}

static char *find_or_make(int root_fd, const char *home, struct err *err)
{
	AUTO(strv) struct strv paths = STRV_INIT;
	char key[HASH_HEX];

	if (list_paths(root_fd, &paths, err))
		return NULL;
	contents_key(&paths, home, key);
	AUTO(free) char *to = path_join(DATA_ETC, key);
	AUTO(free) char *etc = path_join(to, "etc");
	if (path_is_dir(root_fd, etc))
		return STEAL(&etc);
	return make(root_fd, to, &paths, home, err) ? NULL : STEAL(&etc);
}

char *etc_find(int root_fd, const char *home, struct err *err)
{
	mode_t old = umask(022); /* other users read it, and the folders it is in */
	char *path = find_or_make(root_fd, home, err);

	umask(old);
	return path;
}

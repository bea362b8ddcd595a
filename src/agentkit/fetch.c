/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agentkit/fetch.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/install.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "config/agent-program.h"
#include "os/spawn.h"

#define ARCHIVE "archive"

enum { FETCH_MS = 30 * 60 * 1000, OUTPUT_MAX = 1 << 20 };

/* ARGV in DIR; its words are shown when it fails. */
static int run(const struct strv *argv, int dir, const char *what,
	       const struct agentkit_listener *l, struct err *err)
{
	AUTO(buf) struct buf out = BUF_INIT, text = BUF_INIT;
	char ended[48];
	int status = 0;
	const struct spawn s = {
		.argv = strv_items(argv), .dir_fd = dir, .in = -1, .out = -1, .err = -1};

	if (spawn_run(&s, NULL, 0, OUTPUT_MAX, clock_mono_ms() + FETCH_MS, &out, &text, &status,
		      err))
		return err_wrap(err, "%s", argv->v[0]);
	if (!status)
		return 0;
	l->output(l->arg, path_base(argv->v[0]), out.data, out.len);
	l->output(l->arg, path_base(argv->v[0]), text.data, text.len);
	return err_set(err, ERR_INFRA, 0, "%s could not fetch %s (%s): see its words above",
		       path_base(argv->v[0]), what, spawn_status_text(status, ended));
}

static void push(struct strv *argv, const char *const *words)
{
	strv_pushv(argv, words);
}

static int make_venv(const char *python, int dir, const struct agentkit_listener *l,
		     struct err *err)
{
	const char *const words[] = {python, "-m", "venv", "--without-pip", AGENT_VENV, NULL};
	AUTO(strv) struct strv argv = STRV_INIT;

	push(&argv, words);
	return run(&argv, dir, "a virtual environment", l, err);
}

int fetch_pip(const struct agent_install *i, int dir, const struct agentkit_listener *l,
	      struct err *err)
{
	/* That of the system is in every sandbox. */
	AUTO(free) char *python = access("/usr/bin/python3", X_OK) == 0
					  ? xstrdup("/usr/bin/python3")
					  : program_on_path("python3");
	AUTO(free) char *uv = program_on_path("uv");
	AUTO(strv) struct strv argv = STRV_INIT;

	if (!python)
		return err_set(
			err, ERR_INFRA, 0,
			"this agent is fetched with Python, which is not there: apt-get install "
			"python3 python3-pip");
	const char *const by_uv[] = {uv ? uv : "",
				     "pip",
				     "install",
				     "--python",
				     AGENT_VENV "/bin/python",
				     "--only-binary",
				     ":all:",
				     "--compile-bytecode",
				     NULL};
	const char *const by_pip[] = {python,
				      "-m",
				      "pip",
				      "--python",
				      AGENT_VENV "/bin/python",
				      "install",
				      "--only-binary=:all:",
				      "--no-input",
				      "--quiet",
				      "--disable-pip-version-check",
				      NULL};
	if (make_venv(python, dir, l, err))
		return -1;
	push(&argv, uv ? by_uv : by_pip);
	if (i->before && uv)
		strv_take(&argv, xasprintf("--exclude-newer=%s", i->before));
	else if (i->before)
		l->said(l->arg,
			"pip does not know of days: what the packages depend on is taken as it "
			"is now (uv would take it as of the file's day)");
	strv_push(&argv, "--");
	strv_pushv(&argv, strv_items(&i->pip));
	return run(&argv, dir, i->pip.v[0], l, err);
}

static int check_digest(const struct agent_install *i, int dir, struct err *err)
{
	AUTO(fd) int fd = openat(dir, ARCHIVE, O_RDONLY | O_CLOEXEC);
	char block[1 << 16], digest[HASH_HEX];
	struct hash h;
	ssize_t n;

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open what was fetched");
	hash_init(&h);
	while ((n = read(fd, block, sizeof block)) > 0)
		hash_bytes(&h, block, (size_t)n);
	hash_hex(&h, digest);
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "read what was fetched");
	if (strcmp(digest, i->sha256) != 0)
		return err_set(err, ERR_INFRA, 0,
			       "%s is not what its file names: its SHA-256 is %s, not %s", i->url,
			       digest,
			       *i->sha256 ? i->sha256 : "one that is known for this version");
	return 0;
}

static bool ends_with(const char *text, const char *end)
{
	const size_t n = strlen(text), m = strlen(end);

	return n > m && strcmp(text + n - m, end) == 0;
}

static int unpack(const struct agent_install *i, int dir, const struct agentkit_listener *l,
		  struct err *err)
{
	static const char *const archives[] = {".tar.gz",  ".tgz",     ".tar.xz",
					       ".tar.bz2", ".tar.zst", ".tar"};
	static const char *const tar[] = {
		"tar", "-xf", ARCHIVE, "--no-same-owner", "--no-same-permissions", NULL};
	AUTO(strv) struct strv argv = STRV_INIT;

	for (size_t k = 0; k < ARRAY_SIZE(archives); k++) {
		if (!ends_with(i->url, archives[k]))
			continue;
		push(&argv, tar);
		if (run(&argv, dir, i->url, l, err))
			return -1;
		return unlinkat(dir, ARCHIVE, 0)
			       ? err_set(err, ERR_INFRA, errno, "remove an archive")
			       : 0;
	}
	if (fchmodat(dir, ARCHIVE, 0755, 0) || renameat(dir, ARCHIVE, dir, i->program.v[0]))
		return err_set(err, ERR_INFRA, errno, "put %s in place", i->program.v[0]);
	return 0;
}

int fetch_url(const struct agent_install *i, int dir, const struct agentkit_listener *l,
	      struct err *err)
{
	static const char *const curl[] = {"curl",
					   "-fsSL",
					   "--proto",
					   "=https,http,file",
					   "--connect-timeout",
					   "10",
					   "--retry",
					   "2",
					   "-o",
					   ARCHIVE,
					   "--",
					   NULL};
	AUTO(free) char *there = program_on_path("curl");
	AUTO(strv) struct strv argv = STRV_INIT;

	if (!there)
		return err_set(err, ERR_INFRA, 0,
			       "this agent is fetched by curl, which is not on PATH: apt-get "
			       "install curl");
	push(&argv, curl);
	strv_push(&argv, i->url);
	return run(&argv, dir, i->url, l, err) || check_digest(i, dir, err) ||
			       unpack(i, dir, l, err)
		       ? -1
		       : 0;
}

/* Devices and what an engine puts over an image's folders are none of its files. */
static int unpack_files(const struct agent_install *i, int dir, const struct agentkit_listener *l,
			struct err *err)
{
	static const char *const tar[] = {"tar",
					  "-xf",
					  ARCHIVE,
					  "--no-same-owner",
					  "--no-same-permissions",
					  "--delay-directory-restore",
					  "--exclude=dev",
					  "--exclude=proc",
					  "--exclude=sys",
					  "--anchored",
					  NULL};
	AUTO(strv) struct strv argv = STRV_INIT;

	push(&argv, tar);
	if (run(&argv, dir, i->image, l, err))
		return -1;
	return unlinkat(dir, ARCHIVE, 0) ? err_set(err, ERR_INFRA, errno, "remove an archive") : 0;
}

int fetch_image(const struct agent_install *i, int dir, const struct agentkit_listener *l,
		struct err *err)
{
	AUTO(free) char *engine = install_libexec("rollouts-docker");
	const char *const words[] = {engine, "unpack", i->image, ARCHIVE, NULL};
	AUTO(strv) struct strv argv = STRV_INIT;

	push(&argv, words);
	if (run(&argv, dir, i->image, l, err))
		return -1;
	return unpack_files(i, dir, l, err);
}

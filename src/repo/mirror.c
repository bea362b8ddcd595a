/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/mirror.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "os/fdio.h"
#include "os/spawn.h"
#include "git/git.h"

// The other end of a local fetch drops our configuration from its environment, but not this option.
const char mirror_local_upload_pack[] =
	"--upload-pack=git -c 'safe.directory=*' -c uploadpack.allowAnySHA1InWant=true upload-pack";

static bool is_local(const char *url)
{
	return url[0] == '/' || strncmp(url, "file://", 7) == 0;
}

char *mirror_shown_url(const char *url)
{
	const char *rest = strstr(url, "://");
	struct buf out = BUF_INIT;
	if (rest) {
		rest += 3;
		const char *at = memrchr(rest, '@', strcspn(rest, "/"));
		buf_add(&out, url, (size_t)(rest - url));
		url = at ? at + 1 : rest;
	}
	text_renders(&out, url, TEXT_TERMINAL_LINE);
	return buf_detach(&out);
}

int mirror_check_url(const char *url, struct err *err)
{
	if (!url || !*url)
		return err_set(err, ERR_USAGE, 0, "repo.git_url is missing");
	AUTO(free) char *shown = mirror_shown_url(url);
	if (url[0] == '-')
		return err_set(err, ERR_USAGE, 0, "repo.git_url %s: must not begin with a dash",
			       shown);
	if (url[0] == '/' && !path_exists(AT_FDCWD, url))
		return err_set(err, ERR_USAGE, 0, "repo.git_url %s: no such repository", shown);
	if (url[0] == '/' || strchr(url, ':'))
		return 0;
	return err_set(err, ERR_USAGE, 0, "repo.git_url %s: neither a URL nor an absolute path",
		       shown);
}

// What git says when trying again would not help.
static bool is_users_fault(const char *said)
{
	static const char *const marks[] = {
		"does not appear to be a git repository",
		"ot found",
		"does not exist",
		"not allowed",
		"not our ref",
		"find remote ref",
		"unadvertised object",
		"Authentication failed",
		"could not read Username",
		"could not read Password",
		"Permission denied",
		"Invalid username",
		"nvalid refspec",
		"Host key verification failed",
	};
	// A name server's "not found" may pass.
	if (strstr(said, "resolve host"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (strstr(said, marks[i]))
			return true;
	return false;
}

// Run a git that talks to URL; on failure *SAID (owned) is set and 1 returned.
static int talk(const struct git_cmd *c, struct buf *out, char **said, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char how[48];
	int status;
	if (git_run(c, out, &text, &status, err) < 0)
		return -1;
	if (status == 0)
		return 0;
	*said = git_said(&text, 3, true);
	if (!**said) {
		free(*said);
		*said = xstrdup(spawn_status_text(status, how));
	}
	return 1;
}

// What a login is missing, or "".
static const char *remedy(const char *said)
{
	static const struct {
		const char *mark, *text;
	} remedies[] = {
		{"could not read Username",
		 "; put a login for its host into ~/.netrc, or a token into .env as "
		 "GIT_HOST_TOKEN, or name it by ssh"},
		{"could not read Password",
		 "; put a login for its host into ~/.netrc, or a token into .env as "
		 "GIT_HOST_TOKEN, or name it by ssh"},
		{"Authentication failed",
		 "; is the login in ~/.netrc, or the token in .env, right?"},
		{"Permission denied (publickey",
		 "; is the key in your ssh agent (ssh-add -l), and SSH_AUTH_SOCK set?"},
		{"Host key verification failed",
		 "; connect to it once with ssh, which remembers its key"},
		{"certificate verification failed",
		 "; name the file of its authority in GIT_SSL_CAINFO"},
		{"certificate problem", "; name the file of its authority in GIT_SSL_CAINFO"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (strstr(said, remedies[i].mark))
			return remedies[i].text;
	return "";
}

static int refused(const char *url, const char *said, struct err *err)
{
	AUTO(free) char *shown = mirror_shown_url(url);
	if (*remedy(said))
		return err_set(err, ERR_USAGE, 0, "repository %s: %s%s", shown, said, remedy(said));
	if (is_users_fault(said))
		return err_set(err, ERR_USAGE, 0, "repository %s: %s", shown, said);
	err_set(err, ERR_INFRA, 0, "repository %s: %s", shown, said);
	err->retry = true;
	return -1;
}

/* `git ls-remote` of a remote at URL, as ARGV has it. */
static int list_remote(int root_fd, const char *const *argv, const char *url, int64_t deadline_ms,
		       struct buf *out, struct err *err)
{
	struct git_cmd c = {.dir_fd = root_fd,
			    .argv = argv,
			    .network = true,
			    .max = 1 << 20,
			    .deadline_ms = deadline_ms};
	AUTO(free) char *said = NULL;
	int rc = talk(&c, out, &said, err);

	return rc > 0 ? refused(url, said, err) : rc;
}

int mirror_resolve(char **id, int root_fd, const char *url, const char *branch, int64_t deadline_ms,
		   struct err *err)
{
	const char *place = branch && strncmp(branch, "refs/", 5) != 0 ? "refs/heads/" : "";
	AUTO(free) char *ref = xasprintf("%s%s", place, branch ? branch : "HEAD");
	const char *argv[] = {"ls-remote", "-q", is_local(url) ? mirror_local_upload_pack : "-q",
			      "--",	   url,	 ref,
			      NULL};
	AUTO(buf) struct buf out = BUF_INIT;

	if (list_remote(root_fd, argv, url, deadline_ms, &out, err))
		return -1;
	// A pattern matches at the end of names: "refs/heads/x" also finds
	// "refs/remotes/refs/heads/x".
	AUTO(free) char *want = xasprintf("\t%s\n", ref);
	const char *line = strstr(out.data, want);
	const char *start = line;
	while (start && start > out.data && start[-1] != '\n')
		start--;
	AUTO(free) char *found = line ? xstrndup(start, (size_t)(line - start)) : NULL;
	AUTO(free) char *shown = mirror_shown_url(url);
	if (!found || !git_is_full_id(found))
		return err_set(err, ERR_USAGE, 0, "repository %s has no %s%s", shown,
			       branch ? "branch " : "HEAD", branch ? branch : "");
	*id = STEAL(&found);
	return 0;
}

int mirror_ask(int root_fd, const char *url, int64_t deadline_ms, struct err *err)
{
	const char *argv[] = {"ls-remote", "-q", "--", url, "HEAD", NULL};
	AUTO(buf) struct buf out = BUF_INIT;

	return list_remote(root_fd, argv, url, deadline_ms, &out, err);
}

struct mirror {
	int root_fd;
	const char *url, *commit;
	char *path, *git_dir; /* owned; git_dir is "GIT_DIR=PATH" */
	int64_t deadline_ms;
};

/* A tag of a commit is not that commit. */
static int has_commit(const struct mirror *m, bool *has, struct err *err)
{
	const char *argv[] = {"cat-file", "-t", m->commit, NULL};
	const char *env[] = {m->git_dir, NULL};
	struct git_cmd c = {
		.dir_fd = m->root_fd, .argv = argv, .env = env, .deadline_ms = m->deadline_ms};
	AUTO(buf) struct buf type = BUF_INIT, text = BUF_INIT;
	int status;
	if (git_run(&c, &type, &text, &status, err) < 0)
		return -1;
	*has = status == 0 && strcmp(type.data, "commit\n") == 0;
	return 0;
}

static int fetch(const struct mirror *m, const char *const *refspecs, char **said, struct err *err)
{
	AUTO(strv) struct strv argv = STRV_INIT;
	static const char *const options[] = {
		"fetch", "-q", "--no-tags", "--no-write-fetch-head", "--update-shallow", NULL};
	strv_pushv(&argv, options);
	if (is_local(m->url))
		strv_push(&argv, mirror_local_upload_pack);
	strv_push(&argv, "--");
	strv_push(&argv, m->url);
	strv_pushv(&argv, refspecs);
	const char *env[] = {m->git_dir, NULL};
	struct git_cmd c = {.dir_fd = m->root_fd,
			    .argv = strv_items(&argv),
			    .env = env,
			    .network = true,
			    .deadline_ms = m->deadline_ms};
	return talk(&c, NULL, said, err);
}

// First the one commit; a server that gives only what it advertises is then asked for all of that.
static int fetch_commit(const struct mirror *m, struct err *err)
{
	AUTO(free) char *one = xasprintf("%s:refs/rollouts/%s", m->commit, m->commit);
	const char *exact[] = {one, NULL};
	static const char *const all[] = {"+refs/*:refs/other/*", NULL};
	AUTO(free) char *said = NULL;
	AUTO(free) char *shown = mirror_shown_url(m->url);
	bool has = false;
	int rc = fetch(m, exact, &said, err);
	if (rc < 0)
		return err_wrap(err, "repository %s", shown);
	if (rc > 0 && !is_users_fault(said))
		return refused(m->url, said, err);
	if (has_commit(m, &has, err) < 0)
		return -1;
	if (has)
		return 0;
	auto_free(&said);
	said = NULL;
	rc = fetch(m, all, &said, err);
	if (rc)
		return rc < 0 ? err_wrap(err, "repository %s", shown) : refused(m->url, said, err);
	if (has_commit(m, &has, err) < 0)
		return -1;
	return has ? 0
		   : err_set(err, ERR_USAGE, 0, "repository %s has no commit %s", shown, m->commit);
}

static int mirror_lock(int root_fd, const char *path, int64_t deadline_ms, struct err *err)
{
	AUTO(free) char *lock = xasprintf("%s.lock", path);
	int fd = fd_lock(root_fd, lock, deadline_ms, err);
	if (fd < 0) {
		err->kind = ERR_INFRA;
		err->retry = true;
	}
	return fd;
}

static int have_commit(const struct mirror *m, struct err *err)
{
	AUTO(fd) int lock = mirror_lock(m->root_fd, m->path, m->deadline_ms, err);
	if (lock < 0)
		return -1;
	// Written last: without it a maker was killed half way. What git fetches later it syncs itself: packs, then refs.
	AUTO(free) char *ready = xasprintf("%s/info/ready", m->path);
	struct gitdir spec = {
		.head = "refs/heads/none", .bare = true, .sha256 = strlen(m->commit) == 64};
	if (!path_exists(m->root_fd, ready)) {
		if (path_remove_tree(m->root_fd, m->path, err) < 0 ||
		    gitdir_make(m->root_fd, m->path, &spec, err) < 0 ||
		    path_sync_all(m->root_fd, err) < 0 ||
		    path_write(m->root_fd, ready, "", 0, 0644, true, err) < 0)
			return -1;
	}
	if (gitdir_sweep(m->root_fd, m->path, err) < 0)
		return -1;
	bool has = false;
	if (has_commit(m, &has, err) < 0)
		return -1;
	return has ? 0 : fetch_commit(m, err);
}

bool mirror_drop_damaged(int root_fd, const char *url, bool sha256, int64_t deadline_ms)
{
	static const char *const argv[] = {"fsck", "--connectivity-only", "--no-dangling",
					   "--no-progress", NULL};
	AUTO(free) char *path = mirror_path(url, sha256);
	AUTO(free) char *git_dir = xasprintf("GIT_DIR=%s", path);
	const char *env[] = {git_dir, NULL};
	struct git_cmd c = {
		.dir_fd = root_fd, .argv = argv, .env = env, .deadline_ms = deadline_ms};
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;
	int status;

	if (!path_exists(root_fd, path))
		return false;
	AUTO(fd) int lock = mirror_lock(root_fd, path, deadline_ms, &ignored);
	return lock >= 0 && !git_run(&c, NULL, &text, &status, &ignored) && status &&
	       !path_remove_tree(root_fd, path, &ignored);
}

char *mirror_path(const char *url, bool sha256)
{
	char hex[HASH_HEX];
	struct hash h;
	hash_init(&h);
	hash_str(&h, sha256 ? "sha256" : "sha1");
	hash_str(&h, url);
	hash_hex(&h, hex);
	return xasprintf(DATA_MIRRORS "/%.32s.git", hex);
}

int mirror_need(char **path, int root_fd, const char *url, const char *commit, int64_t deadline_ms,
		struct err *err)
{
	AUTO(free) char *mine = mirror_path(url, strlen(commit) == 64);
	AUTO(free) char *git_dir = xasprintf("GIT_DIR=%s", mine);
	struct mirror m = {.root_fd = root_fd,
			   .url = url,
			   .commit = commit,
			   .path = mine,
			   .git_dir = git_dir,
			   .deadline_ms = deadline_ms};
	/* Whole repositories, later commits and all: for their maker alone. */
	if (path_make_dirs(root_fd, DATA_MIRRORS, 0700, err) < 0 || have_commit(&m, err) < 0)
		return -1;
	path_touch(root_fd, mine);
	*path = STEAL(&mine);
	return 0;
}

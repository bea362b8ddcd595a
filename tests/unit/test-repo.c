/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <stdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "test.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/spawn.h"
#include "repo/patch.h"
#include "repo/repo.h"

/* A folder with src/ (a repository), data/ (the data root) and snap/repo (overlay files) inside
 * data. */
struct world {
	char dir[32];
	int fd, data;
	struct task task;
};

// Runs SCRIPT in the world's folder; fails the test when it fails. The output without the last
// newline.
static char *sh(struct world *w, const char *script)
{
	static const char setup[] =
		"set -e; umask 022; export W=$PWD GIT_CONFIG_NOSYSTEM=1 "
		"GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C; "
		"export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@x GIT_COMMITTER_NAME=c "
		"GIT_COMMITTER_EMAIL=c@x; "
		"export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 "
		"+0000';\n";
	AUTO(free) char *text = xasprintf("%s%s", setup, script);
	const char *argv[] = {"bash", "-c", text, NULL};
	struct spawn s = {.argv = argv, .dir_fd = w->fd, .in = -1, .out = -1, .err = -1};
	AUTO(buf) struct buf err_text = BUF_INIT;
	struct buf out = BUF_INIT;
	struct err err = {0};
	int status;
	if (spawn_run(&s, NULL, 0, 1 << 24, 0, &out, &err_text, &status, &err) < 0)
		fail_msg("%s", err.msg);
	if (status)
		fail_msg("%s\nfailed: %s%s", script, err_text.data, out.data);
	if (out.len && out.data[out.len - 1] == '\n')
		out.data[--out.len] = '\0';
	return buf_detach(&out);
}

static void run(struct world *w, const char *script)
{
	free(sh(w, script));
}

#define EXPECT(w, script, want)                                                                    \
	do {                                                                                       \
		AUTO(free) char *got_ = sh(w, script);                                             \
		assert_string_equal(got_, want);                                                   \
	} while (0)

static void set(char **where, const char *value)
{
	free(*where);
	*where = xstrdup(value);
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	snprintf(w->dir, sizeof w->dir, "/tmp/test-repo-XXXXXX");
	if (!mkdtemp(w->dir) || chmod(w->dir, 0755) < 0)
		return -1;
	w->fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	run(w,
	    "mkdir -p data/snap; git init -q -b trunk src; cd src; echo one >a; mkdir -p d/e docs; "
	    "echo two >d/b; echo three >d/e/c; echo doc >docs/x.md; ln -s d link; ln -s /etc out; "
	    "printf '#!/bin/sh\\n' >run; chmod a+x run; git add -A; git commit -qm first; "
	    "echo 1b >>a; git commit -qam second; git tag v1; "
	    "echo later >>a; echo secret >gold; git add -A; git commit -qm third");
	w->data = openat(w->fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->task.id = xstrdup("t");
	w->task.repo.git_url = xasprintf("%s/src", w->dir);
	w->task.repo.start_commit = sh(w, "cd src; git rev-parse v1");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct err err = {0};
	free(w->task.id);
	free(w->task.repo.git_url);
	free(w->task.repo.branch);
	free(w->task.repo.start_commit);
	free(w->task.repo.subdir);
	strv_release(&w->task.repo.sparse);
	strv_release(&w->task.repo.remove);
	close(w->data);
	close(w->fd);
	int rc = path_remove_tree(AT_FDCWD, w->dir, &err);
	free(w);
	return rc;
}

// Make the baseline and let the link "base" in the world's folder lead to it.
static void get(struct world *w)
{
	struct err err = {0};
	struct repo_baseline b;
	if (repo_baseline_get(&b, w->data, &w->task, "snap", NULL, clock_mono_ms() + 60000, &err) <
	    0)
		fail_msg("%s", err.msg);
	AUTO(free) char *target = xasprintf("data/%s", b.path);
	assert_int_equal(path_link(w->fd, target, "base", &err), 0);
	repo_baseline_release(&b);
}

static void get_fails(struct world *w, enum err_kind kind, const char *part)
{
	struct err err = {0};
	struct repo_baseline b;
	assert_int_equal(repo_baseline_get(&b, w->data, &w->task, "snap", NULL, 0, &err), -1);
	if (!strstr(err.msg, part))
		fail_msg("\"%s\" is not in \"%s\"", part, err.msg);
	assert_int_equal(err.kind, kind);
	assert_int_equal(err.retry, kind == ERR_INFRA);
	EXPECT(w, "find data/cache/baselines -mindepth 1 2>/dev/null || true", "");
}

static void a_plain_baseline_is_the_start_commit(void **state)
{
	struct world *w = *state;
	get(w);
	EXPECT(w, "cd base/repo; git log --format=%s%d", "second (HEAD -> main)\nfirst");
	EXPECT(w,
	       "cd base/repo; git status --porcelain; cat a; readlink link out; find .git -name "
	       "logs -o -name '*HEAD'",
	       "one\n1b\nd\n/etc\n.git/HEAD");
	EXPECT(w,
	       "cd base/repo; git remote; git tag; ls .git/hooks .git/packed-refs .git/info "
	       "2>/dev/null || true",
	       ".git/info:");
	// Nothing of the third commit, and nothing unreachable.
	EXPECT(w,
	       "cd base/repo; git cat-file --batch-all-objects --batch-check='%(objectname)' | "
	       "sort >$W/all; "
	       "git rev-list --objects main | cut -d' ' -f1 | sort | cmp - $W/all && echo same; "
	       "git -C $W/src rev-parse HEAD:gold | grep -cF -f - $W/all || true",
	       "same\n0");
	EXPECT(w,
	       "cd base; find . ! -type l ! -perm -044 | wc -l; find . -type d ! -perm 755 | wc -l",
	       "0\n0");
	EXPECT(w,
	       "ls data/cache/baselines | wc -l; ls -A data/cache/baselines | grep -c tmp || true",
	       "1\n0");
}

static void status_re_hashes_nothing_in_a_copy(void **state)
{
	struct world *w = *state;
	get(w);
	EXPECT(w,
	       "cp -r --preserve=mode,timestamps,links base/repo copy; cd copy; cp .git/index "
	       "../before; "
	       "git status --porcelain; cmp .git/index ../before && echo untouched; "
	       "touch -r a ref; echo 1B >a; echo two >>a; truncate -s 7 a; touch -r ref a; rm ref; "
	       "git diff-files --name-only; "
	       "touch a; git diff-files --name-only",
	       "untouched\na");
}

static void overlays_lie_on_top_with_history(void **state)
{
	struct world *w = *state;
	run(w, "mkdir -p data/snap/repo/d/new; echo over >data/snap/repo/a; echo n "
	       ">'data/snap/repo/d/new/f \"x'; "
	       "chmod +x data/snap/repo/a; ln -s ../a data/snap/repo/d/l");
	get(w);
	EXPECT(w,
	       "cd base/repo; git status --porcelain; git log --format='%s %an %ad' --date=unix; "
	       "git show --format= --name-status; readlink d/l; stat -c %A a",
	       "Baseline rollouts 1700000000\nsecond a 1700000000\nfirst a 1700000000\n"
	       "M\ta\nA\td/l\nA\t\"d/new/f \\\"x\"\n../a\n-rwxr-xr-x");
	EXPECT(w,
	       "cat data/cache/baselines/*/meta.json | tr -d ' \\n' | grep -o '\"files\":[0-9]*'",
	       "\"files\":9");
}

static void what_is_taken_away_is_gone_from_the_history_too(void **state)
{
	struct world *w = *state;
	strv_push(&w->task.repo.remove, "d/*/");
	strv_push(&w->task.repo.remove, "docs/");
	strv_push(&w->task.repo.remove, "o?t");
	get(w);
	EXPECT(w, "cd base/repo; git log --format=%s; git ls-files; git status --porcelain; ls",
	       "Baseline\na\nd/b\nlink\nrun\na\nd\nlink\nrun");
	EXPECT(w,
	       "cd base/repo; git -C $W/src rev-parse v1:d/e/c | git cat-file --batch-check | cut "
	       "-d' ' -f2",
	       "missing");
}

static void subdir_and_sparse_restrict_the_tree(void **state)
{
	struct world *w = *state;
	set(&w->task.repo.subdir, "d/");
	get(w);
	EXPECT(w, "cd base/repo; git ls-files; git rev-list --count HEAD", "d/b\nd/e/c\n1");
	strv_release(&w->task.repo.sparse);
	set(&w->task.repo.subdir, ".");
	strv_push(&w->task.repo.sparse, "d");
	strv_push(&w->task.repo.sparse, "!/d/e/");
	strv_push(&w->task.repo.sparse, "*.md");
	get(w);
	EXPECT(w, "cd base/repo; git ls-files", "d/b\ndocs/x.md");
}

static void bad_paths_are_refused_by_name(void **state)
{
	struct world *w = *state;
	struct strv *remove = &w->task.repo.remove;
	strv_push(remove, "../up");
	get_fails(w, ERR_USAGE, "remove_repo_paths: \"../up\" is not a path inside");
	strv_release(remove);
	strv_push(remove, "/etc/*");
	get_fails(w, ERR_USAGE, "remove_repo_paths: \"/etc/*\"");
	strv_release(remove);
	strv_push(&w->task.repo.sparse, "nothing-here/");
	get_fails(w, ERR_USAGE, "repo.sparse_checkout: \"nothing-here/\" matches nothing");
	strv_release(&w->task.repo.sparse);
	set(&w->task.repo.subdir, "link");
	get_fails(w, ERR_USAGE, "repo.subdir: the repository has no directory link");
	set(&w->task.repo.subdir, "../x");
	get_fails(w, ERR_USAGE, "repo.subdir: \"../x\"");
	set(&w->task.repo.subdir, ".");
	run(w, "mkdir -p data/snap/repo/out; echo x >data/snap/repo/out/passwd");
	get_fails(w, ERR_USAGE, "overlay file out/passwd: out is a symbolic link");
	run(w, "rm -r data/snap/repo/out; mkdir data/snap/repo/a; echo x >data/snap/repo/a/x");
	get_fails(w, ERR_USAGE, "overlay file a/x: a is a file");
	run(w, "rm -r data/snap/repo/a; echo x >data/snap/repo/d");
	get_fails(w, ERR_USAGE, "overlay file d: is a directory");
	run(w, "rm -r data/snap/repo/d; mkdir -p data/snap/repo/s/.GIT; echo x "
	       ">data/snap/repo/s/.GIT/hook");
	get_fails(w, ERR_USAGE, "overlay file s/.GIT");
}

static void bad_repositories_are_refused(void **state)
{
	struct world *w = *state;
	set(&w->task.repo.start_commit, "0123456789012345678901234567890123456789");
	get_fails(w, ERR_USAGE, "has no commit 0123");
	AUTO(free)
	char *tag = sh(w, "git -C src tag -a -m note noted && git -C src rev-parse noted");
	set(&w->task.repo.start_commit, tag);
	get_fails(w, ERR_USAGE, "has no commit ");
	set(&w->task.repo.start_commit, "v1");
	get_fails(w, ERR_USAGE, "\"v1\" is not a full commit id");
	set(&w->task.repo.start_commit, "0123456789012345678901234567890123456789");
	set(&w->task.repo.git_url, "/no/such/place");
	get_fails(w, ERR_USAGE, "/no/such/place: no such repository");
	set(&w->task.repo.git_url, "--upload-pack=touch /tmp/pwned");
	get_fails(w, ERR_USAGE, "must not begin with a dash");
	set(&w->task.repo.git_url, "ext::sh -c touch% pwned");
	get_fails(w, ERR_USAGE, "transport 'ext' not allowed");
	set(&w->task.repo.git_url, "http://user:pass@127.0.0.1:1/x");
	get_fails(w, ERR_USAGE, "http://127.0.0.1:1/x: transport 'http' not allowed");
	set(&w->task.repo.git_url, "https://127.0.0.1:1/x");
	get_fails(w, ERR_INFRA, "https://127.0.0.1:1/x");
	set(&w->task.repo.git_url, "src");
	get_fails(w, ERR_USAGE, "neither a URL nor an absolute path");
	w->task.repo.git_url[0] = '\0';
	get_fails(w, ERR_USAGE, "repo.git_url is missing");
	set(&w->task.repo.git_url, w->dir);
	get_fails(w, ERR_USAGE, "does not appear to be a git repository");
}

static void bundles_and_file_urls_work(void **state)
{
	struct world *w = *state;
	run(w, "cd src; git bundle create -q ../b.bundle trunk");
	AUTO(free) char *src = xasprintf("file://%s/src", w->dir);
	AUTO(free) char *bundle = xasprintf("%s/b.bundle", w->dir);
	set(&w->task.repo.git_url, bundle);
	get(w);
	EXPECT(w, "git -C base/repo log --format=%s", "second\nfirst");
	run(w, "rm -r data/cache/baselines");
	set(&w->task.repo.git_url, src);
	get(w);
	EXPECT(w, "git -C base/repo log --format=%s", "second\nfirst");
}

// A branch tip is asked for once: it may move, the task stays where it was.
static void a_tip_is_pinned(void **state)
{
	struct world *w = *state;
	memset(w->task.hash, 'a', 64);
	free(w->task.repo.start_commit);
	w->task.repo.start_commit = NULL;
	set(&w->task.repo.branch, "absent");
	get_fails(w, ERR_USAGE, "has no branch absent");
	set(&w->task.repo.branch, "trunk");
	get(w);
	EXPECT(w, "git -C base/repo log -1 --format=%s%d", "third (HEAD -> trunk)");
	run(w, "cd src; git commit -q --allow-empty -m fourth; rm -r ../data/cache/baselines");
	get(w);
	EXPECT(w, "git -C base/repo log -1 --format=%s", "third");
	memset(w->task.hash, 'b', 64);
	get(w);
	EXPECT(w, "git -C base/repo log -1 --format=%s; ls data/cache/pins",
	       "fourth\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
	       "json\nbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.json");
}

// The second use reads two small files: the source, the mirror and git itself may be gone.
static void the_second_use_needs_no_git(void **state)
{
	struct world *w = *state;
	struct err err = {0};
	struct repo_baseline b;
	memset(w->task.hash, 'a', 64);
	get(w);
	run(w, "rm -r src data/cache/mirrors");
	AUTO(free) char *path = xstrdup(getenv("PATH"));
	setenv("PATH", "/nonexistent", 1);
	int64_t t = clock_mono_ns();
	int rc = repo_baseline_get(&b, w->data, &w->task, "snap", NULL, 0, &err);
	t = clock_mono_ns() - t;
	setenv("PATH", path, 1);
	assert_int_equal(rc, 0);
	assert_int_equal(b.files, 7);
	repo_baseline_release(&b);
	print_message("second use: %lld us\n", (long long)t / 1000);
}

// Attributes, filters and hooks of the repository have no say in what is checked out.
static void checkout_is_bytes(void **state)
{
	struct world *w = *state;
	run(w, "cd src; printf '* filter=evil ident eol=crlf text\nw "
	       "working-tree-encoding=UTF-16\n' >.gitattributes; "
	       "printf 'x $Id$\n' >i; printf 'abc\n' >w; git update-index --add --cacheinfo "
	       "100644,$(git hash-object -w --no-filters w),w; "
	       "git update-index --add --cacheinfo "
	       "160000,1234567890123456789012345678901234567890,sub; "
	       "git add .gitattributes i; git commit -qm attrs; git config filter.evil.smudge "
	       "'touch ../pwned'");
	free(w->task.repo.start_commit);
	w->task.repo.start_commit = sh(w, "cd src; git rev-parse HEAD");
	get(w);
	EXPECT(w,
	       "cd base/repo; cat i w; od -c a | head -1; git status --porcelain; ls -d sub; test "
	       "! -e $W/pwned",
	       "x $Id$\nabc\n0000000   o   n   e  \\n   1   b  \\n   l   a   t   e   r  \\n\nsub");
}

// Many at once: one builds, all get the same; a killed maker's leftovers are swept.
static void makers_may_race_and_die(void **state)
{
	struct world *w = *state;
	run(w, "mkdir -p data/cache/baselines/.tmp-dead/x data/cache/baselines/.tmp-busy; touch "
	       "data/cache/baselines/dead.lock");
	pid_t pids[6];
	for (int i = 0; i < 6; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct err err = {0};
			struct repo_baseline b;
			_exit(repo_baseline_get(&b, w->data, &w->task, "snap", NULL, 0, &err) < 0 ||
			      b.files != 7);
		}
	}
	for (int i = 0; i < 6; i++) {
		int status;
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	EXPECT(w, "ls -A data/cache/baselines | wc -l", "1");
	// Killed at some moment of the work: the next one makes it whole.
	for (int i = 0; i < 8; i++) {
		run(w, "rm -rf data/cache");
		pid_t pid = fork();
		if (pid == 0) {
			struct err err = {0};
			struct repo_baseline b;
			setpgid(0, 0);
			_exit(repo_baseline_get(&b, w->data, &w->task, "snap", NULL, 0, &err) < 0);
		}
		usleep((useconds_t)i * 8000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		get(w);
		EXPECT(w, "git -C base/repo status --porcelain; git -C base/repo fsck --full 2>&1",
		       "");
		// The killed one's git may still hold its own folder, which the next maker sweeps; who is
		// killed when all is made leaves its lock file, which holds nobody up.
		EXPECT(w, "ls -A data/cache/baselines | grep -vcE '^[.]tmp-|[.]lock$'", "1");
	}
}

static void a_shallow_source_in_an_odd_place_works(void **state)
{
	struct world *w = *state;
	run(w, "mkdir \"it's odd\"; git clone -q --depth 2 file://$PWD/src \"it's odd/a;b\"");
	AUTO(free) char *url = xasprintf("%s/it's odd/a;b", w->dir);
	set(&w->task.repo.git_url, url);
	run(w, "mkdir -p data/snap/repo; echo 1 >data/snap/repo/new");
	get(w);
	EXPECT(w, "cd base/repo; git log --format=%s; git status --porcelain; git fsck 2>&1",
	       "Baseline\nsecond");
}

static void sha256_repositories_work(void **state)
{
	struct world *w = *state;
	run(w, "git init -q -b main --object-format=sha256 s2; cd s2; echo 1 >a; git add a; git "
	       "commit -qm one");
	AUTO(free) char *url = xasprintf("%s/s2", w->dir);
	set(&w->task.repo.git_url, url);
	free(w->task.repo.start_commit);
	w->task.repo.start_commit = sh(w, "git -C s2 rev-parse HEAD");
	run(w, "mkdir -p data/snap/repo; echo 1 >data/snap/repo/new");
	get(w);
	EXPECT(w, "cd base/repo; git log --format=%s; git ls-files; git fsck 2>&1",
	       "Baseline\none\na\nnew");
}

/* What is done to a work tree, by a script or by chance; runs in a child with the tree as its
 * directory. */
struct mutation {
	const char *script;
	bool odd; /* git's opinion is not asked: what is there confuses it */
	int64_t max_bytes, max_file_bytes;
	unsigned seed; /* without SCRIPT */
	int steps;
};

static const char *const names[] = {
	"a",	  "d",	       "docs",		 "link",      "run",	    "e",
	"b",	  "x.o",       "build",		 "keep.o",    ".gitignore", ".gitattributes",
	"a b",	  "new\nline", "q\"uote",	 "\xff\xfe",  "tab\t",	    "back\\slash",
	":colon", "-dash",     "\xc3\xbcnicode", "trailing ", "*",	    "[x]",
	"!neg",	  "#hash",
};

static const char *const contents[] = {
	"",
	"one line\n",
	"no newline",
	"crlf\r\nline\r\n",
	"a\nb\nc\nd\ne\nf\ng\nh\n",
	"\n\n\n",
	"-- dashes\n++ pluses\n",
	"diff --git a/x b/x\n",
	"*.o\nbuild/\n!keep.o\n",
	"* text eol=crlf -diff\n",
};

static unsigned dice(unsigned *seed, unsigned n)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 8) % n;
}

static void random_path(unsigned *seed, char *out, size_t size)
{
	unsigned depth = 1 + dice(seed, 3);
	out[0] = '\0';
	for (unsigned i = 0; i < depth; i++) {
		size_t len = strlen(out);
		snprintf(out + len, size - len, "%s%s", i ? "/" : "",
			 names[dice(seed, ARRAY_SIZE(names))]);
	}
}

static void write_random(unsigned *seed, const char *path, bool append)
{
	int fd = open(path,
		      O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (append ? O_APPEND : O_TRUNC),
		      0644);
	if (fd < 0)
		return;
	unsigned kind = dice(seed, ARRAY_SIZE(contents) + 2);
	char block[3000];
	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (char)(kind == ARRAY_SIZE(contents) ? dice(seed, 256) : 'x');
	const char *what = kind < ARRAY_SIZE(contents) ? contents[kind] : block;
	size_t n = kind < ARRAY_SIZE(contents) ? strlen(what) : dice(seed, sizeof block);
	assert_int_equal(write(fd, what, n), n);
	close(fd);
}

static void mutate_once(unsigned *seed)
{
	char path[300], other[300];
	struct err err = {0};
	random_path(seed, path, sizeof path);
	random_path(seed, other, sizeof other);
	switch (dice(seed, 11)) {
	case 0:
	case 1:
		write_random(seed, path, false);
		break;
	case 2:
		write_random(seed, path, true);
		break;
	case 3:
		if (path_remove_tree(AT_FDCWD, path, &err) < 0)
			break;
		break;
	case 4:
		mkdir(path, 0755);
		break;
	case 5:
		unlink(path);
		if (symlink(other, path) < 0)
			break;
		break;
	case 6:
		chmod(path, dice(seed, 2) || geteuid() != 0 ? 0755 : 0644);
		break;
	case 7:
		if (geteuid() == 0) // others could not ask git for its opinion
			chmod(path, dice(seed, 2) ? 0 : 0500);
		break;
	case 8:
		utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
		break;
	case 9:
		rename(path, other);
		break;
	case 10: // another kind of thing in the same place
		if (path_remove_tree(AT_FDCWD, path, &err) == 0) {
			mkdir(path, 0755);
			snprintf(other, sizeof other, "%.200s/%s", path,
				 names[dice(seed, ARRAY_SIZE(names))]);
			write_random(seed, other, false);
		}
		break;
	}
}

static void mutate(struct world *w, const char *dir, const struct mutation *m)
{
	if (m->script) {
		AUTO(free) char *script = xasprintf("cd %s; %s", dir, m->script);
		run(w, script);
		return;
	}
	unsigned seed = m->seed;
	int home = open(".", O_PATH | O_CLOEXEC), fd = openat(w->fd, dir, O_PATH | O_CLOEXEC);
	assert_int_equal(fchdir(fd), 0);
	for (int i = 0; i < m->steps; i++)
		mutate_once(&seed);
	assert_int_equal(fchdir(home), 0);
	close(home);
	close(fd);
}

/* What git itself makes of a work tree DIR: the id of the tree after `git add`, FLAGS being -A or
 * -Af. */
static char *tree_id(struct world *w, const char *dir, const char *flags)
{
	AUTO(free)
	char *script = xasprintf(
		"rm -rf $W/index $W/objects; mkdir $W/objects; cp base/repo/.git/index $W/index; "
		"cd %s; export GIT_DIR=$W/base/repo/.git "
		"GIT_WORK_TREE=. GIT_INDEX_FILE=$W/index GIT_OBJECT_DIRECTORY=$W/objects "
		"GIT_ALTERNATE_OBJECT_DIRECTORIES=$W/base/repo/.git/objects; "
		"printf '* !text !eol !crlf !filter !ident !working-tree-encoding' >$W/attrs; "
		"git -c core.attributesFile=/dev/null -c safe.directory='*' add %s . 2>/dev/null; "
		"git write-tree",
		dir, flags);
	return sh(w, script);
}

static void write_file(struct world *w, const char *name, const char *text)
{
	struct err err = {0};
	assert_int_equal(path_write(w->fd, name, text, strlen(text), 0644, false, &err), 0);
}

static void write_lists(struct world *w, const struct repo_diff *d)
{
	AUTO(buf) struct buf text = BUF_INIT;
	buf_addf(&text, "%s+%d -%d %d", d->truncated ? "truncated " : "", (int)d->lines_added,
		 (int)d->lines_removed, (int)d->files);
	for (size_t i = 0; i < d->ignored.n; i++)
		buf_addf(&text, "\nignored %s", d->ignored.v[i]);
	for (size_t i = 0; i < d->skipped.n; i++)
		buf_addf(&text, "\nskipped %s", d->skipped.v[i]);
	write_file(w, "lists", text.data);
}

// Mutate DIR, note git's opinion in "want", and make the patch. UPPER as in repo_diff_spec, or
// NULL.
static void diff(struct world *w, const char *dir, const char *upper, const struct mutation *m,
		 struct repo_diff *d)
{
	struct err err = {0};
	mutate(w, dir, m);
	AUTO(free) char *want = m->odd ? NULL : tree_id(w, dir, "-A");
	write_file(w, "want", want ? want : "");
	run(w, "rm -rf scratch; mkdir scratch");
	AUTO(free) char *base = xasprintf("%s/base", w->dir);
	AUTO(free) char *work = xasprintf("%s/%s", w->dir, dir);
	AUTO(free) char *up = upper ? xasprintf("%s/%s", w->dir, upper) : NULL;
	AUTO(free) char *scratch = xasprintf("%s/scratch", w->dir);
	AUTO(fd) int out = openat(w->fd, "patch", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct repo_diff_spec s = {.base = base,
				   .work = work,
				   .upper = up,
				   .scratch = scratch,
				   .out_fd = out,
				   .max_bytes = m->max_bytes,
				   .max_file_bytes = m->max_file_bytes};
	if (repo_diff(d, &s, &err) < 0)
		fail_msg("%s", err.msg);
	struct stat st;
	fstat(out, &st);
	assert_int_equal(d->bytes, st.st_size);
	write_lists(w, d);
}

// Apply "patch" to a clean copy and compare with what git made of the mutated tree.
static void check_round_trip(struct world *w, const char *what)
{
	struct err err = {0};
	char *why;
	run(w, "rm -rf clean; cp -a base/repo clean");
	AUTO(free) char *base = xasprintf("%s/base", w->dir);
	AUTO(free) char *clean = xasprintf("%s/clean", w->dir);
	AUTO(fd) int patch = openat(w->fd, "patch", O_RDONLY | O_CLOEXEC);
	if (repo_apply(base, clean, patch, 0, &why, &err) < 0)
		fail_msg("%s", err.msg);
	if (why)
		fail_msg("%s: %s", what, why);
	AUTO(free) char *want = sh(w, "cat want");
	if (!*want)
		return;
	AUTO(free) char *got = tree_id(w, "clean", "-Af");
	if (strcmp(got, want) != 0)
		fail_msg("%s: applying the patch gave another tree", what);
}

static void copy_round_trip(struct world *w, const struct mutation *m, struct repo_diff *d)
{
	run(w, "chmod -R u+rwX work 2>/dev/null || true; rm -rf work; cp -a base/repo work");
	diff(w, "work", NULL, m, d);
	AUTO(free) char *what = xasprintf("copy, %s %u", m->script ? m->script : "seed", m->seed);
	check_round_trip(w, what);
}

static bool enter_namespaces(void)
{
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	static const char *const files[] = {"/proc/self/setgroups", "/proc/self/uid_map",
					    "/proc/self/gid_map"};
	for (int i = 0; i < 3; i++) {
		snprintf(map, sizeof map, i == 0 ? "deny" : "0 %u 1", i == 1 ? uid : gid);
		AUTO(fd) int fd = open(files[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, map, strlen(map)) < 0)
			return false;
	}
	return true;
}

enum { NO_OVERLAY = 77 };

// The mount and its user live in a child; the patch, git's opinion and the upper directory stay.
static int overlay_child(struct world *w, const struct mutation *m)
{
	AUTO(free)
	char *options =
		xasprintf("lowerdir=%s/base/repo,upperdir=%s/upper,workdir=%s/ovl,userxattr",
			  w->dir, w->dir, w->dir);
	AUTO(free) char *work = xasprintf("%s/work", w->dir);
	struct repo_diff d;
	if (!enter_namespaces() || mount("overlay", work, "overlay", 0, options) < 0)
		return NO_OVERLAY;
	diff(w, "work", "upper", m, &d);
	repo_diff_release(&d);
	return 0;
}

static void overlay_round_trip(struct world *w, const struct mutation *m)
{
	struct err err = {0};
	run(w, "chmod -R u+rwX work upper ovl 2>/dev/null || true; rm -rf work upper ovl; mkdir "
	       "work upper ovl");
	pid_t pid = fork();
	if (pid == 0)
		_exit(overlay_child(w, m));
	int status;
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_OVERLAY) {
		print_message("no overlay in a user namespace here\n");
		skip();
	}
	assert_int_equal(status, 0);
	AUTO(free)
	char *what = xasprintf("overlay, %s %u", m->script ? m->script : "seed", m->seed);
	check_round_trip(w, what);
	assert_int_equal(path_remove_tree(w->fd, "ovl", &err), 0);
}

static void get_with_ignores(struct world *w)
{
	run(w, "cd src; git checkout -q v1; printf '*.o\\nbuild/\\n!keep.o\\n' >.gitignore; mkdir "
	       "-p build 'a b'; echo 1 >build/tracked; "
	       "echo 2 >'a b/x.o'; printf 'a\\r\\nb\\r\\n' >crlf; head -c 3000 /dev/urandom >bin; "
	       "git add -Af; git commit -qm rules");
	free(w->task.repo.start_commit);
	w->task.repo.start_commit = sh(w, "cd src; git rev-parse HEAD");
	get(w);
}

static void chance_round_trips(void **state)
{
	struct world *w = *state;
	get_with_ignores(w);
	const char *more = getenv("SEEDS"); // for a longer search by hand
	unsigned last = more ? (unsigned)strtoul(more, NULL, 10) : 8;
	for (unsigned seed = 1; seed <= last; seed++) {
		struct mutation m = {.seed = seed * 7919, .steps = 4 + (int)seed * 2};
		struct repo_diff d;
		copy_round_trip(w, &m, &d);
		repo_diff_release(&d);
		overlay_round_trip(w, &m);
	}
}

static void patches_are_counted_in_any_pieces(void **state)
{
	struct world *w = *state;
	static const char text[] = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n--- "
				   "gone\n+++ new\n+\n \n\\ No newline\n"
				   "diff --git a/e /f b/e /f\nnew file mode 100644\n"
				   "diff --git a/b b/b\nGIT binary patch\nliteral 3\n+abc\n\n";
	static const char want[] = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n--- "
				   "gone\n+++ new\n+\n \n\\ No newline\n"
				   "diff --git \"a/e /f\" \"b/e /f\"\nnew file mode 100644\n"
				   "diff --git a/b b/b\nGIT binary patch\nliteral 3\n+abc\n\n";
	struct err err = {0};
	for (size_t piece = 1; piece < sizeof text; piece++) {
		AUTO(fd) int fd = openat(w->fd, "p", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		AUTO(buf) struct buf got = BUF_INIT;
		struct patch p;
		assert_int_equal(patch_begin(&p, fd, 1000, &err), 0);
		for (size_t i = 0; i < sizeof text - 1; i += piece) {
			size_t left = sizeof text - 1 - i;
			assert_int_equal(patch_add(&p, text + i, left < piece ? left : piece, &err),
					 0);
		}
		assert_int_equal(patch_end(&p, &err), 0);
		assert_int_equal(p.added * 1000 + p.removed * 100 + p.files, 2103);
		patch_release(&p);
		assert_int_equal(path_read(w->fd, "p", 1000, &got, &err), 0);
		assert_string_equal(got.data, want);
		assert_int_equal(p.bytes, got.len);
	}
}

// The same in a copy and in an overlay: the counts and lists are LISTS, the patched tree passes
// CHECK.
static void both(struct world *w, const struct mutation *m, const char *lists, const char *check)
{
	struct repo_diff d;
	AUTO(free) char *script = xasprintf("cd clean; %s", check);
	copy_round_trip(w, m, &d);
	repo_diff_release(&d);
	EXPECT(w, "cat lists", lists);
	run(w, script);
	run(w, "rm -r clean lists");
	overlay_round_trip(w, m);
	EXPECT(w, "cat lists", lists);
	run(w, script);
}

static void every_kind_of_change(void **state)
{
	struct world *w = *state;
	struct mutation m = {.script = "echo x >>a; rm -r d; printf '\\0bin' >new; ln -sfn a link; "
				       "chmod -x run; mkdir -p n/e; echo >n/e/w; mkdir 's '; touch "
				       "'s /empty' 's /gone'; chmod +x 's /gone'"};
	get_with_ignores(w);
	both(w, &m, "+3 -3 9",
	     "test ! -e d; test \"$(readlink link)\" = a; test ! -x run; tail -1 a | grep -q x");
}

static void nothing_changed_needs_no_git(void **state)
{
	struct world *w = *state;
	get(w);
	run(w, "cp -r base/repo work; mkdir scratch; cd work; find . -path ./.git -prune -o -exec "
	       "touch -h {} +; echo junk >.git/config");
	AUTO(free) char *path = xstrdup(getenv("PATH"));
	AUTO(free) char *base = xasprintf("%s/base", w->dir);
	AUTO(free) char *work = xasprintf("%s/work", w->dir);
	AUTO(free) char *scratch = xasprintf("%s/scratch", w->dir);
	struct repo_diff_spec s = {.base = base, .work = work, .scratch = scratch, .out_fd = -1};
	struct repo_diff d;
	struct err err = {0};
	setenv("PATH", "/nonexistent", 1);
	int rc = repo_diff(&d, &s, &err);
	setenv("PATH", path, 1);
	assert_int_equal(rc, 0);
	assert_int_equal(d.bytes, 0);
	repo_diff_release(&d);
}

static void ignored_files_stay_out(void **state)
{
	struct world *w = *state;
	struct mutation m = {.script =
				     "echo '*.log' >>.gitignore; echo hidden >>.git/info/exclude; "
				     "git config core.excludesFile /dev/null; "
				     "touch t.o t.log keep.o hidden d/t.o; mkdir -p "
				     "node/sub/build; touch node/sub/build/x node/sub/y; "
				     "echo '!*.o' >node/.gitignore; touch node/z.o; echo 3 "
				     ">>build/tracked; touch build/new; echo 3 >>'a b/x.o'; "
				     "mkdir -p gone.o/x; touch gone.o/x/y"};
	get_with_ignores(w);
	both(w, &m,
	     "+4 -0 8\nignored build/new\nignored d/t.o\nignored gone.o/\nignored "
	     "node/sub/build/\nignored t.log\nignored t.o",
	     "test -e hidden; test -e node/z.o; test -e node/sub/y");
}

static void an_agents_git_has_no_say(void **state)
{
	struct world *w = *state;
	struct mutation m = {
		.script = "printf '* filter=evil diff=evil text eol=crlf\\n*.bin -diff\\n' "
			  ">.gitattributes; "
			  "for k in filter.evil.clean filter.evil.smudge diff.evil.textconv "
			  "diff.evil.command core.fsmonitor core.pager; do "
			  "git config $k 'touch /tmp/test-repo-pwned; cat'; done; git config "
			  "diff.noprefix true; "
			  "printf '#!/bin/sh\\ntouch /tmp/test-repo-pwned\\n' >.git/hooks-x; mkdir "
			  "-p .git/hooks; mv .git/hooks-x .git/hooks/post-index-change; "
			  "chmod +x .git/hooks/*; echo more >>a; printf 'a\\r\\n' >crlf.txt; echo "
			  "text >t.bin; "
			  "mkdir sub; git init -q sub; echo kept >sub/f; echo gitdir: /etc "
			  ">sub/.GIT; ln -s /etc/passwd .gitmodules",
		.odd = true};
	get(w);
	both(w, &m,
	     "+6 -0 5\nskipped .gitmodules: git refuses a link of this name\n"
	     "skipped sub/.GIT: git keeps nothing of this name\n"
	     "skipped sub/.git: git keeps nothing of this name",
	     "test ! -e /tmp/test-repo-pwned; test \"$(cat sub/f)\" = kept; printf 'a\\r\\n' | cmp "
	     "- crlf.txt; test ! -e sub/.git");
}

static void links_and_special_files_are_not_followed(void **state)
{
	struct world *w = *state;
	struct mutation m = {.script = "rm -r d docs; ln -s /etc d; ln -s /etc/passwd docs; mkfifo "
				       "p; rm -f .gitignore; mkfifo .gitignore; "
				       "mkdir s; mkfifo s/.gitignore; touch s/f; rm a; mkfifo a",
			     .odd = true};
	get_with_ignores(w);
	both(w, &m,
	     "+2 -8 8\nskipped .gitignore: neither a file nor a link\nskipped a: neither a file "
	     "nor a link\n"
	     "skipped p: neither a file nor a link\nskipped s/.gitignore: neither a file nor a "
	     "link",
	     "test \"$(readlink d)\" = /etc; test \"$(readlink docs)\" = /etc/passwd; test ! -e a; "
	     "test -e s/f");
}

static void bounds_are_kept_and_told(void **state)
{
	struct world *w = *state;
	struct mutation big = {.script = "head -c 5000 /dev/zero >large; echo x >small",
			       .odd = true,
			       .max_file_bytes = 4000};
	struct mutation grown = {.script = "head -c 5000 /dev/zero | tr '\\0' x >>a; echo >>a",
				 .odd = true,
				 .max_file_bytes = 4000};
	struct mutation cut = {.script = "for i in 1 2 3; do seq 1 300 >f$i; done",
			       .odd = true,
			       .max_bytes = 2500,
			       .max_file_bytes = 2500};
	struct mutation wide = {.script = "for i in 1 2 3; do seq 1 300 >f$i; done",
				.odd = true,
				.max_bytes = 400,
				.max_file_bytes = 4000};
	get(w);
	both(w, &big, "+1 -0 1\nskipped large: a new file that is too large (diff_mb)",
	     "test -e small; test ! -e large");
	both(w, &grown, "+1 -0 1", "test $(wc -c <a) -gt 5000");
	both(w, &cut, "truncated +300 -0 1", "test -e f1; test ! -e f2");
	both(w, &wide,
	     "truncated +0 -0 0\nskipped everything after the first files: the changes are too "
	     "large together",
	     "test ! -e f1");
}

static void submodules_are_left_alone(void **state)
{
	struct world *w = *state;
	struct mutation m = {.script = "echo x >sub/f; rmdir deep/sub; echo 2 >>a", .odd = true};
	struct mutation gone = {.script = "rm -r sub deep; echo f >sub", .odd = true};
	run(w, "cd src; for s in sub deep/sub; do git update-index --add --cacheinfo "
	       "160000,1234567890123456789012345678901234567890,$s; done; echo k >deep-f; git add "
	       "deep-f; git commit -qm sub");
	free(w->task.repo.start_commit);
	w->task.repo.start_commit = sh(w, "cd src; git rev-parse HEAD");
	get(w);
	both(w, &m, "+1 -0 1\nskipped sub: files inside a submodule",
	     "test -d deep/sub; test -z \"$(ls sub)\"");
	both(w, &gone, "+1 -1 2", "test -f sub");
}

// A directory made anew over an old one: in an overlay the old content is hidden, not whited out.
static void replaced_directories(void **state)
{
	struct world *w = *state;
	struct mutation m = {.script = "rm -r d; mkdir d; echo two >d/b; echo n >d/n; mkdir d/e"};
	get(w);
	both(w, &m, "+1 -1 2", "test ! -e d/e/c; test -e d/n; test -e d/b");
}

static void refused(struct world *w, const char *patch, const char *part)
{
	struct err err = {0};
	char *why = NULL;
	AUTO(free) char *base = xasprintf("%s/base", w->dir);
	AUTO(free) char *clean = xasprintf("%s/clean", w->dir);
	write_file(w, "patch", patch);
	AUTO(fd) int fd = openat(w->fd, "patch", O_RDONLY | O_CLOEXEC);
	assert_int_equal(repo_apply(base, clean, fd, 0, &why, &err), 0);
	if (!why || !strstr(why, part))
		fail_msg("\"%s\" is not in \"%s\"", part, why ? why : "(applied)");
	free(why);
	EXPECT(w, "cd clean; git status --porcelain", "");
}

#define NEW_FILE(p)                                                                                \
	"diff --git a/" p " b/" p "\nnew file mode 100644\n--- /dev/null\n+++ b/" p                \
	"\n@@ -0,0 +1 @@\n+x\n"

static void bad_patches_change_nothing(void **state)
{
	struct world *w = *state;
	get(w);
	run(w, "cp -a base/repo clean");
	refused(w, NEW_FILE("ok") NEW_FILE("a"), "a: already exists");
	refused(w, NEW_FILE("ok") NEW_FILE("../../up"), "../../up");
	refused(w, NEW_FILE("ok") NEW_FILE("out/test-repo"), "beyond a symbolic link");
	refused(w, NEW_FILE("ok") NEW_FILE(".git/hooks/post-commit"), "invalid path");
	refused(w,
		"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 "
		"@@\n+/tmp\n\\ No newline at end of file\n" NEW_FILE("l/x"),
		"beyond a symbolic link");
	refused(w, "this is no patch\n", "No valid patches");
	refused(w, "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-zero\n+one\n",
		"patch failed: a:1");
	write_file(w, "patch", "");
	write_file(w, "want", "");
	check_round_trip(w, "empty");
}

// Data of root's, used by somebody else; files their owner may not read; a source of yet another's.
static void owners_may_differ(void **state)
{
	struct world *w = *state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	get_with_ignores(w);
	run(w, "chown -R 12345:12345 src; chmod 700 src/.git; rm -r data/cache");
	get(w);
	run(w, "cp -a base/repo work; echo new >work/n; echo x >>work/a; echo y >>work/d/e/c; "
	       "chmod 0 work/a; chmod 0 work/d/e; echo z >>work/docs/x.md; chmod 644 work/docs; "
	       "mkdir scratch; cp -a base/repo clean; chown -R 12346 work scratch clean; : >patch; "
	       "chmod 666 patch; ls -l patch >/dev/null");
	pid_t pid = fork();
	if (pid == 0) {
		AUTO(free) char *base = xasprintf("%s/base", w->dir);
		AUTO(free) char *work = xasprintf("%s/work", w->dir);
		AUTO(free) char *clean = xasprintf("%s/clean", w->dir);
		AUTO(free) char *scratch = xasprintf("%s/scratch", w->dir);
		struct repo_diff d;
		struct err err = {0};
		char *why;
		int out = openat(w->fd, "patch", O_RDWR | O_CLOEXEC);
		struct repo_diff_spec s = {
			.base = base, .work = work, .scratch = scratch, .out_fd = out};
		if (setgid(12346) < 0 || setuid(12346) < 0 || repo_diff(&d, &s, &err) < 0 ||
		    d.files != 4 || repo_apply(base, clean, out, 0, &why, &err) < 0 || why) {
			fprintf(stderr, "%s\n", err.msg);
			_exit(1);
		}
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	EXPECT(w, "cat clean/n; tail -1 clean/a; tail -1 clean/d/e/c", "new\nx\ny");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_plain_baseline_is_the_start_commit),
		TEST(status_re_hashes_nothing_in_a_copy),
		TEST(overlays_lie_on_top_with_history),
		TEST(what_is_taken_away_is_gone_from_the_history_too),
		TEST(subdir_and_sparse_restrict_the_tree),
		TEST(bad_paths_are_refused_by_name),
		TEST(bad_repositories_are_refused),
		TEST(bundles_and_file_urls_work),
		TEST(a_tip_is_pinned),
		TEST(the_second_use_needs_no_git),
		TEST(checkout_is_bytes),
		TEST(makers_may_race_and_die),
		TEST(a_shallow_source_in_an_odd_place_works),
		TEST(sha256_repositories_work),
		TEST(chance_round_trips),
		TEST(patches_are_counted_in_any_pieces),
		TEST(every_kind_of_change),
		TEST(nothing_changed_needs_no_git),
		TEST(ignored_files_stay_out),
		TEST(an_agents_git_has_no_say),
		TEST(links_and_special_files_are_not_followed),
		TEST(bounds_are_kept_and_told),
		TEST(submodules_are_left_alone),
		TEST(replaced_directories),
		TEST(bad_patches_change_nothing),
		TEST(owners_may_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

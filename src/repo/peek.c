/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/peek.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "git/git.h"
#include "repo/start-check.h"
#include "task/source.h"

#define NAME "refs/rollouts/start"
enum { LIST_MAX = 64 << 20 };

struct peek {
	int dir_fd; /* of the temporary repository */
	int64_t deadline_ms;
};

static int git_in(const struct peek *p, const char *const *argv, const struct buf *input,
		  struct buf *out, struct err *err)
{
	static const char *const env[] = {"GIT_DIR=.", NULL};
	struct git_cmd c = {.dir_fd = p->dir_fd,
			    .argv = argv,
			    .env = env,
			    .network = true,
			    .input = input ? input->data : NULL,
			    .input_len = input ? input->len : 0,
			    .max = LIST_MAX,
			    .deadline_ms = p->deadline_ms};

	return git_must(&c, out, err);
}

/* The ids of the files that say where the rest is, one a line. */
static int list_telling(const struct peek *p, struct buf *ids, struct err *err)
{
	static const char *const argv[] = {"ls-tree", "-r", "-z", "--full-tree", NAME, NULL};
	static const char mark[] = "100644 blob ";
	AUTO(buf) struct buf list = BUF_INIT;

	if (git_in(p, argv, NULL, &list, err))
		return -1;
	for (const char *s = list.data, *end = s + list.len; s < end; s += strlen(s) + 1) {
		const char *tab = strchr(s, '\t'), *base = tab ? path_base(tab + 1) : "";
		if (strncmp(s, mark, sizeof mark - 1) != 0 ||
		    (strcmp(base, ".gitattributes") != 0 && strcmp(base, ".gitmodules") != 0))
			continue;
		const char *id = s + sizeof mark - 1;
		buf_add(ids, id, (size_t)(tab - id));
		buf_addc(ids, '\n');
	}
	return 0;
}

static int fetch(const struct peek *p, const char *start, struct err *err)
{
	AUTO(free) char *spec = xasprintf("%s:" NAME, start ? start : "HEAD");
	const char *const trees[] = {"fetch",	  "-q",	    "--depth=1", "--filter=blob:none",
				     "--no-tags", "origin", spec,	 NULL};
	static const char *const blobs[] = {"-c",
					    "fetch.negotiationAlgorithm=noop",
					    "fetch",
					    "-q",
					    "--no-tags",
					    "--no-write-fetch-head",
					    "--filter=blob:none",
					    "--stdin",
					    "origin",
					    NULL};
	AUTO(buf) struct buf ids = BUF_INIT;

	if (git_in(p, trees, NULL, NULL, err) || list_telling(p, &ids, err))
		return -1;
	return ids.len ? git_in(p, blobs, &ids, NULL, err) : 0;
}

/* A clone that knows of what it lacks; git quotes values of its configuration as we do. */
static int make(const char *folder, const char *url, bool sha256, struct err *err)
{
	AUTO(buf) struct buf quoted = BUF_INIT;

	for (const char *c = url; *c; c++) {
		if (strchr("\"\\", *c))
			buf_addc(&quoted, '\\');
		buf_addc(&quoted, *c);
	}
	AUTO(free)
	char *config = xasprintf("[core]\n\trepositoryformatversion = 1\n"
				 "[extensions]\n\tpartialClone = origin\n"
				 "[remote \"origin\"]\n\turl = \"%s\"\n\tpromisor = true\n"
				 "\tpartialclonefilter = blob:none\n",
				 quoted.data ? quoted.data : "");
	struct gitdir spec = {
		.head = "refs/heads/none", .bare = true, .sha256 = sha256, .config = config};

	return gitdir_make(AT_FDCWD, folder, &spec, err);
}

int peek_at_start(struct strv *hollow, const char *start, const struct task_repo *r,
		  int64_t deadline_ms, struct err *err)
{
	static const struct strv no_overlay = STRV_INIT;
	struct err why = {0};
	AUTO(temp_dir) char *dir = path_make_temp_dir("rollouts-peek", &why);
	AUTO(free) char *folder = dir ? path_join(dir, "git") : NULL;

	if (!folder || strchr(r->git_url, '\n') ||
	    make(folder, r->git_url, start && strlen(start) == 64 && git_is_full_id(start), &why)) {
		log_debug("%s", why.msg);
		return 0;
	}
	AUTO(fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct peek p = {fd, deadline_ms};
	if (fd < 0 || fetch(&p, start, &why)) {
		log_debug("%s", why.msg);
		return 0;
	}
	source_look_for_hollow(hollow, folder, NAME, r->submodules);
	return start_check(folder, NAME, r, &no_overlay, deadline_ms, err);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/kept-out.h"
#include <fnmatch.h>
#include "base/mem.h"
#include "base/path.h"
#include "task/files.h"

static const char *const names[] = {
	".env",	    ".env.*",	  ".netrc",	      "_netrc", ".npmrc",
	".pypirc",  ".pgpass",	  ".git-credentials", "id_rsa", "id_dsa",
	"id_ecdsa", "id_ed25519", "auth.json", /* of a coding agent that somebody logged in to */
	"*.key",
};

bool kept_out_by_name(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!fnmatch(names[i], path_base(path), 0))
			return true;
	return false;
}

void kept_out_by_content(struct filetree *tree, const struct task *t, struct strv *removed)
{
	for (size_t s = 0; s < t->steps_n; s++)
		for (size_t i = 0; i < t->steps[s].tests_n; i++) {
			const struct task_test *test = &t->steps[s].tests[i];
			char digest[HASH_HEX];
			hash_once(test->content, test->content_len, digest);
			if (test->content_len)
				filetree_drop(tree, digest, removed);
		}
	if (t->files && t->files->gold)
		filetree_drop(tree, t->files->gold_digest, removed);
}

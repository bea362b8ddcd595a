/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * public.h -- private to rollout: a packed rollout that may be shown to anybody. Host, user, absolute paths and passwords in
 * URLs become words that are the same in all files; what was left and still looks like a key, or like this machine, is found
 * in a scan. Takes a file's bytes and gives others; reads nothing but what tells it the words.
 */
#pragma once
#include "store/planfile.h"
#include "store/store.h"

enum public_without { WITHOUT_PROMPTS = 1, WITHOUT_TESTS = 2, WITHOUT_RECORDINGS = 4 };
/* "prompts,tests,recordings"; a part of them. */
int public_without_parse(const char *words, unsigned *out, struct err *err) MUST_CHECK;

struct public_words; /* opaque */

/* Find out what is to be replaced: of this machine, of the hosts that the journal names, of PLAN. ALLOWED looks like a key and
 * is none. The caller closes it. */
struct public_words *public_open(const struct store *s, const struct rollout_ref *ref,
				 const struct planfile *plan, unsigned without,
				 const struct strv *allowed);
void public_close(struct public_words *w); /* accepts NULL */
/* Whether WITHOUT leaves PATH, below the data folder, out. */
bool public_leaves_out(const struct public_words *w, const char *path);
/* PATH, or where a link leads, with its words replaced; the caller frees. */
char *public_name(const struct public_words *w, const char *path);
/* TEXT, the file PATH, becomes what is shown: always the same for the same bytes. */
int public_rewrite(const struct public_words *w, const char *path, struct buf *text,
		   struct err *err) MUST_CHECK;
/* The digest OLD, of a file that is rewritten, stands in others. */
void public_digest(struct public_words *w, const char *old, const char *now);
/* What still looks like a key or this machine is a line in FOUND: "PATH:LINE: what". */
void public_scan(const struct public_words *w, const char *path, const struct buf *text,
		 struct strv *found);

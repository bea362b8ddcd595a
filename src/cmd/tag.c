/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/options.h"
#include "core/tag.h"
#include "report/report.h"
#include "store/store.h"

/* Another rollout with TAG would make it ambiguous. */
static int check_unused(const struct store *s, const struct rollout_ref *ref, const char *tag,
			struct err *err)
{
	struct rollout_ref *all = NULL;
	size_t n = 0;
	int status = store_list(s, ref->name, &all, &n, err);

	for (size_t i = 0; i < n; i++) {
		AUTO(strv) struct strv tags = STRV_INIT;
		if (!status && strcmp(all[i].stamp, ref->stamp) != 0)
			status = store_tags_read(s, &all[i], &tags, err);
		if (!status && strv_has(&tags, tag))
			status = err_set(err, ERR_USAGE, 0,
					 "%s %s has that tag already; first: rollouts tag %s %s "
					 "--rollout %s --remove",
					 ref->name, all[i].stamp, ref->name, tag, all[i].stamp);
	}
	for (size_t i = 0; i < n; i++)
		rollout_ref_release(&all[i]);
	free(all);
	return status;
}

/* The title, or what TAG is for; NULL takes it away. */
static int say(const struct store *s, const struct rollout_ref *ref, const char *tag,
	       const char *text, struct err *err)
{
	AUTO(json) json_t *notes = NULL;

	if (store_notes_read(s, ref, &notes, err))
		return -1;
	json_t *of = tag ? json_object_get(notes, "tags") : notes;
	if (!of)
		json_put(notes, "tags", of = json_object());
	const char *key = tag ? tag : "title";
	if (!text && !json_object_get(of, key))
		return 0;
	if (text)
		json_put_str(of, key, text);
	else
		json_object_del(of, key);
	return store_notes_write(s, ref, notes, err);
}

static int change(const struct store *s, const struct rollout_ref *ref, const char *tag,
		  const char *note, bool remove, struct err *err)
{
	AUTO(strv) struct strv before = STRV_INIT, after = STRV_INIT;

	if (store_tags_read(s, ref, &before, err) || (!remove && check_unused(s, ref, tag, err)))
		return -1;
	if (remove && !strv_has(&before, tag))
		return err_set(err, ERR_USAGE, 0, "%s %s has no tag \"%s\"", ref->name, ref->stamp,
			       tag);
	for (size_t i = 0; i < before.n; i++)
		if (strcmp(before.v[i], tag) != 0)
			strv_push(&after, before.v[i]);
	if (!remove)
		strv_push(&after, tag);
	if (((remove || note) && say(s, ref, tag, remove ? NULL : note, err)) ||
	    store_tags_write(s, ref, &after, err) || report_refresh_summary(s, ref, err))
		return -1;
	printf("%s %s %s %s\n", ref->name, ref->stamp, remove ? "is no longer" : "is now", tag);
	return 0;
}

int cmd_tag(int argc, char **argv)
{
	const char *data = "data", *selector = NULL, *note = NULL, *title = NULL;
	bool remove = false, latest = false;
	const struct option options[] = {
		{.name = "latest",
		 .kind = OPTION_FLAG,
		 .target = &latest,
		 .help = "the latest rollout (the default)"},
		{.name = "rollout",
		 .arg = "STAMP",
		 .kind = OPTION_STR,
		 .target = &selector,
		 .help = "this one and not the latest: a stamp, a unique beginning of one, or a "
			 "tag"},
		{.name = "note",
		 .arg = "TEXT",
		 .kind = OPTION_STR,
		 .target = &note,
		 .help = "what it is for"},
		{.name = "title",
		 .arg = "TEXT",
		 .kind = OPTION_STR,
		 .target = &title,
		 .help = "what the rollout is called in summaries, whatever its folder is"},
		{.name = "remove",
		 .kind = OPTION_FLAG,
		 .target = &remove,
		 .help = "take the tag away, or without one the title"},
		OPTION_DATA_DIR(&data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "tag",
		.operands = "NAME [TAG]",
		.min = 1,
		.max = 2,
		.options = options,
		.summary = "give a rollout a name that --rollout understands",
		.examples = "rollouts tag hello baseline\n"
			    "rollouts tag hello v2 --rollout 20250824 --note 'new prompt'\n"
			    "rollouts tag hello --title 'Nightly, small models'\n"
			    "rollouts tag hello baseline --remove\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct rollout_ref ref = {0};
	struct store store;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	AUTO(free) char *name = operand_name(operands.v[0]);
	const char *tag = operands.n > 1 ? operands.v[1] : NULL;
	/* Without --rollout, the one that has the tag is meant to lose it. */
	const char *which = remove && !selector && !latest ? tag : selector;
	if (latest && selector) {
		err_set(&err, ERR_USAGE, 0, "--latest and --rollout exclude each other");
		return cmd_fail(&err);
	}
	if ((!tag && (!title == !remove || note)) || (remove && (note || title))) {
		err_set(&err, ERR_USAGE, 0,
			"say a TAG (with --note or --remove, not both), a --title, or a TAG and a "
			"title");
		return cmd_fail(&err);
	}
	if ((tag && tag_check(tag, &err)) || store_open(&store, data, false, &err))
		return cmd_fail(&err);
	status = store_find(&store, name, which, &ref, &err);
	if (!status && (title || !tag))
		status = say(&store, &ref, NULL, title, &err) ||
			 (!tag && report_refresh_summary(&store, &ref, &err));
	if (!status && tag)
		status = change(&store, &ref, tag, note, remove, &err);
	rollout_ref_release(&ref);
	store_close(&store);
	return status ? cmd_fail(&err) : CMD_OK;
}

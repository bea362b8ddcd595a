/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * config-steps.h -- inside src/config: from a file and a command line to a struct bench, one step after the other.
 * Each is a file that knows those before it only; config.c takes them all.
 */
#pragma once
#include "config/layer.h"

/* config-read.c: the file and the command line into layers. -1: the file cannot be read or is not TOML. */
int config_read(struct config *c, const struct config_request *req, struct err *err) MUST_CHECK;

/* config-launchers.c: the tables [launcher.NAME] below TABLES become c->launchers. */
void config_launchers(struct config *c, const struct toml_node *tables);

/* config-agents.c: the tables [agents.NAME] below TABLES become c->agents. */
void config_agents(struct config *c, const struct toml_node *tables);
/* What the top level gives to each agent becomes the member AGENT_AROUND of c->agents. */
void config_around(struct config *c);

/* config-paths.c: where PATH is, tried from the working directory and then from the config's folder. NULL: nowhere,
 * and TRIED says where it was looked for. The caller owns the result. */
char *config_locate(const struct config *c, const char *path, struct buf *tried);
/* The folders that a prepared_dir means (as seen from here) and how to show them; issues are noted. */
void config_folders(struct config *c, const struct value *v, struct strv *paths,
		    struct strv *shown);

/* config-entries.c: the layers laid over each other, one entry for each task folder. */
void config_entries(struct config *c, struct bench *out);

/* config-explain.c: B, made of C, as text that could be a benchmark file. */
void config_write(struct buf *out, const struct config *c, const struct bench *b);

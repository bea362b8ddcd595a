/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inputs-internal.h -- the steps of inputs_load, in this order. Each adds what is wrong to PROBLEMS and goes on, so
 * that a user sees all mistakes at once.
 */
#pragma once
#include "rollout/inputs.h"

/* inputs-tasks.c: the tasks of IN's benchmark. -1 where the machine is at fault, and not a task. */
int inputs_read_tasks(struct inputs *in, const struct config_request *req, struct strv *problems,
		      struct err *err) MUST_CHECK;
/* The task that the planned trial T is of; there is one. */
struct inputs_task *inputs_task_of(const struct inputs *in, const struct trial *t);

/* inputs-refused.c: the task of E, a Harbor task that stood in a folder, cannot be run here for the reason WHY: its trials will be missing.
 * False: the user named it, or it is a prepared task, and is to be told of a mistake. */
bool inputs_refuse(struct bench_entry *e, const char *why);
/* Where no task at all can be run, a line for each in PROBLEMS. */
void inputs_settle_refused(struct inputs *in, struct strv *problems);
/* What is to be told of them, once there is a plan. */
void inputs_note_refused(struct inputs *in);

/* Who works on which entry, as plan_input wants it. */
struct inputs_choice {
	size_t entries_n;
	char ***agents; /* agents[entry][model], NULL after the last */
	struct plan_route **routes;
};
/* inputs-agents.c: the agents and, where they ask a model, who answers. Its strings are IN's and REQ's but for the
 * names of agents. */
void inputs_find_agents(struct inputs *in, struct inputs_choice *out,
			const struct config_request *req, struct strv *problems);
void inputs_choice_release(struct inputs_choice *c);
/* inputs-asks.c: refuse agents that cannot take what their tasks ask of them: several prompts, pictures, MCP servers. */
void inputs_check_asks(const struct inputs *in, const struct inputs_choice *choice,
		       struct strv *problems);
/* inputs-identity.c: call what is another agent than the one of its name in OLD, an object name -> spec, NAME@DIGEST.
 * NOTES tells of it. */
void inputs_rename_agents(struct inputs *in, struct inputs_choice *choice, const json_t *old,
			  struct strv *notes);

/* inputs-logins.c: values that look like scheme://USER:PASSWORD@HOST are kept, and handed on, with *** for the password;
 * NOTES tells of each. */
void inputs_blank_logins(struct inputs *in, struct strv *notes);

/* The same program, asked in the same way, wherever it lies. */
bool inputs_same_agent(const json_t *spec, const json_t *other);

/* inputs-variables.c: once there is a plan, that every {env:NAME} of an agent is set in its trials. CONFIG is the benchmark's file. */
void inputs_check_variables(const struct inputs *in, const char *config, struct strv *problems);

/* inputs-harbor.c: what Harbor tasks say of their trials becomes their entries'; REQ may be asked for a network, at most once for agents and
 * once for verifiers. */
void inputs_settle_harbor(struct inputs *in, const struct config_request *req,
			  struct strv *problems);
/* What is to be told of them, once there is a plan. */
void inputs_note_harbor(struct inputs *in);

/* inputs-images.c: make the sandbox of every entry local, docker or none, and read what the images are made from.
 * -1 and ERR_INFRA when a container is needed and no engine answers. */
int inputs_settle_sandboxes(struct inputs *in, struct strv *problems, struct err *err) MUST_CHECK;

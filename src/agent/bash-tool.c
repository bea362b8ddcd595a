/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/bash-tool.h"
#include <string.h>

#define NAME "bash"

struct tool bash_tool(void)
{
	return (struct tool){
		.name = NAME,
		.description =
			"Run one command in a fresh bash process, in the repository. Returns "
			"its output, standard error included, and its exit status.",
		.parameters = json_pack("{s:s, s:{s:{s:s, s:s}}, s:[s]}", "type", "object",
					"properties", "command", "type", "string", "description",
					"what bash -c is to run", "required", "command"),
	};
}

const char *bash_tool_command(const struct tool_call *c, const char **problem)
{
	const json_t *command = json_object_get(c->arguments, "command");
	const char *why = NULL;

	if (strcmp(c->name, NAME) != 0)
		why = "there is no such tool: bash is the only one";
	else if (!json_is_object(c->arguments))
		why = "the arguments are no JSON object with a command";
	else if (!json_is_string(command))
		why = "the arguments lack \"command\", a string";
	else if (strlen(json_string_value(command)) != json_string_length(command))
		why = "the command holds a NUL character";
	if (problem)
		*problem = why;
	return why ? NULL : json_string_value(command);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include "base/mem.h"
#include "rollout/missing-tool.h"

static const struct {
	const char *output;
	int exit_code;
	const char *name; /* NULL: none */
	bool own;
} cases[] = {
	{"t.sh: line 1: no-such-tool: command not found\n", 127, "no-such-tool", false},
	{"t.sh: line 9: go: command not found\nFAIL\n", 1, "go", false},
	{"bash: cargo: command not found", 127, "cargo", false},
	{"zsh:1: command not found: cargo\n", 127, "cargo", false},
	{"sh: 1: node: not found\n", 127, "node", false},
	{"/bin/sh: npm: not found\n", 127, "npm", false},
	{"GET /x: not found\n", 1, NULL, false},
	{"env: ‘python2’: No such file or directory\n", 127, "python2", false},
	{"/usr/bin/env: 'ruby': No such file or directory\n", 127, "ruby", false},
	{"make: go: No such file or directory\nmake: *** [Makefile:2: all] Error 127\n", 2, "go",
	 false},
	{"make[1]: ./gen: No such file or directory\n", 2, NULL, false},
	{"t.sh: line 1: ./tool: No such file or directory\n", 127, NULL, true},
	{"t.sh: line 1: /app/repo/build/x: No such file or directory\n", 127, NULL, true},
	{"t.sh: line 1: /opt/x/bin/x: No such file or directory\n", 127, "/opt/x/bin/x", false},
	{"cat: data.txt: No such file or directory\n", 1, NULL, false},
	{"bash: ./x.sh: /usr/bin/fish: bad interpreter: No such file or directory\n", 126,
	 "/usr/bin/fish", false},
	{"  File \"/usr/lib/python3.11/subprocess.py\", line 1955, in _execute_child\n"
	 "    raise child_exception_type(errno_num, err_msg, err_filename)\n"
	 "FileNotFoundError: [Errno 2] No such file or directory: 'go'\n",
	 1, "go", false},
	{"E   FileNotFoundError: [Errno 2] No such file or directory: 'go'\n\n"
	 "/usr/lib/python3.11/subprocess.py:1955: FileNotFoundError\n",
	 1, "go", false},
	{"t.py:3: in test\n    open('out')\n"
	 "E   FileNotFoundError: [Errno 2] No such file or directory: 'out'\n",
	 1, NULL, false},
	{"Error: spawn esbuild ENOENT\n", 1, "esbuild", false},
	{"cgo: exec gcc: exec: \"gcc\": executable file not found in $PATH\n", 1, "gcc", false},
	{"error: linker `cc` not found\n", 101, "cc", false},
	{"java.io.IOException: Cannot run program \"dot\": error=2, No such file\n", 1, "dot",
	 false},
	{"Can't exec \"perltidy\": No such file or directory at t.pl line 1.\n", 2, "perltidy",
	 false},
	{"1 failed in 0.08s\n", 1, NULL, false},
	{"", 127, NULL, false},
};

static void names_what_was_looked_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct missing_tool m;
		missing_tool_find(&m, cases[i].output, cases[i].exit_code);
		if (!m.name != !cases[i].name || (m.name && strcmp(m.name, cases[i].name) != 0) ||
		    m.own != cases[i].own)
			fail_msg("of \"%s\": %s%s", cases[i].output, m.name ? m.name : "(none)",
				 m.own ? ", own" : "");
		missing_tool_release(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(names_what_was_looked_for)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <sys/stat.h>
#include "fake-sandbox.h"
#include "agent/agent-output.h"
#include "agent/agent-template.h"
#include "agent/agent.h"
#include "agent/json-pointer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

struct world {
	struct attempt attempt;
	struct task task;
	struct task_step step;
	struct agent_job job;
	struct sandbox box;
	struct run_dir dir;
};

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);

	w->dir = run_dir_open();
	w->attempt.trial = (struct trial){.run_id = xstrdup("S-0"),
					  .task_id = xstrdup("greet"),
					  .agent = xstrdup("tool"),
					  .model = xstrdup("acme/m-1"),
					  .rollout = 2,
					  .seed = 42,
					  .limits = limits_default};
	w->attempt.number = 1;
	w->task.id = xstrdup("greet");
	w->task.layout = task_layout_prepared;
	w->task.steps = &w->step;
	w->task.steps_n = 1;
	w->step.instruction = xstrdup("Fix {model} \"now\".\n");
	w->job = (struct agent_job){.attempt = &w->attempt,
				    .task = &w->task,
				    .step = &w->step,
				    .run_fd = w->dir.fd,
				    .token = "S-0.1.abcdef",
				    .gateway_port = AGENT_GATEWAY_PORT,
				    .deadline_ms = 77};
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	attempt_release(&w->attempt);
	free(w->task.id);
	free(w->step.instruction);
	free(w->task.repo.subdir);
	kvs_release(&w->task.env);
	fake_release(&w->box);
	run_dir_close(&w->dir);
	free(w);
	return 0;
}

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err err;

	if (json_parse(&j, text, strlen(text), "test", &err))
		fail_msg("%s", err.msg);
	return j;
}

static void run_agent(struct world *w, struct agent_record *out)
{
	struct err err = {0};

	if (agent_run(&w->job, &w->box, out, &err))
		fail_msg("%s", err.msg);
}

static const char *env_of(const struct sandbox *box, int exec, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < box->env[exec].n; i++)
		if (strncmp(box->env[exec].v[i], key, n) == 0 && box->env[exec].v[i][n] == '=')
			return box->env[exec].v[i] + n + 1;
	return NULL;
}

static void expect_expanded(struct world *w, const char *template, const char *expected)
{
	AUTO(free) char *text = agent_expanded(template, &w->job);

	assert_string_equal(text, expected);
}

static void placeholders_are_replaced(void **state)
{
	struct world *w = *state;

	expect_expanded(w, "-m {model}", "-m acme/m-1");
	expect_expanded(w, "{seed}/{rollout}/{task_id}", "42/2/greet");
	expect_expanded(w, "{home} {repo} {instruction_file}",
			"/home/agent /app/repo /app/LM_INSTRUCTIONS.md");
	expect_expanded(w, "{token}|{gateway_url}", "S-0.1.abcdef|");
	w->attempt.gateway = xstrdup("/run/gateway.sock");
	expect_expanded(w, "{gateway_url}/v1", "http://127.0.0.1:8765/v1");
	w->attempt.trial.seed = -1;
	expect_expanded(w, "[{seed}]", "[]");
}

static void values_are_not_expanded_again(void **state)
{
	expect_expanded(*state, "{instruction}", "Fix {model} \"now\".\n");
}

static void other_braces_stay(void **state)
{
	expect_expanded(*state, "{\"a\":{\"b\":\"{model}\"}}", "{\"a\":{\"b\":\"acme/m-1\"}}");
	expect_expanded(*state, "{env:FAKE_KEY} {unknown} {model {",
			"{env:FAKE_KEY} {unknown} {model {");
	expect_expanded(*state, "echo ${model} $x {model}", "echo ${model} $x acme/m-1");
}

static void add_number(void *arg, const json_t *v)
{
	*(double *)arg += json_number_value(v);
}

static void pointers_lead_where_they_say(void **state)
{
	AUTO(json)
	json_t *j = parse("{\"a\":[1,2,{\"b/c\":4}],\"\":8,\"m~n\":16,\"o\":{\"x\":32,\"y\":64}}");
	static const struct {
		const char *pointer;
		size_t found;
		double sum;
	} cases[] = {
		{"/a/0", 1, 1},
		{"/a/-1/b~1c", 1, 4},
		{"/", 1, 8},
		{"/m~0n", 1, 16},
		{"/o/*", 2, 96},
		{"/a/*", 3, 3},
		{"/a/9", 0, 0},
		{"/a/-4", 0, 0},
		{"/a/x", 0, 0},
		{"/o/0", 0, 0},
		{"nope", 0, 0},
		{"/a/*/b~1c", 1, 4},
		{"/a/99999999999999999999", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double sum = 0;

		assert_int_equal(json_pointer_walk(j, cases[i].pointer, add_number, &sum),
				 cases[i].found);
		assert_float_equal(sum, cases[i].sum, 1e-9);
	}
}

struct told {
	struct agent_record record;
	char error[1024];
};

static struct told read_output(const char *spec, const char *text, size_t len)
{
	AUTO(json) json_t *j = parse(spec);
	struct told t = {.record.metrics = agent_metrics_unknown};
	struct agent_output *o;
	struct err err = {0};
	const char *error;

	if (agent_output_new(&o, j, &err))
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < len; i += 13)
		agent_output_add(o, text + i, len - i < 13 ? len - i : 13);
	agent_output_finish(o, &t.record);
	error = agent_output_text(o, AGENT_SAID_ERROR);
	snprintf(t.error, sizeof t.error, "%s", error ? error : "");
	agent_output_free(o);
	return t;
}

static struct told read_text(const char *spec, const char *text)
{
	return read_output(spec, text, strlen(text));
}

static const char codex_rules[] =
	"{\"format\":\"jsonl\",\"rules\":["
	"{\"match\":{\"/type\":\"turn.completed\"},\"field\":\"tokens_input\",\"pointer\":\"/usage/"
	"input_tokens\"},"
	"{\"match\":{\"/type\":\"turn.completed\"},\"field\":\"tokens_cached\",\"pointer\":\"/"
	"usage/cached_input_tokens\"},"
	"{\"match\":{\"/type\":\"turn.completed\"},\"field\":\"tokens_output\",\"pointer\":\"/"
	"usage/output_tokens\"},"
	"{\"match\":{\"/type\":\"item.completed\",\"/item/"
	"type\":[\"command_execution\",\"file_change\"]},"
	" \"field\":\"tool_calls\",\"how\":\"count\"},"
	"{\"match\":{\"/type\":\"item.completed\",\"/item/type\":\"agent_message\"},"
	" \"field\":\"final_message\",\"pointer\":\"/item/text\"},"
	"{\"match\":{\"/"
	"type\":[\"turn.failed\",\"turn.completed\"]},\"field\":\"error\",\"pointer\":\"/error/"
	"message\"}]}";

static void codex_is_understood(void **state)
{
	struct told t = read_text(
		codex_rules,
		"{\"type\":\"thread.started\",\"thread_id\":\"t1\"}\n{\"type\":\"turn.started\"}\n"
		"{\"type\":\"item.completed\",\"item\":{\"type\":\"error\",\"message\":\"Model "
		"metadata not found\"}}\n"
		"{\"type\":\"item.started\",\"item\":{\"type\":\"command_execution\",\"command\":"
		"\"ls\"}}\n"
		"{\"type\":\"item.completed\",\"item\":{\"type\":\"command_execution\",\"command\":"
		"\"ls\","
		"\"aggregated_output\":\"a\\n\",\"exit_code\":0,\"status\":\"completed\"}}\n"
		"{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"All "
		"done.\"}}\n"
		"{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":2100,\"cached_input_"
		"tokens\":1000,"
		"\"output_tokens\":60,\"reasoning_output_tokens\":10}}\n");

	assert_int_equal(t.record.metrics.tokens_input, 2100);
	assert_int_equal(t.record.metrics.tokens_cached, 1000);
	assert_int_equal(t.record.metrics.tokens_total, 2160);
	assert_int_equal(t.record.metrics.tool_calls, 1);
	assert_int_equal(t.record.metrics.turns, -1);
	assert_true(t.record.metrics.money_usd < 0);
	assert_string_equal(t.record.final_message, "All done.");
	assert_string_equal(t.error, "");

	t = read_text(codex_rules,
		      "{\"type\":\"turn.failed\",\"error\":{\"message\":\"401 Unauthorized\"}}");
	assert_string_equal(t.error, "401 Unauthorized");
}

static void claude_is_understood(void **state)
{
	struct told t = read_text(
		"{\"format\":\"jsonl\",\"rules\":["
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tokens_input\",\"pointer\":[\"/"
		"usage/input_tokens\","
		" \"/usage/cache_read_input_tokens\",\"/usage/cache_creation_input_tokens\"]},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tokens_output\",\"pointer\":\"/"
		"usage/output_tokens\"},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"money_usd\",\"pointer\":\"/"
		"total_cost_usd\"},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"turns\",\"pointer\":\"/num_turns\"},"
		"{\"match\":{\"/type\":\"result\",\"/"
		"is_error\":true},\"field\":\"error\",\"pointer\":\"/result\"},"
		"{\"match\":{\"/type\":\"assistant\",\"/message/content/*/type\":\"tool_use\"},"
		" \"field\":\"tool_calls\",\"how\":\"count\"}]}",
		"{\"type\":\"system\",\"subtype\":\"init\"}\n"
		"{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":"
		"\"hm\"},"
		"{\"type\":\"tool_use\",\"name\":\"Bash\"},{\"type\":\"tool_use\",\"name\":"
		"\"Edit\"}],"
		"\"usage\":{\"output_tokens\":1}}}\n"
		"{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\"}]}}\n"
		"{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"api_error_"
		"status\":429,"
		"\"num_turns\":3,\"total_cost_usd\":0.00597,\"result\":\"API Error: 429\","
		"\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":900,"
		"\"cache_creation_input_tokens\":90,\"output_tokens\":50}}\n");

	assert_int_equal(t.record.metrics.tokens_input, 1000);
	assert_int_equal(t.record.metrics.tokens_total, 1050);
	assert_int_equal(t.record.metrics.tool_calls, 2);
	assert_int_equal(t.record.metrics.turns, 3);
	assert_float_equal(t.record.metrics.money_usd, 0.00597, 1e-9);
	assert_string_equal(t.error, "API Error: 429");
}

static void gemini_is_understood(void **state)
{
	struct told t = read_text(
		"{\"format\":\"jsonl\",\"rules\":["
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tokens_input\",\"pointer\":\"/stats/"
		"input_tokens\"},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tokens_output\",\"pointer\":\"/"
		"stats/output_tokens\"},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tool_calls\",\"pointer\":\"/stats/"
		"tool_calls\"}]}",
		"Loaded cached credentials.\n{\"type\":\"init\"}\n{\"type\":\"tool_use\"}\n"
		"{\"type\":\"result\",\"status\":\"success\",\"stats\":{\"input_tokens\":500,"
		"\"cached\":100,"
		"\"output_tokens\":20,\"tool_calls\":2}}\n");

	assert_int_equal(t.record.metrics.tokens_total, 520);
	assert_int_equal(t.record.metrics.tool_calls, 2);

	/* -o json: one document over many lines, a member per model. */
	t = read_text("{\"format\":\"json\",\"rules\":["
		      "{\"field\":\"tokens_input\",\"pointer\":\"/stats/models/*/tokens/prompt\"},"
		      "{\"field\":\"tool_calls\",\"pointer\":\"/stats/tools/totalCalls\"},"
		      "{\"field\":\"final_message\",\"pointer\":\"/response\"}]}",
		      "some greeting\n{\n \"response\": \"ok\",\n \"stats\": {\"models\": {\n"
		      "  \"gemini-2.5-flash\": {\"tokens\": {\"prompt\": 7}},\n"
		      "  \"gemini-2.5-flash-lite\": {\"tokens\": {\"prompt\": 5}}},\n"
		      "  \"tools\": {\"totalCalls\": 1}}\n}\n");
	assert_int_equal(t.record.metrics.tokens_input, 12);
	assert_int_equal(t.record.metrics.tokens_total, -1);
	assert_int_equal(t.record.metrics.tool_calls, 1);
	assert_string_equal(t.record.final_message, "ok");
}

static void opencode_is_understood(void **state)
{
	struct told t = read_text(
		"{\"format\":\"jsonl\",\"rules\":["
		"{\"match\":{\"/type\":\"step_finish\"},\"field\":\"tokens_input\",\"how\":\"add\","
		" \"pointer\":[\"/part/tokens/input\",\"/part/tokens/cache/read\",\"/part/tokens/"
		"cache/write\"]},"
		"{\"match\":{\"/"
		"type\":\"step_finish\"},\"field\":\"tokens_output\",\"how\":\"add\","
		" \"pointer\":[\"/part/tokens/output\",\"/part/tokens/reasoning\"]},"
		"{\"match\":{\"/"
		"type\":\"step_finish\"},\"field\":\"money_usd\",\"how\":\"add\",\"pointer\":\"/"
		"part/cost\"},"
		"{\"match\":{\"/type\":\"step_finish\"},\"field\":\"turns\",\"how\":\"count\"},"
		"{\"match\":{\"/type\":\"tool_use\"},\"field\":\"tool_calls\",\"how\":\"count\"},"
		"{\"match\":{\"/type\":\"error\"},\"field\":\"error\",\"pointer\":\"/error/data/"
		"message\"}]}",
		"{\"type\":\"step_start\"}\n"
		"{\"type\":\"tool_use\",\"part\":{\"tool\":\"bash\",\"state\":{\"status\":"
		"\"completed\"}}}\n"
		"{\"type\":\"step_finish\",\"part\":{\"tokens\":{\"input\":100,\"output\":10,"
		"\"reasoning\":1,"
		"\"cache\":{\"read\":50,\"write\":0}},\"cost\":0.001}}\n"
		"{\"type\":\"step_finish\",\"part\":{\"tokens\":{\"input\":200,\"output\":20,"
		"\"reasoning\":2,"
		"\"cache\":{\"read\":0,\"write\":0}},\"cost\":0.002}}\n");

	assert_int_equal(t.record.metrics.tokens_input, 350);
	assert_int_equal(t.record.metrics.tokens_output, 33);
	assert_int_equal(t.record.metrics.turns, 2);
	assert_int_equal(t.record.metrics.tool_calls, 1);
	assert_float_equal(t.record.metrics.money_usd, 0.003, 1e-9);
}

static const char pi_rules[] =
	"{\"format\":\"jsonl\",\"rules\":["
	"{\"match\":{\"/type\":\"turn_end\"},\"field\":\"tokens_input\",\"how\":\"add\","
	" \"pointer\":[\"/message/usage/input\",\"/message/usage/cacheRead\"]},"
	"{\"match\":{\"/"
	"type\":\"turn_end\"},\"field\":\"tokens_output\",\"how\":\"add\",\"pointer\":\"/message/"
	"usage/output\"},"
	"{\"match\":{\"/"
	"type\":\"turn_end\"},\"field\":\"money_usd\",\"how\":\"add\",\"pointer\":\"/message/usage/"
	"cost/total\"},"
	"{\"match\":{\"/"
	"type\":\"tool_execution_start\"},\"field\":\"tool_calls\",\"how\":\"count\"},"
	"{\"match\":{\"/type\":\"agent_end\"},\"field\":\"error\",\"pointer\":\"/messages/-1/"
	"errorMessage\"}]}";

static void pi_is_understood(void **state)
{
	struct told t =
		read_text(pi_rules, "{\"type\":\"tool_execution_start\",\"toolName\":\"bash\"}\n"
				    "{\"type\":\"turn_end\",\"message\":{\"usage\":{\"input\":70,"
				    "\"output\":7,\"cacheRead\":30,"
				    "\"cost\":{\"total\":0.5}}}}\n"
				    "{\"type\":\"agent_end\",\"messages\":[{},{\"stopReason\":"
				    "\"error\",\"errorMessage\":\"500 boom\"}]}\n");

	assert_int_equal(t.record.metrics.tokens_total, 107);
	assert_string_equal(t.error, "500 boom");

	/* A retry that went well takes the error back. */
	t = read_text(pi_rules,
		      "{\"type\":\"agent_end\",\"messages\":[{\"errorMessage\":\"500 boom\"}]}\n"
		      "{\"type\":\"agent_end\",\"messages\":[{\"stopReason\":\"stop\"}]}\n");
	assert_string_equal(t.error, "");
}

static void qwen_is_understood(void **state)
{
	struct told t = read_text(
		"{\"format\":\"jsonl\",\"rules\":["
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tokens_input\",\"pointer\":\"/usage/"
		"input_tokens\"},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tokens_cached\",\"pointer\":\"/"
		"usage/cache_read_input_tokens\"},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"tokens_output\",\"pointer\":\"/"
		"usage/output_tokens\"},"
		"{\"match\":{\"/type\":\"result\",\"/"
		"is_error\":true},\"field\":\"error\",\"pointer\":\"/error/message\"},"
		"{\"match\":{\"/type\":\"result\"},\"field\":\"turns\",\"pointer\":\"/"
		"num_turns\"}]}",
		"{\"type\":\"assistant\",\"message\":{}}\n"
		"{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"num_turns\":2,"
		"\"usage\":{\"input_tokens\":800,\"cache_read_input_tokens\":600,\"output_tokens\":"
		"40}}");

	assert_int_equal(t.record.metrics.tokens_total, 840);
	assert_int_equal(t.record.metrics.tokens_cached, 600);
	assert_int_equal(t.record.metrics.turns, 2);
	assert_string_equal(t.error, "");
}

static void plain_text_is_understood(void **state)
{
	struct told t = read_text(
		"{\"format\":\"text\",\"rules\":["
		"{\"regex\":\"^tokens used: ([0-9,]+)\",\"field\":\"tokens_total\"},"
		"{\"regex\":\"cost: (\\\\$[0-9.]+)\",\"field\":\"money_usd\",\"how\":\"add\"},"
		"{\"regex\":\"^> \",\"field\":\"tool_calls\",\"how\":\"count\"},"
		"{\"regex\":\"^FATAL: (.*)\",\"field\":\"error\"}]}",
		"> ls\n> cat x\ntokens used: 12,345\ncost: $0.25\ncost: $0.50\nFATAL: no more");

	assert_int_equal(t.record.metrics.tokens_total, 12345);
	assert_int_equal(t.record.metrics.tool_calls, 2);
	assert_float_equal(t.record.metrics.money_usd, 0.75, 1e-9);
	assert_string_equal(t.error, "no more");
}

static const char any_rules[] = "{\"format\":\"jsonl\",\"rules\":[{\"field\":\"tokens_total\","
				"\"pointer\":\"/n\",\"how\":\"add\"},"
				"{\"field\":\"final_message\",\"pointer\":\"/m\"}]}";

static void wild_numbers_are_not_counted(void **state)
{
	struct told t =
		read_text(any_rules,
			  "{\"n\":5}\n{\"n\":-3}\n{\"n\":1e300}\n{\"n\":\"twelve\"}\n{\"n\":null}\n"
			  "{\"n\":{}}\n{\"n\":[1]}\n{\"n\": 7}\n");

	assert_int_equal(t.record.metrics.tokens_total, 12);
}

static void broken_lines_are_passed_over(void **state)
{
	static const char text[] =
		"{\"n\":1\n}{\nnot json\n\0\0\xff\xfe\n[1,2]\n{\"n\":\"\xc3\"}\n\n{\"n\":2}";
	struct told t = read_output(any_rules, text, sizeof text - 1);

	assert_int_equal(t.record.metrics.tokens_total, 2);
}

static void huge_lines_are_left_out(void **state)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct told t;

	buf_adds(&text, "{\"n\":1,\"x\":\"");
	buf_grow(&text, AGENT_LINE_BYTES);
	memset(text.data + text.len, 'x', AGENT_LINE_BYTES);
	text.len += AGENT_LINE_BYTES;
	text.data[text.len] = '\0';
	buf_adds(&text, "\"}\n{\"n\":2}\n");
	t = read_output(any_rules, text.data, text.len);
	assert_int_equal(t.record.metrics.tokens_total, 2);
}

static void deep_nesting_is_survived(void **state)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct told t;

	buf_adds(&text, "{\"m\":");
	for (int i = 0; i < 200000; i++)
		buf_addc(&text, '[');
	buf_adds(&text, "\n{\"n\":2}\n");
	t = read_output(any_rules, text.data, text.len);
	assert_int_equal(t.record.metrics.tokens_total, 2);
}

static void long_messages_are_cut(void **state)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct told t;

	buf_adds(&text, "{\"m\":\"");
	for (int i = 0; i < 3000; i++)
		buf_adds(&text, "\xe2\x82\xac");
	buf_adds(&text, "\"}\n");
	t = read_output(any_rules, text.data, text.len);
	assert_int_equal(strlen(t.record.final_message), 1023);
	assert_int_equal(t.record.final_message[1020] & 0xff, 0xe2);
}

/* Of lines that follow each other; another line in between begins anew. */
static void texts_come_in_pieces(void **state)
{
	static const char rules[] = "{\"format\":\"jsonl\",\"rules\":[{\"match\":{\"/"
				    "t\":\"m\"},\"field\":\"final_message\","
				    "\"pointer\":\"/m\",\"how\":\"add\"}]}";
	static const char text[] =
		"{\"t\":\"m\",\"m\":\"I will\"}\n{\"t\":\"m\",\"m\":\" look.\"}\n"
		"{\"t\":\"x\"}\n{\"t\":\"m\",\"m\":\"All\"}\n"
		"{\"t\":\"m\",\"m\":\" done.\"}\n{\"t\":\"x\"}\n";
	struct told t = read_output(rules, text, strlen(text));

	assert_string_equal(t.record.final_message, "All done.");
}

static void senseless_rules_are_refused(void **state)
{
	static const char *const bad[] = {
		"{\"format\":\"xml\"}",
		"{\"format\":\"jsonl\",\"rules\":[{\"field\":\"tokens\",\"pointer\":\"/n\"}]}",
		"{\"format\":\"jsonl\",\"rules\":[{\"field\":\"turns\"}]}",
		"{\"format\":\"jsonl\",\"rules\":[{\"field\":\"turns\",\"how\":\"count\","
		"\"pointer\":\"/n\"}]}",
		"{\"format\":\"jsonl\",\"rules\":[{\"field\":\"turns\",\"regex\":\"x\"}]}",
		"{\"format\":\"jsonl\",\"rules\":[{\"field\":\"error\",\"how\":\"max\",\"pointer\":"
		"\"/n\"}]}",
		"{\"format\":\"jsonl\",\"rules\":[{\"field\":\"turns\",\"pointer\":\"/"
		"n\",\"how\":\"mean\"}]}",
		"{\"rules\":[{\"field\":\"turns\",\"regex\":\"(\"}]}",
		"{\"rules\":[{\"field\":\"turns\",\"pointer\":\"/n\"}]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO(json) json_t *j = parse(bad[i]);
		struct agent_output *o = NULL;
		struct err err = {0};

		assert_int_equal(agent_output_new(&o, j, &err), -1);
		assert_int_equal(err.kind, ERR_USAGE);
	}
}

static void a_command_gets_what_its_file_says(void **state)
{
	struct world *w = *state;
	struct agent_record out;
	AUTO(free) char *log = NULL;

	w->attempt.agent_spec = parse(
		"{\"name\":\"tool\",\"version\":\"1.2\",\"argv\":[\"tool\",\"-m\",\"{model}\"],"
		"\"stdin\":\"{instruction}\",\"path\":[\"/opt/tool/bin\"],"
		"\"env\":{\"TOOL_KEY\":\"{token}\",\"COLOUR\":\"no\"},"
		"\"files\":{\"{home}/.tool/c.json\":\"{\\\"m\\\":\\\"{model}\\\"}\"}}");
	kvs_set(&w->task.env, "FROM_TASK", "1");
	kvs_set(&w->task.env, "HOME", "/root");
	kvs_set(&w->task.env, "COLOUR", "task");
	kvs_set(&w->task.env, "OPENAI_API_KEY", "sk-leak");
	kvs_set(&w->attempt.trial.env, "TIMEOUT_SEC", "1800");
	kvs_set(&w->attempt.trial.env, "FROM_TASK", "2");
	w->task.repo.subdir = xstrdup("sub/dir");
	w->box.exec[0] = (struct fake_exec){.out = "hello\n", .err = "warn\n", .end.wall_ms = 1500};
	run_agent(w, &out);

	assert_string_equal(w->box.argv[0].v[2], "acme/m-1");
	assert_string_equal(w->box.input[0], w->step.instruction);
	assert_string_equal(w->box.cwd[0], "/app/repo/sub/dir");
	assert_int_equal(w->box.deadline_ms[0], 77);
	assert_string_equal(kvs_get(&w->box.files, "/home/agent/.tool/c.json"),
			    "{\"m\":\"acme/m-1\"}");
	assert_string_equal(env_of(&w->box, 0, "TOOL_KEY"), "S-0.1.abcdef");
	assert_string_equal(env_of(&w->box, 0, "HOME"), "/home/agent");
	assert_string_equal(env_of(&w->box, 0, "COLOUR"), "no");
	assert_string_equal(env_of(&w->box, 0, "FROM_TASK"), "2");
	assert_string_equal(env_of(&w->box, 0, "TIMEOUT_SEC"), "1800");
	assert_string_equal(env_of(&w->box, 0, "ROLLOUTS_SEED"), "42");
	assert_null(env_of(&w->box, 0, "OPENAI_API_KEY"));
	const char *path = env_of(&w->box, 0, "PATH");
	assert_memory_equal(path, "/usr/local/sbin:", 16);
	assert_string_equal(path + strlen(path) - 14, ":/opt/tool/bin");
	assert_int_equal(out.outcome, OUTCOME_COMPLETED);
	assert_string_equal(out.reason, "");
	assert_string_equal(out.version, "1.2");
	assert_int_equal(out.metrics.wall_ms, 1500);
	log = run_dir_text(&w->dir, "logs/agent.log");
	assert_string_equal(log, "hello\n");
}

static void expect_end(struct world *w, struct fake_exec f, enum outcome outcome,
		       const char *reason)
{
	struct agent_record out;

	if (!w->attempt.agent_spec)
		w->attempt.agent_spec = parse(
			"{\"argv\":[\"tool\"],\"output\":{\"format\":\"jsonl\",\"rules\":["
			"{\"match\":{\"/t\":\"e\"},\"field\":\"error\",\"pointer\":\"/m\"}]}}");
	unlinkat(w->dir.fd, "logs/agent.log", 0);
	unlinkat(w->dir.fd, "logs/agent.err", 0);
	w->box.exec[w->box.execs] = f;
	run_agent(w, &out);
	assert_string_equal(out.reason, reason);
	assert_int_equal(out.outcome, outcome);
}

static void ends_become_outcomes(void **state)
{
	struct world *w = *state;

	w->attempt.trial.limits.timeout_ms = 1500;
	w->attempt.trial.limits.memory_mb = 512;
	expect_end(w, (struct fake_exec){0}, OUTCOME_COMPLETED, "");
	expect_end(w, (struct fake_exec){.end.status = 3 << 8}, OUTCOME_AGENT_ERROR,
		   "exit status 3");
	expect_end(w, (struct fake_exec){.end.status = 1 << 8, .err = "a\nlast \x1b[31mwords\n\n"},
		   OUTCOME_AGENT_ERROR, "exit status 1: last \\x1b[31mwords");
	expect_end(w, (struct fake_exec){.end.status = 11}, OUTCOME_AGENT_ERROR,
		   "killed by SIGSEGV");
	expect_end(w, (struct fake_exec){.out = "{\"t\":\"e\",\"m\":\"quota\"}\n"},
		   OUTCOME_AGENT_ERROR, "it reported: quota");
	expect_end(
		w,
		(struct fake_exec){.out = "{\"t\":\"e\",\"m\":\"quota\"}\n", .end.status = 1 << 8},
		OUTCOME_AGENT_ERROR, "exit status 1: quota");
	expect_end(w, (struct fake_exec){.end = {.end = SANDBOX_TIMED_OUT, .wall_ms = 100000}},
		   OUTCOME_TIMEOUT, "timed out after 1.5 s");
	expect_end(w, (struct fake_exec){.end.end = SANDBOX_NO_MEMORY}, OUTCOME_AGENT_ERROR,
		   "used more than 512 MB of memory (memory_mb)");
}

static void a_missing_program_is_our_fault(void **state)
{
	struct world *w = *state;
	struct agent_record out;
	struct err err = {0};

	w->attempt.agent_spec = parse("{\"argv\":[\"tool\"]}");
	w->box.exec[0] =
		(struct fake_exec){.end = {.end = SANDBOX_NOT_FOUND, .text = "tool: not found"}};
	assert_int_equal(agent_run(&w->job, &w->box, &out, &err), -1);
	assert_int_equal(err.kind, ERR_INFRA);
	assert_non_null(strstr(err.msg, "tool: not found"));
}

static void oracle_applies_the_gold_diff(void **state)
{
	struct world *w = *state;
	struct agent_record out;
	struct err err = {0};

	free(w->attempt.trial.agent);
	w->attempt.trial.agent = xstrdup("oracle");
	run_agent(w, &out);
	assert_int_equal(out.outcome, OUTCOME_AGENT_ERROR);
	w->job.gold = "diff --git";
	w->job.gold_len = 10;
	run_agent(w, &out);
	assert_int_equal(out.outcome, OUTCOME_COMPLETED);
	assert_string_equal(w->box.applied.data, "diff --git");
	w->box.refuses = "corrupt patch";
	run_agent(w, &out);
	assert_int_equal(out.outcome, OUTCOME_AGENT_ERROR);
	assert_non_null(strstr(out.reason, "corrupt patch"));
	assert_int_equal(agent_run(&w->job, NULL, &out, &err), 0);
	assert_int_equal(out.outcome, OUTCOME_COMPLETED);
}

static void nop_needs_nothing(void **state)
{
	struct world *w = *state;
	struct agent_record out;
	struct err err = {0};

	w->attempt.agent_spec = parse("{\"kind\":\"nop\"}");
	assert_int_equal(agent_run(&w->job, NULL, &out, &err), 0);
	assert_int_equal(out.outcome, OUTCOME_COMPLETED);
	assert_int_equal(out.metrics.tokens_total, -1);
}

static void files_are_collected(void **state)
{
	struct world *w = *state;
	AUTO(strv) struct strv skipped = STRV_INIT;
	struct err err = {0};
	AUTO(free) char *notes = NULL;
	AUTO(free) char *one = NULL;

	w->attempt.agent_spec =
		parse("{\"argv\":[\"x\"],\"collect\":[\"{home}/one.txt\",\"{home}/gone\"]}");
	kvs_set(&w->box.files, "/app/notes.md", "my notes");
	kvs_set(&w->box.files, "/home/agent/one.txt", "1");
	if (agent_collect(&w->job, &w->box, &(struct agent_record){0}, &skipped, &err))
		fail_msg("%s", err.msg);
	notes = run_dir_text(&w->dir, "artifacts/notes.md");
	one = run_dir_text(&w->dir, "artifacts/agent/home/agent/one.txt");
	assert_string_equal(notes, "my notes");
	assert_string_equal(one, "1");
	assert_int_equal(skipped.n, 0);
}

/* What the plan chose is laid over the file; without a choice, what the agent prefers. */
static void an_api_has_its_own_table(void **state)
{
	static const char text[] =
		"{\"kind\":\"cli\",\"argv\":[\"tool\"],\"env\":{\"A\":\"1\",\"B\":\"{api}\"},"
		"\"apis\":[\"chat\",\"gemini\"],\"api\":{"
		"\"chat\":{\"args\":[\"--chat\",\"{model}\"],\"env\":{\"A\":\"2\"}},"
		"\"gemini\":{\"files\":{\"/f\":\"of {api}\"}}}}";
	struct world *w = *state;
	struct agent_record out;

	w->attempt.agent_spec = parse(text);
	w->attempt.trial.model_id = xstrdup("m-1-2026");
	run_agent(w, &out);
	assert_int_equal(w->box.argv[0].n, 3);
	assert_string_equal(w->box.argv[0].v[1], "--chat");
	assert_string_equal(w->box.argv[0].v[2], "m-1-2026");
	assert_string_equal(env_of(&w->box, 0, "A"), "2");
	assert_string_equal(env_of(&w->box, 0, "B"), "chat");
	w->attempt.trial.api = xstrdup("gemini");
	run_agent(w, &out);
	assert_int_equal(w->box.argv[1].n, 1);
	assert_string_equal(env_of(&w->box, 1, "A"), "1");
	assert_string_equal(kvs_get(&w->box.files, "/f"), "of gemini");
}

int main(void)
{
#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_WORLD(placeholders_are_replaced),
		WITH_WORLD(values_are_not_expanded_again),
		WITH_WORLD(other_braces_stay),
		cmocka_unit_test(pointers_lead_where_they_say),
		cmocka_unit_test(codex_is_understood),
		cmocka_unit_test(claude_is_understood),
		cmocka_unit_test(gemini_is_understood),
		cmocka_unit_test(opencode_is_understood),
		cmocka_unit_test(pi_is_understood),
		cmocka_unit_test(qwen_is_understood),
		cmocka_unit_test(plain_text_is_understood),
		cmocka_unit_test(wild_numbers_are_not_counted),
		cmocka_unit_test(broken_lines_are_passed_over),
		cmocka_unit_test(huge_lines_are_left_out),
		cmocka_unit_test(deep_nesting_is_survived),
		cmocka_unit_test(long_messages_are_cut),
		cmocka_unit_test(texts_come_in_pieces),
		cmocka_unit_test(senseless_rules_are_refused),
		WITH_WORLD(a_command_gets_what_its_file_says),
		WITH_WORLD(ends_become_outcomes),
		WITH_WORLD(a_missing_program_is_our_fault),
		WITH_WORLD(oracle_applies_the_gold_diff),
		WITH_WORLD(nop_needs_nothing),
		WITH_WORLD(files_are_collected),
		WITH_WORLD(an_api_has_its_own_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

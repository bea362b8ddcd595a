/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include "agent/bash-tool.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

#define SCHEMA                                                                                     \
	"{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"description\":"   \
	"\"what bash -c is to "                                                                    \
	"run\"}},\"required\":[\"command\"]}"
#define ABOUT                                                                                      \
	"Run one command in a fresh bash process, in the repository. Returns its output, "         \
	"standard error included, "                                                                \
	"and its exit status."

/* One turn of the model, as each provider puts it, and the request that follows when its command gave "out". */
static const struct exchange {
	const struct dialect *dialect;
	const char *answer, *request;
	int64_t input, cached, output;
} exchanges[] = {
	{&dialect_responses,
	 "{\"status\":\"completed\",\"output\":["
	 "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"encrypted_content\":\"xyz\"},"
	 "{\"type\":\"reasoning\",\"id\":\"rs_2\",\"summary\":[]},"
	 "{\"type\":\"message\",\"id\":\"m_1\",\"role\":\"assistant\",\"status\":\"completed\","
	 "\"content\":["
	 "{\"type\":\"output_text\",\"text\":\"Look.\"}]},"
	 "{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c1\",\"name\":\"bash\","
	 "\"status\":\"completed\","
	 "\"arguments\":\"{\\\"command\\\":\\\"ls\\\"}\"}],"
	 "\"usage\":{\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":4},\"output_"
	 "tokens\":7}}",
	 "{\"model\":\"m\",\"instructions\":\"sys\",\"input\":[{\"role\":\"user\",\"content\":\"do "
	 "it\"},"
	 "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"xyz\"},"
	 "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
	 "\"text\":\"Look.\"}]},"
	 "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"bash\",\"arguments\":\"{"
	 "\\\"command\\\":\\\"ls\\\"}\"},"
	 "{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"out\"}],"
	 "\"tools\":[{\"type\":\"function\",\"name\":\"bash\",\"description\":\"" ABOUT
	 "\",\"parameters\":" SCHEMA
	 ",\"strict\":false}],\"store\":false,\"include\":[\"reasoning.encrypted_content\"]}",
	 10, 4, 7},
	{&dialect_chat,
	 "{\"choices\":[{\"finish_reason\":\"tool_calls\",\"message\":{\"role\":\"assistant\","
	 "\"content\":\"Look.\","
	 "\"refusal\":null,\"annotations\":[],\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\","
	 "\"function\":{"
	 "\"name\":\"bash\",\"arguments\":\"{\\\"command\\\":\\\"ls\\\"}\"}}]}}],"
	 "\"usage\":{\"prompt_tokens\":10,\"prompt_tokens_details\":{\"cached_tokens\":4},"
	 "\"completion_tokens\":7}}",
	 "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"sys\"},"
	 "{\"role\":\"user\",\"content\":\"do "
	 "it\"},{\"role\":\"assistant\",\"content\":\"Look.\",\"tool_calls\":["
	 "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"bash\",\"arguments\":"
	 "\"{\\\"command\\\":\\\"ls\\\"}\"}}]},{\"role\":\"tool\",\"content\":\"out\",\"tool_call_"
	 "id\":\"c1\"}],"
	 "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"bash\",\"description\":"
	 "\"" ABOUT "\",\"parameters\":" SCHEMA "}}]}",
	 10, 4, 7},
	{&dialect_anthropic,
	 "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
	 "\"Look.\"},"
	 "{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"bash\",\"input\":{\"command\":\"ls\"}}],"
	 "\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":4,"
	 "\"cache_creation_input_tokens\":1,\"output_tokens\":7}}",
	 "{\"model\":\"m\",\"max_tokens\":16384,\"system\":[{\"type\":\"text\",\"text\":\"sys\","
	 "\"cache_control\":"
	 "{\"type\":\"ephemeral\"}}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
	 "\"text\",\"text\":\"do it\",\"cache_control\":{\"type\":\"ephemeral\"}}]},"
	 "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"Look.\"},{\"type\":"
	 "\"tool_use\",\"id\":\"c1\","
	 "\"name\":\"bash\",\"input\":{\"command\":\"ls\"}}]},{\"role\":\"user\",\"content\":[{"
	 "\"type\":\"tool_result\","
	 "\"tool_use_id\":\"c1\",\"content\":\"out\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]"
	 ","
	 "\"tools\":[{\"name\":\"bash\",\"description\":\"" ABOUT "\",\"input_schema\":" SCHEMA
	 "}]}",
	 10, 4, 7},
	{&dialect_gemini,
	 "{\"candidates\":[{\"finishReason\":\"STOP\",\"content\":{\"role\":\"model\",\"parts\":["
	 "{\"text\":\"hm\",\"thought\":true},{\"text\":\"Look.\"},"
	 "{\"functionCall\":{\"name\":\"bash\",\"args\":{\"command\":\"ls\"}},\"thoughtSignature\":"
	 "\"s\"}]}}],"
	 "\"usageMetadata\":{\"promptTokenCount\":10,\"cachedContentTokenCount\":4,"
	 "\"candidatesTokenCount\":5,"
	 "\"thoughtsTokenCount\":2}}",
	 "{\"systemInstruction\":{\"parts\":[{\"text\":\"sys\"}]},\"contents\":["
	 "{\"role\":\"user\",\"parts\":[{\"text\":\"do it\"}]},{\"role\":\"model\",\"parts\":["
	 "{\"text\":\"hm\",\"thought\":true},{\"text\":\"Look.\"},"
	 "{\"functionCall\":{\"name\":\"bash\",\"args\":{\"command\":\"ls\"}},\"thoughtSignature\":"
	 "\"s\"}]},"
	 "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"bash\",\"response\":{"
	 "\"output\":\"out\"}}}]}],"
	 "\"tools\":[{\"functionDeclarations\":[{\"name\":\"bash\",\"description\":\"" ABOUT
	 "\",\"parameters\":" SCHEMA "}]}]}",
	 10, 4, 7},
};

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err err;

	if (json_parse(&j, text, strlen(text), "test", &err))
		fail_msg("%s: %s", err.msg, text);
	return j;
}

static struct conversation talk_of(const struct dialect *d)
{
	static struct tool tool;
	struct conversation t = {.dialect = d,
				 .model = "m",
				 .system = (char *)"sys",
				 .tool = &tool,
				 .history = json_array()};

	if (!tool.parameters)
		tool = bash_tool();

	d->say(&t, "do it");
	return t;
}

static struct reply read_answer(struct conversation *t, const char *text)
{
	struct reply r = {.text = BUF_INIT, .input = -1, .cached = -1, .output = -1};
	AUTO(json) json_t *answer = parse(text);

	assert_true(t->dialect->read(t, answer, &r));
	return r;
}

static void expect_request(const struct conversation *t, const char *expected)
{
	AUTO(json) json_t *request = t->dialect->request(t);
	AUTO(buf) struct buf text = BUF_INIT;

	json_format(&text, request, false);
	assert_string_equal(text.data, expected);
}

static void each_dialect_has_its_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(exchanges); i++) {
		const struct exchange *c = &exchanges[i];
		struct conversation t = talk_of(c->dialect);
		struct reply r = read_answer(&t, c->answer);
		AUTO(buf) struct buf out = BUF_INIT;

		assert_string_equal(r.text.data, "Look.");
		assert_int_equal(r.calls_n, 1);
		assert_string_equal(bash_tool_command(&r.calls[0], NULL), "ls");
		assert_int_equal(r.input, c->input);
		assert_int_equal(r.cached, c->cached);
		assert_int_equal(r.output, c->output);
		assert_false(r.cut);
		assert_null(r.stuck);
		buf_adds(&out, "out");
		t.dialect->results(&t, &r, &out);
		expect_request(&t, c->request);
		reply_release(&r);
		json_decref(t.history);
	}
}

static void old_outputs_are_left_out(void **state)
{
	AUTO(json) json_t *holders = json_array();
	struct conversation t = {.system = xstrdup(""), .history = json_array()};
	AUTO(free) char *long_text = xasprintf("%0*d\n[exit status 0]", 1000, 0);
	const struct buf text = {.data = long_text, .len = strlen(long_text)};
	static const size_t left[] = {6, 3, 1, 0, 0};

	for (size_t i = 0; i < 7; i++) {
		json_t *holder = json_object();
		json_array_append_new(holders, holder);
		if (i == 6)
			t.seen = t.shown_n;
		conversation_show(&t, holder, "out", &text);
	}
	for (size_t i = 0; i + 1 < ARRAY_SIZE(left); i++) {
		assert_int_equal(t.seen, left[i]);
		assert_int_equal(conversation_forget(&t), left[i] - left[i + 1]);
	}
	for (size_t i = 0; i < 7; i++)
		assert_string_equal(
			json_get_str(json_array_get(holders, i), "out", ""),
			i == 6 ? long_text
			       : "[output left out: the conversation has become too long]\n"
				 "[exit status 0]");
	conversation_release(&t);
}

/* What was thought after an output is bound to it: it goes with the output. */
static void thinking_goes_with_what_it_was_bound_to(void **state)
{
	struct conversation t = talk_of(&dialect_anthropic);
	struct reply r = read_answer(
		&t, "{\"content\":[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"s\"},"
		    "{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"bash\",\"input\":{}}],"
		    "\"stop_reason\":\"tool_use\"}");
	AUTO(free) char *long_text = xasprintf("%0*d", 1000, 0);
	const struct buf out = {.data = long_text, .len = strlen(long_text)};

	conversation_results(&t, &r, &out);
	t.seen = t.shown_n;
	const json_t *content = json_object_get(json_array_get(t.history, 1), "content");
	assert_int_equal(json_array_size(content), 2);
	assert_int_equal(conversation_forget(&t), 1);
	assert_int_equal(json_array_size(content), 1);
	assert_false(t.dialect->unbind(&t));
	reply_release(&r);
	free(t.shown);
	json_decref(t.history);
}

static void reasoning_of_calls_goes_back(void **state)
{
	struct conversation t = talk_of(&dialect_chat);
	struct reply r = read_answer(
		&t, "{\"choices\":[{\"message\":{\"content\":\"\",\"reasoning_content\":\"\","
		    "\"tool_calls\":["
		    "{\"id\":\"c\",\"function\":{\"name\":\"bash\",\"arguments\":\"{}\"}}]}}]}");

	assert_non_null(json_object_get(json_array_get(t.history, 1), "reasoning_content"));
	reply_release(&r);
	json_decref(t.history);
}

static void what_is_no_answer_is_none(void **state)
{
	static const char *const bad[] = {"{}",
					  "[]",
					  "{\"output\":1}",
					  "{\"choices\":[]}",
					  "{\"content\":null}",
					  "{\"candidates\":{}}",
					  "{\"choices\":[{\"message\":7}]}"};

	for (size_t i = 0; i < ARRAY_SIZE(exchanges); i++)
		for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
			struct conversation t = talk_of(exchanges[i].dialect);
			struct reply r = {.text = BUF_INIT};
			AUTO(json) json_t *answer = parse(bad[j]);

			assert_false(t.dialect->read(&t, answer, &r));
			reply_release(&r);
			json_decref(t.history);
		}
}

/* Answers that end early, or not at all, in each dialect's own way. */
static void ends_are_told_apart(void **state)
{
	static const struct {
		const struct dialect *dialect;
		const char *answer, *stuck;
		bool cut;
	} cases[] = {
		{&dialect_responses,
		 "{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_"
		 "tokens\"},\"output\":[]}",
		 NULL, true},
		{&dialect_responses,
		 "{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"content_filter\"}"
		 ",\"output\":[]}",
		 "content_filter", false},
		{&dialect_responses,
		 "{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"new\"},"
		 "\"output\":[]}",
		 NULL, true},
		{&dialect_chat,
		 "{\"choices\":[{\"finish_reason\":\"length\",\"message\":{\"content\":\"a\"}}]}",
		 NULL, true},
		{&dialect_chat,
		 "{\"choices\":[{\"finish_reason\":\"new\",\"message\":{\"content\":\"a\"}}]}",
		 NULL, false},
		{&dialect_anthropic, "{\"content\":[],\"stop_reason\":\"new\"}", NULL, false},
		{&dialect_gemini,
		 "{\"candidates\":[{\"finishReason\":\"NEW\",\"content\":{\"parts\":[]}}]}", NULL,
		 false},
		{&dialect_chat,
		 "{\"choices\":[{\"finish_reason\":\"content_filter\",\"message\":{}}]}",
		 "finish_reason content_filter", false},
		{&dialect_anthropic, "{\"content\":[],\"stop_reason\":\"max_tokens\"}", NULL, true},
		{&dialect_anthropic, "{\"content\":[],\"stop_reason\":\"refusal\"}",
		 "stop_reason refusal", false},
		{&dialect_gemini,
		 "{\"candidates\":[{\"finishReason\":\"MAX_TOKENS\",\"content\":{\"parts\":[]}}]}",
		 NULL, true},
		{&dialect_gemini, "{\"candidates\":[{\"finishReason\":\"SAFETY\"}]}",
		 "finishReason SAFETY", false},
		{&dialect_gemini, "{\"promptFeedback\":{\"blockReason\":\"OTHER\"}}",
		 "blockReason OTHER", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct conversation t = talk_of(cases[i].dialect);
		struct reply r = read_answer(&t, cases[i].answer);

		assert_int_equal(r.cut, cases[i].cut);
		if (cases[i].stuck)
			assert_string_equal(r.stuck, cases[i].stuck);
		else
			assert_null(r.stuck);
		reply_release(&r);
		json_decref(t.history);
	}
}

static void senseless_calls_say_why(void **state)
{
	static const struct {
		const char *name, *arguments, *problem;
	} cases[] = {
		{"sh", "{}", "there is no such tool: bash is the only one"},
		{"bash", "\"{\\\"command\\\":\"",
		 "the arguments are no JSON object with a command"},
		{"bash", "\"[]\"", "the arguments are no JSON object with a command"},
		{"bash", "null", "the arguments are no JSON object with a command"},
		{"bash", "{\"command\":[\"ls\"]}", "the arguments lack \"command\", a string"},
		{"bash", "{\"command\":\"a\\u0000b\"}", "the command holds a NUL character"},
	};
	struct reply r = REPLY_INIT;
	const char *problem;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(json) json_t *holder = json_object();
		json_put(holder, "arguments",
			 json_loads(cases[i].arguments, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
		reply_add_call_text(&r, "c", cases[i].name, holder);
		assert_null(bash_tool_command(&r.calls[i], &problem));
		assert_string_equal(problem, cases[i].problem);
	}
	reply_release(&r);
}

/* What a model gave as arguments, as it is run and as it goes into the history. */
static void arguments_are_read_and_kept(void **state)
{
	static const struct {
		const char *given, *command, *kept;
	} cases[] = {
		{"\"{\\\"command\\\": \\\"ls\\\"}\"", "ls", "{\"command\": \"ls\"}"},
		{"{\"command\":\"ls\"}", "ls", "{\"command\":\"ls\"}"},
		{"\"{\\\"command\\\":\\\"a\\nb\\\"}\"", "a\nb", "{\"command\":\"a\\nb\"}"},
		{"\"{\\\"command\\\": \\\"ec\"", NULL,
		 "{\"unreadable\":\"{\\\"command\\\": \\\"ec\"}"},
		{"\"\"", NULL, "{}"},
		{"\"[1]\"", NULL, "{\"unreadable\":\"[1]\"}"},
		{"[1]", NULL, "{\"unreadable\":[1]}"},
		{NULL, NULL, "{}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reply r = REPLY_INIT;
		AUTO(json) json_t *holder = json_object();
		if (cases[i].given)
			json_put(holder, "arguments",
				 json_loads(cases[i].given, JSON_DECODE_ANY, NULL));
		reply_add_call_text(&r, "c", "bash", holder);
		const char *command = bash_tool_command(&r.calls[0], NULL);
		assert_string_equal(command ? command : "",
				    cases[i].command ? cases[i].command : "");
		assert_string_equal(json_get_str(holder, "arguments", ""), cases[i].kept);
		reply_release(&r);
	}
}

/* A call that Gemini could not put into words leaves no turn to answer: the model is told in a message. */
static void a_malformed_call_of_gemini_is_told(void **state)
{
	static const char *const answers[] = {
		"{\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}]}",
		"{\"candidates\":[{\"finishReason\":\"UNEXPECTED_TOOL_CALL\"}]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct conversation t = talk_of(&dialect_gemini);
		struct reply r = read_answer(&t, answers[i]);
		AUTO(buf) struct buf out = BUF_INIT;

		assert_int_equal(r.calls_n, 1);
		assert_null(bash_tool_command(&r.calls[0], NULL));
		buf_adds(&out, "[not run]");
		t.dialect->results(&t, &r, &out);
		const json_t *last = json_array_get(t.history, 1);
		assert_string_equal(
			json_get_str(json_array_get(json_object_get(last, "parts"), 0), "text", ""),
			"[not run]");
		reply_release(&r);
		json_decref(t.history);
	}
}

static void a_model_without_reasoning_is_not_asked_for_it(void **state)
{
	struct conversation t = talk_of(&dialect_responses);

	t.plain = true;
	AUTO(json) json_t *request = t.dialect->request(&t);
	assert_null(json_object_get(request, "include"));
	json_decref(t.history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_dialect_has_its_words),
		cmocka_unit_test(old_outputs_are_left_out),
		cmocka_unit_test(thinking_goes_with_what_it_was_bound_to),
		cmocka_unit_test(reasoning_of_calls_goes_back),
		cmocka_unit_test(what_is_no_answer_is_none),
		cmocka_unit_test(ends_are_told_apart),
		cmocka_unit_test(senseless_calls_say_why),
		cmocka_unit_test(arguments_are_read_and_kept),
		cmocka_unit_test(a_malformed_call_of_gemini_is_told),
		cmocka_unit_test(a_model_without_reasoning_is_not_asked_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

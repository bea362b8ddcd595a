/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <stdbool.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "report/doc.h"

static void small(struct doc *d)
{
	struct table t = {0};

	table_column(&t, "task", TABLE_LEFT);
	table_column(&t, "unit", TABLE_RIGHT);
	table_text(&t, "greet");
	table_real(&t, .5, 3);
	table_text(&t, "sort_it");
	table_missing(&t, NULL);
	doc_heading(d, 1);
	doc_words(d, "Scores of ");
	doc_strong(d, "bench");
	doc_paragraph(d);
	doc_words(d, "Two tasks,");
	doc_line_end(d);
	doc_words(d, "one of them ");
	doc_code(d, "sort_it");
	doc_heading(d, 2);
	doc_words(d, "Tasks");
	doc_table(d, &t);
	assert_int_equal(t.columns_n, 0);
	doc_item(d);
	doc_text(d, "first");
	doc_item(d);
	doc_text(d, "second");
	doc_details(d, "a test");
	doc_code_block(d, "sh", "exit 0", strlen("exit 0"));
	doc_details_end(d);
	doc_footer(d);
	doc_words(d, "Made by a test.");
}

static void each_medium_has_its_form(void **state)
{
	AUTO(doc) struct doc d = {0};
	AUTO(buf) struct buf terminal = BUF_INIT, markdown = BUF_INIT, html = BUF_INIT;

	small(&d);
	doc_terminal(&d, 0, &terminal);
	assert_string_equal(terminal.data, "Scores of bench\n"
					   "Two tasks,\n"
					   "one of them sort_it\n"
					   "\n"
					   "Tasks\n"
					   "task    |  unit\n"
					   "--------+------\n"
					   "greet   | 0.500\n"
					   "sort_it |     –\n"
					   "\n"
					   "- first\n"
					   "- second\n"
					   "\n"
					   "a test\n"
					   "    exit 0\n"
					   "\n"
					   "Made by a test.\n");
	doc_markdown(&d, &markdown);
	assert_string_equal(markdown.data, "# Scores of **bench**\n\n"
					   "Two tasks,\n"
					   "one of them `sort_it`\n\n"
					   "## Tasks\n\n"
					   "| task | unit |\n"
					   "|---|---:|\n"
					   "| greet | 0.500 |\n"
					   "| sort_it | – |\n\n"
					   "- first\n"
					   "- second\n\n"
					   "<details><summary>a test</summary>\n\n"
					   "```sh\n"
					   "exit 0\n"
					   "```\n\n"
					   "</details>\n\n"
					   "---\n"
					   "*Made by a test.*\n");
	doc_html(&d, &html);
	assert_non_null(strstr(html.data, "<title>Scores of bench</title>"));
	const char *body = strstr(html.data, "<body>");
	assert_non_null(body);
	assert_string_equal(body, "<body>\n"
				  "<h1>Scores of <strong>bench</strong></h1>\n"
				  "<p>Two tasks,<br>\n"
				  "one of them <code>sort_it</code></p>\n"
				  "<h2>Tasks</h2>\n"
				  "<div><table>\n"
				  "<thead><tr><th>task</th><th class=\"n\">unit</th></tr></thead>\n"
				  "<tbody>\n"
				  "<tr><td>greet</td><td class=\"n\">0.500</td></tr>\n"
				  "<tr><td>sort_it</td><td class=\"n m\">–</td></tr>\n"
				  "</tbody></table></div>\n"
				  "<ul>\n"
				  "<li>first</li>\n"
				  "<li>second</li>\n"
				  "</ul>\n"
				  "<details><summary>a test</summary>\n"
				  "<pre><code>\nexit 0</code></pre>\n"
				  "</details>\n"
				  "<footer>Made by a test.</footer>\n"
				  "</body>\n"
				  "</html>\n");
}

/* What an agent may say to be more than text, and what a document that quotes it must not hold then. Tags are
 * looked for by the tests below. */
static const struct hostile {
	const char *text, *terminal, *markdown;
} hostile[] = {
	{"\x1b[2J\x1b]0;owned\x07", "\x1b", "\x1b"},
	{"\xc2\x9b[31mred", "\xc2\x9b", "\xc2\x9b"},
	{"\xff\xfe broken", "\xff", "\xff"},
	{"right\xe2\x80\xaetfel", "\xe2\x80\xae", "\xe2\x80\xae"},
	{"a\r\n\r\n# A heading of its own", "\n# A", "\n# A"},
	{"one\n\n<script>alert(1)</script>", "\n<script", "\n<script"},
	{"<img src=x onerror=alert(1)>", "\x1b", "\x1b"},
	{"</code></pre></td></details></summary><b>", "\x1b", "\x1b"},
	{"![x](https://example.org/pixel.png)", "\x1b", "![x]("},
	{"[x](javascript:alert(1))", "\x1b", "[x]("},
	{"a | b", "\x1b", "a | b"},
	{"**bold** and `code`", "\x1b", "**bold*"},
	{"\" onmouseover=\"alert(1)", "\x1b", "\x1b"},
};

static void in_all_places(struct doc *d, const char *text)
{
	struct table t = {0};

	doc_heading(d, 1);
	doc_text(d, text);
	doc_paragraph(d);
	doc_text(d, text);
	doc_item(d);
	doc_strong(d, text);
	table_column(&t, text, TABLE_LEFT);
	table_column(&t, "n", TABLE_WHOLE);
	table_text(&t, text);
	table_missing(&t, text);
	doc_table(d, &t);
	doc_footer(d);
	doc_text(d, text);
}

static void text_is_text_in_every_place(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		AUTO(doc) struct doc d = {0};
		AUTO(buf) struct buf terminal = BUF_INIT, markdown = BUF_INIT;

		in_all_places(&d, hostile[i].text);
		doc_terminal(&d, 60, &terminal);
		doc_markdown(&d, &markdown);
		assert_null(strstr(terminal.data, hostile[i].terminal));
		assert_null(strstr(markdown.data, hostile[i].markdown));
	}
}

static void a_line_begins_no_block(void **state)
{
	static const struct {
		const char *text, *markdown;
	} lines[] = {
		{"- a", "\\- a\n"},	{"---", "\\---\n"}, {"  1. a", "1\\. a\n"},
		{"12) a", "12\\) a\n"}, {"=", "\\=\n"},	    {"2.5 s", "2\\.5 s\n"},
		{"1", "1\n"},		{"# a", "\\# a\n"}, {"\n    a", "a\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		AUTO(doc) struct doc d = {0};
		AUTO(buf) struct buf out = BUF_INIT;

		doc_paragraph(&d);
		doc_text(&d, lines[i].text);
		doc_markdown(&d, &out);
		assert_string_equal(out.data, lines[i].markdown);
	}
}

/* HTML in a Markdown document is HTML, unless a backslash stands before it. */
static void no_tag_survives_in_markdown(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		AUTO(doc) struct doc d = {0};
		AUTO(buf) struct buf out = BUF_INIT;

		in_all_places(&d, hostile[i].text);
		doc_markdown(&d, &out);
		for (const char *tag = out.data; (tag = strchr(tag, '<')); tag++)
			assert_true(tag > out.data && tag[-1] == '\\');
	}
}

/* A summary is HTML up to the next blank line: there must be none in it. */
static void a_summary_is_one_line_of_html(void **state)
{
	AUTO(doc) struct doc d = {0};
	AUTO(buf) struct buf out = BUF_INIT;

	doc_details(&d, "a\n\n![x](y)</summary><script>");
	doc_details_end(&d);
	doc_markdown(&d, &out);
	assert_string_equal(
		out.data, "<details><summary>a  ![x](y)&lt;/summary&gt;&lt;script&gt;</summary>\n\n"
			  "</details>\n");
}

static void a_page_holds_only_its_own_tags(void **state)
{
	static const char *const ours[] = {
		"!DOCTYPE", "html",    "head",	"meta", "title",  "style",  "body",
		"h1",	    "h2",      "h3",	"p",	"br",	  "ul",	    "li",
		"div",	    "table",   "thead", "tr",	"th",	  "td",	    "tbody",
		"details",  "summary", "pre",	"code", "strong", "footer",
	};

	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		AUTO(doc) struct doc d = {0};
		AUTO(buf) struct buf out = BUF_INIT;

		in_all_places(&d, hostile[i].text);
		doc_code(&d, hostile[i].text);
		doc_details(&d, hostile[i].text);
		doc_details_end(&d);
		doc_code_block(&d, "", hostile[i].text, strlen(hostile[i].text));
		doc_html(&d, &out);
		for (const char *tag = out.data; (tag = strchr(tag, '<'));) {
			bool known = false;
			tag += tag[1] == '/' ? 2 : 1;
			for (size_t k = 0; k < ARRAY_SIZE(ours); k++) {
				size_t n = strlen(ours[k]);
				known |= !strncmp(tag, ours[k], n) && strchr(" >", tag[n]);
			}
			assert_true(known);
		}
		assert_null(strstr(out.data, "\x1b"));
		assert_null(strstr(out.data, "\" onmouse"));
	}
}

static void code_ends_where_it_ends(void **state)
{
	static const char text[] = "```\n# out\n```\n````";
	AUTO(doc) struct doc d = {0};
	AUTO(buf) struct buf out = BUF_INIT, terminal = BUF_INIT;

	doc_code_block(&d, "", text, strlen(text));
	doc_paragraph(&d);
	doc_code(&d, "a``b\nc");
	doc_markdown(&d, &out);
	assert_string_equal(out.data, "`````\n```\n# out\n```\n````\n`````\n\n``` a``b c ```\n");
	doc_terminal(&d, 0, &terminal);
	assert_string_equal(terminal.data, "    ```\n    # out\n    ```\n    ````\n\na``b c\n");
}

static void a_formula_is_text(void **state)
{
	static const char *const formulas[] = {"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"};

	for (size_t i = 0; i < ARRAY_SIZE(formulas); i++) {
		AUTO(table) struct table t = {0};
		AUTO(buf) struct buf out = BUF_INIT;

		table_column(&t, formulas[i], TABLE_LEFT);
		table_text(&t, formulas[i]);
		table_csv(&t, true, &out);
		assert_memory_equal(out.data, "\xef\xbb\xbf\"'", 5);
		assert_non_null(strstr(out.data, "\n\"'"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_medium_has_its_form),
		cmocka_unit_test(text_is_text_in_every_place),
		cmocka_unit_test(a_line_begins_no_block),
		cmocka_unit_test(no_tag_survives_in_markdown),
		cmocka_unit_test(a_summary_is_one_line_of_html),
		cmocka_unit_test(a_page_holds_only_its_own_tags),
		cmocka_unit_test(code_ends_where_it_ends),
		cmocka_unit_test(a_formula_is_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

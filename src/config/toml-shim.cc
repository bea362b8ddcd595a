// SPDX-License-Identifier: GPL-3.0-or-later
// The parser is compiled in, whatever a distribution's flags say: no shared library at start-up.
#undef TOML_SHARED_LIB
#undef TOML_HEADER_ONLY
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
// Some malformed texts, such as `a = [1, }`, trip the parser's own assertions in some of its
// versions. That must be the author's mistake with its place, not the end of the program.
#undef NDEBUG
#define TOML_ASSERT(expr) assert_or_throw(static_cast<bool>(expr))
namespace
{
struct assertion {
};

constexpr void assert_or_throw(bool holds)
{
	if (!holds)
		throw assertion();
}
} // namespace
#if __has_include(<toml++/toml.hpp>)
#include <toml++/toml.hpp>
#else
#include <toml++/toml.h>
#endif
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include "config/toml.h"

namespace
{

void fail(toml_error *error, const toml::source_position &at, std::string_view why)
{
	error->line = static_cast<int>(at.line);
	error->col = static_cast<int>(at.column);
	std::snprintf(error->msg, sizeof error->msg, "%.*s", static_cast<int>(why.size()),
		      why.data());
	for (char *c = error->msg; *c; c++)
		if (static_cast<unsigned char>(*c) < ' ')
			*c = ' ';
}

char *copy(std::string_view s)
{
	auto *out = static_cast<char *>(std::malloc(s.size() + 1));
	if (!out)
		throw std::bad_alloc();
	std::memcpy(out, s.data(), s.size());
	out[s.size()] = '\0';
	return out;
}

struct nul_byte {
	toml::source_position at;
};

char *copy_text(std::string_view s, const toml::source_position &at)
{
	if (s.find('\0') != s.npos)
		throw nul_byte{at};
	return copy(s);
}

void reserve(toml_node *t, std::size_t n)
{
	t->items = static_cast<toml_node *>(std::calloc(n ? n : 1, sizeof *t->items));
	if (!t->items)
		throw std::bad_alloc();
}

void convert(const toml::node &from, toml_node *to);

void convert_table(const toml::table &from, toml_node *to)
{
	reserve(to, from.size());
	for (auto &&[key, value] : from) {
		toml_node *item = &to->items[to->n++];
		item->key = copy_text(key.str(), key.source().begin);
		item->key_line = static_cast<int>(key.source().begin.line);
		item->key_col = static_cast<int>(key.source().begin.column);
		convert(value, item);
	}
	// toml++ sorts by name; messages read better in the order of the file.
	std::sort(to->items, to->items + to->n, [](const toml_node &a, const toml_node &b) {
		return a.key_line != b.key_line ? a.key_line < b.key_line : a.key_col < b.key_col;
	});
}

void convert(const toml::node &from, toml_node *to)
{
	to->line = static_cast<int>(from.source().begin.line);
	to->col = static_cast<int>(from.source().begin.column);
	switch (from.type()) {
	case toml::node_type::string:
		to->kind = TOML_STRING;
		to->text = copy_text(from.as_string()->get(), from.source().begin);
		break;
	case toml::node_type::integer:
		to->kind = TOML_INT;
		to->integer = from.as_integer()->get();
		to->real = static_cast<double>(to->integer);
		break;
	case toml::node_type::floating_point:
		to->kind = TOML_REAL;
		to->real = from.as_floating_point()->get();
		break;
	case toml::node_type::boolean:
		to->kind = TOML_BOOL;
		to->boolean = from.as_boolean()->get();
		break;
	case toml::node_type::array:
		to->kind = TOML_ARRAY;
		reserve(to, from.as_array()->size());
		for (auto &&value : *from.as_array())
			convert(value, &to->items[to->n++]);
		break;
	case toml::node_type::table:
		to->kind = TOML_TABLE;
		convert_table(*from.as_table(), to);
		break;
	default:
		to->kind = TOML_TIME;
	}
}

} // namespace

namespace
{

bool trips(std::string_view text)
{
	try {
		(void)toml::parse(text);
	} catch (const assertion &) {
		return true;
	} catch (const toml::parse_error &) {
	}
	return false;
}

// The shortest text that trips the assertion ends with the character at fault.
void blame(std::string_view text, toml_error *error)
{
	std::size_t fine = 0, trip = text.size();
	while (fine + 1 < trip) {
		std::size_t middle = fine + (trip - fine) / 2;
		(trips(text.substr(0, middle)) ? trip : fine) = middle;
	}
	std::string_view before = text.substr(0, trip ? trip - 1 : 0);
	toml::source_position at = {1, 1};
	for (char c : before) {
		at.line += c == '\n';
		at.column = c == '\n' ? 1 : at.column + ((c & 0xc0) != 0x80);
	}
	std::string why = "unexpected character";
	if (trip && text[trip - 1] > ' ' && text[trip - 1] < 0x7f)
		why += std::string(" '") + text[trip - 1] + "'";
	fail(error, at, why);
}

toml_node *parse(std::string_view text, toml_node *root, toml_error *error)
{
	try {
		convert(toml::parse(text), root);
		return root;
	} catch (const toml::parse_error &e) {
		fail(error, e.source().begin, e.description());
	} catch (const nul_byte &e) {
		fail(error, e.at, "a NUL character is not allowed here");
	} catch (const assertion &) {
		blame(text, error);
	}
	toml_free(root);
	return nullptr;
}

} // namespace

extern "C" toml_node *toml_parse(const char *text, size_t len, toml_error *error)
{
	auto *root = static_cast<toml_node *>(std::calloc(1, sizeof(toml_node)));
	try {
		if (root)
			return parse(std::string_view(text, len), root, error);
	} catch (...) {
		// Out of memory, half way through the tree.
		toml_free(root);
	}
	fail(error, {1, 1}, "out of memory");
	return nullptr;
}

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake model says: which turn of which script, through which tool of the client, at what usage.

A conversation has no state here: the turn is found from the history in each request, so that any number of
conversations may run at once and a request sent twice is answered the same way.
"""
import fnmatch
import json
import re
from dataclasses import dataclass, field

SHELL_TOOLS = ("exec_command", "shell_command", "shell", "local_shell", "Bash", "bash", "run_shell_command",
               "container.exec", "run_command", "execute_command", "terminal")
DIRECTIVE = re.compile(r"\[\[fake (?=\{)")
DEFAULT_TURNS = [{"text": "Done."}]


class BadScript(Exception):
    """The script itself is wrong: answered with status 500, so that it is seen."""


@dataclass
class Tool:
    """A tool as the client offered it: type is "function", "custom" (free text) or "code" (JavaScript)."""
    name: str
    schema: dict = field(default_factory=dict)
    type: str = "function"


@dataclass
class Call:
    tool: Tool
    arguments: object  # a dict, or text for a custom tool


@dataclass
class History:
    """What a dialect found in a request."""
    users: list        # texts of the user's messages, in order
    assistants: list   # texts of the assistant's messages
    results: int       # tool results so far
    tools: list        # Tools offered
    system: str = ""


@dataclass
class Turn:
    number: int
    text: str = ""
    calls: list = field(default_factory=list)
    reasoning: str = ""
    stop: str = ""      # "length": the answer was cut at its limit; else made from calls
    usage: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    refusal: str = ""   # said instead of an answer, as the dialect marks it


def directive(history):
    """The script a prompt carries itself: [[fake {"turns": [...]}]] in any of the user's messages."""
    for text in history.users:
        found = DIRECTIVE.search(text)
        if found:
            try:  # JSON itself finds the end
                return json.JSONDecoder().raw_decode(text, found.end())[0]
            except ValueError as error:
                raise BadScript(f"the prompt's [[fake ...]] is no JSON: {error}") from error
    return None


def choose_script(scripts, model, history):
    own = directive(history)
    if own is not None:
        return own
    texts = "\n".join([history.system, *history.users])
    for script in scripts:
        if fnmatch.fnmatchcase(model, script.get("model", "*")) and script.get("prompt", "") in texts:
            return script
    return {"turns": DEFAULT_TURNS}


def commands(turn):
    shell = turn.get("shell", [])
    return [shell] if isinstance(shell, str) else list(shell)


def choose_turn(turns, history):
    """(number, turn): the first turn whose calls have no result yet; a turn of text only is over when it was said."""
    left = history.results
    for number, turn in enumerate(turns):
        calls = len(commands(turn)) + len(turn.get("tools", []))
        said = not calls and number + 1 < len(turns) and turn.get("text", "") in history.assistants
        if calls > left or (not calls and not said):
            return number, turn
        left -= calls
    return len(turns), {"text": "Done."}


def shell_tool(tools):
    for name in SHELL_TOOLS:
        for tool in tools:
            if tool.name == name and tool.type != "custom":
                return tool
    return next((tool for tool in tools if tool.type == "code"), None)


def filler(schema):
    """A value of the type that a required argument wants."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "string")
    kind = (kind[0] if isinstance(kind, list) else kind).lower()
    return {"boolean": False, "integer": 10000, "number": 10000, "array": [], "object": {}}.get(kind, "run a command")


def shell_call(tool, command):
    if tool.type == "code":
        return Call(tool, "const result = await tools.exec_command(" + json.dumps({"cmd": command})
                    + ");\ntext(result.output ?? JSON.stringify(result));\n")
    properties = tool.schema.get("properties", {})
    arguments = {name: filler(properties.get(name, {})) for name in tool.schema.get("required", [])}
    name = next((n for n in ("cmd", "command", "script") if n in properties), "command")
    kind = str(properties.get(name, {}).get("type", "string")).lower()
    arguments[name] = ["bash", "-lc", command] if kind == "array" else command
    return Call(tool, arguments)


def named_call(tools, wanted):
    """{"name": ..., "arguments": ...}: a call of just that tool, offered or not (a model may be wrong)."""
    tool = next((t for t in tools if t.name == wanted["name"]), Tool(wanted["name"]))
    return Call(tool, wanted.get("arguments", {}))


def make_usage(number, has_cache_write, override):
    """Tokens of turn NUMBER: input holds cached and cache_write, output holds reasoning. Nothing is by chance."""
    usage = {"input": 1000 + 500 * number, "cached": 800 + 500 * (number - 1) if number else 0,
             "cache_write": 100 if has_cache_write else 0, "output": 50 + 10 * number, "reasoning": 20}
    usage.update({k: v for k, v in override.items() if k in usage})
    return usage


def make_turn(scripts, model, history, has_cache_write):
    script = choose_script(scripts, model, history)
    number, said = choose_turn(script.get("turns", DEFAULT_TURNS), history)
    unknown = set(said) - {"text", "shell", "tools", "reasoning", "stop", "usage", "repeat", "bytes", "options",
                           "refusal", "submit"}
    if unknown:
        raise BadScript(f"unknown member of a turn: {', '.join(sorted(unknown))}")
    text = said.get("text", "") * said.get("repeat", 1)
    calls = [named_call(history.tools, wanted) for wanted in said.get("tools", [])]
    shell = shell_tool(history.tools)
    if commands(said) and not shell:
        # A title, a summary, a classification beside the conversation: no tool, so no turn of it.
        if history.tools:
            raise BadScript("no shell tool among: " + ", ".join(t.name for t in history.tools))
        return Turn(number, "A task", usage=make_usage(0, has_cache_write, {}))
    calls += [shell_call(shell, command) for command in commands(said)]
    # A client may want to be told that the work is done: its last words then come with that command.
    is_last = number + 1 >= len(script.get("turns", DEFAULT_TURNS)) and not (calls or said.get("stop") or said.get("refusal"))
    if is_last and text and shell and "`submit`" in history.system and said.get("submit", True):
        calls = [shell_call(shell, "submit")]
    return Turn(number, text, calls, said.get("reasoning", ""), said.get("stop", ""),
                make_usage(number, has_cache_write, {**script.get("usage", {}), **said.get("usage", {})}),
                {**script.get("options", {}), **said.get("options", {})},
                said.get("refusal", ""))

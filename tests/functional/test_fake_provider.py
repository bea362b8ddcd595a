# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake provider rejects what a provider rejects, plays its scripts and does the faults asked of it."""
import http.client
import json
import subprocess
import sys

import pytest

from conftest import SOURCE, wait_for
from models import DIALECTS, KEY, fake, scripted, sse  # noqa: F401


def ask(server, dialect, doc=None, key=KEY, headers=None, body=None, stream=False, target=None, timeout=60):
    """(status, document or bytes)"""
    dialect = DIALECTS[dialect]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        send = body if body is not None else json.dumps(dialect.document(stream=stream) if doc is None else doc)
        connection.request("POST", target or dialect.target(stream=stream), send,
                           {k: v for k, v in dialect.headers(key, **(headers or {})).items() if v is not None})
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, data if stream and answer.status == 200 else json.loads(data)
    finally:
        connection.close()


def said(doc):
    """The message of an error in any dialect's shape."""
    return doc["error"]["message"]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_good_request_is_answered_with_its_usage(fake, name):
    status, doc = ask(fake, name)
    assert status == 200
    assert "Done." in json.dumps(doc)
    status, data = ask(fake, name, stream=True)
    assert status == 200 and sse(data)
    entries = fake.log()
    assert [e.usage["input"] for e in entries] == [1000, 1000]
    assert entries[1].answer == data


@pytest.mark.parametrize("name", DIALECTS)
def test_a_missing_key_a_wrong_key_and_a_wrong_body_are_refused(fake, name):
    dialect = DIALECTS[name]
    assert ask(fake, name, key=None)[0] in (401, 403)
    assert ask(fake, name, key="sk-other")[0] in (400, 401)
    elsewhere = "x-api-key" if dialect.auth[0] != "x-api-key" else "x-goog-api-key"
    assert ask(fake, name, key=None, headers={elsewhere: KEY})[0] in (401, 403)
    assert ask(fake, name, body="{\"model\": ")[0] == 400
    assert ask(fake, name, body="[1]")[0] == 400
    assert ask(fake, name, headers={"Content-Type": "text/plain"})[0] in (400, 415)
    status, doc = ask(fake, name, dialect.document(surprise=1))
    assert status == 400 and "surprise" in said(doc)
    fake.configure(models=["other-*"])
    assert ask(fake, name)[0] == 404


CHAT_CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
USER = {"role": "user", "content": "hi"}
CLAUDE_CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
GEMINI_USER = {"role": "user", "parts": [{"text": "hi"}]}
GEMINI_CALL = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}


def claude_result(name="t1"):
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": name, "content": "x"}]}


@pytest.mark.parametrize("name,change,words", [
    ("chat", {"messages": None}, "messages"),
    ("chat", {"messages": []}, "empty array"),
    ("chat", {"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ("chat", {"messages": [USER, CHAT_CALL]}, "c1"),
    ("chat", {"messages": [USER, CHAT_CALL, USER]}, "c1"),
    ("chat", {"messages": [USER, {"role": "tool", "tool_call_id": "c1", "content": "x"}]}, "preceeding"),
    ("chat", {"stream_options": {"include_usage": True}}, "stream_options"),
    ("chat", {"tools": []}, "tools"),
    ("chat", {"temperature": 3}, "temperature"),
    ("responses", {"input": None}, "input"),
    ("responses", {"input": [{"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}]}, "c1"),
    ("responses", {"input": [{"type": "function_call_output", "call_id": "c1", "output": "x"}]}, "c1"),
    ("responses", {"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "content[0]"),
    ("responses", {"previous_response_id": "resp_1"}, "resp_1"),
    ("anthropic", {"max_tokens": 0}, "max_tokens"),
    ("anthropic", {"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
    ("anthropic", {"messages": [{"role": "assistant", "content": "x"}]}, "first message"),
    ("anthropic", {"messages": [USER, CLAUDE_CALL]}, "t1"),
    ("anthropic", {"messages": [USER, CLAUDE_CALL, USER]}, "t1"),
    ("anthropic", {"messages": [USER, CLAUDE_CALL, claude_result("t2")]}, "t2"),
    ("anthropic", {"messages": [claude_result()]}, "t1"),
    ("anthropic", {"tools": [{"name": "f"}]}, "input_schema"),
    ("anthropic", {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "non-empty"),
    ("gemini", {"contents": []}, "contents"),
    ("gemini", {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
    ("gemini", {"contents": [{"role": "user", "parts": []}]}, "parts"),
    ("gemini", {"contents": [GEMINI_USER, GEMINI_CALL, GEMINI_USER]}, "function response"),
    ("gemini", {"generationConfig": {"maxTokens": 3}}, "maxTokens"),
])
def test_what_a_provider_rejects_is_rejected(fake, name, change, words):
    doc = {k: v for k, v in DIALECTS[name].document(**change).items() if v is not None}
    status, answer = ask(fake, name, doc)
    assert status == 400, answer
    assert words in said(answer)


@pytest.mark.parametrize("member,header", [("max_tokens", None), (None, "anthropic-version")])
def test_anthropic_needs_a_limit_and_a_version(fake, member, header):
    doc = {k: v for k, v in DIALECTS["anthropic"].document().items() if k != member}
    status, answer = ask(fake, "anthropic", doc, headers={header: None} if header else {})
    assert status == 400 and answer["type"] == "error"
    assert (member or header) in said(answer)


TOOLS = {
    "chat": [{"type": "function", "function": {"name": "bash", "parameters": {
        "type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}}],
    "responses": [{"type": "function", "name": "shell", "parameters": {
        "type": "object", "properties": {"command": {"type": "array"}}}}],
    "anthropic": [{"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}],
    "gemini": [{"functionDeclarations": [{"name": "run_shell_command", "parameters": {
        "type": "OBJECT", "properties": {"command": {"type": "STRING"}}}}]}]}


def converse(server, name, prompt, turns):
    """Talk to the end as a client would, with a result for every call; returns the commands called."""
    doc, commands = DIALECTS[name].document(prompt, tools=TOOLS[name]), []
    for _ in range(turns):
        status, answer = ask(server, name, doc)
        assert status == 200, answer
        if name == "chat":
            message = answer["choices"][0]["message"]
            calls = message.get("tool_calls", [])
            doc["messages"] += [message] + [{"role": "tool", "tool_call_id": c["id"], "content": "r"} for c in calls]
            commands += [json.loads(c["function"]["arguments"])["command"] for c in calls]
        elif name == "responses":
            calls = [i for i in answer["output"] if i["type"] == "function_call"]
            doc["input"] += answer["output"] + [{"type": "function_call_output", "call_id": c["call_id"], "output": "r"}
                                                for c in calls]
            commands += [json.loads(c["arguments"])["command"][-1] for c in calls]
        elif name == "anthropic":
            calls = [b for b in answer["content"] if b["type"] == "tool_use"]
            doc["messages"] += [{"role": "assistant", "content": answer["content"]}]
            doc["messages"] += [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": c["id"]}
                                                             for c in calls]}] if calls else []
            commands += [c["input"]["command"] for c in calls]
        else:
            content = answer["candidates"][0]["content"]
            calls = [p["functionCall"] for p in content["parts"] if "functionCall" in p]
            doc["contents"] += [content] + ([{"role": "user", "parts": [
                {"functionResponse": {"name": c["name"], "response": {}}} for c in calls]}] if calls else [])
            commands += [c["args"]["command"] for c in calls]
    return commands


@pytest.mark.parametrize("name", DIALECTS)
def test_a_script_is_played_through_the_tool_that_is_offered(fake, name):
    prompt = scripted(turns=[{"text": "look", "shell": ["ls", "pwd"]}, {"shell": "echo 'ü'"}, {"text": "the end"}])
    assert converse(fake, name, prompt, 3) == ["ls", "pwd", "echo 'ü'"]
    assert [e.turn for e in fake.log()] == [0, 1, 2]
    assert b"the end" in fake.log()[2].answer


def test_faults_are_done_to_the_requests_named(fake):
    fake.configure(rules=[{"nth": [2], "do": {"status": 429, "headers": {"Retry-After": "7"}}},
                          {"model": "broken-*", "do": {"status": 529}},
                          {"prompt": "cut me", "do": {"cut_after": 2}},
                          {"prompt": "reset me", "do": {"reset": True}}])
    assert [ask(fake, "anthropic")[0] for _ in range(3)] == [200, 429, 200]
    assert ask(fake, "anthropic", DIALECTS["anthropic"].document(model="broken-1"))[0] == 529
    with pytest.raises(http.client.IncompleteRead):
        ask(fake, "chat", DIALECTS["chat"].document("cut me", stream=True), stream=True)
    with pytest.raises(ConnectionResetError):
        ask(fake, "chat", DIALECTS["chat"].document("reset me"))


def test_a_client_that_leaves_a_stall_is_noticed(fake):
    fake.configure(options={"stall": None})
    with pytest.raises(TimeoutError):
        ask(fake, "chat", timeout=0.2)
    entry = wait_for(lambda: next((e for e in fake.log() if e.ended), None))
    assert entry.left


def test_refused_connections_come_back(fake):
    fake.refuse(0.5)

    def refused():
        try:
            ask(fake, "chat")
        except ConnectionRefusedError:
            return True
    wait_for(refused)

    def back():
        try:
            return ask(fake, "chat")[0] == 200
        except ConnectionRefusedError:
            return False
    wait_for(back)


def test_it_runs_as_a_program(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"keys": [KEY], "options": {"add_headers": {"x-ratelimit-remaining-requests": "9"}}}))
    argv = [sys.executable, str(SOURCE / "tests/fake/model_server.py"), "--config", str(config)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        try:
            child.port = json.loads(child.stdout.readline())["port"]
            assert ask(child, "responses")[0] == 200
            connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=60)
            connection.request("GET", "/_fake/log")
            entries = json.loads(connection.getresponse().read())
            connection.close()
            assert entries[0]["key"] == KEY and entries[0]["dialect"] == "responses"
        finally:
            child.terminate()
        assert child.wait(timeout=30) == 0

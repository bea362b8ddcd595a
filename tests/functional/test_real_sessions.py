# SPDX-License-Identifier: GPL-3.0-or-later
"""The agents that are shipped as files, for real: several prompts in one session, pictures, MCP servers, and what they say of how
it went. As test_real_agents.py."""
import struct
import zlib

import pytest

from conftest import put
from models import fake, provided  # noqa: F401 (fixtures)
from test_real_agents import MODELS, TURNS, WANTED, installed, run_real, tail  # noqa: F401 (fixtures)

# One script for the whole session: the first prompt is over with its text.
SESSION = [*TURNS, {"shell": "echo twice > src/second.txt"}, {"text": "And the second."}]
NEXT = "Now write src/second.txt as well."


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
       + chunk(b"IDAT", zlib.compress((b"\0" + b"\xc0\x20\x40" * 64) * 64)) + chunk(b"IEND", b""))


@pytest.mark.parametrize("name, api", [pair for pair in WANTED if pair[0] != "gemini"])
def test_a_session_of_two_prompts(run_real, make_task, fake, name, api):
    """The second is asked in the same history; the numbers are the gateway's, for each prompt."""
    def task(**given):
        return make_task(**given, meta={"lm": {"instructions": given["instructions"], "follow_ups": [NEXT]}})

    result, top = run_real(name, SESSION, api, task=task)
    assert (result["outcome"], result["total_score"]) == ("completed", 1), (result["reason"], tail(top))
    assert "second.txt" in (top / "artifacts/diff.patch").read_text(), tail(top)
    first, second = result["agent"]["prompts"]
    assert (first["outcome"], first["tokens_total"]) == ("completed", 1000 + 1500 + 50 + 60), (first, second)
    assert (second["outcome"], second["tokens_total"]) == ("completed", 2000 + 2500 + 70 + 80), (first, second)
    bodies = [entry.request.body.decode() for entry in fake.log() if entry.status == 200]
    assert NEXT in bodies[-1] and "Fixed the typo." in bodies[-1] and NEXT not in bodies[0], tail(top)
    m = result["agent"]["metrics"]
    assert first["tokens_total"] + second["tokens_total"] == m["tokens_total"] and m["tool_calls"] == 2, m
    if m["tokens_agent"] >= 0:  # what it says itself of the whole session
        assert m["tokens_agent"] == m["tokens_total"], m


@pytest.mark.parametrize("name, api", WANTED)
def test_a_picture(run_real, make_task, fake, name, api):
    """It reaches the model as a picture."""
    def task(**given):
        folder = make_task(**given, meta={"lm": {"instructions": given["instructions"], "images": ["mock.png"]}})
        (folder / "mock.png").write_bytes(PNG)
        return folder

    result, top = run_real(name, TURNS, api, task=task)
    assert (result["outcome"], result["total_score"]) == ("completed", 1), (result["reason"], tail(top))
    bodies = [entry.request.body.decode() for entry in fake.log() if entry.status == 200]
    kinds = ('"type":"image"', '"input_image"', '"image_url"', '"inlineData"')
    text = bodies[0].replace(": ", ":")
    assert any(kind in text for kind in kinds), text[:3000]


# Speaks just enough of MCP over its standard input and output.
SERVER = '''import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = {"initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "words", "version": "1"}},
              "tools/list": {"tools": [{"name": "find_a_word", "description": "Finds one", "inputSchema": {"type": "object", "properties": {}}}]}
              }.get(asked["method"], {})
    if asked["method"] == "initialize":
        result["protocolVersion"] = asked["params"]["protocolVersion"]
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
'''


@pytest.mark.parametrize("name, api", {name: (name, api) for name, api in reversed(WANTED) if name != "pi"}.values())
def test_servers_of_a_task(run_real, make_task, fake, name, api):
    """Its tool is among those that the model is offered."""
    def task(**given):
        return make_task(**given, files={"overlay_files/words.py": SERVER}, meta={"mcp": {"words": {"command": ["python3", "/app/words.py"]}}})

    result, top = run_real(name, TURNS, api, task=task)
    assert (result["outcome"], result["total_score"]) == ("completed", 1), (result["reason"], tail(top))
    assert any("find_a_word" in entry.request.body.decode() for entry in fake.log()), tail(top)


@pytest.mark.parametrize("name, api", [("claude", "anthropic"), ("codex", "responses")])
def test_a_server_that_fails_is_no_fault_of_the_agents(run_real, make_task, name, api):
    def task(**given):
        return make_task(**given, meta={"mcp": {"broken": {"command": ["false"]}}})

    result, top = run_real(name, TURNS, api, task=task, check=1)
    assert (result["outcome"], result["total_score"]) == ("infra_error", None), tail(top)
    assert result["reason"].endswith("its set-up failed: broken"), result["reason"]


@pytest.mark.parametrize("options, outcome, denials", [("max_turns = 1", "budget", 0), ('permission_mode = "default"', "completed", 1)])
def test_what_claude_says_of_how_it_went(run_real, workdir, installed, options, outcome, denials):
    installed("claude")
    put(workdir / "agents/other.toml", f'base = "claude"\noptions = {{ {options} }}\n')
    result, top = run_real("other", TURNS, "anthropic", model=MODELS["claude"])
    assert (result["outcome"], result["metrics"]["permission_denials"]) == (outcome, denials), (result["reason"], tail(top))

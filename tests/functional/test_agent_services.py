# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent has around it: MCP servers, services, commands before it starts."""
import json

import pytest

from conftest import put
from models import fake, provided  # noqa: F401 (fixtures)

# Takes its MCP servers in three forms, and says what it was told.
TOLD = """needs = "model"
apis = ["chat"]
argv = ["sh", "{home}/agent.sh"]
[files]
"{home}/agent.sh" = '''
{ echo "args=$*"; cat ~/mcp.json; echo; cat ~/.rollouts/services/web.log; curl -s --max-time 5 http://127.0.0.1:7777/hello; } > /app/notes.md
'''
[mcp_config]
format = "FORMAT"
args = ["--mcp", "{mcp}"]
files = { "{home}/mcp.json" = '{"mcpServers": {mcp}}' }
"""
AROUND = """before = ["echo made by a shell > /app/repo/../made || exit 3", ["touch", "{home}/touched"]]
[mcp.docs]
command = ["python3", "-m", "docs_server", "{home}/x"]
env = { LEVEL = "2" }
[mcp.far]
url = "http://127.0.0.1:7777/mcp"
[services.web]
argv = ["python3", "-u", "-m", "http.server", "7777", "--bind", "127.0.0.1", "--directory", "{home}"]
ready = ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 7777)).close()"]
"""


@pytest.fixture
def around(workdir, make_task, run_cli, rollout, provided):
    """around(text, format="json", check=0): one trial of a benchmark that gives TEXT to its agent; returns (notes, result, command)."""
    def run(text, format="json", check=0, agent="told"):
        put(workdir / "agents/told.toml", TOLD.replace("FORMAT", format))
        task = workdir / "tasks/greet" if (workdir / "tasks/greet").exists() else make_task()
        (workdir / "bench.toml").write_text(f"name = 'bench'\nretries = 0\nmodel = 'any-fake'\nagent = '{agent}'\n{text}\n[[tasks]]\nprepared_dir = '{task}'\n")
        done = run_cli("run", "bench.toml", check=check, env=provided(["chat"]))
        if check == 2:
            return done
        row, = rollout().manifest["results"]
        top = workdir / "data/runs" / row["run_id"]
        notes = top / "artifacts/notes.md"
        return notes.read_text() if notes.exists() else "", json.loads((top / "result.json").read_text()), done

    return run


def test_servers_services_and_commands_are_there_before_it_starts(around):
    notes, result, _ = around(AROUND)
    assert result["outcome"] == "completed", result["reason"]
    servers = {"docs": {"command": "python3", "args": ["-m", "docs_server", "/home/agent/x"], "env": {"LEVEL": "2"}},
               "far": {"type": "http", "url": "http://127.0.0.1:7777/mcp"}}
    assert json.loads(notes.splitlines()[1]) == {"mcpServers": servers}
    assert json.loads(notes.splitlines()[0].removeprefix("args=--mcp ")) == servers
    assert "Serving HTTP on 127.0.0.1" in notes and result["agent"]["metrics"]["left_running"] in (0, 1, 2)


@pytest.mark.parametrize("form, words", [
    ("toml", 'args=--mcp {"docs" = {"command" = "python3", "args" = ["-m", "docs_server", "/home/agent/x"], "env" = {"LEVEL" = "2"}}'),
    ("opencode", '"docs":{"type":"local","enabled":true,"command":["python3","-m","docs_server","/home/agent/x"],"environment":{"LEVEL":"2"}}'),
])
def test_servers_in_the_form_that_an_agent_takes(around, form, words):
    text = AROUND[AROUND.index("[mcp.docs]"):AROUND.index("[services.web]")]
    assert words in around(text, form)[0].replace('": ', '":').replace(', "', ',"') or words in around(text, form)[0]


def test_a_service_that_is_not_ready_is_no_fault_of_the_agents(around):
    _, result, _ = around('[services.db]\nargv = ["sh", "-c", "echo no disk; sleep 600"]\nready = ["sh", "-c", "echo not yet; false"]\nready_sec = 1',
                          check=1)
    assert (result["outcome"], result["total_score"]) == ("infra_error", None)
    assert "services.db was not ready after 1 s: not yet" in result["reason"]


def test_a_command_before_that_fails(around):
    _, result, _ = around('before = ["echo no luck; exit 4"]', check=1)
    assert result["outcome"] == "infra_error" and "before: echo no luck; exit 4 failed: no luck" in result["reason"]


@pytest.mark.parametrize("text, agent, words", [
    ("[mcp.x]\ncommand = ['true']", "bash", "it takes no MCP servers: its file has no [mcp_config]"),
    ("[mcp.x]\nurl = 'http://x'\ncommand = ['true']", "told", "[mcp.x] needs either command or url"),
    ("[services.x]\nready = ['true']", "told", '[services.x] has no "argv"'),
    ("[mcp.x]\ncomand = ['true']", "told", 'unknown key "comand" in [mcp.x] (did you mean "command"?)'),
])
def test_what_cannot_be_is_told_before_anything_runs(around, text, agent, words):
    assert words in around(text, agent=agent, check=2).stderr

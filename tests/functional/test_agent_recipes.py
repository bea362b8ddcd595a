# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/agent-recipes.md as it is printed: each section's files are written and its commands run. In the place of Claude Code stands a
small program that is fetched and told things as it is."""
import os
import re
import subprocess

import pytest

from conftest import SOURCE, put
from models import fake, provided  # noqa: F401 (fixtures)
from test_agents import PACKAGE

PAGE = (SOURCE / "docs/agent-recipes.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
STAND_IN = """summary = "stands in for Claude Code"
argv = ["claude", "-p"]
[install]
version = "2.1.330"
npm = ["hello-bot@{version}"]
program = ["node_modules/hello-bot/run"]
[system_prompt]
append = { args = ["--append-system-prompt", "{system_prompt}"] }
[mcp_config]
args = ["--mcp-config", "{mcp}"]
"""
SOLVES = "[[fake {\"turns\": [{\"shell\": \"sed -i s/nmae/name/ src/greet.py\"}, {\"text\": \"Mended.\"}]}]]"


def blocks(section):
    return re.findall(r"^```(\w+)\n(.*?)^```", SECTIONS[section], re.M | re.S)


@pytest.fixture
def follow(workdir, binary, make_task, run_cli, provided):
    """follow(section): does what it says, in its order; returns what its commands said."""
    def run(section):
        for tool, text in (("npm", PACKAGE),):
            put(workdir / "tools" / tool, "#!/bin/sh\n" + text)
            (workdir / "tools" / tool).chmod(0o755)
        put(workdir / "xdg/rollouts/agents/claude.toml", STAND_IN)
        make_task(instructions=f"Fix greet() in src/greet.py. {SOLVES}\n")
        env = {**os.environ, **provided(["chat"]), "XDG_CONFIG_HOME": str(workdir / "xdg"), "XDG_CACHE_HOME": str(workdir / "cache"),
               "PATH": f"{binary.parent}:{workdir}/tools:/usr/bin:/bin"}
        providers = workdir / "xdg/rollouts/providers.toml"
        providers.write_text(providers.read_text().replace("*-fake", "my-model"))
        put(workdir / "words.py", "print()\n")
        put(workdir / "CLAUDE.md", "Be brief.\n")
        put(workdir / "skills/lint/SKILL.md", "# Lint\n")
        put(workdir / "hooks.json", "{}\n")
        said = ""
        for kind, text in blocks(section):
            if kind == "toml" and text.startswith("# bench.toml"):
                put(workdir / "bench.toml", text)
            for line in text.splitlines() if kind == "sh" else ():
                done = subprocess.run(line, shell=True, cwd=workdir, env=env, text=True, capture_output=True, timeout=300)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                said += done.stdout
        return said

    return run


def test_benchmark_my_own_agent(follow, rollout):
    said = follow("Benchmark my own agent")
    assert "mine" in said and "works by chat" in said
    row, = rollout().manifest["results"]
    assert rollout().runs[row["run_id"]]["total_score"] == 1


@pytest.mark.parametrize("section, agents", [
    ("Compare two prompts", {"claude": "2.1.330", "terse": "2.1.330"}),
    ("Two versions of an agent", {"claude@2.1.329": "2.1.329", "claude@2.1.330": "2.1.330"}),
    ("Skills, CLAUDE.md, hooks", {"claude": "2.1.330", "skilled": "2.1.330"}),
])
def test_variants(follow, rollout, section, agents):
    said = follow(section)
    found = {row["agent"]: rollout().runs[row["run_id"]] for row in rollout().manifest["results"]}
    assert {name: result["agent"]["version"] for name, result in found.items()} == agents
    assert all(name in said for name in agents)


def test_add_an_mcp_server(follow, run_cli, workdir, binary, rollout, provided):
    env = {"XDG_CACHE_HOME": str(workdir / "cache"), "PATH": f"{binary.parent}:{workdir}/tools:/usr/bin:/bin"}
    put(workdir / "tools/npm", "#!/bin/sh\n" + PACKAGE)
    (workdir / "tools/npm").chmod(0o755)
    put(workdir / "xdg/rollouts/agents/claude.toml", STAND_IN)
    run_cli("agents", "install", "claude", env=env, check=0)
    follow("Add an MCP server")
    row, = rollout().manifest["results"]
    assert row["agent"] == "with-words" and rollout().runs[row["run_id"]]["outcome"] == "completed"


def test_each_section_that_was_promised_is_there():
    assert set(SECTIONS) == {"Benchmark my own agent", "Compare two prompts", "Two versions of an agent", "Add an MCP server",
                             "Skills, CLAUDE.md, hooks"}

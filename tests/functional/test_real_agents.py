# SPDX-License-Identifier: GPL-3.0-or-later
"""The agents that are shipped as files, for real: fetched through npm, run in a sandbox without a network,
against the fake provider. codex, claude and pi always, all six with ROLLOUTS_TEST_AGENTS=all (make test-agents).

They are kept in $ROLLOUTS_TEST_CACHE (~/.cache/rollouts-tests). Where npm gets nothing the tests are skipped,
but not in CI.
"""
import os
import subprocess
from pathlib import Path

import pytest

from bridge import Bridge
from models import ModelServer

ALL = ("codex", "claude", "pi", "gemini", "opencode", "qwen")
WANTED = ALL if os.environ.get("ROLLOUTS_TEST_AGENTS") == "all" else ALL[:3]
CACHE = Path(os.environ.get("ROLLOUTS_TEST_CACHE", "~/.cache/rollouts-tests")).expanduser()
MODELS = {"codex": "gpt-fake", "claude": "claude-fake", "gemini": "gemini-fake"}
# Two model calls: a command that fixes the bug, then the last word. As the fake provider's default usage is.
TURNS = [{"shell": """printf "def greet(name):\\n    return 'hello ' + name\\n" > src/greet.py"""},
         {"text": "Fixed the typo."}]
SPENT = {"tokens_input": 1000 + 1500, "tokens_cached": 800, "tokens_output": 50 + 60, "tokens_total": 2610,
         "tool_calls": 1}
UNTOLD = {"gemini": {"tokens_output"}}  # what an agent's own output does not tell


@pytest.fixture(scope="session")
def installed(binary):
    """installed(name): the agent is in the test cache, or the test is skipped (in CI it fails)."""
    known = {}

    def get(name):
        if name not in known:
            env = {**os.environ, "XDG_CACHE_HOME": str(CACHE)}
            known[name] = subprocess.run([binary, "agents", "install", name], env=env, text=True,
                                         capture_output=True, timeout=1200)
        done = known[name]
        if done.returncode:
            words = f"{name} cannot be installed: {done.stdout}{done.stderr}"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(words)

    return get


@pytest.fixture
def provider(workdir):
    """A fake provider that takes any key, and the socket that leads to it."""
    with ModelServer() as server, Bridge(workdir / "gateway.sock", server.port) as bridge:
        server.socket = bridge.path
        yield server


@pytest.fixture
def run_real(run_cli, make_task, make_bench, rollout, provider, installed):
    """run_real(name, turns, check=0, **bench): one trial; returns (result, run directory, done)."""
    def run(name, turns, check=0, model=None, **more):
        installed(name)
        model = model or MODELS.get(name, "any-fake")
        provider.configure(scripts=[{"turns": turns}])
        make_bench(make_task(), agent=name, model=model, timeout_sec=300, retries=0, **more)
        done = run_cli("run", "bench.toml", "--gateway", provider.socket, check=check, timeout=600,
                       env={"XDG_CACHE_HOME": str(CACHE)})
        (run_id, result), = rollout().runs.items()
        return result, rollout().dir.parents[2] / "runs" / run_id, done

    return run


@pytest.mark.parametrize("name", WANTED)
def test_an_agent_solves_a_task(run_real, provider, name):
    result, top, _ = run_real(name, TURNS)
    log = (top / "logs/agent.log").read_text()[-3000:] + (top / "logs/agent.err").read_text()[-3000:]
    assert (result["outcome"], result["total_score"]) == ("completed", 1), log
    agent = result["agent"]
    assert (agent["final_message"], bool(agent["version"])) == ("Fixed the typo.", True), log
    spent = {key: None if key in UNTOLD.get(name, ()) else value for key, value in SPENT.items()}
    assert {key: agent["metrics"][key] for key in spent} == spent, log
    asked = [entry.status for entry in provider.log()]
    assert asked.count(200) == 2, asked  # claude tries something new once, which not every model takes
    assert list((top / "artifacts/agent").rglob("*")), "no transcript was collected"

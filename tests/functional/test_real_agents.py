# SPDX-License-Identifier: GPL-3.0-or-later
"""The agents that are shipped as files, for real: fetched through npm or from the Python index, run in a sandbox without a
network, through the gateway, against the fake provider. codex, claude and pi always, all eight and every API of each with
ROLLOUTS_TEST_AGENTS=all (make test-agents).

They are kept in $ROLLOUTS_TEST_CACHE (~/.cache/rollouts-tests). Where one cannot be fetched its tests are skipped,
but not in CI.
"""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import engines
from conftest import put
from models import DIALECTS, KEY, cost, fake, provided  # noqa: F401 (fixtures)
from test_docker import docker_task  # noqa: F401 (a fixture)

APIS = {"codex": ["responses"], "claude": ["anthropic"], "pi": list(DIALECTS), "gemini": ["gemini"],
        "opencode": list(DIALECTS), "qwen": ["chat", "responses", "gemini"],
        "mini-swe-agent": list(DIALECTS), "aider": ["anthropic", "chat", "gemini"]}
if os.environ.get("ROLLOUTS_TEST_AGENTS") == "all":
    WANTED = [(name, api) for name, apis in APIS.items() for api in apis]
else:
    WANTED = [("codex", "responses"), ("claude", "anthropic"), ("pi", "chat")]
CACHE = Path(os.environ.get("ROLLOUTS_TEST_CACHE", "~/.cache/rollouts-tests")).expanduser()
MODELS = {"codex": "gpt-fake", "claude": "claude-fake", "gemini": "gemini-fake"}
# Two model calls: a command that fixes the bug, then the last word. As the fake provider's default usage is.
TURNS = [{"shell": """printf "def greet(name):\\n    return 'hello ' + name\\n" > src/greet.py"""},
         {"text": "Fixed the typo."}]
SPENT = {"tokens_input": 1000 + 1500, "tokens_cached": 800, "tokens_output": 50 + 60, "tokens_total": 2610,
         "tool_calls": 1}
SPENT_OF = {"mini-swe-agent": {**SPENT, "tool_calls": 2},
            "aider": {"tokens_input": 1000, "tokens_cached": 0, "tokens_output": 50, "tokens_total": 1050}}
# The two of the Python index end in ways of their own: a last command; an edit said in words, by an agent that has no tools.
TURNS_OF = {"mini-swe-agent": [TURNS[0], {"shell": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", **TURNS[1]}],
            "aider": [{"text": "src/greet.py\n```\ndef greet(name):\n    return 'hello ' + name\n```\nFixed the typo."}]}


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
def run_real(run_cli, make_task, make_bench, rollout, provided, installed, workdir):
    """run_real(name, turns, api, check=0, task=make_task, env={}, **bench): one trial; returns (result, run directory)."""
    def run(name, turns, api, check=0, task=make_task, env=None, **more):
        if name in APIS:
            installed(name)
        env = {**provided([api]), "XDG_CACHE_HOME": str(CACHE), **(env or {})}
        folder = task(instructions=f"Fix greet() in src/greet.py. [[fake {json.dumps({'turns': turns})}]]\n")
        make_bench(folder, agent=name, **{"model": MODELS.get(name, "any-fake"), **more}, timeout_sec=300, retries=0)
        run_cli("run", "bench.toml", check=check, timeout=600, env=env)
        (run_id, result), = rollout().runs.items()
        return result, workdir / "data/runs" / run_id

    return run


@pytest.fixture
def run_contained(run_real, engine, docker_task):
    """As run_real, in a container of IMAGE that has no network but the way to the model."""
    def run(*args, image=engines.BASE, task=None, **more):
        return run_real(*args, task=lambda **given: docker_task(image=image, **given, **(task or {})), sandbox="docker",
                        env={"DOCKER_HOST": engine.host}, **more)

    return run


def tail(top):
    return "".join((top / "logs" / name).read_text()[-3000:] for name in ("agent.log", "agent.err"))


def turns_of(name):
    return TURNS_OF.get(name, TURNS)


def expect_solved(result, top, fake, name, api):
    """Every number, as the provider counted it, the gateway, and the agent itself."""
    assert (result["outcome"], result["total_score"]) == ("completed", 1), tail(top)
    agent, metrics, spent = result["agent"], result["agent"]["metrics"], SPENT_OF.get(name, SPENT)
    assert agent["final_message"].endswith("Fixed the typo."), tail(top)
    assert agent["version"] and re.fullmatch("[0-9a-f]{64}", agent["tree"])
    assert {key: metrics[key] for key in spent} == spent, tail(top)
    assert metrics["tokens_agent"] == spent["tokens_total"], tail(top)  # by its own account
    answered = [entry for entry in fake.log() if entry.status == 200]  # claude tries something new once, in vain
    assert len(answered) == len(turns_of(name)) and {entry.dialect for entry in answered} == {api}
    assert metrics["money_usd"] == pytest.approx(cost(entry.usage for entry in answered))
    assert metrics["model_served"] == MODELS.get(name, "any-fake")
    assert list((top / "artifacts/agent").rglob("*")), "no transcript was collected"


@pytest.mark.parametrize("name, api", WANTED)
def test_an_agent_solves_a_task(run_real, fake, name, api):
    result, top = run_real(name, turns_of(name), api)
    expect_solved(result, top, fake, name, api)
    assert result["sandbox"] == "local"


@pytest.mark.parametrize("name, api", {name: (name, api) for name, api in reversed(WANTED)}.values())
def test_an_agent_solves_a_task_in_a_container(run_contained, fake, name, api):
    """The image knows nothing of it: it is mounted, with a node of its own where it needs one."""
    result, top = run_contained(name, turns_of(name), api)
    expect_solved(result, top, fake, name, api)
    assert result["sandbox"] == "docker"


# aider makes one call: where that fails, no model has answered, and the trial is missing.
@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in WANTED if name != "aider"))
def test_a_model_that_fails_is_no_success(run_real, fake, name):
    """Whatever status the agent exits with: claude reports success, pi exits with 0."""
    fake.configure(rules=[{"nth": list(range(2, 100)), "do": {"status": 403}}])
    result, top = run_real(name, turns_of(name), APIS[name][0])
    assert result["outcome"] == "agent_error", tail(top)
    # It had answered before: what became of it is the agent's to say, in its own words.
    assert ("You do not have access" if name in ("opencode", "mini-swe-agent") else "403") in result["reason"]
    assert KEY not in result["reason"]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in WANTED if name != "aider"))  # which starts no commands
def test_a_limit_ends_an_agent(run_real, fake, name):
    result, top = run_real(name, [{"shell": "echo on"}] * 50, APIS[name][0], token_limit=6000)
    assert result["outcome"] == "budget", tail(top)
    assert result["reason"].startswith("token_limit of 6000 reached")
    assert result["evaluated"] and result["agent"]["metrics"]["tokens_total"] < 12000


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in WANTED))
def test_an_agent_is_tried(run_cli, installed, name):
    installed(name)
    done = run_cli("agents", "check", name, env={"XDG_CACHE_HOME": str(CACHE)}, check=0, timeout=600)
    assert sorted(re.findall("works by ([a-z]+),", done.stdout)) == sorted(APIS[name])
    # One is enough, and no agent makes others beside it, but that mini-swe-agent asks on for a command.
    assert (" calls " in done.stdout) == (name == "mini-swe-agent")


# What makes an agent ask another model than its own where nobody says otherwise.
BESIDE = {"claude": {"name": "Agent", "arguments": {"description": "look around", "prompt": "Say what src holds.", "model": "haiku",
                                                   "subagent_type": "Explore"}}}


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in BESIDE if name in dict(WANTED)])
@pytest.mark.parametrize("small", [None, "small-fake"])
def test_models_beside_its_own_are_those_of_the_benchmark(run_real, fake, name, small):
    """Its own, or that of the role: no name that stands in the agent's program, which would be refused."""
    entry = {"roles": {"small": small}} if small else {}
    result, top = run_real(name, [{"tools": [BESIDE[name]]}, *TURNS], APIS[name][0], **entry)
    assert result["outcome"] == "completed" and result["reason"] == "", tail(top)
    asked = [e.model for e in fake.log() if e.status == 200]
    assert set(asked) == {MODELS[name]} | ({small} if small else set())
    assert len(asked) > 3, "nothing was asked beside the task"


@pytest.mark.parametrize("name, api", [("codex", "responses"), ("bash", "chat")])
def test_an_image_with_nothing_in_it(run_contained, name, api):
    """Busybox alone, no libc, no bash: codex is mounted, the built-in agent makes do with sh."""
    turns = [{"shell": "sed -i s/nmae/name/ src/greet.py"}, {"text": "Fixed the typo."}]
    result, top = run_contained(name, turns, api, image=engines.BUSYBOX, task={"tests": []})
    assert (result["outcome"], result["sandbox"]) == ("completed", "docker"), result["reason"]
    assert "+    return 'hello ' + name" in (top / "artifacts/diff.patch").read_text()
    assert result["agent"]["metrics"]["tokens_total"] == SPENT["tokens_total"]
    assert result["agent"]["metrics"]["tokens_agent"] == SPENT["tokens_total"]


def test_an_image_that_lacks_what_an_agent_needs(run_contained, fake):
    """No failure of the agent's, and none of the model's, which is never asked."""
    result, _ = run_contained("claude", TURNS, "anthropic", image=engines.BUSYBOX, task={"tests": []}, check=1)
    assert (result["outcome"], result["total_score"]) == ("infra_error", None)
    assert "No such file or directory (it is there, but the image lacks what it needs: glibc" in result["reason"]
    assert not fake.log()


VOLATILE = [{"shell": "ls -la --full-time; date +%s.%N; mktemp -u; echo $$ $RANDOM"}, {"shell": "cat src/greet.py; date +%N"},
            {"shell": "sleep 0.1; ps 2>/dev/null; date"}]


@pytest.mark.long
@pytest.mark.parametrize("name, api", [(name, api) for name, api in WANTED if name != "aider"])
def test_what_it_did_can_be_replayed(run_real, run_cli, rollout, fake, name, api, provided):
    """Times, process ids and generated call ids differ in each run: the model's words come from the recording all the same."""
    first, top = run_real(name, [*VOLATILE, *turns_of(name)], api)
    assert (first["outcome"], first["total_score"]) == ("completed", 1), tail(top)
    asked = len(fake.log())
    stamp = rollout().dir.name
    fake.configure(rules=[{"do": {"status": 500}}])
    run_cli("run", "bench.toml", "--replay", f"bench@{stamp}", env={**provided([api]), "XDG_CACHE_HOME": str(CACHE)}, timeout=600)
    stamps = sorted(p.name for p in rollout().dir.parent.iterdir())
    again = next(iter(rollout(stamp=stamps[-1]).runs.values()))
    assert (again["outcome"], again["total_score"]) == ("completed", 1), again["reason"]
    assert len(fake.log()) == asked, "the provider was asked"


PROMPT = "You are ROLLOUTS-7, who mends greetings."
OPTIONS = {"claude": {"effort": "high", "max_turns": 9, "disallowed_tools": ["Task", "WebSearch"]}, "codex": {"effort": "high"},
           "pi": {"effort": "low", "compaction": False}, "gemini": {"max_turns": 9, "disallowed_tools": ["save_memory"]},
           "opencode": {"max_turns": 9, "disallowed_tools": ["task"], "compaction": True},
           "qwen": {"max_turns": 9, "disallowed_tools": ["task"]}, "mini-swe-agent": {"max_turns": 9, "command_sec": 60},
           "aider": {"map_tokens": 0, "edit_format": "whole"}}


@pytest.mark.parametrize("how", ["system_prompt", "append_system_prompt"])
@pytest.mark.parametrize("name, api", {name: (name, api) for name, api in reversed(WANTED)}.values())
def test_options_and_a_prompt_reach_an_agent(run_real, fake, workdir, installed, name, api, how):
    """As a variant says them, whatever way the agent wants them."""
    if (name, how) == ("aider", "system_prompt"):
        pytest.skip("aider's own cannot be replaced: refused, as of any agent that lacks one")
    installed(name)
    options = ", ".join(f"{key} = {json.dumps(value)}" for key, value in OPTIONS[name].items())
    put(workdir / "agents/other.toml", f'base = "{name}"\n{how} = "{PROMPT}"\noptions = {{ {options} }}\n')
    result, top = run_real("other", turns_of(name), api, model=MODELS.get(name, "any-fake"))
    assert (result["outcome"], result["total_score"]) == ("completed", 1), tail(top)
    asked = [entry.request.body.decode() for entry in fake.log() if entry.status == 200]
    assert any(PROMPT in text for text in asked), asked[0][:3000]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents as variants of others: base, version, arguments, prompt, options, files; several in one benchmark."""
import hashlib
import json

import pytest

from conftest import put
from test_agents import PACKAGE, fake_npm  # noqa: F401 (a fixture)

# A command line that is told things in the ways that real ones are, and says what it was told.
TOLD = """argv = ["sh", "{home}/agent.sh", "--first"]
[env]
EFFORT = "low"
[files]
"{home}/agent.sh" = '''
{ echo "args=$*"; echo "effort=$EFFORT"; cat ~/prompt.md ~/settings.json 2>/dev/null; echo; } > /app/notes.md
sh ~/more/run.sh >> /app/notes.md 2>/dev/null; sha256sum < ~/more/picture >> /app/notes.md 2>/dev/null; true
'''
"{home}/settings.json" = '{"turns": {option:max_turns}, "off": ["web"{option:off}]}'
[system_prompt]
replace = { args = ["--prompt", "{home}/prompt.md"], files = { "{home}/prompt.md" = "{system_prompt}" } }
[options]
effort = { env = { EFFORT = "{option:effort}" }, choices = ["low", "high"] }
max_turns = { default = "-1" }
off = { default = "", each = ', "{}"' }
verbose = { args = ["--verbose", "{option:verbose}"] }
disable = { args = ["--disable", "{option:disable}"], repeat = true }
"""

PICTURE = b"\x00\xff\x89PNG"


@pytest.fixture
def told(workdir, make_task, run_cli, rollout):
    """told(tables, agents): runs AGENTS on one task; returns {agent: (its notes, its result)}."""
    def run(tables, agents, check=0, env=None, config="", **more):
        put(workdir / "agents/told.toml", TOLD)
        task = workdir / "tasks/greet" if (workdir / "tasks/greet").exists() else make_task()
        (workdir / "bench.toml").write_text(f"name = 'bench'\nmodel = 'm'\n{config}\n[[tasks]]\nprepared_dir = '{task}'\n"
                                            f"agents = {json.dumps(agents)}\n{tables}")
        done = run_cli("run", "bench.toml", check=check, env=env)
        if check:
            return done
        found = {}
        for row in rollout().manifest["results"]:
            top = workdir / "data/runs" / row["run_id"]
            notes = top / "artifacts/notes.md"
            found[row["agent"]] = notes.read_text() if notes.exists() else None, json.loads((top / "result.json").read_text())
        return found

    return run


def test_variants_stand_side_by_side(told, workdir):
    put(workdir / "prompts/terse.md", "Say {model} and ${nothing} in few words.\n")
    put(workdir / "skills/x/run.sh", "echo it runs {home}\n")
    put(workdir / "skills/x/picture", PICTURE)
    found = told("""
[agents.terse]
base = "told"
args = ["--more", "40"]
system_prompt = "file:prompts/terse.md"
options = { effort = "high", max_turns = 7, off = ["a", "b"], disable = ["p", "q"], verbose = true }
files = { "{home}/more" = "dir:skills/x" }
[agents.terser]
base = "terse"
args = ["--last"]
options = { max_turns = 3 }
""", ["told", "terse", "terser"])
    assert found["told"][0].splitlines()[:2] == ["args=--first", "effort=low"]
    assert '{"turns": -1, "off": ["web"]}' in found["told"][0]
    lines = found["terse"][0].splitlines()
    assert lines[:2] == ["args=--first --more 40 --disable p --disable q --verbose true --prompt /home/agent/prompt.md",
                         "effort=high"]
    assert "Say {model} and ${nothing} in few words." in lines  # as it lies: nothing in it stands for something else
    assert '{"turns": 7, "off": ["web", "a", "b"]}' in found["terse"][0]
    assert "it runs {home}" in lines and f"{hashlib.sha256(PICTURE).hexdigest()}  -" in lines
    assert '"turns": 3' in found["terser"][0] and "--more 40 --last" in found["terser"][0]
    assert all(result["outcome"] == "completed" for _, result in found.values())
    said = {name: result["agent"].get("variant") for name, (_, result) in found.items()}
    prompt = (workdir / "prompts/terse.md").read_bytes()
    assert said["terse"]["system_prompt"] == {"how": "replace", "sha256": hashlib.sha256(prompt).hexdigest()}
    assert (said["terse"]["options"]["effort"], said["terser"]["options"]["max_turns"]) == ("high", "3"), said


@pytest.mark.parametrize("table, words", [
    ('base = "told"\noptions = { efort = "high" }', 'it has no option "efort" (did you mean "effort"?); it has: '),
    ('base = "told"\noptions = { effort = "huge" }', 'options.effort = "huge" is not one of: low, high'),
    ('base = "told"\nappend_system_prompt = "x"', "it has no way to append its system prompt"),
    ('base = "shell"\nsystem_prompt = "x"', "it has no way to replace its system prompt"),
    ('base = "told@1.2.3"', "told has no [install], so that no version can be chosen"),
    ('base = "tolt"', 'no agent "tolt" (did you mean "told"?)'),
    ('base = "other"', "its base leads back to itself"),
    ('base = "nop"', '"nop" has no variants'),
    ('args = ["x"]', 'an agent has "argv", or "base"'),
    ('base = "told"\nsystem_prompt = "file:absent.md"', "open ./absent.md: No such file"),
    ('base = "told"\nfiles = { "{home}/x" = "dir:agents/told.toml" }', 'write "file:agents/told.toml"'),
    ('base = "told"\noptoins = {}', 'unknown key "optoins" in an agent file (did you mean "options"?)'),
])
def test_what_cannot_be_is_told_with_its_place(told, table, words):
    done = told(f"[agents.other]\n{table}\n", ["other"], check=2)
    assert words in done.stderr, done.stderr
    assert "bench.toml" in done.stderr


def test_versions_lie_side_by_side_and_variants_share_them(told, fake_npm, run_cli, workdir):
    """What a file names is what runs, or nothing does."""
    env = fake_npm(PACKAGE)
    tables = '[agents.terse]\nbase = "hello@1.2.4"\nargs = ["--terse"]\n'
    agents = ["hello@1.2.3", "hello@1.2.4", "terse"]
    done = told(tables, agents, env=env, check=2)
    for version in ("1.2.3", "1.2.4"):
        assert f"rollouts agents install hello@{version}" in done.stderr
    run_cli("agents", "install", "-c", "bench.toml", env=env, check=0)
    asked = next((workdir / "cache").rglob("asked")).read_text().splitlines()
    assert [line.split()[-1] for line in asked] == ["hello-bot@1.2.3", "hello-bot@1.2.4"]
    found = told(tables, agents, env=env)
    assert {name: result["agent"]["version"] for name, (_, result) in found.items()} == {
        "hello@1.2.3": "1.2.3", "hello@1.2.4": "1.2.4", "terse": "1.2.4"}


def test_a_file_for_a_fork_never_runs_the_original(told, fake_npm, run_cli, workdir):
    env = fake_npm(PACKAGE)
    run_cli("agents", "install", "hello", env=env, check=0)
    file = workdir / "xdg/rollouts/agents/hello.toml"
    put(workdir / "agents/hello.toml", file.read_text().replace('"hello-bot@', '"@fork/hello-bot@'))
    done = told("", ["hello"], env=env, check=2)
    assert 'agent "hello" is not installed: rollouts agents install hello -c bench.toml' in done.stderr
    run_cli("agents", "install", "hello", "-c", "bench.toml", env=env, check=0)
    assert told("", ["hello"], env=env)["hello"][1]["outcome"] == "completed"
    folders = sorted(p.name for p in (workdir / "cache/rollouts/agents/hello").iterdir() if p.is_dir())
    assert len(folders) == 2 and folders[0] == "1.2.3" and folders[1].startswith("1.2.3-")


def test_the_configuration_as_it_is_understood_has_the_variants(told, workdir, run_cli):
    """It is a benchmark itself, and means the same."""
    told('[agents.terse]\nbase = "told"\noptions = { effort = "high", off = ["a"] }\nargs = ["--say", "a \\"b\\""]\n', ["told", "terse"])
    text = run_cli("config", "bench.toml", check=0).stdout
    (workdir / "again.toml").write_text(text)
    first, again = (run_cli("run", name, "--dry-run", check=0).stdout for name in ("bench.toml", "again.toml"))
    assert "agent terse" in first and first == again

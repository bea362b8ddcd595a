# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that agents and tests need: the same ones for both, from wherever they lie, and nothing of what lies beside them."""
import glob
import json
import os

import pytest

from conftest import only, put, read_rollout

RUBRIC = [{"id": "r", "criterion": "c", "weight": 1}]


def program(path, text):
    put(path, f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def trial(run_cli, make_task, make_bench, agent_script, workdir):
    """trial(test, work="true", ...): its result, what the agent printed, and the command."""
    def run(test, work="true", check=0, folders=(), requires=(), home=None, files=None, **keys):
        path = ":".join([*map(str, folders), os.environ["PATH"]])
        made = workdir / "tasks/tools"
        if not made.exists():
            make_task("tools", rubrics=RUBRIC, tests=[("t.sh", "r", test)], gold=False, files=files)
        bench = make_bench(made, agent=agent_script(work, requires=list(requires)), model="m", **keys)
        done = run_cli("run", bench, check=check, env={"PATH": path, **({"HOME": str(home)} if home else {})})
        if check:
            return None, None, done
        row = read_rollout(workdir / "data").manifest["results"][-1]
        top = workdir / "data/runs" / row["run_id"]
        return json.loads((top / "result.json").read_text()), (top / "logs/agent.log").read_text(), done

    return run


def test_agent_and_tests_have_the_same_tools(trial, workdir, account, run_cli):
    program(workdir / "nvm/v9/bin/node", "[ \"$1\" = --version ] && printf 'v9\\033[2J\\nmore\\n' || echo node9")
    program(workdir / "jdk/bin/javac", "[ \"$1\" = -version ] && echo javac 99.1 >&2 || echo javac99")
    program(workdir / "own/mute", "exit 3")
    result, said, _ = trial("[ \"$(node) $(javac)\" = 'node9 javac99' ]", "node; javac", folders=[workdir / "nvm/v9/bin", workdir / "own"],
                            tools=["node", workdir / "jdk", "mute"])
    assert result["total_score"] == 1, result
    assert said.split() == ["node9", "javac99"]
    assert result["tools"] == {"node": str(workdir / "nvm/v9/bin/node"), str(workdir / "jdk"): str(workdir / "jdk"), "mute": str(workdir / "own/mute")}
    versions = result["tool_versions"]
    assert versions.pop("node").startswith("v9") and versions == {str(workdir / "jdk"): "javac 99.1", "mute": None}
    shown = run_cli("show", result["run_id"], check=0).stdout
    assert "node: v9" in shown and "javac 99.1" in shown and "\x1b" not in shown
    plan = json.loads(next((workdir / "data/rollouts").glob("*/*/plan.json")).read_text())
    assert plan["tools"]["versions"].pop("node").startswith("v9") and plan["tools"]["versions"] == versions


def test_a_shim_is_asked_what_it_stands_for(trial, workdir, account):
    real = program(workdir / "pyenv/versions/4.0/bin/python4", "echo four")
    program(workdir / "pyenv/bin/pyenv", f"[ \"$1 $2\" = 'which python4' ] && echo {real}")
    program(workdir / "pyenv/shims/python4", "exit 9")
    result, _, _ = trial("[ \"$(python4)\" = four ]", folders=[workdir / "pyenv/shims"], tools=["python4"])
    assert result["total_score"] == 1 and result["tools"] == {"python4": str(real)}
    program(workdir / "pyenv/bin/pyenv", "exit 1")
    _, _, done = trial("true", check=2, folders=[workdir / "pyenv/shims"], tools=["python4", "no-such-tool"])
    assert "stands for another program" in done.stderr and "\"no-such-tool\" is not on PATH" in done.stderr


def test_another_version_makes_other_trials(trial, workdir):
    keys = []
    for version in "1", "22":
        program(workdir / "own/bin/tool", f"echo {version}")
        result, _, _ = trial("tool", folders=[workdir / "own/bin"], tools=["tool"])
        keys.append(result["key"])
    assert keys[0] != keys[1]


@pytest.mark.local("a container has an image's programs below /usr")
def test_requires_works_below_usr(trial):
    found = [(d, n) for d in ["/usr/local/go/bin", *glob.glob("/usr/lib/jvm/*/bin"), *glob.glob("/usr/lib/postgresql/*/bin")]
             if os.path.isdir(d) for n in sorted(os.listdir(d))
             if os.access(f"{d}/{n}", os.X_OK) and not any(os.path.exists(f"{b}/{n}") for b in ("/usr/bin", "/usr/local/bin"))]
    if not found:
        pytest.skip("no Go, JDK or PostgreSQL below /usr")
    folder, name = found[0]
    _, said, _ = trial("true", f"command -v {name}", folders=[folder], requires=[name])
    assert said.strip() == f"{folder}/{name}"


@pytest.mark.parametrize("where", ["requires", "tools"])
def test_credentials_beside_a_program_are_not_shown(trial, workdir, where):
    home = workdir / "home"
    program(home / ".cargo/bin/tool", "cat \"${0%/bin/tool}/lib/tool/data\"")
    put(home / ".cargo/lib/tool/data", "its-own-data\n")
    put(home / ".cargo/credentials.toml", "SECRET\n")
    look = f"tool; cat {home}/.cargo/credentials.toml 2>/dev/null; ls -A {home}/.cargo"
    _, said, _ = trial("true", look, folders=[home / ".cargo/bin"], home=home, **{where: ["tool"]})
    assert said.split() == ["its-own-data", "bin", "lib"]


def test_path_of_a_task_is_expanded(trial):
    result, said, _ = trial("case $PATH in /opt/own:*/usr/bin*:/last) ;; *) exit 1;; esac", "echo $PATH",
                            files={".env": "PATH=/opt/own:$PATH:/last\n"})
    assert result["total_score"] == 1
    assert "/opt/own:" in said and "/usr/bin" in said and "$PATH" not in said


# --- caches -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("sandbox", ["local", "landlock"])
def test_a_cache_is_seen_and_never_changed(trial, workdir, account, sandbox, request):
    """By agent and tests, each of which may write to it for itself."""
    if sandbox == "landlock":
        request.getfixturevalue("landlock")
    home = workdir / "home"
    put(home / ".cache/go-build/aa/one", "warm\n")
    put(home / ".cache/go-build/aa/two", "two\n")
    put(workdir / "shared/repository/x.jar", "jar\n")
    before = sorted(str(p) for p in workdir.glob("home/**/*"))
    test = ("set -e; cd ~/.cache/go-build; [ \"$(cat aa/one)\" = warm ]; [ ! -e new ]; [ -e aa/two ]; echo t >>aa/one; rm aa/two; touch new; "
            "[ \"$(cat ~/.m2/repository/x.jar)\" = jar ]; touch ~/.cache/own")
    work = "cd ~/.cache/go-build && echo mine >aa/one && rm -r aa/two && mkdir new && mv aa/one aa/three && ls aa && cat ~/.m2/repository/*"
    result, said, _ = trial(test, work, home=home, sandbox=sandbox,
                            caches=["~/.cache/go-build", f"{workdir}/shared/repository:~/.m2/repository"])
    assert result["total_score"] == 1, result
    assert said.split() == ["three", "jar"]
    assert (home / ".cache/go-build/aa/one").read_text() == "warm\n"
    assert sorted(str(p) for p in workdir.glob("home/**/*")) == before


@pytest.mark.parametrize("cache, why", [
    ("~/.cargo", "credentials.toml may hold credentials"), ("~/nothing", "is not a folder: fill the cache first"),
    ("~/../home", "holds your home folder"), ("~/.cargo/registry:/usr", "/usr is no place for a cache"),
    ("~/.cargo/registry:~/../..", "is no place"), ("~/.cargo/registry:/app/repo/x", "is no place"),
    ("registry", "is an absolute path, or one that begins with ~/"),
])
def test_what_is_no_cache_is_refused(trial, workdir, cache, why):
    home = workdir / "home"
    put(home / ".cargo/credentials.toml", "SECRET\n")
    put(home / ".cargo/registry/index", "x\n")
    _, _, done = trial("true", check=2, home=home, caches=[cache])
    assert why in done.stderr, done.stderr


def test_a_closed_umask_closes_nothing_to_trials(run_cli, make_task, make_bench, rollout):
    """Workers of root run as other users, who read what it made."""
    before = os.umask(0o077)
    try:
        run_cli("run", make_bench(make_task("t", gold=False), agent="nop", model="m"), check=0)
    finally:
        os.umask(before)
    assert only(rollout())["outcome"] == "completed", only(rollout())["reason"]

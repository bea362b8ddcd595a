# SPDX-License-Identifier: GPL-3.0-or-later
"""Before the first trial the tests run once on the start commit: what is not there is told, and is never a score."""
import os
import signal

import pytest

from conftest import read_rollout, wait_for

RUBRIC = [{"id": "r", "criterion": "c", "weight": 1}]


def task(make_task, script, name="greet", path="t.sh", **more):
    return make_task(name, rubrics=RUBRIC, tests=[(path, "r", script)], **more)


def left(workdir):
    """Runs and rollouts, hidden ones too."""
    return [p.name for folder in ("runs", "rollouts") if (workdir / "data" / folder).exists()
            for p in (workdir / "data" / folder).iterdir() if p.name != "temp" and any(p.iterdir())]


MISSING = {
    "shell": ("t.sh", "no-such-tool test ./...\n"),
    "hidden": ("t.sh", "set -e\nno-such-tool build || exit 1\n"),
    "sh": ("t.sh", "sh -c 'no-such-tool'\n"),
    "env": ("t.sh", "printf '#!/usr/bin/env no-such-tool\\n' >x; chmod +x x; ./x\n"),
    "make": ("t.sh", "printf 'all:\\n\\tno-such-tool\\n' >Makefile; make\n"),
    "python": ("t.py", "import subprocess\n\n\ndef test():\n    subprocess.check_call(['no-such-tool'])\n"),
    "script": ("t.x", "#!/usr/bin/env no-such-tool\n"),
    "interpreter": ("t.x", "#!/opt/no-such-tool\n"),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.local("containers say it in the words of their own programs")
def test_a_missing_tool_stops_before_the_first_trial(run_cli, make_task, make_bench, agent_script, workdir, kind):
    path, script = MISSING[kind]
    bench = make_bench(task(make_task, script, path=path, gold=False), task(make_task, "true\n", name="fine"),
                       agent=agent_script("touch ran"), model="m")
    done = run_cli("run", bench, check=3)
    assert "task greet: test " + path in done.stderr and "no-such-tool" in done.stderr, done.stderr
    assert "1 of 2 tasks" in done.stderr and "--no-preflight" in done.stderr
    assert left(workdir) == []
    run_cli("run", bench, "--no-preflight", "--only", "fine", check=0)


def test_what_the_agent_is_to_make_is_not_missed(run_cli, make_task, make_bench, agent_script, workdir):
    agent = agent_script("printf '#!/bin/sh\\necho made\\n' >tool; chmod +x tool")
    bench = make_bench(task(make_task, "test \"$(./tool)\" = made\n", gold=False), agent=agent, model="m")
    run_cli("run", bench, check=0)
    assert [r["total_score"] for r in read_rollout(workdir / "data").manifest["results"]] == [1.0]


def test_a_tool_of_the_solution_is_not_missed(run_cli, make_repo, make_task, make_bench, workdir):
    repo = make_repo("maker", {"a": "1\n"}, {"bin/made-tool": "#!/bin/sh\necho made\n"})
    script = "chmod +x bin/* 2>/dev/null; PATH=$PWD/bin:$PATH; test \"$(made-tool)\" = made\n"
    bench = make_bench(task(make_task, script, repo=repo), agent="oracle")
    run_cli("run", bench, check=0)
    assert [r["total_score"] for r in read_rollout(workdir / "data").manifest["results"]] == [1.0]


MADE = "import os, pytest\n\n\n@pytest.mark.skipif({}, reason='not there')\ndef test(): pass\n"


def test_a_suite_that_only_skips_is_told(run_cli, make_task, make_bench, workdir):
    """What an agent is to bring may be what it waits for; with the task's own solution nothing is left to wait for."""
    said = "runs no test before any work"
    bench = make_bench(task(make_task, MADE.format("True"), path="t.py", gold=False), agent="nop")
    assert said in run_cli("run", bench, check=0).stdout
    assert read_rollout(workdir / "data").manifest["results"][0]["total_score"] == 0
    bench = make_bench(task(make_task, MADE.format("True"), path="t.py", name="mistaken"), agent="oracle")
    assert "runs no test, with the task's own solution neither" in run_cli("run", bench, check=0).stdout
    bench = make_bench(task(make_task, MADE.format("'hello' not in open('src/greet.py').read()"), path="t.py", name="meant"), agent="oracle")
    done = run_cli("run", bench, check=0)
    assert "runs no test" not in done.stdout
    assert read_rollout(workdir / "data").manifest["results"][0]["total_score"] == 1


def test_it_is_kept_and_seen_nowhere(run_cli, make_task, make_bench, workdir, account):
    bench = make_bench(task(make_task, "true\n"), rollouts=3)
    done = run_cli("run", bench, check=0)
    assert "preflight: all tests pass before any work: greet" in done.stdout
    kept = list((workdir / "data/cache/preflight").iterdir())
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    done = run_cli("run", bench, check=0)
    assert [p.stat().st_mtime_ns for p in (workdir / "data/cache/preflight").iterdir()] == [before]
    assert len(read_rollout(workdir / "data").manifest["results"]) == 3
    assert not [p for p in (workdir / "data/runs").iterdir() if p.name.startswith(".")]


def test_interrupted_it_leaves_nothing(start_cli, make_task, make_bench, workdir):
    bench = make_bench(task(make_task, "sleep 1000\n"), task(make_task, "sleep 1001\n", name="other"))
    run = start_cli("run", bench, "-j2")
    wait_for(lambda: len([p for p in (workdir / "data/runs").glob(".preflight-*/attempts/1/logs/eval.log")
                          if p.stat().st_size]) == 2)
    os.kill(run.pid, signal.SIGINT)
    out, _ = run.communicate(timeout=30)
    assert run.returncode == 130, out
    assert "interrupted before any trial was started" in out
    assert left(workdir) == []


def test_resume_and_eval_ask_too(run_cli, make_task, make_bench, workdir):
    bench = make_bench(task(make_task, "no-such-tool\n", gold=False))
    run_cli("run", bench, "--no-preflight", check=0)
    done = run_cli("eval", "bench", check=3)
    assert "no-such-tool" in done.stderr
    assert len(read_rollout(workdir / "data").manifest["results"]) == 1
    run_cli("eval", "bench", "--no-preflight", check=0)

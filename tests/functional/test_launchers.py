# SPDX-License-Identifier: GPL-3.0-or-later
"""Launchers that are programs: the protocol that each must keep, and whole runs by way of the example."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import SOURCE, clean_env, only, put, wait_for
from conformance import (  # noqa: F401
    attempts, node, test_a_job_that_is_cancelled, test_a_refusal_names_the_setting, test_a_token_is_submitted_once,
    test_jobs_of_the_protocol, test_what_it_does_not_know)
from launching import Launcher, events

pytestmark = pytest.mark.local("a container does not travel")
EXAMPLE = SOURCE / "drivers/example/launch"


@pytest.fixture
def far(run_cli, make_task, make_bench, workdir):
    """far(agent=, seconds=, ...): a benchmark whose trials run elsewhere."""
    def make(name="far", **more):
        more = {"agent": "oracle", "launcher": "example", **more}
        return make_bench(make_task(name), name=name, file=f"{name}.toml", model=more.pop("model", "none"), **more)

    return make


def slow_agent(workdir, seconds=30):
    put(workdir / "agents/slow.toml", f'argv = ["sh", "-c", "echo begun; while [ ! -e /tmp/go ]; do sleep 0.1; done & sleep {seconds}"]\n')


def test_it_is_as_on_this_machine(run_cli, far, rollout, workdir):
    """Scores, files and links of a trial that travelled are those of one that stayed; nothing else is left of it."""
    run_cli("run", far(), check=0)
    here = only(rollout("far"))
    assert here["total_score"] == 1.0
    run_cli("run", "far.toml", "--launcher", "local", check=0)
    there = only(rollout("far"))
    data = workdir / "data"
    folders = [data / "runs" / one["run_id"] for one in (here, there)]
    listed = [{str(p.relative_to(f)) for p in f.rglob("*") if p.name != "travel.json"} for f in folders]
    assert listed[0] == listed[1]
    for name in ("latest", "result.json", "artifacts", "logs"):
        assert os.readlink(folders[0] / name) == os.readlink(folders[1] / name)
    assert {p.name for p in (data / "launch/example").iterdir()} == {"log", "node"}
    assert not list((data / "launch/example/node/runs").iterdir())
    assert not list((data / "launch/example/node/.inputs").glob("*.run"))
    [first] = [d for d in (data / "rollouts/far").iterdir() if events(d, "submitted")]
    [told] = events(first, "submitted")
    assert told["launcher"] == "example" and told["job"].isdigit()


@pytest.mark.parametrize("text, words", [
    ('[launcher.example]\nspeed = 3\n', 'launcher example: speed: the one setting is apart, a folder'),
    ('[launcher]\nexample = 3\n', 'launcher.example: settings stand in a table [launcher.NAME]'),
])
def test_settings_are_the_programs(run_cli, far, workdir, text, words):
    """What is wrong with them is said in a line before there is a rollout."""
    bench = workdir / far()
    lines = bench.read_text().replace('launcher = "example"\n', "")
    bench.write_text(lines + text)
    done = run_cli("run", bench, "--launcher", "example", check=2)
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list((workdir / "data/rollouts").glob("far/*") if (workdir / "data").exists() else [])


def test_a_launcher_that_there_is_not(run_cli, far):
    done = run_cli("run", far(), "--launcher", "nowhere", check=2)
    assert '--launcher: "nowhere" is no launcher of this installation' in done.stderr


def test_a_program_that_ends_at_once(run_cli, far, workdir):
    put(workdir / "bin/rollouts-launch-broken", "#!/bin/sh\necho no engine here >&2\nexit 1\n")
    (workdir / "bin/rollouts-launch-broken").chmod(0o755)
    path = f"{workdir}/bin:/usr/bin:/bin"
    done = run_cli("run", far(), "--launcher", "broken", env={"PATH": path}, check=3)
    assert "launcher broken:" in done.stderr and "ended without an answer" in done.stderr
    assert (workdir / "data/launch/broken/log").read_text() == "no engine here\n"


def running(workdir):
    """Whether the agent of the one trial is at work, by what its node was told."""
    return any(b'"phase":"agent"' in p.read_bytes() for p in workdir.glob("data/launch/example/2*/events.0"))


def test_a_supervisor_that_was_killed(run_cli, start_cli, far, rollout, workdir):
    """Its trial goes on; resume takes it up, and it is run once."""
    slow_agent(workdir, 3)
    child = start_cli("run", far(agent="slow", evaluate=False))
    wait_for(lambda: running(workdir), timeout=60)
    child.kill()
    child.wait()
    run_cli("resume", "far", check=0)
    trial = only(rollout("far"))
    assert trial["outcome"] == "completed" and trial["attempt"] == 1
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert len(events(folder, "started")) == 1 and len(events(folder, "finished")) == 1


def test_one_that_ended_while_nobody_looked(run_cli, start_cli, far, rollout, workdir):
    slow_agent(workdir, 1)
    child = start_cli("run", far(agent="slow", evaluate=False))
    wait_for(lambda: running(workdir), timeout=60)
    child.kill()
    child.wait()
    wait_for(lambda: any(b'"left"' in p.read_bytes() for p in workdir.glob("data/launch/example/2*/events.0")), timeout=60)
    run_cli("resume", "far", check=0)
    assert only(rollout("far"))["attempt"] == 1


def test_an_interrupt_reaches_it(start_cli, far, workdir):
    """Twice: it ends in order, at once."""
    slow_agent(workdir)
    child = start_cli("run", far(agent="slow", evaluate=False))
    wait_for(lambda: running(workdir), timeout=60)
    child.send_signal(signal.SIGINT)
    wait_for(lambda: b"interrupted" in next(workdir.glob("data/rollouts/far/*/events.jsonl")).read_bytes())
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    [folder] = (workdir / "data/rollouts/far").iterdir()
    [end] = events(folder, "finished")
    assert end["outcome"] == "cancelled"


def test_its_program_may_die(start_cli, far, rollout, workdir):
    """It is started again and told of the trials that it had."""
    slow_agent(workdir, 3)
    child = start_cli("run", far(agent="slow", evaluate=False))
    wait_for(lambda: running(workdir), timeout=60)
    subprocess.run(["pkill", "-KILL", "-P", str(child.pid), "-f", "example/launch"], check=True)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 1


def test_a_node_that_dies_is_the_engines_fault(run_cli, start_cli, far, rollout, workdir):
    """Its trial is tried again; the attempt stays."""
    slow_agent(workdir, 3)
    child = start_cli("run", far(agent="slow", evaluate=False, retries=1))
    wait_for(lambda: running(workdir), timeout=60)
    [pid] = workdir.glob("data/launch/example/2*/pid")
    os.killpg(int(pid.read_text()), signal.SIGKILL)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0, out
    trial = only(rollout("far"))
    assert trial["attempt"] == 2 and trial["outcome"] == "completed"
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert "its process is gone" in json.dumps(events(folder, "finished")[0])


def test_caches_travel(run_cli, far, agent_script, workdir):
    """Each trial sees the folder, and what it writes there goes with it."""
    put(workdir / "kept/a/word", "fetched\n")
    agent_script('[ ! -e ~/kept/new ] || exit 1; cat ~/kept/a/word > word.txt; echo x > ~/kept/new\n', name="reader")
    run_cli("run", far(agent="reader", caches=[f"{workdir}/kept:~/kept"], rollouts=2, evaluate=False), check=0)
    diffs = [p.read_text() for p in (workdir / "data/runs").glob("2*/artifacts/diff.patch")]
    assert len(diffs) == 2 and all("+fetched" in d for d in diffs)
    assert not (workdir / "kept/new").exists()


# What every launcher's program keeps to, of the example

@pytest.fixture
def program(workdir, node):  # noqa: F811
    """program(data): the launcher's program, started. Killed at the end if it still runs."""
    started = []

    def start(data, **more):
        started.append(Launcher(EXAMPLE, data, node, "example", clean_env(workdir, None, None), **more))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.kill()

# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that stands still, and tests that something else on it killed: nobody's failure, and told."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import wait_for


def descendants(pid):
    """PID and all below it, as often as it takes until no more of them are there."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                pass
    return found


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def stop_all(pid):
    stopped = set()
    while more := set(descendants(pid)) - stopped:
        for one in more:
            try:
                os.kill(one, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        stopped |= more
    return stopped


@pytest.mark.long  # by the clock: it wants a machine that has nothing else to do
def test_time_that_a_machine_stood_still_is_not_counted(make_task, make_bench, agent_script, start_cli, workdir, rollout):
    """Everything is stopped for longer than the agent may work. It takes ten steps, of which the stop costs one."""
    agent_script("echo begun > begun\nfor i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done\necho changed >> README.md\n")
    make_bench({"prepared_dir": make_task("one", tests=[("quick.sh", "works", "grep -q changed README.md\n")])},
               agent="scripted", model="m", sandbox="local", timeout_sec=9)
    child = start_cli("run", "bench.toml")
    wait_for(lambda: any('"phase":"agent"' in p.read_text() for p in workdir.glob("data/rollouts/bench/*/events.jsonl")))
    stopped = stop_all(child.pid)
    try:
        time.sleep(11)  # it is what this is about
    finally:
        for one in stopped:
            try:
                os.kill(one, signal.SIGCONT)
            except ProcessLookupError:
                pass
    child.communicate(timeout=120)
    assert child.returncode == 0
    row = rollout().manifest["results"][0]
    assert (row["outcome"], row["total_score"]) == ("completed", 1.0), row
    result = json.loads(next(workdir.glob("data/runs/*/attempts/1/result.json")).read_text())
    assert 5000 <= result["frozen_ms"] <= 60000


def test_a_test_that_was_killed_is_marked_and_counted(make_task, make_bench, run_cli, workdir, rollout):
    """By itself here; a machine without memory, or a person, does it in the same way."""
    make_bench({"prepared_dir": make_task("one", tests=[("quick.sh", "works", "kill -9 $$\n")])}, agent="nop", sandbox="local", eval_retries=1)
    run_cli("run", "bench.toml", "--no-preflight", check=0)
    run = rollout().manifest["results"][0]["run_id"]
    attempts = [json.loads((workdir / f"data/runs/{run}/attempts/{n}/result.json").read_text()) for n in (1, 2)]
    assert all(a["evaluation"]["killed"] and not a["evaluation"]["timed_out_under_load"] for a in attempts)
    assert [a["frozen_ms"] for a in attempts] == [0, 0]
    assert "cpu_steal" in attempts[0]["evaluation"]
    assert "1 grading was disturbed" in run_cli("summarize", "bench", check=0).stdout
    assert json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["disturbed"] == 1
    assert "killed, by nothing of ours" in run_cli("show", run, check=0).stdout


def test_a_supervisor_that_does_not_read_stretches_no_deadline(make_task, make_bench, agent_script, start_cli, workdir, rollout):
    """With -vv an agent's output goes to it; its worker does not wait until somebody reads that."""
    agent_script("while :; do echo 0123456789abcdef0123456789abcdef0123456789abcdef; done\n")
    make_bench({"prepared_dir": make_task("one")}, agent="scripted", model="m", sandbox="local", timeout_sec=3)
    child = start_cli("run", "bench.toml", "-vv", stdout=subprocess.DEVNULL)
    flooding = lambda: [p for p in descendants(child.pid) if b"agent.sh" in command_line(p)]  # noqa: E731
    wait_for(flooding)
    os.kill(child.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: not flooding(), timeout=60)
    finally:
        os.kill(child.pid, signal.SIGCONT)
    child.communicate(timeout=120)
    assert rollout().manifest["results"][0]["outcome"] == "timeout"

# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL of supervisor, worker or PID 1 of the sandbox, with the real worker and a real sandbox."""
import json
import os
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

import engines
from conftest import ENGINE, read_rollout, remove_tree, wait_for

AGENT = "echo agent-started\nsleep 0.4\necho changed >> README.md\n"
SANDBOX = "docker" if ENGINE else "local"
SLOW_TEST = [("slow.sh", "works", "sleep 0.4\n")]


@pytest.fixture
def bench(make_task, make_bench, agent_script):
    agent_script(AGENT)
    task = make_task("greet", tests=SLOW_TEST)
    # One more than run at once: whatever the first is doing, the last has all of its work before it.
    make_bench({"prepared_dir": task, "rollouts": 3}, agent="scripted", model="m", sandbox=SANDBOX, retries=2, parallel=2)


def processes(word):
    """Processes whose command line has WORD, as {pid: arguments}."""
    found = {}
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit():
                args = (path / "cmdline").read_bytes().split(b"\0")
                if any(word.encode() in arg for arg in args):
                    found[int(path.name)] = [arg.decode(errors="replace") for arg in args]
    return found


def journal(workdir):
    found = list(workdir.glob("data/rollouts/bench/*/events.jsonl"))
    return found[0].read_text() if found else ""


@pytest.fixture
def reach(start_cli, bench, workdir):
    """reach(phase): a run of which some trial has entered PHASE, caught before it was over."""
    def start(phase):
        for _ in range(5):
            child = start_cli("run", "bench.toml")
            wait_for(lambda: f'"phase":"{phase}"' in journal(workdir) or child.poll() is not None, timeout=60)
            if child.poll() is None:
                return child
            assert child.returncode == 0, child.stdout.read()
            remove_tree(workdir / "data")  # we were kept from looking for too long
        raise AssertionError(f"five runs were over before they were seen in phase {phase}")

    return start


def taken_from(attempt):
    return json.loads((attempt / "trial.json").read_text())["agent_from"]


def check_whole(workdir):
    r = read_rollout(workdir / "data")
    assert r.manifest["state"] == "complete", r.manifest
    for row in r.manifest["results"]:
        assert (row["outcome"], row["total_score"]) == ("completed", 1.0), row
    for run in (workdir / "data/runs").iterdir():
        attempts = sorted(run.glob("attempts/*"), key=lambda path: int(path.name))
        bought = [int(a.name) for a in attempts if (a / "agent.json").exists() and taken_from(a) == 0]
        assert len(bought) == 1, f"{run}: the agent's work was committed by attempts {bought}"
        later = [a for a in attempts if int(a.name) > bought[0]]
        assert all(taken_from(a) for a in later), f"{run}: an agent was started after its work was committed"
        assert not [p for a in attempts for p in a.iterdir() if p.name.startswith("box")]
        assert (run / "artifacts/diff.patch").read_text().count("+changed") == 1
    ends = Counter((e["run"], e["attempt"]) for e in r.events if e["event"] == "finished")
    assert set(ends.values()) == {1}
    assert not processes(str(workdir)), "processes are left"
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(workdir) not in mounts


@pytest.mark.parametrize("phase", ["prepare", "sandbox", "agent", "collect", "evaluate", "done"])
def test_kill_the_supervisor(reach, run_cli, workdir, phase, account):
    child = reach(phase)
    child.kill()
    child.wait()
    run_cli("resume", "bench", check=0)
    check_whole(workdir)


@pytest.mark.local("is about the supervisor's own calls")
@pytest.mark.parametrize("call", ["mkdirat", "fchown", "fchownat", "renameat", "fdatasync"])
def test_kill_the_supervisor_at_every_such_call(call, make_task, make_bench, agent_script, binary, run_cli, workdir):
    """Steps too short to be hit by chance: the kernel kills at the first, the second, ... call."""
    agent_script("echo changed >> README.md\n")
    task = make_task("greet", tests=[("quick.sh", "works", "grep -q changed README.md\n")])
    make_bench({"prepared_dir": task}, agent="scripted", model="m", sandbox="local")
    trace = ["strace", "-qq", "-o", workdir / "calls", "-e", "trace=" + call]
    begun = 0
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # it cannot look while traced
    subprocess.run([*trace, binary, "run", "bench.toml"], cwd=workdir, capture_output=True, env=env, check=True)
    total = len((workdir / "calls").read_text().splitlines())
    remove_tree(workdir / "data")
    # Of very many of a kind, as the folders of a cache are made by, the first, the last, and some between.
    for n in sorted({*range(1, 16), *range(16, total, 97), *range(max(1, total - 25), total + 25)}):
        killer = ["-e", f"inject={call}:signal=KILL:when={n}"]
        done = subprocess.run([*trace, *killer, binary, "run", "bench.toml"], cwd=workdir, capture_output=True, env=env)
        if done.returncode != -signal.SIGKILL:
            break
        if list(workdir.glob("data/rollouts/bench/*/plan.json")):
            begun += 1
            run_cli("resume", "bench", check=0)
            check_whole(workdir)
        if (workdir / "data").exists():
            remove_tree(workdir / "data")
    assert done.returncode == 0, done
    assert begun or call == "fchown" and os.geteuid() != 0, f"never between the plan and the end in {n} runs"
    check_whole(workdir)


@pytest.mark.parametrize("phase", ["agent", "evaluate"])
def test_kill_a_worker(reach, workdir, phase, account):
    child = reach(phase)
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    os.kill(int(workers[0]), signal.SIGKILL)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0, out
    check_whole(workdir)


@pytest.mark.parametrize("phase", ["agent", "evaluate"])
def test_kill_pid_1_of_a_sandbox(reach, workdir, phase, account):
    child = reach(phase)
    victims = wait_for(lambda: first_processes(child))
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0, out
    check_whole(workdir)


def first_processes(child):
    """PID 1 of each sandbox."""
    if not ENGINE:
        return descendants(child.pid, "init")
    engine = engines.Engine(ENGINE)
    pids = [engine.pid(name) for name, state in engine.containers().items() if state == "running"]
    return [pid for pid in pids if pid > 0]


def descendants(pid, name):
    below, found = [pid], []
    for parent in below:
        with suppress(OSError):
            for path in Path(f"/proc/{parent}/task").iterdir():
                below += map(int, (path / "children").read_text().split())
    for each in below:
        with suppress(OSError):
            if Path(f"/proc/{each}/comm").read_text().strip() == name:
                found.append(each)
    return found


def test_two_interrupts_leave_nothing_running(reach, run_cli, workdir, account):
    child = reach("agent")
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=20)
    assert child.returncode == 130, out
    assert not processes("rollouts-trial") or not [a for a in processes("rollouts-trial").values()
                                                   if any(str(workdir) in arg for arg in a)]
    run_cli("resume", "bench", check=0)
    check_whole(workdir)

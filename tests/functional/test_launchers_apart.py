# SPDX-License-Identifier: GPL-3.0-or-later
"""Launchers whose nodes share nothing with the machine that submits: the example in that mode, which as root runs each trial where
the data folder is not to be seen."""
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import clean_env, only, wait_for
from launching import Launcher, events
from models import fake, scripted  # noqa: F401
from test_gateway_run import ENV, FIX, check_metrics, look, no_key_anywhere, talker  # noqa: F401
from conformance import (  # noqa: F401
    attempts, node, test_a_job_that_is_cancelled, test_a_refusal_names_the_setting, test_a_token_is_submitted_once,
    test_jobs_of_the_protocol, test_what_it_does_not_know)
from test_launchers import EXAMPLE, slow_agent  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")


@pytest.fixture
def apart(workdir):
    """The folder of the other machine. Nothing but its cache is left there once all trials have ended."""
    folder = workdir / "apart"
    folder.mkdir()
    yield folder
    wait_for(lambda: {p.name for p in folder.iterdir()} <= {"cache"}, timeout=30)


@pytest.fixture
def bench(make_task, make_bench, workdir, apart):
    """bench(agent=...): a benchmark whose trials run over there."""
    def make(task=None, parallel=8, **more):
        more = {"agent": "oracle", "model": "none", "launcher": "example", **more}
        path = make_bench(task or make_task("far"), name="far", file="far.toml", parallel=parallel, defaults=more)
        with open(path, "a") as file:
            file.write(f'\n[launcher.example]\napart = "{apart}"\n')
        return path

    return make


def test_inputs_go_and_results_come(run_cli, bench, rollout, workdir, apart):
    """Each input goes once, and what comes back is what a trial here leaves."""
    run_cli("run", bench(rollouts=2), check=0)
    for trial in rollout("far").runs.values():
        assert trial["total_score"] == 1.0
        folder = workdir / "data/runs" / trial["run_id"]
        assert os.readlink(folder / "latest") == "attempts/1" and (folder / "artifacts/diff.patch").exists()
    parcels = list((workdir / "data/cache/parcels").glob("*.tar"))
    kept = list((apart / "cache/.inputs").glob("*.json"))
    assert len(kept) == len(parcels)


@pytest.fixture
def program(workdir, node, apart):  # noqa: F811
    started = []

    def start(data, **more):
        settings = {"apart": str(apart), **more.pop("settings", {})}
        started.append(Launcher(EXAMPLE, data, node, "example", clean_env(workdir, None, None), settings=settings, **more))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.kill()


def processes(workdir, word):
    """Those of rollouts-node with this verb."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if len(argv) > 1 and argv[0].endswith("rollouts-node") and argv[1] == word and str(workdir) in " ".join(argv):
            found.append(int(path.parent.name))
    return found


def working(workdir):
    return any(b'"phase":"agent"' in p.read_bytes() for p in workdir.glob("data/launch/example/2*/events.0"))


def test_models_are_asked_by_way_of_here(talker, bench, make_task, run_cli, rollout, fake, workdir, apart):  # noqa: F811
    """No key is over there, and no gateway; a budget needs no limits of each trial."""
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", rollouts=3, parallel=3)
    path.write_text(path.read_text() + "\n[budget]\nusd = 50\nhard = true\n")
    look(run_cli("run", path, env=ENV, check=0))
    t = rollout("far")
    assert [r["total_score"] for r in t.runs.values()] == [1.0] * 3
    for result in t.runs.values():
        assert result["agent"]["metrics"]["calls"] == 2
        log = (workdir / "data/runs" / result["run_id"] / "logs/llm.jsonl").read_text().splitlines()
        assert len(log) == 2
    assert [e for e in t.events if e["event"] == "spent"][-1]["calls"] == 6
    assert not (t.dir / "node-keys.json").exists() and not (t.dir / "node-door.json").exists()
    assert not (apart / "cache/gateways").exists()


@pytest.mark.parametrize("verb", ["home", "far"])
def test_a_line_that_is_cut(start_cli, bench, rollout, workdir, verb):
    """On either side: what runs there goes on, and what was said meanwhile is heard."""
    slow_agent(workdir, 3)
    child = start_cli("run", bench(agent="slow", evaluate=False))
    wait_for(lambda: working(workdir), timeout=60)
    for pid in processes(workdir, verb):
        if verb == "home" or os.readlink(f"/proc/{pid}/fd/0") != "/dev/null":  # not the keeper
            os.kill(pid, signal.SIGKILL)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 1


@pytest.mark.parametrize("who", ["home", "supervisor"])
def test_calls_over_a_line_that_is_cut(talker, bench, make_task, start_cli, run_cli, rollout, fake, workdir, who):  # noqa: F811
    """Between two calls, on this side or with the supervisor: the agent notices nothing, and nothing is missing from what it spent."""
    prompt = scripted(turns=[{"shell": "sleep 5"}, {"shell": FIX}, {"text": "Fixed."}])
    path = bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", token_limit=100000)
    child = start_cli("run", path, env=ENV)
    wait_for(lambda: any(p.read_bytes().count(b"\n") == 1 for p in workdir.glob("data/runs/2*/attempts/1/logs/llm.jsonl")), timeout=60)
    if who == "supervisor":
        child.kill()
        child.wait()
        wait_for(lambda: not processes(workdir, "home"))
        look(run_cli("resume", "far", env=ENV, check=0))
    else:
        [home] = processes(workdir, "home")
        os.kill(home, signal.SIGKILL)
        out, _ = child.communicate(timeout=120)
        assert child.returncode == 0, out
    trial = only(rollout("far"))
    assert trial["attempt"] == 1 and trial["total_score"] == 1.0
    check_metrics(trial, fake.log())
    assert [e for e in rollout("far").events if e["event"] == "spent"][-1]["calls"] == 3
    assert len((workdir / "data/runs" / trial["run_id"] / "logs/llm.jsonl").read_text().splitlines()) == 3


def test_a_supervisor_that_was_killed(run_cli, start_cli, bench, rollout, workdir):
    slow_agent(workdir, 2)
    child = start_cli("run", bench(agent="slow", evaluate=False))
    wait_for(lambda: working(workdir), timeout=60)
    child.kill()
    child.wait()
    wait_for(lambda: not processes(workdir, "home"))
    run_cli("resume", "far", check=0)
    assert only(rollout("far"))["attempt"] == 1


def test_an_interrupt_reaches_it(start_cli, bench, workdir):
    slow_agent(workdir)
    child = start_cli("run", bench(agent="slow", evaluate=False))
    wait_for(lambda: working(workdir), timeout=60)
    child.send_signal(signal.SIGINT)
    wait_for(lambda: b"interrupted" in next(workdir.glob("data/rollouts/far/*/events.jsonl")).read_bytes())
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert [e["outcome"] for e in events(folder, "finished")] == ["cancelled"]


def test_a_job_that_dies_is_the_engines_fault(start_cli, bench, rollout, workdir):
    slow_agent(workdir, 3)
    child = start_cli("run", bench(agent="slow", evaluate=False, retries=1))
    wait_for(lambda: working(workdir), timeout=60)
    for pid in processes(workdir, "run"):
        os.killpg(pid, signal.SIGKILL)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0, out
    trial = only(rollout("far"))
    assert trial["attempt"] == 2 and trial["outcome"] == "completed"


def test_settings_that_changed(run_cli, bench, rollout, workdir, apart):
    """Trials that are still to be run go by what the file says now."""
    path = bench(retries=0)
    text = path.read_text()
    path.write_text(text.replace(str(apart), str(apart / "missing/there")))
    run_cli("run", path, check=1)
    assert only(rollout("far")) is None
    path.write_text(text)
    run_cli("resume", "far", "--config", path, check=0)
    assert only(rollout("far"))["total_score"] == 1.0


# A node that wants more than its job's: frames of src/node/frames.h.
GREEDY = r'''
import struct, sys
sys.stdout.buffer.write(b"\nrollouts: frames\n")
for number, path in enumerate(sys.argv[1:]):
    sys.stdout.buffer.write(struct.pack(">IcI", len(path), b"G", number) + path.encode())
sys.stdout.buffer.flush()
answers = 0
while answers < len(sys.argv) - 1:
    size, kind, number = struct.unpack(">IcI", sys.stdin.buffer.read(9))
    text = sys.stdin.buffer.read(size)
    if kind in b"Ff":
        print(kind.decode(), number, text[:60].decode(errors="replace"), file=sys.stderr)
    answers += kind == b"f"
'''


def test_a_node_gets_what_its_job_needs(run_cli, bench, workdir, node):  # noqa: F811
    """And nothing else of the data folder, or of this machine."""
    run_cli("run", bench(), check=0)
    data = workdir / "data"
    [run] = data.glob("runs/2*")
    attempt = f"runs/{run.name}/attempts/1"
    parcels = sorted(f"cache/parcels/{p.name}" for p in (data / "cache/parcels").glob("*.tar"))
    other = data / ("cache/parcels/" + "0" * 64 + ".tar")
    shutil.copy(data / parcels[0], other)
    wanted = [f"{attempt}/trial.json", parcels[0], f"cache/parcels/{other.name}", f"{attempt}/result.json", "../../etc/passwd",
              "/etc/passwd", f"{attempt}/../../../../index.db", f"{attempt}/tokens.json"]
    out = workdir / "out"
    out.mkdir()
    done = subprocess.run([node, "home", "--data", data, "--out", out, "--events", out / "events", attempt, "--", "python3", "-c",
                           GREEDY, *wanted], capture_output=True, text=True, timeout=60)
    ends = {int(n): text for kind, n, *text in (line.split(" ", 2) for line in done.stderr.splitlines() if line[:2] == "f ")}
    assert done.returncode == 1 and sorted(ends) == list(range(len(wanted))), done.stderr
    assert [n for n, text in ends.items() if text == [""]] == [0, 1], done.stderr
    assert ends[7] == ["this trial asks no model"]


STORE = """#!/bin/sh
echo "$@" >> {log}
case $1 in
get) [ -e {data}/"$2" ] || {{ echo "no such object" >&2; exit 1; }}; cp {data}/"$2" "$3" ;;
put) cp "$3" {shelf}/"$2" ;;
esac
"""


def test_a_store_of_objects(run_cli, far_attempt, workdir, node):  # noqa: F811
    """Asked for what the node lacks, by a program; each parcel once; archives are handed over before their end is told."""
    data, attempt = far_attempt
    top, shelf = workdir / "there", workdir / "shelf"
    for folder in (top / "data", top / "out", shelf):
        folder.mkdir(parents=True)
    store = workdir / "store"
    store.write_text(STORE.format(log=workdir / "store.log", data=data, shelf=shelf))
    store.chmod(0o755)
    argv = [node, "run", "--data", top / "data", "--cache", top / "cache", "--out", top / "out", "--store", store]
    for times in (1, 2):
        done = subprocess.run([*argv, attempt], capture_output=True, text=True, timeout=60)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        [end] = [line for line in lines if "ended" in line]
        assert end["ended"] == "exit status 0", done.stdout + done.stderr
        assert [p.name for p in shelf.iterdir()] == [end["archive"]]
        asked = (workdir / "store.log").read_text().splitlines()
        assert len([line for line in asked if "parcels" in line]) == len(set(line for line in asked if "parcels" in line))
        assert len([line for line in asked if line.startswith("put")]) == times
    done = subprocess.run([*argv, attempt.replace("attempts/1", "attempts/7")], capture_output=True, text=True, timeout=60)
    assert "no such object" in done.stdout


@pytest.fixture
def far_attempt(run_cli, bench, workdir):
    run_cli("run", bench(), check=0)
    data = workdir / "data"
    [run] = data.glob("runs/2*")
    return data, f"runs/{run.name}/attempts/1"

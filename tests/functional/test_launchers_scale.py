# SPDX-License-Identifier: GPL-3.0-or-later
"""Very many trials at an engine at the same time."""
import json
import time

import pytest

from conftest import put

# An engine that holds all trials until COUNT are there, as running ones, and ends them when they are cancelled.
HELD = """#!/usr/bin/env python3
import json, sys
jobs, calls = [], {}
def say(event, tokens, **more):
    for i in range(0, len(tokens), 500):
        print(json.dumps({"event": event, "jobs": [{"token": t, **more, **({"job": "j" + t} if event == "submitted" else {})} for t in tokens[i:i + 500]]}))
    sys.stdout.flush()
for message in map(json.loads, sys.stdin):
    op = message["op"]
    calls[op] = calls.get(op, 0) + 1
    tokens = [job["token"] for job in message.get("jobs", [])]
    if op == "hello":
        print(json.dumps({"event": "hello", "v": 1, "attach": True, "poll_ms": 500}), flush=True)
    elif op == "submit":
        jobs += tokens
        say("submitted", tokens)
        say("line", tokens, line={"event": "phase", "phase": "agent", "deadline_ms": 0})
        open("in-flight", "w").write(str(len(jobs)))
    elif op == "cancel":
        say("ended", tokens, how="cancelled")
    elif op == "poll":
        print(json.dumps({"event": "polled"}), flush=True)
open("calls", "w").write(json.dumps(calls))
"""


def peak_mb(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@pytest.mark.parametrize("count", [1500, pytest.param(10000, marks=pytest.mark.long)])
def test_many_in_flight(start_cli, make_task, make_bench, workdir, count):
    """Few messages, little memory; all of them end when they are to."""
    put(workdir / "bin/rollouts-launch-held", HELD)
    (workdir / "bin/rollouts-launch-held").chmod(0o755)
    path = make_bench(make_task("held"), name="held", agent="nop", model="none", sandbox="none", evaluate=False, launcher="held",
                      rollouts=count, parallel=count)
    child = start_cli("run", path, env={"PATH": f"{workdir}/bin:/usr/bin:/bin"})
    there = workdir / "data/in-flight"
    start = time.monotonic()
    end = start + 60 + count / 20
    while not there.exists() or int(there.read_text() or 0) < count:
        assert time.monotonic() < end and child.poll() is None, there.exists() and there.read_text()
        time.sleep(0.1)
    time.sleep(1)
    mb = peak_mb(child.pid)
    child.send_signal(2)
    while not [e for e in workdir.glob("data/rollouts/held/*/events.jsonl") if b'"interrupted"' in e.read_bytes()]:
        time.sleep(0.1)
    child.send_signal(2)
    child.communicate(timeout=60 + count / 20)
    calls = json.loads((workdir / "data/calls").read_text())
    print(mb, calls, time.monotonic() - start)
    assert calls["submit"] + calls["cancel"] <= 10 + count / 20
    assert mb < (64 if count == 10000 else 32)

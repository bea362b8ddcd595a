# SPDX-License-Identifier: GPL-3.0-or-later
"""A supervisor killed at each message of the protocol, and resumed: here, or in another place."""
import json

import pytest

from conftest import put, wait_for
from launching import events
from conformance import node  # noqa: F401
from test_launchers import EXAMPLE, slow_agent  # noqa: F401
from test_launchers_apart import apart, bench, processes, working  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")
KINDS = ["hello", "submit", "submitted", "poll", "line", "ended", "fetch", "fetched", "done", "polled"]

# Between rollouts and the example: kills rollouts before or after the next message of the kind that `plan` names first.
BETWEEN = r"""#!/usr/bin/env python3
import json, os, signal, subprocess, sys, threading
top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
child = subprocess.Popen([os.environ["EXAMPLE"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
parent, lock, struck = os.getppid(), threading.Lock(), []
def strike(kind, when):
    with lock:
        try:
            plan = open(top + "/plan").read().splitlines()
        except FileNotFoundError:
            return
        if struck or not plan or plan[0] != f"{kind} {when}":
            return
        struck.append(kind)
        open(top + "/plan.new", "w").write("\n".join(plan[1:]))
        os.rename(top + "/plan.new", top + "/plan")
        os.kill(parent, signal.SIGKILL)
        if when == "before":  # it never heard it, or never said it
            child.kill()
            os._exit(1)
def carry(source, to, key):
    for line in source:
        kind = json.loads(line)[key]
        if kind == "submit":
            with open(top + "/submitted", "a") as log:
                log.writelines(job["token"] + "\n" for job in json.loads(line)["jobs"])
        strike(kind, "before")
        try:
            to.write(line)
            to.flush()
        except BrokenPipeError:
            return
        strike(kind, "after")
threading.Thread(target=carry, args=(child.stdout, sys.stdout.buffer, "event"), daemon=True).start()
carry(sys.stdin.buffer, child.stdin, "op")
child.stdin.close()
child.wait()
"""


def test_at_each_message(run_cli, make_task, make_bench, workdir, apart):  # noqa: F811
    """Each trial is run once and has one result, whatever was said and not heard."""
    put(workdir / "bin/rollouts-launch-between", BETWEEN)
    (workdir / "bin/rollouts-launch-between").chmod(0o755)
    put(workdir / "plan", "\n".join(f"{kind} {when}" for kind in KINDS for when in ("before", "after")))
    count = 24
    path = make_bench(make_task("far"), name="far", file="far.toml", parallel=2,
                      defaults={"launcher": "between", "agent": "nop", "model": "none", "sandbox": "none", "evaluate": False,
                                "rollouts": count})
    path.write_text(path.read_text() + f'\n[launcher.between]\napart = "{apart}"\n')
    env = {"PATH": f"{workdir}/bin:/usr/bin:/bin", "EXAMPLE": str(EXAMPLE)}
    done, kills = run_cli("run", path, env=env), 0
    while done.returncode == -9 and kills < 40:
        kills += 1
        folders = list((workdir / "data/rollouts/far").glob("2*/plan.json"))
        done = run_cli("resume", "far", env=env) if folders else run_cli("run", path, env=env)
    assert done.returncode == 0, done.stderr
    assert (workdir / "plan").read_text() == "" and kills == 2 * len(KINDS)
    folder = max(p.parent for p in (workdir / "data/rollouts/far").glob("2*/plan.json"))
    finished = events(folder, "finished")
    assert len(finished) == count, [(e["outcome"], e.get("reason")) for e in finished]
    assert {(e["outcome"], e["attempt"]) for e in finished} == {("completed", 1)}
    assert len(list((workdir / "data/runs").glob("2*/attempts/1/result.json"))) == count
    # Never two executions of one trial: a second one would have left a second archive, or a job's folder over there.
    assert not list((workdir / "data/runs").glob("2*/attempts/2"))


def test_in_another_place(run_cli, start_cli, bench, workdir):  # noqa: F811
    """Its data folder moved while a trial went on: resume there takes it up."""
    slow_agent(workdir, 4)
    child = start_cli("run", bench(agent="slow", evaluate=False))
    wait_for(lambda: working(workdir), timeout=60)
    child.kill()
    child.wait()
    wait_for(lambda: not processes(workdir, "home"))
    (workdir / "data").rename(workdir / "elsewhere")
    run_cli("resume", "far", "--data-dir", workdir / "elsewhere", check=0)
    [folder] = (workdir / "elsewhere/rollouts/far").iterdir()
    [end] = events(folder, "finished")
    assert (end["outcome"], end["attempt"]) == ("completed", 1)
    assert not (workdir / "data").exists()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes of Modal in which ours does not start: Modal's own is the box then, one for the agent and one for grading."""
import base64
import json
import re
from pathlib import Path

import pytest

from conftest import only, put, wait_for
from launching import events
from models import fake, scripted  # noqa: F401
from test_gateway_run import ENV, FIX, look, talker  # noqa: F401
from test_modal import Server, far, modal, nothing_runs, pytestmark, sdk, tokens  # noqa: F401


@pytest.fixture
def bare(sdk, tmp_path):  # noqa: F811
    """A Modal whose sandboxes allow nobody to make a namespace."""
    one = Server(sdk, tmp_path, "--no-namespaces")
    yield one
    one.stop()


def made(modal):
    """Names of the sandboxes, without what is the same in all of them: the part that each was for."""
    return [s["name"].rpartition(".")[2].partition("-")[2] for s in modal.get("/sandboxes")]


def test_one_for_the_agent_and_one_for_grading(run_cli, far, rollout, bare, workdir):  # noqa: F811
    """Scored as elsewhere, and each result says what held it."""
    done = run_cli("run", far(rollouts=3, parallel=3), env=bare.env, check=0)
    assert "our sandbox does not start in Modal's (cannot make a user namespace: Operation not permitted), so that is the box" in done.stderr
    results = rollout("far").runs.values()
    assert [(r["total_score"], r["attempt"]) for r in results] == [(1.0, 1)] * 3
    assert all((r["sandbox"], r["isolation"], r["around"], r["workspace"]) ==
               ("launcher", "no sandbox of ours, a user of its own", "gVisor, a sandbox of Modal", "copy") for r in results)
    assert all({"sandbox", "agent", "collect", "evaluate"} <= set(r["phases_ms"]) for r in results)
    # Of the tests on the start commit: one to find out in, one to grade in; of the trials: one to find out in, two each.
    assert sorted(made(bare)) == ["", ""] + 3 * ["a"] + 4 * ["e"]
    nothing_runs(bare)
    run = next(iter(results))["run_id"]
    shown = run_cli("show", run).stdout
    assert "launcher (weaker: no sandbox of ours, a user of its own), within gVisor, a sandbox of Modal" in shown
    assert " s of Modal, gVisor, a sandbox of Modal, 0.0" in shown


# As whoever runs it; what cannot be opened is passed over.
SEARCH = """
import os
found = []
for top in ("/rollouts", "/app", "/home", "/var", "/run", "/tmp", "/dev/shm"):
    for folder, _, names in os.walk(top):
        for name in names:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    data = file.read(1 << 24)
            except OSError:
                continue
            found += [name + " has " + word for word in ("TEST", "SOLUTION") if b"SECRET-OF-THE-" + word.encode() in data]
print("looked as", os.getuid(), "and found", sorted(set(found)))
"""
GOLD = b"diff --git a/MORE b/MORE\nnew file mode 100644\n--- /dev/null\n+++ b/MORE\n@@ -0,0 +1 @@\n+SECRET-OF-THE-SOLUTION\n"


def test_what_an_agent_and_its_code_can_find(run_cli, make_task, make_bench, bare, workdir):  # noqa: F811
    """The agent looks everywhere and finds nothing; so does what it left in the workspace while it is graded, but for the test that runs it."""
    script = base64.b64encode(SEARCH.encode()).decode()
    put(workdir / "agents/spy.toml", f'argv = ["sh", "-c", "echo {script} | base64 -d >src/greet.py; python3 src/greet.py"]\n')
    task = make_task("spied", tests=[("check.sh", "works", "#!/bin/sh\n# SECRET-OF-THE-TEST\npython3 -B src/greet.py\n")], gold=GOLD)
    path = make_bench(task, agent="spy", model="none", defaults={"launcher": "modal"})
    path.write_text(path.read_text() + '\n[launcher.modal]\nimage = "tests"\n')
    run_cli("run", path, env=bare.env, check=0)
    [folder] = (workdir / "data/runs").glob("2*")
    [uid] = re.findall(r"looked as (\d+) and found \[\]", (folder / "latest/logs/agent.log").read_text())
    assert int(uid) > 1 << 30
    assert "and found ['check.sh has TEST']" in (folder / "latest/logs/eval.log").read_text()
    # And by what was sent to the agent's sandbox.
    travel = json.loads((folder / "attempts/1/travel.json").read_text())
    [share] = [i["share"]["sha256"] for i in travel["inputs"] if "share" in i]
    packed = (workdir / f"data/cache/parcels/{share}.tar").read_bytes()
    assert b"SECRET-OF" not in packed and b"rubric_id" not in packed and b"Fix greet()" in packed


@pytest.fixture
def gate(tmp_path):
    """A file that sandboxes made once it is there find: their root is this machine's."""
    path = Path(f"/var/tmp/{tmp_path.parent.name}-{tmp_path.name}")
    yield path
    path.unlink(missing_ok=True)


def test_an_evaluation_is_lost(start_cli, make_task, make_bench, rollout, bare, workdir, gate):  # noqa: F811
    """What its agent did is kept: grading alone is begun again."""
    put(workdir / "agents/once.toml", 'argv = ["sh", "-c", "echo done >made"]\n')
    test = f"#!/bin/sh\ntest -e made || exit 1\nuntil test -e {gate}; do sleep 0.1; done\n"
    path = make_bench(make_task("lost", tests=[("check.sh", "works", test)]), agent="once", model="none", name="far",
                      defaults={"launcher": "modal", "retries": 1})
    path.write_text(path.read_text() + '\n[launcher.modal]\nimage = "tests"\n')
    child = start_cli("run", path, env=bare.env)
    wait_for(lambda: b'"phase":"evaluate"' in b"".join(p.read_bytes() for p in workdir.glob("data/launch/modal/2*/events-evaluate.0")), timeout=120)
    gate.touch()
    bare.post("/end", token=tokens(workdir)[0], status="INTERNAL_FAILURE")
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    result = only(rollout("far"))
    assert result["attempt"] == 2 and result["total_score"] == 1.0, out
    [folder] = (workdir / "data/rollouts/far").iterdir()
    first, _ = events(folder, "finished")
    assert "failed on Modal's side" in first["reason"]
    assert made(bare).count("a") == 1
    nothing_runs(bare)


def test_a_sandbox_is_lost_while_it_grades(start_cli, make_task, make_bench, rollout, modal, workdir):  # noqa: F811
    """In the one sandbox that there is where ours starts: what its agent did is gone with it, so the agent runs again."""
    put(workdir / "agents/once.toml", 'argv = ["sh", "-c", "echo done >made"]\n')
    test = "#!/bin/sh\ntest -e made || exit 1\nn=0; while [ $n -lt 40 ]; do sleep 0.1; n=$((n + 1)); done\n"
    path = make_bench(make_task("lost", tests=[("check.sh", "works", test)]), agent="once", model="none", name="far",
                      defaults={"launcher": "modal", "retries": 1})
    path.write_text(path.read_text() + '\n[launcher.modal]\nimage = "tests"\n')
    for _ in range(3):  # a grading that was over before it was lost says nothing
        child = start_cli("run", path, env=modal.env)
        folder = wait_for(lambda: next((p.parent for p in workdir.glob("data/launch/modal/2*/events.0") if b'"phase":"evaluate"' in p.read_bytes()), None),
                          timeout=120)
        modal.post("/end", token=folder.name, status="INTERNAL_FAILURE")
        out, _ = child.communicate(timeout=300)
        assert child.returncode == 0, out
        if only(rollout("far"))["attempt"] == 2:
            break
    assert only(rollout("far"))["attempt"] == 2 and only(rollout("far"))["total_score"] == 1.0
    nothing_runs(modal)


@pytest.mark.long
@pytest.mark.parametrize("phase", ["agent", "evaluate"])
def test_a_supervisor_is_killed(start_cli, run_cli, make_task, make_bench, rollout, bare, workdir, phase):  # noqa: F811
    """Its trial is taken up where it is, whichever of its sandboxes that is."""
    put(workdir / "agents/slow.toml", 'argv = ["sh", "-c", "sleep 4"]\n')
    path = make_bench(make_task("kept", tests=[("check.sh", "works", "sleep 4\n")]), agent="slow", model="none", name="far",
                      defaults={"launcher": "modal"})
    path.write_text(path.read_text() + '\n[launcher.modal]\nimage = "tests"\n')
    child = start_cli("run", path, env=bare.env)
    wait_for(lambda: f'"phase":"{phase}"'.encode() in b"".join(p.read_bytes() for p in workdir.glob(f"data/launch/modal/2*/events-{phase}.0")),
             timeout=120)
    child.kill()
    child.wait()
    run_cli("resume", "far", env=bare.env, check=0)
    result = only(rollout("far"))
    assert result["attempt"] == 1 and result["total_score"] == 1.0
    assert sorted(made(bare)) == ["", "", "a", "e", "e"]
    nothing_runs(bare)


def test_models_are_asked_from_the_box(talker, make_task, make_bench, run_cli, rollout, fake, bare):  # noqa: F811
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", rollouts=2, parallel=2)
    path.write_text(path.read_text() + '\n[launcher.modal]\nimage = "tests"\n')
    look(run_cli("run", path, env={**ENV, **bare.env, "SANDBOX_BACKEND": "modal"}, check=0))
    results = rollout().runs.values()
    assert [r["total_score"] for r in results] == [1.0] * 2
    assert all(r["agent"]["metrics"]["tokens_output"] > 0 for r in results)
    assert not any(s["network"] for s in bare.get("/sandboxes"))


@pytest.mark.long
def test_doctor_finds_it_out(run_cli, far, bare):  # noqa: F811
    """By trying: what does not work there is no fault, but for what even Modal's sandbox alone needs."""
    done = run_cli("doctor", "--launcher", "modal", "--config", far(), env=bare.env)
    lines = {line.split()[2]: line for line in done.stdout.splitlines() if line.split()[1:2] == ["modal"]}
    assert "does not start there: cannot make a user namespace: Operation not permitted" in lines["our-sandbox"], done.stdout
    assert all("does not work there" in lines[name] for name in ("user-namespaces", "mounts", "bubblewrap")), done.stdout
    assert "works there" in lines["git"] and "Modal's sandbox is the box" in done.stdout
    assert "a job went there and its files came back" in done.stdout
    nothing_runs(bare)

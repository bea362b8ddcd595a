# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials in sandboxes of Modal, by Modal's own SDK, against tests/fake/modal_server.py."""
import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

import engines
from conftest import SOURCE, clean_env, only, put, toml_table, wait_for
from conformance import (  # noqa: F401
    attempts, node, test_a_job_that_is_cancelled, test_a_refusal_names_the_setting, test_a_token_is_submitted_once,
    test_jobs_of_the_protocol, test_what_it_does_not_know)
from launching import Launcher, events
from models import KEY, fake, scripted  # noqa: F401
from test_gateway_run import ENV, FIX, look, no_key_anywhere, talker  # noqa: F401

pytestmark = [pytest.mark.local("a container does not travel"),
              pytest.mark.skipif(os.geteuid() != 0, reason="only root makes sandboxes out of namespaces")]
CACHE = Path(os.environ.get("ROLLOUTS_TEST_CACHE", Path.home() / ".cache/rollouts-tests")) / "modal"


@pytest.fixture(scope="session")
def sdk(binary):
    """The Python that `rollouts launcher install modal` made; it is kept for the next session."""
    env = {"PATH": os.environ["PATH"], "HOME": os.path.expanduser("~"), "XDG_CACHE_HOME": str(CACHE),
           **{k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "REQUESTS_")) or k.lower().endswith("_proxy")}}
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([binary, "launcher", "install", "modal"], env=env, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"the SDK of Modal is not to be had here: {done.stderr.strip().splitlines()[-1]}")
    return CACHE / "rollouts/launchers/modal-1.6.4/bin/python"


class Server:
    def __init__(self, python, folder, *options):
        self.folder = folder
        self.child = subprocess.Popen([python, "-B", SOURCE / "tests/fake/modal_server.py", "--secret", "github", *options],
                                      stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=open(folder / "server.log", "ab"),
                                      env={**os.environ, "TMPDIR": str(folder)}, text=True)
        engines.LIVING.add(self.child.pid)
        said = json.loads(self.child.stdout.readline())
        self.control = said["control"]
        self.env = {"MODAL_SERVER_URL": said["url"], "MODAL_TOKEN_ID": "ak-fake", "MODAL_TOKEN_SECRET": "as-fake", "XDG_CACHE_HOME": str(CACHE)}

    def get(self, path):
        with urllib.request.urlopen(self.control + path, timeout=30) as r:
            return json.load(r)

    def post(self, path, **body):
        q = urllib.request.Request(self.control + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(q, timeout=30).close()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
        engines.LIVING.discard(self.child.pid)


@pytest.fixture
def modal(sdk, tmp_path):
    one = Server(sdk, tmp_path)
    yield one
    one.stop()


@pytest.fixture
def far(make_task, make_bench):
    """far(agent=, ...): a benchmark whose trials run at Modal. `settings`: of the launcher."""
    def make(name="far", settings=None, **more):
        path = make_bench(make_task(name), name=name, file=f"{name}.toml", defaults={"launcher": "modal"},
                          **{"agent": "oracle", "model": "none", **more})
        path.write_text(path.read_text() + "\n[launcher.modal]\n" + toml_table({"image": "tests", **(settings or {})}))
        return path

    return make


def nothing_runs(modal):
    wait_for(lambda: all(s["ended"] for s in modal.get("/sandboxes")), timeout=120)


def test_trials_at_modal(run_cli, far, rollout, modal, workdir):
    """Scored as here, each in a sandbox of its own, without a network, with a span of life; nothing is left running."""
    done = run_cli("run", far(rollouts=4, parallel=4, settings={"secrets": ["github"], "cpu": 0.5, "memory_mb": 300}), env=modal.env, check=0)
    t = rollout("far")
    assert [r["total_score"] for r in t.runs.values()] == [1.0] * 4, done.stdout
    nothing_runs(modal)
    made = modal.get("/sandboxes")
    assert len({s["token"] for s in made}) == len(made) == 5  # and one for the tests on the start commit
    assert all(not s["network"] and 600 < s["timeout"] < 86400 and s["cpu"] == 500 and s["memory_mb"] == 300 and s["secrets"] == "st-github"
               for s in made)
    assert all("at list price" in e["text"] for e in events(t.dir, "note")) and len(events(t.dir, "note")) == 4
    assert {p.name for p in (workdir / "data/launch/modal").iterdir()} == {"apps", "lock", "log"}


def test_several_trials_in_one_sandbox(run_cli, far, rollout, modal):
    """Each ends by itself, with files of its own; the sandbox has what all that run at once ask for."""
    settings = {"trials_per_job": 3, "side_by_side": 2, "cpu": 0.5, "memory_mb": 300}
    run_cli("run", far(rollouts=5, parallel=5, settings=settings), env=modal.env, check=0)
    t = rollout("far")
    assert [(r["total_score"], r["attempt"]) for r in t.runs.values()] == [(1.0, 1)] * 5
    made = modal.get("/sandboxes")
    assert sorted(s["cpu"] for s in made) == [500, 1000, 1000] and len({e["text"] for e in events(t.dir, "note")}) <= 5
    nothing_runs(modal)


@pytest.fixture
def slow(far, workdir):
    """slow(seconds, ...): a trial whose agent takes so long."""
    def make(seconds, **more):
        put(workdir / "agents/slow.toml", f'argv = ["sh", "-c", "echo begun; sleep {seconds}"]\n')
        return far(agent="slow", evaluate=False, **more)

    return make


def at_work(workdir, count=1):
    """Whether so many agents are at work, by what was heard of them."""
    return sum(b'"phase":"agent"' in p.read_bytes() for p in workdir.glob("data/launch/modal/2*/events.0")) >= count


def tokens(workdir):
    return [p.name for p in (workdir / "data/launch/modal").glob("2*")]


def first_reason(workdir):
    [folder] = (workdir / "data/rollouts/far").iterdir()
    return events(folder, "finished")[0]["reason"]


@pytest.mark.parametrize("fault", [
    {"method": "SandboxCreateV2", "when": "after", "delay": 4},          # our own time limit is shorter
    {"method": "SandboxCreateV2", "when": "after", "status": "UNAVAILABLE"},  # the SDK asks again: the name is taken
    {"method": "SandboxCreateV2", "status": "RESOURCE_EXHAUSTED", "times": 2},
    {"method": "TaskExecStdioRead", "cut": 1000, "times": 3},
    pytest.param({"method": "TaskExecStart", "when": "after", "status": "UNAVAILABLE"}, marks=pytest.mark.long),
    pytest.param({"method": "SandboxTerminateV2", "status": "UNAVAILABLE", "times": 5}, marks=pytest.mark.long),
])
def test_faults_that_cost_nothing(run_cli, far, rollout, modal, fault):
    modal.post("/fault", **fault)
    run_cli("run", far(settings={"create_sec": 2}, evaluate=False), env=modal.env, check=0)
    assert only(rollout("far"))["attempt"] == 1
    assert len(modal.get("/sandboxes")) == 1
    nothing_runs(modal)


@pytest.mark.parametrize("status, words", [
    ("INTERNAL_FAILURE", "failed on Modal's side"),
    pytest.param("KERNEL_OOM_KILL", "ran out of memory", marks=pytest.mark.long),
    pytest.param("TIMEOUT", "reached the end of its span of life", marks=pytest.mark.long)])
def test_a_sandbox_is_lost(start_cli, slow, rollout, modal, workdir, status, words):
    """Its trial is tried again in another one."""
    child = start_cli("run", slow(3, retries=1), env=modal.env)
    wait_for(lambda: at_work(workdir), timeout=120)
    modal.post("/end", token=tokens(workdir)[0], status=status)
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 2 and words in first_reason(workdir)
    nothing_runs(modal)


def test_one_creation_that_fails(run_cli, far, rollout, modal):
    """Costs its trial one try, and no other trial anything. A sandbox that lives shorter than its trial may is told of."""
    modal.post("/fault", method="SandboxCreateV2", status="INVALID_ARGUMENT", skip=2, times=1)
    done = run_cli("run", far(rollouts=3, parallel=3, retries=1, evaluate=False, settings={"timeout_sec": 600}), env=modal.env, check=0)
    assert sorted(r["attempt"] for r in rollout("far").runs.values()) == [1, 1, 2]
    assert "and its sandbox lives 600 s (timeout_sec): what takes longer is lost with it" in done.stderr
    nothing_runs(modal)


def test_an_image_that_does_not_build(run_cli, far, modal, workdir):
    """Modal's words, and no sandbox."""
    put(workdir / "image/Dockerfile", "FROM tests\nCOPY made /made\nRUN cat /made && exit 7\n")
    put(workdir / "image/made", "of the context\n")
    path = far(evaluate=False)
    path.write_text(path.read_text().replace('image = "tests"', f'dockerfile = "{workdir}/image/Dockerfile"'))
    run_cli("run", path, env=modal.env, check=1)
    assert "its image could not be built" in first_reason(workdir)
    assert not modal.get("/sandboxes")


def test_a_supervisor_is_killed(start_cli, run_cli, slow, rollout, modal, workdir):
    """resume takes up what runs at Modal; nothing runs twice. What nobody takes up is ended by clean."""
    child = start_cli("run", slow(4, rollouts=3, parallel=3), env=modal.env)
    wait_for(lambda: at_work(workdir, 3), timeout=120)
    child.kill()
    child.wait()
    run_cli("resume", "far", env=modal.env, check=0)
    assert [r["attempt"] for r in rollout("far").runs.values()] == [1] * 3
    assert len(modal.get("/sandboxes")) == 3
    nothing_runs(modal)
    child = start_cli("run", slow(60, name="left"), env=modal.env)
    wait_for(lambda: at_work(workdir), timeout=120)
    child.kill()
    child.wait()
    wait_for(lambda: "ended sandbox" in run_cli("launcher", "clean", "modal", env=modal.env, check=0).stderr)
    nothing_runs(modal)


def test_an_interrupt_reaches_it(start_cli, slow, modal, workdir):
    child = start_cli("run", slow(60), env=modal.env)
    wait_for(lambda: at_work(workdir), timeout=120)
    child.send_signal(signal.SIGINT)
    wait_for(lambda: b"interrupted" in next(workdir.glob("data/rollouts/far/*/events.jsonl")).read_bytes())
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=300)
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert events(folder, "finished")[0]["outcome"] == "cancelled"
    nothing_runs(modal)


def test_an_interrupt_while_a_sandbox_is_made(start_cli, slow, modal, workdir):
    """It is made all the same, at Modal, and ended once its answer is there."""
    modal.post("/fault", method="SandboxCreateV2", when="after", delay=2)
    child = start_cli("run", slow(60), env=modal.env)
    wait_for(lambda: modal.get("/sandboxes"), timeout=120)
    for _ in range(2):
        child.send_signal(signal.SIGINT)
        wait_for(lambda: b"interrupted" in next(workdir.glob("data/rollouts/far/*/events.jsonl")).read_bytes())
    child.communicate(timeout=300)
    nothing_runs(modal)


def test_models_are_asked_from_here(talker, make_task, make_bench, run_cli, rollout, fake, modal):  # noqa: F811
    """By the exec's own streams: the sandboxes have no network, and no key; named by SANDBOX_BACKEND alone."""
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", rollouts=3, parallel=3)
    path.write_text(path.read_text() + '\n[launcher.modal]\nimage = "tests"\n')
    look(run_cli("run", path, env={**ENV, **modal.env, "SANDBOX_BACKEND": "modal"}, check=0))
    assert [r["total_score"] for r in rollout().runs.values()] == [1.0] * 3
    assert len(modal.get("/sandboxes")) == 4 and not any(s["network"] for s in modal.get("/sandboxes"))


@pytest.mark.parametrize("settings, env, status, words", [
    ({"cpus": 2}, {}, 2, "launcher modal: cpus: unknown setting (did you mean cpu?)"),
    ({"trials_per_job": 2, "side_by_side": 3}, {}, 2, "launcher modal: side_by_side: more than trials_per_job"),
    ({"runtime": "kvm"}, {}, 2, 'launcher modal: runtime: must be "gvisor" or "vm"'),
    ({"secrets": ["nobody"]}, {}, 2, "launcher modal: secrets: there is no secret nobody at Modal"),
    ({}, {"MODAL_TOKEN_SECRET": "wrong"}, 3, "launcher modal: Token missing or wrong"),
    ({}, {"XDG_CACHE_HOME": "/nonexistent"}, 3, "rollouts launcher install modal"),
])
def test_settings(run_cli, far, modal, settings, env, status, words):
    done = run_cli("run", far(settings=settings), env={**modal.env, **env}, check=status)
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not modal.get("/sandboxes")


@pytest.fixture
def program(workdir, node, modal):  # noqa: F811
    """As conformance.py has it: what every launcher keeps to, this one keeps to."""
    started = []

    def start(data, settings=None, **more):
        driver = node.parent / "drivers/modal/launch"
        started.append(Launcher(driver, data, node, "modal", clean_env(workdir, None, modal.env), settings={"image": "tests", **(settings or {})}, **more))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.kill()


def test_doctor(run_cli, far, modal):
    """It finds out by trying, in a sandbox of its own, which it ends."""
    done = run_cli("doctor", "--launcher", "modal", "--config", far(), env=modal.env)
    assert "a job went there and its files came back" in done.stdout
    for name in ("user-namespaces", "mounts", "pid-namespaces", "bubblewrap", "process-groups", "ptrace"):
        assert [line for line in done.stdout.splitlines() if f"modal {name}" in line and "works there" in line], done.stdout
    nothing_runs(modal)


@pytest.mark.long
def test_a_server_that_never_answers(run_cli, start_cli, far, slow, rollout, modal, workdir):
    """From the start on: told in a line. In the middle of a trial: it is waited for, and the trial goes on."""
    modal.post("/stop")
    done = run_cli("run", far(name="first"), env=modal.env, check=3)
    assert "Modal does not answer: no answer from Modal within 30 s" in done.stderr
    modal.post("/stop", dumb=False)
    child = start_cli("run", slow(3), env=modal.env)
    wait_for(lambda: at_work(workdir), timeout=120)
    modal.post("/stop")
    time.sleep(8)
    modal.post("/stop", dumb=False)
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 1
    nothing_runs(modal)


@pytest.mark.long
def test_two_hundred_trials(talker, make_task, make_bench, start_cli, run_cli, rollout, fake, modal, workdir):  # noqa: F811
    """With models, throttled, faults on the way, a supervisor killed in the middle and resumed: each trial once."""
    for method in ("TaskExecStdioRead", "TaskExecStdinWrite", "SandboxWaitV2"):
        modal.post("/fault", method=method, status="UNAVAILABLE", skip=40, times=5)
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", rollouts=200, parallel=20)
    path.write_text(path.read_text() + '\n[launcher.modal]\nimage = "tests"\n')
    env = {**ENV, **modal.env, "SANDBOX_BACKEND": "modal"}
    child = start_cli("run", path, env=env)
    wait_for(lambda: sum(b'"finished"' in p.read_bytes() for p in workdir.glob("data/rollouts/*/*/events.jsonl"))
             and len(list(workdir.glob("data/runs/*/result.json"))) > 50, timeout=600, interval=0.5)
    child.kill()
    child.wait()
    look(run_cli("resume", "bench", env=env, check=0, timeout=1200))
    results = rollout().runs.values()
    assert len(results) == 200 and {r["total_score"] for r in results} == {1.0}
    assert len(modal.get("/sandboxes")) <= 201 + sum(r["attempt"] - 1 for r in results)
    nothing_runs(modal)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials on machines that are reached over ssh: two "hosts", namespaces of this one, with an sshd each."""
import os
import shutil
import signal

import pytest

import engines
from conftest import clean_env, only, put, toml_table, wait_for
from conformance import (  # noqa: F401
    attempts, node, test_a_job_that_is_cancelled, test_a_refusal_names_the_setting, test_a_token_is_submitted_once,
    test_jobs_of_the_protocol, test_what_it_does_not_know)
from launching import Launcher, events
from models import KEY, fake, scripted  # noqa: F401
from ssh_hosts import Hosts
from test_gateway_run import ENV, FIX, look, no_key_anywhere, talker  # noqa: F401

pytestmark = [pytest.mark.local("a container does not travel"),
              pytest.mark.skipif(os.geteuid() != 0, reason="only root makes hosts out of namespaces")]


@pytest.fixture(scope="module")
def hosts():
    if not shutil.which("sshd", path="/usr/sbin:/usr/bin"):
        engines.unavailable("no sshd here: tools/setup test")
    two = Hosts("ann", "bob")
    yield two
    two.stop()


@pytest.fixture
def far(make_task, make_bench, workdir, hosts):
    """far(agent=, ...): a benchmark whose trials run on the hosts. `ssh`: further settings of the launcher."""
    def make(name="far", ssh=None, **more):
        path = make_bench(make_task(name), name=name, file=f"{name}.toml", defaults={"launcher": "ssh"},
                          **{"agent": "oracle", "model": "none", **more})
        path.write_text(path.read_text() + "\n[launcher.ssh]\n" + toml_table(hosts.settings(**(ssh or {}))))
        return path

    return make


def nothing_is_left(hosts, workdir):
    for host in hosts.hosts.values():  # a host clears up after the last word was said
        wait_for(lambda: not [*(host.cache / "jobs").glob("*/*"), *host.pids("rollouts-node"), *host.pids("rollouts-trial")], timeout=60)
    assert {p.name for p in (workdir / "data/launch/ssh").iterdir()} <= {"log"}


def test_trials_on_two_hosts(run_cli, far, rollout, hosts, workdir):
    """Scored as here; programs and inputs are copied once to each host."""
    done = run_cli("run", far(rollouts=8, parallel=4), check=0)
    t = rollout("far")
    assert [r["total_score"] for r in t.runs.values()] == [1.0] * 8, done.stdout
    jobs = {e["job"].partition("/")[0] for e in events(t.dir, "submitted") if "/" in e["job"]}
    assert jobs == {"ann", "bob"}
    for host in hosts.hosts.values():
        top = host.cache
        assert len(list((top / "programs").iterdir())) == 1
    inputs = {p: p.stat().st_ino for h in hosts.hosts.values() for p in h.cache.glob("cache/cache/*/*")}
    run_cli("run", "far.toml", check=0)
    assert inputs and inputs == {p: p.stat().st_ino for h in hosts.hosts.values() for p in h.cache.glob("cache/cache/*/*")}
    nothing_is_left(hosts, workdir)


def test_models_are_asked_from_here(talker, make_task, make_bench, run_cli, rollout, fake, hosts):  # noqa: F811
    """By the trial's own session: the hosts have no network, and no key."""
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", rollouts=4, parallel=4,
                      defaults={"launcher": "ssh"})
    path.write_text(path.read_text() + "\n[launcher.ssh]\n" + toml_table(hosts.settings()))
    look(run_cli("run", path, env=ENV, check=0))
    assert [r["total_score"] for r in rollout().runs.values()] == [1.0] * 4
    for host in hosts.hosts.values():
        assert not [p for p in host.cache.rglob("*") if p.is_file() and not p.is_symlink() and KEY.encode() in p.read_bytes()]


@pytest.fixture
def slow(far, workdir):
    """slow(seconds, ...): a trial whose agent takes so long."""
    def make(seconds, **more):
        put(workdir / "agents/slow.toml", f'argv = ["sh", "-c", "echo begun; sleep {seconds}"]\n')
        return far(agent="slow", evaluate=False, **more)

    return make


def host_of_agent(hosts):
    """The host whose trial is with its agent."""
    return next((h for h in hosts.hosts.values() for e in (h.cache / "jobs").glob("*/*/events*")
                 if b'"phase":"agent"' in e.read_bytes()), None)


def log_of(workdir):
    return (workdir / "data/launch/ssh/log").read_text() if (workdir / "data/launch/ssh/log").exists() else ""


@pytest.mark.parametrize("silently", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_host_is_cut_off_and_comes_back(start_cli, slow, rollout, hosts, workdir, silently):
    """Its trial went on meanwhile, and is heard on from where it had been heard: one attempt, no line twice."""
    child = start_cli("run", slow(3))
    host = wait_for(lambda: host_of_agent(hosts), timeout=120)
    host.unplug(silently)
    wait_for(lambda: b'"left"' in b"".join(e.read_bytes() for e in (host.cache / "jobs").glob("*/*/events*")), timeout=120)
    host.replug()
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 1
    [folder] = (workdir / "data/rollouts/far").iterdir()
    phases = [e["phase"] for e in events(folder, "phase")]
    assert len(phases) == len(set(phases))
    nothing_is_left(hosts, workdir)


def test_a_host_that_stays_away(start_cli, run_cli, slow, rollout, hosts, workdir):
    """Its trial is tried again on the other one; what still ran there is ended once it is back."""
    child = start_cli("run", slow(5, retries=1, ssh={"lost_after_sec": 2}))
    host = wait_for(lambda: host_of_agent(hosts), timeout=120)
    host.unplug()
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 2
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert f"host {host.name} was out of reach for 2 s" in str(events(folder, "finished")[0])
    host.replug()

    def is_swept():
        run_cli("run", "far.toml", "--agent", "nop", check=0)
        return not (workdir / "data/launch/ssh/lost").exists()

    wait_for(is_swept, timeout=300)
    nothing_is_left(hosts, workdir)


def test_a_supervisor_and_its_launcher_are_killed(start_cli, run_cli, slow, rollout, hosts, workdir):
    """The trials go on; resume takes them up, and those that waited for a slot."""
    child = start_cli("run", slow(3, rollouts=6, parallel=6))
    wait_for(lambda: host_of_agent(hosts), timeout=60)
    child.kill()
    child.wait()
    run_cli("resume", "far", check=0)
    assert [r["attempt"] for r in rollout("far").runs.values()] == [1] * 6
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert len(events(folder, "finished")) == 6
    nothing_is_left(hosts, workdir)


@pytest.mark.long
def test_an_interrupt_reaches_it(start_cli, slow, hosts, workdir):
    child = start_cli("run", slow(60, rollouts=5, parallel=5))
    wait_for(lambda: host_of_agent(hosts), timeout=60)
    child.send_signal(signal.SIGINT)
    wait_for(lambda: b"interrupted" in next(workdir.glob("data/rollouts/far/*/events.jsonl")).read_bytes())
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=300)
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert {e["outcome"] for e in events(folder, "finished")} == {"cancelled"}
    nothing_is_left(hosts, workdir)


@pytest.mark.parametrize("more, status, words", [
    ({"hosts": []}, 2, 'launcher ssh: hosts: must be a list of hosts'),
    ({"hosts": ["ann", "ann"]}, 2, "launcher ssh: hosts: ann stands there twice"),
    ({"hosts": ["-oProxyCommand=true"]}, 2, "launcher ssh: hosts: must be"),
    ({"slot": 3}, 2, "launcher ssh: slot: unknown setting (did you mean slots?)"),
    ({"folder": "/tmp/$(id)"}, 2, "launcher ssh: folder: must be"),
    ({"hosts": ["carl"]}, 3, "launcher ssh: no host can be used: carl: "),
])
def test_settings(run_cli, far, hosts, more, status, words):
    """What is wrong is said in a line before there is a rollout; so is that no host answers."""
    done = run_cli("run", far(ssh=more), check=status)
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.long
def test_doctor(run_cli, far):
    done = run_cli("doctor", "--launcher", "ssh", "--config", far())
    assert "a job went there and its files came back" in done.stdout


@pytest.fixture
def program(workdir, node, hosts):  # noqa: F811
    """As conformance.py has it: what every launcher keeps to, this one keeps to."""
    started = []

    def start(data, settings=None, **more):
        driver = node.parent / "drivers/ssh/launch"
        started.append(Launcher(driver, data, node, "ssh", clean_env(workdir, None, None), settings=hosts.settings(**(settings or {})), **more))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.kill()

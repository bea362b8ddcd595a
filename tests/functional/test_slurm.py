# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher of Slurm, on a real cluster of three nodes on this machine."""
import json
import os
import shutil
import signal
import subprocess

import pytest

import slurm
from conftest import clean_env, only, put, wait_for
from launching import Launcher, events
# The protocol's own tests are collected here once more, with the `program` of this file.
from conformance import (  # noqa: F401
    attempts, node, test_a_job_that_is_cancelled, test_a_refusal_names_the_setting, test_a_token_is_submitted_once,
    test_jobs_of_the_protocol, test_what_it_does_not_know)

pytestmark = pytest.mark.local("a container does not travel")
ARRAY = 21  # MaxArraySize: 20 tasks in one array


@pytest.fixture(scope="module")
def cluster():
    missing = [name for name in ("slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"no Slurm cluster here: {', '.join(missing) or 'not root'} (packages slurmctld, slurmd, slurm-client)")
    one = slurm.Cluster(nodes=3, cpus=8, array=ARRAY)
    yield one
    one.stop()


@pytest.fixture
def env(cluster, workdir):
    """SLURM_CONF, and a cache of nodes that goes with the test."""
    yield cluster.env
    wait_for(lambda: not cluster.ask("squeue", "-h"), timeout=60)
    cluster.wait_idle()


@pytest.fixture
def bench(make_task, make_bench, workdir):
    """bench(settings={}, ...): a benchmark for Slurm."""
    def make(settings=None, rollouts=1, **more):
        more = {"agent": "nop", "sandbox": "none", "evaluate": False, **more}
        parallel = more.pop("parallel", 8)
        task = workdir / "tasks/far"
        path = make_bench(task if task.exists() else make_task("far"), name="far", file="far.toml", parallel=parallel,
                          defaults={"launcher": "slurm", "model": "none", "rollouts": rollouts, **more})
        settings = {"cache": str(workdir / "node"), "poll_sec": 1, **(settings or {})}
        lines = [f"{k} = {json.dumps(v)}" for k, v in settings.items()]
        with open(path, "a") as file:
            file.write("\n[launcher.slurm]\n" + "\n".join(lines) + "\n")
        return path

    return make


@pytest.fixture
def program(workdir, node, env, binary):  # noqa: F811
    started = []

    def start(data, **more):
        path = node.parent / "rollouts-launch-slurm"
        settings = {"cache": str(workdir / "node"), "poll_sec": 1, **more.pop("settings", {})}
        started.append(Launcher(path, data, node, "slurm", clean_env(workdir, None, env), settings=settings, **more))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.kill()


def slow_agent(workdir, seconds):
    put(workdir / "agents/slow.toml", f'argv = ["sleep", "{seconds}"]\n')
    return {"agent": "slow", "sandbox": "local"}


def working(workdir, count=1):
    """Whether the agents of COUNT trials are at work, by what nodes were told."""
    return sum(p.read_bytes().count(b'"phase":"agent"') for p in workdir.glob("data/launch/slurm/*/out/*.events.*")) >= count


def only_folder(workdir):
    [folder] = (workdir / "data/rollouts/far").iterdir()
    return folder


@pytest.mark.parametrize("count, json_of_squeue", [(200, False), (60, True)])
def test_many_trials_are_few_jobs(run_cli, env, cluster, bench, rollout, workdir, count, json_of_squeue):
    """By tens in a job; Slurm asked in both of the forms in which it answers."""
    run_cli("run", bench({"trials_per_job": 10, "side_by_side": 5, "json": json_of_squeue}, rollouts=count, parallel=count),
            env=env, check=0, timeout=300)
    assert {r["outcome"] for r in rollout("far").runs.values()} == {"completed"}
    jobs = {e["job"] for e in events(only_folder(workdir), "submitted")}
    assert count / 10 <= len(jobs) <= count / 5
    assert len({job.split("_")[0] for job in jobs}) <= 10  # calls of sbatch
    assert [p.name for p in (workdir / "data/launch/slurm").iterdir()] == ["log"]


def test_an_array_is_as_large_as_the_site_allows(run_cli, env, bench, rollout, workdir):
    run_cli("run", bench(rollouts=30, parallel=30), env=env, check=0, timeout=300)
    assert len(rollout("far").runs) == 30
    indices = [int(e["job"].split("_")[1].split("@")[0]) for e in events(only_folder(workdir), "submitted")]
    assert max(indices) < ARRAY


def test_a_graded_trial(run_cli, env, bench, rollout):
    run_cli("run", bench(agent="oracle", sandbox="local", evaluate=True), env=env, check=0)
    assert only(rollout("far"))["total_score"] == 1.0


def test_a_node_that_fails(start_cli, env, cluster, bench, rollout, workdir):
    """Its trial is tried again with Slurm's reason in its earlier attempt, which stays."""
    child = start_cli("run", bench(retries=2, **slow_agent(workdir, 4)), env=env)
    wait_for(lambda: working(workdir), timeout=60)
    name = cluster.ask("squeue", "-h", "-o", "%N")
    cluster.ask("scontrol", "update", f"node={name}", "state=down", "reason=test")
    try:
        out, _ = child.communicate(timeout=120)
    finally:
        cluster.ask("scontrol", "update", f"node={name}", "state=resume")
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 2
    first = events(only_folder(workdir), "finished")[0]["reason"]
    assert "NODE_FAIL" in first and name in first


def test_a_copy_that_slurm_requeued(start_cli, env, cluster, bench, rollout, workdir):
    """The first execution goes on, on a node that Slurm has lost; there is one attempt and one result."""
    child = start_cli("run", bench({"requeue": True}, **slow_agent(workdir, 12)), env=env)
    wait_for(lambda: working(workdir), timeout=60)
    name = cluster.ask("squeue", "-h", "-o", "%N")
    cluster.kill(name)
    cluster.ask("scontrol", "update", f"node={name}", "state=down", "reason=test")
    try:
        out, _ = child.communicate(timeout=180)
    finally:
        cluster.start_node(int(name[1:]))
        cluster.ask("scontrol", "update", f"node={name}", "state=resume")
    assert child.returncode == 0, out
    trial = only(rollout("far"))
    assert trial["attempt"] == 1 and trial["outcome"] == "completed"
    assert len(events(only_folder(workdir), "finished")) == 1


@pytest.mark.long  # its nodes take half a minute to be themselves again
def test_a_controller_that_restarts(start_cli, env, cluster, bench, rollout, workdir):
    child = start_cli("run", bench(**slow_agent(workdir, 5)), env=env)
    wait_for(lambda: working(workdir), timeout=60)
    cluster.kill("slurmctld")
    wait_for(lambda: subprocess.run(["squeue"], env={**os.environ, **cluster.env}, capture_output=True).returncode, timeout=30)
    cluster.start("slurmctld", "-D")
    out, _ = child.communicate(timeout=240)
    assert child.returncode == 0, out
    assert only(rollout("far"))["attempt"] == 1


def test_a_supervisor_that_was_killed(run_cli, start_cli, env, bench, rollout, workdir):
    child = start_cli("run", bench(**slow_agent(workdir, 4)), env=env)
    wait_for(lambda: working(workdir), timeout=60)
    child.kill()
    child.wait()
    run_cli("resume", "far", env=env, check=0)
    assert only(rollout("far"))["attempt"] == 1, json.dumps(events(only_folder(workdir), "finished"))
    assert len(events(only_folder(workdir), "started")) == 1


def test_an_interrupt_ends_its_jobs(start_cli, env, cluster, bench, workdir):
    """Those that run and those that wait."""
    child = start_cli("run", bench(rollouts=30, parallel=30, **slow_agent(workdir, 60)), env=env)
    wait_for(lambda: working(workdir, 3), timeout=60)
    child.send_signal(signal.SIGINT)
    wait_for(lambda: events(only_folder(workdir), "interrupted"))
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=120)
    wait_for(lambda: not cluster.ask("squeue", "-h"), timeout=30)


@pytest.mark.parametrize("settings, words", [
    ({"partition": "nope"}, "invalid partition"),
    ({"partitoin": "main"}, "partitoin: unknown setting (did you mean partition?)"),
    ({"trials_per_job": 0}, "trials_per_job: must be a whole number"),
    ({"options": "--exclusive"}, "options: must be a list"),
    ({"options": ["--clusters=other"]}, "options: must not hold -M, --clusters"),
    ({"side_by_side": 2}, "side_by_side: more than trials_per_job"),
    ({"memory_mb": 999999}, "Slurm would not take a job with these settings"),
])
def test_settings_are_tried_first(run_cli, env, bench, workdir, settings, words):
    done = run_cli("run", bench(settings), env=env, check=2)
    assert words.lower() in done.stderr.lower() and len(done.stderr.splitlines()) == 1
    assert not (workdir / "data/rollouts/far").exists() or not list((workdir / "data/rollouts/far").iterdir())


def test_a_controller_that_is_away(run_cli, bench, workdir, cluster):
    put(workdir / "slurm.conf", (cluster.top / "slurm.conf").read_text().replace("SlurmctldPort=", "SlurmctldPort=1"))
    done = run_cli("run", bench(), env={"SLURM_CONF": str(workdir / "slurm.conf")}, check=3)
    assert "launcher slurm: Slurm does not answer" in done.stderr


def test_a_job_that_cannot_start(run_cli, env, cluster, bench, rollout, workdir):
    """Slurm lets it wait for ever; its reason ends the trial."""
    cluster.ask("scontrol", "update", "partition=main", "maxtime=2")
    try:
        run_cli("run", bench({"time": "30"}, retries=0), env=env)
    finally:
        cluster.ask("scontrol", "update", "partition=main", "maxtime=INFINITE")
    assert "PartitionTimeLimit" in json.dumps(events(only_folder(workdir), "finished")) or not rollout("far").runs


def test_an_answer_of_sbatch_that_was_lost(run_cli, env, bench, rollout, workdir):
    """Slurm has the job, and sbatch says it failed: it is found by its name, and run once."""
    put(workdir / "bin/sbatch", """#!/bin/sh
case "$*" in *--test-only*) exec /usr/bin/sbatch "$@" ;; esac
echo x >> "$(dirname "$0")/calls"
/usr/bin/sbatch "$@" > /dev/null
echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
exit 1
""")
    (workdir / "bin/sbatch").chmod(0o755)
    run_cli("run", bench(), env={**env, "PATH": f"{workdir}/bin:/usr/bin:/bin:/usr/sbin"}, check=0)
    assert only(rollout("far"))["attempt"] == 1
    assert (workdir / "bin/calls").read_text() == "x\n"


def test_doctor_uses_it(run_cli, env, bench, workdir):
    done = run_cli("doctor", "--launcher", "slurm", "--config", bench(), env=env)
    line = next(line for line in done.stdout.splitlines() if "launcher slurm" in line)
    assert line.startswith("✓") and "came back in" in line, done.stdout
    done = run_cli("doctor", "--launcher", "slurm", "--config", bench({"partition": "nope"}), env=env, check=3)
    assert "Invalid partition" in done.stdout


# What squeue says of a job that runs, once `say` is there: another state for each array task.
STATES = ["OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT", "BOOT_FAIL"]
SQUEUE = """#!/bin/sh
[ -e {top}/say ] || exec /usr/bin/squeue "$@"
/usr/bin/squeue "$@" | sed {edits}
"""


def test_each_end_that_slurm_makes(start_cli, env, cluster, bench, workdir):
    """Is a fault of the engine's with its word for it, whatever its node still said."""
    edits = " ".join(f"-e '/_{i}|RUNNING|/s/|RUNNING|[^|]*|/|{state}|None|/'" for i, state in enumerate(STATES))
    put(workdir / "bin/squeue", SQUEUE.format(top=workdir, edits=edits))
    (workdir / "bin/squeue").chmod(0o755)
    count = len(STATES)
    child = start_cli("run", bench(rollouts=count, parallel=count, retries=0, **slow_agent(workdir, 60)),
                      env={**env, "PATH": f"{workdir}/bin:/usr/bin:/bin:/usr/sbin"})
    wait_for(lambda: working(workdir, count), timeout=60)
    put(workdir / "say", "")
    child.communicate(timeout=120)
    ends = events(only_folder(workdir), "finished")
    assert {e["outcome"] for e in ends} == {"infra_error"}
    assert sorted(state for e in ends for state in STATES if f"Slurm says {state} of job" in e["reason"]) == sorted(STATES)
    cluster.ask("scancel", "--user", "root")


def test_a_job_that_is_held(start_cli, env, cluster, bench, rollout, workdir):
    """Waits, and a line says what lets it go."""
    with open(workdir / "screen", "w") as screen:
        child = start_cli("run", bench({"options": ["--hold"]}), env=env, stdout=screen)
        wait_for(lambda: "is held (JobHeldUser): scontrol release" in (workdir / "screen").read_text(), timeout=60)
        cluster.ask("scontrol", "release", cluster.ask("squeue", "-h", "-t", "PD", "-o", "%A").split()[0])
        assert child.wait(120) == 0, (workdir / "screen").read_text()
    assert only(rollout("far"))["attempt"] == 1

# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher of Slurm where there is accounting: limits of a QOS, and sacct for jobs that squeue has forgotten."""
import os
import shutil

import pytest

import slurm
from conftest import only, wait_for
from launching import events
from test_slurm import bench, env, only_folder, slow_agent, working  # noqa: F401

pytestmark = [pytest.mark.local("a container does not travel"), pytest.mark.long]  # half a minute before the first test


@pytest.fixture(scope="module")
def cluster():
    missing = [name for name in ("slurmctld", "slurmd", "sbatch", "slurmdbd", "mariadbd") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"no Slurm with accounting here: {', '.join(missing) or 'not root'} (packages slurmdbd, mariadb-server)")
    one = slurm.Cluster(nodes=2, cpus=8, accounting=True)
    yield one
    one.stop()


@pytest.fixture
def qos(cluster):
    """qos("maxsubmitjobsperuser=4"): the limits of the one that all jobs have. They go with the test."""
    def limit(text):
        cluster.until(10, "sacctmgr", "-i", "modify", "qos", "normal", "set", *text.split())

    yield limit
    limit("maxsubmitjobsperuser=-1 maxjobsperuser=-1")


def test_a_limit_on_submitted_jobs(run_cli, cluster, env, bench, rollout, workdir, qos):  # noqa: F811
    """Is read: what is past it waits here, and Slurm is never asked for more than it takes."""
    qos("maxsubmitjobsperuser=4")
    run_cli("run", bench(rollouts=12, parallel=12), env=env, check=0, timeout=300)
    assert len([r for r in rollout("far").runs.values() if r]) == 12
    assert "Batch job submission failed" not in (workdir / "data/launch/slurm/log").read_text()
    sizes = {}
    for e in events(only_folder(workdir), "submitted"):
        sizes.setdefault(e["job"].split("_")[0], set()).add(e["job"].split("@")[0])
    assert max(len(tasks) for tasks in sizes.values()) <= 4 and len(sizes) >= 3


def test_a_limit_on_running_jobs(run_cli, cluster, env, bench, rollout, qos):  # noqa: F811
    """Jobs that wait because of it do so, and end."""
    qos("maxjobsperuser=1")
    run_cli("run", bench(rollouts=4, parallel=4), env=env, check=0, timeout=300)
    assert len([r for r in rollout("far").runs.values() if r]) == 4


def test_a_job_that_squeue_has_forgotten(start_cli, run_cli, cluster, env, bench, rollout, workdir):  # noqa: F811
    """It ended badly while nobody looked: sacct says how."""
    child = start_cli("run", bench(retries=0, **slow_agent(workdir, 300)), env=env)
    wait_for(lambda: working(workdir), timeout=60)
    child.kill()
    child.wait()
    job = cluster.ask("squeue", "-h", "-o", "%i")
    cluster.ask("scontrol", "update", f"jobid={job}", "minjobage=2")
    cluster.ask("scancel", "--signal=KILL", "--full", job)
    wait_for(lambda: not cluster.ask("squeue", "-h"), timeout=60)
    wait_for(lambda: cluster.ask("sacct", "-n", "-X", "-P", "-o", "State", "-j", job) not in ("", "RUNNING"), timeout=60)
    cluster.kill("slurmctld")  # it forgets what it has ended
    cluster.start("slurmctld", "-D", "-c")
    cluster.wait_idle()
    run_cli("resume", "far", env=env, timeout=120)
    [end] = events(only_folder(workdir), "finished")
    assert end["outcome"] == "infra_error" and "Slurm says" in end["reason"] and job in end["reason"]

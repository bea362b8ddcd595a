# SPDX-License-Identifier: GPL-3.0-or-later
"""A data folder on a file system that machines share, as nodes of Slurm see it: two mounts of the same files, the submitting side's and that of
the nodes, each of which keeps names, what is not there, and attributes for seconds, as clients of NFS do."""
import os
import shutil
import subprocess

import pytest

import engines
from conftest import put, wait_for
from launching import events
from conformance import node  # noqa: F401
from test_slurm import bench, cluster, env, slow_agent  # noqa: F401

pytestmark = [pytest.mark.local("a container does not travel"), pytest.mark.long]
CACHED = "attr_timeout=4,entry_timeout=4,negative_timeout=4,allow_other"


class Mount:
    """A bindfs in the mount namespace of HOLDER (None: ours)."""

    def __init__(self, behind, place, holder=None):
        self.enter = ["nsenter", f"--mount=/proc/{holder}/ns/mnt"] if holder else []
        self.place = place
        self.child = engines.start_server([*self.enter, "bindfs", "-f", "-o", CACHED, str(behind), str(place)], stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: subprocess.run([*self.enter, "mountpoint", "-q", str(place)]).returncode == 0, timeout=60)

    def stop(self):
        subprocess.run([*self.enter, "umount", "--lazy", self.place], check=True)
        self.child.terminate()  # other tests' namespaces may hold a copy of the mount
        self.child.wait(60)
        engines.LIVING.discard(self.child.pid)


@pytest.fixture
def shared(workdir, node, cluster):  # noqa: F811
    """The folder, mounted here; shared.node: what Slurm runs in place of rollouts-node, which sees it by the other mount."""
    if not shutil.which("bindfs") or not os.path.exists("/dev/fuse"):
        pytest.skip("bindfs is not installed, or the kernel has no FUSE")
    behind, place = workdir / "behind", workdir / "shared"
    behind.mkdir()
    place.mkdir()
    holder = engines.start_server(["unshare", "--mount", "--propagation", "private", "sleep", "infinity"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: os.readlink(f"/proc/{holder.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"))
    there, here = Mount(behind, place, holder.pid), Mount(behind, place)
    assert open(f"/proc/{holder.pid}/mountinfo").read().count(str(place)) == 1  # not ours on top of its own
    wrapper = workdir / "far-node"
    put(wrapper, f'#!/bin/sh\nexec nsenter --mount=/proc/{holder.pid}/ns/mnt {node} "$@"\n')
    wrapper.chmod(0o755)
    place_, node_ = place, str(wrapper)

    class Shared:
        behind, place, node = workdir / "behind", place_, node_
        data = ["--data-dir", place_ / "data"]
    yield Shared
    here.stop()
    there.stop()
    holder.kill()
    holder.wait()
    engines.LIVING.discard(holder.pid)


def folder_of(shared):
    [folder] = (shared.behind / "data/rollouts/far").iterdir()
    return folder


def test_trials_come_back(run_cli, env, bench, shared):  # noqa: F811
    """Several to a job, one after the other; all of them at once, with nothing tried again."""
    run_cli("run", bench({"node": shared.node, "trials_per_job": 3}, rollouts=12, parallel=12, agent="oracle", sandbox="local", evaluate=True),
            *shared.data, env=env, check=0, timeout=300)
    ends = events(folder_of(shared), "finished")
    assert [(e["outcome"], e["attempt"]) for e in ends] == [("completed", 1)] * 12
    assert [p.name for p in (shared.behind / "data/launch/slurm").iterdir()] == ["log"]


def test_a_supervisor_that_was_killed(run_cli, start_cli, env, bench, shared, workdir):  # noqa: F811
    """While trials work and wait; resume takes each up, and none runs twice."""
    child = start_cli("run", bench({"node": shared.node}, rollouts=4, parallel=4, **slow_agent(workdir, 6)), *shared.data, env=env)
    wait_for(lambda: any(b'"phase":"agent"' in p.read_bytes() for p in shared.behind.glob("data/launch/slurm/*/out/*.events.0")), timeout=120)
    child.kill()
    child.wait()
    # What docs/scaling.md says lies there: few files for a batch, one for each array task, an archive for each attempt that has ended.
    [batch] = [p for p in (shared.behind / "data/launch/slurm").iterdir() if p.is_dir()]
    assert {p.name for p in batch.iterdir()} <= {"batch.json", "list.json", "script", "job", "log", "out"}
    assert len([p for p in (batch / "out").iterdir() if not p.name.endswith(".tar")]) <= 4
    run_cli("resume", "far", *shared.data, env=env, check=0, timeout=300)
    ends = events(folder_of(shared), "finished")
    assert [(e["outcome"], e["attempt"]) for e in ends] == [("completed", 1)] * 4


def test_a_job_that_was_killed_brings_what_it_has(start_cli, env, cluster, bench, shared, workdir):  # noqa: F811
    """Its last words and its archive may be seen later than Slurm's."""
    child = start_cli("run", bench({"node": shared.node}, retries=0, **slow_agent(workdir, 60)), *shared.data, env=env)
    wait_for(lambda: any(b'"phase":"agent"' in p.read_bytes() for p in shared.behind.glob("data/launch/slurm/*/out/*.events.0")), timeout=120)
    cluster.ask("scancel", "--batch", "--signal=TERM", cluster.ask("squeue", "-h", "-o", "%A"))
    out, _ = child.communicate(timeout=200)
    [end] = events(folder_of(shared), "finished")
    assert end["outcome"] == "infra_error", out
    [run] = shared.behind.glob("data/runs/2*")
    assert (run / "attempts/1/logs").is_dir()

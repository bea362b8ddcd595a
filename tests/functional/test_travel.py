# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker needs nothing but the folder it is started in: what a launcher for other machines will carry there."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import become, clean_env, give_to, only, put

pytestmark = pytest.mark.local("the image of a container comes from its engine")

STRANGER = 1900000007  # for a worker of root: a sandbox is never opened as root


def pack(data, away, run, tool, uid):
    """AWAY becomes a data folder with what the first attempt of RUN needs, and nothing else; there it runs as UID."""
    attempt = f"runs/{run}/attempts/1"
    spec = json.loads((data / attempt / "trial.json").read_text())
    for name in ("tasks", "baselines", "pins"):
        shutil.copytree(data / "cache" / name, away / "cache" / name, symlinks=True)
    [mount] = spec["agent_spec"]["mounts"]
    assert mount["host"] == str(tool)
    shutil.copytree(tool, away / "cache/agents/0123abcd", symlinks=True)
    mount["host"] = "cache/agents/0123abcd"
    spec["uid"] = uid
    put(away / attempt / "trial.json", json.dumps(spec))
    for name in ("artifacts", "logs"):
        (away / attempt / name).mkdir()
    if uid:
        for path in [away / "runs" / run, *(away / "runs" / run).rglob("*")]:
            os.chown(path, uid, uid)
    return attempt


def test_a_trial_travels(run_cli, make_task, make_bench, rollout, workdir, binary, account):
    solve = workdir / "opt/tool/bin/solve"
    put(solve, "#!/bin/sh\nsed -i 's/nmae/name/' src/greet.py\n")
    solve.chmod(0o755)
    put(workdir / "agents/travels.toml", f'argv = ["{solve}"]\n')
    run_cli("run", make_bench(make_task(), agent="travels", model="none"), check=0)
    here = only(rollout())
    assert here["total_score"] == 1.0

    away = workdir / "away"
    attempt = pack(workdir / "data", away, here["run_id"], workdir / "opt/tool",
                   0 if account or os.geteuid() else STRANGER)
    if account:
        give_to(account, away)
    for gone in ("data", "opt", "tasks", "repos", "agents"):
        (workdir / gone).rename(workdir / f"{gone}.gone")
    worker = next(p for top in (binary.parent, binary.parent.parent) for p in top.glob("**/rollouts-trial"))
    done = subprocess.run([worker, attempt], cwd=away, capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL, env=clean_env(workdir, account, None),
                          **become(account))
    assert done.returncode == 0, done.stderr
    assert '"event":"finished"' in done.stdout
    there = json.loads((away / attempt / "result.json").read_text())
    assert there["outcome"] == "completed", there["reason"]
    assert there["total_score"] == 1.0
    assert there["agent"]["digest"] == here["agent"]["digest"]


@pytest.mark.parametrize("name", ["rollouts", "runs", "cache"])
def test_a_link_in_the_data_folder_is_refused(run_cli, make_task, make_bench, workdir, name):
    """One line before the first trial; a data folder that is a link as a whole is followed."""
    make_bench(make_task("ta"), model="m")
    (workdir / "disk").mkdir()
    (workdir / "data").symlink_to(workdir / "disk")
    run_cli("run", "bench.toml", check=0)
    (workdir / "disk" / name).rename(workdir / "moved")
    (workdir / "disk" / name).symlink_to(workdir / "moved")
    for words in (["run", "bench.toml"], ["resume", "bench"], ["eval", "bench"]):
        done = run_cli(*words, check=2)
        assert f"data/{name} is a link" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("target", ["not/mounted", "data"])
def test_a_link_that_leads_nowhere_is_said(run_cli, make_task, make_bench, workdir, target):
    """A disk that is not mounted, or the link itself: no folder is made where it leads, and nothing says there is no such file."""
    make_bench(make_task("ta"), model="m")
    (workdir / "data").symlink_to(target)
    for words in (["run", "bench.toml"], ["list"]):
        done = run_cli(*words, check=2)
        assert "data folder data is a link that leads to no folder" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (workdir / "not").exists()

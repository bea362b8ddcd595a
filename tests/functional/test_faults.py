# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the disk at every write, sync and rename of the supervisor and of a worker. Whatever failed, nothing hangs or crashes,
and resume comes to the end without buying what was committed once more. A seeded few always, all of them with `long`."""
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import remove_tree
from test_kill import check_whole

pytestmark = [pytest.mark.local("is about calls of our own processes"),
              pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")]
CALLS = {"write": ("write,pwrite64", "ENOSPC"), "sync": ("fsync,fdatasync,syncfs", "EIO"), "rename": ("renameat,renameat2", "EIO")}
FEW = 3


def strace(workdir, calls, inject=""):
    return ["strace", "-qq", "-o", workdir / "calls", "-e", "trace=" + calls, *(["-e", f"inject={calls}:{inject}"] if inject else [])]


@pytest.fixture
def faulty(make_task, make_bench, agent_script, binary, workdir):
    """faulty(who, calls, inject="") runs the benchmark, with the calls of WHO traced; how often there were any."""
    agent_script("echo changed >> README.md\n")
    task = make_task("greet", tests=[("quick.sh", "works", "grep -q changed README.md\n")])
    make_bench({"prepared_dir": task, "rollouts": 2}, agent="scripted", model="m", sandbox="local", retries=1)
    real = binary.parent
    bin_ = workdir / "bin"
    bin_.mkdir()
    shutil.copy(binary, bin_ / "rollouts")
    for other in real.iterdir():
        if other.is_file() and not (bin_ / other.name).exists():
            (bin_ / other.name).symlink_to(other)
    (bin_ / "rollouts-trial").unlink()
    (workdir / "share").symlink_to(Path(__file__).resolve().parents[2] / "share")
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # it cannot look while traced

    def run(who, calls, inject=""):
        (workdir / "calls").unlink(missing_ok=True)
        trace = " ".join(f"'{arg}'" for arg in strace(workdir, calls, inject)) if who == "worker" else ""
        (bin_ / "rollouts-trial").write_text(f"#!/bin/sh\nexec {trace} {real}/rollouts-trial \"$@\"\n")
        (bin_ / "rollouts-trial").chmod(0o755)
        before = strace(workdir, calls, inject) if who == "supervisor" else []
        done = subprocess.run([*before, bin_ / "rollouts", "run", "bench.toml", "--no-preflight"], cwd=workdir, capture_output=True,
                              text=True, errors="replace", env=env, timeout=300)
        traced = (workdir / "calls").read_text().count("(") if (workdir / "calls").exists() else 0
        return done, traced

    return run


def try_all(faulty, run_cli, workdir, who, kind, points):
    calls, error = CALLS[kind]
    done, total = faulty(who, calls)
    assert done.returncode == 0 and total, (done, total)
    remove_tree(workdir / "data")
    for n in points(total):
        done, _ = faulty(who, calls, f"error={error}:when={n}")
        told = f"{who}, {kind} {n} of {total}: {done}"
        assert done.returncode in (0, 1, 2, 3), told
        assert "bug:" not in done.stderr, told
        if list(workdir.glob("data/rollouts/bench/*/plan.json")):
            assert run_cli("resume", "bench", timeout=300).returncode == 0, told
        else:
            assert done.returncode, told
            run_cli("run", "bench.toml", check=0, timeout=300)
        check_whole(workdir)
        remove_tree(workdir / "data")


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("who", ["supervisor", "worker"])
def test_a_few_errors(faulty, run_cli, workdir, who, kind):
    rng = random.Random(f"{who} {kind}")
    try_all(faulty, run_cli, workdir, who, kind, lambda total: sorted(rng.sample(range(1, total + 1), min(FEW, total))))


@pytest.mark.long
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("who", ["supervisor", "worker"])
def test_every_error(faulty, run_cli, workdir, who, kind):
    try_all(faulty, run_cli, workdir, who, kind, lambda total: range(1, total + 1))

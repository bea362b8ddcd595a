# SPDX-License-Identifier: GPL-3.0-or-later
"""`clean` beside what begins: nothing is removed that somebody is about to use, and nobody goes on with what is being removed."""
import fcntl
import os
import time

import pytest

from conftest import wait_for


@pytest.fixture
def bench(make_task, make_bench):
    make_bench({"prepared_dir": make_task("one")}, agent="oracle", sandbox="local")


def age(folder, hours=2):
    then = time.time() - hours * 3600
    for entry in folder.glob("*/*"):
        os.utime(entry, (then, then), follow_symlinks=False)


def test_what_a_run_used_again_is_young_again(bench, run_cli, workdir):
    run_cli("run", "bench.toml", check=0)
    cache = workdir / "data/cache"
    baselines = sorted(p for p in (cache / "baselines").iterdir() if not p.name.endswith(".lock"))
    assert baselines
    age(cache)
    run_cli("run", "bench.toml", check=0)
    said = run_cli("clean", "--cache", check=0).stdout
    assert all(p.exists() for p in baselines), said
    for used in ("tasks", "mirrors", "baselines"):
        assert f"cache/{used}/" not in said, said
    age(cache)
    assert "removed data/cache/baselines/" in run_cli("clean", "--cache", check=0).stdout
    assert "score 1.000" in run_cli("run", "bench.toml", check=0).stdout


def test_the_cache_is_not_removed_from_under_a_run_that_starts(bench, run_cli, workdir):
    """It holds the lock from before it looks for anything there."""
    run_cli("run", "bench.toml", check=0)
    age(workdir / "data/cache")
    with open(workdir / "data/cache/in-use.lock") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        done = run_cli("clean", "--cache", check=2)
        assert "is running, or about to, and uses the cache" in done.stderr and done.stdout == ""
        assert "would remove" in run_cli("clean", "--cache", "--dry-run", check=0).stdout
        assert list((workdir / "data/cache/baselines").iterdir())
        run_cli("run", "bench.toml", check=0)  # two may use it
    age(workdir / "data/cache")
    assert "removed data/cache/baselines/" in run_cli("clean", "--cache", check=0).stdout


@pytest.mark.parametrize("verb", [["run", "bench.toml"], ["resume", "bench"], ["eval", "bench"]])
def test_who_starts_waits_for_a_clean(bench, start_cli, run_cli, workdir, verb):
    run_cli("run", "bench.toml", check=0)
    with open(workdir / "data/cache/in-use.lock", "r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        child = start_cli(*verb)
        wait_for(lambda: any("->" in line and f" {child.pid} " in line for line in open("/proc/locks")))
        assert child.poll() is None and len(list(workdir.glob("data/rollouts/bench/*/plan.json"))) == 1
    child.communicate(timeout=120)
    assert child.returncode == 0


def test_a_rollout_that_somebody_goes_on_with_is_not_removed(bench, run_cli, workdir):
    run_cli("run", "bench.toml", check=0)
    top = next(workdir.glob("data/rollouts/bench/*"))
    with open(top / "events.jsonl") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "is running; interrupt it first" in run_cli("clean", "--runs", f"bench/{top.name}", check=2).stderr
    assert (top / "plan.json").exists() and list((workdir / "data/runs").iterdir())
    run_cli("clean", "--runs", f"bench/{top.name}", check=0)
    assert not top.exists() and not list((workdir / "data/runs").iterdir()) and not list((workdir / "data/rollouts/temp").iterdir())

# SPDX-License-Identifier: GPL-3.0-or-later
"""What other users of the machine can read by path, when whoever starts rollouts wants to be alone."""
import os


def reachable(path, top):
    while path != top.parent:
        if not os.lstat(path).st_mode & 0o001:
            return False
        path = path.parent
    return True


def test_solution_tests_and_mirror_are_ones_own(run_cli, workdir, make_task, make_bench, rollout, account):
    bench = make_bench(make_task(), agent="oracle", retries=0)
    old = os.umask(0o077)
    try:
        run_cli("run", bench.name, check=0)
    finally:
        os.umask(old)
    assert [r["total_score"] for r in rollout().runs.values()] == [1]
    data = workdir / "data"
    private = [p for pattern in ("cache/tasks/*/gold.patch", "cache/tasks/*/task.json", "cache/mirrors/**/*") for p in data.glob(pattern)
               if p.is_file()]
    seen = [str(p) for p in private if os.lstat(p).st_mode & 0o004 and reachable(p.parent, data)]
    assert len(private) > 3 and not seen, seen

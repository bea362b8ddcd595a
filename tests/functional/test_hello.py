# SPDX-License-Identifier: GPL-3.0-or-later
"""The example: in order, and its run ends with the scores it promises, in a checkout and installed."""
import os
import shutil
import subprocess
from statistics import mean

import pytest

from conftest import SOURCE, become, give_to, put

HELLO = SOURCE / "examples/hello"
# Mean of four rollouts; what the scripted agent does depends on nothing else.
MEANS = {("csv-quotes", "careful"): 0.8625, ("csv-quotes", "hasty"): 0.475,
         ("stock-table", "careful"): 0.9125, ("stock-table", "hasty"): 0.6625,
         ("snapkeep-docs", "careful"): 0.75, ("snapkeep-docs", "hasty"): 0.25}
DOING_NOTHING = {"csv-quotes": 0.2, "stock-table": 0.25, "snapkeep-docs": 0}


def test_repositories_are_up_to_date():
    subprocess.run([HELLO / "make-repos", "--check"], check=True)


@pytest.mark.parametrize("project, command", [
    ("csvcut", "make -s check"), ("stocktake", "python3 -m pytest -q -p no:cacheprovider"),
    ("snapkeep", "sh tests/check.sh")])
def test_projects_pass_their_own_tests(workdir, project, command):
    subprocess.run(f"cp -r {HELLO}/projects/{project} repo && cd repo && {command}", shell=True, check=True,
                   cwd=workdir, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, stdout=subprocess.DEVNULL)


@pytest.fixture
def hello(workdir):
    shutil.copytree(HELLO, workdir / "hello")
    return workdir / "hello"


def scores(run):
    found = {}
    for row in run.manifest["results"]:
        assert row["outcome"] == "completed", row
        found.setdefault((row["task_id"], row["model"]), []).append(row["total_score"])
    return {key: pytest.approx(mean(values)) for key, values in found.items()}


def test_example_scores(run_cli, rollout, hello, account):
    """Same scores as promised, tokens and tools read from the agent's log, a summary that shows them."""
    done = run_cli("run", hello / "hello.toml", check=0)
    assert "✓ All 24 tasks completed!" in done.stdout
    assert scores(rollout("hello")) == MEANS
    summary = run_cli("summarize", "hello", "--latest", check=0).stdout
    for word in ("careful", "hasty", "csv-quotes", "unit", "tokens", "tools"):
        assert word in summary
    for result in rollout("hello").runs.values():
        assert result["agent"]["metrics"]["tool_calls"] >= 4
        assert result["agent"]["metrics"]["tokens_total"] > 1000


def test_example_tasks_are_sound(run_cli, rollout, hello):
    """The known solution scores 1, doing nothing scores little."""
    run_cli("run", hello / "hello-oracle.toml", check=0)
    rows = rollout("hello-oracle").manifest["results"]
    for row in rows:
        expected = 1 if row["agent"] == "oracle" else DOING_NOTHING[row["task_id"]]
        assert row["total_score"] == pytest.approx(expected), row
    assert len(rows) == 6


@pytest.fixture
def installed(workdir, build_dir):
    """`make install` into a folder of its own, over an older version that had one file more: its prefix."""
    top = workdir / "an inst"
    subprocess.run(["meson", "install", "-C", build_dir, "--no-rebuild", "--quiet", "--destdir", top],
                   check=True, stdout=subprocess.DEVNULL)
    program = next(top.glob("**/bin/rollouts"))
    yield program.parent.parent
    prefix = program.parent.parent
    put(prefix / "share/rollouts/agents/older.toml", "")
    with open(prefix / "share/rollouts/installed", "a") as listing:
        listing.write("share/rollouts/agents/older.toml\n")
    subprocess.run(["meson", "install", "-C", build_dir, "--no-rebuild", "--quiet", "--destdir", top],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([SOURCE / "tools/uninstall", f"/{prefix.relative_to(top)}", top], check=True)
    left = [path for path in top.rglob("*") if not path.is_dir() or "rollouts" in path.name]
    assert left == []


def test_installed_program_runs_the_installed_example(workdir, installed, rollout, ordinary_user):
    """From PREFIX, as an ordinary user, in an empty folder, without the source tree."""
    work = workdir / "work"
    work.mkdir()
    if os.geteuid() == 0:
        give_to(ordinary_user, work)
    done = subprocess.run(
        [installed / "bin/rollouts", "run", installed / "share/doc/rollouts/examples/hello/hello.toml",
         "--limit", "4"], cwd=work, capture_output=True, text=True, **become(ordinary_user),
        env={"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ All 4 tasks completed!" in done.stdout

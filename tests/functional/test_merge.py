# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts of several data folders: told apart where they are mixed, taken in, joined, and nothing lost."""
import json
import shutil
import zlib

import pytest
from conftest import read_rollout

pytestmark = pytest.mark.local("about files, not about sandboxes")

ONE = [("check.sh", "a", "test -f ok\n")]
RUBRICS = [{"id": "a", "criterion": "The rubric", "weight": 1.0}]


@pytest.fixture
def three(make_task, make_bench, agent_script):
    """bench.toml with the tasks ta, tb and tc, which its agent solves."""
    tasks = [make_task(name, tests=ONE, rubrics=RUBRICS) for name in ("ta", "tb", "tc")]
    return make_bench(*tasks, agent=agent_script("touch ok\n"), model="m")


@pytest.fixture
def part(run_cli, three, workdir):
    """part(folder, *options): runs some of bench.toml into that data folder; returns it."""
    def make(name, *options):
        run_cli("run", three, "--data-dir", name, *options, check=0)
        return workdir / name
    return make


def resealed(line):
    head = line.rpartition(',"crc":"')[0]
    return f'{head},"crc":"{zlib.crc32(head.encode()):08x}"}}'


def other_start(source, target):
    """TARGET becomes what another host would have made that began in the same second as SOURCE: another id, the rest alike."""
    shutil.copytree(source, target, symlinks=True)
    [plan] = target.glob("rollouts/*/*/plan.json")
    old = json.loads(plan.read_text())["rollout_id"]
    new = "feedfacefeedface"
    for path in [*target.glob("rollouts/*/*/*.json*"), *target.glob("runs/*/attempts/*/*.json")]:
        path.write_text(path.read_text().replace(old, new))
    journal = plan.with_name("events.jsonl")
    journal.write_text("".join(resealed(line) + "\n" for line in journal.read_text().splitlines()))
    return target


def test_a_run_folder_of_another_rollout_is_noticed(run_cli, part, workdir):
    """What `cp -a A/. B/. N/` makes of two hosts that began in one second."""
    a = part("data")
    run = read_rollout(a).manifest["results"][1]["run_id"]
    b = other_start(a, workdir / "b")
    shutil.rmtree(a / "runs" / run)
    shutil.copytree(b / "runs" / run, a / "runs" / run, symlinks=True)
    said = f"1 of its run folders, runs/{run} among them, belongs to another rollout"
    for words in (["list"], ["compare", "bench", "bench"]):
        assert said in run_cli(*words).stderr
    for words in (["resume", "bench"], ["eval", "bench"],
                  ["clean", "--runs", f"bench/{run.rpartition('-')[0]}"]):
        done = run_cli(*words, check=2)
        assert said in done.stderr and "rollouts merge" in done.stderr and len(done.stderr.splitlines()) == 1
    assert (a / "runs" / run).exists()
    assert "belongs to another rollout" in run_cli("summarize", "bench", check=0).stdout
    assert json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["stranger_runs"] == 1
    assert "by a rollout of bench that is not in data" in run_cli("show", run, check=0).stderr
    # The journal of one beside the plan of the other.
    [journal] = b.glob("rollouts/*/*/events.jsonl")
    shutil.copy(journal, read_rollout(a).dir / "events.jsonl")
    for words in (["summarize", "bench"], ["resume", "bench"]):
        assert "events.jsonl is of another rollout than its plan.json" in run_cli(*words, check=2).stderr

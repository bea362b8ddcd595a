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


def listing(run_cli, data):
    return json.loads(run_cli("list", "--json", "--data-dir", data, check=0).stdout)


def test_parts_of_one_benchmark_become_one(run_cli, part, workdir):
    """A CI matrix: one file, --only on each host; then one rollout, which resume and eval take for one of their own."""
    a, b = part("a", "--only", "ta"), part("b", "--only", "tb", "--tag", "nightly")
    c = part("c", "--only", "tc")
    before = {path: path.read_bytes() for top in (a, b, c) for path in top.rglob("*") if path.is_file()}
    dry = run_cli("merge", "a", "b", "c", "--dry-run", check=0)
    assert "would be joined to" in dry.stdout and not (workdir / "data").exists()
    said = run_cli("merge", "a", "b", check=0).stdout.splitlines()
    assert "taken in as bench" in said[0] and "joined to bench" in said[1]
    assert "joined to bench" in run_cli("merge", "c", check=0).stdout
    assert {path: path.read_bytes() for path in before} == before
    data = workdir / "data"
    one = read_rollout(data)
    rows = one.manifest["results"]
    assert [(row["task_id"], row["total_score"]) for row in rows] == [("ta", 1.0), ("tb", 1.0), ("tc", 1.0)]
    assert one.manifest["state"] == "complete"
    stamp = one.dir.name
    assert [row["run_id"] for row in rows] == [f"{stamp}-{i}" for i in range(3)]
    assert (one.dir / "tags").read_text() == "nightly\n"
    for i, source in enumerate((a, b, c)):
        was = read_rollout(source)
        [old] = was.runs.values()
        new = one.runs[f"{stamp}-{i}"]
        assert new == {**old, "run_id": f"{stamp}-{i}"}
        mine = data / "runs" / f"{stamp}-{i}/artifacts/diff.patch"
        assert mine.read_bytes() == (source / "runs" / old["run_id"] / "artifacts/diff.patch").read_bytes()
        # When and where it happened is kept.
        told = {(e["wall"], e["event"]) for e in one.events}
        assert {(e["wall"], e["event"]) for e in was.events if "run" in e} <= told
    assert json.loads((one.dir / "plan.json").read_text())["merged"][1]["from"] == 2
    assert (one.dir / "summary.md").read_text() == run_cli("summarize", "bench", "--markdown", check=0).stdout
    # Once more changes nothing.
    assert run_cli("merge", "a", "b", "c", check=0).stdout.count("is here already") == 3
    assert "nothing is missing" in run_cli("resume", "bench", check=0).stdout
    run_cli("eval", "bench", check=0)
    assert "tasks=3" in run_cli("resume", "bench", "--retry", "completed", check=0).stdout
    assert all(run["attempt"] == 3 for run in read_rollout(data).runs.values())


def test_two_that_began_in_one_second(run_cli, part, workdir):
    """Nobody is gone: the second has another stamp here, and its run folders and files say so."""
    a = part("a")
    other_start(a, workdir / "b")
    refused = run_cli("merge", "a", "b", check=2)
    assert "both have the trial of ta" in refused.stderr and "--apart" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1 and not list((workdir / "data").glob("runs/*"))
    run_cli("merge", "a", "b", "--apart", check=0)
    rows = listing(run_cli, "data")
    assert [row["done"] for row in rows] == [3, 3] and rows[0]["rollout"] != rows[1]["rollout"]
    data = workdir / "data"
    for row in rows:
        found = read_rollout(data, stamp=row["rollout"])
        for run, result in found.runs.items():
            assert run.startswith(row["rollout"]) and result["run_id"] == run
            assert result["rollout_id"] == found.manifest["rollout_id"]
        assert found.manifest["state"] == "complete"
    for verb in ("summarize", "eval"):
        run_cli(verb, "bench", "--rollout", rows[1]["rollout"], check=0)
    assert "is here already" in run_cli("merge", "b", check=0).stdout


def test_a_rerun_of_another_day_stays_apart(run_cli, part, workdir):
    """The matrix of the next night holds the same trials again: its parts are joined with each other alone."""
    run_cli("merge", part("a", "--only", "ta"), part("b", "--exclude", "ta"), check=0)
    said = run_cli("merge", part("a2", "--only", "ta"), part("b2", "--exclude", "ta"), check=0).stdout
    assert "taken in as" in said and "joined to" in said
    assert [row["trials"] for row in listing(run_cli, "data")] == [3, 3]


def test_other_tasks_and_agents_are_not_joined(run_cli, part, workdir):
    a = part("a", "--only", "ta")
    meta = next(workdir.glob("**/ta/tb_meta.json"))
    meta.write_text(meta.read_text().replace("The rubric", "Another rubric"))
    b = part("b", "--exclude", "tc")
    said = run_cli("merge", a, b, check=0).stdout
    assert "not joined to another, since the task ta is not the same" in said
    agent = workdir / "agents/scripted.toml"
    agent.write_text(agent.read_text().replace("touch ok", "touch ok; true"))
    c = part("c", "--only", "tc")
    said = run_cli("merge", b, c, "--data-dir", "data2", check=0).stdout
    assert "since the agent scripted is not the same" in said


def test_what_went_on_elsewhere_comes_back(run_cli, part, three, workdir):
    a = part("a")
    run_cli("merge", "a", check=0)
    run_cli("resume", "bench", "--retry", "completed", "--data-dir", "a", check=0)
    assert "had gone on" in run_cli("merge", "a", check=0).stdout
    here = read_rollout(workdir / "data")
    assert all(run["attempt"] == 2 for run in here.runs.values())
    assert here.runs == read_rollout(a).runs
    assert "is here already" in run_cli("merge", "a", check=0).stdout
    # Both went on: one of them has to be chosen, and both stay as they are.
    for data in ("a", "data"):
        run_cli("resume", "bench", "--retry", "completed", "--data-dir", data, check=0)
    assert "went on in both places" in run_cli("merge", "a", check=2).stderr
    assert "is the data folder itself" in run_cli("merge", "data", check=2).stderr
    assert "holds no rollout" in run_cli("merge", "agents", check=2).stderr

# SPDX-License-Identifier: GPL-3.0-or-later
"""`eval --config`: stored diffs graded with the tasks as they are now, after a grader was corrected."""
import hashlib
import json
import os
import shutil

import pytest
from conftest import HELLO, put

RUBRICS = [{"id": "a", "criterion": "The rubric", "weight": 1.0}]
WRONG, RIGHT = ("check.sh", "a", "exit 1\n"), ("check.sh", "a", "grep -q made new.txt\n")
WORK = "echo started >> /app/repo/new.txt; echo made >> /app/repo/new.txt\n"


@pytest.fixture
def again(workdir, make_task, make_repo):
    """again(name, test, ...): write the task folder once more, with the same repository."""
    repos = {}

    def make(name="greet", test=RIGHT, **keys):
        repos.setdefault(name, None) or repos.update({name: make_repo(name, HELLO, {"more": "x"}, {"end": "x"})})
        shutil.rmtree(workdir / "tasks" / name, ignore_errors=True)
        return make_task(name, repos[name], tests=[test], rubrics=RUBRICS,
                         **{"start": repos[name].commits[0], "gold": False, **keys})

    make.repos = repos
    return make


@pytest.fixture
def wrong(run_cli, again, make_bench, agent_script):
    """A finished benchmark whose test script was wrong: score 0."""
    make_bench(again(test=WRONG), agent=agent_script(WORK), model="acme-1")
    run_cli("run", "bench.toml", check=0)


def on_disk(workdir):
    """Everything below data but locks that come and go."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else ""
            for p in (workdir / "data").rglob("*") if not p.name.endswith("lock")}


def refused(run_cli, workdir, *said, file="bench.toml"):
    before = on_disk(workdir)
    done = run_cli("eval", "bench", "--config", file, check=2)
    assert all(text in done.stderr for text in said), done.stderr
    assert on_disk(workdir) == before
    return done.stderr.splitlines()


def test_a_corrected_test_changes_the_score(wrong, run_cli, workdir, again, rollout, account):
    first = rollout()
    row = first.manifest["results"][0]
    assert row["total_score"] == 0 and row["graded_hash"] == row["task_hash"]
    shutil.rmtree(workdir / "agents")  # nothing of an agent is needed, let alone started
    again()
    done = run_cli("eval", "bench", "--latest", "--config", "bench.toml", check=0)
    assert "trials whose task changed since: 1 of 1" in done.stdout
    assert "instruction" not in done.stdout and "left out" not in done.stdout
    after = rollout()
    new = after.manifest["results"][0]
    assert (new["total_score"], new["task_hash"]) == (1, row["task_hash"])
    assert new["graded_hash"] != row["task_hash"]
    top = workdir / "data/runs" / row["run_id"]
    old, result = first.runs[row["run_id"]], after.runs[row["run_id"]]
    assert (old["task_hash"], result["task_hash"]) == (row["task_hash"], new["graded_hash"])
    assert (result["key"], result["agent"]) == (old["key"], old["agent"])
    trial = json.loads((top / "attempts/2/trial.json").read_text())["trial"]
    assert trial["task_hash"] == new["graded_hash"] == trial["task_snapshot"].rpartition("/")[2]
    assert (top / "attempts/2/artifacts/diff.patch").read_text().count("+started") == 1
    # It is the same agent's work, not a copy of it, and as much is known of it as before.
    for name in ("artifacts/diff.patch", "artifacts/notes.md", "logs/agent.log"):
        assert (top / "attempts/1" / name).samefile(top / "latest" / name), name
    assert {"sandbox", "agent", "collect"} < set(result["phases_ms"])
    assert result["phases_ms"]["agent"] == old["phases_ms"]["agent"] and result["workspace"] == old["workspace"] != "none"
    phases = [e["phase"] for e in after.events if e["event"] == "phase" and e["attempt"] == 2]
    assert "agent" not in phases and "evaluate" in phases
    doc = json.loads((after.dir / "eval_manifest.json").read_text())
    assert [e["task_hash"] for e in doc["results"]] == [new["graded_hash"]]
    # What a journal tells later is the same; without --config the first tests count again.
    run_cli("resume", "bench", check=0)
    assert rollout().manifest["results"][0]["graded_hash"] == new["graded_hash"]
    for path in workdir.glob("data/cache/tasks/*"):
        os.utime(path, (1, 1))
    run_cli("clean", "--cache", check=0)
    assert (workdir / "data" / trial["task_snapshot"]).is_dir()
    run_cli("eval", "bench", check=0)
    last = rollout().manifest["results"][0]
    assert (last["total_score"], last["graded_hash"]) == (0, row["task_hash"])


def test_an_unchanged_task_is_graded_as_before(wrong, run_cli, rollout):
    done = run_cli("eval", "bench", "--config", "bench.toml", check=0)
    assert "trials whose task changed since: 0 of 1" in done.stdout
    row = rollout().manifest["results"][0]
    assert (row["attempts"], row["total_score"], row["graded_hash"]) == (2, 0, row["task_hash"])


CHANGES = {
    "repo.start_commit_sha": lambda again: again(start=again.repos["greet"].commits[1]),
    "remove_repo_paths": lambda again: again(overrides={"remove_repo_paths": ["data"]}),
    "overlay_repo_files": lambda again: again(files={"overlay_repo_files/given.txt": "x\n"}),
    "repo.subdir": lambda again: again(meta={"repo": {"subdir": "src"}}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_start_is_refused(wrong, run_cli, workdir, again, what):
    CHANGES[what](again)
    assert len(refused(run_cli, workdir, f"task greet: {what} is not what the agents started from")) == 1


def test_an_overlay_that_is_the_same_is_no_change(run_cli, workdir, again, make_bench, agent_script, rollout):
    files = {"overlay_repo_files/deep/er/given.sh": "#!/bin/sh\n", "overlay_files/doc/a.txt": "a\n"}
    keys = {"files": files, "overrides": {"remove_repo_paths": ["data"]}}
    make_bench(again(test=WRONG, **keys), agent=agent_script(WORK), model="acme-1")
    (workdir / "tasks/greet/overlay_repo_files/deep/er/given.sh").chmod(0o755)
    run_cli("run", "bench.toml", check=0)
    again(**keys)
    (workdir / "tasks/greet/overlay_repo_files/deep/er/given.sh").chmod(0o700)
    done = run_cli("eval", "bench", "--config", "bench.toml", check=0)
    assert "the agent had" not in done.stdout
    assert rollout().manifest["results"][0]["total_score"] == 1


def test_a_changed_instruction_is_told(wrong, run_cli, again, rollout):
    again(instructions="Do something else.\n")
    done = run_cli("eval", "bench", "--config", "bench.toml", check=0)
    assert "[rollouts] task greet: its instruction changed since; the agent had the earlier state" in done.stdout
    assert rollout().manifest["results"][0]["total_score"] == 1


def test_trials_without_a_match_are_left_out(run_cli, workdir, again, make_bench, agent_script, rollout):
    one, two = again("one", WRONG), again("two", WRONG)
    agent_script(WORK)
    make_bench(one, two, agent="scripted", model="acme-1")
    run_cli("run", "bench.toml", check=0)
    again("one"), again("two")
    make_bench(two, agent="scripted", model="acme-1")
    done = run_cli("eval", "bench", "--config", "bench.toml", check=0)
    assert "id, label, agent and model: 1 trials" in done.stdout
    r = rollout()
    assert {row["task_id"]: (row["attempts"], row["total_score"]) for row in r.manifest["results"]} == {
        "one": (1, 0), "two": (2, 1)}
    assert len(json.loads((r.dir / "eval_manifest.json").read_text())["results"]) == 1
    make_bench(two, agent="scripted", model="acme-2")
    refused(run_cli, workdir, "no trial of rollouts/bench/")
    make_bench(two, agent="scripted", model="acme-1", name="other")
    refused(run_cli, workdir, 'is the benchmark "other", not "bench"')


def test_the_folder_tells_tasks_of_one_id_apart(run_cli, again, make_bench, agent_script, rollout):
    meta = {"task_id": "same"}
    one, two = again("one", WRONG, meta=meta), again("two", ("check.sh", "a", "exit 3\n"), meta=meta)
    make_bench(one, two, agent=agent_script(WORK), model="acme-1")
    run_cli("run", "bench.toml", check=0)
    again("two", meta=meta)
    run_cli("eval", "bench", "--config", "bench.toml", check=0)
    again("one", meta=meta)
    scores = [row["total_score"] for row in rollout().manifest["results"]]
    run_cli("eval", "bench", "--config", "bench.toml", check=0)
    assert (scores, [row["total_score"] for row in rollout().manifest["results"]]) == ([0, 1], [1, 1])
    shown = run_cli("summarize", "bench", check=0).stdout
    assert "same (one)" in shown and "same (two)" in shown


def test_variants_keep_their_names(run_cli, again, make_bench, agent_script, rollout):
    task = again(test=WRONG)
    plain = {"prepared_dir": task, "model": "acme-1"}
    other = {**plain, "environment_variables": {"X": "2"}}
    make_bench(plain, agent=agent_script(WORK))
    run_cli("run", "bench.toml", check=0)
    make_bench(plain, other, agent="scripted")
    run_cli("resume", "bench", "--config", "bench.toml", check=0)
    again()
    run_cli("eval", "bench", "--config", "bench.toml", check=0)
    assert [(row["label"], row["total_score"]) for row in rollout().manifest["results"]] == [("", 1), ("X=2", 1)]


def test_nothing_is_written_on_a_mistake(wrong, run_cli, workdir, again):
    again(meta={"evaluation": {"rubrics": RUBRICS, "test_scripts": [{"path": "a.sh", "rubric_id": "none"}]}})
    refused(run_cli, workdir, "tb_meta.json", "none")
    put(workdir / "broken.toml", 'name = "bench"\nparalell = 3\n[[tasks]]\nprepared_dir = "tasks/greet"\n')
    refused(run_cli, workdir, "broken.toml:2", file="broken.toml")
    refused(run_cli, workdir, "missing.toml", file="missing.toml")


def forget_commit(workdir):
    """As if the task, of a remote repository, had named a branch only."""
    for path in workdir.glob("data/cache/tasks/*/task.json"):
        doc = json.loads(path.read_text())
        doc["repo"]["start_commit"] = None
        path.write_text(json.dumps(doc))


def test_a_branch_counts_as_the_commit_it_was(wrong, run_cli, workdir, again, rollout):
    forget_commit(workdir)
    remote = {"git_url": "https://example.invalid/greet.git", "start_commit_sha": None, "end_commit_sha": None}
    start = again.repos["greet"].commits[0]
    again(meta={"repo": remote})
    assert len(refused(run_cli, workdir, f'start_commit_sha is not given and the branch may have moved; write "{start}"')) == 1
    again(start=again.repos["greet"].commits[1])
    refused(run_cli, workdir, "repo.start_commit_sha is not what the agents started from")
    again()
    run_cli("eval", "bench", "--config", "bench.toml", check=0)
    assert rollout().manifest["results"][0]["total_score"] == 1


def test_the_summary_says_which_scores_are_of_corrected_tasks(wrong, run_cli, again):
    said = "Scores with a task as corrected later (eval --config): 1 of 1."
    assert said not in run_cli("summarize", "bench", check=0).stdout
    again()
    assert said in run_cli("eval", "bench", "--config", "bench.toml", check=0).stdout
    assert said in run_cli("summarize", "bench", check=0).stdout


def test_a_grade_that_fails_keeps_the_hash_of_the_one_there_was(wrong, run_cli, again, rollout):
    again(test=("check.sh", "a", "x", {"command": "no-such-tool-at-all --check"}))
    run_cli("eval", "bench", "--config", "bench.toml", "--no-preflight", check=1)
    row = rollout().manifest["results"][0]
    assert (row["total_score"], row["graded_hash"]) == (0, row["task_hash"])


def test_eval_says_why_it_stopped(run_cli, workdir, make_task, make_repo, make_bench, agent_script):
    repo = make_repo("greet")
    make_bench(make_task("greet", repo, tests=[RIGHT], rubrics=RUBRICS), agent=agent_script(WORK), model="acme-1", rollouts=6)
    run_cli("run", "bench.toml", check=0)
    for folder in ("baselines", "mirrors"):
        shutil.rmtree(workdir / "data/cache" / folder)
    shutil.rmtree(repo.path)  # else they are made again
    done = run_cli("eval", "bench", "-j2", check=3)
    assert "stopped: every trial fails for one reason: " in done.stdout, done.stdout

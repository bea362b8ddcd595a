# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill anything anywhere: `resume` finishes exactly what is missing and buys no committed agent run twice."""
import json
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from conftest import wait_for
from test_run import binary, fake_bench, lines, starts  # noqa: F401 (fixtures)

PHASES = ["prepare", "sandbox", "agent", "collect", "evaluate", "done"]


@pytest.fixture
def journal(workdir):
    def text():
        found = list(workdir.glob("data/rollouts/bench/*/events.jsonl"))
        return found[0].read_text() if found else ""
    return text


def check_whole(workdir, rollout, n):
    """Every trial has one result that counts, and no agent's committed work was bought again."""
    r = rollout()
    assert r.manifest["state"] == "complete"
    assert [row["outcome"] for row in r.manifest["results"]] == ["completed"] * n
    committed = [e["run"] for e in r.events if e["event"] == "agent_done"]
    assert Counter(committed) == {row["run_id"]: 1 for row in r.manifest["results"]}
    ends = Counter((e["run"], e["attempt"]) for e in r.events if e["event"] == "finished")
    assert set(ends.values()) == {1}
    return r


@pytest.mark.parametrize("phase", PHASES)
def test_kill_the_supervisor_in_each_phase(start_cli, run_cli, fake_bench, workdir, rollout, journal, phase, account):
    fake_bench(4, env={"FAKE_HOLD": phase})
    child = start_cli("run", "bench.toml")
    wait_for(lambda: journal().count(f'"phase":"{phase}"') == 2)
    child.kill()
    child.wait()
    before = Counter(line.split()[0] for line in starts(workdir))
    (workdir / "data/go").touch()
    done = run_cli("resume", "bench", check=0)
    r = check_whole(workdir, rollout, 4)
    assert "✓ All 4 tasks completed!" in lines(done)
    expected = {row["run_id"]: 1 for row in r.manifest["results"]}
    if phase == "collect":  # started, not committed: these two had to start again
        expected.update({run: 2 for run in before})
    assert Counter(line.split()[0] for line in starts(workdir)) == expected


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_killed_in_each_phase_is_tried_again(run_cli, fake_bench, workdir, rollout, phase):
    fake_bench(1, env={"FAKE_DIE": phase}, retries=1)
    run_cli("run", "bench.toml", check=0)
    r = check_whole(workdir, rollout, 1)
    assert len(starts(workdir)) == (2 if phase == "collect" else 1)
    first = next(e for e in r.events if e["event"] == "finished")
    assert first["outcome"] == "infra_error" and "killed by SIGKILL" in first["result"]["reason"]


def test_committed_work_is_graded_without_retries(run_cli, fake_bench, workdir, rollout):
    fake_bench(1, env={"FAKE_DIE": "evaluate"}, retries=0)
    run_cli("run", "bench.toml", check=0)
    assert len(starts(workdir)) == 1


def test_uncommitted_work_is_not(run_cli, fake_bench, workdir, rollout):
    fake_bench(1, env={"FAKE_DIE": "agent"}, retries=0)
    run_cli("run", "bench.toml", check=1)
    run_cli("resume", "bench", check=0)
    check_whole(workdir, rollout, 1)


def test_a_worker_that_outlives_its_supervisor_is_waited_for(start_cli, run_cli, fake_bench, workdir, rollout, journal):
    fake_bench(1, env={"FAKE_LATE": "600000"})
    child = start_cli("run", "bench.toml")
    wait_for(lambda: len(starts(workdir)) == 1)  # it says nothing any more and so notices nothing
    child.kill()
    child.wait()
    began = time.monotonic()
    resumed = start_cli("resume", "bench", env={"ROLLOUTS_TEST_GRACE_MS": "1500"})
    wait_for(lambda: len(starts(workdir)) == 2, timeout=40)
    assert time.monotonic() - began >= 1.5
    for _ in range(3):
        resumed.send_signal(signal.SIGINT)  # the second one's grace may be over before the third
        wait_for(lambda: "interrupted:" in resumed.stdout.readline() or resumed.poll() is not None)
    resumed.communicate(timeout=20)
    assert resumed.returncode == 130


def test_a_result_the_journal_never_heard_of_counts(run_cli, fake_bench, workdir, rollout):
    fake_bench(2)
    run_cli("run", "bench.toml", check=0)
    path = rollout().dir / "events.jsonl"
    kept = [line for line in path.read_text().splitlines(True) if '"event":"finished"' not in line]
    path.write_text("".join(kept))
    done = run_cli("resume", "bench", check=0)
    assert len(starts(workdir)) == 2
    assert "Starting 0 tasks" not in done.stdout
    check_whole(workdir, rollout, 2)


def test_damaged_and_torn_lines(run_cli, fake_bench, workdir, rollout):
    fake_bench(3)
    run_cli("run", "bench.toml", check=0)
    r = rollout()
    path = r.dir / "events.jsonl"
    rows = path.read_text().splitlines(True)
    ends = [i for i, line in enumerate(rows) if '"event":"finished"' in line]
    rows[ends[0]] = rows[ends[0]].replace('"outcome":"completed"', '"outcome":"complete!"')
    path.write_text("".join(rows)[:-20])  # the last line is torn
    for name in ("result.json", "agent.json"):
        for run in (workdir / "data/runs").iterdir():
            (run / "attempts/1" / name).unlink()
    done = run_cli("resume", "bench", check=0)
    assert any("2 damaged lines of events.jsonl were skipped" in line for line in lines(done))
    text = path.read_text()
    assert rollout_lines_parse(text) == text.count("\n") - 1, "the torn line stays alone on its line"
    again = json.loads((r.dir / "manifest.json").read_text())
    assert [row["outcome"] for row in again["results"]] == ["completed"] * 3


def rollout_lines_parse(text):
    good = 0
    for line in text.splitlines():
        try:
            json.loads(line)
            good += 1
        except ValueError:
            pass
    return good


def test_a_later_version_is_refused(run_cli, fake_bench, rollout):
    fake_bench(1)
    run_cli("run", "bench.toml", check=0)
    path = rollout().dir / "events.jsonl"
    import zlib
    body = '{"v":2,"seq":99'
    with path.open("a") as f:
        f.write(f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n')
    done = run_cli("resume", "bench", check=2)
    assert "version 2 is newer than this program" in done.stderr


def test_nothing_to_do(run_cli, fake_bench, rollout):
    fake_bench(2)
    run_cli("run", "bench.toml", check=0)
    done = run_cli("resume", "bench", check=0)
    assert any("nothing is missing" in line for line in lines(done))


def test_a_running_benchmark_is_refused(start_cli, run_cli, fake_bench, workdir, journal):
    fake_bench(1, env={"FAKE_HOLD": "agent"})
    child = start_cli("run", "bench.toml")
    wait_for(lambda: '"phase":"agent"' in journal())
    for verb in ("resume", "eval"):
        done = run_cli(verb, "bench", check=2)
        assert "this benchmark is running" in done.stderr
    (workdir / "data/go").touch()
    child.communicate(timeout=20)
    assert child.returncode == 0


def test_retry_starts_the_agent_again(run_cli, fake_bench, workdir, rollout):
    fake_bench(2, env={"FAKE_OUTCOME": "timeout", "FAKE_HEAL": "2"})
    run_cli("run", "bench.toml", check=0)
    assert "nothing is missing" in run_cli("resume", "bench", check=0).stdout
    run_cli("resume", "bench", "--retry", "timeout", check=0)
    assert [row["outcome"] for row in rollout().manifest["results"]] == ["completed"] * 2
    assert len(starts(workdir)) == 4
    assert "an outcome is one of" in run_cli("resume", "bench", "--retry", "tiemout", check=2).stderr


@pytest.mark.parametrize("retries", [0, 1])
def test_a_retry_that_fails_does_not_hand_back_what_it_was_to_replace(run_cli, fake_bench, workdir, rollout, retries):
    fake_bench(1, env={"FAKE_OUTCOME": "timeout", "FAKE_SPOILT": "2", "FAKE_HEAL": "3"}, retries=retries)
    run_cli("run", "bench.toml", check=0)
    run_cli("resume", "bench", "--retry", "timeout", check=1 - retries)
    assert rollout().manifest["results"][0]["outcome"] == ("completed" if retries else "infra_error")
    run_cli("resume", "bench", check=0)
    run = rollout().manifest["results"][0]["run_id"]
    assert starts(workdir) == [f"{run} 1", f"{run} 3"]
    assert rollout().manifest["results"][0]["outcome"] == "completed"


def test_a_retry_cut_short_does_not_hand_back_what_it_was_to_replace(start_cli, run_cli, fake_bench, workdir, rollout, journal):
    """What the first attempt came to counts until the agent, which is asked for again, has done something else."""
    fake_bench(1, env={"FAKE_OUTCOME": "timeout", "FAKE_HEAL": "2"})
    run_cli("run", "bench.toml", check=0)
    run = rollout().manifest["results"][0]["run_id"]
    plan = rollout().dir / "plan.json"
    plan.write_text(plan.read_text().replace('"FAKE_OUTCOME":', '"FAKE_HOLD":"agent","FAKE_OUTCOME":'))
    child = start_cli("resume", "bench", "--retry", "timeout")
    wait_for(lambda: journal().count('"phase":"agent"') == 2)
    child.kill()
    child.wait()
    (workdir / "data/go").touch()
    assert "1 scored" not in run_cli("summarize", "bench", check=0).stdout
    run_cli("resume", "bench", "--retry", "timeout", check=0)
    assert starts(workdir)[0] == f"{run} 1" and starts(workdir)[-1] == f"{run} 3"
    assert rollout().manifest["results"][0]["outcome"] == "completed"


def test_config_appends(run_cli, fake_bench, workdir, rollout):
    fake_bench(2)
    run_cli("run", "bench.toml", check=0)
    before = [row["run_id"] for row in rollout().manifest["results"]]
    shutil.rmtree(workdir / "tasks")
    shutil.rmtree(workdir / "repos")
    fake_bench(4)
    done = run_cli("resume", "bench", "--config", "bench.toml", check=0)
    assert "Starting 2 tasks with parallel=2" in done.stdout
    r = check_whole(workdir, rollout, 4)
    after = [row["run_id"] for row in r.manifest["results"]]
    assert after[:2] == before and after[2:] == [f"{r.dir.name}-2", f"{r.dir.name}-3"]
    assert (r.dir / "runs.txt").read_text().count("\n") == 4


def test_another_benchmarks_config_is_refused(run_cli, fake_bench):
    fake_bench(1)
    run_cli("run", "bench.toml", check=0)
    fake_bench(1, name="other", file="other.toml", task="other")
    done = run_cli("resume", "bench", "--config", "other.toml", check=2)
    assert 'is the benchmark "other"' in done.stderr


def test_eval_grades_again_without_an_agent(run_cli, fake_bench, workdir, rollout):
    fake_bench(2, env={"FAKE_SCORE": "0.5"})
    run_cli("run", "bench.toml", check=0)
    done = run_cli("eval", "bench", "--latest", check=0)
    r = rollout()
    assert len(starts(workdir)) == 2
    doc = json.loads((r.dir / "eval_manifest.json").read_text())
    assert doc["evaluated_at"].endswith("Z")
    assert [(e["eval_rc"], e["status"]) for e in doc["results"]] == [(0, "ok")] * 2
    assert [e["run_dir"] for e in doc["results"]] == [row["run_dir"] for row in r.manifest["results"]]
    again = [e for e in r.events if e["event"] == "finished" and e["attempt"] == 2]
    assert len(again) == 2 and all(e["result"]["regrade"] for e in again)
    assert "task" in done.stdout and "greet" in done.stdout


def test_a_grade_that_fails_leaves_the_one_there_was(run_cli, fake_bench, workdir, rollout):
    fake_bench(1, env={"FAKE_SCORE": "0.5", "FAKE_DIE": "nowhere"})
    run_cli("run", "bench.toml", check=0)
    r = rollout()
    worker = workdir / "bin/rollouts-trial"
    worker.write_text(worker.read_text().replace('healed = ', 'finish("infra_error", "pytest is missing")\nhealed = '))
    run_cli("eval", "bench", "--rollout", r.dir.name[:10], check=1)
    doc = json.loads((r.dir / "eval_manifest.json").read_text())
    assert [(e["eval_rc"], e["status"]) for e in doc["results"]] == [(1, "eval_failed")]
    row = rollout().manifest["results"][0]
    assert (row["outcome"], row["total_score"]) == ("completed", 0.5)


def test_what_is_derived_is_made_again_by_whoever_holds_the_rollout(run_cli, fake_bench, workdir, rollout):
    fake_bench(3, env={"FAKE_SCORE": "0.5"})
    run_cli("run", "bench.toml", check=0)
    top = rollout().dir
    files = [top / "manifest.json", top / "runs.txt", *sorted((top / "task_results").iterdir()),
             *(workdir / "data/rollouts/temp").iterdir()]
    assert len(files) == 6
    wanted = [f.read_text() for f in files]
    for damage in (lambda f: f.unlink(), lambda f: f.write_text(""), lambda f: f.write_text(f.read_text()[:-20])):
        for f in files:
            damage(f)
        run_cli("resume", "bench", check=0)
        assert [f.read_text() for f in files] == wanted


def test_a_manifest_that_cannot_be_written_is_told_and_made_later(run_cli, fake_bench, workdir, rollout):
    """Something is in its place: the results are kept, and the exit status says that not all is well."""
    fake_bench(2, env={"FAKE_HOLD": "agent", "FAKE_SCORE": "1"})
    (workdir / "data").mkdir()
    (workdir / "data/go").touch()
    done = run_cli("run", "bench.toml", check=0)
    top = rollout().dir
    (top / "manifest.json").unlink()
    (top / "manifest.json").mkdir()
    (top / "manifest.json/inside").touch()
    done = run_cli("resume", "bench", check=1)
    assert "manifest.json" in done.stdout and "results are kept" in done.stdout, done.stdout
    (top / "manifest.json/inside").unlink()
    (top / "manifest.json").rmdir()
    run_cli("resume", "bench", check=0)
    assert json.loads((top / "manifest.json").read_text())["state"] == "complete"

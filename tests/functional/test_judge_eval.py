# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluating again: with another judge, of a part, with what people say; what is kept, what is told, and what goes on."""
import json

import pytest

from conftest import put
from judges import RUBRIC, fake, judged, met, provided, says, verdict  # noqa: F401

TESTED = {"id": "tested", "criterion": "It works", "weight": 1}
RUBRICS, TESTS = [RUBRIC, TESTED], [("tests/t.sh", "tested", "exit 0\n")]


def count(run):
    return len(run.requests())


def evaluations(run):
    top = run.rollout.dir / "evaluations"
    return {int(p.name): [json.loads(line) for line in (p / "scores.jsonl").read_text().splitlines()]
            for p in top.iterdir()} if top.exists() else {}


def test_another_judge_keeps_what_the_tests_said(judged, fake, run_cli):
    run = judged(says(verdict(0.5)), rubrics=RUBRICS, tests=TESTS)
    assert run.result()["total_score"] == 0.75
    fake.configure(scripts=[{"model": "other-fake", "turns": [{"text": verdict(1.0)}]}])
    done = run_cli("eval", "bench", "--judge-only", "--judge", "other-fake", env=run.env, check=0)
    result, first = run.result(), run.result(1)
    assert (result["total_score"], result["judge_score"], result["judge_model"]) == (1.0, 1.0, "other-fake")
    assert (first["total_score"], first["judge_model"]) == (0.75, "judge-fake")
    assert result["tests"] == 1 and run.doc()["test_results"] == run.doc(1)["test_results"]
    assert "tests" not in result["phases_ms"] and not (run.folder() / "logs/eval.log").exists()
    kept = evaluations(run)
    assert [[line["total_score"] for line in kept[n]] for n in sorted(kept)] == [[0.75], [1.0]]
    assert "1 up, 0 down" in done.stdout and "0.750 -> 1.000" in done.stdout and "difference over 1 task +0.250" in done.stdout
    # By the plan it is still the first one who judges.
    fake.configure(scripts=[says(verdict(0.0))])
    done = run_cli("eval", "bench", "--judge-only", env=run.env, check=0)
    assert run.result()["judge_model"] == "judge-fake" and run.result()["total_score"] == 0.5
    assert sorted(evaluations(run)) == [1, 2, 3] and "0 up, 1 down" in done.stdout


def test_tests_only_asks_nobody(judged, run_cli, fake):
    run = judged(says(verdict(0.5)), rubrics=RUBRICS, tests=TESTS)
    before = count(run)
    run_cli("eval", "bench", "--tests-only", check=0)  # without any key
    assert count(run) == before and run.result()["attempt"] == 2
    assert run.result()["total_score"] == 0.75 and run.doc()["lm_evaluation"] == run.doc(1)["lm_evaluation"]
    assert run.verdicts("vote") and run.result()["judge_model"] == "judge-fake"
    run_cli("eval", "bench", "--no-judge", check=0)
    assert run.result()["judge_score"] is None and run.result()["coverage"] == 0.5


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_ratings_of_people(judged, run_cli, workdir, kind):
    run = judged(says(verdict(0.5)), rubrics=RUBRICS, tests=TESTS)
    before, path = count(run), workdir / f"ratings.{kind}"
    rows = [(run.run_id, "clear", 0.9, "ann"), (run.run_id, "clear", 0.7, "bob, the other"), (run.run_id, "tested", 0, "ann")]
    if kind == "csv":
        put(path, "run_id,rubric_id,score,rater\r\n" + "".join(f'{r},{i},{s},"{who}"\r\n' for r, i, s, who in rows))
    else:
        put(path, "".join(json.dumps(dict(zip(("run_id", "rubric_id", "score", "rater"), row))) + "\n" for row in rows))
    run_cli("eval", "bench", "--ratings", path, check=0)
    grades = {g["id"]: g for g in run.result()["steps"][0]["grades"]}
    assert grades["clear"]["kind"] == "human" and grades["clear"]["value"] == pytest.approx(0.8)
    assert grades["tested"]["kind"] == "tests" and grades["tested"]["value"] == 1
    assert count(run) == before and run.result()["judge_score"] == 0.5  # what the judge said stays beside
    assert [r["rater"] for r in run.doc()["ratings"]] == ["ann", "bob, the other", "ann"]
    run_cli("eval", "bench", "--tests-only", check=0)
    assert run.result()["total_score"] == pytest.approx(0.9)  # and people's word is kept


@pytest.mark.parametrize("line, why", [
    ('{"run_id": "nobody", "rubric_id": "clear", "score": 1}', 'no trial of this rollout has the run_id "nobody"'),
    ('{"run_id": "RUN", "rubric_id": "x", "score": 1}', 'no rubric "x"'),
    ('{"run_id": "RUN", "rubric_id": "clear", "score": 2}', "not a number from 0 to 1"),
    ('{"run_id": "RUN", "rubric_id": "clear", "score": "1"}', "not a number from 0 to 1"), ("{nonsense", "not a JSON object"),
    ("run,rubric\nRUN,clear\n", "names the columns"), ("run_id,rubric_id,score\nRUN,clear,good\n", "not a number from 0 to 1")])
def test_ratings_that_are_wrong(judged, run_cli, workdir, line, why):
    run = judged(says(verdict(0.5)))
    put(workdir / "r", line.replace("RUN", run.run_id))
    done = run_cli("eval", "bench", "--ratings", workdir / "r", check=2)
    assert why in done.stderr and f"{workdir}/r:" in done.stderr and run.result()["attempt"] == 1


def test_only_some_and_what_cannot_be(judged, run_cli, fake):
    run = judged(says(verdict(0.5)))
    assert "no trial has" in run_cli("eval", "bench", "--only", "other*", env=run.env, check=2).stderr
    run_cli("eval", "bench", "--only", "gre*", env=run.env, check=0)
    assert run.result()["attempt"] == 2
    for flags in (["--judge-only", "--tests-only"], ["--judge", "x-fake", "--no-judge"], ["--judge", "x-fake", "--tests-only"]):
        assert "exclude each other" in run_cli("eval", "bench", *flags, check=2).stderr
    assert "nobody" in run_cli("eval", "bench", "--judge", "nobody-answers", env=run.env, check=2).stderr


def test_an_evaluation_that_was_cut_short_goes_on(judged, run_cli, fake, make_task, make_bench, provided, rollout, workdir):
    run = judged(says(verdict(0.5)), rollouts=3)
    runs = list(run.rollout.runs)
    # The second trial's judge is out of reach this time.
    fake.configure(rules=[{"nth": [2], "do": {"status": 404}}], scripts=[says(verdict(1.0))])
    run_cli("eval", "bench", "--judge-only", "-j1", env=run.env)
    read = lambda: [json.loads((workdir / "data/runs" / r / "latest/result.json").read_text()) for r in runs]  # noqa: E731
    assert sorted(r["total_score"] for r in read()) == [0.5, 0.5, 1.0] or [r["total_score"] for r in read()].count(1.0) == 2
    left = sum(r["total_score"] == 0.5 for r in read())
    fake.configure(rules=[])
    before = count(run)
    done = run_cli("eval", "bench", "--judge-only", "-j1", env=run.env, check=0)
    assert "going on with evaluation 2" in done.stdout and count(run) == before + left
    assert [r["total_score"] for r in read()] == [1.0] * 3
    assert "3 up, 0 down" in done.stdout and sorted(evaluations(run)) == [1, 2]
    run_cli("eval", "bench", "--judge-only", env=run.env, check=0)
    assert sorted(evaluations(run)) == [1, 2, 3]

# SPDX-License-Identifier: GPL-3.0-or-later
"""A judge against examples that people have graded, and what that makes of what it says later; votes that differ; judges
that are not the same."""
import json
import os
import pathlib
import signal

import pytest

from conftest import SOURCE, put, wait_for
from judges import RUBRIC, fake, judged, met, provided, says, verdict  # noqa: F401

GOLD = SOURCE / "examples/judge/gold.jsonl"


def example(kind, human, **more):
    return json.dumps({"id": f"{kind} {human}", "kind": kind, "instruction": "Do it.", "criterion": f"case {kind} {human}",
                       "scale": "binary", "diff": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+y\n",
                       "human": human, **more}) + "\n"


@pytest.fixture
def check(workdir, fake, provided, run_cli):
    def run(text, *args, scripts=(), api="chat", status=0):
        env = provided((api,))
        fake.configure(scripts=list(scripts))
        put(workdir / "gold.jsonl", text)
        return run_cli("judge", "check", workdir / "gold.jsonl", "--judge", "judge-fake", *args, env=env, check=status)

    return run


def test_sensitivity_specificity_and_agreement(check):
    text = "".join([example("right", True)] * 8 + [example("wrong", False)] * 6 + [example("missed", True)] * 2
                   + [example("injected", False)] * 4)
    scripts = [says(met(), prompt="case right"), says(met(False), prompt="case wrong"),
               says(met(False), prompt="case missed"), says(met(), prompt="case injected")]
    done = check(text, "--json", scripts=scripts)
    doc = json.loads(done.stdout)
    assert doc["sensitivity"] == 0.8 and doc["specificity"] == 0.6 and doc["agreement"] == 0.7
    assert doc["kinds"]["injected"]["not_met_found"] == 0 and doc["all"]["examples"] == 20
    shown = check(text, scripts=scripts).stdout
    assert "sensitivity (says met where people do) 0.800 (8 of 10, 95 % interval" in shown
    assert "specificity (says not met where people do) 0.600 (6 of 10" in shown and "alpha" in shown and "20 calls" in shown


def test_the_shipped_examples_are_read(run_cli, fake, provided):
    env = provided(("anthropic",))
    fake.configure(scripts=[says(met(), prompt="met or not met: give"), says(verdict(0.9))])
    done = run_cli("judge", "check", GOLD, "--judge", "judge-fake", "--json", env=env, check=0)
    doc = json.loads(done.stdout)
    assert doc["sensitivity"] == 1 and doc["specificity"] == 0  # a judge that says yes to everything
    assert set(doc["kinds"]) == {"right", "half-right", "wrong", "injected"}


@pytest.mark.parametrize("line, why", [("{}\n", '"criterion" is missing'), ("nonsense\n", "gold.jsonl:1"),
                                       (example("x", 2), "neither true nor false"), ("\n", "holds no example"),
                                       (example("x", True, scale="five"), "neither \"binary\""),
                                       (example("x", True, diff_file="none.diff"), "none.diff")])
def test_examples_that_are_wrong(check, line, why):
    assert why in check(line, status=2).stderr


def test_who_is_checked_has_to_be_said(run_cli, workdir):
    put(workdir / "gold.jsonl", example("x", True))
    assert "--judge MODEL" in run_cli("judge", "check", workdir / "gold.jsonl", check=2).stderr


def test_a_judge_out_of_reach(check, fake):
    fake.configure(rules=[{"do": {"status": 404}}])
    assert "the judge" in check(example("x", True), status=3).stderr


def test_a_gateway_that_dies_ends_the_check(check, start_cli, fake, provided, workdir):
    env = provided(("chat",))
    fake.configure(rules=[{"do": {"stall": None}}])
    put(workdir / "gold.jsonl", example("x", True))
    child = start_cli("judge", "check", "gold.jsonl", "--judge", "judge-fake", env=env)
    wait_for(fake.log)
    for pid in pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    said, _ = child.communicate(timeout=30)
    assert child.returncode == 3 and "the gateway ended by itself" in said


def test_later_runs_are_corrected(judged, check, run_cli):
    run = judged(says(verdict(1.0)), rollouts=3)
    check("".join([example("right", True)] * 10 + [example("wrong", False)] * 10),
          scripts=[says(met(), prompt="case right"), says(met(False), prompt="case wrong")])
    text = run_cli("summarize", "bench", check=0).stdout.replace("\n", " ")
    assert "Judged by judge-fake (prompt" in text and "3 trials" in text
    assert "3 of 3 rubrics are met" in text and "Corrected by the 20 examples" in text and "sensitivity 1.00" in text


def test_votes_their_mean_and_how_far_they_agree(judged, fake, run_cli):
    run = judged(says(verdict(0.5)), api="chat", judge={"votes": 3}, rollouts=2)
    assert run.result()["judge_votes"] == {"clear": [0.5] * 3} and len(run.requests()) == 6
    assert "nothing varies" in run_cli("summarize", "bench", check=0).stdout.replace("\n", " ")
    bodies = [{"choices": [{"message": {"content": verdict(v)}, "finish_reason": "stop"}]} for v in (0.2, 0.4, 0.9)]
    fake.configure(rules=[{"nth": [1], "do": {"status": 200, "body": body}} for body in bodies])
    run_cli("eval", "bench", "--judge-only", "--only", run.run_id, env=run.env, check=0)
    doc = run.doc()["judge"]["rubrics"]["clear"]
    assert sorted(doc["votes"]) == [0.2, 0.4, 0.9] and doc["spread"] == pytest.approx(0.7)
    assert run.result()["judge_score"] == pytest.approx(0.5)
    judges = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["judges"]
    # s^2 of the three is 0.13; of the other trial 0; two trials.
    assert judges["se"] == pytest.approx((0.13 / 3) ** 0.5 / 2) and judges["rubrics"]["clear"]["spread"] == pytest.approx(0.35)
    assert judges["alpha"] < 0.1 and judges["corrected"] is None
    text = run_cli("summarize", "bench", check=0).stdout.replace("\n", " ")
    assert "a standard error of 0.104 in the mean of what it says" in text and "agree by an alpha of" in text


def test_compare_tells_of_two_judges(judged, fake, run_cli):
    run = judged(says(verdict(0.5)), rollouts=2)
    run_cli("run", "bench.toml", env=run.env, check=0)
    fake.configure(scripts=[{"model": "other-fake", "turns": [{"text": verdict(1.0)}]}])
    run_cli("eval", "bench", "--judge-only", "--judge", "other-fake", env=run.env, check=0)
    stamps = sorted(p.name for p in (run.workdir / "data/rollouts/bench").iterdir() if p.is_dir())
    shown = run_cli("compare", f"bench@{stamps[1]}", f"bench@{stamps[0]}", check=0).stdout
    assert "- judge: other-fake against judge-fake" in shown and "judge's prompt" not in shown


def test_judges_that_are_not_the_same_are_told_apart(judged, fake, run_cli):
    run = judged(says(verdict(0.5)), rollouts=2)
    runs = list(run.rollout.runs)
    fake.configure(scripts=[{"model": "other-fake", "turns": [{"text": verdict(1.0)}]}])
    run_cli("eval", "bench", "--judge-only", "--judge", "other-fake", "--only", runs[0], env=run.env, check=0)
    text = run_cli("summarize", "bench", check=0).stdout.replace("\n", " ")
    assert "Judged in several ways, whose scores are not of one kind" in text and "other-fake (prompt" in text
    doc = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    assert sorted(way["model"] for way in doc["judges"]["ways"]) == ["judge-fake", "other-fake"]


def test_points_are_given_and_taken(judged):
    rubrics = [{"id": "good", "criterion": "rubric good.", "points": 5}, {"id": "more", "criterion": "rubric more.", "points": 3},
               {"id": "bad", "criterion": "rubric bad.", "points": -4}]
    run = judged(says(met(), prompt="rubric good."), says(met(False), prompt="rubric more."), says(met(), prompt="rubric bad."),
                 rubrics=rubrics)
    assert run.result()["total_score"] == pytest.approx(1 / 8) and run.result()["judge_score"] == pytest.approx(1 / 8)


@pytest.mark.parametrize("answer", [True, False])
def test_a_canary_marks_a_verdict(judged, answer):
    run = judged(says(verdict(0.5, control=answer)), judge={"canary": True}, rollouts=1)
    prompt, doc = run.prompt(), run.doc()["judge"]["rubrics"]["clear"]
    line = next(line for line in prompt.splitlines() if line.startswith("Control statement:"))
    is_true = "control_" not in line
    assert doc["canary_wrong"] == (answer != is_true) and run.result()["total_score"] == 0.5


def test_the_same_family_is_said(judged, run_cli, agent_script):
    words = "the same family (plain) as plain-fake, whose work it judges"
    run = judged(says(verdict(1)), says(verdict(1), model="plain-2-fake"), agent=agent_script("true"))
    assert words not in run.done.stdout
    assert words in run_cli("run", "bench.toml", "--judge", "plain-2-fake", env=run.env, check=0).stdout


def test_what_judging_may_cost_is_told_before(judged, run_cli, fake):
    """By a dry run as well, which asks nobody; and it counts to what a benchmark may be expected to cost."""
    run = judged(says(verdict(0.5)), rollouts=2)
    result = run.result()
    assert result["judge"]["money_usd"] > 0 and result["agent"]["metrics"]["money_usd"] is None
    standard = run.doc()["standard_metrics"]
    assert standard["judge_cost_usd"] == pytest.approx(result["judge"]["money_usd"]) and standard["judge_calls"] == 1
    assert standard["wall_seconds"] > run.doc()["lm_evaluation"]["metadata"]["evaluation_time_seconds"]
    dry = run_cli("run", "bench.toml", "--dry-run", env=run.env, check=0).stdout
    assert f"forecast: judging about {2 * result['judge']['money_usd']:.2f} USD for 2 trials, by earlier runs" in dry
    assert "judge judge-fake: judge-fake at fake by responses, 1 vote a rubric" in dry and len(fake.log()) == 2
    other = run_cli("run", "bench.toml", "--dry-run", "--judge", "other-fake", env=run.env, check=0).stdout
    assert "judging unknown for 2 trials" in other
    config = run.workdir / "bench.toml"
    config.write_text(config.read_text() + "cost_limit_usd = 0.5\n[budget]\nmax_forecast_usd = 0.9\n")
    done = run_cli("run", "bench.toml", "--judge", "other-fake", env=run.env, check=2)
    assert "not started, as max_forecast_usd = 0.9 asks: the forecast is judging at most 1.00 USD" in done.stderr
    assert "judging about" in run_cli("eval", "bench", "--judge-only", env=run.env, check=0).stdout

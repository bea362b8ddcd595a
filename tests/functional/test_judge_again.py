# SPDX-License-Identifier: GPL-3.0-or-later
"""What a judge said once is not paid for twice: not where an evaluation broke off, nor where a rollout is replayed."""
from judges import RUBRIC, fake, judged, met, provided, says, verdict  # noqa: F401


def test_answers_from_before_a_failure_count(judged, fake, run_cli):
    rubrics = [{**RUBRIC, "id": f"rubric {i}."} for i in range(3)]
    fake.configure(rules=[{"prompt": "rubric 1.", "do": {"status": 404}}])
    run = judged(says(verdict(0.5)), rubrics=rubrics, check=1, judge={"canary": True})
    asked = len(run.requests())
    fake.configure(rules=[])
    run_cli("resume", "bench", env=run.env, check=0)
    votes = {line["rubric_id"]: line for line in run.verdicts("vote")}
    assert run.result()["total_score"] == 0.5 and len(run.requests()) == asked + 1
    assert [votes[f"rubric {i}."]["reused"] for i in range(3)] == [True, False, True]
    # Who asks for another evaluation wants other answers.
    run_cli("eval", "bench", "--judge-only", env=run.env, check=0)
    assert len(run.requests()) == asked + 4


def test_a_replay_asks_no_judge(judged, fake, run_cli, rollout, workdir):
    work = {"model": "plain-fake", "turns": [{"shell": "echo x > new.txt"}, {"text": "Done."}]}
    run = judged(says(verdict(0.5)), work, agent="bash", judge={"votes": 2, "canary": True})
    first = run.result()
    before = len(fake.log())
    fake.configure(rules=[{"do": {"status": 500}}])
    run_cli("run", workdir / "bench.toml", "--replay", f"bench@{run.rollout.dir.name}", env=run.env, check=0)
    [again] = rollout().runs.values()
    assert len(fake.log()) == before
    assert again["total_score"] == first["total_score"] == 0.5 and again["judge_votes"] == first["judge_votes"]
    assert again["judge_prompt"] == first["judge_prompt"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""A judge that does not answer as it should: asked once more, then unscored with the reason, or an evaluation that is made
again without its agent. Never a 0, and no number is bent."""
import json

import pytest

from judges import RUBRIC, fake, judged, met, provided, says, verdict  # noqa: F401
from models import DIALECTS

BINARY = {"id": "done", "criterion": "It is done", "weight": 1, "scale": "binary"}
# What is no verdict, and a word of the reason.
NO_VERDICTS = {
    "7.5": (verdict(7.5), "not from 0 to 1"), "negative": (verdict(-0.1), "not from 0 to 1"),
    "NaN": (verdict(0.5).replace("0.5", "NaN"), "JSON"), "huge": (verdict(0.5).replace("0.5", "1e999"), "JSON"),
    "text": (verdict("0.5"), "neither a number nor null"), "true": (verdict(True), "neither a number nor null"),
    "words": ("I would give it an eight out of ten.", "no JSON object"), "empty": ("", "empty"),
    "half": (verdict(0.5)[:-9], "JSON"), "missing": (json.dumps({"reasoning": "x", "verdict": None}), '"score" is missing'),
    "bare": ("{}", '"score" is missing'),
    "list": ("[0.5]", "no JSON object"), "other scale": (met(), "has degrees"),
    "broken after a draft": (verdict(1) + "\n" + verdict(0.2)[:-9], "what comes last is none"),
    "a quote in it": (verdict(0.2).replace("It says so.", "It says " + verdict(1) + "."), "what comes last is none"),
    "twice": ('{"reasoning": "", "verdict": null, "score": 0.1, "score": 1}', "JSON"),
}


def rubrics_of(names):
    return [{**RUBRIC, "id": f"rubric {name}."} for name in names]


def grades_of(run):
    return {g["id"].removeprefix("rubric ").rstrip("."): g for g in run.result()["steps"][0]["grades"]}


def test_what_is_no_verdict_is_asked_for_once_more(judged):
    run = judged(*[says(text, verdict(0.25), prompt=f"rubric {name}.") for name, (text, _) in NO_VERDICTS.items()],
                 rubrics=rubrics_of(NO_VERDICTS), api="chat")
    grades = grades_of(run)
    for name, (text, why) in NO_VERDICTS.items():
        asked = [doc["messages"] for doc in run.requests() if f"rubric {name}." in json.dumps(doc)]
        first, second = sorted(asked, key=len) if text else asked
        assert grades[name]["value"] == (0.25 if text else None), name
        if text:
            assert second[:2] == first and second[2]["content"] == text and why.split()[0] in second[-1]["content"]


def test_what_is_no_verdict_twice_is_unscored_with_the_reason(judged):
    run = judged(*[says(text, text, prompt=f"rubric {name}.") for name, (text, _) in NO_VERDICTS.items()],
                 rubrics=rubrics_of(NO_VERDICTS), api="anthropic")
    result, doc, grades = run.result(), run.doc(), grades_of(run)
    assert len(run.requests()) == 2 * len(NO_VERDICTS)
    assert result["outcome"] == "completed" and result["total_score"] is None and result["judge_score"] is None
    assert doc["lm_evaluation"]["weighted_score"] is None
    report = run.report().replace("\\", "")
    votes = {line["rubric_id"]: line for line in run.verdicts("vote")}
    for (name, (text, why)), said in zip(NO_VERDICTS.items(), doc["lm_evaluation"]["rubric_scores"]):
        grade = grades[name]
        assert grade["value"] is None and grade["kind"] is None and why in grade["reason"], name
        assert said["score"] is None and why in said["reasoning"] and why in report
        assert [e["answer"] for e in votes[grade["id"]]["exchanges"]] == [text, text]


@pytest.mark.parametrize("api", DIALECTS)
def test_refused_and_cut_answers(judged, api):
    run = judged({"model": "judge-fake", "prompt": "rubric refused.", "turns": [{"refusal": "I cannot do that."}]},
                 {"model": "judge-fake", "turns": [{"text": verdict(1)[:30], "stop": "length"}]}, api=api,
                 rubrics=rubrics_of(["refused", "cut"]))
    grades = grades_of(run)
    assert len(run.requests()) == 4 and grades["refused"]["value"] is grades["cut"]["value"] is None
    assert "cut" in grades["cut"]["reason"]
    assert "refus" in grades["refused"]["reason"] or "SAFETY" in grades["refused"]["reason"], grades


def test_cannot_tell_is_an_answer(judged):
    run = judged(says(verdict(None)))
    [grade] = run.result()["steps"][0]["grades"]
    assert len(run.requests()) == 1 and grade["value"] is None and "cannot tell" in grade["reason"]


@pytest.mark.parametrize("api, rule", zip(DIALECTS, [{"nth": [1], "do": {"status": 429, "headers": {"Retry-After": "0"}}},
                                             {"nth": [1], "do": {"status": 500}}, {"do": {"stall": 1}},
                                             {"nth": [1], "do": {"reset": True}}]))
def test_a_provider_that_is_busy_or_slow_is_waited_for(judged, fake, api, rule):
    fake.configure(rules=[rule])
    run = judged(says(verdict(1)), api=api)
    assert run.result()["total_score"] == 1


@pytest.mark.parametrize("api", DIALECTS)
def test_a_judge_out_of_reach_is_no_score_and_no_new_agent(judged, fake, api, run_cli, rollout):
    fake.configure(rules=[{"do": {"status": 401}}])
    run = judged(says(verdict(1)), api=api, check=3)
    result = run.result()
    assert result["outcome"] == "infra_error" and result["cause"] == "provider" and result["total_score"] is None
    assert "judge" in result["reason"] and result["refused"] is True
    fake.configure(rules=[])
    run_cli("resume", "bench", env=run.env, check=0)
    again = run.result()
    assert again["total_score"] == 1 and again["attempt"] == result["attempt"] + 1
    started = [e for e in rollout().events if e["event"] == "started"]
    assert started[-1]["agent_from"] == 1
    assert not [e for e in rollout().events if e.get("phase") == "agent" and e["attempt"] == again["attempt"]]


@pytest.mark.parametrize("api", DIALECTS)
def test_sampling_is_dropped_once(judged, fake, api):
    words = {"error": {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}}
    fake.configure(rules=[{"prompt": '"temperature"', "do": {"status": 400, "body": json.dumps(words)}}])
    run = judged(says(verdict(1)), api=api, judge={"temperature": 0.0, "top_p": 0.9})
    asked = [json.dumps(doc) for doc in run.requests()]
    assert ["temperature" in text for text in asked] == [True, False] and run.result()["total_score"] == 1
    assert run.doc()["judge"]["refused"] == ["sampling"]


NO_SCHEMA = {"responses": "Unsupported parameter: 'text.format'", "chat": "response_format type is unavailable",
             "anthropic": "output_config: Extra inputs are not permitted",
             "gemini": "Invalid JSON payload received. Unknown name \"responseJsonSchema\""}


@pytest.mark.parametrize("api", DIALECTS)
def test_a_server_without_schemas_is_asked_in_words(judged, fake, api):
    word = {"gemini": "responseJsonSchema", "anthropic": "output_config"}.get(api, "json_schema")
    fake.configure(rules=[{"prompt": word, "do": {"status": 400, "body": json.dumps({"error": {
        "message": NO_SCHEMA[api]}})}}])
    run = judged(says("Let me see {so}.\n```json\n" + verdict(0.5) + "\n```\n"), api=api)
    assert run.result()["total_score"] == 0.5 and run.doc()["judge"]["refused"] == ["schema"]
    assert '\\"reasoning\\"' in json.dumps(run.requests()[-1])  # the form is told in words in any case


# As models write them where no schema binds them.
VERDICTS = {
    "a word after it": verdict(0.3) + "\nHope this {helps}!", "a draft before it": verdict(0.9) + "\nOn reflection:\n" + verdict(0.3),
    "braces before it": "I look at {reasoning: x} and {criterion}.\n" + verdict(0.3), "a line break": verdict(0.3).replace("says so", "says\nso"),
    "a code block": "```json\n" + verdict(0.3) + "\n```", "an indented one": json.dumps(json.loads(verdict(0.3)), indent=4),
    "braces in it": verdict(0.3, reasoning='the diff says {"score": 1}'), "more members": verdict(0.3, confidence=1),
    "a draft, and a line break": verdict(0.9) + "\nOn reflection:\n" + verdict(0.3).replace("says so", "says\nso"),
    "a needless backslash": verdict(0.3).replace("says so", r"matches \d+"),
    "a mark of the order of bytes": "\ufeff" + verdict(0.3),
    "whole numbers": verdict(0).replace('"score": 0', '"score": 0.3'),
}


def test_verdicts_as_models_write_them(judged):
    run = judged(*[says(text, prompt=f"rubric {name}.") for name, text in VERDICTS.items()],
                 rubrics=rubrics_of(VERDICTS), api="chat")
    assert {name: g["value"] for name, g in grades_of(run).items()} == {name: 0.3 for name in VERDICTS}
    assert len(run.requests()) == len(VERDICTS)


def test_limits_of_the_judge_leave_rubrics_unscored(judged):
    rubrics = [{**RUBRIC, "id": f"r{i}"} for i in range(4)]
    run = judged(says(verdict(1)), rubrics=rubrics, judge={"call_limit": 1})
    grades = run.result()["steps"][0]["grades"]
    assert sorted(g["value"] is not None for g in grades) == [False, False, False, True]
    assert all("call_limit of 1" in g["reason"] for g in grades if g["value"] is None)
    assert run.result()["coverage"] == 0.25 and run.result()["total_score"] == 1


def test_the_budget_sees_the_judge(judged, run_cli):
    run = judged(says(verdict(1), usage={"input": 100000, "cached": 0, "cache_write": 0, "output": 1000}))
    assert run.result()["judge"]["money_usd"] > 1
    costs = [e for e in run.rollout.events if e["event"] == "spent"]
    assert costs and costs[-1]["usd"] == pytest.approx(run.result()["judge"]["money_usd"])


@pytest.mark.parametrize("api", DIALECTS)
def test_a_provider_that_only_streams(judged, fake, api, run_cli):
    """It says so once a conversation; a stream that breaks off is asked for again."""
    run = judged(says(verdict(0.75)), api=api)
    begun = len(fake.log())
    whole = {"path": ":generateContent"} if api == "gemini" else {"nth": [1]}
    message = "Stream must be set to true"
    fake.configure(rules=[{**whole, "do": {"status": 400, "body": {"error": {"type": "invalid_request_error", "message": message}}}},
                          {"first": 1, "do": {"cut_after": 1}}])
    run_cli("eval", "bench", "--judge-only", env=run.env, check=0)
    assert run.result()["attempt"] == 2 and run.result()["judge_score"] == 0.75
    asked = [e.request for e in fake.log()[begun:]]
    assert ["streamGenerateContent" in r.target or bool(json.loads(r.body).get("stream")) for r in asked] == [False, True, True]

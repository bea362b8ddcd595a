# SPDX-License-Identifier: GPL-3.0-or-later
"""Rubrics judged by a model: what it is shown, what its answers become, and what they are kept as."""
import json

import pytest

from judges import RUBRIC, fake, fenced, judged, met, provided, says, verdict  # noqa: F401
from models import DIALECTS, cost


@pytest.mark.parametrize("api", DIALECTS)
def test_a_rubric_without_tests_is_judged(judged, api, run_cli):
    run = judged(says(verdict(0.75), usage={"input": 1000, "cached": 0, "cache_write": 0, "output": 60, "reasoning": 20}),
                 api=api)
    result, doc = run.result(), run.doc()
    assert result["total_score"] == doc["total_score"] == 0.75 and result["judge_score"] == 0.75
    [grade] = result["steps"][0]["grades"]
    assert (grade["id"], grade["kind"], grade["value"]) == ("clear", "judge", 0.75)
    lm = doc["lm_evaluation"]
    assert lm["weighted_score"] == 0.75
    assert lm["rubric_scores"] == [{"rubric_id": "clear", "score": 0.75, "reasoning": "It says so.", "evidence": "line 1",
                                    "suggestions": ""}]
    assert set(lm) == {"weighted_score", "rubric_scores", "summary", "metadata"}
    assert set(lm["metadata"]) == {"model", "temperature", "total_weight", "evaluation_time_seconds"}
    assert lm["metadata"]["model"] == "judge-fake" and lm["metadata"]["temperature"] is None
    # Beside the agent's numbers, never in them.
    assert result["judge"]["calls"] == 1 and result["judge"]["tokens_input"] == 1000
    assert result["judge"]["money_usd"] == pytest.approx(
        cost([{"input": 1000, "cached": 0, "cache_write": 0, "output": 60}]))
    assert result["agent"]["metrics"]["calls"] in (None, 0) and not result["agent"]["metrics"]["money_usd"]
    table = run_cli("summarize", "bench", check=0).stdout
    row = next(line for line in table.splitlines() if run.run_id in line)
    assert [cell.strip() for cell in row.split("|")][2:4] == ["0.750", "0.750"], row


SCHEMA_AT = {"responses": ("text", "format", "schema"), "chat": ("response_format", "json_schema", "schema"),
             "anthropic": ("output_config", "format", "schema"), "gemini": ("generationConfig", "responseJsonSchema")}


@pytest.mark.parametrize("api", DIALECTS)
def test_one_strict_schema_whatever_the_rubric(judged, api):
    rubrics = [RUBRIC, {"id": "done", "criterion": "It is done", "weight": 1, "scale": "binary"}]
    run = judged(says(met(), prompt="met or not met"), says(verdict(0.5)), rubrics=rubrics, api=api)
    schemas = []
    for doc in run.requests():
        for name in SCHEMA_AT[api]:
            doc = doc[name]
        schemas.append(doc)
    assert len(schemas) == 2 and schemas[0] == schemas[1]
    order = list(schemas[0]["properties"])
    assert order.index("reasoning") < order.index("evidence") < order.index("score")
    assert run.result()["total_score"] == 0.75
    assert not any(word in json.dumps(run.requests()) for word in ("temperature", "top_p", "topP", "effort"))

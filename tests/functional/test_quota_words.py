# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway tells an account that is spent from a provider that is busy by the words of each; and refusals inside answers."""
import pytest

from gateways import DEADLINE, PRICE, gateway, gateway_program, make_gateway, token  # noqa: F401
from models import DIALECTS, KEY, fake, provided, scripted  # noqa: F401
from model_quota import BUSY, SPENT


@pytest.mark.parametrize("name", SPENT)
def test_a_spent_account_is_not_waited_for(gateway, fake, name):
    """Its words reach the agent, at once, and the trial's end names them: nobody can do better before somebody pays."""
    fake.configure(rules=[{"do": {"spent": name}}])
    attempt = gateway.attach()
    assert attempt.ask().status == SPENT[name][0]
    state = attempt.wait(lambda s: s.get("failed"))
    assert state["failed"]["refused"] and not state["failed"]["retry"]
    assert len(fake.log()) == 1


@pytest.mark.parametrize("name", BUSY)
def test_a_busy_provider_is_asked_again(gateway, fake, name):
    fake.configure(rules=[{"nth": [1], "do": {"busy": name}}])
    attempt = gateway.attach()
    assert attempt.ask().status == 200 and len(fake.log()) == 2
    assert "failed" not in attempt.wait(lambda s: s["calls"] == 1)


@pytest.mark.parametrize("api", DIALECTS)
def test_a_refusal_in_a_stream_is_the_models_last_word(run_cli, make_task, make_bench, rollout, provided, fake, api):
    """It is no answer to go on from, and no failure of the provider's: it is not paid for again and again."""
    prompt = scripted(turns=[{"refusal": "I cannot help with that."}])
    make_bench(make_task(instructions=prompt), agent="bash", model="any-fake", retries=0, evaluate=False)
    run_cli("run", "bench.toml", env=provided([api]), timeout=300)
    (_, result), = rollout().runs.items()
    assert result["outcome"] in ("completed", "agent_error"), result
    assert 1 <= len(fake.log()) <= 4

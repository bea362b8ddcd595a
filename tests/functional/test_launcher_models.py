# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that ask models from another node: a gateway beside each worker, keys in a file, leases of the budget. After each test
the provider's key is looked for in all that was left."""
import os
import signal

import pytest

from conftest import wait_for
from models import fake, scripted  # noqa: F401
from test_gateway_run import ENV, FIX, check_metrics, look, no_key_anywhere, talker  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")


def test_an_agent_elsewhere_asks_its_model(talker, make_task, make_bench, run_cli, rollout, fake, workdir):  # noqa: F811
    """As on this machine: solved, counted, paid; the file of the keys goes with the run."""
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", launcher="example")
    look(run_cli("run", path, env=ENV, check=0))
    t = rollout()
    [result] = t.runs.values()
    assert result["total_score"] == 1.0
    check_metrics(result, fake.log())
    assert [e for e in t.events if e["event"] == "spent"][-1]["calls"] == 2
    assert not (t.dir / "node-keys.json").exists()


def test_a_budget_among_twenty_nodes(talker, make_task, make_bench, run_cli, rollout, fake, workdir):  # noqa: F811
    """It runs out, and is not passed by a token: each trial has a lease of its own limit while it works."""
    prompt = scripted(turns=[*[{"shell": f"echo {n}"} for n in range(4)], {"text": "Done."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", launcher="example",
                      rollouts=20, parallel=20, token_limit=8000, evaluate=False)
    path.write_text(path.read_text() + "\n[budget]\ntokens = 60000\n")
    done = look(run_cli("run", path, env=ENV, timeout=300))
    t = rollout()
    used = sum(e.usage["input"] + e.usage["output"] for e in fake.log() if e.status == 200)
    assert 20000 < used <= 60000
    assert [e for e in t.events if e["event"] == "spent"][-1]["tokens"] == used
    assert done.returncode == 1 and "budget" in done.stdout + done.stderr
    assert 0 < len([r for r in t.runs.values() if r]) < 20


def test_a_node_that_is_lost(talker, make_task, make_bench, start_cli, rollout, fake, workdir):  # noqa: F811
    """Its call log is lost with it. What it had told of that counts as spent, and as much more as came between two words of it; not all
    that its trial might have spent."""
    prompt = scripted(turns=[*[{"shell": f"echo {n}; sleep 2"} for n in range(2)], {"shell": "sleep 300"}, {"text": "Done."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", launcher="example", retries=0,
                      token_limit=200000, evaluate=False)
    path.write_text(path.read_text() + "\n[budget]\ntokens = 1000000\n")
    child = start_cli("run", path, env=ENV)
    heard = lambda: [p for p in workdir.glob("data/launch/example/2*/events.0") if b'"calls":3' in p.read_bytes()]  # noqa: E731
    wait_for(heard, timeout=120)
    [folder] = [p.parent for p in heard()]
    used = sum(e.usage["input"] + e.usage["output"] for e in fake.log() if e.status == 200)
    os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
    child.communicate(timeout=120)
    [end] = [e for e in rollout().events if e["event"] == "finished"]
    assert end["outcome"] == "infra_error" and "its process is gone" in end["reason"]
    spent = [e for e in rollout().events if e["event"] == "spent"][-1]
    assert spent["calls"] == 3 and used <= spent["tokens"] <= 2 * used


def test_a_budget_needs_limits(talker, make_task, make_bench, run_cli):  # noqa: F811
    path = make_bench(make_task(), agent=talker("anthropic"), model="fake-one", launcher="example")
    path.write_text(path.read_text() + "\n[budget]\ntokens = 60000\n")
    done = run_cli("run", path, env=ENV, check=2)
    assert "of a [budget] each trial elsewhere has a lease: say cost_limit_usd, or token_limit" in done.stderr


def test_calls_at_once_among_nodes(talker, make_task, make_bench, run_cli, rollout, fake, workdir):  # noqa: F811
    """max_in_flight of a provider holds for the gateways of all nodes together."""
    prompt = scripted(turns=[{"shell": "true"}, {"text": "Done."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", launcher="example",
                      rollouts=8, parallel=8, evaluate=False)
    providers = workdir / "xdg/rollouts/providers.toml"
    providers.write_text(providers.read_text().replace("[providers.fake]\n", "[providers.fake]\nmax_in_flight = 2\n"))
    fake.configure(quotas=[{"concurrent": 2}], options={"delay": 0.1})
    look(run_cli("run", path, env=ENV, check=0, timeout=300))
    assert len([r for r in rollout().runs.values() if r["outcome"] == "completed"]) == 8
    assert {e.status for e in fake.log()} == {200}  # the fake would have refused a third one at once

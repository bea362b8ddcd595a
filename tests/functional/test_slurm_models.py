# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents with models on several nodes of a Slurm cluster: a gateway on each, keys in a file, one budget. After each test the provider's
key is looked for in all that was left."""
import pytest

from models import fake, scripted  # noqa: F401
from test_gateway_run import ENV, FIX, check_metrics, look, no_key_anywhere, talker  # noqa: F401
from test_slurm import bench, cluster, env  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")


def test_one_budget_among_nodes(talker, make_task, run_cli, rollout, fake, env, cluster, bench, workdir):  # noqa: F811
    """It runs out on three nodes, and is not passed by a token; what leases did not use came back, so more trials ran than leases fit."""
    prompt = scripted(turns=[*[{"shell": f"echo {n}"} for n in range(3)], {"text": "Done."}])
    make_task("far", instructions=prompt)
    path = bench({"cpus": 4}, agent=talker("anthropic"), model="fake-one", sandbox="local", rollouts=16, parallel=16, token_limit=8000)
    path.write_text(path.read_text() + "\n[budget]\ntokens = 50000\n")
    done = look(run_cli("run", path, env={**ENV, **env}, timeout=300))
    t = rollout("far")
    used = sum(e.usage["input"] + e.usage["output"] for e in fake.log() if e.status == 200)
    assert [e for e in t.events if e["event"] == "spent"][-1]["tokens"] == used <= 50000
    assert done.returncode == 1 and "budget" in done.stdout + done.stderr
    ran = [r for r in t.runs.values() if r]
    assert 50000 // 12000 < len(ran) < 16
    for result in ran:
        assert result["agent"]["metrics"]["calls"] == 4
    nodes = set(cluster.ask("squeue", "-h", "-t", "all", "-o", "%N").split())
    assert len(nodes) >= 2, nodes

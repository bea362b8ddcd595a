# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials as jobs of AWS Batch with S3, by way of a strict server that runs each job as a process of this machine."""
import json
import sys

import pytest

from conftest import SOURCE, only, put, wait_for
from launching import events

sys.path.insert(0, str(SOURCE / "tests/fake"))
from aws_server import AwsServer  # noqa: E402

pytestmark = pytest.mark.local("a container does not travel")


@pytest.fixture
def aws(binary, workdir):
    """aws(...): a fake AWS, serving, whose jobs are processes of this machine."""
    started = []

    def start(run=(), **more):
        (workdir / "node-tmp").mkdir(exist_ok=True, mode=0o777)
        environment = {"TMPDIR": str(workdir / "node-tmp"), "HOME": str(workdir), **more.pop("environment", {})}
        server = AwsServer(run=[str(binary)] if run == () else run, environment=environment, **more)
        started.append(server.__enter__())
        return started[-1]

    yield start
    for server in started:
        server.__exit__()


@pytest.fixture
def bench(make_task, make_bench, workdir):
    """bench(agent=, rollouts=, settings={...}): a benchmark whose trials go to AWS Batch."""
    def make(settings=None, name="far", **more):
        path = make_bench(make_task(name), name=name, file=f"{name}.toml", model=more.pop("model", "none"),
                          **{"agent": "oracle", **more})
        own = {"queue": "q", "storage": "s3://bkt/pre/fix", "poll_sec": 1, "events_sec": 1, **(settings or {})}
        table = "\n".join(f"{k} = {json.dumps(v)}" if not isinstance(v, dict) else
                          f"{k} = {{{', '.join(f'{json.dumps(a)} = {json.dumps(b)}' for a, b in v.items())}}}"
                          for k, v in own.items())
        path.write_text(path.read_text() + f"\n[launcher.batch]\n{table}\n")
        return path

    return make


def keys(server, prefix=""):
    return sorted(k.removeprefix("pre/fix/") for k in server.store.buckets["bkt"] if k.startswith("pre/fix/" + prefix))


def test_a_benchmark_goes_there_and_comes_back(run_cli, aws, bench, rollout, workdir):
    """One array; inputs go up once, results come back whole, and the bucket shows all of it."""
    server = aws()
    done = run_cli("run", bench(rollouts=3, parallel=3), "--launcher", "batch", env=server.environment, check=0)
    trials = list(rollout("far").runs.values())
    assert [t["total_score"] for t in trials] == [1.0] * 3, done.stdout
    tried, submitted = [body for word, body in server.bodies if word == "submitjob"]  # the preflight goes there too
    assert "arrayProperties" not in tried and submitted["arrayProperties"] == {"size": 3}
    assert keys(server, "parcels/")
    ids = sorted(t["run_id"] for t in trials)
    assert keys(server, "results/2") == [f"results/{i}.1.json" for i in ids]
    assert keys(server, "archives/2") == [f"archives/{i}.1.tar.zst" for i in ids]
    [folder] = (workdir / "data/rollouts/far").iterdir()
    shown = keys(server, f"rollouts/far/{folder.name}/")
    assert {k.rsplit("/", 1)[1] for k in shown} >= {"plan.json", "events.jsonl", "config.toml"}
    assert len(events(folder, "finished")) == 3
    assert not list((workdir / "node-tmp").glob("rollouts-job*"))

    cache = {**server.environment, "XDG_CACHE_HOME": str(workdir / "cache")}
    here = json.loads(run_cli("summarize", "far", "--json", check=0).stdout)
    for place in ("s3://bkt/pre/fix", "s3://bkt/pre/fix/far", f"s3://bkt/pre/fix/far/{folder.name}", f"s3://bkt/pre/fix@{folder.name}"):
        there = json.loads(run_cli("summarize", place, "--json", env=cache, check=0).stdout)
        assert there["aggregates"] == here["aggregates"]
    assert "far" in run_cli("list", "s3://bkt/pre/fix", env=cache, check=0).stdout
    assert run_cli("show", "s3://bkt/pre/fix", ids[0], "diff", env=cache, check=0).stdout == run_cli("show", ids[0], "diff", check=0).stdout
    assert run_cli("compare", "s3://bkt/pre/fix", env=cache).returncode in (0, 2)
    run_cli("report", "s3://bkt/pre/fix", "--output", "page.html", env=cache, check=0)
    assert "return" in (workdir / "page.html").read_text()
    pulled = run_cli("pull", "s3://bkt/pre/fix", "--data-dir", "pulled", env=cache, check=0)
    assert pulled.stdout == f"pulled/rollouts/far/{folder.name}\n"
    assert {p.name for p in (workdir / "pulled/runs" / ids[1] / "attempts/1").iterdir()} \
        >= {p.name for p in (workdir / "data/runs" / ids[1] / "attempts/1").iterdir()} - {"travel.json"}
    done = run_cli("pull", "s3://bkt/pre/fix", env=cache, check=0)
    assert "is of this machine, and left as it is" in done.stderr

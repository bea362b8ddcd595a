# SPDX-License-Identifier: GPL-3.0-or-later
"""Many trials at once, ten thousand for instance: how many calls of AWS they take."""
import json
import time

import pytest

from conftest import clean_env, put
from launching import Launcher
from test_aws_batch import aws  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")


@pytest.mark.parametrize("trials", [400, pytest.param(10000, marks=pytest.mark.long)])
def test_children_of_two_arrays(aws, binary, workdir, trials):  # noqa: F811
    """Submitted by two calls, told of by pages of a thousand, descriptions of a hundred and a few lists of the bucket."""
    server = aws(run=None, exit_code=1)
    data = workdir / "data"
    jobs = []
    for i in range(trials):
        run = f"20261130__21-00-00-{i}"
        for name in ("trial", "travel"):
            put(data / f"runs/{run}/attempts/1/{name}.json", "{}")
        jobs.append({"token": f"{run}.1", "dir": f"runs/{run}/attempts/1", "inputs": [], "cpus": 0, "memory_mb": 0, "time_sec": 60})
    program = next(p for top in (binary.parent, binary.parent.parent) for p in top.glob("**/rollouts-launch-batch"))
    launcher = Launcher(program, data, "none", "batch", {**clean_env(workdir, None, None), **server.environment},
                        settings={"queue": "q", "storage": "s3://bkt/x", "poll_sec": 1, "array_max": trials // 2}, greet=False)
    end = time.monotonic() + 300
    try:
        launcher.wait(lambda m: m["event"] == "hello")
        for i in range(0, trials, 1000):
            launcher.say(op="submit", jobs=jobs[i:i + 1000])
        for event in ("submitted", "ended"):
            while sum(m["event"] == event for m in launcher.heard) < trials:
                launcher.say(op="poll")
                told = sum(m["event"] == "polled" for m in launcher.heard)
                while sum(m["event"] == "polled" for m in launcher.heard) == told:
                    launcher.hear(1)
                    assert launcher.child.poll() is None and time.monotonic() < end
        submitted = {m["token"]: m["job"] for m in launcher.heard if m["event"] == "submitted"}
        ended = {m["token"]: m["how"] for m in launcher.heard if m["event"] == "ended"}
        assert set(submitted) == set(ended) == {j["token"] for j in jobs}
        assert all("its job failed (AWS Batch: job " in how and "exit code 1" in how for how in ended.values())
        assert [b["arrayProperties"]["size"] for w, b in server.bodies if w == "submitjob"] == [trials // 2] * 2
        assert len({job.split(":")[0] for job in submitted.values()}) == 2
        assert trials / 1000 <= server.calls["listjobs"] <= 40 and trials / 100 <= server.calls["describejobs"] <= trials / 100 + 100
        assert server.calls["s3 GET"] < trials / 10
        tasks = [k for k in server.store.buckets["bkt"] if k.endswith(".json") and "/batches/" in k]
        assert len(tasks) == trials / 50 and json.loads(server.store.buckets["bkt"][tasks[0]]["body"])["v"] == 1
    finally:
        launcher.kill()

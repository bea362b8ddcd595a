# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS Batch says of jobs, and what the launcher makes of it: why they end, why they wait, and answers that were lost."""
import pytest

from conftest import clean_env, put
from launching import Launcher
from test_aws_batch import aws, keys  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")
SETTINGS = {"queue": "q", "storage": "s3://bkt/pre/fix", "poll_sec": 1}
# What Batch and ECS write in statusReason and reason, the exit code, and how that is told.
REASONS = [
    ("Host EC2 (instance i-0123456789abcdef0) terminated.", None, None, "its instance was taken away (a spot instance reclaimed, or lost)"),
    ("Your Spot Task was interrupted.", None, None, "its spot instance was reclaimed"),
    ("Task failed to start", "CannotPullContainerError: Error response from daemon: manifest for x:1 not found", None, "its image could not be pulled"),
    ("Task failed to start", "CannotPullImageManifestError: Error response from daemon: Get https://x/v2/", None, "its image could not be pulled"),
    ("Task failed to start", "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s", None, "its container engine does not answer"),
    ("Task failed to start", "CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec: \"x\"", None, "its container did not start"),
    ("Task failed to start", "CannotCreateContainerError: Error response from daemon: devmapper: no space left on device", None, "the disk of its instance is full"),
    ("Task failed to start", "ResourceInitializationError: unable to pull secrets or registry auth", None, "what it needs could not be set up (a secret, a network)"),
    ("Task failed to start", None, None, "its container did not start"),
    ("Essential container in task exited", "OutOfMemoryError: Container killed due to memory usage", 137, "it ran out of memory"),
    ("Essential container in task exited", None, 137, "it was killed"),
    ("Essential container in task exited", None, 143, "it was told to end"),
    ("Essential container in task exited", "CannotInspectContainerError: Could not transition to inspecting", None, "its container engine does not answer"),
    ("Essential container in task exited", None, 3, "its job failed"),
    ("Job attempt duration exceeded timeout", None, 143, "it ran longer than its job may"),
    ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - it can not be fulfilled", None, None, "its queue or definition asks for what there is not"),
    ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - no instance", None, None, "there was no instance for it"),
]


@pytest.fixture
def submitted(aws, binary, workdir):  # noqa: F811
    """submitted(server, n): the launcher, handed N trials."""
    program = next(p for top in (binary.parent, binary.parent.parent) for p in top.glob("**/rollouts-launch-batch"))
    started = []

    def start(server, n):
        jobs = []
        for i in range(n):
            run = f"20261130__21-00-00-{i}"
            for name in ("trial", "travel"):
                put(workdir / f"data/runs/{run}/attempts/1/{name}.json", "{}")
            jobs.append({"token": f"{run}.1", "dir": f"runs/{run}/attempts/1", "inputs": [], "cpus": 0, "memory_mb": 0, "time_sec": 60})
        started.append(Launcher(program, workdir / "data", "none", "batch", {**clean_env(workdir, None, None), **server.environment}, settings=SETTINGS))
        started[-1].say(op="submit", jobs=jobs)
        return started[-1]

    yield start
    for launcher in started:
        launcher.kill()


def test_each_reason_is_told(aws, submitted):  # noqa: F811
    """As what it means, with the words and the code of AWS behind it; each child of an array has its own."""
    server = aws(run=None, exit_code=1)
    server.batch.rules += [{"index": i, "why": why, "reason": reason, "code": code} for i, (why, reason, code, _) in enumerate(REASONS)]
    launcher = submitted(server, len(REASONS))
    for i, (why, reason, code, meaning) in enumerate(REASONS):
        how = launcher.wait(lambda m: m["event"] == "ended" and m["token"] == f"20261130__21-00-00-{i}.1", poll=True)["how"]
        assert how.startswith(f"{meaning} (AWS Batch: job ") and why in how and (reason or "") in how, how
        assert f":{i}, " in how and (f"exit code {code}" in how) == (code is not None), how


@pytest.mark.parametrize("trials", [1, 2])
def test_why_jobs_wait_is_told(aws, submitted, trials):  # noqa: F811
    """Of a queue that can never start them, say: once, with its own words."""
    server = aws(run=None)
    server.batch.held = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the job requirement"
    launcher = submitted(server, trials)
    note = launcher.wait(lambda m: m["event"] == "note", poll=True)["text"]
    assert note.endswith(f"waits: {server.batch.held}"), note
    described = server.calls["describejobs"]
    launcher.wait(lambda m: server.calls["describejobs"] > described + 2, poll=True)
    assert sum(m["event"] == "note" for m in launcher.heard) == 1


@pytest.mark.parametrize("blind", [2, 100])
def test_an_answer_that_was_lost(aws, submitted, blind):  # noqa: F811
    """The job is found by its name, though lists are behind; one that is not found has nothing to do if it ever begins."""
    server = aws(run=None)
    server.batch.blind = blind
    server.faults.append({"call": "submitjob", "times": 1, "status": 500, "code": "ServerException", "heard": True})
    launcher = submitted(server, 2)
    said = launcher.wait(lambda m: m["event"] == "submitted", poll=True)
    assert ("error" in said) == (blind == 100) and server.calls["submitjob"] == 1
    assert bool([k for k in keys(server, "batches/") if k.endswith(".json")]) == (blind == 2)

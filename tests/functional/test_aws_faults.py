# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with jobs of AWS Batch and with a bucket, and what is said of it."""
import json
import signal

import pytest

from conftest import only, put, wait_for
from launching import events
from test_aws_batch import aws, bench, keys  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")


def begun(server):
    """Whether an agent is at work, by what nodes sent."""
    return lambda: any(b'"agent"' in o["body"] for k, o in list(server.store.buckets["bkt"].items()) if "/events/" in k)


@pytest.fixture
def slow(bench, workdir):  # noqa: F811
    """slow(seconds, ...): as bench, of an agent that takes so long and is not graded."""
    def make(seconds, **more):
        put(workdir / "agents/slow.toml", f'argv = ["sh", "-c", "sleep {seconds}"]\n')
        return bench(agent="slow", evaluate=False, **more)

    return make


@pytest.mark.parametrize("do, words", [
    ("lost", "its instance was taken away (a spot instance reclaimed, or lost)"),
    ("oom", "it ran out of memory (AWS Batch: job "),
    ("pull", "its image could not be pulled"),
    ("timeout", "it ran longer than its job may"),
])
def test_how_a_job_ended_is_told(run_cli, aws, slow, workdir, do, words):  # noqa: F811
    """In words, with those of AWS; the trial is tried again, and its first attempt stays."""
    server = aws()
    server.batch.rules.append({"do": do})
    run_cli("run", slow(0, retries=1), "--launcher", "batch", env=server.environment, check=0)
    [folder] = (workdir / "data/rollouts/far").iterdir()
    first, second = events(folder, "finished")
    assert first["outcome"] == "infra_error" and words in json.dumps(first), json.dumps(first)[-1500:]
    assert second["outcome"] == "completed" and second["attempt"] == 2


def test_batch_begins_a_job_again(run_cli, aws, slow, rollout, workdir):  # noqa: F811
    """With attempts = 2 a spot instance that is taken away costs no attempt of ours; what it left is kept."""
    server = aws()
    server.batch.rules.append({"do": "spot", "when": begun(server)})
    run_cli("run", slow(20, retries=0, settings={"attempts": 2}), "--launcher", "batch", env=server.environment, check=0)
    trial = only(rollout("far"))
    assert trial["outcome"] == "completed" and trial["attempt"] == 1
    [job] = server.batch.jobs.values()
    assert [a["statusReason"].split("(")[0] for a in job.attempts] == ["Host EC2 ", "Essential container in task exited"]
    assert keys(server, "stopped/") == [f"stopped/{trial['run_id']}.1.1.json", f"stopped/{trial['run_id']}.1.1.tar.zst"]
    cloud = json.loads((workdir / "data/runs" / trial["run_id"] / "attempts/1/cloud.json").read_text())
    assert cloud["job_attempt"] == 2


@pytest.mark.parametrize("bulk", [True, False])
def test_an_interrupt_ends_jobs(start_cli, aws, slow, workdir, bulk):  # noqa: F811
    """Many in one call; where an endpoint has no such call, one by one."""
    server = aws()
    server.batch.bulk = bulk
    child = start_cli("run", slow(60, rollouts=2, parallel=2), "--launcher", "batch", env=server.environment)
    wait_for(begun(server), timeout=60)
    child.send_signal(signal.SIGINT)
    wait_for(lambda: b"interrupted" in next(workdir.glob("data/rollouts/far/*/events.jsonl")).read_bytes())
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    [folder] = (workdir / "data/rollouts/far").iterdir()
    assert {e["outcome"] for e in events(folder, "finished")} == {"cancelled"}
    assert (server.calls["terminatejob"] > 0) == (not bulk)


def test_a_supervisor_that_was_killed(run_cli, start_cli, aws, slow, rollout, workdir):  # noqa: F811
    """Its jobs go on; the bucket tells of them before resume does, and resume takes them up."""
    server = aws()
    child = start_cli("run", slow(3), "--launcher", "batch", env=server.environment)
    wait_for(begun(server), timeout=60)
    child.kill()
    child.wait()
    wait_for(lambda: keys(server, "results/2"), timeout=60)
    read = run_cli("list", "s3://bkt/pre/fix", "--json", env={**server.environment, "XDG_CACHE_HOME": str(workdir / "cache")}, check=0)
    assert '"complete"' in read.stdout
    run_cli("resume", "far", env=server.environment, check=0)
    assert only(rollout("far"))["attempt"] == 1 and len(server.batch.jobs) == 1


def test_services_that_are_busy(run_cli, aws, bench, rollout):  # noqa: F811
    """They are asked again, more slowly; a clock that is an hour off is set right; lists come in pages of two."""
    server = aws(page=2)
    server.skew = 3600
    server.faults += [{"call": "s3 PUT", "times": 5, "status": 503, "code": "SlowDown"},
                      {"call": "describejobs", "times": 3, "status": 429, "code": "TooManyRequestsException"},
                      {"call": "submitjob", "times": 2, "status": 429, "code": "TooManyRequestsException"}]
    run_cli("run", bench(rollouts=2, parallel=2), "--launcher", "batch", env=server.environment, check=0)
    assert [t["total_score"] for t in rollout("far").runs.values()] == [1.0] * 2
    assert not any(f["times"] for f in server.faults)


def test_a_store_without_checksums(run_cli, aws, slow, rollout):  # noqa: F811
    """Stores that know no such headers (R2, older ones) refuse them: they are left out from there on. Lists are of what is below
    the prefix alone, as the printed policy allows."""
    server = aws(checksums=False)
    server.store.within = "pre/fix/"
    run_cli("run", slow(0), "--launcher", "batch", env=server.environment, check=0)
    assert only(rollout("far"))["outcome"] == "completed"


def test_what_is_large_goes_up_in_parts(run_cli, aws, slow, rollout, workdir):  # noqa: F811
    """And everything is encrypted by the store as the settings say."""
    server = aws()
    path = slow(0, settings={"sse": "aws:kms", "kms_key": "k"})
    put(workdir / "tasks/far/overlay_repo_files/big.txt", "0123456789abcde\n" * (34 << 16))
    run_cli("run", path, "--launcher", "batch", env=server.environment, check=0)
    assert only(rollout("far"))["outcome"] == "completed"
    objects = server.store.buckets["bkt"]
    assert {(o["sse"], o["kms"]) for o in objects.values()} == {("aws:kms", "k")}
    large = [o for k, o in objects.items() if "/parcels/" in k and len(o["body"]) > 34 << 20]
    assert large and all("-" in o["etag"] for o in large) and not server.store.uploads


def test_a_key_that_ends(run_cli, aws, bench, rollout, workdir):  # noqa: F811
    """One of a program is asked for again when AWS says that it has expired."""
    server = aws()
    server.keys["ASIAOLD"] = {"secret": "s", "token": "t", "expired": True}
    put(workdir / "key", f"""#!/bin/sh
[ -e {workdir}/asked ] && id=AKIAUSER secret=user/secret+ || id=ASIAOLD secret=s
touch {workdir}/asked
echo '{{"Version": 1, "AccessKeyId": "'$id'", "SecretAccessKey": "'$secret'"'"$([ $id = ASIAOLD ] && echo ', "SessionToken": "t"')"'}}'
""")
    put(workdir / "aws-config", f"[default]\ncredential_process = sh {workdir}/key\n")
    env = {k: v for k, v in server.environment.items() if "KEY" not in k}
    done = run_cli("list", "s3://bkt/pre/fix", env={**env, "AWS_CONFIG_FILE": str(workdir / "aws-config"), "XDG_CACHE_HOME": str(workdir)}, check=2)
    assert "no rollouts are there" in done.stderr


def test_a_refusal_is_one_line(run_cli, aws, bench):  # noqa: F811
    """What is wrong is told before there is a rollout."""
    server = aws()
    for n, (settings, words) in enumerate((
                            ({"queue": "other"}, "queue: AWS Batch in eu-test-1 has no job queue \"other\""),
                            ({"storage": "s3://none/x"}, "storage: there is no bucket \"none\""),
                            ({"definition": "other"}, "definition: AWS Batch in eu-test-1 has no active job definition \"other\""),
                            ({"job_role": "jobs"}, "job_role: must be a role's ARN"),
                            ({"sse": "AES128"}, "sse: must be AES256, aws:kms or aws:kms:dsse"),
                            ({"vcpu": 2}, "vcpu: unknown setting (did you mean vcpus?)"),
                            ({"kms_key": "k"}, "kms_key: needs sse = \"aws:kms\""))):
        done = run_cli("run", bench(settings, name=f"far-{n}"), "--launcher", "batch", env=server.environment, check=2)
        assert f"launcher batch: {words}" in done.stderr and len(done.stderr.splitlines()) == 1
    done = run_cli("run", bench(name="far-key"), "--launcher", "batch",
                   env={**server.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}, check=2)
    assert "SignatureDoesNotMatch" in done.stderr

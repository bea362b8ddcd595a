# SPDX-License-Identifier: GPL-3.0-or-later
"""Two other programs that are S3, and one that is Batch, for a second opinion: moto (tools/moto), and versitygw where it was built
($ROLLOUTS_TEST_VERSITYGW, or on PATH). Where one is not to be had its tests are left out, and say so."""
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from conftest import SOURCE, wait_for
from test_aws_batch import bench  # noqa: F401

sys.path.insert(0, str(SOURCE / "tests/fake"))
from aws_signatures import canonical_query, canonical_request, now, sign  # noqa: E402

pytestmark = pytest.mark.local("a container does not travel")
KEY, SECRET, REGION = "test", "testing", "us-east-1"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def ask(url, service, method, path, query="", body=b"", **more):
    """A signed request that is ours alone."""
    when, payload = now().strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
    headers = {"host": url.split("//")[1], "x-amz-date": when, "x-amz-content-sha256": payload}
    scope, signed = f"{when[:8]}/{REGION}/{service}/aws4_request", sorted(headers)
    request = canonical_request(method, path, service, canonical_query(query), headers, signed, payload)
    headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={';'.join(signed)}, "
                                f"Signature={sign(SECRET, when, scope, request)}")
    full = f"{url}{path}{'?' + query if query else ''}"
    with urllib.request.urlopen(urllib.request.Request(full, body or None, {**headers, **more}, method=method), timeout=30) as got:
        return got.read()


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def serve(argv, port, env, log):
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    wait_for(lambda: child.poll() is not None or answers(port), timeout=60)
    assert child.poll() is None, log.read_text()
    return child


def end(child):
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def moto_python():
    cache = Path(os.environ.get("ROLLOUTS_TEST_CACHE", "~/.cache/rollouts-tests")).expanduser()
    python = Path(os.environ.get("ROLLOUTS_TEST_MOTO", cache / "moto/bin/python3"))
    return python if python.exists() else None


@pytest.fixture
def moto(workdir):
    python = moto_python()
    if not python:
        pytest.skip("moto is not there: tools/moto fetches it")
    port = free_port()
    child = serve([python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, {}, workdir / "moto.log")
    url = f"http://127.0.0.1:{port}"
    ask(url, "s3", "PUT", "/bkt")
    yield url
    end(child)


@pytest.fixture
def versitygw(workdir):
    program = os.environ.get("ROLLOUTS_TEST_VERSITYGW") or shutil.which("versitygw")
    if not program:
        pytest.skip("versitygw is not there: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    port = free_port()
    (workdir / "objects").mkdir()
    child = serve([program, "--port", f"127.0.0.1:{port}", "posix", workdir / "objects"], port,
                  {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}, workdir / "versitygw.log")
    url = f"http://127.0.0.1:{port}"
    ask(url, "s3", "PUT", "/bkt")
    yield url
    end(child)


def environment(url, workdir):
    return {"AWS_ENDPOINT_URL": url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true", "XDG_CACHE_HOME": str(workdir / "cache")}


def check_store(url, run_cli, make_task, make_bench, workdir):
    """A rollout that was run here is put there, and read from there."""
    run_cli("run", make_bench(make_task("one"), name="one", model="none", agent="oracle", rollouts=2), check=0)
    [folder] = (workdir / "data/rollouts/one").iterdir()
    for path in folder.iterdir():
        if path.is_file():
            ask(url, "s3", "PUT", f"/bkt/a%20b/rollouts/one/{folder.name}/{path.name}", body=path.read_bytes(),
                **{"Content-Type": "application/octet-stream"})
    env = environment(url, workdir)
    there = json.loads(run_cli("summarize", "s3://bkt/a b", "--json", env=env, check=0).stdout)
    here = json.loads(run_cli("summarize", "one", "--json", check=0).stdout)
    assert there["aggregates"] == here["aggregates"]


def call(url, path, **body):
    return json.loads(ask(url, "batch", "POST", f"/v1/{path}", body=json.dumps(body).encode(),
                          **{"Content-Type": "application/json"}))


def test_moto_is_read(moto, run_cli, make_task, make_bench, workdir):
    check_store(moto, run_cli, make_task, make_bench, workdir)


def test_moto_takes_jobs(moto, run_cli, bench, workdir):  # noqa: F811
    """It takes an array, of which it runs nothing here: each child ends without a word of its node, and that is said."""
    ask(moto, "s3", "POST", "/moto-api/config", body=b'{"batch": {"use_docker": false}}')
    role = b"Action=CreateRole&Version=2010-05-08&RoleName=batch&AssumeRolePolicyDocument=%7B%7D"
    ask(moto, "iam", "POST", "/", body=role, **{"Content-Type": "application/x-www-form-urlencoded"})
    call(moto, "createcomputeenvironment", computeEnvironmentName="ce0", type="UNMANAGED", state="ENABLED",
         serviceRole="arn:aws:iam::123456789012:role/batch")
    call(moto, "createjobqueue", jobQueueName="q", state="ENABLED", priority=1, computeEnvironmentOrder=[
        {"order": 1, "computeEnvironment": "arn:aws:batch:us-east-1:123456789012:compute-environment/ce0"}])
    env = environment(moto, workdir)
    path = bench({"image": "rollouts:1", "storage": "s3://bkt/x"}, agent="nop", sandbox="none", evaluate=False, rollouts=2, parallel=2, retries=0)
    run_cli("cloud", "init", "--yes", path, env=env, check=0)
    again = run_cli("cloud", "init", path, env=env, check=0).stdout
    assert "log group        /aws/batch/job                           is there" in again
    done = run_cli("run", path, "--launcher", "batch", env=env, check=1)
    assert done.stdout.count("ended without a word of its node") == 2, done.stdout


def test_versitygw_is_read(versitygw, run_cli, make_task, make_bench, workdir):
    check_store(versitygw, run_cli, make_task, make_bench, workdir)
    wrong = {**environment(versitygw, workdir), "AWS_SECRET_ACCESS_KEY": "wrong"}
    assert "SignatureDoesNotMatch" in run_cli("summarize", "s3://bkt/a b", env=wrong, check=2).stderr

# SPDX-License-Identifier: GPL-3.0-or-later
"""Two other programs that are S3, and one that is Batch, for a second opinion: moto (tools/moto), and versitygw where it was built
($ROLLOUTS_TEST_VERSITYGW, or on PATH). Where one is not to be had its tests are left out, and say so."""
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

import engines
from conftest import SOURCE, only, wait_for
from test_aws_batch import bench  # noqa: F401

sys.path.insert(0, str(SOURCE / "tests/fake"))
from aws_signatures import canonical_query, canonical_request, now, sign  # noqa: E402

pytestmark = pytest.mark.local("a container does not travel")
KEY, SECRET, REGION = "test", "testing", "us-east-1"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def ask(url, service, method, path, query="", body=b"", key=KEY, secret=SECRET, **more):
    """A signed request that is ours alone."""
    when, payload = now().strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
    headers = {"host": url.split("//")[1], "x-amz-date": when, "x-amz-content-sha256": payload}
    scope, signed = f"{when[:8]}/{REGION}/{service}/aws4_request", sorted(headers)
    request = canonical_request(method, path, service, canonical_query(query), headers, signed, payload)
    headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={';'.join(signed)}, "
                                f"Signature={sign(secret, when, scope, request)}")
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
def start_moto(workdir):
    """start_moto(VARIABLE=...): its server's URL, with a bucket."""
    python, started = moto_python(), []
    if not python:
        pytest.skip("moto is not there: tools/moto fetches it")

    def start(**env):
        port = free_port()
        started.append(serve([python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, env, workdir / "moto.log"))
        ask(f"http://127.0.0.1:{port}", "s3", "PUT", "/bkt")
        return f"http://127.0.0.1:{port}"

    yield start
    for child in started:
        end(child)


@pytest.fixture
def moto(start_moto):
    return start_moto()


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


def environment(url, workdir, key=KEY, secret=SECRET):
    return {"AWS_ENDPOINT_URL": url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_EC2_METADATA_DISABLED": "true", "XDG_CACHE_HOME": str(workdir / "cache")}


def check_store(url, run_cli, make_task, make_bench, workdir, **keys):
    """A rollout that was run here is put there, and read from there."""
    run_cli("run", make_bench(make_task("one"), name="one", model="none", agent="oracle", rollouts=2), check=0)
    [folder] = (workdir / "data/rollouts/one").iterdir()
    for path in folder.iterdir():
        if path.is_file():
            ask(url, "s3", "PUT", f"/bkt/a%20b/rollouts/one/{folder.name}/{path.name}", body=path.read_bytes(),
                **keys, **{"Content-Type": "application/octet-stream"})
    env = environment(url, workdir, **keys)
    there = json.loads(run_cli("summarize", "s3://bkt/a b", "--json", env=env, check=0).stdout)
    here = json.loads(run_cli("summarize", "one", "--json", check=0).stdout)
    assert there["aggregates"] == here["aggregates"]


def call(url, path, **body):
    return json.loads(ask(url, "batch", "POST", f"/v1/{path}", body=json.dumps(body).encode(),
                          **{"Content-Type": "application/json"}))


def test_moto_is_read(moto, run_cli, make_task, make_bench, workdir):
    check_store(moto, run_cli, make_task, make_bench, workdir)


def form(url, **words):
    text = "&".join(f"{k}={quote(v)}" for k, v in {"Version": "2010-05-08", **words}.items())
    return ask(url, "iam", "POST", "/", body=text.encode(), **{"Content-Type": "application/x-www-form-urlencoded"}).decode()


def test_moto_checks_signatures(start_moto, run_cli, make_task, make_bench, workdir):
    """Those of a user whose key it made; of the calls before that it checks none: a bucket and these three."""
    url = start_moto(INITIAL_NO_AUTH_ACTION_COUNT="4")
    allowed = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
    form(url, Action="CreateUser", UserName="u")
    form(url, Action="PutUserPolicy", UserName="u", PolicyName="all", PolicyDocument=allowed)
    made = form(url, Action="CreateAccessKey", UserName="u")
    key, secret = (re.search(f"<{name}>(.*?)</{name}>", made)[1] for name in ("AccessKeyId", "SecretAccessKey"))
    check_store(url, run_cli, make_task, make_bench, workdir, key=key, secret=secret)
    wrong = environment(url, workdir, key, "wrong")
    assert "SignatureDoesNotMatch" in run_cli("summarize", "s3://bkt/a b", env=wrong, check=2).stderr


def make_queue(url):
    form(url, Action="CreateRole", RoleName="batch", AssumeRolePolicyDocument="{}")
    call(url, "createcomputeenvironment", computeEnvironmentName="ce0", type="UNMANAGED", state="ENABLED",
         serviceRole="arn:aws:iam::123456789012:role/batch")
    call(url, "createjobqueue", jobQueueName="q", state="ENABLED", priority=1, computeEnvironmentOrder=[
        {"order": 1, "computeEnvironment": "arn:aws:batch:us-east-1:123456789012:compute-environment/ce0"}])


SMALL = {"agent": "nop", "sandbox": "none", "evaluate": False, "retries": 0}


def test_moto_takes_jobs(moto, run_cli, bench, workdir):  # noqa: F811
    """It takes an array, of which it runs nothing here: each child ends without a word of its node, and that is said."""
    ask(moto, "s3", "POST", "/moto-api/config", body=b'{"batch": {"use_docker": false}}')
    make_queue(moto)
    env = environment(moto, workdir)
    path = bench({"image": "rollouts:1", "storage": "s3://bkt/x"}, rollouts=2, parallel=2, **SMALL)
    run_cli("cloud", "init", "--yes", path, env=env, check=0)
    again = run_cli("cloud", "init", path, env=env, check=0).stdout
    assert "log group        /aws/batch/job                           is there" in again
    done = run_cli("run", path, "--launcher", "batch", env=env, check=1)
    assert done.stdout.count("ended without a word of its node") == 2, done.stdout


def test_moto_runs_a_job(start_moto, engine, binary, run_cli, bench, rollout, workdir):  # noqa: F811
    """In a container, which takes its trial from the bucket and puts its result there. What it would have in its image is this machine's."""
    moto = start_moto(DOCKER_HOST=engine.host, MOTO_DOCKER_NETWORK_MODE="host")
    make_queue(moto)
    env = environment(moto, workdir)
    top = binary.parents[1] if binary.parent.name == "bin" else binary.parent
    shown = {"usr": "/usr", "rollouts": str(top), "share": str(SOURCE / "share")}
    call(moto, "registerjobdefinition", jobDefinitionName="rollouts", type="container", containerProperties={
        "image": f"{engines.BASE}:latest", "command": [], "environment": [{"name": k, "value": v} for k, v in env.items() if k.startswith("AWS")],
        "volumes": [{"name": name, "host": {"sourcePath": path}} for name, path in shown.items()],
        "mountPoints": [{"sourceVolume": name, "containerPath": path, "readOnly": True} for name, path in shown.items()],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]})
    path = bench({"storage": "s3://bkt/x", "command": [str(binary), "cloud", "node"]}, **SMALL)
    done = run_cli("run", path, "--launcher", "batch", env=env)
    trial = only(rollout("far"))
    assert (trial["outcome"], trial["attempt"]) == ("completed", 1), (done, trial)
    cloud = json.loads((workdir / "data/runs" / trial["run_id"] / "attempts/1/cloud.json").read_text())
    assert cloud["job"] and cloud["seconds"] >= 0


def test_versitygw_is_read(versitygw, run_cli, make_task, make_bench, workdir):
    check_store(versitygw, run_cli, make_task, make_bench, workdir)
    wrong = {**environment(versitygw, workdir), "AWS_SECRET_ACCESS_KEY": "wrong"}
    assert "SignatureDoesNotMatch" in run_cli("summarize", "s3://bkt/a b", env=wrong, check=2).stderr

# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's account of AWS: where its key is found, what a benchmark needs there, what it costs."""
import hashlib
import json

import jsonschema
import pytest

from conftest import SOURCE, only, put
from models import fake, scripted  # noqa: F401
from test_aws_batch import aws, bench, keys  # noqa: F401
from test_gateway_run import ENV, FIX, talker  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")
NEAR = {"AWS_EC2_METADATA_DISABLED": "true"}


def single_sign_on(server, home):
    server.keys["ASIASSO"] = {"secret": "of/sso", "token": "sso=="}
    server.sso["login"] = {"Dev": {"accessKeyId": "ASIASSO", "secretAccessKey": "of/sso", "sessionToken": "sso==", "expiration": 4070908800000}}
    put(home / ".aws/config", "[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = Dev\n"
        "[sso-session corp]\nsso_start_url = https://x.example/start\nsso_region = eu-test-1\n")
    name = hashlib.sha1(b"corp").hexdigest()
    put(home / f".aws/sso/cache/{name}.json", json.dumps({"accessToken": "login", "expiresAt": "2099-01-01T00:00:00Z"}))
    return {"AWS_PROFILE": "p"}


def assumed_role(server, home):
    put(home / ".aws/credentials", "[base]\naws_access_key_id = AKIAUSER\naws_secret_access_key = user/secret+\n")
    put(home / ".aws/config", "[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nexternal_id = x\n")
    return {"AWS_PROFILE": "p"}


def web_identity(server, home):
    put(home / "token", "jwt")
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/w"}


def process(server, home):
    put(home / ".aws/config", "[default]\ncredential_process = echo "
        """'{"Version":1,"AccessKeyId":"AKIAUSER","SecretAccessKey":"user/secret+"}'\n""")
    return {}


def container(server, home):
    put(home / "box", "box\n")
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url + "/container-key", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(home / "box")}


def instance(server, home):
    server.instance = {"meta-data/iam/security-credentials/": "role",
                       "meta-data/iam/security-credentials/role": json.dumps(server.container_key)}
    return {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url}


@pytest.mark.parametrize("way", [single_sign_on, assumed_role, web_identity, process, container, instance])
def test_where_a_key_is_found(run_cli, aws, workdir, way):  # noqa: F811
    """Each signs a request that is taken: the answer is that nothing is there."""
    server = aws()
    env = {"AWS_ENDPOINT_URL": server.url, "AWS_REGION": "eu-test-1", "HOME": str(workdir), "XDG_CACHE_HOME": str(workdir / "c"), **NEAR}
    done = run_cli("list", "s3://bkt/nothing", env={**env, **way(server, workdir)})
    assert "s3://bkt/nothing: no rollouts are there" in done.stderr, done.stderr
    assert done.returncode == 2 and server.calls["s3 GET"]


@pytest.mark.parametrize("config, words", [
    ("[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = Dev\n[sso-session corp]\nsso_start_url = u\nsso_region = r\n",
     "its sign-on was not made yet; run: aws sso login --profile p"),
    ("[profile p]\nrole_arn = r\nsource_profile = p2\n[profile p2]\nrole_arn = r\nsource_profile = p\n", "assume one another in a circle"),
    ("[profile p]\nrole_arn = arn:forbidden\nsource_profile = b\n[profile b]\naws_access_key_id = AKIAUSER\naws_secret_access_key = user/secret+\n",
     "not authorized to perform: sts:AssumeRole"),
    ("[profile p]\nrole_arn = r\nmfa_serial = m\nsource_profile = b\n[profile b]\naws_access_key_id = A\naws_secret_access_key = B\n",
     "asks for a code (mfa_serial)"),
    ("[profile p]\ncredential_process = sh -c 'echo no; echo broken >&2; exit 3'\n", "exit status 3: broken"),
    ("[profile p]\nregion = x\n", "there is no AWS key: set AWS_ACCESS_KEY_ID"),
])
def test_why_there_is_no_key(run_cli, aws, workdir, config, words):  # noqa: F811
    server = aws()
    put(workdir / ".aws/config", config)
    env = {"AWS_ENDPOINT_URL": server.url, "AWS_REGION": "eu-test-1", "HOME": str(workdir), "AWS_PROFILE": "p", **NEAR}
    done = run_cli("list", "s3://bkt/nothing", env=env, check=2)
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_is_needed_is_made(run_cli, aws, bench):  # noqa: F811
    """Shown first; made when told to; made once; the rules of others stay; then each of it is used."""
    server = aws()
    server.batch.definitions.clear()
    server.store.lifecycle["bkt"] = b"<LifecycleConfiguration><Rule><ID>others</ID><Days>3</Days></Rule></LifecycleConfiguration>"
    path = bench({"image": "rollouts:1", "job_role": "arn:aws:iam::1:role/j", "secrets": {"K": "arn:aws:secretsmanager:r:1:secret:k-x"}})
    shown = run_cli("cloud", "init", path, env=server.environment, check=0).stdout
    assert "job definition   rollouts                                 to be made" in shown and "Nothing was changed" in shown
    assert '"arn:aws:s3:::bkt/pre/fix/results/*"' in shown and '"arn:aws:secretsmanager:r:1:secret:k-x"' in shown and "Fargate cannot" in shown
    assert not server.batch.definitions and b"rollouts" not in server.store.lifecycle["bkt"]
    run_cli("cloud", "init", "--yes", path, env=server.environment, check=0)
    made = server.batch.definitions["rollouts"]
    container_of = made["containerProperties"]
    assert container_of["privileged"] is True and made["platformCapabilities"] == ["EC2"]
    assert container_of["secrets"] == [{"name": "K", "valueFrom": "arn:aws:secretsmanager:r:1:secret:k-x"}]
    assert b"<ID>others</ID>" in server.store.lifecycle["bkt"] and b"<Prefix>pre/fix/parcels/</Prefix>" in server.store.lifecycle["bkt"]
    again = run_cli("cloud", "init", "--yes", path, env=server.environment, check=0).stdout
    assert "made now" not in again and server.batch.definitions["rollouts"]["revision"] == 1
    server.batch.secrets["arn:aws:secretsmanager:r:1:secret:k-x"] = "v"
    tried = run_cli("cloud", "doctor", path, env=server.environment, check=0).stdout
    assert tried.count("✓") == 5 and "its log says: rollouts 0." in tried
    assert not keys(server, "doctor/")
    server.batch.queues["q"] = "DISABLED"
    assert "✗ queue           it is disabled" in run_cli("cloud", "doctor", path, env=server.environment, check=3).stdout


@pytest.mark.parametrize("words, said", [
    (["cloud", "inti", "far.toml"], "inti: unknown; rollouts cloud init|doctor|cost BENCH"),
    (["cloud", "init", "--yes", "far.toml"], 'storage: there is no bucket "none"; make one'),
    (["resume", "s3://bkt/x"], "resume works on a data folder of this machine; `rollouts pull s3://bkt/x` brings it here"),
])
def test_a_strangers_mistakes(run_cli, aws, bench, words, said):  # noqa: F811
    """Told in one line, before anything is made."""
    server = aws()
    server.batch.definitions.clear()
    bench({"image": "x", "storage": "s3://none/x"})
    done = run_cli(*words, env=server.environment, check=2)
    assert said in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr
    assert not server.batch.definitions and not server.store.lifecycle


def test_a_service_that_is_not_there(run_cli, aws, bench):  # noqa: F811
    """Is told after a few tries, by a person who waits and by one who reads."""
    server = aws()
    env = {**server.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    path = bench({"image": "x"})
    tried = run_cli("cloud", "doctor", path, env=env, check=3, timeout=60).stdout
    assert tried.count("✗") == 3 and "127.0.0.1" in tried
    assert "127.0.0.1" in run_cli("summarize", "s3://bkt/x", env=env, check=3, timeout=60).stderr


def test_keys_and_costs(talker, make_task, make_bench, run_cli, rollout, fake, aws, workdir):  # noqa: F811
    """A key comes from the job definition's secrets and is in no object; what a machine costs stands beside what models do."""
    server = aws(secrets={"arn:key": ENV["ANTHROPIC_API_KEY"]} if "ANTHROPIC_API_KEY" in ENV else {"arn:key": next(iter(ENV.values()))})
    name = next(k for k in ENV if k.endswith("KEY"))
    server.instance = {"meta-data/instance-type": "c7i.large", "meta-data/instance-life-cycle": "spot"}
    server.batch.definitions["rollouts"]["containerProperties"]["secrets"] = [{"name": name, "valueFrom": "arn:key"}]
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one", launcher="batch")
    own = 'queue = "q"\nstorage = "s3://bkt/pre/fix"\npoll_sec = 1\nevents_sec = 1\nprices = {"c7i.large" = 36.0}\n'
    text = path.read_text().replace('launcher = "batch"\n', "")
    path.write_text(text + f"\n[launcher.batch]\n{own}")
    env = {**server.environment, **ENV}
    done = run_cli("run", path, "--launcher", "batch", env=env)
    assert f"secrets = {{{name} = " in done.stdout + done.stderr + str([p.read_text() for p in workdir.glob("data/rollouts/bench/*/events.jsonl")])
    path.write_text(text + f'\n[launcher.batch]\n{own}secrets = {{{name} = "arn:key"}}\n')
    run_cli("run", path, "--launcher", "batch", env=env, check=0)
    trial = only(rollout())
    assert trial["total_score"] == 1.0
    assert not [k for k, o in server.store.buckets["bkt"].items() if ENV[name].encode() in o["body"]]
    cloud = json.loads((workdir / "data/runs" / trial["run_id"] / "attempts/1/cloud.json").read_text())
    assert cloud["instance_type"] == "c7i.large" and cloud["life_cycle"] == "spot"
    assert cloud["usd"] == pytest.approx(cloud["seconds"] / 100 * cloud["share"])
    jsonschema.validate(cloud, json.loads((SOURCE / "share/schema/cloud.json").read_text()))
    result = json.loads((workdir / "data/runs" / trial["run_id"] / "attempts/1/result.json").read_text())
    assert result["machine"] == cloud
    jsonschema.validate(result, json.loads((SOURCE / "share/schema/result.json").read_text()))
    [of_all] = [a for a in json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["aggregates"] if a["level"] == "overall"]
    assert of_all["machine_usd"] == pytest.approx(cloud["usd"]) and of_all["machine_seconds"] == pytest.approx(cloud["seconds"])
    table = run_cli("summarize", "bench", check=0).stdout
    assert "machine USD" in table and f"{cloud['usd']:.4f}" in table and "tests alone" not in table
    assert f"s of c7i.large, {cloud['usd']:.4f} USD" in run_cli("show", trial["run_id"], check=0).stdout
    assert "USD, as its nodes reckoned for 1 of them" in run_cli("cloud", "cost", path, env=env, check=0).stdout

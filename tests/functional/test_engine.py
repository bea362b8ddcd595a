# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine is taken and which is refused, images that come from a registry, and engines that die or hang."""
import json
import os
import signal
import subprocess

import pytest

import engines
from conftest import ENGINE, only, put, wait_for

pytestmark = pytest.mark.skipif(bool(ENGINE), reason="starts engines of its own")


@pytest.fixture
def bench(make_task, make_bench, agent_script):
    """bench(name, agent="true", ...): one task in an image of busybox, whose agent is a script of sh."""
    def make(name="small", script="true", dockerfile=f"FROM {engines.BUSYBOX}\n", task=None, **keys):
        folder = make_task(name, files={"Dockerfile": dockerfile} if dockerfile else {},
                           tests=[("t.sh", "works", "true\n", {"command": "sh \"$ROLLOUTS_TEST\""})], **(task or {}))
        agent = agent_script(script, argv=["sh", "{home}/agent.sh"])
        return make_bench({"prepared_dir": folder}, agent=agent, model="m", **{"evaluate": False, **keys})

    return make


@pytest.fixture(scope="module")
def registry():
    with engines.start_registry() as found:
        yield found


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_an_image_is_pulled(run_cli, bench, engine, registry, rollout, workdir, by):
    digest = registry.push(engine, engines.BUSYBOX, f"me/{by}:1")
    image = f"{registry.host}/me/{by}" + (":1" if by == "tag" else f"@{digest}")
    config = bench(dockerfile=None, task={"meta": {"docker_image": image}}, rollouts=2)
    env = {"DOCKER_HOST": engine.host}
    try:
        done = run_cli("run", config, "-vv", env=env, check=0)
        assert done.stdout.count(f"pulling image {image}") == 1
        assert "Pull complete" in done.stdout, done.stdout
        assert f"Digest: {digest}" in done.stdout, done.stdout
        for result in rollout().runs.values():
            assert (result["outcome"], result["sandbox"]) == ("completed", "docker")
            assert result["image"] == f"{registry.host}/me/{by}@{digest}"
        for log in (workdir / "data/runs").glob("*/logs/build.log"):
            assert "Pull complete" in log.read_text()
        assert "pulling" not in run_cli("run", config, "--data-dir", "other", env=env, check=0).stdout
    finally:
        engine.client("rmi", image)


def test_an_agent_that_comes_in_an_image(run_cli, make_task, engine, registry, rollout, workdir):
    """Its files, below /opt in a sandbox of any kind, whether the engine is there then or not."""
    image = f"{registry.host}/me/agent@{registry.push(engine, engines.BUSYBOX, 'me/agent:1')}"
    env = {"DOCKER_HOST": engine.host, "XDG_CACHE_HOME": str(workdir / "cache")}
    table = 'argv = ["tool", "sh", "-c", "echo $0 > /app/notes.md; cat /opt/rollouts/tool/layer >> /app/notes.md"]\n[install]\nversion = "1.2.3"\n' \
            'program = ["bin/busybox"]\nimage = "%s"\n'
    bench = f"agent = 'tool'\nmodel = 'm'\nevaluate = false\n[[tasks]]\nprepared_dir = '{make_task()}'\n"
    put(workdir / "bench.toml", bench)
    put(workdir / "agents/tool.toml", table % "me/agent:1")
    assert "image is NAME@sha256: and 64 digits" in run_cli("agents", "install", "tool", env=env, check=2).stderr
    put(workdir / "agents/tool.toml", table % image.replace("me/agent@", "me/none@"))
    assert "could not fetch" in run_cli("agents", "install", "tool", env=env, check=3).stderr
    put(workdir / "agents/tool.toml", table % image)
    assert "rollouts agents install tool" in run_cli("run", "bench.toml", env=env, check=2).stderr
    try:
        done = run_cli("agents", "install", "tool", env=env, check=0)
        assert f"fetching tool 1.2.3 with the container engine: {image}" in done.stdout
    finally:
        engine.client("rmi", image, check=False)
    assert not engine.containers()
    run_cli("run", "bench.toml", env=env, check=0)
    result = only(rollout())
    assert (result["outcome"], result["sandbox"], result["agent"]["version"]) == ("completed", "local", "1.2.3"), result["reason"]
    notes = (workdir / "data/runs" / rollout().manifest["results"][0]["run_id"] / "artifacts/notes.md").read_text()
    assert notes.split()[-1] == "me/agent:1", notes
    assert not list((workdir / "cache").rglob("archive")) and not list((workdir / "cache").rglob(".new.*"))


def test_an_image_nobody_has_is_an_infra_error(run_cli, bench, engine, registry, rollout):
    image = f"{registry.host}/nobody/has:this"
    done = run_cli("run", bench(dockerfile=None, task={"meta": {"docker_image": image}}), env={"DOCKER_HOST": engine.host}, check=1)
    result = only(rollout())
    assert result["outcome"] == "infra_error" and "no image for this task" in result["reason"], result
    assert "nobody/has" in result["reason"] and "nobody/has" in done.stdout


@pytest.fixture
def context(workdir):
    """context(host): the docker client makes a context of that host and uses it. Returns the variables to find it."""
    def make(host, use=True):
        env = {**os.environ, "HOME": str(workdir / "home")}
        env.pop("DOCKER_HOST", None)
        for words in (["create", "mine", "--docker", f"host={host}"], ["use", "mine"] if use else ["ls"]):
            subprocess.run(["docker", "context", *words], env=env, check=True, capture_output=True)
        return {"HOME": env["HOME"]}

    return make


@pytest.mark.parametrize("how", ["in use", "DOCKER_CONTEXT", "DOCKER_CONFIG"])
def test_the_context_in_use_names_the_engine(run_cli, bench, engine, context, rollout, how):
    env = context(engine.host, use=how != "DOCKER_CONTEXT")
    if how == "DOCKER_CONTEXT":
        env["DOCKER_CONTEXT"] = "mine"
    if how == "DOCKER_CONFIG":
        env = {"DOCKER_CONFIG": env["HOME"] + "/.docker"}
    run_cli("run", bench(), env=env, check=0)
    assert (only(rollout())["outcome"], only(rollout())["sandbox"]) == ("completed", "docker")


def refused(done):
    [line] = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://me@example.org"])
@pytest.mark.parametrize("how", ["context", "DOCKER_HOST"])
def test_an_engine_on_another_machine_is_refused(run_cli, bench, context, workdir, host, how):
    env = {"DOCKER_HOST": host} if how == "DOCKER_HOST" else context(host)
    line = refused(run_cli("run", bench(), env=env, check=2))
    assert host in line and "on this machine" in line and ("DOCKER_HOST" in line or '"mine"' in line)
    assert not (workdir / "data").exists()


def test_a_context_that_is_not_there(run_cli, bench, workdir):
    put(workdir / "home/.docker/config.json", json.dumps({"currentContext": "gone"}))
    line = refused(run_cli("run", bench(), env={"HOME": str(workdir / "home")}, check=3))
    assert 'docker context "gone"' in line


def test_an_engine_that_does_not_see_our_files(run_cli, bench, engine, rollout, workdir):
    """It answers on a socket of this machine, but lives among other files: in a container, or behind a tunnel."""
    (workdir / "data").mkdir()
    config = bench()
    inside = ["nsenter", f"--mount=/proc/{engine.containerd.pid}/ns/mnt"]
    subprocess.run([*inside, "mount", "-t", "tmpfs", "none", workdir / "data"], check=True)
    try:
        line = refused(run_cli("run", config, env={"DOCKER_HOST": engine.host}, check=2))
    finally:
        subprocess.run([*inside, "umount", workdir / "data"], check=True)
    assert engine.socket in line and "does not see the files of this machine" in line and 'sandbox = "local"' in line
    assert not list((workdir / "data/rollouts").glob("bench/*"))
    run_cli("run", config, env={"DOCKER_HOST": engine.host}, check=0)
    assert only(rollout())["outcome"] == "completed"


def test_an_engine_that_maps_users(run_cli, bench, workdir):
    with engines.start_dockerd(maps_users=True) as engine:
        line = refused(run_cli("run", bench(), env={"DOCKER_HOST": engine.host}, check=2))
    assert not (workdir / "data").exists()
    assert "maps users (userns-remap)" in line and 'sandbox = "local"' in line


def test_a_rootless_engine(run_cli, bench, ordinary_user):
    with engines.start_podman(user=ordinary_user) as engine:
        line = refused(run_cli("run", bench(), env={"DOCKER_HOST": engine.host}, check=2))
    assert "maps users (it is rootless)" in line and 'sandbox = "local"' in line


@pytest.fixture
def mortal():
    """An engine to be killed. Without live-restore: restarted, it ends what ran."""
    with engines.start_dockerd(live_restore=False) as engine:
        engine.load(engines.BUSYBOX, engines.make_busybox)
        yield engine


def journal(workdir):
    found = list(workdir.glob("data/rollouts/bench/*/events.jsonl"))
    return [json.loads(line) for line in found[0].read_text().splitlines()] if found else []


def check_whole(rollout, workdir, run_cli, engine):
    for result in rollout().runs.values():
        assert (result["outcome"], result["total_score"]) == ("completed", 1), result
    assert not list((workdir / "data/runs").glob("*/attempts/*/box*"))
    # At most what the engine made while nobody heard its answer any more, which has no PID 1 that runs.
    assert "running" not in engine.containers().values()
    run_cli("clean", env={"DOCKER_HOST": engine.host}, check=0)
    assert not engine.containers()


@pytest.mark.parametrize("phase", ["prepare", "sandbox", "agent", "collect", "evaluate"])
def test_kill_9_and_restart_in_each_phase(start_cli, run_cli, bench, mortal, rollout, workdir, phase):
    config = bench(script="echo here; sleep 0.4", rollouts=3, parallel=2, retries=3, evaluate=True)
    child = start_cli("run", config, env={"DOCKER_HOST": mortal.host})
    wait_for(lambda: any(e.get("phase") == phase for e in journal(workdir)), timeout=60)
    mortal.kill()
    mortal.up()
    assert child.wait(timeout=240) == 0, child.stdout.read()
    check_whole(rollout, workdir, run_cli, mortal)


def test_an_engine_that_hangs(start_cli, run_cli, bench, mortal, rollout, workdir):
    """Stopped while an agent runs: its work is kept, the grading is tried again once the engine answers."""
    config = bench(script="until test -e /tmp/go; do sleep 0.05; done", retries=3, evaluate=True)
    child = start_cli("run", config, env={"DOCKER_HOST": mortal.host})
    [tmp] = wait_for(lambda: any(e.get("phase") == "agent" for e in journal(workdir)) and
                     list((workdir / "data/runs").glob("*/attempts/1/box/tmp")), timeout=60)
    mortal.dockerd.send_signal(signal.SIGSTOP)
    try:
        (tmp / "go").touch()
        first = wait_for(lambda: [e for e in journal(workdir) if e["event"] == "finished"], timeout=150)[0]
    finally:
        mortal.dockerd.send_signal(signal.SIGCONT)
    assert first["outcome"] == "infra_error" and "does not answer" in first["reason"], first
    assert child.wait(timeout=240) == 0, child.stdout.read()
    check_whole(rollout, workdir, run_cli, mortal)
    assert only(rollout())["attempt"] > 1

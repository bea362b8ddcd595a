# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials in containers of a real dockerd: what an agent gets, what is kept from it, and that nothing is left."""
import json
import os
import signal
from pathlib import Path

import pytest

import engines
from conftest import wait_for


@pytest.fixture(scope="session")
def dockerd():
    engine = engines.start_dockerd()
    try:
        engine.load(engines.BASE, engines.make_base)
        engine.load(engines.BUSYBOX, engines.make_busybox)
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def engine(dockerd):
    """The engine, and that no container of ours outlives the test."""
    yield dockerd
    wait_for(lambda: not dockerd.containers(), timeout=60)


@pytest.fixture
def docker_task(make_task):
    """make_task with a Dockerfile: lines after FROM."""
    def make(name="greet", image=engines.BASE, lines="", **more):
        files = {"Dockerfile": f"FROM {image}\n{lines}", **more.pop("files", {})}
        return make_task(name, files=files, **more)

    return make


@pytest.fixture
def run_docker(run_cli, engine):
    def run(*args, env=None, **more):
        return run_cli("run", *args, env={"DOCKER_HOST": engine.host, **(env or {})}, timeout=300, **more)

    return run


def only(rollout):
    [result] = rollout.runs.values()
    return result


# --- a trial ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("agent, score", [("oracle", 1.0), ("nop", 0.4)])
def test_auto_takes_the_container(run_docker, docker_task, make_bench, rollout, agent, score, workdir):
    bench = make_bench(docker_task(lines="COPY overlay_files /app\nENV IN_IMAGE=yes\n"), agent=agent)
    done = run_docker(bench, check=0)
    result = only(rollout())
    assert "[rollouts] sandbox=docker\n" in done.stdout
    assert result["sandbox"] == "docker" and result["workspace"] in ("copy", "none")
    assert result["image"].startswith("sha256:") and result["total_score"] == pytest.approx(score)
    assert rollout().manifest["results"][0]["sandbox"] == "docker"
    if "building the image" in done.stdout:  # not where another test has built the same
        log = next((workdir / "data/runs").glob("*/logs/build.log")).read_text()
        assert "FROM rollouts-test-base" in log


LOOK = """
id -u > who.txt; id -un >> who.txt; pwd >> who.txt
env | sort > env.txt
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status > status.txt
{ cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; } > net.txt
for d in / /etc /usr /app /tmp "$HOME" /.rollouts /.rollouts/ctl; do
    if touch $d/probe 2>/dev/null; then echo "$d yes"; else echo "$d no"; fi; done > writable.txt
ls -A /.rollouts/ctl > ctl.txt
ls /app > app.txt
cat /app/*.md /app/*.json > seen.txt; find / -xdev -name '*.patch' 2>/dev/null >> seen.txt; true
"""


def patch_file(workdir, name):
    """Content of a new file of the agent's patch."""
    text = next((workdir / "data/runs").glob("*/artifacts/diff.patch")).read_text()
    part = next(p for p in text.split("diff --git ") if p.startswith(f"a/{name} "))
    return [line[1:] for line in part.split("@@\n", 1)[1].splitlines() if line.startswith("+")] if "@@\n" in part else []


@pytest.mark.parametrize("image", [engines.BASE, engines.BUSYBOX])
def test_what_an_agent_is_and_sees(run_docker, docker_task, make_bench, agent_script, rollout, workdir, image):
    agent = agent_script(LOOK, argv=["sh", "{home}/agent.sh"])
    task = docker_task(image=image, lines="COPY overlay_files /app\n")
    run_docker(make_bench(task, agent=agent, model="m", evaluate=False), env={"OPENAI_API_KEY": "sk-secret"}, check=0)
    assert only(rollout())["outcome"] == "completed"
    uid, name, cwd = patch_file(workdir, "who.txt")
    assert int(uid) > 1000 and name == "agent" and cwd == "/app/repo"
    env = dict(line.split("=", 1) for line in patch_file(workdir, "env.txt"))
    assert env["FROM_IMAGE"] in image and env["HOME"] == "/home/agent"
    assert "sk-secret" not in str(env) and "OPENAI_API_KEY" not in env
    status = dict(line.split(":\t") for line in patch_file(workdir, "status.txt"))
    assert {v for k, v in status.items() if k.startswith("Cap")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert patch_file(workdir, "net.txt") == ["lo"]
    assert dict(line.split() for line in patch_file(workdir, "writable.txt")) == {
        "/": "no", "/etc": "no", "/usr": "no", "/app": "yes", "/tmp": "yes", "/home/agent": "yes", "/.rollouts": "no",
        "/.rollouts/ctl": "no"}
    assert patch_file(workdir, "ctl.txt") == []
    seen = "\n".join(patch_file(workdir, "seen.txt"))
    assert "SECRET-OF-THE-TASK-AUTHOR" not in seen and "diff.patch" not in seen


# --- images -----------------------------------------------------------------------------------------

def test_an_image_is_built_once(run_docker, docker_task, make_bench, engine, workdir):
    task = docker_task(lines="COPY data.txt /data.txt\n", files={"data.txt": "1\n"})
    bench = make_bench(task, agent="nop", rollouts=3, parallel=3, evaluate=False)
    first = run_docker(bench, check=0).stdout
    second = run_docker(bench, "--data-dir", "other", check=0).stdout
    assert first.count("building the image") == 1 and "building" not in second
    (task / "data.txt").write_text("2\n")
    assert "building the image" in run_docker(bench, check=0).stdout


def test_a_failed_build_is_its_own_tasks_infra_error(run_docker, docker_task, make_bench, rollout):
    bad = docker_task("bad", lines='RUN ["/no/such/program", "x"]\n')
    done = run_docker(make_bench(bad, docker_task("good"), agent="oracle"), check=1)
    results = {r["task_hash"]: r for r in rollout().runs.values()}
    failed = [r for r in results.values() if r["outcome"] == "infra_error"]
    assert len(results) == 2 and len(failed) == 1
    assert "no image for this task" in failed[0]["reason"] and failed[0]["attempt"] == 1
    assert "/no/such/program" in done.stdout


def test_what_a_dockerfile_copies_must_be_there(run_docker, docker_task, make_bench):
    task = docker_task(lines="COPY .env /app/.env\nCOPY codex-files/ /opt/\nCOPY *.pem /etc/\nCOPY --from=x /a /b\n")
    done = run_docker(make_bench(task), check=2)
    assert len(done.stderr.splitlines()) == 2
    assert 'greet/Dockerfile:3: copies "codex-files/", which is not in the task folder: put it there' in done.stderr
    assert "Dockerfile:4" in done.stderr


def test_no_secret_and_no_answer_is_in_an_image(run_docker, docker_task, make_bench, engine):
    task = docker_task(image=engines.BUSYBOX, lines="COPY . /all\n",
                       files={".env": "OPENAI_API_KEY=sk-secret\n", "codex-files/auth.json": "{\"k\": \"sk-secret\"}"})
    run_docker(make_bench(task, agent="nop", evaluate=False), check=0)
    image = engine.client("images", "--filter", "label=rollouts.image", "--format", "{{.ID}}").split()[0]
    box = engine.client("create", "--entrypoint", "/bin/true", image)
    tar = engine.top / "look.tar"
    engine.client("cp", f"{box}:/all", "-", check=False)
    engine.client("export", "--output", str(tar), box)
    engine.client("rm", box)
    content = tar.read_bytes()
    tar.unlink()
    for secret in (b"sk-secret", b"SECRET-OF-THE-TASK-AUTHOR", b"def test_greet", b"greet returns the greeting"):
        assert secret not in content


# --- no engine --------------------------------------------------------------------------------------

def test_no_engine_names_both_ways_out(run_cli, make_task, make_bench, workdir):
    bench = make_bench(make_task(files={"Dockerfile": "FROM x\n"}))
    done = run_cli("run", bench, env={"DOCKER_HOST": f"unix://{workdir}/none.sock"}, check=3)
    [line] = done.stderr.splitlines()
    assert "start one" in line and 'sandbox = "local"' in line and "none.sock" in line
    assert not (workdir / "data").exists()
    run_cli("run", bench, "--sandbox", "local", env={"DOCKER_HOST": f"unix://{workdir}/none.sock"}, check=0)


def test_a_remote_engine_gets_one_clear_line(run_cli, make_task, make_bench):
    bench = make_bench(make_task(files={"Dockerfile": "FROM x\n"}), sandbox="docker")
    done = run_cli("run", bench, env={"DOCKER_HOST": "tcp://10.0.0.1:2375"}, check=2)
    assert done.stderr.count("\n") == 1 and "tcp://10.0.0.1:2375" in done.stderr and "on this machine" in done.stderr


def test_docker_without_a_dockerfile(run_cli, make_task, make_bench):
    done = run_cli("run", make_bench(make_task()), "--sandbox", "docker", check=2)
    assert "needs a Dockerfile in the task folder, or docker_image" in done.stderr

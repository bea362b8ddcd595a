# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials in containers of a real dockerd: what an agent gets, what is kept from it, and that nothing is left."""
import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import pytest

import engines
from conftest import only, wait_for


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


@pytest.mark.parametrize("agent, score", [("oracle", 1.0), ("nop", 0.4)])
def test_auto_takes_the_container(run_docker, docker_task, make_bench, rollout, agent, score, workdir):
    bench = make_bench(docker_task(lines="COPY overlay_files /app\nENV IN_IMAGE=yes\n"), agent=agent)
    done = run_docker(bench, check=0)
    result = only(rollout())
    assert "[rollouts] sandbox=docker\n" in done.stdout
    assert result["sandbox"] == "docker" and result["workspace"] == "overlay"
    assert result["image"].startswith("sha256:") and result["total_score"] == pytest.approx(score)
    assert rollout().manifest["results"][0]["sandbox"] == "docker"
    if "building the image" in done.stdout:  # not where another test has built the same
        log = next((workdir / "data/runs").glob("*/logs/build.log")).read_text()
        assert "FROM rollouts-test-base" in log


def test_an_ordinary_user_with_access_to_the_engine(run_docker, docker_task, make_bench, rollout, ordinary_user):
    run_docker(make_bench(docker_task(), agent="oracle"), user=ordinary_user, check=0)
    assert only(rollout())["sandbox"] == "docker" and only(rollout())["total_score"] == 1


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


@pytest.fixture
def start_docker(start_cli, engine):
    def start(*args, env=None, **more):
        return start_cli(*args, env={"DOCKER_HOST": engine.host, **(env or {})}, **more)

    return start


def box_of(engine):
    """Name of the one running container, once there is one."""
    running = [name for name, state in engine.containers().items() if state == "running"]
    return running[0] if running else None


def test_a_deadline_ends_everything(run_docker, docker_task, make_bench, agent_script, rollout, engine):
    agent = agent_script("echo kept > kept.txt; (setsid sleep 1000 &); sleep 1000")
    run_docker(make_bench(docker_task(), agent=agent, model="m", timeout_sec=2, evaluate=False), check=0)
    result = only(rollout())
    assert result["outcome"] == "timeout" and result["agent"]["diff_lines"] == 1


def test_memory_is_held_by_the_engine(run_docker, docker_task, make_bench, agent_script, rollout):
    agent = agent_script("python3 -c 'x = bytearray(300 << 20)\nx[::4096] = b\"1\" * len(x[::4096])'; echo alive > f")
    bench = make_bench(docker_task(), agent=agent, model="m", memory_mb=100, evaluate=False)
    run_docker(bench, check=0)
    result = only(rollout())
    assert result["outcome"] != "completed" and "memory" in result["agent"]["reason"], result
    assert result["limits_held"] == "cgroup" and result["agent"]["metrics"]["memory_max"] > 50 << 20


def test_processes_are_bounded(run_docker, docker_task, make_bench, agent_script, rollout, workdir):
    agent = agent_script("python3 -c '\nimport os, time\nn = 0\ntry:\n    while n < 3000:\n        if not os.fork(): time.sleep(60)\n"
                         "        n += 1\nexcept OSError: pass\nopen(\"n\", \"w\").write(str(n) + chr(10))'")
    run_docker(make_bench(docker_task(), agent=agent, model="m", evaluate=False), check=0)
    assert 100 < int(patch_file(workdir, "n")[0]) < 1100


def test_figures_and_names(start_docker, docker_task, make_bench, agent_script, rollout, engine, workdir):
    agent = agent_script("until test -e /tmp/go; do sleep 0.05; done; "
                         "python3 -c 'import time\nwhile time.process_time() < 0.2: pass'")
    child = start_docker("run", make_bench(docker_task(), agent=agent, model="m", evaluate=False, memory_mb=200))
    name = wait_for(lambda: box_of(engine), timeout=60)
    stamp = rollout().dir.name
    assert name == f"rollouts-{stamp}-0"
    found = json.loads(engine.client("inspect", name))[0]
    assert found["HostConfig"]["Memory"] == 200 << 20 and found["HostConfig"]["PidsLimit"] == 1024
    assert found["HostConfig"]["CapDrop"] == ["ALL"] and not found["HostConfig"]["CapAdd"]
    assert found["HostConfig"]["NetworkMode"] == "none" and found["HostConfig"]["ReadonlyRootfs"]
    labels = found["Config"]["Labels"]
    assert labels["rollouts.run"] == f"{stamp}-0" and labels["rollouts.bench"] == "bench"
    assert labels["rollouts.supervisor"].split(":")[2] == str(child.pid)
    [scratch] = (workdir / "data/runs").glob("*/attempts/1/box/tmp")
    (scratch / "go").touch()
    assert child.wait(timeout=120) == 0
    metrics = only(rollout())["agent"]["metrics"]
    assert metrics["cpu_ms"] > 50 and metrics["memory_max"] > 1 << 20 and metrics["disk_bytes"] > 0


WAIT = "echo here > here.txt; until test -e /tmp/go; do sleep 0.05; done; echo done > done.txt"


def worker_of(engine, name):
    label = engine.client("inspect", "--format", '{{index .Config.Labels "rollouts.worker"}}', name)
    return int(label.split(":")[2])


def boxes():
    """Processes `rollouts-docker box` of this test session's build, as {pid: parent}."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            if len(words) > 1 and words[0].endswith(b"/rollouts-docker") and words[1] == b"box":
                found[int(path.parent.name)] = int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    return found


@pytest.mark.parametrize("whom", ["worker", "worker and box", "supervisor"])
def test_killed_containers_end_and_the_work_goes_on(start_docker, docker_task, make_bench, agent_script, rollout, engine,
                                                    run_cli, whom, workdir):
    agent = agent_script("if mkdir /tmp/never; then :; fi\n" + WAIT)
    bench = make_bench(docker_task(), agent=agent, model="m", evaluate=False, retries=0)
    child = start_docker("run", bench)
    name = wait_for(lambda: box_of(engine), timeout=60)
    worker = worker_of(engine, name)
    helpers = [pid for pid, parent in boxes().items() if parent == worker]
    assert helpers
    if whom == "supervisor":
        child.kill()
        child.wait()
    else:
        if whom == "worker and box":
            for pid in helpers:
                os.kill(pid, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        child.wait(timeout=120)
    # Ended by itself in any case; removed at once unless nobody was left to do it.
    wait_for(lambda: "running" not in engine.containers().values(), timeout=60)
    if whom != "worker and box":
        wait_for(lambda: not engine.containers(), timeout=60)
    # And once more, to its end.
    again = start_docker("resume", "bench")
    wait_for(lambda: box_of(engine), timeout=60)
    scratch = wait_for(lambda: list((workdir / "data/runs").glob("*/attempts/2/box/tmp")), timeout=60)[0]
    (scratch / "go").touch()
    assert again.wait(timeout=120) == 0, again.stdout.read()
    assert only(rollout())["outcome"] == "completed"
    assert not list((workdir / "data/runs").glob("*/attempts/*/box*"))


def test_clean_removes_what_a_killed_engine_kept(run_cli, run_docker, docker_task, make_bench, engine, workdir):
    """A container that was made and never started has no PID 1 that could see anything."""
    run_docker(make_bench(docker_task(image=engines.BUSYBOX), agent="nop", evaluate=False), check=0)
    def leave(owner):
        import hashlib
        data = hashlib.sha256(str(workdir / "data").encode()).hexdigest()
        return engine.client("create", "--label", f"rollouts.worker={owner}", "--label", f"rollouts.data={data}",
                             "--network", "none", engines.BUSYBOX, "true")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = os.stat("/proc/self/ns/pid").st_ino
    dead, foreign = leave(f"{boot}:{space}:999999999:1"), leave(f"{boot}:1:1:1")
    try:
        env = {"DOCKER_HOST": engine.host}
        assert "would remove container" in run_cli("clean", "--dry-run", env=env, check=0).stdout
        assert run_cli("clean", env=env, check=0).stdout.count("removed container") == 1
        left = engine.client("ps", "--all", "--quiet", "--no-trunc")
        assert dead not in left and foreign in left
    finally:
        engine.client("rm", "--force", dead, foreign, check=False)


def test_clean_cache_forgets_images(run_cli, run_docker, docker_task, make_bench, engine, workdir):
    task = docker_task(image=engines.BUSYBOX, lines="COPY only-here /x\n", files={"only-here": "clean\n"})
    run_docker(make_bench(task, agent="nop", evaluate=False), check=0)
    [record] = (path for path in (workdir / "data/cache/images").glob("*.json") if "." not in path.stem)
    label = f"label=rollouts.image={record.stem}"
    assert engine.client("images", "--quiet", "--filter", label)
    env = {"DOCKER_HOST": engine.host}
    [stamp] = os.listdir(workdir / "data/rollouts/bench")
    run_cli("clean", "--runs", f"bench/{stamp}", env=env, check=0)
    for path in [record, *(workdir / "data/cache").glob("*/*")]:
        os.utime(path, (1, 1))
    run_cli("clean", "--cache", env=env, check=0)
    assert not record.exists() and not list((workdir / "data/cache/contexts").iterdir())
    assert not engine.client("images", "--quiet", "--filter", label)


def go_on(workdir, attempt):
    [tmp] = wait_for(lambda: list((workdir / "data/runs").glob(f"*/attempts/{attempt}/box/tmp")), timeout=60)
    (tmp / "go").touch()


def agent_runs(workdir, attempt):
    return list((workdir / "data/runs").glob(f"*/attempts/{attempt}/box/layers/upper/here.txt"))


@pytest.fixture
def own_engine():
    """start(live_restore): an engine to be killed, with busybox only."""
    with contextlib.ExitStack() as started:
        def start(**options):
            engine = started.enter_context(engines.start_dockerd(**options))
            engine.load(engines.BUSYBOX, engines.make_busybox)
            return engine

        yield start


def busybox_bench(docker_task, make_bench, agent_script, **more):
    agent = agent_script(WAIT, argv=["sh", "{home}/agent.sh"])
    return make_bench(docker_task(image=engines.BUSYBOX), agent=agent, model="m", evaluate=False, **more)


def test_an_engine_restarted_with_live_restore_costs_nothing(start_cli, docker_task, make_bench, agent_script, rollout,
                                                             own_engine, workdir):
    engine = own_engine(live_restore=True)
    child = start_cli("run", busybox_bench(docker_task, make_bench, agent_script), env={"DOCKER_HOST": engine.host})
    wait_for(lambda: agent_runs(workdir, 1), timeout=60)
    engine.kill()
    engine.up()
    go_on(workdir, 1)
    assert child.wait(timeout=240) == 0, child.stdout.read()
    assert only(rollout())["attempt"] == 1 and only(rollout())["outcome"] == "completed"
    wait_for(lambda: not engine.containers(), timeout=60)


def test_an_engine_that_died_is_an_infra_error_with_a_retry(start_cli, docker_task, make_bench, agent_script, rollout,
                                                            own_engine, workdir):
    engine = own_engine(live_restore=False)
    bench = busybox_bench(docker_task, make_bench, agent_script, retries=3)
    child = start_cli("run", bench, env={"DOCKER_HOST": engine.host})
    wait_for(lambda: agent_runs(workdir, 1), timeout=60)
    engine.kill()
    engine.up()  # which ends the containers of its earlier life
    attempt = wait_for(lambda: next((n for n in (2, 3, 4) if agent_runs(workdir, n)), None), timeout=120)
    go_on(workdir, attempt)
    assert child.wait(timeout=240) == 0, child.stdout.read()
    assert only(rollout())["attempt"] == attempt and only(rollout())["outcome"] == "completed"
    first = json.loads(next((workdir / "data/runs").glob("*/attempts/1/result.json")).read_text())
    assert first["outcome"] == "infra_error" and first["retry"]
    wait_for(lambda: not engine.containers(), timeout=60)


def test_an_engine_that_does_not_answer(run_cli, make_task, make_bench, workdir):
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(workdir / "deaf.sock"))
        deaf.listen(8)
        bench = make_bench(make_task(files={"Dockerfile": "FROM x\n"}), sandbox="docker")
        done = run_cli("run", bench, env={"DOCKER_HOST": f"unix://{workdir}/deaf.sock"}, check=3, timeout=60)
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("agent, score", [("oracle", 1.0), ("nop", 0.4)])
def test_podman(run_cli, docker_task, make_bench, rollout, podman, agent, score):
    bench = make_bench(docker_task(lines="COPY overlay_files /app\n"), agent=agent)
    done = run_cli("run", bench, env={"DOCKER_HOST": podman.host}, check=0, timeout=300)
    assert "[rollouts] sandbox=docker\n" in done.stdout
    assert only(rollout())["total_score"] == pytest.approx(score) and only(rollout())["image"].startswith("sha256:")
    wait_for(lambda: not podman.containers(), timeout=60)


def test_podman_agent_and_deadline(run_cli, docker_task, make_bench, agent_script, rollout, podman, workdir):
    agent = agent_script("id -un > who.txt; touch /probe || echo closed > root.txt; sleep 1000")
    bench = make_bench(docker_task(), agent=agent, model="m", timeout_sec=3, evaluate=False, memory_mb=200)
    run_cli("run", bench, env={"DOCKER_HOST": podman.host}, check=0, timeout=300)
    assert only(rollout())["outcome"] == "timeout"
    assert patch_file(workdir, "who.txt") == ["agent"] and patch_file(workdir, "root.txt") == ["closed"]
    wait_for(lambda: not podman.containers(), timeout=60)


def test_podman_a_killed_worker_leaves_nothing(start_cli, docker_task, make_bench, agent_script, podman, workdir):
    agent = agent_script(WAIT)
    bench = make_bench(docker_task(), agent=agent, model="m", evaluate=False, retries=0)
    child = start_cli("run", bench, env={"DOCKER_HOST": podman.host})
    wait_for(lambda: agent_runs(workdir, 1), timeout=60)
    os.kill(worker_of(podman, box_of(podman)), signal.SIGKILL)
    child.wait(timeout=120)
    wait_for(lambda: not podman.containers(), timeout=60)

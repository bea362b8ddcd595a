# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task may ask of its containers, and what its folder must hold: a network, memory, the files of a Dockerfile."""
import os
import pwd
import subprocess
import sys

import pytest

import engines
from conftest import only, wait_for
from test_docker import docker_task, patch_file, run_docker  # noqa: F401: fixtures


@pytest.fixture(scope="module")
def dockerd():
    """With the usual bridge, in a network namespace of its own: it leaves the machine's network alone."""
    with engines.start_dockerd(bridge=True) as engine:
        subprocess.run([*engine.enter, "ip", "link", "set", "lo", "up"], check=True)
        engine.load(engines.BASE, engines.make_base)
        engine.load(engines.BUSYBOX, engines.make_busybox)
        yield engine


METADATA = "169.254.169.254"
SERVER = """
import selectors, socket, sys
poll = selectors.DefaultSelector()
for word in sys.argv[1:]:
    host, port = word.rsplit(":", 1)
    poll.register(socket.create_server((host, int(port))), selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in poll.select():
        with key.fileobj.accept()[0] as c:
            c.sendall(b"the server of the test\\n")
"""
REACH = """
import socket
with open("reached.txt", "w") as f:
    for host, port in %r:
        s = socket.socket()
        s.settimeout(10)
        try:
            s.connect((host, port))
            f.write(f"{port} {s.makefile().readline().strip()}\\n")
        except OSError as e:
            f.write(f"{port} {type(e).__name__} {e.errno}\\n")
        s.close()
    f.write(f"names {'nameserver' in open('/etc/resolv.conf').read()}\\n")
"""


@pytest.fixture
def servers(dockerd):
    """Listeners of the host: on its address on the bridge, and where a cloud would hand out its credentials."""
    shown = subprocess.run([*dockerd.enter, "ip", "-4", "-oneline", "address", "show", "docker0"], capture_output=True, text=True,
                           check=True)
    gateway = shown.stdout.split("inet ")[1].split("/")[0]
    subprocess.run([*dockerd.enter, "ip", "address", "add", f"{METADATA}/32", "dev", "lo"], check=True)
    where = [(gateway, 8801), (METADATA, 80), (METADATA, 53)]
    child = subprocess.Popen([*dockerd.enter, sys.executable, "-c", SERVER, *(f"{h}:{p}" for h, p in where)],
                             stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        yield where
    finally:
        child.kill()
        child.communicate()
        subprocess.run([*dockerd.enter, "ip", "address", "del", f"{METADATA}/32", "dev", "lo"], check=True)


def reached(workdir):
    return dict(line.split(" ", 1) for line in patch_file(workdir, "reached.txt"))


def test_a_network_and_what_is_kept_out_of_it(run_docker, docker_task, make_bench, agent_script, servers, workdir, rollout):
    agent = agent_script(f"python3 - <<'END'\n{REACH % servers}END\ngrep ^Cap /proc/self/status > caps.txt")
    bench = make_bench(docker_task(), agent=agent, model="m", evaluate=False, network=True)
    run_docker(bench, check=0)
    assert only(rollout())["outcome"] == "completed"
    assert reached(workdir) == {"8801": "the server of the test", "80": "PermissionError 13",
                                "53": "the server of the test", "names": "True"}
    assert {line.split()[1] for line in patch_file(workdir, "caps.txt")} == {"0" * 16}


def test_no_network_unless_asked_for(run_docker, docker_task, make_bench, agent_script, servers, workdir):
    agent = agent_script(f"python3 - <<'END'\n{REACH % servers}END\n")
    run_docker(make_bench(docker_task(), agent=agent, model="m", evaluate=False), check=0)
    assert {reached(workdir)[port] for port in ("8801", "80", "53")} == {"OSError 101"}


def test_tests_have_the_network_too(run_docker, docker_task, make_bench, rollout, servers):
    host, port = servers[0]
    text = f"""import socket
def test_reach():
    s = socket.create_connection(({host!r}, {port}), timeout=10)
    assert s.makefile().readline() == "the server of the test\\n"
"""
    task = docker_task(tests=[("test_net.py", "works", text)])
    for network in (True, False):
        run_docker(make_bench(task, agent="nop", network=network), check=0)
        assert only(rollout())["tests_passed"] == int(network)


@pytest.mark.parametrize("sandbox", ["auto", "local"])
def test_a_local_sandbox_names_docker_as_the_way(run_cli, make_task, make_bench, sandbox):
    done = run_cli("run", make_bench(make_task(), agent="nop", network=True, sandbox=sandbox), check=2)
    [line] = done.stderr.splitlines()
    assert 'network = true needs sandbox = "docker"' in line and "bench.toml:7:16: " in line


def test_an_engine_without_a_bridge(run_cli, docker_task, make_bench):
    with engines.start_dockerd() as engine:
        engine.load(engines.BUSYBOX, engines.make_busybox)
        bench = make_bench(docker_task(image=engines.BUSYBOX), agent="nop", evaluate=True, network=True, retries=0)
        said = run_cli("run", bench, env={"DOCKER_HOST": engine.host}, check=3, timeout=300).stderr
        assert "network = true, but the engine's default network is switched off" in said
        wait_for(lambda: not engine.containers(), timeout=60)


CHANGES = """
set -e
echo more >> README.md; rm data/numbers.txt; mkdir new; echo x > new/file; chmod +x src/greet.py; ln -s README.md link
mv src/greet.py src/moved.py; : > status.txt; git status --short | sort > status.txt
stat --file-system --format %T . > kind.txt
"""


@pytest.mark.parametrize("workspace", ["auto", "overlay", "copy"])
def test_a_workspace_and_what_comes_of_it(run_docker, docker_task, make_bench, agent_script, workdir, rollout, workspace):
    bench = make_bench(docker_task(), agent=agent_script(CHANGES), model="m", workspace=workspace)
    run_docker(bench, check=0)
    result = only(rollout())
    kind = "copy" if workspace == "copy" else "overlay"
    assert result["outcome"] == "completed" and result["workspace"] == kind and result["tests"] == 2
    assert (patch_file(workdir, "kind.txt") == ["overlayfs"]) == (kind == "overlay")
    text = next((workdir / "data/runs").glob("*/artifacts/diff.patch")).read_text()
    for line in ("+more", "deleted file mode 100644", "new file mode 100755", "new file mode 120000", "+++ b/new/file"):
        assert line in text, text
    assert patch_file(workdir, "status.txt") == [" D data/numbers.txt", " D src/greet.py", " M README.md", "?? link", "?? new/",
                                                 "?? src/moved.py", "?? status.txt"]


HOG = "python3 -c 'x = bytearray(300 << 20)\nx[::4096] = b\"1\" * len(x[::4096])'"


def test_the_kernels_kill_is_told(run_docker, run_cli, docker_task, make_bench, agent_script, rollout):
    run_docker(make_bench(docker_task(), agent=agent_script(HOG), model="m", memory_mb=100, evaluate=False), check=0)
    run_id, result = next(iter(rollout().runs.items()))
    assert result["oom_killed"] and result["agent"]["oom_killed"] and result["outcome"] == "agent_error"
    assert "the kernel killed for memory" in run_cli("show", run_id, check=0).stdout


def test_the_kernels_kill_of_a_test_is_told(run_docker, run_cli, docker_task, make_bench, rollout):
    task = docker_task(tests=[("hog.sh", "works", HOG + "\n"), ("fine.sh", "kept", "true\n")])
    run_docker(make_bench(task, agent="nop", memory_mb=100), check=0)
    run_id, result = next(iter(rollout().runs.items()))
    assert result["oom_killed"] and not result["agent"]["oom_killed"] and result["tests_passed"] == 1, result
    assert "the kernel killed for memory while they ran" in run_cli("show", run_id, check=0).stdout
    run_docker(make_bench(task, agent="nop", memory_mb=1000), check=0)
    assert not only(rollout())["oom_killed"] and only(rollout())["tests_passed"] == 2


PREPARED = """ARG GIT_URL
ARG GIT_BRANCH
ARG GIT_COMMIT
ARG GITHUB_PAT
ARG TASK_ID
ENV DEBIAN_FRONTEND=noninteractive
RUN mkdir -p /app /root/.codex && echo "$TASK_ID $GIT_BRANCH ${GIT_COMMIT} [$GITHUB_PAT]" > /built.txt
COPY codex-files/ /root/.codex/
COPY overlay_files/tb_meta.json overlay_files/LM_INSTRUCTIONS.md overlay_files/repo_info.json /app/
COPY overlay_files/diff.patch \\
     overlay_files/notes.md /app/
COPY .env /app/.env
COPY mitmproxy-ca-cert.pem /usr/local/share/ca-certificates/mitmproxy-ca-cert.crt
WORKDIR /app/repo
EXPOSE 18080
CMD ["/app/box_bootstrap.sh"]
"""


def content_of(engine, image):
    """All that an image holds, its history among it."""
    box = engine.client("create", image)
    tar = engine.top / "look.tar"
    try:
        engine.client("export", "--output", str(tar), box)
        return tar.read_bytes() + engine.client("history", "--no-trunc", image).encode()
    finally:
        engine.client("rm", box)
        tar.unlink(missing_ok=True)


def test_a_dockerfile_of_a_prepared_task_runs_unchanged(run_docker, docker_task, make_bench, agent_script, workdir, engine,
                                                       rollout):
    files = {"codex-files/config.toml": "model = 'm'\n", "codex-files/auth.json": "{\"key\": \"sk-SECRET\"}",
             ".env": "OPENAI_API_KEY=sk-SECRET\nGITHUB_PAT=ghp-SECRET\n", "mitmproxy-ca-cert.pem": "CERTIFICATE\n"}
    agent = agent_script("cat /built.txt > seen.txt; cat /usr/local/share/ca-certificates/*.crt >> seen.txt; env > env.txt")
    task = docker_task("prepared", lines=PREPARED, files=files)
    env = {"GITHUB_PAT": "ghp-SECRET", "PRIVATE_GITHUB_PAT": "ghp-SECRET", "OPENAI_API_KEY": "sk-SECRET"}
    run_docker(make_bench(task, agent=agent, model="m", evaluate=False), env=env, check=0)
    assert only(rollout())["outcome"] == "completed"
    built, certificate = patch_file(workdir, "seen.txt")
    assert built.startswith("prepared main ") and built.endswith(" []") and certificate == "CERTIFICATE"
    assert "SECRET" not in "".join(patch_file(workdir, "env.txt"))
    content = content_of(engine, only(rollout())["image"])
    assert b"model = 'm'" in content
    for secret in (b"sk-SECRET", b"ghp-SECRET", b"SECRET-OF-THE-TASK-AUTHOR", b"def test_greet"):
        assert secret not in content


def test_what_a_prepared_dockerfile_misses_is_named(run_docker, docker_task, make_bench):
    done = run_docker(make_bench(docker_task("prepared", lines=PREPARED, files={".env": "A=b\n"})), check=2)
    assert [line.split(": copies ")[1].split(",")[0] for line in done.stderr.splitlines()] == [
        '"codex-files/"', '"mitmproxy-ca-cert.pem"']


def test_a_failed_build_shows_its_last_20_lines_and_others_go_on(run_docker, docker_task, make_bench, rollout):
    bad = docker_task("bad", lines="RUN for i in $(seq 1 40); do echo \"step $i of the build\"; done; exit 3\n")
    done = run_docker(make_bench(bad, docker_task("good"), agent="oracle"), check=1)
    shown = [line for line in done.stdout.splitlines() if " of the build" in line and "seq" not in line]
    assert 15 <= len(shown) <= 20 and "step 40 of the build" in shown[-1], done.stdout
    outcomes = {r["run_id"]: (r["outcome"], r["total_score"]) for r in rollout().runs.values()}
    assert sorted(outcomes.values(), key=str) == [("completed", 1.0), ("infra_error", None)]
    [log] = [p.read_text() for p in rollout().dir.parents[2].glob("runs/*/logs/build.log") if "step 1 of" in p.read_text()]
    assert "step 5 of the build" in log


def test_an_ordinary_user_gets_a_copy_and_a_warning(run_docker, docker_task, make_bench, agent_script, workdir, rollout,
                                                    engine, ordinary_user, servers):
    agent = agent_script(f"python3 - <<'END'\n{REACH % servers[:1]}END\necho more >> README.md; id -u > uid.txt")
    bench = make_bench(docker_task(), agent=agent, model="m", network=True)
    mode = os.stat(engine.socket).st_mode
    os.chmod(engine.top, 0o755)
    os.chmod(engine.socket, 0o666)
    try:
        done = run_docker(bench, user=ordinary_user, check=0)
    finally:
        os.chmod(engine.socket, mode)
        os.chmod(engine.top, 0o700)
    result = only(rollout())
    assert result["outcome"] == "completed" and result["workspace"] == "copy" and result["tests"] == 2
    assert reached(workdir)["8801"] == "the server of the test"
    assert int(patch_file(workdir, "uid.txt")[0]) == pwd.getpwnam(ordinary_user).pw_uid
    assert "169.254.169.254" in done.stdout

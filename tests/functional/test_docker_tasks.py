# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task may ask of its containers, and what its folder must hold: a network, memory, the files of a Dockerfile."""
import subprocess
import sys

import pytest

import engines
from conftest import wait_for
from test_docker import docker_task, only, patch_file, run_docker  # noqa: F401: fixtures


@pytest.fixture(scope="module")
def dockerd():
    """With the usual bridge, in a network namespace of its own: it leaves the machine's network alone."""
    engine = engines.start_dockerd(bridge=True)
    try:
        subprocess.run([*engine.enter, "ip", "link", "set", "lo", "up"], check=True)
        engine.load(engines.BASE, engines.make_base)
        engine.load(engines.BUSYBOX, engines.make_busybox)
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def engine(dockerd):
    yield dockerd
    wait_for(lambda: not dockerd.containers(), timeout=60)


# --- network ----------------------------------------------------------------------------------------

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


def test_an_engine_without_a_bridge(run_cli, docker_task, make_bench, rollout):
    engine = engines.start_dockerd()
    try:
        engine.load(engines.BUSYBOX, engines.make_busybox)
        bench = make_bench(docker_task(image=engines.BUSYBOX), agent="nop", evaluate=True, network=True, retries=0)
        run_cli("run", bench, env={"DOCKER_HOST": engine.host}, check=1, timeout=300)
        assert only(rollout())["outcome"] == "infra_error" and "network" in only(rollout())["reason"]
        wait_for(lambda: not engine.containers(), timeout=60)
    finally:
        engine.stop()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox without namespaces: what it closes, and what docs/sandbox.md says that it does not.

A box here is as in test_sandbox.py, of a worker that root started (a user of its own) and of an ordinary user's.
"""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import SOURCE, wait_for
from sandboxes import DAEMONS, Box, driver, sh  # noqa: F401

pytestmark = pytest.mark.usefixtures("landlock")
OLD = {"ROLLOUTS_TEST_LANDLOCK_ABI": "3"}  # Linux 6.2: neither TCP nor signals are held


class PlainBox(Box):
    def spec(self, steps, **more):
        return super().spec(steps, plain=True, **more)

    def uid_inside(self):
        return self.uid()

    @property
    def top(self):
        return self.mine / "scratch"


@pytest.fixture
def box(driver, workdir, account):
    for folder in (workdir, *workdir.parents):  # the way must be open to the worker's user
        if folder != Path("/") and folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o111)
    return PlainBox(driver, workdir, account)


TRY = """
import json, os, sys
def trial(call, *arguments):
    try:
        call(*arguments)
        return 0
    except OSError as e:
        return e.errno
"""


def test_files(box):
    """Its own places and the machine's programs; nothing else, not even of its own user."""
    other = box.mine / "other"
    other.mkdir()
    (other / "secret").write_text("secret")
    done = box.py(TRY + """
top, other = sys.argv[1:]
def read(path): open(path, "rb").read(1)
def write(path): open(path, "a").close()
print(json.dumps({
    "read": {p: trial(read, p) for p in ("/usr/bin/env", "/etc/passwd", "/proc/self/status", "/etc/hostname", other + "/secret",
                                         top + "/diff/x", f"/proc/{os.getppid()}/environ", f"/proc/{os.getppid()}/mem")},
    "list": {p: trial(os.listdir, p) for p in ("/usr", "/", "/tmp", "/dev/shm", "/dev", "/home", other, top)},
    "write": {p: trial(write, p) for p in (top + "/app/x", top + "/home/agent/x", top + "/tmp/x", top + "/x", other + "/x",
                                           "/tmp/landlock-x", "/usr/x", "/dev/shm/x", "/dev/null", "/proc/self/comm")},
    "link": trial(os.link, other + "/secret", top + "/tmp/secret"), "rename": trial(os.rename, other, top + "/tmp/other"),
    "truncate": trial(os.truncate, other + "/secret", 0), "mknod": trial(os.mknod, top + "/tmp/dev", 0o20666, os.makedev(1, 3)),
    "unlink": trial(os.unlink, other + "/secret"), "stat": trial(os.stat, other + "/secret"),
}))""", str(box.top), str(other))
    no = 13
    assert done["read"] == {"/usr/bin/env": 0, "/etc/passwd": 0, "/proc/self/status": 0, "/etc/hostname": no, f"{other}/secret": no,
                            f"{box.top}/diff/x": 2} | {k: no for k in done["read"] if k.endswith(("environ", "mem"))}
    assert done["list"] == {"/usr": 0, "/": no, "/tmp": no, "/dev/shm": no, "/dev": no, "/home": no, str(other): no, str(box.top): no}
    own = {f"{box.top}/{name}": 0 for name in ("app/x", "home/agent/x", "tmp/x")}
    assert done["write"] == own | {"/dev/null": 0} | {p: no for p in done["write"] if p not in own and p != "/dev/null"}
    assert {done[k] for k in ("link", "rename", "truncate", "mknod", "unlink")} <= {1, no, 18}, done
    assert done["stat"] == 0, "that it exists is told"
    assert (other / "secret").read_text() == "secret"


def test_no_file_is_cut_where_landlock_does_not_hold_that(box):
    """Before Linux 6.2: by a filter, for its own files as well."""
    other = box.mine / "other"
    other.write_text("secret")
    done = box.py(TRY + """
own = sys.argv[1]
file = open(own, "w")
print(json.dumps([trial(os.truncate, sys.argv[2], 0), trial(os.truncate, own, 0), trial(os.truncate, file.fileno(), 0)]))""",
                  str(box.top / "tmp/own"), str(other), env={"ROLLOUTS_TEST_LANDLOCK_ABI": "2"})
    assert done == [1, 1, 0] and other.read_text() == "secret"


def test_where_it_is_weaker(box):
    """What docs/sandbox.md says of rights and of command lines, so that it is noticed when it changes."""
    other = box.mine / "other"
    other.write_text("")
    done = box.py(TRY + """
print(json.dumps([trial(os.chmod, sys.argv[1], 0o777), len(open("/proc/1/cmdline").read())]))""", str(other))
    assert done[0] == 0 and done[1] > 0


@pytest.mark.parametrize("env", [{}, OLD], ids=["now", "before"])
def test_signals(box, env):
    """To nobody who keeps it in order, by no way; to others of the same user neither, where Landlock holds signals."""
    victim = subprocess.Popen(["sleep", "100"], user=box.uid())
    try:
        done = box.py(TRY + """
import ctypes, fcntl, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    if libc.syscall(*a) < 0:
        raise OSError(ctypes.get_errno(), "")
init = os.getppid()
holder = int(open(f"/proc/{init}/stat").read().rsplit(")", 1)[1].split()[1])
worker = int(open(f"/proc/{holder}/stat").read().rsplit(")", 1)[1].split()[1])
r, w = os.pipe()
out = {}
for name, pid in dict(init=init, holder=holder, worker=worker).items():
    out[name] = [trial(os.kill, pid, 9), trial(os.kill, -pid, 9), trial(call, 200, pid, 9), trial(call, 234, pid, pid, 9),
                 trial(os.pidfd_open, pid), trial(fcntl.fcntl, r, fcntl.F_SETOWN, pid),
                 trial(call, 302, pid, 7, None, None)]
out["all"] = trial(os.kill, -1, 9)
out["victim"] = trial(os.kill, int(sys.argv[1]), 0)
child = os.fork()
if not child:
    signal.pause()
out["child"] = trial(os.kill, child, 9)
os.waitpid(child, 0)
print(json.dumps(out))""", str(victim.pid), env=env)
        for name in ("init", "holder", "worker"):
            assert all(errno in (1, 3) for errno in done[name]), (name, done[name])
        assert (done["all"], done["child"], done["victim"]) == (1, 0, 0 if env else 1), done
    finally:
        victim.kill()
        victim.wait()


def test_it_goes_before_its_pid_1_when_memory_ends(box):
    done = box.py(TRY + """
print(json.dumps([int(open(f"/proc/{p}/oom_score_adj").read()) for p in ("self", os.getppid())]))""")
    assert done[0] == 500 > done[1]


def test_sockets(box):
    done = box.py(TRY + """
import socket as s
def make(*a): s.socket(*a).close()
print(json.dumps({
    "unix": trial(make, s.AF_UNIX), "tcp": trial(make, s.AF_INET), "udp": trial(make, s.AF_INET, s.SOCK_DGRAM), "six": trial(make, s.AF_INET6),
    "audit": trial(make, s.AF_NETLINK, s.SOCK_RAW, 9), "packet": trial(make, 17, s.SOCK_RAW), "vsock": trial(make, 40, s.SOCK_STREAM),
    "route": trial(make, s.AF_NETLINK, s.SOCK_RAW, 0), "pair": trial(s.socketpair)}))""")
    assert {done.pop("route"), done.pop("pair")} == {0}
    assert set(done.values()) == {97}, done


def test_no_new_namespace_and_no_names_of_the_machine(box):
    done = box.py(TRY + """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    if libc.syscall(*a) < 0:
        raise OSError(ctypes.get_errno(), "")
print(json.dumps([trial(call, 272, flag) for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000)] +
                 [trial(call, 56, 0x10000000 | 17, 0, 0, 0, 0), trial(call, 308, 0, 0), trial(call, 29, 0, 4096, 0o1600),
                  trial(call, 64, 0, 1, 0o1600), trial(call, 68, 0, 0o1600), trial(call, 240, b"/x", 0o102, 0o600, None)] +
                 [trial(call, 435, 0, 0)]))""")
    assert done == [1] * 11 + [38], done


class Server(threading.Thread):
    """Answers every connection to a unix socket with a word."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        os.chmod(path, 0o666)
        self.sock.listen()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.sock.accept()
                with peer:
                    peer.sendall(b"gateway")


def test_tcp_to_the_gateway_alone(box, landlock):
    if landlock < 4:
        pytest.skip("Linux before 6.7 holds no TCP: there is none")
    server, host = Server(box.workdir / "gateway.sock"), socket.create_server(("127.0.0.1", 0))
    server.start()
    done = box.run(("exec", {"argv": ["/usr/bin/python3", "-c", TRY + """
import re, socket as s
host = int(sys.argv[1])
# In use, the port is told to agents by their templates.
ports = [int(line.split()[1].split(":")[1], 16) for line in open("/proc/net/tcp") if " 0A " in line]
def connect(port):
    c = s.create_connection(("127.0.0.1", port), 5)
    out = c.recv(100)
    c.close()
    return out
answers = []
for port in set(ports):
    try:
        answers.append(connect(port).decode())
    except OSError as e:
        answers.append(e.errno)
def fast(address):
    s.socket().sendto(b"x", 0x20000000, address)
def bind():
    s.socket().bind(("127.0.0.1", 0))
print(json.dumps({"answers": answers, "host": trial(connect, host), "fast": trial(fast, ("127.0.0.1", host)), "bind": trial(bind),
                  "udp": trial(s.socket, s.AF_INET, s.SOCK_DGRAM), "mptcp": trial(s.socket, s.AF_INET, s.SOCK_STREAM, 262),
                  "sctp": trial(s.socket, s.AF_INET, s.SOCK_STREAM, 132)}))""", str(host.getsockname()[1])], "timeout_ms": 30000}),
                   gateway=str(box.workdir / "gateway.sock"))
    assert done[0]["gateway_port"] > 0
    answers = json.loads(done[1]["out"])
    assert answers.pop("answers").count("gateway") == 1
    assert answers == {"host": 13, "fast": 1, "bind": 13, "udp": 97, "mptcp": 97, "sctp": 97}
    host.setblocking(False)
    with pytest.raises(BlockingIOError):
        host.accept()


@pytest.mark.parametrize("env", [{}, OLD], ids=["now", "before"])
def test_the_deadline_ends_every_daemon_and_a_fork_bomb(box, env):
    bomb = "while :; do (setsid sh -c ':(){ :|:& }; :' &) ; sleep 0.01; done"
    py = ("exec", {"argv": ["/usr/bin/python3", "-c", DAEMONS + "time.sleep(100)"], "timeout_ms": 1000})
    done = box.run(py, ("stats", {}), sh(bomb, timeout_ms=1500), ("stats", {}), sh("echo on"), env=env,
                   limits={"pids": 200, "timeout_ms": 60000})
    assert done[1]["end"] == "timed_out" and done[2]["processes"] == 0, done
    assert done[3]["end"] == "timed_out" and done[4]["processes"] == 0, done
    assert done[5]["out"] == "on\n"
    assert of_user(box) == []


def of_user(box):
    """Processes of the box's user, where nobody else has it."""
    if not box.by_root:
        return []
    return [p for p in os.listdir("/proc") if p.isdigit() and Path(f"/proc/{p}").exists() and owner(p) == box.uid()]


def owner(pid):
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid
    return -1


def running(word):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(int(pid))
    return found


@pytest.mark.parametrize("env", [{}, OLD], ids=["now", "before"])
def test_kill_9_of_the_worker_leaves_no_process(box, env):
    mark = f"{os.getpid()}.{time.monotonic_ns() % 10 ** 9}"  # a time to sleep that is ours alone
    with box.start(sh(f"setsid sleep 1{mark} & (sleep 1{mark} &); chmod 0 $TMPDIR; echo started; sleep 1{mark}"), env=env) as child:
        json.loads(child.stdout.readline())
        wait_for(lambda: len(running(f"1{mark}")) == 3, 20)
        child.send_signal(signal.SIGKILL)
        child.wait()
        wait_for(lambda: not running(f"1{mark}") and not box.inits(), 20)
    assert box.top.exists()
    spec = box.spec([], remove=True)
    assert subprocess.run([str(box.driver), str(spec)], capture_output=True, text=True).stdout == ""
    assert not box.top.exists()


def test_limits(box):
    """Disk that cannot be looked at counts; processes count for this box, whatever else its user runs; memory is watched."""
    others = [subprocess.Popen(["sleep", "100"], user=box.uid()) for _ in range(5)]
    try:
        hidden = "mkdir d && chmod 300 d && dd if=/dev/zero of=d/x bs=1M count=80 status=none; sleep 100"
        done = box.run(sh(f"cd $TMPDIR; {hidden}"), limits={"disk_mb": 40, "timeout_ms": 60000})
        assert done[1]["end"] == "no_disk", done
        done = box.run(sh("for i in $(seq 60); do sleep 5 & done 2>&1; jobs -p | wc -l"), limits={"pids": 40, "timeout_ms": 60000})
        assert 20 <= int((re.findall(r"(\d+)$", done[1]["out"].strip()) or ["39"])[0]) <= 40 or "fork" in done[1]["out"] + done[1]["err"], done
        hog = "x = bytearray(200 << 20); import time; time.sleep(100)"
        done = box.run(("exec", {"argv": ["/usr/bin/python3", "-c", hog], "timeout_ms": 30000}), limits={"memory_mb": 64})
        assert done[1]["end"] == "no_memory", done
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_put_and_get_stay_inside(box):
    (box.mine / "secret").write_text("secret")
    top = str(box.top)
    done = box.run(sh(f"ln -s {box.mine}/secret {top}/app/link; ln -s {box.mine} {top}/app/dir; mkfifo {top}/app/fifo"),
                   ("get", {"path": f"{top}/app/link"}), ("get", {"path": f"{top}/app/dir/secret"}), ("get", {"path": f"{top}/app/fifo"}),
                   ("get", {"path": f"{box.mine}/secret"}), ("get", {"path": f"{top}/app/../../secret"}),
                   ("put", {"path": f"{box.mine}/new", "text": "x"}), ("put", {"path": f"{top}/app/dir/new", "text": "x"}),
                   ("put", {"path": f"{top}/app/a/b", "text": "good"}), ("get", {"path": f"{top}/app/a/b"}),
                   ("put", {"path": f"{top}/app/../../new", "text": "x"}))
    assert all("error" in step for step in done[2:8]) and "error" in done[11], done
    assert done[10] == {"text": "good"} and "error" not in done[8]
    assert sorted(os.listdir(box.mine)) == ["secret"]


SCRIPT = """
mkdir -p d/e; echo new > d/e/f; chmod 755 d/e/f; sed -i 's/.*/changed/' README.md; rm -rf src; ln -s /etc src; echo x > "$HOME/kept"
echo "in $PWD" > ../notes.md
chmod 100 d/e/f; chmod 0 README.md d/e d .git .; cd /
box=${TMPDIR%/tmp}; attempt=${box%/*}; chmod 0 "$box" "$attempt"/* "$attempt" "${attempt%/*}" "${attempt%/*/*}"
"""


def test_through_the_program(run_cli, workdir, make_task, make_bench, agent_script, rollout, account):
    """What was made unreadable is in the diff, grades are grades, and everything says which sandbox it was."""
    bench = make_bench({"prepared_dir": make_task(), "model": "m"}, agent=agent_script(SCRIPT, collect=["{home}/kept"]), sandbox="landlock")
    said = run_cli("run", bench.name, check=0).stdout
    assert "sandbox=landlock" in said
    [(run_id, result)] = rollout().runs.items()
    run = workdir / "data/runs" / run_id
    diff = (run / "artifacts/diff.patch").read_text()
    assert "+changed" in diff and "new file mode 100755" in diff and "new file mode 120000" in diff
    assert result["scores"] == {"works": 0, "kept": 1} and result["sandbox"] == "landlock"
    assert re.fullmatch(r"Landlock \d, " + ("a user of its own" if account is None else "the user of rollouts"), result["isolation"])
    assert (run / "artifacts/agent/home/agent/kept").read_text() == "x\n"
    assert (run / "artifacts/notes.md").read_text() == f"in {run.resolve()}/attempts/1/box/app/repo\n"
    assert not list(run.glob("attempts/*/box*"))
    assert "All 1 trial ran in a weaker sandbox (landlock)" in run_cli("summarize", "bench").stdout
    assert json.loads(run_cli("summarize", "bench", "--json").stdout)["sandboxes"] == {"landlock": 1}
    assert f"landlock (weaker: {result['isolation']})" in run_cli("show", run_id).stdout
    run_cli("run", make_bench({"prepared_dir": workdir / "tasks/greet", "model": "m"}, agent="scripted", file="local.toml", name="local").name, check=0)
    compared = run_cli("compare", "bench", "local").stdout
    assert re.search(r"sandbox.*landlock.*local", compared), compared


@pytest.mark.parametrize("who", ["root", pytest.param("ordinary", marks=pytest.mark.long)])
def test_hostile_agents_once_more(who, build_dir):
    """All of test_hostile.py's in this sandbox: none gets further, and all that falls is what has a name: unix sockets."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SOURCE / "tests/functional/test_hostile.py",
         "-k", f"hostile_agents and {who if os.geteuid() == 0 else 'ordinary'}"],
        env={**os.environ, "ROLLOUTS_TEST_SANDBOX": "landlock", "ROLLOUTS_BUILD": str(build_dir)}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_places_that_are_not_there_are_told_before(run_cli, workdir, make_task, make_bench):
    tests = [("a.sh", "works", "cat <<X >/tmp/out\nX\n"), ("b.sh", "kept", "cd /app/repo && make"), ("c.sh", "kept", "echo $HOME/tmp ./app/x lib/app/y /apple")]
    bench = make_bench(make_task(tests=tests), sandbox="landlock")
    done = run_cli("run", bench.name, check=2)
    assert "test a.sh names /tmp," in done.stderr and "test b.sh names /app," in done.stderr and "c.sh" not in done.stderr
    assert not (workdir / "data/runs").exists()


def test_caches_that_could_not_be_shown_are_told_before(run_cli, workdir, make_task, make_bench):
    closed = workdir / "closed/cache"
    closed.mkdir(parents=True)
    closed.parent.chmod(0o700)
    (workdir / "open").mkdir()
    config = make_bench(make_task(tests=[]), sandbox="landlock", caches=[f"{closed}:~/c", str(workdir / "open")])
    done = run_cli("run", config, check=2)
    assert f"cannot be shown at {workdir}/open: give it a place below the home folder" in done.stderr
    assert (f"the users that trials get cannot read {closed}" in done.stderr) == (os.geteuid() == 0)
    assert not (workdir / "data/runs").exists()


@pytest.fixture
def nowhere(workdir):
    """The environment of a machine on which no local sandbox starts."""
    (workdir / "bin").mkdir()
    (workdir / "bin/bwrap").write_text("#!/bin/sh\necho bwrap: no >&2; exit 1\n")
    (workdir / "bin/bwrap").chmod(0o755)
    return {"PATH": f"{workdir}/bin:{os.environ['PATH']}"}


def test_agents_check(run_cli, nowhere, account):
    refused = run_cli("agents", "check", "bash", env=nowhere, check=3)
    assert refused.stderr.rstrip().endswith("a weaker one would start: --allow-weaker-sandbox (docs/sandbox.md)")
    done = run_cli("agents", "check", "bash", "--allow-weaker-sandbox", env=nowhere, check=0)
    assert done.stdout.count("bash") == 4 and "works by gemini" in done.stdout
    assert 'sandbox = "landlock", weaker than local, which does not start here: ' in done.stdout
    assert "landlock" not in run_cli("agents", "check", "bash", "--allow-weaker-sandbox", check=0).stdout


def test_never_in_silence(run_cli, make_task, make_bench, rollout, nowhere):
    """With the option `auto` is still the local one where that starts; without it nothing weaker is taken where it does not."""
    bench = make_bench(make_task())
    run_cli("run", bench.name, "--allow-weaker-sandbox", check=0)
    assert [r["sandbox"] for r in rollout().runs.values()] == ["local"]
    refused = run_cli("run", bench.name, env=nowhere, check=3)
    assert refused.stderr.rstrip().endswith("a weaker one would start: --allow-weaker-sandbox (docs/sandbox.md)")
    taken = run_cli("run", bench.name, "--allow-weaker-sandbox", env=nowhere, check=0)
    assert 'sandbox = "landlock", weaker than local, which does not start here' in taken.stdout
    assert [r["sandbox"] for r in rollout().runs.values()] == ["landlock"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Container engines of the tests' own: started, filled with images made on the spot, and stopped again.

An engine lives in a mount namespace of its own, so that it leaves no mount. The images: `rollouts-test-base` holds the
host's bash, python3, pytest, git and usual programs; `rollouts-test-busybox` holds busybox alone: no bash, no libc.
"""
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

BASE, BUSYBOX = "rollouts-test-base", "rollouts-test-busybox"
PROGRAMS = """bash sh dash env cat cp mv rm ls mkdir rmdir ln chmod chown touch head tail wc cut sort uniq tr tee sleep
    true false echo printf test expr date id whoami uname hostname pwd dirname basename readlink realpath stat du df seq
    dd yes mktemp mkfifo kill ps pgrep grep egrep sed awk mawk find xargs diff cmp patch git python3 python3.11 python3.12
    python3.13 nproc od sync truncate mknod id md5sum sha256sum shuf split paste fold nl rev comm base64 getent which timeout setsid nohup tar gzip""".split()
PYTHON_PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "attr", "attrs", "pygments", "py", "exceptiongroup",
                   "tomli", "colorama", "Pygments")
PYTHON_LEFT_OUT = {"test", "idlelib", "tkinter", "lib2to3", "ensurepip", "turtledemo", "pydoc_data", "distutils"}


def unavailable(why):
    """Without an engine a test is skipped where people can see it; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


# --- images -----------------------------------------------------------------------------------------

def libraries_of(program):
    done = subprocess.run(["ldd", program], capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", done.stdout) if done.returncode == 0 else []


class Tar:
    """A root file system being written; parents and usr-merge links come by themselves."""

    def __init__(self, path):
        self.tar, self.seen = tarfile.open(path, "w"), set()
        self.merged = {name for name in ("bin", "sbin", "lib", "lib64") if os.path.islink("/" + name)}
        for name in self.merged:
            self.link(name, os.readlink("/" + name))
        for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700), ("etc", 0o755), ("proc", 0o755),
                           ("dev", 0o755), ("sys", 0o755), ("run", 0o755), ("home", 0o755)):
            self.folder(name, mode)

    def place(self, path):
        top, _, rest = path.lstrip("/").partition("/")
        return f"{os.readlink('/' + top)}/{rest}".lstrip("/") if top in self.merged and rest else path.lstrip("/")

    def entry(self, name, kind, mode=0o755):
        info = tarfile.TarInfo(name)
        info.type, info.mode = kind, mode
        self.seen.add(name)
        return info

    def folder(self, name, mode=0o755):
        parent = os.path.dirname(name)
        if parent and parent not in self.seen:
            self.folder(parent)
        if name not in self.seen:
            self.tar.addfile(self.entry(name, tarfile.DIRTYPE, mode))

    def link(self, name, target):
        info = self.entry(name, tarfile.SYMTYPE)
        info.linkname = target
        self.tar.addfile(info)

    def text(self, name, text):
        info = self.entry(name, tarfile.REGTYPE, 0o644)
        info.size = len(text)
        self.tar.addfile(info, io.BytesIO(text.encode()))

    def add(self, path, name=None):
        """A file of the host with what its links lead to, or all of a folder."""
        name = name or self.place(path)
        if name in self.seen:
            return
        self.folder(os.path.dirname(name))
        if os.path.islink(path):
            self.link(name, os.readlink(path))
            target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
            if os.path.exists(target):
                self.add(target)
        elif os.path.isdir(path):
            self.folder(name)
            for below in sorted(os.listdir(path)):
                if below not in PYTHON_LEFT_OUT and not below.startswith("config-"):
                    self.add(os.path.join(path, below), f"{name}/{below}")
        else:
            info = self.entry(name, tarfile.REGTYPE, os.stat(path).st_mode & 0o755)
            info.size = os.stat(path).st_size
            with open(path, "rb") as f:
                self.tar.addfile(info, f)

    def program(self, path):
        self.add(path)
        for library in libraries_of(path):
            self.add(library)


def make_base(path):
    tar = Tar(path)
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for name in PROGRAMS:
        found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if found:
            tar.program(found)
    stdlib = subprocess.run(["/usr/bin/python3", "-c", "import os; print(os.path.dirname(os.__file__))"],
                            capture_output=True, text=True, check=True).stdout.strip()
    tar.add(stdlib)
    for extension in Path(stdlib, "lib-dynload").glob("*.so"):
        for library in libraries_of(extension):
            tar.add(library)
    packages = Path("/usr/lib/python3/dist-packages")
    for entry in sorted(packages.iterdir()) if packages.is_dir() else []:
        if re.split(r"[-.]", entry.name)[0] in PYTHON_PACKAGES:
            tar.add(str(entry))
    tar.text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    tar.text("etc/group", "root:x:0:\n")
    tar.tar.close()
    return ["ENV PATH=" + usual, "ENV FROM_IMAGE=base", 'CMD ["/bin/bash"]']


def make_busybox(path):
    program = shutil.which("busybox")
    if not program or libraries_of(program):
        unavailable("busybox is missing or not static: install the package busybox-static")
    tar = Tar.__new__(Tar)
    tar.tar, tar.seen, tar.merged = tarfile.open(path, "w"), set(), set()
    for name in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
        tar.folder(name)
    tar.add(program, "bin/busybox")
    for applet in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            tar.link("bin/" + applet, "busybox")
    tar.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    tar.tar.close()
    return ["ENV PATH=/bin", "ENV FROM_IMAGE=busybox", 'CMD ["/bin/sh"]']


# --- engines ----------------------------------------------------------------------------------------

def wait_until(what, seconds, why):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(why)


class Engine:
    """What tests ask of either engine, through the docker client or podman's own."""
    socket = None

    @property
    def host(self):
        return f"unix://{self.socket}"

    def client(self, *args, check=True, input=None):
        done = subprocess.run(["docker", *args], env={**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"},
                              capture_output=True, text=True, input=input, timeout=120)
        assert not check or done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout.strip()

    def answers(self):
        done = subprocess.run(["curl", "-s", "--max-time", "5", "--unix-socket", self.socket, "http://d/_ping"],
                              capture_output=True, text=True)
        return done.stdout.strip() == "OK"

    def containers(self):
        """{name: state} of ours."""
        rows = self.client("ps", "--all", "--filter", "label=rollouts.worker", "--format", "{{.Names}} {{.State}}")
        return dict(row.split() for row in rows.splitlines())

    def pid(self, name):
        return int(self.client("inspect", "--format", "{{.State.Pid}}", name))

    def load(self, name, make):
        with tempfile.NamedTemporaryFile(suffix=".tar", dir=self.top) as tar:
            changes = make(tar.name)
            options = [word for change in changes for word in ("--change", change)]
            self.client("import", *options, tar.name, f"{name}:latest")


class Dockerd(Engine):
    """containerd and dockerd, apart, so that one can be killed without the other."""

    def __init__(self, live_restore=True, bridge=False):
        self.top = Path(tempfile.mkdtemp(prefix="rollouts-engine-"))
        self.socket = str(self.top / "docker.sock")
        self.group = f"rollouts-test-{os.getpid()}"
        self.live_restore, self.bridge = live_restore, bridge
        (self.top / "containerd.toml").write_text(f"""version = 2
root = "{self.top}/cd-root"
state = "{self.top}/cd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{self.top}/containerd.sock"
""")
        self.containerd = self.start("containerd", "-c", self.top / "containerd.toml")
        wait_until((self.top / "containerd.sock").exists, 60, "containerd does not start")
        self.dockerd = None
        self.up()

    def start(self, *command):
        log = open(self.top / f"{command[0]}.log", "a")
        # In one mount namespace for both: the second program joins the first one's.
        enter = ["unshare", "--mount", *(["--net"] if self.bridge else []), "--propagation", "slave"] \
            if command[0] == "containerd" else self.enter
        with log:
            return subprocess.Popen([*enter, *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    start_new_session=True, env={**os.environ, "TMPDIR": "/tmp"})

    @property
    def enter(self):
        """What runs a command where the engine does: its mounts, and its network where it has one of its own."""
        net = [f"--net=/proc/{self.containerd.pid}/ns/net"] if self.bridge else []
        return ["nsenter", f"--mount=/proc/{self.containerd.pid}/ns/mnt", *net]

    def up(self):
        for name in ("dockerd.pid", "docker.sock"):
            (self.top / name).unlink(missing_ok=True)
        options = (["--live-restore"] if self.live_restore else []) + ([] if self.bridge else ["--bridge=none"])
        self.dockerd = self.start(
            "dockerd", f"--containerd={self.top}/containerd.sock", "-H", self.host, f"--data-root={self.top}/root",
            f"--exec-root={self.top}/run", "-p", self.top / "dockerd.pid", "--iptables=false", "--ip6tables=false",
            "--ip-forward=false", "--storage-driver=overlay2", f"--cgroup-parent={self.group}", *options)
        wait_until(self.answers, 60, "dockerd does not start: " + (self.top / "dockerd.log").read_text()[-2000:])

    def kill(self):
        self.dockerd.kill()
        self.dockerd.wait()

    def stop(self):
        with contextlib.suppress(Exception):
            left = self.client("ps", "--all", "--quiet", check=False).split()
            if left:
                self.client("rm", "--force", *left, check=False)
        for process in (self.dockerd, self.containerd):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for group in Path("/sys/fs/cgroup").glob(f"*/{self.group}"):
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.top, ignore_errors=True)


def start_dockerd(**options):
    missing = [name for name in ("dockerd", "containerd", "runc", "docker", "curl") if not shutil.which(name)]
    if os.geteuid() != 0:
        unavailable("an engine of our own needs root")
    if missing:
        unavailable(f"not installed: {' '.join(missing)} (tools/setup engine)")
    return Dockerd(**options)


class Podman(Engine):
    """Podman's service with its own storage: the tolerant second."""

    def __init__(self):
        self.top = Path(tempfile.mkdtemp(prefix="rollouts-engine-"))
        self.socket = str(self.top / "podman.sock")
        (self.top / "containers.conf").write_text("""[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
""")
        with open(self.top / "podman.log", "w") as log:
            self.service = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "slave", "podman", "--root", self.top / "root", "--runroot",
                 self.top / "run", "--tmpdir", self.top / "tmp", "system", "service", "--time", "0", self.host],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.top,
                env={**os.environ, "CONTAINERS_CONF": str(self.top / "containers.conf"), "TMPDIR": "/tmp"})
        wait_until(self.answers, 60, "podman does not start: " + (self.top / "podman.log").read_text()[-2000:])

    def stop(self):
        with contextlib.suppress(Exception):
            left = self.client("ps", "--all", "--quiet", check=False).split()
            if left:
                self.client("rm", "--force", *left, check=False)
        self.service.send_signal(signal.SIGTERM)
        try:
            self.service.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.service.kill()
            self.service.wait()
        shutil.rmtree(self.top, ignore_errors=True)


def start_podman():
    missing = [name for name in ("podman", "runc", "conmon", "docker", "curl") if not shutil.which(name)]
    if os.geteuid() != 0:
        unavailable("an engine of our own needs root")
    if missing:
        unavailable(f"not installed: {' '.join(missing)} (tools/setup engine)")
    return Podman()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Container engines of the tests' own: started, filled with images made on the spot, and stopped again.

An engine lives in a mount namespace of its own, so that it leaves no mount. The images: `rollouts-test-base` holds the
host's bash, python3, pytest, git, all of glibc, libstdc++ and usual programs; `rollouts-test-busybox` holds busybox alone: no bash, no libc;
`rollouts-test-languages`, made where a test asks for it, the base with the host's node, perl, php and gcc.
"""
import contextlib
import io
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import pytest

BASE, BUSYBOX, LANGUAGES = "rollouts-test-base", "rollouts-test-busybox", "rollouts-test-languages"
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


def make_base(path, more=None):
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
    for library in ("libstdc++.so.6", "librt.so.1", "libpthread.so.0", "libdl.so.2", "libm.so.6"):  # for node, claude
        for path in Path("/usr/lib").glob(f"{os.uname().machine}-*/{library}"):
            tar.program(str(path))
    tar.text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    tar.text("etc/group", "root:x:0:\n")
    if more:
        more(tar)
    tar.tar.close()
    return ["ENV PATH=" + usual, "ENV FROM_IMAGE=base", 'CMD ["/bin/bash"]']


def add_languages(tar):
    """Those of this machine: what is missing is missed."""
    lib = f"/usr/lib/{os.uname().machine}-linux-gnu"
    for name in ("node", "perl", "php", "gcc", "g++", "cc", "c++", "as", "ld", "make", "ar"):
        if shutil.which(name, path="/usr/bin"):
            tar.program(f"/usr/bin/{name}")
    for name in ("/etc/alternatives/php", f"{lib}/perl", f"{lib}/perl-base", "/usr/share/perl", "/usr/lib/php", "/etc/php", "/usr/include"):
        if os.path.exists(name):
            tar.add(name)
    for folder in sorted(Path("/usr/lib/gcc").glob("*/*")):
        tar.add(str(folder))
        for program in ("cc1", "cc1plus", "collect2", "lto-wrapper"):
            tar.program(f"{folder}/{program}")
    for pattern in ("*crt*.o", "libc.so*", "libm.so*", "libm.a", "libmvec*", "libc_nonshared.a", "libgcc_s*", "libpthread*", "libdl*", "librt*",
                    "libutil*", "libstdc++*", "libasan*", "libubsan*"):
        for path in sorted(Path(lib).glob(pattern)):
            tar.program(str(path))


def make_languages(path):
    return make_base(path, add_languages)


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


def wait_until(what, seconds, why):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(why)


LIVING = set()  # processes that outlive a test on purpose


def start_server(*args, **more):
    process = subprocess.Popen(*args, **more)
    LIVING.add(process.pid)
    return process


class Server:
    """Ends with its `with`."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        for pid in list(LIVING):  # the number may be another's soon
            if not os.path.exists(f"/proc/{pid}"):
                LIVING.discard(pid)


class Engine(Server):
    """What tests ask of either engine, through the docker client."""

    def __init__(self, host):
        self.socket = host.removeprefix("unix://")

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
        """0: it has ended, or is gone."""
        return int(self.client("inspect", "--format", "{{.State.Pid}}", name, check=False) or 0)

    def load(self, name, make):
        with tempfile.NamedTemporaryFile(suffix=".tar", dir=self.top) as tar:
            changes = make(tar.name)
            options = [word for change in changes for word in ("--change", change)]
            self.client("import", *options, tar.name, f"{name}:latest")

    def remove_containers(self):
        with contextlib.suppress(Exception):
            left = self.client("ps", "--all", "--quiet", check=False).split()
            if left:
                self.client("rm", "--force", *left, check=False)


class Dockerd(Engine):
    """containerd and dockerd, apart, so that one can be killed without the other."""

    def __init__(self, live_restore=True, bridge=False, maps_users=False):
        self.top = Path(tempfile.mkdtemp(prefix="rollouts-engine-"))
        super().__init__(str(self.top / "docker.sock"))
        self.group = f"rollouts-test-{os.getpid()}"
        self.bridge = bridge
        self.options = (["--live-restore"] if live_restore else []) + ([] if bridge else ["--bridge=none"])
        (self.top / "containerd.toml").write_text(f"""version = 2
root = "{self.top}/cd-root"
state = "{self.top}/cd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{self.top}/containerd.sock"
""")
        self.top.chmod(0o711)  # ordinary users of tests may speak to it
        self.containerd = self.start("containerd", "-c", self.top / "containerd.toml")
        wait_until((self.top / "containerd.sock").exists, 60, "containerd does not start")
        if maps_users:
            self.options += ["--userns-remap=nobody:nogroup"]
            for path in ("/etc/subuid", "/etc/subgid"):
                self.show(path, "nobody:100000:65536\nnogroup:100000:65536\n")
        self.dockerd = None
        self.up()

    def show(self, path, text):
        """A file of the machine as the engine alone sees it."""
        own = self.top / os.path.basename(path)
        own.write_text(text)
        Path(path).touch()
        subprocess.run(["nsenter", f"--mount=/proc/{self.containerd.pid}/ns/mnt", "mount", "--bind", own, path], check=True)

    def start(self, *command):
        log = open(self.top / f"{command[0]}.log", "a")
        # In one mount namespace for both: the second program joins the first one's.
        enter = ["unshare", "--mount", *(["--net"] if self.bridge else []), "--propagation", "slave"] \
            if command[0] == "containerd" else self.enter
        with log:
            return start_server([*enter, *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    start_new_session=True, env={**os.environ, "TMPDIR": "/tmp"})

    @property
    def enter(self):
        """What runs a command where the engine does: its mounts, and its network where it has one of its own."""
        net = [f"--net=/proc/{self.containerd.pid}/ns/net"] if self.bridge else []
        return ["nsenter", f"--mount=/proc/{self.containerd.pid}/ns/mnt", *net]

    def up(self):
        for name in ("dockerd.pid", "docker.sock"):
            (self.top / name).unlink(missing_ok=True)
        self.dockerd = self.start(
            "dockerd", f"--containerd={self.top}/containerd.sock", "-H", self.host, f"--data-root={self.top}/root",
            f"--exec-root={self.top}/run", "-p", self.top / "dockerd.pid", "--iptables=false", "--ip6tables=false",
            "--ip-forward=false", "--storage-driver=overlay2", f"--cgroup-parent={self.group}", *self.options)
        wait_until(self.answers, 60, "dockerd does not start: " + (self.top / "dockerd.log").read_text()[-2000:])
        os.chmod(self.socket, 0o666)

    def shims(self):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0].endswith(b"containerd-shim-runc-v2") and str(self.top / "containerd.sock").encode() in words:
                    yield int(path.parent.name)

    def check_alive(self):
        """A test that finds a dead engine says how it died, and of what."""
        for name, process in (("dockerd", self.dockerd), ("containerd", self.containerd)):
            status = process.poll()
            log = (self.top / f"{name}.log").read_text(errors="replace")[-3000:]
            assert status is None, f"{name} of these tests has ended with {status}; its last words:\n{log}"

    def kill(self):
        self.dockerd.kill()
        self.dockerd.wait()

    def stop(self):
        self.remove_containers()
        for process in (self.dockerd, self.containerd):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for shim in self.shims():  # of a container that a killed dockerd forgot
            for path in Path(f"/proc/{shim}/task").glob("*/children"):  # made, and never started
                for child in path.read_text().split():
                    os.kill(int(child), signal.SIGKILL)
            os.kill(shim, signal.SIGKILL)
        for group in Path("/sys/fs/cgroup").glob(f"*/{self.group}"):
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.top, ignore_errors=True)


def need(*programs):
    missing = [name for name in programs if not shutil.which(name)]
    if os.geteuid() != 0:
        unavailable("an engine of our own needs root")
    if missing:
        unavailable(f"not installed: {' '.join(missing)} (tools/setup engine)")


def start_dockerd(**options):
    need("dockerd", "containerd", "runc", "docker", "curl")
    return Dockerd(**options)


class Podman(Engine):
    """Podman's service with its own storage: the tolerant second."""

    def __init__(self, user=None):
        self.top = Path(tempfile.mkdtemp(prefix="rollouts-engine-"))
        super().__init__(str(self.top / "podman.sock"))
        (self.top / "containers.conf").write_text("""[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
""")
        self.top.chmod(0o711)
        become, self.rootless = [], bool(user)
        if user:
            # With the one user a namespace of its own can map; its helpers end with it.
            shutil.chown(self.top, user, user)
            become = ["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "mount --bind /dev/null /etc/subuid; "
                      "mount --bind /dev/null /etc/subgid; exec \"$@\"", "sh", "setpriv", f"--reuid={user}", f"--regid={user}",
                      "--clear-groups", "env", f"HOME={self.top}", f"XDG_RUNTIME_DIR={self.top}"]
        with open(self.top / "podman.log", "w") as log:
            self.service = start_server(
                ["unshare", "--mount", "--propagation", "slave", *become, "podman", "--root", self.top / "root", "--runroot",
                 self.top / "run", "--tmpdir", self.top / "tmp", "system", "service", "--time", "0", self.host],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.top,
                env={**os.environ, "CONTAINERS_CONF": str(self.top / "containers.conf"), "TMPDIR": str(self.top)})
        wait_until(self.answers, 60, "podman does not start: " + (self.top / "podman.log").read_text()[-2000:])
        os.chmod(self.socket, 0o666)

    def stop(self):
        self.remove_containers()
        if self.rootless:  # with its first process goes the namespace
            first = Path(f"/proc/{self.service.pid}/task/{self.service.pid}/children").read_text()
            os.kill(int(first), signal.SIGKILL)
        else:
            self.service.terminate()
        try:
            self.service.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.service.kill()
            self.service.wait()
        shutil.rmtree(self.top, ignore_errors=True)


def start_podman(**options):
    need("podman", "runc", "conmon", "docker", "curl")
    return Podman(**options)


class Registry(Server):
    """A plain one on 127.0.0.1, for which Docker wants no TLS."""

    def __init__(self):
        self.top = Path(tempfile.mkdtemp(prefix="rollouts-registry-"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        (self.top / "config.yml").write_text(
            f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {self.top}/images\n"
            f"http:\n  addr: {self.host}\n")
        with open(self.top / "log", "w") as log:
            self.process = start_server(["docker-registry", "serve", self.top / "config.yml"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.answers, 60, "docker-registry does not start")

    def answers(self):
        return subprocess.run(["curl", "-sf", "--max-time", "5", f"http://{self.host}/v2/"], capture_output=True).returncode == 0

    def push(self, engine, image, name):
        """IMAGE and a layer more, which only the registry has afterwards. Returns its digest."""
        full = f"{self.host}/{name}"
        (self.top / "more").mkdir(exist_ok=True)
        (self.top / "more/layer").write_text(name)
        (self.top / "more/Dockerfile").write_text(f"FROM {image}\nCOPY layer /layer\n")
        engine.client("build", "--tag", full, str(self.top / "more"))
        said = engine.client("push", full)
        engine.client("rmi", full)
        return re.search(r"digest: (sha256:[0-9a-f]{64})", said)[1]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.top, ignore_errors=True)


def start_registry():
    if not shutil.which("docker-registry"):
        unavailable("not installed: docker-registry (tools/setup engine)")
    return Registry()


class Faulty(Server):
    """In front of a registry: answers all with FAULT, and hands them on when that is None. It is an HTTP status with its headers
    ("429 X\\r\\nRetry-After: 3") or "reset"."""

    def __init__(self, registry, fault):
        self.fault, self.behind = fault, registry.host.split(":")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=self.answer, args=self.listener.accept()[:1], daemon=True).start()

    def answer(self, client):
        with client, contextlib.suppress(OSError):
            asked = client.recv(65536)
            if asked[:1] == b"\x16":  # TLS is tried before
                return
            fault = self.fault
            if fault:
                if fault == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                client.sendall(f"HTTP/1.1 {fault}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            with socket.create_connection((self.behind[0], int(self.behind[1]))) as real:
                real.sendall(asked)
                threading.Thread(target=self.carry, args=(client, real), daemon=True).start()
                self.carry(real, client)

    @staticmethod
    def carry(source, sink):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.listener.close()

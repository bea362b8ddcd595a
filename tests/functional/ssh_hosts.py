# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines to be reached over ssh, each a mount, a process and a network namespace of this one, with a home folder, a /tmp and a /var/cache of its own.
There is no listening port: ssh's ProxyCommand starts `sshd -i` in there. A host is cut off by ending, or stopping, that."""
import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

import engines

INIT = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(flush=True); signal.pause()"
SSHD = """\
HostKey /run/etc/host
AuthorizedKeysFile /run/etc/authorized
PermitRootLogin yes
StrictModes no
UsePAM no
PasswordAuthentication no
PermitUserEnvironment no
MaxSessions 10
"""


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Host:
    def __init__(self, name, top):
        self.name, self.top = name, top
        inside = ("mount -t tmpfs none /run && mkdir /run/sshd && cp -r $TOP/etc /run/etc && chmod 600 /run/etc/* && mount -t tmpfs none /root &&"
                  " mount -t tmpfs none /tmp && mount -t tmpfs none /var/cache && chmod 1777 /tmp && ip link set lo up && hostname $NAME && exec /usr/bin/python3 -c \"$INIT\"")
        self.start_argv = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc", "--propagation",
                           "private", "sh", "-c", inside]
        self.start()

    def start(self):
        self.outer = subprocess.Popen(self.start_argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=open(self.top / "log", "ab"), cwd="/",
                                      env={**os.environ, "TOP": str(self.top), "INIT": INIT, "NAME": self.name})
        engines.LIVING.add(self.outer.pid)
        assert self.outer.stdout.readline(), "the host did not start"
        self.pid = int(Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()[0])
        self.plug()

    def plug(self):
        gate = self.top / f"gate-{self.name}"
        gate.with_suffix(".new").write_text(
            f"#!/bin/sh\nexec nsenter --target {self.pid} --mount --pid --net --uts -- /usr/sbin/sshd -i -f /run/etc/sshd_config 2>/dev/null\n")
        gate.with_suffix(".new").chmod(0o755)
        gate.with_suffix(".new").rename(gate)

    def unplug(self, silently=False):
        """No connection is made any more; those that there are break, or fall silent."""
        gate = self.top / f"gate-{self.name}"
        gate.with_suffix(".new").write_text("#!/bin/sh\nexit 1\n")
        gate.with_suffix(".new").chmod(0o755)
        gate.with_suffix(".new").rename(gate)
        servers = self.pids("sshd")
        # nsenter stops itself with its child: it is ended with it.
        self.silent = servers + [p for p in map(parent, servers) if Path(f"/proc/{p}/comm").read_text() == "nsenter\n"]
        for pid in servers:
            os.kill(pid, signal.SIGSTOP if silently else signal.SIGKILL)

    def replug(self):
        """What fell silent breaks at last; connections are made again."""
        for pid in self.silent:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.plug()

    def pids(self, name):
        """Of its processes with that name, here."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for p in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(p / "ns/pid") == space and (p / "comm").read_text().strip() == name:
                    found.append(int(p.name))
            except OSError:
                continue
        return found

    @property
    def cache(self):
        return Path(f"/proc/{self.pid}/root/var/cache/rollouts-hosts")

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        self.outer.wait()
        self.outer.stdout.close()
        engines.LIVING.discard(self.outer.pid)


class Hosts:
    """HOSTS.settings(): the table [launcher.ssh] that leads to them."""

    def __init__(self, *names):
        self.folder = tempfile.TemporaryDirectory(prefix="rollouts-ssh-")
        self.top = Path(self.folder.name)
        (self.top / "etc").mkdir()
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.top / key], check=True)
        (self.top / "etc/sshd_config").write_text(SSHD)
        (self.top / "etc/host").write_bytes((self.top / "host").read_bytes())
        (self.top / "etc/authorized").write_bytes((self.top / "user.pub").read_bytes())
        key = " ".join((self.top / "host.pub").read_text().split()[:2])
        (self.top / "known").write_text("".join(f"{n} {key}\n" for n in names))
        (self.top / "config").write_text(f"Host *\n  User root\n  IdentityFile {self.top}/user\n  IdentitiesOnly yes\n"
                                         f"  UserKnownHostsFile {self.top}/known\n  GlobalKnownHostsFile /dev/null\n"
                                         f"  ProxyCommand {shlex.quote(str(self.top))}/gate-%h\n")
        self.hosts = {n: Host(n, self.top) for n in names}

    def __getitem__(self, name):
        return self.hosts[name]

    def settings(self, slots=2, **more):
        more = {"hosts": [{"host": n, "slots": slots} for n in self.hosts], "options": [f"-F{self.top}/config"], **more}
        return more

    def stop(self):
        for host in self.hosts.values():
            host.stop()
        self.folder.cleanup()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of ssh that are not as they should be: told before anything starts, or kept away from trials."""
import subprocess
from pathlib import Path

import pytest

from conftest import put
from launching import events
from test_ssh import far, hosts, pytestmark  # noqa: F401


def inside(host, script):
    return subprocess.run(["nsenter", f"--target={host.pid}", "--mount", "--pid", "--net", "--uts", "sh", "-c", script], check=True,
                          capture_output=True, text=True)


@pytest.fixture
def changed(hosts):  # noqa: F811
    """changed(path, text): a file of the hosts' ssh, put back afterwards."""
    kept = {}

    def change(name, text):
        path = hosts.top / name
        kept.setdefault(path, path.read_text())
        path.write_text(text)

    yield change
    for path, text in kept.items():
        path.write_text(text)


def test_a_host_key_that_changed(run_cli, far, hosts, changed):  # noqa: F811
    """One line with ssh's reason; no rollout, and nothing waits for an answer."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hosts.top / "other"], check=True)
    other = " ".join((hosts.top / "other.pub").read_text().split()[:2])
    changed("known", "".join(f"{name} {other}\n" for name in hosts.hosts))
    done = run_cli("run", far(), check=3)
    assert "launcher ssh: no host can be used: ann: Host key verification failed." in done.stderr and len(done.stderr.splitlines()) == 1
    changed("known", "")  # nobody has accepted it
    done = run_cli("run", far(name="second"), check=3)
    assert "ann: Host key verification failed." in done.stderr
    changed("config", (hosts.top / "config").read_text().replace("IdentityFile", "#"))
    changed("known", f"* {' '.join((hosts.top / 'host.pub').read_text().split()[:2])}\n")
    done = run_cli("run", far(name="third"), check=3)
    assert "ann: root@ann: Permission denied (publickey" in done.stderr


def test_a_login_shell_that_talks(run_cli, far, hosts, rollout, workdir):  # noqa: F811
    """What a shell's startup files print on either stream goes to nobody's protocol."""
    for host in hosts.hosts.values():
        inside(host, "for f in .bashrc .profile .bash_profile; do printf 'echo Welcome to this host\\necho ready 0 /etc\\necho ouch >&2\\n' >/root/$f; done")
    try:
        run_cli("run", far(rollouts=2, parallel=2), check=0)
    finally:
        for host in hosts.hosts.values():
            inside(host, "rm -f /root/.bashrc /root/.profile /root/.bash_profile")
    assert [r["total_score"] for r in rollout("far").runs.values()] == [1.0] * 2
    assert not [p for h in hosts.hosts.values() for p in Path(f"/proc/{h.pid}/root/etc").glob(".cache")]


@pytest.mark.long
def test_hosts_without_our_sandbox_and_without_room(run_cli, far, hosts, rollout, workdir):  # noqa: F811
    """They get no such trial, and doctor tells before; one of another processor is not used at all."""
    ann, bob = hosts["ann"], hosts["bob"]
    inside(ann, "mount -t tmpfs none /usr/local/bin && printf '#!/bin/sh\\nexit 1\\n' >/usr/local/bin/bwrap && chmod 755 /usr/local/bin/bwrap")
    try:
        path = far(rollouts=4, parallel=4)
        done = run_cli("run", path, check=0)
        assert "ann: our sandbox does not start there: " in done.stderr
        t = rollout("far")
        assert [r["attempt"] for r in t.runs.values()] == [1] * 4
        assert {e["job"].partition("/")[0] for e in events(t.dir, "submitted") if "/" in e["job"]} == {"bob"}
        told = run_cli("doctor", "--launcher", "ssh", "--config", path).stdout
        assert [line for line in told.splitlines() if "ssh ann" in line and "our sandbox does not start there" in line], told
        assert [line for line in told.splitlines() if "ssh bob" in line and "2 trials at once" in line], told
        inside(bob, "mount -t tmpfs -o size=200m none /mnt && mount --bind /mnt /var/cache")
        done = run_cli("run", far(name="full"), check=1)
        assert "no host takes it: ann: our sandbox does not start there" in done.stdout and "MB are free in /var/cache/rollouts-hosts there" in done.stdout
    finally:
        inside(bob, "umount /var/cache /mnt || true")
        inside(ann, "umount /usr/local/bin")
    inside(ann, "mount -t tmpfs none /usr/local/bin && printf '#!/bin/sh\\necho riscv64\\n' >/usr/local/bin/uname && chmod 755 /usr/local/bin/uname")
    try:
        done = run_cli("run", far(name="other"), check=0)
        assert "ann: it is a riscv64, and our programs are for " in done.stderr
    finally:
        inside(ann, "umount /usr/local/bin")

# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent inside a local sandbox can do, and that nothing else is possible."""
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from conftest import ENGINE
from sandboxes import IMAGE_ENV, PY, box, driver, plain, sh  # noqa: F401 (fixtures)

FILTER = pytest.mark.local("a container has its engine's own system call filter")


def test_a_command(box):
    opened, done, failed = box.run(
        ("exec", {"argv": ["sh", "-c", "echo out; echo err >&2; id -un; pwd; cat; umask; hostname"],
                  "cwd": "/tmp", "input": "in\n"}), sh("exit 3"))
    assert opened["workspace"] == "none" and opened["limits_held"] in ("watched", "cgroup", "engine")
    assert done["end"] == "exited" and done["status"] == 0
    assert done["out"] == "out\nagent\n/tmp\nin\n0022\nbox\n" and done["err"] == "err\n"
    assert failed["end"] == "exited" and os.waitstatus_to_exitcode(failed["status"]) == 3


def test_nobody_runs_as_somebody_else(plain):
    """A user that is not there, or that PID 1 may not become, is told and runs nothing; the sandbox goes on."""
    unknown, root, after = plain.run(*(("exec", {"argv": ["id"], "user": user}) for user in ("no-such-user", "root")),
                                     sh("id -un"))[1:]
    if ENGINE:
        assert unknown["error"] == 'the image has no user "no-such-user"'
        assert root["error"] == "prepare a command in the sandbox: Operation not permitted"
    else:
        for user, done in (("no-such-user", unknown), ("root", root)):
            assert done["error"] == (f'a local sandbox has one user, it cannot run a command as "{user}": '
                                     'set sandbox = "docker"')
    assert after["out"] == "agent\n"


def test_the_environment_is_exactly_what_was_given(plain):
    done = plain.run(("exec", {"argv": ["env"], "env": ["PATH=/usr/bin", "A=1"]}),
                     env={"OPENAI_API_KEY": "sk-secret"})[1]
    assert sorted(done["out"].split()) == sorted(["A=1", "PATH=/usr/bin", *IMAGE_ENV])


def test_path_of_the_commands_own_environment(plain):
    done = plain.run(sh("mkdir /tmp/bin; printf '#!/bin/sh\necho mine' > /tmp/bin/x; chmod +x /tmp/bin/x"),
                     ("exec", {"argv": ["x"], "env": ["PATH=/nonexistent:/tmp/bin"]}),
                     ("exec", {"argv": ["x"], "env": ["PATH=/usr/bin"]}))
    assert done[2]["out"] == "mine\n"
    assert done[3]["end"] == "not_found" and done[3]["text"] == "x: No such file or directory"


def test_what_cannot_be_started(plain):
    done = plain.run(("exec", {"argv": ["/etc/passwd"]}), ("exec", {"argv": ["true"], "cwd": "/nowhere"}),
                     ("exec", {"argv": ["sh", "-c", "exit 127"]}))
    assert done[1]["end"] == "not_found" and done[1]["text"] == "/etc/passwd: Permission denied"
    assert done[2]["end"] == "not_found"
    assert done[2]["text"] == "cannot enter /nowhere: No such file or directory"
    assert done[3]["end"] == "exited" and os.waitstatus_to_exitcode(done[3]["status"]) == 127


def test_arguments_larger_than_a_message(plain):
    big = "x" * 120000
    done = plain.run(("exec", {"argv": ["printf", "%s%s%s", big, big, big]}))[1]
    assert done["status"] == 0 and done["out"] == big * 3


def test_a_signal_ends_a_command(plain):
    done = plain.sh("kill -SEGV $$")
    assert os.WTERMSIG(done["status"]) == signal.SIGSEGV and not os.WCOREDUMP(done["status"])


def test_signals_are_reset(plain):
    # five sets of capabilities and SigBlk, SigIgn, SigCgt; pending ones are empty too
    assert plain.sh("exec cat /proc/self/status")["out"].count(":\t" + "0" * 16) >= 8


def test_stats(plain):
    # Counted once both have said that they are there: a process in the middle of exec has no memory.
    two = "mkfifo /tmp/up /tmp/never; exec 3<>/tmp/up; " + \
          "for i in 1 2; do (echo up >&3; read x </tmp/never) & done; read a <&3; read b <&3"
    done = plain.run(sh(two, leave=True), ("stats", {}), sh("true"), ("stats", {}))
    assert done[2]["processes"] == 2 and done[2]["memory"] > 100000
    assert done[4]["processes"] == 0


def test_background_processes_go_on_only_if_left(plain):
    done = plain.run(sh("echo x; sleep 100 & until grep -q sleep /proc/$!/comm; do :; done", leave=True), sh("pgrep -c sleep", leave=True),
                     sh("true"), sh("pgrep -c sleep"))
    assert done[1]["out"] == "x\n" and done[1]["wall_ms"] < 5000
    assert done[2]["out"] == "1\n"
    assert done[4]["out"] == "0\n"


def test_cpu_and_wall_time_are_counted(plain):
    done = plain.py("import time, json\nwhile time.process_time() < 0.3: pass\nprint(json.dumps(1))")
    assert done == 1
    done = plain.run(("exec", {"argv": [PY, "-c", "import time\nwhile time.process_time() < 0.3: pass"]}))[1]
    assert done["cpu_ms"] >= 300 and done["wall_ms"] >= 300


def test_no_privileges(box):
    status = dict(line.split(":\t", 1) for line in box.sh("cat /proc/self/status")["out"].splitlines())
    assert {status[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    me = str(box.uid_inside())
    assert status["Uid"].split() == [me] * 4 and status["Gid"].split() == [me] * 4
    assert status["Groups"].split() in ([me], [])


def test_pid_1_cannot_be_touched(box):
    found = box.py("""
import ctypes, json, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    ctypes.set_errno(0)
    r = libc.syscall(*a)
    return ctypes.get_errno() if r < 0 else 0
def read(path):
    try:
        return len(open(path, 'rb').read())
    except OSError as e:
        return e.errno
def names(path):
    try:
        return os.listdir(path)
    except OSError as e:
        return e.errno
for s in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV, signal.SIGCHLD):
    os.kill(1, s)
buf = ctypes.create_string_buffer(8)
pidfd = os.pidfd_open(1)
print(json.dumps({
  'attach': call(101, 16, 1, 0, 0), 'seize': call(101, 0x4206, 1, 0, 0),
  'getfd': [call(438, pidfd, fd, 0) for fd in range(3, 16)],
  'files': {f: read('/proc/1/' + f) for f in ('environ', 'maps', 'mem', 'auxv', 'stack', 'io')},
  'fds': names('/proc/1/fd'), 'cwd': names('/proc/1/cwd/'), 'root': names('/proc/1/root/'),
}))""")
    assert found["attach"] == found["seize"] == 1  # EPERM
    assert set(found["getfd"]) == {1}
    assert set(found["files"].values()) <= {1, 13}, found
    assert found["fds"] == found["cwd"] == found["root"] == 13, found


@pytest.mark.local("the image has no gdb")
def test_gdb_cannot_attach(plain):
    if not Path("/usr/bin/gdb").exists():
        assert "gdb" not in plain.sh("ls /usr/bin")["out"].split()
        return
    done = plain.sh("gdb -p 1 -batch -ex 'print 1' 2>&1")
    assert "not permitted" in done["out"] and "$1 = 1" not in done["out"].split("not permitted")[0]


def test_no_host_environment_anywhere(box):
    done = box.sh("env; cat /proc/*/environ | tr '\\0' '\\n'", env={"OPENAI_API_KEY": "sk-secret"})
    assert "PATH=" in done["out"] and "sk-secret" not in done["out"] and "OPENAI" not in done["out"]


def test_no_descriptor_leaks(box):
    secret = box.mine / "secret"
    secret.write_text("sk-secret")
    done = box.sh("ls -l /proc/self/fd | grep -v total | wc -l; ls -l /proc/*/fd 2>/dev/null",
                  leak=str(secret))
    # 0, 1, 2 and the directory being listed
    assert done["out"].splitlines()[0] == "4", done["out"]
    assert "secret" not in done["out"] and "socket:" not in done["out"]


def test_the_control_socket_cannot_be_connected_to(box):
    """It has no name, or the name of a file that is gone, in a folder nobody can write."""
    found = box.py("""
import glob, json, socket
names = [line.split(None, 7)[7].rstrip() for line in open('/proc/net/unix') if '/' in line]
def connect(path):
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(path)
        return 0
    except OSError as e:
        return e.errno
print(json.dumps([connect(p) for n in names for p in (n, '\\0' + n, '/.rollouts/ctl/s')]))""")
    assert set(found) <= {2, 111}, found


def test_only_our_own_processes_are_seen(box):
    done = box.sh("ls /proc | grep -c '^[0-9]'; cat /proc/1/comm")
    assert int(done["out"].split()[0]) <= 5 and done["out"].split()[1] == "init"


def test_the_log_belongs_to_the_worker(box):
    done = box.run(sh("echo first; : > /proc/self/fd/1; echo second; readlink /proc/self/fd/1; "
                      "echo third > /dev/stdout", log="mine/log"),
                   sh("yes | head -c 100000000", log="mine/big", log_cap=65536))
    assert (box.mine / "log").read_text().splitlines()[:2] == ["first", "second"]
    assert "pipe:" in (box.mine / "log").read_text() and "third" in (box.mine / "log").read_text()
    assert done[2]["status"] == 0
    assert 131072 <= (box.mine / "big").stat().st_size < 140000


def test_no_new_user_namespace(box):
    found = box.py("""
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
def unshare(flags):
    return ctypes.get_errno() if libc.unshare(flags) else 0
mount = ctypes.get_errno() if libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) else 0
print(json.dumps([unshare(f) for f in (0x10000000, 0x10000000 | 0x20000, 0x20000, 0x40000000)] + [mount]))""")
    assert 0 not in found, found
    assert box.sh("unshare -Ur true")["status"] != 0


@pytest.mark.local("the image has no such program; no-new-privileges is looked at by test_no_privileges")
def test_setuid_programs_are_harmless(box):
    found = box.py("""
import json, os, subprocess
special = [os.path.join('/usr/bin', n) for n in os.listdir('/usr/bin')
           if os.lstat(os.path.join('/usr/bin', n)).st_mode & 0o6000]
mounts = [l.split() for l in open('/proc/self/mountinfo')]
print(json.dumps({
  'special': special,
  'uids': [subprocess.run(['sh', '-c', 'exec "$0" --version >/dev/null 2>&1; true', p]).returncode for p in special],
  'su': subprocess.run(['su', '-c', 'id -u'], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout,
  'suid_mounts': [m[4] for m in mounts if 'nosuid' not in m[5].split(',')],
  'dev_mounts': [m[4] for m in mounts if 'nodev' not in m[5].split(',') and not m[4].startswith('/dev/')],
}))""")
    assert found["special"], "there should be some set-uid program to try"
    assert "0" not in found["su"]
    assert found["suid_mounts"] == [] and found["dev_mounts"] == []


def test_the_file_system_is_read_only_but_for_its_own_places(box):
    found = box.py("""
import json, os
def can_write(d):
    try:
        open(os.path.join(d, 'probe'), 'w').close()
        return True
    except OSError:
        return False
dirs = ['/', '/usr', '/usr/local', '/bin', '/lib', '/etc', '/etc/ssl', '/dev', '/proc', '/home', '/var', '/.rollouts',
        '/app', '/tmp', '/var/tmp', '/home/agent', '/dev/shm', '/run']
print(json.dumps({d: can_write(d) for d in dirs}))""")
    writable = {d for d, can in found.items() if can}
    assert writable == {"/app", "/tmp", "/var/tmp", "/home/agent", "/dev/shm", "/run"}


@pytest.mark.local("a container has the files of its image: test_what_an_agent_is_and_sees in test_docker.py")
def test_nothing_of_the_host_but_its_programs(box):
    (box.workdir / "host-secret").write_text("x")
    found = box.py("""
import json, os, sys
def read(p):
    try:
        return open(p).read()
    except OSError as e:
        return e.errno
print(json.dumps({'root': os.listdir('/'), 'home': os.listdir('/home'), 'etc': os.listdir('/etc'),
  'secret': [read(p) for p in sys.argv[1:]], 'passwd': read('/etc/passwd'), 'ssl': os.listdir('/etc/ssl')}))""",
                   str(box.workdir / "host-secret"), "/etc/shadow", "/etc/gshadow", "/root/.bashrc",
                   "/etc/ssh/ssh_config", "/proc/1/root/etc/shadow")
    assert set(found["root"]) <= {"app", "bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32",
                                  "proc", "run", "sbin", "sys", "tmp", "usr", "var", ".rollouts"}
    assert found["home"] == ["agent"] and set(found["ssl"]) <= {"certs", "openssl.cnf"}
    assert not set(found["etc"]) & {"shadow", "gshadow", "sudoers", "ssh", "machine-id", "hostid", "fstab"}
    assert set(found["secret"]) <= {2, 13}, found["secret"]
    assert [line.split(":")[0] for line in found["passwd"].splitlines()] == ["root", "agent", "nobody"]


@pytest.mark.local("is about the programs of this machine")
def test_tools_work_inside(plain):
    """ld.so.cache, alternatives, certificates, users, terminals: what ordinary tools need."""
    done = plain.sh("""set -e
cd /tmp; git init -q x; cd x; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x
python3 -c 'import ssl, json, sqlite3, multiprocessing; ssl.create_default_context()
import pty; pty.openpty(); multiprocessing.Queue(); import tempfile; tempfile.TemporaryFile()'
whoami; getent hosts localhost >/dev/null; awk 'BEGIN{print 7}'; date -d @0 -u +%Y
echo 'int main(void){return 0;}' > a.c; if command -v gcc >/dev/null; then gcc a.c && ./a.out; fi
echo ok""")
    assert done["status"] == 0 and done["out"] == "agent\n7\n1970\nok\n", done


@FILTER
def test_system_call_filter(box):
    found = box.py("""
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(nr, *a):
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(x) for x in a])
    if r >= 0 and nr in (41, 53):
        import os
        os.close(r) if nr == 41 else None
    return ctypes.get_errno() if r < 0 else 0
names = dict(bpf=321, keyctl=250, add_key=248, request_key=249, perf_event_open=298, userfaultfd=323,
             io_uring_setup=425, io_uring_enter=426, io_uring_register=427, syslog=103)
two = (ctypes.c_int * 2)()
print(json.dumps({
  'refused': {k: call(v, 0, 0, 0, 0, 0) for k, v in names.items()},
  'ioctl': [call(16, 0, c, 0) for c in (0x5412, 0x5412 | 1 << 32, 0xffffffff00005412 - (1 << 64), 0x541c)],
  'other_ioctl': call(16, 0, 0x5401, 0),
  'sockets': {f: call(41, f, 1 if f in (1, 2, 10) else 3, 0) for f in range(0, 48)},
  'tricks': [call(41, f | 1 << 32, 1, 0) for f in (1, 2, 17, 38, 40)],
  'pairs': {f: call(53, f, 1, 0, ctypes.addressof(two)) for f in (1, 2, 30, 40)},
  'x32': call(0x40000000 | 39),
}))""")
    assert set(found["refused"].values()) == {1}, found["refused"]  # EPERM
    assert found["ioctl"] == [1, 1, 1, 1]
    assert found["other_ioctl"] == 25  # ENOTTY: the kernel's own answer
    allowed = {"1", "2", "10", "16"}
    assert {f for f, e in found["sockets"].items() if e != 97} == allowed  # EAFNOSUPPORT
    assert all(found["sockets"][f] == 0 for f in allowed)
    assert set(found["tricks"]) == {97}
    assert found["pairs"]["1"] == 0 and found["pairs"]["30"] == found["pairs"]["40"] == 97
    assert found["x32"] == 38  # ENOSYS


GETPID_OF_I386 = """
import ctypes, mmap
code = b'\\x53\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\x5b\\xc3'
area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
area.write(code)
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))())"""


@FILTER
def test_no_32_bit_system_calls(plain):
    """The filter knows 64-bit numbers: int 0x80 would get past it."""
    outside = subprocess.run([PY, "-c", GETPID_OF_I386], capture_output=True)
    done = plain.run(("exec", {"argv": [PY, "-c", GETPID_OF_I386], "timeout_ms": 30000}))[1]
    if outside.returncode == -signal.SIGSEGV:  # this machine's kernel takes none from anybody
        assert done["status"] == signal.SIGSEGV, done
    else:
        assert int(outside.stdout) > 0 and done["out"] == "-38\n", done  # ENOSYS


def test_put_and_get(box):
    done = box.run(("put", {"path": "/app/a/b/c.sh", "text": "#!/bin/sh\necho hi\n", "mode": 0o755}),
                   ("exec", {"argv": ["/app/a/b/c.sh"]}), sh("stat -c '%a %U' /app/a/b/c.sh /app/a; ls -A /app/a/b"),
                   ("get", {"path": "/app/a/b/c.sh"}), ("get", {"path": "/app/none"}),
                   ("put", {"path": "relative", "text": ""}), ("put", {"path": "/app/../etc/x", "text": ""}),
                   ("put", {"path": "/usr/x", "text": ""}))
    assert done[2]["out"] == "hi\n"
    assert done[3]["out"] == "755 agent\n755 agent\nc.sh\n"
    assert done[4]["text"] == "#!/bin/sh\necho hi\n"
    assert done[5]["sys"] == 2
    assert done[6]["kind"] == 1 and done[7]["sys"] == 22 and done[8]["sys"] == 30


def test_put_goes_through_no_link(box):
    done = box.run(sh("mkdir /tmp/trap; echo old > /tmp/trap/t; echo old > /tmp/victim; cd /app; ln -s /tmp/trap tests; "
                      "ln -s /tmp/victim link; echo x > file; mkdir -p dir/sub; echo y > dir/sub/y; "
                      "mkfifo fifo; ln -s /app loop"),
                   *[("put", {"path": path, "text": "new"}) for path in
                     ("/app/tests/t", "/app/link", "/app/file/deep/t", "/app/dir", "/app/fifo", "/app/loop/t")],
                   sh("cat /tmp/trap/t /tmp/victim; cd /app; cat tests/t link file/deep/t dir fifo loop/t; "
                      "find . -type l; ls -A /tmp/trap"))
    assert all(step == {} for step in done[2:8]), done
    assert done[8]["out"] == "old\nold\nnewnewnewnewnewnewt\n"


def test_get_only_regular_files_and_no_links(box):
    done = box.run(sh("cd /app; echo x > f; ln -s f link; mkfifo fifo; mkdir d; echo y > d/y; ln -s d dl; "
                      "ln -s /proc/1/environ env"),
                   *[("get", {"path": path}) for path in
                     ("/app/link", "/app/fifo", "/app/d", "/app/dl/y", "/dev/zero", "/app/env", "/dev/stdin",
                      "/proc/self/root/app/f")],
                   ("get", {"path": "/app/d/y"}))
    assert all("error" in step for step in done[2:10]), done
    assert done[10]["text"] == "y\n"


def test_get_does_not_wait_for_a_lease(box):
    hold = ("exec", {"argv": [PY, "-c", """
import fcntl, os, signal, time
if os.fork():
    time.sleep(0.5)
    os._exit(0)
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open('/app/f', os.O_RDWR | os.O_CREAT)
fcntl.fcntl(fd, 1024, fcntl.F_WRLCK)  # F_SETLEASE
time.sleep(60)"""], "leave": True})
    began = time.monotonic()
    box.run(hold, ("get", {"path": "/app/f"}), ("stats", {}))
    assert time.monotonic() - began < 10


def test_mounts_are_read_only(box):
    shown = box.workdir / "tool"
    (shown / "bin").mkdir(parents=True)
    (shown / "bin/run").write_text("#!/bin/sh\necho tool\n")
    (shown / "bin/run").chmod(0o755)
    if box.by_root:  # as an agent installed below /root
        shown.chmod(0o755)
        box.workdir.chmod(0o700)
        box.data = box.workdir / "data"
    try:
        done = box.run(("exec", {"argv": ["/opt/tool/bin/run"]}), sh("echo x > /opt/tool/bin/run; rm -r /opt/tool"),
                       mounts=[[str(shown), "/opt/tool"]])
    finally:
        box.workdir.chmod(0o755)
    assert done[1]["out"] == "tool\n"
    assert "Read-only" in done[2]["err"] and (shown / "bin/run").exists()

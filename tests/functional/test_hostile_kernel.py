# SPDX-License-Identifier: GPL-3.0-or-later
"""What sandboxes of one user share by way of the kernel, and what graded code may do to the tests that start it."""
import ctypes
import json

import pytest

from conftest import ENGINE
from sandboxes import PY, box, driver, plain  # noqa: F401

MB = 1 << 20


def test_no_lease_and_no_large_pipe(box):
    """A lease on a file that is shown to all freezes whoever opens it for up to 45 s; pipes' pages are counted per user."""
    found = box.py("""
import errno, fcntl, json, os
def attempt(*a):
    try:
        return fcntl.fcntl(*a)
    except OSError as e:
        return errno.errorcode[e.errno]
f, r, w = open('/tmp/x', 'w'), *os.pipe()
print(json.dumps({
  'lease': [attempt(open('/tmp/x'), 1024, 0), attempt(f, 1024, 1), attempt(f, 1024, 2)],
  'folder': attempt(os.open('/tmp', os.O_RDONLY), 1026, 1),
  'pipe': [attempt(w, 1031, 1 << 20), attempt(w, 1031, 65537), attempt(w, 1031, 4096), attempt(w, 1032)],
  'usual': [attempt(f, 1), attempt(f, 3) >= 0]}))""")
    assert found == {"lease": ["EPERM"] * 3, "folder": "EPERM", "pipe": ["EPERM", "EPERM", 4096, 4096], "usual": [1, True]}


@pytest.mark.local("a container's are counted for its user")
def test_a_part_of_what_one_user_has(box):
    found = box.py("""
import ctypes, errno, json, os, resource
libc = ctypes.CDLL(None, use_errno=True)
n = 0
while libc.inotify_init1(0) >= 0:
    n += 1
timers, t = 0, ctypes.c_void_p()
while libc.timer_create(0, None, ctypes.byref(t)) == 0:
    timers += 1
print(json.dumps([n, ctypes.get_errno() == errno.EAGAIN, timers, resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]]))""")
    with open("/proc/sys/fs/inotify/max_user_instances", encoding="ascii") as file:
        share = max(32, int(file.read()) // 4)
    assert found[0] <= share and found[2] <= 1024 and found[3] <= 200 << 10
    assert found[0] > 8 and found[2] > 500
    assert ctypes.CDLL(None).inotify_init1(0) >= 0


SEGMENT = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
size = 200 << 20
id = libc.shmget(0, size, 0o1600)
assert id >= 0
at = libc.shmat(id, None, 0)
ctypes.memset(at, 1, size)
if sys.argv[1] == 'alone':
    libc.shmdt(ctypes.c_void_p(at))
elif sys.argv[1] == 'untouched':
    if not os.fork():
        libc.shmdt(ctypes.c_void_p(at))
        libc.shmat(id, None, 0)
        time.sleep(60)
    libc.shmdt(ctypes.c_void_p(at))
time.sleep(4)
print('lived')"""


@pytest.mark.local("the engine's control group counts them")
@pytest.mark.parametrize("how", ["attached", "alone", "untouched"])
def test_shared_memory_of_system_v_counts(box, how):
    done = box.run(("exec", {"argv": [PY, "-c", SEGMENT, how], "timeout_ms": 30000}), limits={"memory_mb": 128})[1]
    assert done["end"] == "no_memory", done


@pytest.mark.local("the engine's control group counts them")
def test_a_segment_counts_once(box):
    done = box.run(("exec", {"argv": [PY, "-c", SEGMENT, "attached"], "timeout_ms": 30000}), limits={"memory_mb": 320})[1]
    assert done["out"] == "lived\n" and done["memory_max"] < 320 * MB, done


TRACER = r"""
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    ctypes.set_errno(0)
    return libc.syscall(*[ctypes.c_long(x) for x in a]) >= 0 or errno.errorcode[ctypes.get_errno()]
parent = os.getppid()
iov = (ctypes.c_long * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
def opens(path, mode):
    try:
        open(path, mode).close()
        return True
    except OSError as e:
        return errno.errorcode[e.errno]
found = {'ptrace': call(101, 16, parent, 0, 0), 'seize': call(101, 0x4206, parent, 0, 0), 'me': call(101, 0, 0, 0, 0),
  'vm': [call(n, parent, ctypes.addressof(iov), 1, ctypes.addressof(iov), 1, 0) for n in (310, 311)],
  'mem': opens(f'/proc/{parent}/mem', 'r+b'), 'fd': call(438, os.pidfd_open(parent), 0, 0),
  'landlock': libc.syscall(444, 0, 0, 1),
  'own': opens('/proc/self/status', 'r'), 'score': open('/proc/self/oom_score_adj').read()}
print(json.dumps(found))"""


def test_graded_code_traces_nobody(box):
    """The process that a test starts may not make the test end as it likes."""
    found = box.py(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {TRACER!r}], check=True)", untraced=True)
    # Podman's /proc can be written to: then Landlock holds its files, if the machine has it.
    assert found.pop("mem") in ("EROFS", "EACCES") or (ENGINE and found["landlock"] < 2)
    found.pop("landlock")
    assert found == {"ptrace": "EPERM", "seize": "EPERM", "me": "EPERM", "vm": ["EPERM"] * 2, "fd": "EPERM",
                     "own": True, "score": "500\n"}


@pytest.mark.local("an image need not have a compiler")
def test_leaks_are_not_looked_for_where_nobody_traces(box):
    build = "printf 'int main(void){return 0;}' > /tmp/a.c && gcc -fsanitize=address -o /tmp/a /tmp/a.c && /tmp/a"
    done = box.run(("exec", {"argv": ["sh", "-c", "env | grep -E 'LSAN|PYTHONNO'; " + build], "timeout_ms": 60000}), untraced=True)[1]
    assert done["status"] == 0 and done["out"].split() == ["PYTHONNOUSERSITE=1", "LSAN_OPTIONS=detect_leaks=0"], done

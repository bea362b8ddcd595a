# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that is graded in a process of its own, and would rather be judged by itself."""
import pytest

from conftest import SANDBOX

# What a test starts: it has its parent, which waits for it, leave with status 0.
TRACE = r"""
import ctypes, os
libc = ctypes.CDLL(None)
regs = (ctypes.c_ulonglong * 27)()
def trace(what, data):
    return libc.ptrace(ctypes.c_long(what), ctypes.c_long(os.getppid()), None, data)
if trace(16, None) == 0:
    os.waitpid(os.getppid(), 0x40000000)
    trace(12, regs)
    regs[10], regs[14], regs[15], regs[16] = 231, 0, ctypes.c_ulonglong(-1).value, regs[16] - 2
    trace(13, regs)
    trace(17, None)
"""
MEMORY = r"""
import os
try:
    parent = os.getppid()
    for line in open(f'/proc/{parent}/maps'):
        where, rights = line.split()[:2]
        if 'x' in rights and 'libc' in line:
            begin, end = (int(x, 16) for x in where.split('-'))
            with open(f'/proc/{parent}/mem', 'r+b', 0) as memory:
                memory.seek(begin)
                memory.write((b'\x90' * (end - begin))[:-16] + b'\x31\xff\xb8\xe7\x00\x00\x00\x0f\x05' + b'\x90' * 7)
except OSError:
    pass
"""
LEAVE = r"""
import os, pathlib, site
for top in (os.environ['HOME'], os.environ.get('TMPDIR', '/tmp'), '/var/tmp', '/dev/shm'):
    try:
        folder = pathlib.Path(top, '.config', 'left')
        folder.mkdir(parents=True)
        (folder / 'x').write_text('x')
        folder.chmod(0)
        pathlib.Path(top, '.profile').write_text('exit 0')
    except OSError:
        pass
user = pathlib.Path(os.environ['HOME'], '.local/lib/python%d.%d/site-packages' % __import__('sys').version_info[:2])
user.mkdir(parents=True)
(user / 'usercustomize.py').write_text('import os; os._exit(0)')
"""
JUDGE = 'python3 work.py; out=$(python3 work.py 2>/dev/null | tail -1)\n[ "$out" = right ]\n'


@pytest.mark.parametrize("attack", [TRACE, MEMORY], ids=["traces", "writes to its memory"])
def test_code_that_judges_itself(grade, account, attack):
    tests = [("judge.sh", "a", JUDGE), ("honest.sh", "b", "exit 0\n")]
    result, doc, _, _ = grade(tests, work=f"cat > work.py <<'END'\n{attack}\nprint('wrong')\nEND\n")
    assert result["outcome"] == "completed" and result["scores"] == {"a": 0, "b": 1}, doc["test_results"]


def test_each_script_finds_home_and_temporary_files_empty(grade, account):
    look = 'ls -AR "$HOME" "${TMPDIR:-/tmp}" >&2; [ -z "$(ls -A "$HOME" "${TMPDIR:-/tmp}" | grep -v -e : -e "^$")" ] || exit 1\n'
    if not SANDBOX:
        look += '[ -z "$(ls -A /var/tmp /dev/shm | grep -v -e : -e "^$")" ] || exit 1\n'
    tests = [("a.sh", "a", "python3 work.py\n"), ("b.sh", "b", look), ("c.py", "c", "def test_c():\n    assert False\n")]
    result, doc, _, _ = grade(tests, work=f"cat > work.py <<'END'\n{LEAVE}\nEND\n")
    assert result["scores"] == {"a": 1, "b": 1, "c": 0}, doc["test_results"]


def test_a_users_site_is_not_looked_into(grade):
    """Not even by the Python that is started after the code that wrote it, in the same script."""
    tests = [("a.sh", "a", "python3 work.py\npython3 -c 'raise SystemExit(3)'\n")]
    result, doc, _, _ = grade(tests, work=f"cat > work.py <<'END'\n{LEAVE}\nEND\n")
    assert result["scores"] == {"a": 0}, doc["test_results"]


@pytest.mark.parametrize("asks", [True, False])
def test_a_task_may_ask_for_a_debugger(grade, asks):
    trace = "python3 -c \"import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)\"\n"
    result, doc, _, _ = grade([("a.sh", "a", trace, {"tracing": asks})])
    assert result["scores"] == {"a": int(asks)}, doc["test_results"]

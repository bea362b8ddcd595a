# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 of a box of modal_server.py: the root file system in LOWER (folders, ':' between them), copy on write, becomes the root of this mount
namespace. Arguments: LOWER FOLDER WORKDIR [SOURCE TARGET ro|rw]... Says "ok" when it is ready, and reaps from then on."""
import ctypes
import os
import signal
import subprocess
import sys

PIVOT_ROOT, MNT_DETACH = 155, 2

lower, folder, workdir, *binds = sys.argv[1:]
root = f"{folder}/root"
for name in ("upper", "work", "root"):
    os.makedirs(f"{folder}/{name}", exist_ok=True)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


mount("-t", "overlay", "none", "-o", f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work", root)
mount("-t", "proc", "none", f"{root}/proc")
mount("--rbind", "/dev", f"{root}/dev")
mount("-t", "tmpfs", "none", f"{root}/tmp")
os.chmod(f"{root}/tmp", 0o1777)
os.makedirs(root + workdir, exist_ok=True)
for source, target, mode in zip(binds[::3], binds[1::3], binds[2::3]):
    os.makedirs(root + target, exist_ok=True)
    mount("--bind", source, root + target)
    if mode == "ro":
        mount("-o", "remount,bind,ro", root + target)
os.chdir(root)
libc = ctypes.CDLL(None, use_errno=True)
# Not chroot: in one of those nobody may make a user namespace.
if libc.syscall(PIVOT_ROOT, b".", b".") or libc.umount2(b".", MNT_DETACH):
    raise OSError(ctypes.get_errno(), "pivot_root")
os.chdir("/")
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ok", flush=True)
while True:
    signal.pause()

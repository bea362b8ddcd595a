# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside trials: `try` finds out what a sandbox of Modal's allows, for doctor; `clean DATA` ends the sandboxes that were left."""
import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from driver import CALL_SEC, OUT, Launcher, Modal, Trial, hold, modal, one_line, within  # noqa: E402
from modal.exception import NotFoundError  # noqa: E402

# What our own sandbox is made of, tried where it would be made. Each line: a name, whether it works.
PROBE = r"""
tell() { if "$@" >/dev/null 2>&1; then echo "$name yes"; else echo "$name no"; fi; }
name=user-namespaces; tell unshare --user --map-root-user true
name=mounts; tell unshare --user --map-root-user --mount mount -t tmpfs none /mnt
name=overlay; tell unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/m &&
	mount -t overlay none -o userxattr,lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w /mnt/m'
name=pid-namespaces; tell unshare --user --map-root-user --pid --fork true
name=network-namespaces; tell unshare --user --map-root-user --net true
name=process-groups; tell sh -c 'setsid sh -c "sleep 60 & echo \\$\\$ >/tmp/group; wait" & n=0; until read g </tmp/group; do sleep 0.1; done
	kill -KILL -$g; while kill -0 -$g; do sleep 0.1; n=$((n + 1)); [ $n -lt 100 ] || exit 1; done'
name=ptrace; tell python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)'
name=bubblewrap; tell bwrap --unshare-all --ro-bind / / true
name=git; tell git --version
echo "kernel $(uname -r)"
"""
BOX = "then Modal's sandbox is the box, one for each agent and one for its grading (docs/sandbox.md)"
REMEDIES = {"git": "take an image that has git", "bubblewrap": f"take an image that has bubblewrap; {BOX}",
            "overlay": "without it each workspace is a copy", "process-groups": "processes are signalled one by one, which ours do",
            "ptrace": "debuggers and strace do not work there"}


async def probe():
    """For doctor: find out in a sandbox what its runtime allows. Lines of JSON: check, ok, needed, text, remedy."""
    def line(check, ok, text, remedy=None, needed=True):
        os.write(OUT, (json.dumps({"check": check, "ok": ok, "needed": needed, "text": text, "remedy": remedy}) + "\n").encode())

    self = Modal(json.loads(sys.stdin.readline()))
    await self.start()
    job = Trial(self, {"token": f"doctor-{os.getpid()}", "time_sec": 300, "inputs": []})
    await self.prepare(job)
    job.sandbox = await job.create()
    try:
        process = await within(CALL_SEC, job.sandbox.exec.aio("sh", "-c", PROBE, text=False, timeout=120))
        out = (await within(150, process.stdout.read.aio())).decode(errors="replace")
        why = await self.refused(job.sandbox)
    finally:
        await within(CALL_SEC, job.sandbox.terminate.aio())
    facts = dict(x.partition(" ")[::2] for x in out.splitlines())
    line("modal runtime", True, f"{self.settings['runtime'] or 'gvisor, the default'}, kernel {facts.pop('kernel', 'unknown')}")
    for name, answer in facts.items():
        ok = answer == "yes"
        line(f"modal {name}", ok, "works there" if ok else "does not work there", None if ok else REMEDIES.get(name, BOX), name == "git")
    line("modal our-sandbox", not why, "starts there" if not why else f"does not start there: {why}",
         f'{BOX}; runtime = "vm" has a Linux kernel of its own, where the workspace has it' if why else None, False)


async def clean(data):
    """End the sandboxes of rollouts of that data folder, found by their tag: all of them, or while one of us runs those that it has forgotten."""
    state = Path(data, "launch/modal")
    apps = (state / "apps").read_text().split("\n") if (state / "apps").exists() else []
    self, n = Launcher({"data": data, "state": str(state), "node": "", "parallel": 0, "settings": {}}), 0
    busy = not hold(state, alone=True) if apps else False
    for app in filter(None, apps):
        try:
            found = await within(CALL_SEC, modal.App.lookup.aio(app))
        except NotFoundError:
            continue
        async for sandbox in modal.Sandbox.list.aio(app_id=found.app_id, tags={"rollouts": self.who}):
            token = (await within(CALL_SEC, sandbox.get_tags.aio())).get("token", "-")
            if not (busy and (state / token / "job.json").exists()):
                await within(CALL_SEC, sandbox.terminate.aio())
                print(f"ended sandbox {sandbox.object_id} of {token}", file=sys.stderr)
                n += 1
    print(f"{n} ended" if n else "nothing to end", file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(clean(sys.argv[2]) if sys.argv[1:2] == ["clean"] else probe())
    except Exception as error:
        sys.exit(f"Modal: {one_line(error)}")

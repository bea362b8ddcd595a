# SPDX-License-Identifier: GPL-3.0-or-later
"""A launcher's program spoken to directly, as docs/launchers.md says."""
import json
import os
import select
import subprocess
import time


class Launcher:
    """The program of a launcher, started in a data folder. What it says is kept in `heard`."""

    def __init__(self, program, data, node, name, env, settings=None, greet=True):
        self.state = data / "launch" / name
        self.state.mkdir(parents=True, exist_ok=True)
        self.log = open(self.state / "log", "ab")
        self.child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                      cwd=data, env=env, start_new_session=True)
        self.heard, self.rest = [], b""
        self.say(op="hello", v=1, launcher=name, data=str(data), state=str(self.state), node=str(node), parallel=8,
                 settings=settings or {})
        if greet:
            self.wait(lambda m: m["event"] == "hello")

    def say(self, **message):
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()

    def hear(self, timeout=0.05):
        """Take in what it has said by now."""
        if select.select([self.child.stdout], [], [], timeout)[0]:
            self.rest += os.read(self.child.stdout.fileno(), 1 << 20)
            *lines, self.rest = self.rest.split(b"\n")
            for message in map(json.loads, lines):
                self.heard += [{**message, **job} for job in message.pop("jobs")] if "jobs" in message else [message]

    def wait(self, fits, timeout=60, poll=False):
        """The first message that FITS, heard or to come; POLL: ask as the supervisor does."""
        end, asked = time.monotonic() + timeout, False
        while time.monotonic() < end:
            found = [m for m in self.heard if fits(m)]
            if found:
                return found[0]
            if poll and (not asked or self.heard and self.heard[-1]["event"] == "polled"):
                self.heard = [m for m in self.heard if m["event"] != "polled"]
                self.say(op="poll")
                asked = True
            self.hear()
            assert self.child.poll() is None, "it ended"
        raise AssertionError(f"not heard in {timeout} s; last: {self.heard[-5:]}")

    def leave(self):
        self.child.stdin.close()
        assert self.child.wait(30) == 0
        self.child.stdout.close()
        self.log.close()

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()
        self.log.close()


def events(rollout_dir, event):
    lines = (rollout_dir / "events.jsonl").read_text().rpartition("\n")[0].splitlines()  # the last may be being written
    return [e for e in map(json.loads, lines) if e["event"] == event]

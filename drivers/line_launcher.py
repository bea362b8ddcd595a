# SPDX-License-Identifier: GPL-3.0-or-later
"""What launchers have in common whose nodes share nothing with this machine and are reached by a line of bytes (docs/launchers.md): the
messages of `rollouts`, and for each trial a `rollouts-node home`, which is started again whenever its line was cut.

A trial has a folder STATE/TOKEN: job.json (the job, and what the launcher wrote down of it before anything was begun), events.0 and the
archive as home brings them, log. Whoever kills us loses nothing: what is written there leads the next one to the trial."""
import asyncio
import difflib
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tarfile
from pathlib import Path

DONE, CUT, USAGE, GONE = range(4)  # how home ends
PROGRAMS = ["rollouts-node", "rollouts-trial", "rollouts-init"]
TAIL_SEC = 0.2


def say(event, **more):
    # Not print: whatever else speaks on standard output must not come between.
    os.write(OUT, (json.dumps({"event": event, **more}) + "\n").encode())


OUT = os.dup(1)
os.dup2(2, 1)


def note(text):
    say("note", text=text)


class Refused(Exception):
    """Settings that are wrong (fault: an engine that cannot be used)."""

    def __init__(self, text, fault=False):
        super().__init__(text)
        self.fault = fault


class Job:
    def __init__(self, launcher, spec, known=None):
        self.launcher, self.spec, self.token = launcher, spec, spec["token"]
        self.folder = Path(launcher.state, self.token)
        self.known = known or {}  # what has to be found again
        self.over, self.cancelled, self.begun = False, None, False
        self.home, self.told, self.rest = None, 0, b""
        self.events, self.home_options = "events", []
        self.stop = asyncio.Event()  # set by a cancel, for who waits for something else than home

    def write(self, **known):
        """Before it is done, what is going to be done with it."""
        self.known.update(known)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        new = self.folder / "job.new"
        with open(new, "w") as file:
            json.dump({"job": self.spec, "known": self.known}, file)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.folder / "job.json")

    def submitted(self, name):
        say("submitted", token=self.token, job=name)

    def end(self, how, **more):
        if not self.over:
            self.over = True
            say("ended", token=self.token, how=how, **more)
            self.launcher.turn()

    def hear(self):
        """Hand on what home has written since."""
        try:
            with open(self.folder / f"{self.events}.0", "rb") as file:
                file.seek(self.told)
                data = file.read()
        except FileNotFoundError:
            return
        self.told += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if "line" in event:
                self.begun = True
                self.member(event).pass_on(event["line"])
            elif "ended" in event:
                more = {k: event[k] for k in ("stopped", "committed") if k in event}
                if event.get("archive"):
                    more["archive"] = str(self.folder / event["archive"])
                self.member(event).left(self.launcher.words(self, str(event["ended"])), more)

    def member(self, event):
        """Whose event it is, of a job that is several trials."""
        return self

    def dirs(self):
        return [self.spec["dir"]]

    def left(self, how, more):
        """Its worker is gone; its archive is here."""
        self.end(how, **more)

    def pass_on(self, line):
        say("line", token=self.token, line=line)

    def last_words(self):
        try:
            lines = (self.folder / "log").read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
        except FileNotFoundError:
            lines = []
        return lines[-1].strip() if lines else "nothing was said"

    async def line(self, command=None, pump=None, cwd=None, env=None):
        """One home, by COMMAND or with its streams given to PUMP(reader, writer), until it ends. Its status; CUT for one that was killed."""
        argv = [str(self.launcher.node), "home", "--data", self.launcher.data, "--out", str(self.folder), "--events",
                str(self.folder / self.events), *self.home_options, *self.dirs(), *(["--", *command] if command else [])]
        pipe = asyncio.subprocess.PIPE if pump else asyncio.subprocess.DEVNULL
        with open(self.folder / "log", "ab") as log:
            self.home = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=log, start_new_session=True, cwd=cwd, env=env)
        work = asyncio.create_task(pump(self.home.stdout, self.home.stdin)) if pump else None
        waiter = asyncio.create_task(self.home.wait())
        try:
            if self.cancelled:
                self.signal()
            while not waiter.done():
                self.hear()
                await asyncio.wait({waiter}, timeout=TAIL_SEC)
                if work and work.done() and not waiter.done():
                    self.home.stdin.close()  # the line is cut
            self.hear()
        finally:
            if work:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            if self.home.returncode is None:
                self.home.kill()
                await waiter
        status, self.home = self.home.returncode, None
        return status if status in (DONE, USAGE, GONE) else CUT

    def signal(self):
        if self.home and self.home.returncode is None:
            self.home.send_signal(signal.SIGQUIT if self.cancelled == "kill" else signal.SIGTERM)

    def cancel(self, how):
        self.cancelled = how
        self.stop.set()
        self.signal()

    async def forget(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Launcher:
    """One launcher; a subclass knows an engine. SETTINGS: name -> (default, what it must be, in words)."""
    SETTINGS = {}
    job_class = Job
    ABLE = {}  # what more it can, for its hello

    def __init__(self, hello):
        self.data, self.state, self.node, self.parallel = hello["data"], hello["state"], Path(hello["node"]), hello["parallel"]
        self.settings = self.read(hello["settings"])
        self.who = hashlib.sha256(f"{os.uname().nodename}:{self.data}".encode()).hexdigest()[:16]
        self.jobs, self.tasks = {}, set()

    # -- for a subclass

    async def start(self):
        """Refused when the engine cannot be used."""

    async def put(self, job):
        """A job that was submitted, or is taken up again; begin it as soon as may be."""

    def turn(self):
        """A trial ended: others may begin."""

    def words(self, job, how):
        return how

    async def done(self, job):
        """All of it is here."""

    async def leave(self):
        """We end; trials do not."""

    # -- the rest

    def read(self, given):
        for key in given:
            if key not in self.SETTINGS:
                near = difflib.get_close_matches(key, self.SETTINGS, 1)
                raise Refused(f"{key}: unknown setting" + (f" (did you mean {near[0]}?)" if near else ""))
        settings = {key: given.get(key, default) for key, (default, _) in self.SETTINGS.items()}
        for key, (default, words) in self.SETTINGS.items():
            kinds = (int, float) if type(default) is float else (type(default),)
            if key in given and (type(given[key]) not in kinds or (type(default) in (int, float) and given[key] < 0)):
                raise Refused(f"{key}: must be {words}")
        return settings

    def wrong(self, key):
        raise Refused(f"{key}: must be {self.SETTINGS[key][1]}")

    def bundle(self, *more):
        """Our programs and the files MORE as one archive, the same for the same ones, and its name."""
        places = (self.node.parent, self.node.parent.parent.parent / "share/rollouts")
        share = next(d for d in places if (d / "seccomp.bpf").exists())
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for path in [*more, *(self.node.parent / p for p in PROGRAMS), *sorted(share.glob("seccomp*.bpf"))]:
                text = path.read_bytes()
                member = tarfile.TarInfo(path.name)
                member.size, member.mode = len(text), 0o644 if path.suffix == ".bpf" else 0o755
                tar.addfile(member, io.BytesIO(text))
        return data.getvalue(), hashlib.sha256(data.getvalue()).hexdigest()[:16]

    def task(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda t: t.cancelled() or t.exception() and print(f"{t!r}: {t.exception()!r}", file=sys.stderr))
        return task

    def submit(self, spec):
        job = self.jobs[spec["token"]] = self.job_class(self, spec)
        job.write()
        job.submitted("waiting")
        self.task(self.put(job))

    def attach(self, token, **_):
        if token in self.jobs:
            return self.jobs[token].submitted("waiting")
        try:
            kept = json.loads(Path(self.state, token, "job.json").read_text())
        except (OSError, ValueError):
            return say("submitted", token=token, unknown=True, error="no such trial was begun")
        job = self.jobs[token] = self.job_class(self, kept["job"], kept["known"])
        job.submitted("waiting")
        return self.task(self.put(job))

    async def forget(self, token):
        job = self.jobs.pop(token, None)
        if job:
            job.write(forgotten=True)
            await self.done(job)
            await job.forget()

    async def hear(self, message):
        op, jobs = message["op"], message.get("jobs", [])
        if op == "submit":
            for spec in jobs:
                self.submit(spec)
        elif op == "attach":
            for job in jobs:
                self.attach(**job)
        elif op == "poll":
            say("polled")
        elif op == "cancel":
            for job in jobs:
                if job["token"] in self.jobs:
                    self.jobs[job["token"]].cancel(message["how"])
        elif op == "done":
            for job in jobs:
                self.task(self.forget(job["token"]))

    @classmethod
    async def serve(cls):
        reader = asyncio.StreamReader(limit=1 << 30)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self = None
        while line := await reader.readline():
            message = json.loads(line)
            if message["op"] != "hello":
                await self.hear(message)
                continue
            try:
                self = cls(message)
                await self.start()
                say("hello", v=1, files="shared", models="here", attach=True, poll_ms=1000, **cls.ABLE)
            except Refused as e:
                say("refused", text=str(e), fault=e.fault)
        if self:
            closing = [t for t in self.tasks if t.get_coro().__name__ in ("forget", "bury")]
            if closing:
                await asyncio.wait(closing, timeout=4)
            await self.leave()
        os._exit(0)  # what still waits for a line would only be told that it is cut

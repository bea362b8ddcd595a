# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher of Modal (docs/launchers.md), by Modal's own SDK, version 1.6.4. Each trial has a sandbox of its own; `rollouts-node far` runs there by exec,
and its standard streams are the line to `rollouts-node home` here. So a sandbox needs no network and has no port, and model calls come to the gateway of
this machine.

What the SDK does not do, and we do: each call has a time limit of ours, since a server that does not answer would be waited for without end; a sandbox is created by a
name that was written down before, and looked up by it when the answer was lost; it has a span of life; while a session goes on it is asked beside
it whether the sandbox is there; what throttles us is waited for within the trial's clock."""
import asyncio
import contextlib
import fcntl
import json
import os
import sys
import tarfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("MODAL_MAX_THROTTLE_WAIT", "60")
os.environ.setdefault("MODAL_IMAGE_BUILDER_VERSION", "2025.06")  # older ones want a Python in each image
from line_launcher import CUT, DONE, GONE, OUT, Job, Launcher, Refused, note  # noqa: E402
from volume import CALL_SEC, Volume, one_line, within  # noqa: E402
import modal  # noqa: E402
from modal.exception import (AlreadyExistsError, AuthError, InvalidError, NotFoundError, ResourceExhaustedError,  # noqa: E402
                             SandboxTerminatedError, SandboxTimeoutError)

VERSION = "1.6.4"
WATCH_SEC, BLOCK = 5, 1 << 20
CREATES = 20  # at once
# Of a sandbox: at most; beyond what its trial may take by its limits: four hours of waiting for a provider's quota, as elsewhere.
LIFE_SEC, SLACK_SEC = 24 * 3600, 4 * 3600 + 600
GATHER_SEC = 0.5  # for the others of a group
TRIES = 5     # sessions in a row that end at once
JOB, CACHE, PROGRAMS = "/rollouts/job", "/rollouts/cache", "/rollouts/programs"
PARCELS = f"{JOB}/data/cache/parcels"
VOLUME = "/rollouts/volume"  # in a sandbox alone, where parcels come by the line as well
DEFAULT_IMAGE = ["RUN apt-get update && apt-get install -y --no-install-recommends git bubblewrap python3 python3-pytest "
                 "&& rm -rf /var/lib/apt/lists/*"]
OPEN = ("cache/baselines/", "cache/carried/", "cache/pins/")  # inputs that hold no test and no solution
AROUND = {"gvisor": "gVisor, a sandbox of Modal", "vm": "a virtual machine, a sandbox of Modal"}
OWN_IMAGE = ('its task has a Dockerfile of its own, and sandboxes of Modal have no engine for it: build that image by dockerfile or image of '
             '[launcher.modal], and say sandbox = "local"')
# GenericResult's numbers beyond success and failure, in words; who ends so did not fail by itself.
STATUSES = {3: "was terminated", 4: "reached the end of its span of life", 5: "failed to start on Modal's side", 6: "failed on Modal's side",
            7: "was idle for too long", 8: "ran out of memory", 9: "ran out of memory", 10: "ran out of memory"}


class Gone(Exception):
    """The sandbox has ended, or is not to be had."""


def members(archive):
    """Names directly in the folder that an archive is of."""
    with tarfile.open(archive) as tar:
        return {m.name[2:] for m in tar if m.name.count("/") == 1}


class Trial(Job):
    """One trial. Where our own sandbox can be made in one of Modal's, that is one sandbox for all of it (its part "all"). Where it cannot, Modal's
    is the box: one for the agent ("agent"), which gets nothing of the tests, then one for grading ("evaluate")."""
    sandbox, making, part, is_left, group, since = None, None, "all", False, None, None

    def cancel(self, how):
        super().cancel(how)
        if self.group:
            self.group.cancel_if_all()
        elif not self.sandbox:
            self.end("cancelled before its sandbox was there")

    def of(self):
        """What is known of the sandbox of the part that is under way."""
        return self.known.setdefault("parts", {}).setdefault(self.part, {})

    def note(self, **known):
        self.of().update(known)
        self.write()

    def name(self):
        return f"r-{self.launcher.who[:12]}-{self.token}"[:60] + {"all": "", "agent": "-a", "evaluate": "-e"}[self.part]

    def cost(self):
        """Seconds of its sandboxes so far, and what they come to by list price."""
        s = self.launcher.settings
        seconds = time.time() - self.since if self.since else sum(part.get("until", time.time()) - part["at"] for part in self.known.get("parts", {}).values() if part.get("at"))
        cpu, memory = self.spec.get("cpus") or s["cpu"] or 0.125, (self.spec.get("memory_mb") or s["memory_mb"] or 128) / 1024
        per_hour = cpu * s["cpu_usd_per_hour"] + memory * s["memory_usd_per_gib_hour"]
        return seconds, per_hour, seconds / 3600 * per_hour

    def pass_on(self, line):
        """Before the last one, what it came to."""
        if self.group and not self.since:
            self.since = time.time()
        if line.get("event") == "finished":
            seconds, _, usd = self.cost()
            super().pass_on({"event": "note", "text": f"sandbox {(self.group or self).of().get('id')} of Modal: {seconds:.0f} s, about ${usd:.4f} at list price"})
        super().pass_on(line)

    def left(self, how, more):
        """What its agent did is kept before it is graded elsewhere; a result ends the trial wherever it was made."""
        if self.part == "agent" and "archive" in more and "agent.json" in (names := members(more["archive"])) and "result.json" not in names:
            self.is_left = True
            return self.note(archive=more["archive"])
        return super().left(how, more)

    def end(self, how, **more):
        """Work that was done outlives the sandbox in which it was to be graded."""
        done = self.known.get("parts", {}).get("agent", {}).get("archive")
        if done and "archive" not in more:
            more["archive"] = done
        if not self.over:
            self.tell_cost()
        super().end(how, **more)

    def tell_cost(self):
        seconds, per_hour, usd = self.cost()
        if not seconds:
            return
        with contextlib.suppress(OSError):
            new = Path(self.launcher.data, self.spec["dir"], ".cloud.json")
            new.write_text(json.dumps({"instance_type": f"Modal, {self.launcher.around()}", "job": (self.group or self).of().get("id"), "seconds": round(seconds, 1),
                                       "share": 1, "usd_per_hour": round(per_hour, 6), "usd": round(usd, 6)}) + "\n")
            new.rename(new.with_name("cloud.json"))

    # -- the sandbox

    def place(self):
        return PARCELS if self.part == "all" else VOLUME

    def brought(self):
        """Shell that puts what is in the volume where `far` looks for it."""
        names = [f"{i['sha256']}.tar" for i in self.spec["inputs"] if i["path"].startswith(OPEN)] if self.part != "all" else []
        return f"mkdir -p {PARCELS} && for f in {' '.join(names)}; do test -e {PARCELS}/$f || cp {VOLUME}/$f {PARCELS}/$f; done" if names else "true"

    def at_once(self):
        return 1

    async def find(self):
        try:
            return await within(CALL_SEC, modal.Sandbox.from_name.aio(self.launcher.settings["app"], self.name()))
        except NotFoundError:
            return None

    async def create(self):
        s, launcher = self.launcher.settings, self.launcher
        spec = self.spec
        cpu, memory = ((spec.get(given) or s[own]) * self.at_once() for given, own in (("cpus", "cpu"), ("memory_mb", "memory_mb")))
        more = {"cpu": cpu} if cpu else {}
        if memory:
            more["memory"] = (memory, memory)
        if s["gpu"]:
            more["gpu"] = s["gpu"]
        if s["region"]:
            more["region"] = s["region"]
        if s["runtime"]:
            more["runtime"] = s["runtime"]
        life = min(LIFE_SEC, s["timeout_sec"] or (spec["time_sec"] + SLACK_SEC if spec["time_sec"] else LIFE_SEC))
        volume = launcher.volumes[self.part == "all"]
        async with launcher.creates:
            return await within(s["create_sec"], modal.Sandbox.create.aio(
                app=launcher.app, image=launcher.image, name=self.name(), timeout=life, block_network=not s["network"],
                tags={"rollouts": launcher.who, "token": self.token}, secrets=[modal.Secret.from_name(n) for n in s["secrets"]],
                volumes={self.place(): volume.there.with_mount_options(read_only=True)}, **more))

    async def have(self):
        """Its sandbox: the one that was made for it, or a new one. Throttling and lost answers are waited out within the trial's clock."""
        end, patience = time.monotonic() + self.spec["time_sec"], 1
        if self.of().get("name"):
            if found := await self.find():
                return found
            if self.of().get("id"):
                raise Gone("its sandbox is gone")
        self.note(name=self.name())
        while not self.over:
            try:
                return await self.create()
            except AlreadyExistsError:
                if found := await self.find():
                    return found
            except TimeoutError as e:
                if found := await self.find():
                    return found
                why = e
            except ResourceExhaustedError as e:
                why = e
            except (ConnectionError, OSError) as e:
                why = e
            else:
                why = "its name is taken"
            if time.monotonic() + patience > end:
                raise Gone(f"no sandbox was to be had: {one_line(why)}")
            await asyncio.sleep(patience)
            patience = min(2 * patience, 30)
        raise Gone("cancelled")

    async def have_part(self):
        """The sandbox of its part, and that written down."""
        self.sandbox = await self.have()
        if not self.of().get("id"):
            self.note(id=self.sandbox.object_id, at=time.time())

    async def fate(self):
        """How its sandbox ended, in words; None while it is there."""
        try:
            code = await within(CALL_SEC, self.sandbox.poll.aio())
        except NotFoundError:
            return "its sandbox is gone"
        if code is None:
            return None
        status = None
        try:
            from modal._utils.async_utils import synchronizer
            result = synchronizer._translate_in(self.sandbox)._impl.result
            status = result.status if result else None
        except AttributeError:
            try:
                await within(CALL_SEC, self.sandbox.wait.aio())
            except SandboxTimeoutError:
                status = 4
            except SandboxTerminatedError:
                status = 3
        return f"its sandbox {self.sandbox.object_id} {STATUSES.get(status, f'ended with {code}')}"

    # -- a session in it

    async def pump(self, process, reader, writer):
        async def there():
            while data := await reader.read(BLOCK):
                process.stdin.write(data)
                await within(CALL_SEC * 2, process.stdin.drain.aio())

        async def back():
            async for data in process.stdout:
                writer.write(data)
                await writer.drain()

        async def words():
            async for data in process.stderr:
                with open(self.folder / "log", "ab") as log:
                    log.write(data)

        tasks = [asyncio.ensure_future(f()) for f in (there, back, words)]
        try:
            await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks[:2]:
                if task.done() and task.exception():
                    print(f"{self.token}: {one_line(task.exception())}", file=sys.stderr, flush=True)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def session(self):
        launcher, began = self.launcher, time.monotonic()
        alone = "" if self.part == "all" else f"--alone={self.part} "
        script = (f"{launcher.unpacked(self.place())} && {self.brought()} && exec {PROGRAMS}/rollouts-node far --job {JOB} --cache {CACHE} "
                  f"{alone}--side-by-side={self.at_once()} --around='{launcher.around()}' {' '.join(self.dirs())}")
        try:
            process = await within(CALL_SEC, self.sandbox.exec.aio("sh", "-c", script, text=False, bufsize=-1))
            status = await self.line(pump=lambda reader, writer: self.pump(process, reader, writer))
        except (NotFoundError, TimeoutError, ConnectionError, OSError) as e:
            self.launcher.trouble(e)
            return CUT, False
        return status, self.begun or time.monotonic() - began > 30

    async def watch(self):
        """The SDK would wait for ever for what is gone."""
        silent = None
        while not self.over and not self.is_left:
            await asyncio.sleep(WATCH_SEC)
            try:
                ended, silent = await self.fate(), None
            except Exception as e:  # whatever it is, the sandbox may be there
                self.launcher.trouble(e)
                silent = silent or time.monotonic()
                ended = (f"Modal was out of reach for {self.launcher.settings['lost_after_sec']} s: {one_line(e)}"
                         if time.monotonic() - silent > self.launcher.settings["lost_after_sec"] else None)
            if ended and not self.is_left:
                self.hear()
                if not self.is_left:
                    self.end(ended)
                if self.home:
                    self.home.kill()

    async def parts(self):
        """What is to be run, each in a sandbox of its own."""
        attempt = json.loads(Path(self.launcher.data, self.spec["dir"], "trial.json").read_text())
        if attempt["trial"].get("sandbox") == "docker":
            raise Gone(OWN_IMAGE)
        if self.known.get("alone") is None:
            self.write(alone=attempt["trial"].get("sandbox") != "none" and await self.launcher.find_out(self))
        if not self.known["alone"]:
            return ["all"]
        if attempt.get("agent_from") or attempt.get("preflight"):
            return ["evaluate"]
        return ["agent", "evaluate"] if attempt["trial"].get("evaluate", True) else ["agent"]

    async def run(self, part):
        """One part, from where it was."""
        self.part, self.is_left, self.told, self.rest, self.begun = part, False, 0, b"", False
        self.events = "events" if part == "all" else f"events-{part}"
        self.home_options = [] if part == "all" else ["--alone", part]
        if part == "evaluate" and (archive := self.known.get("parts", {}).get("agent", {}).get("archive")):
            self.home_options += ["--agent", archive]
        if self.of().get("archive"):
            return self.hear()
        await self.have_part()
        if self.over:  # cancelled meanwhile
            return None
        self.submitted(self.sandbox.object_id)
        watch, short = asyncio.ensure_future(self.watch()), 0
        try:
            while not self.over and not self.is_left:
                status, lasted = await self.session()
                short = 0 if lasted else short + 1
                if self.over or self.is_left:
                    break
                if status in (DONE, GONE):
                    self.end("its process is gone")
                elif status != CUT or short >= TRIES:
                    try:
                        ended = await self.fate()
                    except Exception as e:
                        ended = one_line(e)
                    self.end(ended or f"rollouts-node could not begin there: {self.last_words()}")
                else:
                    await asyncio.sleep(min(2 ** short, 10))
        finally:
            watch.cancel()

    async def go(self):
        try:
            await self.launcher.prepare(self)
            for part in await self.parts():
                await self.run(part)
                if self.over:
                    break
                await self.terminate()
        except Exception as e:
            self.end(one_line(e) if isinstance(e, Gone) else f"Modal could not begin it: {one_line(e)}")
        if not self.over:
            self.end("its agent's work came without an end")
        return await self.terminate()

    async def terminate(self):
        """Harmless twice; what stays all the same ends with its span of life."""
        if not self.sandbox or self.of().get("until"):
            return
        for seconds in (1, 4, 16):
            try:
                await within(CALL_SEC, self.sandbox.terminate.aio())
                break
            except NotFoundError:
                break
            except Exception as e:
                self.launcher.trouble(e)
                await asyncio.sleep(seconds)
        if self.folder.exists():
            self.note(until=time.time())


class Group(Trial):
    """Several trials in one sandbox, one after the other or side by side, over one line; each ends by itself. Its folder is STATE/g-TOKEN of the first."""

    def __init__(self, launcher, spec, known=None):
        self.members = {}
        super().__init__(launcher, spec, known)

    @staticmethod
    def spec_of(specs, side_by_side):
        rounds = -(-len(specs) // side_by_side)
        return {**specs[0], "token": f"g-{specs[0]['token']}", "jobs": specs, "side_by_side": min(side_by_side, len(specs)),
                "inputs": list({i["sha256"]: i for spec in specs for i in spec["inputs"]}.values()), "time_sec": rounds * max(s["time_sec"] for s in specs)}

    def take(self, job):
        self.members[job.token], job.group = job, self

    over = property(lambda self: all(job.over for job in self.members.values()), lambda self, _: None)

    def member(self, event):
        return self.members.get(event["token"], Nobody)

    def dirs(self):
        return [spec["dir"] for spec in self.spec["jobs"]]

    def at_once(self):
        return self.spec["side_by_side"]

    def submitted(self, name):
        for job in self.members.values():
            if not job.over:
                job.submitted(name)

    def end(self, how, **more):
        for job in self.members.values():
            job.end(how)

    def cancel_if_all(self):
        """A signal reaches all that run there: one that is cancelled alone is not heard of any more."""
        hows = [job.cancelled for job in self.members.values() if not job.over]
        if all(hows):
            self.cancel("kill" if "kill" in hows else "stop")

    async def parts(self):
        """Where Modal's sandbox has to be the box, each has its own."""
        if self.known.get("alone") is None:
            self.write(alone=await self.launcher.find_out(self))
        if not self.known["alone"]:
            return ["all"]
        members, self.members = self.members, {}
        for job in members.values():
            job.group = None
            job.write(group=None)
            job.making = self.launcher.task(job.go())
        return []


class Nobody:
    """Of a group that is heard again: a trial whose end was told."""
    pass_on = left = staticmethod(lambda *_: None)


class Modal(Launcher):
    job_class = Trial
    ABLE = {"shares": True}
    SETTINGS = {
        "app": ("rollouts", "a name: the app of Modal in which the sandboxes are"),
        "image": ("", 'an image of a registry that has git, bubblewrap and what the tasks need: "ghcr.io/ann/bench:1"'),
        "dockerfile": ("", "a Dockerfile, whose folder is its context; relative to the data folder's parent, or absolute"),
        "secrets": ([], 'a list of names of Modal secrets: ["github"]'),
        "cpu": (0.0, "a number of processors, for trials that say nothing"),
        "memory_mb": (0, "a whole number of MB, for trials that say nothing"),
        "gpu": ("", 'a GPU as Modal has it: "T4"'),
        "region": ("", 'a region as Modal has it: "eu-west"'),
        "runtime": ("", '"gvisor" or "vm"'),
        "network": (False, "true, where sandboxes may reach the network"),
        "volume": ("rollouts-inputs", "a name: the volume for inputs of trials"),
        "trials_per_job": (1, "a whole number: trials in one sandbox"),
        "side_by_side": (1, "a whole number: so many of them at once, with so many times the resources"),
        "timeout_sec": (0, "a whole number: how long a sandbox lives at most"),
        "create_sec": (180, "a whole number: how long Modal may take to answer that a sandbox was made, before it is looked up by its name"),
        "lost_after_sec": (600, "a whole number: how long Modal may be out of reach before trials are given up"),
        "cpu_usd_per_hour": (0.1419, "a number: the list price of one processor"),
        "memory_usd_per_gib_hour": (0.0242, "a number: the list price of memory"),
    }

    def __init__(self, hello):
        super().__init__(hello)
        self.creates, self.preparing, self.finding = asyncio.Semaphore(CREATES), None, None
        self.last_trouble, self.gathered, self.groups, self.told_short = 0.0, {}, {}, False

    def read(self, given):
        s = super().read(given)
        if s["runtime"] not in ("", "gvisor", "vm"):
            self.wrong("runtime")
        if not all(isinstance(n, str) and n for n in s["secrets"]):
            self.wrong("secrets")
        for key in ("trials_per_job", "side_by_side"):
            if s[key] < 1:
                self.wrong(key)
        if s["side_by_side"] > s["trials_per_job"]:
            raise Refused("side_by_side: more than trials_per_job")
        if s["image"] and s["dockerfile"]:
            raise Refused("image and dockerfile: one of them")
        if s["dockerfile"] and not Path(s["dockerfile"]).is_file():
            raise Refused(f"dockerfile: {s['dockerfile']}: no such file")
        return s

    def trouble(self, error):
        print(f"{one_line(error)}", file=sys.stderr, flush=True)
        if time.monotonic() - self.last_trouble > 60:
            self.last_trouble = time.monotonic()
            note(one_line(error)[:300])

    async def start(self):
        """Credentials and the app; nothing is made that costs."""
        if modal.__version__ != VERSION:
            raise Refused(f"modal {modal.__version__} is installed where {VERSION} is needed: rollouts launcher install modal", fault=True)
        hold(Path(self.state))
        apps = Path(self.state, "apps")  # where clean looks
        if self.settings["app"] not in (apps.read_text().split("\n") if apps.exists() else []):
            with open(apps, "a") as file:
                file.write(self.settings["app"] + "\n")
        try:
            self.app = await within(CALL_SEC, modal.App.lookup.aio(self.settings["app"], create_if_missing=True))
        except AuthError as e:
            raise Refused(f"{one_line(e)} (MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or ~/.modal.toml by `modal token new`)", fault=True) from None
        except Exception as e:
            raise Refused(f"Modal does not answer: {one_line(e)}", fault=True) from None
        for name in self.settings["secrets"]:
            try:
                await within(CALL_SEC, modal.Secret.from_name(name).hydrate.aio())
            except NotFoundError:
                raise Refused(f"secrets: there is no secret {name} at Modal") from None
        s = self.settings
        if s["dockerfile"]:
            path = Path(s["dockerfile"]).resolve()
            self.image = modal.Image.from_dockerfile(path, context_dir=path.parent)
        elif s["image"]:
            self.image = modal.Image.from_registry(s["image"])
        else:
            self.image = modal.Image.from_registry("debian:bookworm").dockerfile_commands(DEFAULT_IMAGE)
        # What a sandbox of Modal's alone may see, in which an agent and what it made have the machine to themselves; and all.
        self.volumes = Volume(f"{s['volume']}-open"), Volume(s["volume"])
        self.task(self.bury())

    # -- what trials need, once for all

    async def prepare(self, job):
        if not self.preparing or (self.preparing.done() and self.preparing.exception()):
            self.preparing = asyncio.ensure_future(self.prepare_all())
        await asyncio.shield(self.preparing)
        for entry in job.spec["inputs"]:
            path = Path(self.data, "cache/parcels", f"{entry['sha256']}.tar")
            alone = job.known.get("alone")
            if alone is not True:
                await self.volumes[1].have(path)
            if alone is not False and entry["path"].startswith(OPEN):
                await self.volumes[0].have(path)

    async def prepare_all(self):
        programs, name = self.bundle()
        self.programs = f"programs-{name}.tar"
        path = Path(self.state, self.programs)
        path.write_bytes(programs)
        try:
            for volume in self.volumes:
                await volume.open()
                await volume.have(path)
        finally:
            path.unlink(missing_ok=True)
        try:
            await within(3600, self.image.build.aio(self.app))
        except Exception as e:
            raise Gone(f"its image could not be built: {one_line(e)}") from None

    def unpacked(self, place=PARCELS):
        return f"{{ test -x {PROGRAMS}/rollouts-node || {{ mkdir -p {PROGRAMS} && tar -xf {place}/{self.programs} -C {PROGRAMS}; }}; }}"

    def around(self):
        return AROUND[self.settings["runtime"] or "gvisor"]

    # -- what its sandboxes allow

    async def find_out(self, job):
        """Whether Modal's sandbox has to be the box, by trying whether ours starts there, once: in the sandbox of the first trial."""
        while True:
            own = not self.finding or (self.finding.done() and (self.finding.cancelled() or self.finding.exception()))
            if own:
                self.finding = asyncio.ensure_future(self.try_sandbox(job))
            try:
                return await asyncio.shield(self.finding)
            except Exception:
                if own:
                    raise

    async def refused(self, sandbox):
        """Why our sandbox does not start in that one, as a trial would have it; "" where it does."""
        script = f"{self.unpacked()} && mkdir -p /rollouts/try && cd /rollouts/try && exec {PROGRAMS}/rollouts-trial --try-sandbox"
        process = await within(CALL_SEC, sandbox.exec.aio("sh", "-c", script, text=False, timeout=60))
        words = (await within(90, process.stderr.read.aio())).decode(errors="replace").split()
        return " ".join(words).partition(";")[0][:300] or "no reason given" if await within(CALL_SEC, process.wait.aio()) else ""

    async def try_sandbox(self, job):
        await job.have_part()
        why = await self.refused(job.sandbox)
        if why:
            note(f"our sandbox does not start in Modal's ({why}), so that is the box: one for each agent, one for its grading")
            await job.terminate()
            job.sandbox = None
        return bool(why)

    # -- trials

    def tell_short(self, job):
        """A sandbox that ends before its trial has to takes the trial with it."""
        needs, lasts = job.spec["time_sec"] + SLACK_SEC, self.settings["timeout_sec"] or LIFE_SEC
        if lasts < needs and not self.told_short:
            self.told_short = True
            note(f"a trial may take {needs} s by its limits, and its sandbox lives {lasts} s"
                 + (" (timeout_sec)" if self.settings["timeout_sec"] else ", the most that Modal gives") + ": what takes longer is lost with it")

    async def put(self, job):
        self.tell_short(job)
        if group := job.known.get("group"):
            return self.rejoin(job, group)
        attempt = json.loads(Path(self.data, job.spec["dir"], "trial.json").read_text())
        if self.settings["trials_per_job"] == 1 or job.known.get("parts") or attempt["trial"].get("sandbox") != "local":
            job.making = self.task(job.go())
            return None
        like = self.gathered.setdefault((job.spec.get("cpus"), job.spec.get("memory_mb")), [])
        like.append(job)
        if len(like) == self.settings["trials_per_job"]:
            return self.begin_group(like)
        await asyncio.sleep(GATHER_SEC)
        return self.begin_group(like) if job in like else None

    def begin_group(self, like):
        jobs = [job for job in like if not job.over]
        like.clear()
        if not jobs:
            return
        group = Group(self, Group.spec_of([job.spec for job in jobs], self.settings["side_by_side"]))
        self.groups[group.token] = group
        group.write()
        for job in jobs:
            group.take(job)
            job.write(group=group.token)
        group.making = self.task(group.go())

    def rejoin(self, job, token):
        """Those of one group are attached to one after the other; it goes on when all that were not told of are there."""
        group = self.groups.get(token)
        if not group:
            try:
                kept = json.loads(Path(self.state, token, "job.json").read_text())
            except OSError:
                return job.end("its group is gone")
            group = self.groups[token] = Group(self, kept["job"], kept["known"])
        group.take(job)
        if not group.making:
            group.making = self.task(self.begin_again(group))
        return None

    async def begin_again(self, group):
        await asyncio.sleep(GATHER_SEC)
        await group.go()

    def words(self, job, how):
        return how if how == "exit status 0" else f"{how} in Modal's sandbox {job.of().get('id')}"

    async def done(self, job):
        """One that was cancelled while its sandbox was made has one all the same."""
        if job.making:
            await asyncio.wait({job.making})
        if job.group:
            return await self.leave_group(job)
        await job.terminate()

    async def leave_group(self, job):
        group = job.group
        group.members.pop(job.token, None)
        if not group.members:
            self.groups.pop(group.token, None)
            await asyncio.wait({group.making})
            await group.terminate()
            await group.forget()

    async def bury(self):
        """What an earlier one of us did not get done in the time that it had to leave."""
        for file in Path(self.state).glob("*/job.json"):
            kept = json.loads(file.read_text())
            # Of a group each is done by itself.
            done = all(not Path(self.state, j["token"]).exists() for j in kept["job"]["jobs"]) if "jobs" in kept["job"] else kept["known"].get("forgotten")
            if done and file.parent.name not in self.jobs:
                job = Trial(self, kept["job"], kept["known"])
                for job.part in list(kept["known"].get("parts", {})):
                    job.sandbox = await job.find()
                    await job.terminate()
                await job.forget()


def hold(state, alone=False):
    """The lock that each of us shares while it runs; whether it was to be had."""
    fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    try:
        asyncio.run(Modal.serve())
    except Exception as error:
        sys.exit(f"Modal: {one_line(error)}")

# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of Modal, on loopback, as our launcher asks for by Modal's own SDK (whose protobuf classes and gRPC server this uses: run it with
that Python, as root). Sandboxes are real: a mount, a PID and, without a network, a network namespace over this machine's root, copy on
write; commands are processes with streams, signals and exit codes. Everything lies in a tmpfs of a mount namespace of its own.

    PYTHON modal_server.py [--throttle N] [--secret NAME] [--no-namespaces]     prints one line of JSON: url, control

With --no-namespaces whoever runs in a sandbox may make none, nor mount.

`control` is plain HTTP. GET /calls: the names of the calls so far. POST /fault {"method", "status": a gRPC name, "when": "before"|"after" the deed, "delay":
seconds, "cut": bytes after which a stream breaks, "skip": N, "times": N}. POST /end {"token", "status": a name of GenericResult}: the sandbox with that tag
ends. POST /stop {}: from now on nothing is answered. GET /sandboxes: what is known of each."""
import argparse
import asyncio
import collections
import ctypes
import hashlib
import json
import os
import platform
import secrets
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from pathlib import Path

from aiohttp import web
from google.protobuf import empty_pb2, message_factory
from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from grpclib.server import Server
from modal_proto import api_pb2 as api
from modal_proto import task_command_router_pb2 as router

INIT = [sys.executable, "-IS", str(Path(__file__).with_name("modal_box.py"))]
CHUNK = 65536
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


def new_id(prefix):
    return f"{prefix}-{secrets.token_hex(11)}"


def jwt():
    body = urlsafe_b64encode(json.dumps({"exp": time.time() + 3600}).encode()).rstrip(b"=").decode()
    return f"e30.{body}.x"


def with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Stream:
    """What a descriptor said, for readers from any offset."""

    def __init__(self):
        self.data, self.over, self.news = bytearray(), False, asyncio.Condition()

    async def fill(self, reader):
        while block := await reader.read(CHUNK):
            await self.add(block)
        await self.add(b"", over=True)

    async def add(self, block, over=False):
        async with self.news:
            self.data += block
            self.over |= over
            self.news.notify_all()

    async def read(self, offset):
        while True:
            async with self.news:
                await self.news.wait_for(lambda: self.over or len(self.data) > offset)
                block, over = bytes(self.data[offset:offset + CHUNK]), self.over
            if block:
                yield block
            elif over:
                return
            offset += len(block)


def refuse_namespaces():
    """What an engine without nested namespaces refuses to whoever runs in its sandboxes, root or not: making any, mounting, Landlock."""
    load, equal, masked, give = 0x20, 0x15, 0x45, 0x06
    denied, unknown, allowed = 0x50000 | 1, 0x50000 | 38, 0x7FFF0000
    arm = platform.machine() == "aarch64"
    unshare, mount, pivot_root, clone = (97, 40, 41, 220) if arm else (272, 165, 155, 56)
    code = [(load, 0, 0, 0)]
    for number, answer in ((unshare, denied), (mount, denied), (pivot_root, denied), (428, denied), (430, denied), (442, denied),
                           (444, unknown), (435, unknown)):
        code += [(equal, 0, 1, number), (give, 0, 0, answer)]
    code += [(equal, 0, 3, clone), (load, 0, 0, 16), (masked, 0, 1, 0x7E020000), (give, 0, 0, denied), (give, 0, 0, allowed)]
    packed = b"".join(struct.pack("=HBBI", *one) for one in code)
    text = ctypes.create_string_buffer(packed)
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(text)))
    if ctypes.CDLL(None, use_errno=True).prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


class Exec:
    def __init__(self):
        self.out, self.err, self.taken, self.status, self.ended = Stream(), Stream(), 0, None, asyncio.Event()

    async def start(self, argv, env, before=None):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env,
                                                            start_new_session=True, preexec_fn=before)
        self.tasks = [asyncio.ensure_future(t) for t in (self.out.fill(self.process.stdout), self.err.fill(self.process.stderr), self.wait())]

    async def wait(self):
        self.status = await self.process.wait()
        self.ended.set()

    async def write(self, offset, data, eof):
        if offset > self.taken:
            raise GRPCError(Status.FAILED_PRECONDITION, "a gap in stdin")
        data = data[self.taken - offset:]
        try:
            self.process.stdin.write(data)
            await self.process.stdin.drain()
            self.taken += len(data)
            if eof:
                self.process.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            raise GRPCError(Status.FAILED_PRECONDITION, "stdin is closed") from None


class Box:
    def __init__(self, folder, lower, workdir="/", binds=(), network=True):
        self.folder, self.lower, self.workdir, self.binds, self.network = folder, lower, workdir, binds, network

    async def start(self):
        os.makedirs(self.folder)
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", *([] if self.network else ["--net"])]
        self.outer = await asyncio.create_subprocess_exec(
            *argv, *INIT, ":".join(self.lower), self.folder, self.workdir, *(x for b in self.binds for x in b), env=ENV,
            stdin=subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, preexec_fn=with_parent)
        if await self.outer.stdout.readline() != b"ok\n":
            raise RuntimeError("the box did not start")
        self.pid = int(Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()[0])
        if not self.network:
            subprocess.run(["nsenter", f"--target={self.pid}", "--net", "ip", "link", "set", "lo", "up"], check=False)

    def enter(self, argv, cwd=None):
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", *([] if self.network else ["--net"]),
                f"--wdns={cwd or self.workdir}", "--", *argv]

    async def stop(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await self.outer.wait()


class Sandbox:
    def __init__(self, definition, app, tags, env):
        self.definition, self.app, self.tags, self.env = definition, app, tags, env
        self.id, self.task, self.created = new_id("sb") + "v2", new_id("ta") + "V1", time.time()
        self.result, self.execs, self.ready, self.ended = None, {}, asyncio.Event(), asyncio.Event()

    async def end(self, status, code=0):
        if not self.result:
            self.result = api.GenericResult(status=api.GenericResult.GenericStatus.Value("GENERIC_STATUS_" + status), exitcode=code)
            await self.ready.wait()
            await self.box.stop()
            self.ended.set()


class Modal:
    """A method for each call, by its name."""

    def __init__(self, options, top):
        self.options, self.top, self.numbers = options, top, iter(range(1 << 30))
        self.apps, self.images, self.mounts, self.files, self.blobs, self.volumes, self.sandboxes = {}, {}, {}, {}, {}, {}, {}
        self.calls, self.faults, self.dumb = collections.Counter(), [], False

    def folder(self):
        return f"{self.top}/{next(self.numbers)}"

    async def AuthTokenGet(self, q):
        return api.AuthTokenGetResponse(token=jwt())

    async def EnvironmentGetOrCreate(self, q):
        return api.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=api.EnvironmentMetadata(
            name="main", settings=api.EnvironmentSettings(image_builder_version="2025.06")))

    async def AppGetOrCreate(self, q):
        return api.AppGetOrCreateResponse(app_id=self.apps.setdefault(q.app_name, new_id("ap")))

    async def SecretGetOrCreate(self, q):
        if q.deployment_name not in self.options.secret:
            raise GRPCError(Status.NOT_FOUND, f"Secret '{q.deployment_name}' not found")
        return api.SecretGetOrCreateResponse(secret_id="st-" + q.deployment_name, metadata=api.SecretMetadata(name=q.deployment_name))

    # files, volumes

    async def MountBatchedCheckExistence(self, q):
        return api.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=[h for h in q.sha256_hex_hashes if h not in self.files])

    async def MountPutFile(self, q):
        if q.WhichOneof("data_oneof"):
            data = q.data if q.WhichOneof("data_oneof") == "data" else self.blobs.pop(q.data_blob_id)
            if hashlib.sha256(data).hexdigest() != q.sha256_hex:
                raise GRPCError(Status.INVALID_ARGUMENT, "not the content that its hash says")
            self.files[q.sha256_hex] = data
        return api.MountPutFileResponse(exists=q.sha256_hex in self.files)

    async def MountGetOrCreate(self, q):
        mount = new_id("mo")
        self.mounts[mount] = {f.filename.lstrip("/"): (f.sha256_hex, f.mode) for f in q.files}
        return api.MountGetOrCreateResponse(mount_id=mount, handle_metadata=api.MountHandleMetadata())

    async def BlobCreate(self, q):
        blob = new_id("bl")
        return api.BlobCreateResponse(blob_ids=[blob], upload_urls=api.UploadUrlList(items=[f"{self.http}/blob/{blob}"]))

    async def VolumeGetOrCreate(self, q):
        volume = "vo-" + hashlib.sha256(q.deployment_name.encode()).hexdigest()[:22]
        if volume not in self.volumes:
            self.volumes[volume] = Path(self.folder())
            self.volumes[volume].mkdir()
        return api.VolumeGetOrCreateResponse(volume_id=volume, version=api.VOLUME_FS_VERSION_V1, metadata=api.VolumeMetadata(
            version=api.VOLUME_FS_VERSION_V1, name=q.deployment_name))

    async def VolumePutFiles(self, q):
        for f in q.files:
            to = self.volumes[q.volume_id] / f.filename.lstrip("/")
            to.with_suffix(".new").write_bytes(self.files[f.sha256_hex])
            to.with_suffix(".new").rename(to)
        return empty_pb2.Empty()

    async def VolumeListFiles(self, q):
        yield api.VolumeListFilesResponse(entries=[api.FileEntry(path=p.name, type=api.FileEntry.FILE, size=p.stat().st_size)
                                                   for p in self.volumes[q.volume_id].iterdir()])

    # images: FROM, RUN, COPY and WORKDIR of one stage

    async def ImageGetOrCreate(self, q):
        image = "im-" + hashlib.sha256(q.image.SerializeToString(deterministic=True)).hexdigest()[:22]
        if image not in self.images:
            self.images[image] = asyncio.ensure_future(self.build(q.image))
        return api.ImageGetOrCreateResponse(image_id=image, metadata=api.ImageMetadata(workdir="/", image_builder_version="2025.06"))

    async def ImageJoinStreaming(self, q):
        layers, log, why = await asyncio.shield(self.images[q.image_id])
        yield api.ImageJoinStreamingResponse(task_logs=[api.TaskLogs(data=log)])
        status = api.GenericResult.GENERIC_STATUS_FAILURE if why else api.GenericResult.GENERIC_STATUS_SUCCESS
        yield api.ImageJoinStreamingResponse(result=api.GenericResult(status=status, exception=why), eof=True,
                                             metadata=api.ImageMetadata(workdir="/", image_builder_version="2025.06"))

    async def build(self, image):
        layers, log, workdir, box = ["/"], "", "/", None
        for base in image.base_images:
            layers = (await asyncio.shield(self.images[base.image_id]))[0]
        context = self.mounts.get(image.context_mount_id, {})
        for word, _, rest in (line.strip().partition(" ") for line in "\n".join(image.dockerfile_commands).replace("\\\n", " ").splitlines()):
            log += f"{word} {rest}\n"
            if word in ("RUN", "COPY") and not box:
                box = Box(self.folder(), layers)
                await box.start()
            if word == "RUN":
                done = await asyncio.create_subprocess_exec(*box.enter(["sh", "-c", rest], workdir), env=ENV, stdin=subprocess.DEVNULL,
                                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                log += (await done.communicate())[0].decode(errors="replace")
                if done.returncode:
                    await box.stop()
                    return layers, log, f"RUN {rest}: exit status {done.returncode}"
            elif word == "COPY":
                source, target = shlex.split(rest)
                sha, mode = context[source.removeprefix("./")]
                to = Path(box.folder, "upper", target.lstrip("/"))
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(self.files[sha])
                to.chmod(mode or 0o644)
        if box:
            await box.stop()
            layers = [f"{box.folder}/upper", *layers]
        return layers, log, ""

    # sandboxes

    def sandbox(self, key):
        found = next((s for s in self.sandboxes.values() if key in (s.id, s.task)), None)
        if not found:
            raise GRPCError(Status.NOT_FOUND, "no such sandbox")
        return found

    async def SandboxCreateV2(self, q):
        d = q.definition
        running = [s for s in self.sandboxes.values() if not s.result]
        if any(s.definition.name == d.name for s in running):
            raise GRPCError(Status.ALREADY_EXISTS, f"a sandbox named {d.name} is running")
        if len(running) >= self.options.throttle:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many sandboxes")
        blocked = d.network_access.network_access_type == api.NetworkAccess.BLOCKED
        s = Sandbox(d, q.app_id, {t.tag_name: t.tag_value for t in q.tags}, {"SECRETS": " ".join(s.secret_id for s in q.secret_sources)})
        self.sandboxes[s.id] = s
        binds = [(str(self.volumes[m.volume_id]), m.mount_path, "ro" if m.read_only else "rw") for m in d.volume_mounts]
        s.box = Box(self.folder(), (await asyncio.shield(self.images[d.image_id]))[0], "/", binds, network=not blocked)
        await s.box.start()
        s.ready.set()
        asyncio.get_running_loop().call_later(d.timeout_secs, lambda: asyncio.ensure_future(s.end("TIMEOUT")))
        return api.SandboxCreateV2Response(sandbox_id=s.id, task_id=s.task, metadata=api.SandboxHandleMetadata(app_id=s.app),
                                           command_router_access=api.CommandRouterAccess(jwt=jwt(), url=f"http://{self.address}"))

    async def SandboxGetCommandRouterAccess(self, q):
        self.sandbox(q.sandbox_id)
        return api.SandboxGetCommandRouterAccessResponse(jwt=jwt(), url=f"http://{self.address}")

    async def SandboxGetTaskIdV2(self, q):
        return api.SandboxGetTaskIdResponse(task_id=self.sandbox(q.sandbox_id).task)

    async def SandboxWaitV2(self, q):
        s = self.sandbox(q.sandbox_id)
        try:
            await asyncio.wait_for(s.ended.wait(), q.timeout or 0.001)
        except asyncio.TimeoutError:
            pass
        return api.SandboxWaitResponse(result=s.result)

    async def SandboxTerminateV2(self, q):
        s = self.sandbox(q.sandbox_id)
        before = s.result
        await s.end("TERMINATED", 137)
        return api.SandboxTerminateResponse(existing_result=before)

    async def SandboxGetFromNameV2(self, q):
        for s in self.sandboxes.values():
            if s.definition.name == q.sandbox_name and s.app == self.apps.get(q.app_name) and not s.result:
                return api.SandboxGetFromNameResponse(sandbox_id=s.id, metadata=api.SandboxHandleMetadata(app_id=s.app))
        raise GRPCError(Status.NOT_FOUND, f"no running sandbox {q.sandbox_name}")

    SandboxGetFromName = SandboxGetFromNameV2

    async def SandboxTagsGetV2(self, q):
        tags = self.sandbox(q.sandbox_id).tags
        return api.SandboxTagsGetResponse(tags=[api.SandboxTag(tag_name=k, tag_value=v) for k, v in tags.items()])

    async def SandboxListV2(self, q):
        wanted = {t.tag_name: t.tag_value for t in q.tags}
        found = [s for s in self.sandboxes.values() if wanted.items() <= s.tags.items() and (q.include_finished or not s.result)
                 and (not q.before_timestamp or s.created < q.before_timestamp)]
        return api.SandboxListResponse(sandboxes=[api.SandboxInfo(
            id=s.id, created_at=s.created, app_id=s.app, name=s.definition.name, task_info=api.TaskInfo(id=s.task),
            metadata=api.SandboxHandleMetadata(app_id=s.app)) for s in sorted(found, key=lambda s: -s.created)[:10]])

    # commands in them

    def exec(self, q):
        s = self.sandbox(q.task_id)
        if s.result or q.exec_id not in s.execs:
            raise GRPCError(Status.NOT_FOUND, "no such exec")
        return s.execs[q.exec_id]

    async def TaskExecStart(self, q):
        s = self.sandbox(q.task_id)
        if s.result:
            raise GRPCError(Status.NOT_FOUND, "the task has ended")
        await s.ready.wait()
        if q.exec_id not in s.execs:
            s.execs[q.exec_id] = Exec()
            await s.execs[q.exec_id].start(s.box.enter(list(q.command_args), q.workdir or None), {**ENV, **s.env},
                                           refuse_namespaces if self.options.no_namespaces else None)
        return router.TaskExecStartResponse()

    async def TaskExecStdioRead(self, q):
        e = self.exec(q)
        of = e.err if q.file_descriptor == router.TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDERR else e.out
        async for block in of.read(q.offset):
            yield router.TaskExecStdioReadResponse(data=block)

    async def TaskExecStdinWrite(self, q):
        await self.exec(q).write(q.offset, q.data, q.eof)
        return router.TaskExecStdinWriteResponse()

    async def TaskExecStdinStatus(self, q):
        e = self.exec(q)
        return router.TaskExecStdinStatusResponse(num_bytes_written=e.taken, closed=e.ended.is_set())

    async def TaskExecWait(self, q):
        e = self.exec(q)
        await e.ended.wait()
        return router.TaskExecWaitResponse(code=e.status) if e.status >= 0 else router.TaskExecWaitResponse(signal=-e.status)

    async def TaskExecPoll(self, q):
        e = self.exec(q)
        return router.TaskExecPollResponse(code=abs(e.status)) if e.ended.is_set() else router.TaskExecPollResponse()

    # what every call goes through

    def fault(self, name):
        for f in self.faults:
            if f["method"] == name and f.get("times", 1) > 0:
                if f.get("skip", 0) > 0:
                    f["skip"] -= 1
                    return {}
                f["times"] = f.get("times", 1) - 1
                return f
        return {}

    @staticmethod
    async def play(fault):
        await asyncio.sleep(fault.get("delay", 0))
        if "status" in fault:
            raise GRPCError(Status[fault["status"]], "as asked for")

    def handler(self, method):
        work = getattr(self, method.name, None)

        async def serve(stream):
            while self.dumb:
                await asyncio.sleep(1)
            self.calls[method.name] += 1
            if not work or method.client_streaming:
                raise GRPCError(Status.UNIMPLEMENTED, f"{method.name} is not here")
            token = stream.metadata.get("x-modal-token-secret")
            if "ModalClient" in method.full_name and token != "as-fake":
                raise GRPCError(Status.UNAUTHENTICATED, "Token missing or wrong")
            q, fault = await stream.recv_message(), self.fault(method.name)
            if fault.get("when") != "after":
                await self.play(fault)
            if method.server_streaming:
                sent = 0
                async for part in work(q):
                    await stream.send_message(part)
                    sent += len(getattr(part, "data", b""))
                    if sent >= fault.get("cut", 1 << 60):
                        raise GRPCError(Status.UNAVAILABLE, "cut as asked for")
                return
            answer = await asyncio.shield(asyncio.ensure_future(work(q)))  # done, though who asked may have gone
            if fault.get("when") == "after":
                await self.play(fault)
            await stream.send_message(answer)

        kinds = {(False, False): Cardinality.UNARY_UNARY, (False, True): Cardinality.UNARY_STREAM,
                 (True, False): Cardinality.STREAM_UNARY, (True, True): Cardinality.STREAM_STREAM}
        return Handler(serve, kinds[method.client_streaming, method.server_streaming], message_factory.GetMessageClass(method.input_type),
                       message_factory.GetMessageClass(method.output_type))

    def __mapping__(self):
        services = [file.DESCRIPTOR.services_by_name[n] for file, n in ((api, "ModalClient"), (router, "TaskCommandRouter"))]
        return {f"/{s.full_name}/{m.name}": self.handler(m) for s in services for m in s.methods}

    def control(self):
        app, routes = web.Application(client_max_size=1 << 30), web.RouteTableDef()

        @routes.put("/blob/{id}")
        async def blob(r):
            data = self.blobs[r.match_info["id"]] = await r.read()
            return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

        @routes.get("/calls")
        async def calls(r):
            return web.json_response(self.calls)

        @routes.get("/sandboxes")
        async def sandboxes(r):
            return web.json_response([{"token": s.tags.get("token"), "name": s.definition.name, "ended": bool(s.result), "timeout": s.definition.timeout_secs,
                                       "network": s.box.network, "cpu": s.definition.resources.milli_cpu,
                                       "memory_mb": s.definition.resources.memory_mb, "secrets": s.env["SECRETS"]}
                                      for s in self.sandboxes.values()])

        @routes.post("/fault")
        async def fault(r):
            self.faults.append(await r.json())
            return web.json_response({})

        @routes.post("/stop")
        async def stop(r):
            self.dumb = (await r.json()).get("dumb", True)
            return web.json_response({})

        @routes.post("/end")
        async def end(r):
            q = await r.json()
            for s in [s for s in self.sandboxes.values() if s.tags.get("token") == q["token"]]:
                await s.end(q["status"], 137)
            return web.json_response({})

        app.add_routes(routes)
        return app


async def main(options, top):
    modal = Modal(options, top)
    runner = web.AppRunner(modal.control())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    modal.http = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    server = Server([modal])
    await server.start("127.0.0.1", 0)
    modal.address = f"127.0.0.1:{server._server.sockets[0].getsockname()[1]}"
    print(json.dumps({"url": f"http://{modal.address}", "control": modal.http}), flush=True)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    for s in modal.sandboxes.values():
        await s.end("TERMINATED")



if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--throttle", type=int, default=1000)
    parser.add_argument("--no-namespaces", action="store_true")
    parser.add_argument("--secret", action="append", default=[])
    given = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="rollouts-modal-")
    libc = ctypes.CDLL(None, use_errno=True)
    # A mount namespace of its own: what is mounted here ends with us, and the empty folder need not stay.
    if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x44000, None) or libc.mount(b"none", folder.encode(), b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
    try:
        asyncio.run(main(given, folder))
    finally:
        libc.umount2(folder.encode(), 2)
        os.rmdir(folder)

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model provider that is not one: strict, scripted, faulty on request. Standard library only.

    tests/fake/model_server.py [--port N] [--config FILE]      prints {"port": N} and serves 127.0.0.1
    with ModelServer(config) as fake: ... fake.url, fake.log(), fake.state()      the same, in a thread

It answers OpenAI /v1/responses, /v1/chat/completions, /v1/models; Anthropic /v1/messages (and /count_tokens);
Gemini /v1beta/models/M:generateContent, :streamGenerateContent (?alt=sse), :countTokens; streaming and not. It
rejects what the real ones reject, in their words and with their status: see model_openai.py and its siblings.
A model whose name has "thinks" in it wants back what it thought, as it said it: Anthropic's after the same history only.

The configuration, a JSON object; every member may be absent:
  keys     ["sk-fake"]: the keys it knows; null (the default): any, but one must be sent, in the right header
  models   ["gpt-*", ...]: globs over model names it knows, default ["*"]
  aliases  {"gpt-4": "gpt-4-0613"}: the model that answers, as its answers name it
  scripts  [{"model": glob, "prompt": substring of a user's or system text, "turns": [...]}]: the first that
           matches is played; without one the model says "Done."
           A prompt may bring its own: "... [[fake {\"turns\": [{\"shell\": \"make\"}, {\"text\": \"ok\"}]}]]"
           A turn: {"text": said, "shell": command or [commands at once], "tools": [{"name", "arguments"}],
           "reasoning": text, "refusal": text (in place of an answer), "stop": "length", "repeat": text so many times, "usage": {...}, "options": {...}}
           The last turn of text alone also runs "submit" for a client whose system prompt asks for `submit`, unless "submit" is false.
           "shell" becomes a call of the shell tool that the client offered, whatever it is called (codex
           exec_command, shell or code mode; Bash; bash; run_shell_command), with its own argument names. A
           request that offers no tool at all (a title, a summary) gets a text and is no turn of the script.
           Which turn it is follows from the tool results in the request's history: nothing is remembered.
           "usage": {input, cached, cache_write, output, reasoning}: input holds the cached and written ones,
           output the reasoning. Without it turn N (from 0) costs input 1000+500N, cached 300+500N (turn 0: 0),
           cache_write 100 (anthropic only), output 50+10N, reasoning 20.
           "usage" and "options" of a script stand for all its turns.
  rules    faults, the first that matches counts: {"model": glob, "path": substring, "key": exactly, "prompt":
           substring of the body, "nth": [1, 4] | "first": 2 | "every": 3 (of the requests that match), "do": {...}}
  options  what every request gets, as "do" below
  quotas   [{"model": glob, "key": exactly, "concurrent": 8, "per_second": 20, "burst": 20, "retry_after": 0.2}]:
           more than that get a 429 (with Retry-After when given); counted in the state as "over"
"do" and "options":
  status, body, headers   answer that at once; without a body, the provider's own error of that status
  stall N        wait N seconds before the first byte (null: until the client leaves, or /_fake/release)
  delay N        as stall, but the request counts as being answered: for gauges of concurrency
  stall_after K  stream K events, then silence until the client leaves, or /_fake/release
  cut_after K    stream K events, then close the connection as if that were all (no last chunk)
  reset          a TCP reset instead of an answer;     reset_after K: after K events
  close          close without an answer
  drip N         N seconds between events
  chunk N        write the answer in pieces of N bytes, whatever that splits
  plain          no Transfer-Encoding: the answer ends with the connection
  no_usage       report no usage
  split N        answer a "status" in two pieces, the first of N bytes (cut_after 1: without the second)
  spent NAME, busy NAME   refuse as that provider does an account that is spent, or too many requests: model_quota.py
  context N      a request of more than N tokens, 4 bytes of its body each, is refused as too long
  add_headers    {name: value} more headers of a good answer

Control, without a key: GET /_fake/log[?since=N] (exact bytes in base64), GET /_fake/state, POST /_fake/config
(members given replace the old ones), POST /_fake/reset (log, counts), POST /_fake/release (end every stall),
POST /_fake/refuse {"seconds": N} (connections are refused for so long).
"""
import argparse
import asyncio
import base64
import contextlib
import fnmatch
import json
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

import model_openai
import model_quota
from model_anthropic import Anthropic
from model_dialects import Refusal, Request, compact
from model_gemini import ROUTE, Gemini
from model_openai import Chat, Responses
from model_script import BadScript, make_turn

MEMBERS = {"keys", "models", "aliases", "scripts", "rules", "options", "quotas"}
DOINGS = set("""status body headers stall delay stall_after cut_after reset reset_after close drip chunk plain no_usage
    split context add_headers spent busy""".split())
MAX_HEAD, MAX_BODY = 256 << 10, 1 << 30
REASON = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
          405: "Method Not Allowed", 413: "Content Too Large", 415: "Unsupported Media Type", 426: "Upgrade Required",
          429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable", 529: "Overloaded"}


class Gone(Exception):
    """The client left, or the connection is to end here."""


class Entry:
    """One request in the log."""

    def __init__(self, request, connection):
        self.request, self.connection, self.began = request, connection, time.time()
        self.status, self.answer, self.ended, self.left = None, b"", None, False
        self.model = self.dialect = self.key = self.turn = self.usage = self.fault = None

    def document(self):
        request = self.request
        return {"n": request.number, "connection": self.connection, "began": self.began, "ended": self.ended,
                "method": request.method, "target": request.target, "headers": request.headers,
                "body": base64.b64encode(request.body).decode(), "status": self.status,
                "answer": base64.b64encode(self.answer).decode(), "left": self.left, "dialect": self.dialect,
                "model": self.model, "key": self.key, "turn": self.turn, "usage": self.usage, "fault": self.fault}


class Gauge:
    """How many requests are being answered, and the most there were, by model."""

    def __init__(self):
        self.now, self.most, self.over = {}, {}, 0

    def enter(self, name):
        for key in (name, ""):
            self.now[key] = self.now.get(key, 0) + 1
            self.most[key] = max(self.most.get(key, 0), self.now[key])

    def leave(self, name):
        for key in (name, ""):
            self.now[key] -= 1


class Bucket:
    def __init__(self, rate, burst):
        self.rate, self.burst, self.left, self.at = rate, burst, burst, time.monotonic()

    def take(self):
        now = time.monotonic()
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def matches(rule, entry):
    request = entry.request
    return (fnmatch.fnmatchcase(entry.model or "", rule.get("model", "*")) and rule.get("path", "") in request.target
            and rule.get("key", entry.key) == entry.key and rule.get("prompt", "").encode() in request.body)


def hits(rule, count):
    if "nth" in rule:
        return count in rule["nth"]
    if "first" in rule:
        return count <= rule["first"]
    return count % rule.get("every", 1) == 0


class Provider:
    """The state and the answers, without the sockets."""

    def __init__(self, config):
        self.config = {"keys": None, "models": ["*"], "aliases": {}, "scripts": [], "rules": [], "options": {},
                       "quotas": []}
        self.configure(config)
        self.reset()
        self.releases = 0

    def configure(self, config):
        unknown = set(config) - MEMBERS
        doings = [config.get("options", {})] + [rule.get("do", {}) for rule in config.get("rules", [])]
        unknown |= {name for do in doings for name in set(do) - DOINGS}
        if unknown:
            raise ValueError(f"unknown in the configuration: {', '.join(sorted(unknown))}")
        self.config.update(config)
        self.counts = [0] * len(self.config["rules"])
        self.buckets = [Bucket(q["per_second"], q.get("burst", q["per_second"])) if "per_second" in q else None
                        for q in self.config["quotas"]]

    def reset(self):
        self.entries, self.gauge, self.number = [], Gauge(), 0
        self.counts = [0] * len(self.config["rules"])

    def state(self):
        now = {k: v for k, v in self.gauge.now.items() if k}
        most = {k: v for k, v in self.gauge.most.items() if k}
        return {"requests": len(self.entries), "current": self.gauge.now.get("", 0), "over": self.gauge.over,
                "max": self.gauge.most.get("", 0), "current_by_model": now, "max_by_model": most}

    def is_model(self, name):
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.config["models"])

    def route(self, request):
        """The dialect of a path and whether it is one of a known method."""
        path = urllib.parse.unquote(request.path)
        posts = {"/v1/responses": Responses, "/v1/chat/completions": Chat, "/v1/messages": Anthropic,
                 "/v1/messages/count_tokens": Anthropic}
        dialect = posts.get(path) or (Gemini if ROUTE.fullmatch(path) else None)
        if dialect and request.method != "POST":
            raise model_openai.refuse(f"Not allowed to {request.method} on {path}.", 405)
        return dialect

    def fault(self, entry):
        """What is done to this request: options, and the first rule that hits."""
        do = dict(self.config["options"])
        for at, rule in enumerate(self.config["rules"]):
            if matches(rule, entry):
                self.counts[at] += 1
                if hits(rule, self.counts[at]):
                    do.update(rule.get("do", {}))
                    entry.fault = rule.get("do", {})
                    break
        return do

    def over_quota(self, entry):
        """A quota that this request, already in the gauge, breaks; or None."""
        for quota, bucket in zip(self.config["quotas"], self.buckets):
            if not matches({k: quota[k] for k in ("model", "key") if k in quota}, entry):
                continue
            now = self.gauge.now.get(entry.model, 0)
            if now > quota.get("concurrent", now) or (bucket and not bucket.take()):
                return quota
        return None


class Connection:
    """One client: requests one after the other."""

    def __init__(self, provider, number, reader, writer):
        self.provider, self.number, self.reader, self.writer = provider, number, reader, writer
        self.keep = True

    async def serve(self):
        while self.keep:
            request = await self.read_request()
            if request is None:
                return
            if request.path.startswith("/_fake/"):
                await self.control(request)
            else:
                await self.answer(request)

    # --- reading ---

    async def read_request(self):
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except asyncio.LimitOverrunError:
            await self.send(431, b"", [])
            return None
        lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, version = (lines[0].split(" ") + ["", ""])[:3]
        headers = [[name.strip(), value.strip()] for name, _, value in (line.partition(":") for line in lines[1:])]
        request = Request(0, method, target, headers, b"")
        if (request.header("connection") or "").lower() == "close" or version == "HTTP/1.0":
            self.keep = False
        if (request.header("expect") or "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            request.body = await self.read_body(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return request

    async def read_body(self, request):
        if "chunked" in (request.header("transfer-encoding") or "").lower():
            parts = []
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                parts.append((await self.reader.readexactly(size + 2))[:-2])
                if not size:
                    return b"".join(parts)
        return await self.reader.readexactly(int(request.header("content-length") or 0))

    # --- writing ---

    async def write(self, data):
        if self.writer.transport.is_closing() or self.reader.at_eof():
            raise Gone
        self.writer.write(data)
        await self.writer.drain()

    def head(self, status, headers):
        lines = [f"HTTP/1.1 {status} {REASON.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if not self.keep:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def send(self, status, body, headers, kind="application/json"):
        headers = [("Content-Type", kind), ("Content-Length", len(body)), *headers]
        await self.write(self.head(status, headers) + body)

    async def watch(self, seconds):
        """Wait, at most until the client leaves (Gone) or the stall is released."""
        end = None if seconds is None else time.monotonic() + seconds
        before = self.provider.releases
        while self.provider.releases == before and (end is None or time.monotonic() < end):
            if self.reader.at_eof() or self.writer.transport.is_closing():
                raise Gone
            await asyncio.sleep(0.02 if end is None else min(0.02, max(0, end - time.monotonic())))

    def abort(self):
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Gone

    # --- answering ---

    async def answer(self, request):
        provider = self.provider
        provider.number += 1
        request.number = provider.number
        entry = Entry(request, self.number)
        provider.entries.append(entry)
        try:
            await self.answer_entry(entry)
        except Refusal as no:
            await self.refuse(entry, no)
        except (Gone, ConnectionError):
            entry.left = self.reader.at_eof()
            self.keep = False
        except BadScript as error:
            await self.refuse(entry, Refusal(500, {"error": {"message": f"the script: {error}"}}))
        finally:
            entry.ended = time.time()

    async def refuse(self, entry, no):
        entry.status, entry.answer = no.status, compact(no.doc)
        with contextlib.suppress(Gone, ConnectionError):
            await self.send(no.status, entry.answer, [("x-request-id", f"req_{entry.request.number}"), *no.headers])

    async def answer_entry(self, entry):
        request, provider = entry.request, self.provider
        if request.path == "/v1/models" or request.path.startswith("/v1/models/"):
            entry.key = Chat.auth(request, provider.config["keys"])
            entry.answer = model_openai.models(request, provider.config["models"])
            entry.status = 200
            return await self.send(200, entry.answer, [])
        dialect = provider.route(request)
        if not dialect:
            raise model_openai.refuse(f"Invalid URL ({request.method} {request.path})", 404)
        entry.dialect = dialect.name
        entry.key = dialect.auth(request, provider.config["keys"])
        entry.model = dialect.check(request, provider.is_model)
        do = provider.fault(entry)
        await self.before(do)
        provider.gauge.enter(entry.model)
        try:
            quota = provider.over_quota(entry)
            if quota:
                provider.gauge.over += 1
                after = quota.get("retry_after")
                do = {"status": 429, "headers": {"Retry-After": after} if after is not None else {}}
            await self.say(entry, dialect, do)
        finally:
            provider.gauge.leave(entry.model)

    async def before(self, do):
        """What may happen before there is an answer."""
        if "stall" in do:
            await self.watch(do["stall"])
        if do.get("reset"):
            self.abort()
        if do.get("close"):
            raise Gone

    async def say(self, entry, dialect, do):
        if "delay" in do:
            await self.watch(do["delay"])
        if "split" in do:
            body, entry.status = compact(do["body"]), do["status"]
            pieces = [body[:do["split"]], body[do["split"]:]]
            return await self.stream(entry, pieces, do, list(do.get("headers", {}).items()), False, do["status"])
        if "spent" in do or "busy" in do:
            raise model_quota.refusal(do)
        if "status" in do:
            raise Refusal(do["status"], do["body"] if "body" in do else dialect.fault(do["status"]),
                          list(do.get("headers", {}).items()))
        request = entry.request
        tokens = len(request.body) // 4
        if tokens > do.get("context", tokens):
            raise dialect.too_long(tokens, do["context"])
        turn = make_turn(self.provider.config["scripts"], entry.model, dialect.history(request),
                         dialect.has_cache_write)
        do = {**turn.options, **do}
        served = self.provider.config["aliases"].get(entry.model, entry.model)
        reported = not do.get("no_usage")
        entry.turn, entry.usage, entry.status = turn.number, turn.usage if reported else None, 200
        headers = [("x-request-id", f"req_{request.number}"), *do.get("add_headers", {}).items()]
        if dialect.streams(request):
            return await self.stream(entry, dialect.events(request, turn, served, reported), do, headers)
        entry.answer = dialect.answer(request, turn, served, reported)
        if do.get("plain") or "chunk" in do:
            return await self.stream(entry, [entry.answer], do, headers, fresh=False)
        await self.send(200, entry.answer, headers)

    async def stream(self, entry, events, do, headers, fresh=True, status=200):
        kind = "text/event-stream; charset=utf-8" if fresh else "application/json"
        if fresh and entry.dialect == "gemini" and "alt=sse" not in entry.request.query:
            kind = "application/json; charset=UTF-8"
        plain = do.get("plain", False)
        self.keep = self.keep and not plain
        await self.write(self.head(status, [("Content-Type", kind), ("Cache-Control", "no-cache"), *headers]
                                   + ([] if plain else [("Transfer-Encoding", "chunked")])))
        for count, event in enumerate(events):
            await self.between(count, do)
            for at in range(0, len(event), do.get("chunk", len(event))):
                piece = event[at:at + do.get("chunk", len(event))]
                await self.write(piece if plain else b"%x\r\n%s\r\n" % (len(piece), piece))
                if "chunk" in do:
                    await asyncio.sleep(0)
                if fresh:
                    entry.answer += piece
        if not plain:
            await self.write(b"0\r\n\r\n")

    async def between(self, count, do):
        if count == do.get("cut_after"):
            raise Gone
        if count == do.get("reset_after"):
            await asyncio.sleep(0.05)  # a reset may overtake what was sent before it
            self.abort()
        if count == do.get("stall_after"):
            await self.watch(None)
        if "drip" in do and count:
            await self.watch(do["drip"])

    # --- control ---

    async def control(self, request):
        provider, what = self.provider, request.path.removeprefix("/_fake/")
        try:
            doc = json.loads(request.body) if request.body else {}
            if what == "log":
                since = int(urllib.parse.parse_qs(request.query).get("since", ["0"])[0])
                reply = [e.document() for e in provider.entries if e.request.number > since]
            elif what == "state":
                reply = provider.state()
            elif what in ("config", "reset"):
                provider.configure(doc) if what == "config" else provider.reset()
                reply = {}
            elif what == "release":
                provider.releases += 1
                reply = {}
            elif what == "refuse":
                provider.refuse(float(doc["seconds"]))
                reply = {}
            else:
                return await self.send(404, b"{}", [])
        except (ValueError, KeyError, TypeError) as error:
            return await self.send(400, compact({"error": str(error)}), [])
        await self.send(200, compact(reply), [])


async def serve(provider, port, ready, tls=None, host="127.0.0.1"):
    """Serve until cancelled. ready(port) is called once connections are accepted."""
    count, running = 0, set()

    async def client(reader, writer):
        nonlocal count
        count += 1
        running.add(asyncio.current_task())
        try:
            await Connection(provider, count, reader, writer).serve()
        except (Gone, ConnectionError, ValueError, asyncio.CancelledError):
            pass
        finally:
            running.discard(asyncio.current_task())
            writer.close()

    async def listen():
        return await asyncio.start_server(client, host, port, limit=MAX_HEAD, backlog=4096, ssl=tls,
                                          reuse_address=True)

    server = await listen()
    port = server.sockets[0].getsockname()[1]
    shut = asyncio.Queue()
    provider.refuse = shut.put_nowait
    ready(port)
    try:
        while True:
            seconds = await shut.get()
            server.close()  # only the listening socket: running connections go on
            await asyncio.sleep(seconds)
            server = await listen()
    finally:
        server.close()
        for task in running:
            task.cancel()


class ModelServer:
    """The server in a thread of its own: for tests. Use as a context manager."""

    def __init__(self, config=None, tls=None):
        self.begin_config, self.tls, self.scheme = config or {}, tls, "https" if tls else "http"

    def __enter__(self):
        started = threading.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self.main(started),), daemon=True)
        self.thread.start()
        if not started.wait(30):
            raise RuntimeError("the fake provider did not start")
        return self

    async def main(self, started):
        def ready(port):
            self.port, self.url = port, f"{self.scheme}://127.0.0.1:{port}"
            started.set()

        self.loop, self.provider = asyncio.get_running_loop(), Provider(self.begin_config)
        self.task = asyncio.create_task(serve(self.provider, 0, ready, self.tls))
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join(30)

    def call(self, function, *arguments):
        """Run FUNCTION in the server's own thread and return its value."""
        async def run():
            return function(*arguments)
        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def configure(self, **members):
        self.call(self.provider.configure, members)

    def reset(self):
        self.call(self.provider.reset)

    def log(self):
        """Entries so far, each with .request (method, target, headers, body, header()), .answer, .usage, .status ..."""
        return self.call(lambda: list(self.provider.entries))

    def state(self):
        return self.call(self.provider.state)

    def release(self):
        def end():
            self.provider.releases += 1
        self.call(end)

    def refuse(self, seconds):
        self.call(lambda: self.provider.refuse(seconds))


def main():
    parser = argparse.ArgumentParser(description="a strict, scripted, faulty model provider; see the top of this file")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0: any free one")
    parser.add_argument("--config", help="a JSON file, - is standard input")
    parser.add_argument("--tls-cert", help="PEM file with certificate and key: serve TLS")
    options = parser.parse_args()
    config = {}
    if options.config:
        with (sys.stdin if options.config == "-" else open(options.config, encoding="utf-8")) as file:
            config = json.load(file)
    tls = None
    if options.tls_cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_cert)

    async def run():
        task = asyncio.create_task(serve(Provider(config), options.port,
                                         lambda port: print(json.dumps({"port": port}), flush=True), tls))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())


if __name__ == "__main__":
    main()

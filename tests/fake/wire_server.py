# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider that answers with exactly the bytes a table says, by the model that is asked: NAME.DIALECT.stream or .whole.

The true usage of every good answer is USAGE, whatever the provider says or leaves out.
"""
import json
import socket
import threading
import time

USAGE = {"input": 1000, "output": 100}
TEXT = "hi there"


def compact(doc):
    return json.dumps(doc, separators=(",", ":")).encode()


def event(doc, name=None):
    return (b"event: " + name.encode() + b"\n" if name else b"") + b"data: " + compact(doc) + b"\n\n"


def usage_of(dialect, given=1000, got=100):
    if dialect == "chat":
        return {"prompt_tokens": given, "completion_tokens": got, "total_tokens": given + got}
    if dialect == "gemini":
        return {"promptTokenCount": given, "candidatesTokenCount": got, "totalTokenCount": given + got}
    return {"input_tokens": given, "output_tokens": got}


def chunk(delta, end=None, **more):
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "served",
            "choices": [{"index": 0, "delta": delta, "finish_reason": end}], **more}


def whole(dialect, usage=True, text=TEXT, **more):
    """A good answer as one document."""
    counts = usage_of(dialect) if usage is True else usage
    doc = {
        "chat": {"id": "c1", "object": "chat.completion", "model": "served",
                 "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]},
        "responses": {"id": "r1", "object": "response", "model": "served", "status": "completed", "error": None,
                      "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]},
        "anthropic": {"id": "m1", "type": "message", "role": "assistant", "model": "served", "stop_reason": "end_turn",
                      "content": [{"type": "text", "text": text}]},
        "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}],
                   "modelVersion": "served"},
    }[dialect]
    if counts:
        doc["usageMetadata" if dialect == "gemini" else "usage"] = counts
    return {**doc, **more}


def events(dialect, usage=True, text=TEXT, end=True):
    """A good answer in events; usage=False: without its numbers, end=False: without what ends it."""
    if dialect == "chat":
        found = [event(chunk({"role": "assistant", "content": text}))]
        found += [event(chunk({}, "stop"))] if end else []
        found += [event({**chunk({}), "choices": [], "usage": usage_of(dialect)})] if usage else []
        return found + ([b"data: [DONE]\n\n"] if end else [])
    if dialect == "responses":
        found = [event({"type": "response.created", "response": {"model": "served", "status": "in_progress"}}),
                 event({"type": "response.output_text.delta", "delta": text})]
        return found + ([event({"type": "response.completed", "response": whole(dialect, usage)})] if end else [])
    if dialect == "anthropic":
        start = {"type": "message_start", "message": {"id": "m1", "model": "served", "content": [],
                                                     "usage": {"input_tokens": 1000, "output_tokens": 1}}}
        if not usage:
            del start["message"]["usage"]
        last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
        if usage:
            last["usage"] = {"output_tokens": 100}
        return [event(start, "message_start"),
                event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
                      "content_block_delta"),
                *([event(last, "message_delta"), event({"type": "message_stop"}, "message_stop")] if end else [])]
    return [event(whole(dialect, usage, text))]


def failure(dialect, words="no worker is free"):
    """The event by which a stream that had begun says that it failed."""
    return {"chat": event({**chunk({}), "choices": [], "error": {"code": 502, "message": words}}),
            "responses": event({"type": "response.failed", "response": {
                "status": "failed", "error": {"code": "server_error", "message": words}}}),
            "anthropic": event({"type": "error", "error": {"type": "overloaded_error", "message": words}}, "error"),
            "gemini": event({"error": {"code": 503, "message": words, "status": "UNAVAILABLE"}})}[dialect]


def refusal(dialect, words, **more):
    doc = {"error": {"message": words, "type": "invalid_request_error", **more}}
    return {"type": "error", **doc} if dialect == "anthropic" else doc


def http(body, status="200 OK", kind="application/json", **headers):
    """Bytes of an answer; body: bytes, or a document."""
    body = body if isinstance(body, bytes) else compact(body)
    lines = {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()},
             "Content-Length": str(len(body))}
    return (f"HTTP/1.1 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v) + "\r\n").encode() + body


def stream(parts, kind="text/event-stream", **headers):
    """An answer that ends with its connection; parts: bytes, and pauses in seconds."""
    lines = {"Content-Type": kind, "Connection": "close", **{k.replace("_", "-"): v for k, v in headers.items()}}
    head = "HTTP/1.1 200 OK\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v) + "\r\n"
    return [head.encode(), *parts]


def good(asked, **more):
    """What a provider without a fault answers."""
    return stream(events(asked.dialect, **more)) if asked.stream else http(whole(asked.dialect, **more))


class Asked:
    """One request: what it names, and the how-manyth of its model it is."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        try:
            self.doc = json.loads(body)
        except ValueError:
            self.doc = {}
        self.model = self.doc.get("model") or path.split("/models/")[-1].split(":")[0]
        self.name, self.dialect, self.kind = (self.model.split(".") + ["", ""])[:3]
        self.stream, self.nth = self.kind == "stream", 0


class WireServer:
    """WireServer(answers): NAME -> function of an Asked that gives bytes, or a list of bytes and pauses."""

    def __init__(self, answers):
        self.answers, self.asked, self.lock = answers, {}, threading.Lock()
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(256)
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def serve(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection, connection.makefile("rb") as lines:
            words = lines.readline().split()
            if len(words) < 2:
                return
            headers = {}
            for line in iter(lines.readline, b"\r\n"):
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            asked = Asked(words[1].decode(), headers, lines.read(int(headers.get("content-length", 0))))
            with self.lock:
                self.asked.setdefault(asked.model, []).append(asked)
                asked.nth = len(self.asked[asked.model])
            parts = self.answers[asked.name](asked)
            try:
                for part in [parts] if isinstance(parts, bytes) else parts:
                    if isinstance(part, bytes):
                        connection.sendall(part)
                    else:
                        time.sleep(part)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                connection.recv(1)
            except OSError:
                pass

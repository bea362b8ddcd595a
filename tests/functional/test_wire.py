# SPDX-License-Identifier: GPL-3.0-or-later
"""What providers really send, one table: a name, the bytes, and what is right. Every row is tried in each dialect,
streamed and not, by a real trial; all of them run in one benchmark. A new report is one more row."""
import base64
import gzip
import json
import subprocess
import sys
import zlib

import pytest

from conftest import SOURCE, put, toml_table
from models import DIALECTS

sys.path.insert(0, str(SOURCE / "tests/fake"))
import wire_server as wire  # noqa: E402
from wire_server import USAGE, event, events, good, http, stream, usage_of, whole  # noqa: E402

EXACT, ESTIMATE = "exact", "estimate"
ROWS = {}
PRICE = {"input": 1.0, "output": 5.0}


def row(name, answer, dialects=tuple(DIALECTS), kinds=("whole", "stream"), usage=EXACT, end="ok", outcome="completed",
        status=200, sees=(), not_sees=(), retries=0, calls=1, reason="", body=None, headers=None, error=""):
    """usage: of the good call, None: there is none. sees, not_sees: in what reached the agent. body, headers: of its
    request, as functions of the document."""
    ROWS[name] = dict(answer=answer, dialects=dialects, kinds=kinds, usage=usage, end=end, outcome=outcome, status=status,
                      sees=sees, not_sees=not_sees, retries=retries, calls=calls, reason=reason, body=body, error=error,
                      headers=headers or {})


def first(refused, then=good):
    """The first request of a model is refused, the next is not."""
    return lambda asked: (refused if asked.nth == 1 else then)(asked)


def packed(tool, data):
    return subprocess.run([tool, "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def status(text, words="try again", **headers):
    return lambda asked: http(wire.refusal(asked.dialect, words), text, **headers)


# Usage wherever it stands.
row("plain", good, sees=["hi there"])
row("no_type", lambda a: stream(events(a.dialect), kind="") if a.stream else http(whole(a.dialect), kind=""))
row("wrong_type", lambda a: stream(events(a.dialect), kind="application/json") if a.stream
    else http(whole(a.dialect), kind="text/event-stream"))
row("bom_and_blank", lambda a: stream([b"\xef\xbb\xbf\r\n", *events(a.dialect)]) if a.stream
    else http(b" \n" + wire.compact(whole(a.dialect))))
row("zeros_first_and_last", lambda a: stream([event({**wire.chunk({}), "usage": usage_of("chat", 0, 0)}), *events("chat")[:-1],
                                             event({**wire.chunk({}), "usage": usage_of("chat", 0, 0)})]),
    dialects=["chat"], kinds=["stream"])
row("as_text", lambda a: http(whole("chat", {"prompt_tokens": "1000", "completion_tokens": "100"})), dialects=["chat"],
    kinds=["whole"])
row("inside_the_choice", lambda a: stream([event({**wire.chunk({"content": "hi"}), "choices": [
    {"index": 0, "delta": {"content": "hi"}, "usage": usage_of("chat")}]}), b"data: [DONE]\n\n"]),
    dialects=["chat"], kinds=["stream"])
row("other_names", lambda a: http(whole("chat", {"input_tokens": 1000, "output_tokens": 100})), dialects=["chat"],
    kinds=["whole"])
row("cumulative", lambda a: stream([event({**wire.chunk({"content": "x"}), "usage": usage_of("chat", 1000, n)})
                                    for n in (1, 50, 100)] + [b"data: [DONE]\n\n"]), dialects=["chat"], kinds=["stream"])
row("reasoning_in_the_total", lambda a: http(whole("chat", {"prompt_tokens": 1000, "completion_tokens": 40,
                                                            "total_tokens": 1100})), dialects=["chat"], kinds=["whole"])
row("gzip_unasked", lambda a: stream([gzip.compress(b"".join(events(a.dialect)))], content_encoding="gzip") if a.stream
    else http(gzip.compress(wire.compact(whole(a.dialect))), content_encoding="gzip"), sees=["hi there"])
row("deflate_unasked", lambda a: http(zlib.compress(wire.compact(whole(a.dialect))), content_encoding="deflate"),
    kinds=["whole"], sees=["hi there"])
row("no_last_blank", lambda a: stream([b"".join(events(a.dialect)[:-1] if a.dialect == "chat" else events(a.dialect)).rstrip()]),
    kinds=["stream"])
row("usage_beside_a_choice", lambda a: stream([event(wire.chunk({"content": "hi"})), event(wire.chunk({}, "stop", usage=usage_of("chat"))),
                                               b"data: [DONE]\n\n"]), dialects=["chat"], kinds=["stream"], sees=["prompt_tokens"])
row("usage_empty_before", lambda a: stream([event(wire.chunk({"content": "hi"}, usage={})), *events("chat")]), dialects=["chat"],
    kinds=["stream"])
# Nothing reported: an estimate of the text that came.
row("no_usage", lambda a: good(a, usage=False), usage=ESTIMATE)
row("usage_is_no_number", lambda a: http(wire.compact(whole("chat", {"prompt_tokens": -7, "completion_tokens": 0.5})).replace(
    b"-7", b"NaN").replace(b"0.5", b"null")), dialects=["chat"], kinds=["whole"], usage=ESTIMATE)
row("no_done", lambda a: stream(events(a.dialect)[:-1] if a.dialect == "chat" else events(a.dialect)), kinds=["stream"])
# What we ask for ourselves is withheld, and nothing else.
row("usage_chunk", good, dialects=["chat"], kinds=["stream"], not_sees=["prompt_tokens"], sees=["[DONE]"])
row("usage_with_more", lambda a: stream([*events("chat", usage=False)[:-1], event(
    {**wire.chunk({}), "choices": [], "usage": usage_of("chat"), "citations": ["https://x"]}), b"data: [DONE]\n\n"]),
    dialects=["chat"], kinds=["stream"], sees=["citations"])
row("usage_false", good, dialects=["chat"], kinds=["stream"], not_sees=["prompt_tokens"],
    body=lambda doc: {**doc, "stream_options": {"include_usage": False}})
row("options_null", good, dialects=["chat"], kinds=["stream"], not_sees=["prompt_tokens"],
    body=lambda doc: {**doc, "stream_options": None})
row("usage_asked", good, dialects=["chat"], kinds=["stream"], sees=["prompt_tokens"],
    body=lambda doc: {**doc, "stream_options": {"include_usage": True}})
for code in ("400 Bad Request", "422 Unprocessable Entity"):
    row(f"refuses_addition_{code[:3]}", lambda a, code=code: http({"message": "stream_options: no such member"}, code)
        if "stream_options" in a.doc else good(a), dialects=["chat"], kinds=["stream"], retries=1)
# Errors inside an answer of status 200.
row("error_inside", lambda a: stream([*events(a.dialect, usage=False, end=False)[:2], wire.failure(a.dialect)]) if a.stream
    else http(wire.refusal(a.dialect, "no worker is free")), usage=ESTIMATE, end="error", outcome="infra_error",
    sees=["no worker is free"], reason="no worker is free", error="no worker is free")
row("error_in_choice", lambda a: stream([event({**wire.chunk({}), "choices": [
    {"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "no worker is free"}}]})]),
    dialects=["chat"], kinds=["stream"], usage=ESTIMATE, end="error", outcome="infra_error", sees=["no worker is free"])
row("rate_limit_inside", lambda a: stream([*events("responses", usage=False, end=False), event(
    {"type": "error", "code": "rate_limit_exceeded", "message": "too many tokens a minute"})]), dialects=["responses"],
    kinds=["stream"], usage=ESTIMATE, end="error", outcome="infra_error", sees=["too many"], reason="too many", error="rate_limit")
row("cut_in_the_middle", lambda a: http(b"".join(events(a.dialect, usage=False))[:-9], kind="text/event-stream",
                                        x=None)[:-30], kinds=["stream"], usage=ESTIMATE, end="cut", outcome="infra_error", reason="breaks off")
row("error_with_usage", lambda a: stream([event(wire.chunk({"content": "par"})), event(
    {**wire.chunk({}), "choices": [], "usage": usage_of("chat"), "error": {"code": 502, "message": "no worker is free"}})]),
    dialects=["chat"], kinds=["stream"], end="error", outcome="infra_error", sees=["no worker is free"])
# Who failed, and what passes.
for code in ("408 Request Timeout", "409 Conflict", "425 Too Early", "429 Too Many Requests", "503 Unavailable", "529 Busy"):
    row(f"passes_{code[:3]}", first(status(code)), retries=1, sees=["hi there"])
row("retry_after_ms", first(status("429 Slow down", retry_after_ms="40", retry_after="3000")), retries=1)
row("retry_after_date", first(status("503 Wait", date="Mon, 01 Jan 2035 00:00:00 GMT",
                                     retry_after="Mon, 01 Jan 2035 00:00:01 GMT")), retries=1)
for code in ("402 Payment Required", "404 Not Found", "405 Not Allowed", "301 Moved", "501 Not Implemented",
             "505 Version", "401 Unauthorized", "403 Forbidden"):
    row(f"ends_{code[:3]}", status(code, "these are the words"), usage=None, end="error", outcome="infra_error",
        status=int(code[:3]), reason="these are the words")
# What an agent sends.
row("gzip_request", good, body=lambda doc: gzip.compress(json.dumps(doc).encode()), headers={"Content-Encoding": "gzip"})
row("deflate_request", good, body=lambda doc: zlib.compress(json.dumps(doc).encode()), headers={"Content-Encoding": "deflate"})
for tool, name in (("zstd", "zstd"), ("brotli", "br")):
    row(f"{name}_request", good, body=lambda doc, tool=tool: packed(tool, json.dumps(doc).encode()), headers={"Content-Encoding": name})
    row(f"{name}_unasked", lambda a, tool=tool, name=name: stream([packed(tool, b"".join(events(a.dialect)))], content_encoding=name)
        if a.stream else http(packed(tool, wire.compact(whole(a.dialect))), content_encoding=name), sees=["hi there"])
row("odd_request", good, body=lambda doc: b"\x1f\x8b no json", usage=None, end="error", status=400, outcome="infra_error",
    reason="not a JSON object")
row("twice_named", good, dialects=["chat", "responses", "anthropic"], usage=None, end="error", status=400,
    outcome="infra_error", reason="twice",
    body=lambda doc: json.dumps(doc).encode()[:-1] + b', "model": "other"}')
row("escaped_name", good, dialects=["chat", "responses", "anthropic"], usage=None, end="error", status=400,
    outcome="infra_error", reason="escape", body=lambda doc: json.dumps(doc).encode().replace(b'"model"', b'"mod\\u0065l"'))
row("background", good, dialects=["responses"], usage=None, end="error", status=400, outcome="infra_error",
    reason="background", body=lambda doc: {**doc, "background": True})

AGENT = """
import base64, http.client, json, os, sys
plan = json.load(open(os.path.expanduser("~/plan.json")))[os.environ["MODEL_ID"]]
connection = http.client.HTTPConnection(os.environ["URL"].split("//")[1], timeout=60)
headers = {k: v.replace("TOKEN", os.environ["TOKEN"]) for k, v in plan["headers"].items()}
connection.request("POST", plan["path"], base64.b64decode(plan["body"]), headers)
answer = connection.getresponse()
try:
    body = answer.read()
except http.client.IncompleteRead as cut:
    body = cut.partial
print(json.dumps({"status": answer.status, "headers": dict(answer.getheaders()), "body": body.decode()}))
"""


def cases():
    return [(name, dialect, kind) for name, r in ROWS.items() for dialect in r["dialects"] for kind in r["kinds"]]


def request_of(name, dialect, kind):
    """What the agent of one case sends, for its file."""
    d, r, model = DIALECTS[dialect], ROWS[name], f"{name}.{dialect}.{kind}"
    doc = d.document(model=model, stream=kind == "stream")
    body = r["body"](doc) if r["body"] else doc
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {"path": d.target(model, kind == "stream"), "headers": {**d.headers("TOKEN"), **r["headers"]},
            "body": base64.b64encode(body).decode()}


class Trials:
    """What came of every case that was run: by model its result, its calls, and what its agent saw."""

    def __init__(self):
        self.results, self.calls, self.seen = {}, {}, {}

    def take(self, workdir, rollout):
        for entry in rollout.manifest["results"]:
            model, folder = entry["model"], workdir / "data/runs" / entry["run_id"]
            self.results[model] = rollout.runs[entry["run_id"]]
            log, said = folder / "logs/llm.jsonl", folder / "logs/agent.log"
            self.calls[model] = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            lines = said.read_text(errors="replace").splitlines() if said.exists() else []
            self.seen[model] = [json.loads(line) for line in lines if line.startswith("{")]


TRIALS = Trials()
GOOD = [name for name, r in ROWS.items() if r["outcome"] == "completed"]


@pytest.fixture
def trials(workdir, make_task, make_bench, run_cli, rollout, agent_script):
    """trials(name): the row has been tried. Rows that end well share one rollout; a provider that refuses would pause it,
    so that each of the others has one of its own, in which all of it starts at once."""
    def run(names):
        plan = {f"{n}.{d}.{k}": request_of(n, d, k) for n, d, k in cases() if n in names}
        task = make_task(tests=[], rubrics=[])
        entries = []
        for dialect in DIALECTS:
            mine = {m: p for m, p in plan.items() if f".{dialect}." in m}
            agent = agent_script("exec /usr/bin/python3 ~/agent.py\n", name=f"wire-{dialect}", needs="model", apis=[dialect],
                                 env={"URL": "{gateway_url}", "TOKEN": "{token}", "MODEL_ID": "{model}"},
                                 files={"{home}/agent.py": AGENT, "{home}/plan.json": json.dumps(mine)})
            if mine:
                entries.append({"prepared_dir": task, "agent": agent, "models": list(mine)})
        with wire.WireServer({name: r["answer"] for name, r in ROWS.items()}) as server:
            put(workdir / "xdg/rollouts/providers.toml",
                "[providers.wire]\n" + toml_table({"base_url": server.url, "apis": list(DIALECTS)})
                + "\n[[models]]\n" + toml_table({"match": "*.*.*", "provider": "wire", "price": PRICE}))
            run_cli("run", make_bench(*entries, retries=0, parallel=4 if len(names) > 1 else 8), timeout=500)
        TRIALS.take(workdir, rollout())

    def tried(name):
        if not any(model.startswith(f"{name}.") for model in TRIALS.results):
            run(GOOD if name in GOOD else [name])
        return TRIALS

    return tried


@pytest.mark.parametrize("name, dialect, kind", cases(), ids=lambda v: v)
def test_a_provider_that(trials, name, dialect, kind):
    r, model, tried = ROWS[name], f"{name}.{dialect}.{kind}", trials(name)
    result, calls, seen = tried.results[model], tried.calls[model], tried.seen[model]
    assert result["outcome"] == r["outcome"], (result.get("reason"), calls, seen)
    assert r["reason"] in (result.get("reason") or "")
    assert len(calls) == r["calls"] and len(seen) == 1
    [call], [got] = calls, seen
    assert (call["status"], call["end"], call["retries"]) == (r["status"], r["end"], r["retries"]), call
    assert r["error"] in (call.get("error") or "")
    assert got["status"] == r["status"]
    for text in r["sees"]:
        assert text in got["body"]
    for text in r["not_sees"]:
        assert text not in got["body"]
    assert "content-encoding" not in {k.lower() for k in got["headers"]}
    if r["usage"] is EXACT:
        tokens = call["tokens"]
        assert (tokens["input"], tokens["output"], call["estimated"]) == (USAGE["input"], USAGE["output"], False), call
        assert call["usd"] == pytest.approx(0.0015)
    elif r["usage"] is ESTIMATE:
        assert call["estimated"] is True and call["tokens"]["output"] < 20, call
    else:
        assert call["tokens"]["input"] == call["tokens"]["output"] == 0, call

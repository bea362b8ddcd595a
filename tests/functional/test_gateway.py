# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway process, with raw clients on its unix socket and a strict provider behind it."""
import http.client
import json
import os
import random
import signal
import socket
import subprocess

import pytest

from conftest import wait_for
from gateways import (DEADLINE, UnixConnection, all_at_once, connect, cost, gateway,  # noqa: F401
                      gateway_program, make_gateway, token, total)
from models import DIALECTS, KEY, fake, scripted, sse  # noqa: F401

UNICODE = "naïve 🦊 «日本語» \u2028 \U0001f469\u200d\U0001f680 end"
each_dialect = pytest.mark.parametrize("name", DIALECTS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def only(entries):
    assert len(entries) == 1, entries
    return entries[0]


def without_usage(data):
    """A chat stream as it is without the event that include_usage brings."""
    return b"".join(e + b"\n\n" for e in data.split(b"\n\n") if e and b'"choices":[]' not in e)


@each_dialect
@streamed_or_not
def test_a_call_is_passed_byte_for_byte_and_metered_exactly(gateway, fake, name, stream):
    attempt = gateway.attach()
    more = {"stream_options": {"include_usage": True}} if (name, stream) == ("chat", True) else {}
    usage = {"input": 1234, "cached": 1000, "cache_write": 100, "output": 77, "reasoning": 33}
    if name == "gemini":
        usage["cache_write"] = 0
    text = scripted(turns=[{"text": UNICODE, "usage": usage}])
    answer = attempt.ask(name, text, stream, **more)
    entry = only(fake.log())
    assert answer.status == 200 and not answer.cut
    assert answer.body == entry.answer and UNICODE.split()[1] in answer.body.decode()
    assert json.loads(entry.request.body) == DIALECTS[name].document(text, stream=stream, **more)
    state = attempt.wait(lambda s: s["calls"] == 1)
    assert {k: v for k, v in state.items() if k in total([usage])} == total([usage])
    assert state["usd"] == pytest.approx(cost(usage), rel=1e-9)
    assert (state["estimated"], state["models"], state["keys"]) == (0, ["fake-model"], ["FAKE_KEY"])
    line = only(attempt.lines(1))
    assert line["tokens"] == usage and line["usd"] == pytest.approx(cost(usage))
    assert (line["status"], line["retries"], line["end"], line["estimated"]) == (200, 0, "ok", False)
    assert line["stream"] == stream and line["api"] == name
    assert line["model_asked"] == line["model_served"] == "fake-model"


@each_dialect
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 20000])
def test_an_answer_in_any_pieces_is_passed_and_metered_alike(gateway, fake, name, size):
    attempt = gateway.attach()
    fake.configure(options={"chunk": size})
    for stream in (False, True):
        more = {"stream_options": {"include_usage": True}} if (name, stream) == ("chat", True) else {}
        answer = attempt.ask(name, scripted(turns=[{"text": UNICODE, "repeat": 5}]), stream, **more)
        assert answer.body == fake.log()[-1].answer
        assert UNICODE in (answer.body.decode() if not stream else "".join(texts(name, answer.body)))
    state = attempt.wait(lambda s: s["calls"] == 2)
    assert state["tokens_input"] == 2000 and state["tokens_output"] == 100 and state["estimated"] == 0


def texts(name, data):
    """The pieces of text in an event stream."""
    for doc in sse(data):
        if name == "responses" and doc["type"] == "response.output_text.delta":
            yield doc["delta"]
        if name == "chat" and doc["choices"]:
            yield doc["choices"][0]["delta"].get("content") or ""
        if name == "anthropic" and doc["type"] == "content_block_delta":
            yield doc["delta"].get("text", "")
        if name == "gemini":
            yield from (part["text"] for part in doc["candidates"][0]["content"]["parts"])


def odd_bodies():
    """Bodies of the same request as no library would write them, all of them good JSON."""
    chance = random.Random(4)
    text = "".join(chr(chance.choice([34, 92, 10, 233, 0x4e2d, 0x1f98a, 65, 47])) for _ in range(3000))
    spaced = json.dumps({"messages": [{"role": "user", "content": text}], "model": "fake-model"}, indent=3)
    yield spaced.encode()
    yield spaced.replace("\n", "\r\n\t").encode()
    yield ("\n " + json.dumps({"model": "fake-model", "messages": [{"role": "user", "content": text}]},
                              ensure_ascii=False) + "\n\n").encode("utf-8", "surrogatepass")
    yield b'{"model":"fake\\u002dmodel","messages":[{"role":"user","content":"\\ud83e\\udd8a\\/"}],"seed":1e2}'


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_odd_bodies_arrive_as_they_were_sent(gateway, fake, chunked):
    attempt = gateway.attach()
    for number, body in enumerate(odd_bodies()):
        pieces = [body[at:at + 997] for at in range(0, len(body), 997)] if chunked else body
        headers = {"Transfer-Encoding": "chunked"} if chunked else {}
        assert attempt.ask(body=iter(pieces) if chunked else body, headers=headers, chunked=chunked).status == 200
        assert fake.log()[number].request.body == body


def test_bodies_of_megabytes_pass_both_ways(gateway, fake):
    attempt = gateway.attach()
    text = "x" * (6 << 20)
    for stream in (False, True):
        answer = attempt.ask("anthropic", scripted(turns=[{"text": "0123456789abcdef", "repeat": 1 << 18}]) + text,
                             stream)
        entry = fake.log()[-1]
        assert len(entry.request.body) > 6 << 20 and len(answer.body) > 4 << 20
        assert answer.body == entry.answer
    assert attempt.wait(lambda s: s["calls"] == 2)["estimated"] == 0


def test_an_answer_that_ends_with_its_connection_is_whole(gateway, fake):
    attempt = gateway.attach()
    fake.configure(options={"plain": True})
    for stream in (False, True):
        answer = attempt.ask("anthropic", stream=stream)
        assert answer.body == fake.log()[-1].answer and not answer.cut
    assert attempt.wait(lambda s: s["calls"] == 2)["tokens_output"] == 100


def test_headers_reach_the_provider_but_for_the_token_and_the_connections_own(gateway, fake):
    attempt = gateway.attach()
    headers = {"Accept-Encoding": "gzip, br", "anthropic-beta": "a-2025,b-2026", "User-Agent": "odd/1 (x; y)",
               "X-Stainless-Retry-Count": "0", "Connection": "keep-alive, X-Private", "X-Private": "mine",
               "X-Empty": ""}
    answer = attempt.ask("anthropic", headers=headers, target="/v1/messages?beta=true&x=%2F%20")
    assert answer.status == 200
    request = only(fake.log()).request
    assert request.target == "/v1/messages?beta=true&x=%2F%20"
    assert request.header("x-api-key") == KEY and request.header("authorization") is None
    assert request.header("host") == f"127.0.0.1:{fake.port}"
    for name in ("anthropic-beta", "anthropic-version", "User-Agent", "X-Stainless-Retry-Count", "Content-Type"):
        assert [v for k, v in request.headers if k.lower() == name.lower()] == [
            {**DIALECTS["anthropic"].headers(""), **headers}[name]]
    assert request.header("accept-encoding") == "identity", "the meter and the recording read the answer"
    assert request.header("x-private") is None
    assert request.header("x-empty") == ""


@pytest.mark.parametrize("way", ["authorization", "x-api-key", "x-goog-api-key", "query"])
def test_the_token_is_taken_where_clients_put_keys(gateway, fake, way):
    attempt = gateway.attach()
    query = f"?key={attempt.token}&alt=sse" if way == "query" else "?alt=sse"
    headers = {"Content-Type": "application/json"}
    if way != "query":
        headers[way] = attempt.token if way != "authorization" else "Bearer " + attempt.token
    answer = gateway.request("POST", "/v1beta/models/fake-model:streamGenerateContent" + query, headers,
                             json.dumps(DIALECTS["gemini"].document()))
    assert answer.status == 200 and sse(answer.body)
    request = only(fake.log()).request
    assert request.header("x-goog-api-key") == KEY and request.query == "alt=sse"


def test_whose_account_is_asked_is_not_the_agents_to_say(gateway, fake):
    """A wrong one is refused with a 401, as if the key were bad, and pauses the run."""
    ways = ("OpenAI-Organization", "OpenAI-Project", "X-Goog-User-Project")
    assert gateway.attach().ask(headers={way: "mine" for way in ways}).status == 200
    assert not {way.lower() for way in ways} & {name.lower() for name, _ in only(fake.log()).request.headers}


def test_the_providers_headers_reach_the_agent(gateway, fake):
    fake.configure(options={"add_headers": {"openai-processing-ms": "12", "x-ratelimit-remaining-requests": "99"}})
    answer = gateway.attach().ask()
    assert answer.headers["x-request-id"] == "req_1" and answer.headers["openai-processing-ms"] == "12"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("given,added", [
    ({}, {"stream_options": {"include_usage": True}}),
    ({"stream_options": {"include_obfuscation": False}},
     {"stream_options": {"include_usage": True, "include_obfuscation": False}})])
def test_a_chat_stream_is_asked_for_its_usage_and_the_agent_does_not_see_it(gateway, fake, given, added):
    attempt = gateway.attach()
    for size in (1, 5, 10000):
        fake.configure(options={"chunk": size})
        answer = attempt.ask("chat", UNICODE, True, **given)
        entry = fake.log()[-1]
        assert json.loads(entry.request.body) == {**DIALECTS["chat"].document(UNICODE, stream=True), **added}
        assert b'"choices":[]' in entry.answer
        assert answer.body == without_usage(entry.answer)
        assert answer.body.endswith(b"data: [DONE]\n\n")
    state = attempt.wait(lambda s: s["calls"] == 3)
    assert state["tokens_input"] == 3000 and state["estimated"] == 0


def test_a_chat_that_says_what_usage_it_wants_gets_just_that(gateway, fake):
    """And is metered by exact numbers all the same."""
    attempt = gateway.attach()
    for wanted in (False, True):
        answer = attempt.ask("chat", stream=True, stream_options={"include_usage": wanted})
        entry = fake.log()[-1]
        assert json.loads(entry.request.body)["stream_options"] == {"include_usage": True}
        assert answer.body == (entry.answer if wanted else without_usage(entry.answer))
    attempt.ask("chat")
    assert "stream_options" not in json.loads(fake.log()[-1].request.body)
    assert attempt.wait(lambda s: s["calls"] == 3)["estimated"] == 0


@each_dialect
@streamed_or_not
def test_a_call_without_usage_is_an_estimate(gateway, fake, name, stream):
    attempt = gateway.attach()
    fake.configure(options={"no_usage": True})
    answer = attempt.ask(name, "x" * 4000, stream)
    assert answer.status == 200
    state = attempt.wait(lambda s: s["calls"] == 1)
    assert state["estimated"] == 1 and 1000 <= state["tokens_input"] <= 1400 and state["tokens_output"] > 0
    assert only(attempt.lines(1))["estimated"] is True


def test_a_model_without_a_price_has_an_unknown_cost(gateway):
    attempt = gateway.attach(model="free-model")
    attempt.ask("anthropic", model="free-model")
    assert attempt.wait(lambda s: s["calls"] == 1)["usd"] is None
    assert only(attempt.lines(1))["usd"] is None
    wait_for(lambda: (gateway.totals() or {}).get("unpriced_calls") == 1, DEADLINE)


def test_the_model_that_answered_is_told(gateway, fake):
    fake.configure(aliases={"fake-model": "fake-model-2026-11-01"})
    attempt = gateway.attach()
    for name in DIALECTS:
        attempt.ask(name, stream=name != "responses")
    state = attempt.wait(lambda s: s["calls"] == 4)
    assert state["models"] == ["fake-model-2026-11-01"]
    assert {line["model_served"] for line in attempt.lines(4)} == {"fake-model-2026-11-01"}


def test_counting_tokens_and_listing_models_pass_and_cost_nothing(gateway, fake):
    attempt = gateway.attach(limits={"calls": 1})
    doc = {k: v for k, v in DIALECTS["anthropic"].document().items() if k != "max_tokens"}
    answer = attempt.ask("anthropic", body=json.dumps(doc), target="/v1/messages/count_tokens")
    assert json.loads(answer.body) == {"input_tokens": 1000}
    answer = attempt.ask("gemini", target="/v1beta/models/fake-model:countTokens")
    assert json.loads(answer.body)["totalTokens"] == 1000
    answer = gateway.request("GET", "/v1/models", {"Authorization": f"Bearer {attempt.token}"})
    assert answer.status == 200 and json.loads(answer.body)["object"] == "list"
    assert attempt.ask().status == 200
    assert attempt.wait(lambda s: s["calls"] == 1)["tokens_input"] == 1000
    assert all(entry.status == 200 for entry in fake.log())


def shape_of(name, doc):
    """Whether an error has the shape that the dialect's clients read."""
    error = doc["error"]
    return {"anthropic": lambda: doc["type"] == "error" and error["type"] and error["message"],
            "gemini": lambda: error["code"] and error["status"] and error["message"]}.get(
                name, lambda: error["type"] and error["message"] and "code" in error)()


@each_dialect
def test_a_wrong_token_is_refused_in_the_dialects_words(gateway, fake, name):
    attempt = gateway.attach()
    dialect = DIALECTS[name]
    gone = gateway.attach("20261124T120000-2")
    gone.close()
    other = gateway.attach("20261124T120000-3", own_token=token("20261124T120000-3")[:-1] + "x")
    assert other.reply["event"] == "refused"
    wrong = ["x", attempt.token[:-1] + ("0" if attempt.token[-1] != "0" else "1"), attempt.token + "0",
             token("20261124T120000-1", 2), other.token, KEY]
    for key in [None, *wrong]:
        answer = gateway.request("POST", dialect.target(), dialect.headers(key), json.dumps(dialect.document()))
        assert answer.status == 401 and shape_of(name, json.loads(answer.body)), (key, answer)
    wait_for(lambda: gateway.request("POST", dialect.target(), dialect.headers(gone.token),
                                     json.dumps(dialect.document())).status == 401, DEADLINE)
    assert fake.log() == []


@pytest.mark.parametrize("method,target,headers,status", [
    ("GET", "/v1/responses", {"Upgrade": "websocket", "Connection": "Upgrade"}, 426),
    ("GET", "/v1/responses", {}, 405), ("DELETE", "/v1/messages", {}, 405),
    ("POST", "/v1/embeddings", {}, 404), ("GET", "/", {}, 404), ("POST", "/v1/messages/../files", {}, 404),
    ("POST", "/v1/messages/batches", {}, 404), ("POST", "//v1/messages", {}, 404),
    ("POST", "/v1beta/models/a/b:generateContent", {}, 404), ("POST", "/v1beta/models/../x:generateContent", {}, 404),
    ("POST", "/v1beta/models/x:embedContent", {}, 404)])
def test_what_is_no_model_request_goes_nowhere(gateway, fake, method, target, headers, status):
    attempt = gateway.attach()
    answer = gateway.request(method, target, {"Authorization": f"Bearer {attempt.token}", **headers},
                             "{}" if method == "POST" else None)
    assert answer.status == status and fake.log() == []
    assert json.loads(answer.body)["error"]["message"]


def test_a_body_that_is_too_large_is_refused(make_gateway, fake):
    gateway = make_gateway()
    gateway.document["limits"]["body_bytes"] = 100000
    attempt = gateway.start().attach()
    assert attempt.ask(text="x" * 90000).status == 200
    answer = attempt.ask(text="x" * 100001)
    assert answer.status == 413 and shape_of("chat", json.loads(answer.body))
    assert len(fake.log()) == 1


@each_dialect
def test_what_the_provider_rejects_is_passed_on(gateway, fake, name):
    attempt = gateway.attach()
    answer = attempt.ask(name, nonsense=1)
    entry = only(fake.log())
    assert answer.status == entry.status == 400 and answer.body == entry.answer
    line = only(attempt.lines(1))
    assert line["status"] == 400 and line["end"] == "error" and "nonsense" in line["error"]
    assert attempt.state()["tokens_input"] == 0
    assert attempt.ask(name).status == 200  # and it is no end


@each_dialect
def test_an_unknown_model_is_told_and_ends_the_attempt(gateway, fake, name):
    fake.configure(models=["real-*"])
    attempt = gateway.attach()
    answer = attempt.ask(name)
    assert answer.status == 404 and answer.body == only(fake.log()).answer
    failed = attempt.pushed(lambda s: s.get("failed"))["failed"]
    assert failed["retry"] is False and "404" in failed["text"]


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_call_to_another_model_that_fails_is_no_failure_of_the_attempt(make_gateway, fake, status):
    """One that is not its own: it counts only while nothing at all was answered."""
    fake.configure(rules=[{"model": "small-model", "do": {"status": status}}])
    gateway = make_gateway()
    gateway.document["limits"]["shut_ms"] = 0
    attempt = gateway.start().attach()
    assert attempt.ask(model="small-model").status == status
    state = attempt.wait(lambda s: s.get("unanswered"))
    assert "failed" not in state and str(status) in state["unanswered"]["text"]
    assert state["unanswered"]["retry"] is (status == 503)
    assert attempt.ask().status == 200
    assert attempt.ask(model="small-model").status == status
    state = attempt.wait(lambda s: s["calls"] == 3)
    assert "failed" not in state and "unanswered" not in state


SPLIT_ERROR = {"error": {"message": f"Incorrect API key provided: {KEY}{KEY}, not {KEY[:-1]}.", "type": "invalid"}}


@pytest.mark.parametrize("status", [401, 500], ids=["at once", "after tries"])
def test_a_key_that_the_provider_repeats_is_hidden_wherever_it_is_split(make_gateway, fake, status):
    text = json.dumps(SPLIT_ERROR, separators=(",", ":"))
    fake.configure(rules=[{"prompt": f"at {at}.", "do": {"status": status, "body": SPLIT_ERROR, "split": at,
                                                         "headers": {"x-you-said": f"Bearer {KEY}"}}}
                          for at in range(1, len(text))])
    gateway = make_gateway()
    gateway.document["limits"]["shut_ms"] = 0
    attempt = gateway.start().attach()
    hidden = text.replace(KEY, "*" * len(KEY)).encode()
    for at in range(1, len(text)):
        answer = attempt.ask(text=f"Split at {at}.")
        assert answer.status == status and answer.body == hidden, at
        assert answer.headers["x-you-said"] == "Bearer " + "*" * len(KEY)
        assert KEY not in json.dumps(attempt.state())
    assert all("Incorrect API key provided: ***" in line["error"] for line in attempt.lines(len(text) - 1))


def test_a_key_that_is_cut_off_is_hidden_as_well(gateway, fake):
    text = json.dumps(SPLIT_ERROR, separators=(",", ":"))
    begin = text.index(KEY)
    fake.configure(rules=[{"prompt": f"at {at}.", "do": {"status": 401, "body": SPLIT_ERROR, "split": at, "cut_after": 1}}
                          for at in range(begin, begin + len(KEY))])
    attempt = gateway.attach()
    for at in range(begin, begin + len(KEY)):
        answer = attempt.ask(text=f"Split at {at}.")
        assert answer.cut and len(answer.body) == at and KEY[:8].encode() not in answer.body


def test_what_looks_like_the_beginning_of_a_key_comes_through(gateway, fake):
    body = {"error": {"message": f"{KEY[:-1]} {KEY[:5]}{KEY[:3]} sk-"}}
    fake.configure(rules=[{"do": {"status": 400, "body": body, "split": 40}}])
    assert gateway.attach().ask().body == json.dumps(body, separators=(",", ":")).encode()


def test_an_attempt_reaches_only_its_own_provider(make_gateway, fake):
    gateway = make_gateway()
    other = {"base_url": "http://127.0.0.1:9", "apis": ["chat"], "keys": []}
    gateway.document["providers"]["other"] = other
    gateway.document["models"].insert(0, {"match": "other-*", "provider": "other", "price": None})
    attempt = gateway.start().attach()
    assert attempt.ask(model="other-1").status == 200  # sent to its own, which may know it or not
    assert only(fake.log()).model == "other-1"


@each_dialect
@pytest.mark.parametrize("limits,words", [
    ({"tokens": 2100}, "token_limit of 2100 reached (2100)"), ({"tokens": 2099}, "token_limit of 2099 reached (2100)"),
    ({"usd": 0.004}, "cost_limit_usd of 0.004 reached"), ({"calls": 2}, "call_limit of 2 reached (2)")])
def test_at_a_limit_the_agent_gets_one_clear_400(gateway, fake, name, limits, words):
    attempt = gateway.attach(limits=limits)
    assert [attempt.ask(name).status for _ in range(2)] == [200, 200]
    answer = attempt.ask(name)
    assert answer.status == 400 and shape_of(name, json.loads(answer.body))
    assert words in json.loads(answer.body)["error"]["message"]
    assert words in attempt.pushed(lambda s: "limit" in s)["limit"]
    assert len(fake.log()) == 2
    assert attempt.state()["calls"] == 2
    assert gateway.attach("20261124T120000-2").ask(name).status == 200  # others go on


def test_a_limit_of_cost_does_not_hold_calls_without_a_price(gateway):
    attempt = gateway.attach(model="free-model", limits={"usd": 0.000001})
    assert [attempt.ask(model="free-model").status for _ in range(3)] == [200] * 3


@each_dialect
def test_a_stream_that_is_cut_is_passed_on_as_cut(gateway, fake, name):
    attempt = gateway.attach()
    fake.configure(rules=[{"nth": [1], "do": {"cut_after": 2}}, {"nth": [1], "do": {"reset_after": 2}}])
    text = scripted(turns=[{"text": "many words " * 20}])
    for number in range(2):
        answer = attempt.ask(name, text, True, headers={"Connection": "close"})
        assert answer.status == 200 and answer.cut, "the agent must see that something is missing"
        assert answer.body == fake.log()[number].answer
    assert attempt.ask(name, text, True).cut is False
    lines = attempt.lines(3)
    assert [line["end"] for line in lines] == ["cut", "cut", "ok"]
    assert [line["estimated"] for line in lines] == [True, True, False]
    assert len(fake.log()) == 3, "what has streamed a byte is never tried again"


@pytest.mark.parametrize("do", [{"stall_after": 2}, {"stall": None}], ids=["in the middle", "before a byte"])
def test_a_provider_that_says_nothing_more_is_cut(make_gateway, fake, do):
    gateway = make_gateway()
    gateway.document["limits"]["stall_ms"] = 500
    attempt = gateway.start().attach()
    fake.configure(rules=[{"nth": [1], "do": do}])
    answer = attempt.ask("anthropic", scripted(turns=[{"text": "many words " * 20}]), True)
    entry = wait_for(lambda: next((e for e in fake.log() if e.ended), None), DEADLINE)
    assert entry.left, "the provider's connection must be closed"
    if "stall_after" in do:
        assert answer.cut and attempt.lines(1)[0]["end"] == "cut"
    else:
        assert answer.status == 200 and attempt.lines(1)[0]["retries"] == 1


def test_a_slow_drip_is_no_stall(make_gateway, fake):
    gateway = make_gateway()
    gateway.document["limits"]["stall_ms"] = 2000
    attempt = gateway.start().attach()
    fake.configure(options={"drip": 0.3})
    answer = attempt.ask("anthropic", scripted(turns=[{"text": "many words " * 3}]), True)
    assert not answer.cut and answer.body == only(fake.log()).answer
    assert attempt.lines(1)[0]["total_ms"] > 2000


@pytest.mark.parametrize("do", [{"stall": None}, {"stall_after": 2}, {"drip": 0.05}],
                         ids=["before the answer", "silent in it", "while it comes"])
def test_an_agent_that_leaves_ends_its_request(gateway, fake, do):
    attempt = gateway.attach()
    fake.configure(options=do)
    dialect = DIALECTS["anthropic"]
    body = json.dumps(dialect.document(scripted(turns=[{"text": "many words " * 1000}]), stream=True)).encode()
    head = "".join(f"{k}: {v}\r\n" for k, v in dialect.headers(attempt.token).items())
    with connect(gateway.models) as sock:
        sock.sendall(f"POST {dialect.path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode()
                     + body)
        wait_for(lambda: fake.state()["current"] or ("stall" in do and fake.log()), DEADLINE)
        if "stall" not in do:
            assert sock.recv(100)
    entry = wait_for(lambda: next((e for e in fake.log() if e.ended), None), DEADLINE)
    assert entry.left
    assert attempt.lines(1)[0]["end"] == "client_left"
    assert attempt.wait(lambda s: s["calls"] == 1)["estimated"] == 1, "what was asked of the provider is counted"


def test_an_agent_that_has_said_all_gets_its_answer(gateway, fake):
    """It closed its sending side, and waits."""
    attempt = gateway.attach()
    fake.configure(options={"delay": 0.5})
    d = DIALECTS["chat"]
    body = json.dumps(d.document()).encode()
    head = f"POST {d.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    head += "".join(f"{k}: {v}\r\n" for k, v in d.headers(attempt.token).items())
    answer = gateway.raw(head.encode() + b"\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 200") and b'"choices"' in answer
    assert attempt.lines(1)[0]["end"] == "ok"


def test_a_worker_that_leaves_ends_its_calls(gateway, fake):
    attempt = gateway.attach()
    fake.configure(options={"stall": None})

    def leave():
        wait_for(fake.log, DEADLINE)
        attempt.close()

    answer, _ = all_at_once(lambda: attempt.ask(), leave)
    assert answer.status == 401 or answer.cut
    assert wait_for(lambda: next((e for e in fake.log() if e.ended), None), DEADLINE).left


def test_the_end_of_standard_input_ends_it_also_while_it_works(gateway, fake):
    attempt = gateway.attach()
    fake.configure(options={"stall": None})
    thread_done = []

    def ask():
        try:
            thread_done.append(attempt.ask().status)
        except (OSError, http.client.HTTPException) as error:
            thread_done.append(error)

    def end():
        wait_for(fake.log, DEADLINE)
        return gateway.finish()

    _, status = all_at_once(ask, end)
    assert status == 0 and thread_done
    assert attempt.receive() is None or attempt.receive() is None


def test_killed_and_started_again_it_serves_the_same_sockets(gateway, fake):
    attempt = gateway.attach()
    assert attempt.ask().status == 200
    gateway.child.send_signal(signal.SIGKILL)
    gateway.wait()
    # Whoever comes meanwhile waits in the socket's queue.
    waiting = UnixConnection(gateway.models)
    waiting.connect()
    gateway.start()
    again = gateway.attach(attempt.run_id)  # the same token: there is no table to lose
    assert again.is_attached and again.token == attempt.token
    dialect = DIALECTS["chat"]
    waiting.request("POST", dialect.path, json.dumps(dialect.document()), dialect.headers(again.token))
    assert waiting.getresponse().status == 200
    waiting.close()
    assert len(fake.log()) == 2


def test_totals_are_told_to_the_parent(gateway):
    first, second = gateway.attach(), gateway.attach("20261124T120000-2")
    first.ask()
    second.ask("anthropic", stream=True)
    wait_for(lambda: (gateway.totals() or {}).get("calls") == 2, DEADLINE)
    totals = gateway.totals()
    usages = [{"input": 1000, "cached": 0, "cache_write": 0, "output": 50},
              {"input": 1000, "cached": 0, "cache_write": 100, "output": 50}]
    assert totals["tokens"] == 2100 and totals["unpriced_calls"] == 0
    assert totals["usd"] == pytest.approx(sum(map(cost, usages)))


@pytest.mark.parametrize("change,words", [
    ({"v": 2}, "v"), ({"surprise": 1}, "surprise"), ({"providers": {}}, None),
    ({"models": [{"match": "*", "provider": "nobody", "price": None}]}, "nobody"), ("{ no json", None)])
def test_a_wrong_document_is_fatal_and_says_what_is_wrong(make_gateway, change, words):
    gateway = make_gateway()
    gateway.launch(change if isinstance(change, str) else {**gateway.document, **change})
    status = gateway.wait()
    fatal = [e["text"] for e in gateway.events if e["event"] == "fatal"]
    if change == {"providers": {}} and status == 0:
        return
    assert status != 0 and len(fatal) == 1 and (not words or words in fatal[0])


def malformed(good_token):
    auth = f"Authorization: Bearer {good_token}\r\nContent-Type: application/json\r\n".encode()
    post = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + auth
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20
    yield b"\0" * 100
    yield b"GET\r\n\r\n"
    yield b"POST /v1/messages HTTP/9.9\r\n\r\n"
    yield post + b"Content-Length: -1\r\n\r\n{}"
    yield post + b"Content-Length: 18446744073709551617\r\n\r\n{}"
    yield post + b"Content-Length: 100\r\n\r\n{}"  # and no more
    yield post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    yield post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    yield post + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}"
    yield post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield post + b"X: " + b"y" * 200000 + b"\r\n\r\n"
    yield post + b"".join(b"X-%d: y\r\n" % n for n in range(20000)) + b"\r\n"
    yield b"POST /" + b"v" * 200000 + b" HTTP/1.1\r\n\r\n"
    yield post + b"No colon here\r\nContent-Length: 2\r\n\r\n{}"
    yield post.replace(b"Host: x", b"Host: x\r\nX: a\x00b\x01\x7f") + b"Content-Length: 2\r\n\r\n{}"


def test_malformed_http_harms_nobody(gateway, fake):
    attempt = gateway.attach()
    for data in malformed(attempt.token):
        # What is no whole request is waited for: libmicrohttpd may overlook that its client has ended it.
        gateway.raw(data, listen=b"\r\n\r\n" in data and b"Length: 100" not in data)
        assert gateway.child.poll() is None, data[:80]
        assert attempt.ask().status == 200, data[:80]
    assert all(e.status in (200, 400, 401, 415) for e in fake.log())


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"model":', b'{"model":"' + b"m" * 100000 + b'"}',
                                  b'{"model":{"a":1},"stream":"yes"}', b'{"a":' * 5000, b"\xff\xfe{}", b'"' * 999],
                         ids=lambda b: repr(b[:20]))
def test_bodies_that_are_no_request_are_the_providers_to_refuse(gateway, fake, body):
    attempt = gateway.attach()
    for name in DIALECTS:
        answer = attempt.ask(name, body=body)
        assert 400 <= answer.status < 500, (name, answer.status)
    assert attempt.ask().status == 200


@pytest.mark.parametrize("message", [b"", b"{}", b"[", b'{"op":"attach"}', b'{"op":"state"}', b'{"op":7}', b"x" * 60000,
                                     b'{"op":"attach","token":1,"provider":"fake","model":"m"}'], ids=lambda m: repr(m[:20]))
def test_nonsense_on_the_control_socket_harms_nobody(gateway, message):
    attempt = gateway.attach()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(str(gateway.control))
        sock.send(message)
        answer = sock.recv(65536)
        assert answer == b"" or json.loads(answer)["event"] == "refused"
    assert attempt.ask().status == 200


def test_what_a_worker_must_not_attach_is_refused(gateway):
    first = gateway.attach()
    assert first.is_attached
    for more in ({}, {"number": 2, "provider": "nobody"}, {"number": 3, "record": False},
                 {"number": 4, "own_token": "x"}, {"number": 5, "limits": {"tokens": -1}},
                 {"number": 6, "replay": "perhaps", "recording": os.devnull}):
        reply = gateway.attach(**more).reply
        assert reply["event"] == "refused" and reply["text"], more
    assert first.ask().status == 200


def test_five_hundred_connections_at_once(gateway, fake):
    fake.configure(options={"delay": 0.5})
    attempts = [gateway.attach(f"20261124T120000-{n}") for n in range(50)]
    dialect = DIALECTS["anthropic"]
    socks = []
    for n in range(500):
        sock = connect(gateway.models)
        body = json.dumps(dialect.document(f"request {n}", stream=n % 2 == 0)).encode()
        head = "".join(f"{k}: {v}\r\n" for k, v in dialect.headers(attempts[n % 50].token).items())
        sock.sendall((f"POST {dialect.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}"
                      f"Content-Length: {len(body)}\r\n\r\n").encode() + body)
        socks.append(sock)
    statuses = []
    for sock in socks:
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        statuses.append(answer.status)
        assert b"Done." in answer.read()
        answer.close()
        sock.close()
    assert statuses == [200] * 500
    sums = [attempt.wait(lambda s: s["calls"] == 10) for attempt in attempts]
    assert sum(s["tokens_input"] for s in sums) == 500 * 1000
    assert fake.state()["requests"] == 500 and gateway.memory_kb() < 300 << 10


def test_a_provider_whose_certificate_is_not_known_is_not_asked(make_gateway, workdir):
    import ssl  # pylint: disable=import-outside-toplevel
    from model_server import ModelServer  # pylint: disable=import-outside-toplevel
    pem = workdir / "self-signed.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", workdir / "key.pem", "-out", pem],
                   check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem, workdir / "key.pem")
    with ModelServer({"keys": [KEY]}, tls) as server:
        gateway = make_gateway()
        gateway.document["providers"]["fake"]["base_url"] = server.url
        gateway.document["limits"]["shut_ms"] = 600000  # no patience mends it: told at once all the same
        attempt = gateway.start().attach()
        answer = attempt.ask()
        assert answer.status == 503 and "certificate" in answer.body.decode().lower()
        failed = attempt.wait(lambda s: s.get("failed"))["failed"]
        assert "certificate" in failed["text"].lower() and failed["retry"] is False
        assert server.log() == []


def test_a_name_that_comes_to_mean_another_model_is_told(make_gateway, fake):
    gateway = make_gateway().start()
    attempt = gateway.attach()
    fake.configure(aliases={"fake-model": "fake-model-0101"})
    assert attempt.ask().status == 200
    fake.configure(aliases={"fake-model": "fake-model-0202"})
    assert attempt.ask().status == 200
    state = attempt.wait(lambda s: s["calls"] == 2)
    assert state["models"] == ["fake-model-0101", "fake-model-0202"]
    wait_for(lambda: any(e["event"] == "note" and "fake-model-0101, and now by fake-model-0202" in e["text"]
                         for e in gateway.events))

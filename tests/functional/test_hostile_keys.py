# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers that tell an agent the key they were asked with, in answers that are good."""
import gzip
import json
import shutil
import subprocess

import pytest

from gateways import gateway, gateway_program, make_gateway  # noqa: F401
from models import KEY, fake  # noqa: F401
from test_gateway_hostile import raw_provider  # noqa: F401
from test_models import provided  # noqa: F401

STARS = "*" * len(KEY)


def completion(text):
    return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": f"fake-model {text}",
                       "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}, separators=(",", ":"))


def events(pieces, member="content"):
    chunks = [{"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "fake-model",
               "choices": [{"index": 0, "delta": {member: piece}, "finish_reason": None}]} for piece in pieces]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def told(attempt):
    """All that anybody can read of the attempt's calls."""
    attempt.lines(1)
    return attempt.log_path.read_text() + attempt.record_path.read_text() + json.dumps(attempt.state())


def answer_of(make_gateway, raw_provider, body, *headers, kind="application/json"):
    head = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    port, _ = raw_provider("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    gateway = make_gateway()
    gateway.document["providers"]["fake"]["base_url"] = f"http://127.0.0.1:{port}"
    attempt = gateway.start().attach()
    answer = attempt.ask(stream=kind == "text/event-stream")
    assert answer.status == 200 and not answer.cut
    assert KEY not in told(attempt) and KEY not in str(answer.headers)
    return answer.body.decode()


def test_a_key_in_a_good_answer_wherever_it_is_split(make_gateway, fake):
    text = completion(f"you said {KEY}{KEY}, not {KEY[:-1]}.")
    begin = text.index(KEY)
    cuts = [*range(begin - 1, begin + 2 * len(KEY) + 2), len(text) - 1]
    fake.configure(rules=[{"prompt": f"at {at}.", "do": {"status": 200, "body": json.loads(text), "split": at}} for at in cuts])
    attempt = make_gateway().start().attach()
    for at in cuts:
        answer = attempt.ask(text=f"Split at {at}.")
        assert answer.status == 200 and answer.body.decode() == text.replace(KEY, STARS), at
    assert KEY not in told(attempt)


ESCAPES = {"as hexadecimal": "".join(f"\\u{ord(c):04x}" for c in KEY), "in part": KEY[:5] + f"\\u{ord(KEY[5]):04X}" + KEY[6:]}


@pytest.mark.parametrize("escaped", ESCAPES.values(), ids=ESCAPES)
def test_a_key_in_escapes(make_gateway, raw_provider, escaped):
    text = completion("you said @@").replace("@@", escaped)
    got = answer_of(make_gateway, raw_provider, text.encode(), f"X-You-Said: {KEY}")
    assert escaped not in got and json.loads(got)["choices"][0]["message"]["content"].startswith("you said ***")


ENCODERS = {"gzip": gzip.compress}
for coding, program in (("zstd", ["zstd", "-c"]), ("br", ["brotli", "-c"])):
    if shutil.which(program[0]):
        ENCODERS[coding] = lambda data, program=program: subprocess.run(program, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_key_in_an_answer_that_is_compressed(make_gateway, raw_provider, coding):
    body = ENCODERS[coding](completion(f"you said {KEY}").encode())
    got = answer_of(make_gateway, raw_provider, body, f"Content-Encoding: {coding}")
    assert got == completion(f"you said {STARS}")


@pytest.mark.parametrize("member", ["content", "reasoning_content"])
@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_key_told_a_few_letters_an_event(make_gateway, raw_provider, step, member):
    said = f"You said {KEY}. Not {KEY[:-2]}!"
    got = answer_of(make_gateway, raw_provider, events([said[i:i + step] for i in range(0, len(said), step)], member).encode(),
                    kind="text/event-stream")
    deltas = [json.loads(line[6:])["choices"][0]["delta"][member] for line in got.splitlines() if line.startswith("data: {")]
    text = "".join(deltas)
    assert KEY not in text and KEY[3:] not in text and len(text) == len(said)
    assert text.startswith("You said ") and text.endswith(f". Not {KEY[:-2]}!") and got.endswith("data: [DONE]\n\n")


def test_what_looks_like_a_key_comes_through(make_gateway, raw_provider):
    body = events([KEY[:-1], "? sk-", KEY[:6], "!"])
    assert answer_of(make_gateway, raw_provider, body.encode(), kind="text/event-stream") == body


PLACES = {
    "the benchmark's variables": {"environment_variables": {"HELPER": f"Bearer {KEY}"}},
    "a task's variables": {},
    "an agent's file": {"agent": "teller"},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_key_under_another_name_goes_nowhere(run_cli, workdir, provided, make_bench, make_task, agent_script, place):
    task = make_task(files={".env": f"HELPER={KEY}\n"} if place == "a task's variables" else None)
    agent_script("true", name="quiet", needs="model")
    agent_script("true", name="teller", needs="model", env={"HELPER": KEY})
    bench = make_bench(task, **{"agent": "quiet", "model": "fake-one", **PLACES[place]})
    done = run_cli("run", bench, env={"FAKE_API_KEY": KEY}, check=2)
    assert "the key of a provider" in done.stderr and KEY not in done.stdout + done.stderr
    assert ("HELPER" if place != "an agent's file" else '"teller"') in done.stderr
    assert not (workdir / "data/runs").exists()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of models share: the fake provider, and minimal requests of the four dialects."""
import json
import sys

import pytest

from conftest import SOURCE

sys.path.insert(0, str(SOURCE / "tests/fake"))
from model_server import ModelServer  # noqa: E402

KEY = "sk-canary-5e1f0c"  # the provider's key: must never be seen anywhere but at the provider


@pytest.fixture
def fake():
    """A strict fake provider that knows one key; configure it with fake.configure(rules=..., ...)."""
    with ModelServer({"keys": [KEY]}) as server:
        yield server


class Dialect:
    """How a client of one dialect asks."""

    def __init__(self, name, path, auth, body, more=(), stream_path=None):
        self.name, self.path, self.auth, self.body, self.more = name, path, auth, body, dict(more)
        self.stream_path = stream_path

    def headers(self, key, **more):
        name, prefix = self.auth
        auth = {name: prefix + key} if key is not None else {}
        return {"Content-Type": "application/json", **auth, **self.more, **more}

    def target(self, model="fake-model", stream=False):
        path = self.stream_path if stream and self.stream_path else self.path
        return path.replace("MODEL", model)

    def document(self, text="hello", model="fake-model", stream=False, **more):
        doc = json.loads(json.dumps(self.body).replace("TEXT", json.dumps(text)[1:-1]))
        if self.name != "gemini":
            doc["model"] = model
            if stream:
                doc["stream"] = True
        return {**doc, **more}


BEARER = ("Authorization", "Bearer ")
DIALECTS = {d.name: d for d in (
    Dialect("responses", "/v1/responses", BEARER, {"input": [{"role": "user", "content": "TEXT"}]}),
    Dialect("chat", "/v1/chat/completions", BEARER, {"messages": [{"role": "user", "content": "TEXT"}]}),
    Dialect("anthropic", "/v1/messages", ("x-api-key", ""), {
        "max_tokens": 1000, "messages": [{"role": "user", "content": "TEXT"}]}, {"anthropic-version": "2023-06-01"}),
    Dialect("gemini", "/v1beta/models/MODEL:generateContent", ("x-goog-api-key", ""), {
        "contents": [{"role": "user", "parts": [{"text": "TEXT"}]}]},
            stream_path="/v1beta/models/MODEL:streamGenerateContent?alt=sse"))}


def scripted(**script):
    """A prompt that brings its script."""
    return f"Do it. [[fake {json.dumps(script)}]]"


def sse(data):
    """The JSON documents of an event stream."""
    text = data.decode().replace("\r\n", "\n")
    found = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in found if line != "[DONE]"]


PRICE = {"input": 10, "cached": 1, "cache_write": 20, "output": 100}  # USD per million tokens


@pytest.fixture
def provided(workdir, fake):
    """provided(apis): the user's providers.toml leads every model to the fake provider; the environment for run_cli."""
    def make(apis=tuple(DIALECTS)):
        top = workdir / "xdg/rollouts"
        top.mkdir(parents=True, exist_ok=True)
        prices = ", ".join(f"{name} = {usd}" for name, usd in PRICE.items())
        (top / "providers.toml").write_text(f"""
[providers.fake]
base_url = "{fake.url}"
key_env = "FAKE_API_KEY"
apis = {json.dumps(list(apis))}

[[models]]
match = "*-fake"
provider = "fake"
price = {{ {prices}, date = "2026-01-01" }}
""")
        return {"FAKE_API_KEY": KEY}

    return make


def cost(usages):
    """USD of calls, each with its usage as the fake provider reports it."""
    spent = 0
    for usage in usages:
        fresh = usage["input"] - usage["cached"] - usage["cache_write"]
        spent += (fresh * PRICE["input"] + usage["cached"] * PRICE["cached"]
                  + usage["cache_write"] * PRICE["cache_write"] + usage["output"] * PRICE["output"]) / 1e6
    return spent

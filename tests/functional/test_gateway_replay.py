# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway records answers the same requests again, byte for byte and without a provider."""
import json

import pytest

from gateways import DEADLINE, all_at_once, cost, gateway, gateway_program, make_gateway, total  # noqa: F401
from models import DIALECTS, KEY, fake, scripted  # noqa: F401

each_dialect = pytest.mark.parametrize("name", DIALECTS)
TALK = [scripted(turns=[{"text": f"answer {n} 🦊 ", "repeat": 20 + n}]) for n in range(4)]


def record(gateway, name, stream):
    attempt = gateway.attach()
    answers = [attempt.ask(name, text, stream).body for text in TALK]
    attempt.lines(len(TALK))
    attempt.close()
    return attempt, answers


def replay(gateway, recorded, mode="strict", run_id="20261124T120000-9"):
    attempt = gateway.attach(run_id, replay=mode, recording=recorded.record_path)
    assert attempt.is_attached, attempt.reply
    return attempt


@each_dialect
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_recording_gives_the_same_answers_again(gateway, fake, name, stream):
    recorded, answers = record(gateway, name, stream)
    assert recorded.record_path.stat().st_size > 0
    fake.reset()
    fake.configure(rules=[{"do": {"status": 500}}])
    again = replay(gateway, recorded)
    assert [again.ask(name, text, stream).body for text in TALK] == answers
    assert fake.log() == [], "a replay asks no provider"
    state = again.wait(lambda s: s["calls"] == len(TALK))
    usages = [line["tokens"] for line in recorded.lines()]
    assert {k: state[k] for k in total(usages)} == total(usages)
    assert "diverged" not in state
    assert again.lines(len(TALK))[0]["tokens"] == usages[0]


def talk(turns, model="fake-model"):
    """The requests of a conversation: each repeats the ones before, and tools stand behind them."""
    tools = [{"type": "function", "function": {"name": f"tool{n}", "description": "It does. " * 40,
                                               "parameters": {"type": "object", "properties": {}}}} for n in range(10)]
    messages = [{"role": "system", "content": "Be brief. " * 300}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"{turn}: " + f"What is {turn} and why? " * 60})
        yield json.dumps({"model": model, "messages": messages, "tools": tools}, ensure_ascii=False).encode()
        messages.append({"role": "assistant", "content": f"{turn} 🦊 " * 20})


def test_a_long_conversation_is_stored_once(gateway, fake):
    """Though each of its fifty requests repeats all of it, and another one goes on between them."""
    asked = [body for pair in zip(talk(50), talk(50, "other-model")) for body in pair]
    recorded = gateway.attach()
    answers = [recorded.ask(body=body).body for body in asked]
    recorded.lines(100)
    recorded.close()
    whole, stored = sum(map(len, asked)), recorded.record_path.stat().st_size
    assert whole > 4 << 20 and stored < 2 * len(asked[-1]) + len(asked) * 1500, (whole, stored)
    again = replay(gateway, recorded)
    assert [again.ask(body=body).body for body in asked] == answers
    again.wait(lambda s: s["calls"] == 100)
    assert again.record_path.read_bytes().count(b'"base":') == recorded.record_path.read_bytes().count(b'"base":') == 99
    # The last request is put together from all before it to say how another one differs.
    again = replay(gateway, recorded, run_id="20261124T120000-8")
    assert [again.ask(body=body).status for body in asked[:-1]] == [200] * 99
    assert again.ask(body=asked[-1].replace(b"49: What", b"49: Who")).status == 400
    assert 'messages[99].content: recorded "49: What is 49' in again.wait(lambda s: s.get("diverged"))["diverged"]


def test_a_recording_of_another_version_is_not_guessed_at(gateway, workdir):
    path = workdir / "recording"
    path.write_bytes(b'{"call":1,"kind":"request","v":1,"method":"POST","path":"/","hash":"","bytes":2}\n{}\n')
    attempt = gateway.attach(replay="strict", recording=path)
    assert attempt.reply["event"] == "refused" and "version 1, this program knows 2" in attempt.reply["text"]


def test_a_replay_works_without_any_key(make_gateway, fake):
    recorded, answers = record(make_gateway().start(), "anthropic", True)
    other = make_gateway()
    other.document["providers"]["fake"].update(keys=[], base_url="http://127.0.0.1:9")
    again = replay(other.start(), recorded)
    assert [again.ask("anthropic", text, True).body for text in TALK] == answers


def test_the_token_in_a_query_is_no_difference(gateway, fake):
    recorded = gateway.attach()
    answer = gateway.request("POST", f"/v1beta/models/fake-model:generateContent?key={recorded.token}",
                             {"Content-Type": "application/json"}, json.dumps(DIALECTS["gemini"].document()))
    recorded.lines(1)
    again = replay(gateway, recorded)
    same = gateway.request("POST", f"/v1beta/models/fake-model:generateContent?key={again.token}",
                           {"Content-Type": "application/json"}, json.dumps(DIALECTS["gemini"].document()))
    assert same.status == 200 and same.body == answer.body and len(fake.log()) == 1


def test_what_changes_by_itself_is_no_difference(gateway, fake):
    recorded = gateway.attach()
    text = "session 0a1b2c3d-0000-4000-8000-000000000001 began 2026-11-24T12:00:00Z, ran 0.03s"
    answer = recorded.ask("chat", text, user="one", prompt_cache_key="a")
    recorded.lines(1)
    again = replay(gateway, recorded)
    later = "session ffffffff-1111-4222-8333-444444444444 began 2027-01-02T03:04:05Z, ran 1.75s"
    assert again.ask("chat", later, user="two", prompt_cache_key="b").body == answer.body
    assert "diverged" not in again.state()
    assert len(fake.log()) == 1


@each_dialect
def test_another_request_diverges_and_the_difference_is_named(gateway, fake, name):
    recorded, answers = record(gateway, name, False)
    fake.reset()
    again = replay(gateway, recorded)
    assert again.ask(name, TALK[0]).body == answers[0]
    answer = again.ask(name, TALK[1] + " PLEASE")
    assert 400 <= answer.status < 500
    state = again.pushed(lambda s: s.get("diverged"))
    assert "PLEASE" in state["diverged"] or "PLEASE" in answer.body.decode()
    assert fake.log() == []
    assert 400 <= again.ask(name, TALK[2]).status < 500 or again.state()["diverged"] == state["diverged"]


def worked(name, output, call, question="List it."):
    """The second request of an agent that ran a command: its call, made under an id, and what that printed."""
    if name == "chat":
        return {"model": "fake-model", "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": {"name": "sh", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": call, "content": output}]}
    if name == "responses":
        return {"model": "fake-model", "input": [
            {"role": "user", "content": question},
            {"type": "function_call", "id": "fc" + call, "call_id": call, "name": "sh", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call, "output": output}]}
    if name == "anthropic":
        return {"model": "fake-model", "max_tokens": 9, "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "sh", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": output}]}]}
    return {"contents": [
        {"role": "user", "parts": [{"text": question}]},
        {"role": "model", "parts": [{"functionCall": {"id": call, "name": "sh", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": call, "name": "sh", "response": {"output": output}}}]}]}


@each_dialect
def test_what_a_tool_answers_may_differ_and_is_told(gateway, fake, name):
    recorded = gateway.attach()
    bodies = [json.dumps(worked(name, f"-rw-r--r-- 1 agent 5 Nov {day} 10:0{day} a\nchunk {day}f3a", f"call_{day}")).encode() for day in (1, 2)]
    answers = [recorded.ask(name, body=body).body for body in bodies]
    recorded.lines(2)
    again = replay(gateway, recorded)
    later = [json.dumps(worked(name, f"-rw-r--r-- 1 agent 5 Dec {day} 11:0{day} a\nchunk {day}99c", f"call_{day}x")).encode() for day in (7, 8)]
    assert [again.ask(name, body=body).body for body in later] == answers, "by their places in the conversation"
    first, second = again.lines(2)
    assert "recorded" in first["differs"] and second["differs"] == "as calls before it" and "diverged" not in again.state()
    # What the agent was asked, or did itself, is no output.
    again = replay(gateway, recorded, run_id="20261124T120000-8")
    assert again.ask(name, body=json.dumps(worked(name, "x", "y", "Remove it.")).encode()).status == 400
    assert "Remove it." in again.pushed(lambda s: s.get("diverged"))["diverged"]


def test_more_requests_than_were_recorded_diverge(gateway, fake):
    recorded, answers = record(gateway, "chat", False)
    again = replay(gateway, recorded)
    assert [again.ask("chat", text).body for text in TALK] == answers
    assert 400 <= again.ask("chat", TALK[0]).status < 500
    assert again.pushed(lambda s: s.get("diverged"))


def test_a_live_replay_goes_on_with_the_provider(gateway, fake):
    recorded, answers = record(gateway, "chat", False)
    fake.reset()
    again = replay(gateway, recorded, "live")
    assert again.ask("chat", TALK[0]).body == answers[0]
    assert fake.log() == []
    assert again.ask("chat", "something else").status == 200
    assert len(fake.log()) == 1 and "diverged" not in again.state()


def test_errors_and_cuts_replay_as_they_were(gateway, fake):
    fake.configure(rules=[{"prompt": "answer 1 ", "do": {"cut_after": 3}}])
    recorded = gateway.attach()
    answers = [recorded.ask("anthropic", TALK[0], True), recorded.ask("anthropic", TALK[1], True),
               recorded.ask("anthropic", nonsense=1), recorded.ask("anthropic", TALK[2], True)]
    assert [a.cut for a in answers] == [False, True, False, False] and answers[2].status == 400
    recorded.lines(4)
    again = replay(gateway, recorded)
    same = [again.ask("anthropic", TALK[0], True), again.ask("anthropic", TALK[1], True),
            again.ask("anthropic", nonsense=1), again.ask("anthropic", TALK[2], True)]
    assert [(a.status, a.cut, a.body) for a in same] == [(a.status, a.cut, a.body) for a in answers]


def test_a_retried_call_replays_as_the_agent_saw_it(gateway, fake):
    fake.configure(rules=[{"first": 1, "do": {"status": 500}}])
    recorded = gateway.attach()
    answer = recorded.ask("chat")
    recorded.lines(1)
    again = replay(gateway, recorded)
    assert again.ask("chat").body == answer.body and len(fake.log()) == 2


def test_requests_side_by_side_replay_in_whatever_order(gateway, fake):
    recorded = gateway.attach()
    answers = dict(zip(TALK, [a.body for a in all_at_once(*[
        lambda t=t: recorded.ask("chat", t, True) for t in TALK])]))
    recorded.lines(len(TALK))
    again = replay(gateway, recorded)
    assert [again.ask("chat", t, True).body for t in reversed(TALK)] == [answers[t] for t in reversed(TALK)]


def test_limits_hold_in_a_replay(gateway, fake):
    recorded, answers = record(gateway, "chat", False)
    again = gateway.attach("20261124T120000-9", replay="strict", recording=recorded.record_path, limits={"calls": 2})
    assert [again.ask("chat", text).body for text in TALK[:2]] == answers[:2]
    assert again.ask("chat", TALK[2]).status == 400
    assert "call_limit" in again.pushed(lambda s: s.get("limit"))["limit"]


@pytest.mark.parametrize("damage", [b"", b"nonsense\n", b'{"call":1,"kind":"request","v":99}\n', b"\0" * 5000])
def test_a_damaged_recording_is_no_crash(gateway, fake, damage, workdir):
    path = workdir / "recording"
    path.write_bytes(damage)
    attempt = gateway.attach("20261124T120000-9", replay="strict", recording=path)
    if attempt.is_attached:
        assert 400 <= attempt.ask().status < 500
    assert gateway.attach("20261124T120000-8").ask().status == 200
    assert len(fake.log()) == 1


def test_a_recording_that_was_torn_off_gives_what_is_whole(gateway, fake, workdir):
    recorded, answers = record(gateway, "chat", False)
    path = workdir / "recording"
    data = recorded.record_path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    attempt = gateway.attach("20261124T120000-9", replay="strict", recording=path)
    assert attempt.is_attached
    assert attempt.ask("chat", TALK[0]).body == answers[0]
    assert attempt.ask("chat", TALK[3]).status != 200


def test_without_record_nothing_is_kept(make_gateway, fake):
    gateway = make_gateway(record=False).start()
    attempt = gateway.attach()
    assert attempt.ask().status == 200
    assert attempt.lines(1) and not attempt.record_path.exists()

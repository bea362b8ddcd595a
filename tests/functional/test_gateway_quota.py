# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway and a provider's quota: what is tried again, how many go at once, whose turn it is."""
import json
import threading
import time

import pytest

from conftest import wait_for
from gateways import DEADLINE, all_at_once, cost, gateway, gateway_program, make_gateway, seconds  # noqa: F401
from models import DIALECTS, KEY, fake, scripted  # noqa: F401

each_dialect = pytest.mark.parametrize("name", DIALECTS)
OTHER_KEY = KEY + "-other"


def only(entries):
    assert len(entries) == 1, entries
    return entries[0]


@each_dialect
@pytest.mark.parametrize("do", [
    {"status": 429}, {"status": 429, "headers": {"Retry-After": "1"}}, {"status": 500}, {"status": 502},
    {"status": 503, "headers": {"Retry-After": "1"}}, {"status": 529}, {"reset": True}, {"close": True}],
    ids=["429", "429 retry-after", "500", "502", "503 retry-after", "529", "reset", "close"])
def test_what_passes_is_waited_for_and_the_agent_sees_none_of_it(gateway, fake, name, do):
    attempt = gateway.attach()
    fake.configure(rules=[{"first": 2, "do": do}])
    answer, took = seconds(lambda: attempt.ask(name, stream=name == "responses"))
    assert answer.status == 200 and not answer.cut and answer.body == fake.log()[-1].answer
    assert len(fake.log()) == 3
    bodies = {e.request.body for e in fake.log()}
    assert len(bodies) == 1, "each try asks the same"
    line = only(attempt.lines(1))
    assert line["retries"] == 2 and line["status"] == 200 and line["end"] == "ok"
    state = attempt.state()
    assert state["calls"] == 1 and state["tokens_output"] == 50, "what was refused is not counted"
    assert "failed" not in state
    if "headers" in do:
        assert took >= 2
    # Waiting is told apart from working: the waits, less what the provider took to say no.
    assert 0.3 * took <= state["waited_ms"] / 1000 <= took
    assert line["queued_ms"] / 1000 <= took


def test_a_refused_connection_is_waited_for(gateway, fake):
    attempt = gateway.attach()
    fake.refuse(1.5)
    answer = attempt.ask()
    assert answer.status == 200 and len(fake.log()) == 1


def test_retry_after_shuts_the_provider_for_all(gateway, fake):
    """Nobody else runs into the wall that one has met."""
    first, second = gateway.attach(), gateway.attach("20261124T120000-2")
    fake.configure(rules=[{"first": 1, "do": {"status": 429, "headers": {"Retry-After": "2"}}}])

    def later():
        wait_for(lambda: fake.log() and fake.log()[0].ended, DEADLINE)
        return second.ask()

    answers = all_at_once(first.ask, later)
    assert [a.status for a in answers] == [200, 200]
    log = fake.log()
    assert [e.status for e in log] == [429, 200, 200]
    assert all(e.began - log[0].ended >= 1.9 for e in log[1:])
    assert second.state()["waited_ms"] > 1000


@pytest.mark.parametrize("name,headers", [
    ("chat", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"}),
    ("chat", {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1500ms"}),
    ("anthropic", {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": None})])
def test_an_empty_quota_is_respected_before_it_is_overdrawn(gateway, fake, name, headers):
    attempt = gateway.attach()
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    headers = {k: v or soon for k, v in headers.items()}
    fake.configure(rules=[{"nth": [1], "do": {"add_headers": headers}}])
    answers = [attempt.ask(name) for _ in range(2)]
    assert [a.status for a in answers] == [200, 200]
    log = fake.log()
    assert log[1].began - log[0].ended >= 1.3


@pytest.mark.parametrize("do,words", [({"status": 429}, "429"), ({"status": 529}, "529"), ({"status": 502}, "502"),
                                      ({"status": 429, "headers": {"Retry-After": "3600"}}, "429"),
                                      ({"reset": True}, "reach")])
def test_a_provider_that_stays_shut_is_told_at_last(make_gateway, fake, do, words):
    gateway = make_gateway()
    gateway.document["limits"]["shut_ms"] = 1500
    attempt = gateway.start().attach()
    fake.configure(rules=[{"do": do}])
    answer, took = seconds(lambda: attempt.ask("anthropic"))
    assert answer.status == do.get("status", 503)
    assert took < 30
    failed = attempt.pushed(lambda s: s.get("failed"))["failed"]
    assert failed["retry"] is True and words in failed["text"]
    line = only(attempt.lines(1))
    assert line["end"] == "error" and line["tokens"]["output"] == 0
    fake.configure(rules=[])
    if "headers" in do:
        asked = len(fake.log())
        assert attempt.ask("anthropic").status in (429, 503)
        assert len(fake.log()) == asked, "it said when to come again"
    else:
        assert wait_for(lambda: attempt.ask("anthropic").status == 200, DEADLINE)


def test_the_same_error_to_one_request_is_the_agents_soon(make_gateway, fake):
    """Of a provider that answers others: patience for what it does not understand would be a quarter of an hour."""
    gateway = make_gateway()
    gateway.document["limits"]["shut_ms"] = 90000
    attempt = gateway.start().attach()
    fake.configure(rules=[{"model": "bad-model", "do": {"status": 500}}])
    answer, took = seconds(lambda: attempt.ask("anthropic", model="bad-model"))
    assert answer.status == 500 and took < 30
    assert attempt.ask("anthropic").status == 200
    assert only(attempt.lines(2)[:1])["retries"] >= 2


@pytest.mark.parametrize("output_limit", [None, 50])
def test_calls_side_by_side_do_not_pass_a_limit(gateway, fake, output_limit):
    """One that does not fit beside those under way waits for them; each costs the same."""
    one = cost({"input": 1000, "cached": 0, "cache_write": 0, "output": 50})
    attempt = gateway.attach(limits={"usd": 5 * one})
    fake.configure(options={"delay": 0.05})
    more = {"max_tokens": output_limit} if output_limit else {}
    answers, threads = [], []
    for _ in range(30):
        threads.append(threading.Thread(target=lambda: answers.append(attempt.ask("chat", **more).status)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert answers.count(200) == len(fake.log()) <= 6 and answers.count(400) == 30 - answers.count(200)
    state = attempt.wait(lambda s: s["calls"] == len(fake.log()))
    assert state["limit"].startswith("cost_limit_usd") and state["usd"] <= 6 * one + 1e-9


def test_a_refused_key_is_final_at_once(make_gateway, fake):
    fake.configure(keys=["sk-none"])
    gateway = make_gateway().start()
    attempt = gateway.attach()
    answer = attempt.ask()
    assert answer.status == 401 and len(fake.log()) == 1
    failed = attempt.pushed(lambda s: s.get("failed"))["failed"]
    assert failed["retry"] is False and "401" in failed["text"]
    note = only(wait_for(gateway.notes, DEADLINE))
    assert "FAKE_KEY" in note and KEY not in note
    assert gateway.attach("20261124T120000-2").ask().status == 401


def two_keys(make_gateway):
    gateway = make_gateway()
    gateway.document["providers"]["fake"]["keys"] = [{"id": "FIRST", "key": KEY}, {"id": "SECOND", "key": OTHER_KEY}]
    return gateway.start()


def test_keys_are_spread_over_attempts_and_each_stays_with_its_own(make_gateway, fake):
    """What a provider encrypted or holds in a cache belongs to the account of a key."""
    fake.configure(keys=[KEY, OTHER_KEY])
    gateway = two_keys(make_gateway)
    attempts = [gateway.attach(f"20261124T120000-{n}") for n in range(6)]
    for attempt in attempts * 3:
        assert attempt.ask().status == 200
    assert [e.key for e in fake.log()].count(KEY) == 9
    used = [attempt.wait(lambda s: s["calls"] == 3)["keys"] for attempt in attempts]
    assert sorted(used) == [["FIRST"]] * 3 + [["SECOND"]] * 3


def test_a_key_that_is_kept_is_waited_for_a_moment_and_left_when_it_is_shut_for_long(make_gateway, fake):
    fake.configure(keys=[KEY, OTHER_KEY])
    attempt = two_keys(make_gateway).attach()
    assert attempt.ask().status == 200
    own = fake.log()[0].key

    def shut(seconds):
        fake.configure(rules=[{"key": own, "first": 1, "do": {"status": 429, "headers": {"Retry-After": seconds}}}])
        return attempt.ask().status, fake.log()[-1].key

    assert shut("2") == (200, own)
    status, key = shut("60")
    assert status == 200 and key != own
    assert attempt.ask().status == 200 and fake.log()[-1].key == key


def test_a_prompt_larger_than_the_rate_limit_is_its_senders_affair(make_gateway, fake):
    """No waiting mends it, and it says nothing of how much others may ask."""
    words = ("Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 52017. "
             "The input or output tokens must be reduced in order to run successfully.")
    fake.configure(rules=[{"prompt": "very long", "do": {"status": 429, "headers": {"Retry-After": "30"}, "body": {
        "error": {"message": words, "type": "tokens", "code": "rate_limit_exceeded"}}}}])
    gateway = make_gateway().start()
    large, other = gateway.attach(), gateway.attach("20261124T120000-2")
    answer, took = seconds(lambda: large.ask(text="very long"))
    assert answer.status == 429 and took < 5 and len(fake.log()) == 1
    answer, took = seconds(other.ask)
    assert answer.status == 200 and took < 5


def test_a_key_that_is_refused_or_used_up_leaves_the_work_to_the_other(make_gateway, fake):
    fake.configure(keys=[KEY, OTHER_KEY],
                   rules=[{"key": KEY, "do": {"status": 429, "headers": {"Retry-After": "30"}}}])
    gateway = two_keys(make_gateway)
    attempt = gateway.attach()
    (answers, took) = seconds(lambda: [attempt.ask().status for _ in range(5)])
    assert answers == [200] * 5 and took < 25
    assert [e.key for e in fake.log() if e.status == 200] == [OTHER_KEY] * 5
    fake.configure(keys=[OTHER_KEY], rules=[])
    second = two_keys(make_gateway).attach()
    assert [second.ask().status for _ in range(4)] == [200] * 4
    assert "failed" not in second.state()


def keys_by_task(make_gateway, everybodys=()):
    gateway = make_gateway()
    fake = gateway.document["providers"]["fake"]
    fake["keys"] = [{"id": "ALL", "key": key} for key in everybodys]
    fake["task_keys"] = {"a": [{"id": "A", "key": KEY + "-a"}], "b": [{"id": "B", "key": KEY + "-b"}],
                         "both": [{"id": "A", "key": KEY + "-a"}, {"id": "B again", "key": KEY + "-b"}]}
    return gateway.start()


def test_a_tasks_key_serves_its_own_attempts_only(make_gateway, fake):
    fake.configure(keys=[KEY, KEY + "-a", KEY + "-b"])
    gateway = keys_by_task(make_gateway, [KEY])
    want = {"a": {KEY + "-a"}, "b": {KEY + "-b"}, "both": {KEY + "-a", KEY + "-b"}, "c": {KEY}, None: {KEY}}
    attempts = {task: gateway.attach(f"20261124T120000-{n}", task=task) for n, task in enumerate(want)}
    all_at_once(*[lambda t=t, a=a: [a.ask(text=f"I am {t}.") for _ in range(4)] for t, a in attempts.items()])
    for task, keys in want.items():
        assert {e.key for e in fake.log() if f"I am {task}." in e.request.body.decode()} <= keys, task
    used = {task: attempt.wait(lambda s: s["calls"] == 4)["keys"] for task, attempt in attempts.items()}
    assert used["a"] == ["A"] and used["b"] == ["B"] and set(used["both"]) <= {"A", "B"} and used["c"] == ["ALL"]
    assert {line["key"] for line in attempts["a"].lines(4)} == {"A"}


def test_whoever_has_no_key_is_not_let_in(make_gateway, fake):
    reply = keys_by_task(make_gateway).attach(task="c").reply
    assert reply["event"] == "refused" and reply["text"] == 'attach: no key of provider "fake" is for this task'


def test_a_key_that_is_shut_or_refused_holds_up_those_alone_that_have_no_other(make_gateway, fake):
    fake.configure(keys=[KEY + "-a", KEY + "-b"],
                   rules=[{"key": KEY + "-a", "first": 1, "do": {"status": 429, "headers": {"Retry-After": "3"}}}])
    gateway = keys_by_task(make_gateway)
    a, b, both = [gateway.attach(f"20261124T120000-{n}", task=t) for n, t in enumerate(("a", "b", "both"))]

    def others():
        wait_for(lambda: fake.log() and fake.log()[0].ended, DEADLINE)
        answers, took = seconds(lambda: [x.ask().status for _ in range(3) for x in (b, both)])
        return answers, took

    (answer, took), (answers, soon) = all_at_once(lambda: seconds(a.ask), others)
    assert answer.status == 200 and took >= 3 and answers == [200] * 6 and soon < 2.5
    # A key that is refused is set aside for whoever has another; who has none hears what the provider says.
    fake.configure(keys=[KEY + "-b"], rules=[])
    before = len(fake.log())
    assert [both.ask().status for _ in range(3)] == [200] * 3
    assert a.ask().status == 401 and "401" in a.pushed(lambda s: s.get("failed"))["failed"]["text"]
    assert b.ask().status == 200 and "failed" not in b.state() and "failed" not in both.state()
    assert [e.status for e in fake.log()[before:]].count(401) <= 2


def test_the_number_in_flight_finds_what_the_provider_takes(gateway, fake):
    """A provider that takes 6 at once: the gateway finds that out, stays near it, and no agent sees a 429."""
    fake.configure(quotas=[{"concurrent": 6}], options={"delay": 0.05})
    attempts = [gateway.attach(f"20261124T120000-{n}") for n in range(24)]

    def work(attempt):
        return lambda: [attempt.ask().status for _ in range(12)]

    answers, took = seconds(lambda: all_at_once(*map(work, attempts)))
    assert answers == [[200] * 12] * 24
    log = fake.log()
    refused = [e for e in log if e.status == 429]
    assert len(log) - len(refused) == 288
    # 288 calls of 0.05 s, six at once, take 2.4 s: it may take longer to find out, not for ever.
    assert took < 40
    assert len(refused) < 0.5 * 288, f"{len(refused)} of {len(log)} were refused"
    late = log[len(log) // 2:]
    assert sum(e.status == 429 for e in late) < 0.3 * len(late), "it does not learn"


def test_a_rate_is_not_overrun_for_long(gateway, fake):
    fake.configure(quotas=[{"per_second": 40, "burst": 10, "retry_after": 0.25}])
    attempts = [gateway.attach(f"20261124T120000-{n}") for n in range(10)]
    answers = all_at_once(*[lambda a=a: [a.ask().status for _ in range(15)] for a in attempts])
    assert answers == [[200] * 15] * 10
    assert fake.state()["over"] < 150, "more refusals than answers"


def test_attempts_have_their_turns_whatever_others_ask(gateway, fake):
    """One with forty requests waiting does not hold up one that has a single one."""
    fake.configure(quotas=[{"concurrent": 1}], options={"delay": 0.1})
    greedy, modest = gateway.attach(), gateway.attach("20261124T120000-2")
    done = []

    def many():
        all_at_once(*[lambda: done.append(greedy.ask(text="greedy").status) for _ in range(40)])

    def few():
        wait_for(lambda: len(done) >= 3, DEADLINE)
        before = len(done)
        assert modest.ask(text="modest").status == 200
        return len(done) - before

    _, meanwhile = all_at_once(many, few)
    assert done == [200] * 40
    assert meanwhile <= 12, f"{meanwhile} of the other's calls came first"


def test_waiting_is_no_time_of_the_agents(gateway, fake):
    """Waited time runs while all of an attempt's calls wait, and only then."""
    attempt = gateway.attach()
    fake.configure(rules=[{"first": 1, "do": {"status": 429, "headers": {"Retry-After": "2"}}}])

    def watch():
        first = attempt.wait(lambda s: s["waited_ms"] >= 300)
        return first["waited_ms"], attempt.wait(lambda s: s["waited_ms"] >= 1200)["waited_ms"]

    answer, (early, late) = all_at_once(attempt.ask, watch)
    assert answer.status == 200 and early < late
    fake.configure(rules=[], options={"delay": 1})
    before = attempt.state()["waited_ms"]
    attempt.ask()
    assert attempt.wait(lambda s: s["calls"] == 2)["waited_ms"] - before < 500
    assert 1900 <= before <= 20000


def test_no_more_than_max_in_flight_at_once(make_gateway, fake):
    gateway = make_gateway()
    gateway.document["providers"]["fake"]["max_in_flight"] = 3
    gateway.start()
    fake.configure(options={"delay": 0.02})
    attempts = [gateway.attach(f"20261124T120000-{n}") for n in range(10)]
    all_at_once(*[lambda a=a: [a.ask().status for _ in range(5)] for a in attempts])
    assert fake.state()["max"] <= 3 and fake.state()["requests"] == 50


def test_models_do_not_share_a_quota(gateway, fake):
    fake.configure(rules=[{"model": "shut-*", "do": {"status": 429, "headers": {"Retry-After": "20"}}}])
    shut, fine = gateway.attach(model="shut-1"), gateway.attach("20261124T120000-2")

    def leave_soon():
        wait_for(fake.log, DEADLINE)
        assert [fine.ask().status for _ in range(3)] == [200] * 3
        shut.close()

    answer, _ = all_at_once(lambda: shut.ask(model="shut-1"), leave_soon)
    assert answer.status == 401 or answer.cut

# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs with models: agents in sandboxes, of every API, side by side, with faults and kills. After each of
them the provider's key is looked for in all that the run has said and left, inside and out."""
import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from conftest import SOURCE, put, toml_table, wait_for
from gateways import cost
from models import DIALECTS, KEY, fake, scripted  # noqa: F401

ENV = {"FAKE_API_KEY": KEY}
FIX = "printf 'def greet(name):\\n    return \"hello \" + name\\n' > src/greet.py"
PRICE = {"input": 3.0, "cached": 0.3, "cache_write": 3.75, "output": 15.0, "date": "2026-11-01"}
# What a sandbox holds that could hold a key: said to the agent's log, where the test looks.
SPY = "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; cat ~/* ~/.* 2>/dev/null; env"


@pytest.fixture
def talker(workdir, fake, agent_script):
    """talker(api, stream=): an agent that talks by that API to the fake provider, which the user's own file names."""
    rule = {"match": "fake-*", "provider": "fake", "price": PRICE}
    put(workdir / "xdg/rollouts/providers.toml",
        "[providers.fake]\n" + toml_table({"base_url": fake.url, "key_env": "FAKE_API_KEY", "apis": list(DIALECTS)})
        + "\n[[models]]\n" + toml_table(rule))

    def make(api="chat", stream=True):
        text = (SOURCE / "tests/fake/model_agent.py").read_text()
        return agent_script(f'exec /usr/bin/python3 ~/agent.py {api} "$URL" "$TOKEN" "$MODEL_ID" {"stream" if stream else ""}\n',
                            name=f"talker-{api}", needs="model", apis=[api], stdin="{instruction}",
                            env={"URL": "{gateway_url}", "TOKEN": "{token}", "MODEL_ID": "{model}"},
                            files={"{home}/agent.py": text})

    return make


@pytest.fixture(autouse=True)
def no_key_anywhere(workdir):
    yield
    data = workdir / "data"
    found = []
    for path in data.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # of a worker that was killed with a failed test
            if path.is_file() and not path.is_symlink() and KEY.encode() in path.read_bytes():
                found.append(str(path))
    assert not found, f"the provider's key is in {found}"


def look(done):
    assert KEY not in done.stdout + (done.stderr or "")
    return done


def said(workdir, run_id):
    """What the agent printed: lines of JSON."""
    for path in (workdir / "data/runs" / run_id).glob("logs/agent*"):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def summed(entries):
    usages = [e.usage for e in entries if e.status == 200]
    return {name: sum(u[name] for u in usages) for name in ("input", "cached", "cache_write", "output", "reasoning")}


def check_metrics(result, entries):
    metrics, sums = result["agent"]["metrics"], summed(entries)
    assert metrics["calls"] == len([e for e in entries if e.status == 200])
    for name in ("input", "cached", "output", "reasoning"):
        assert metrics[f"tokens_{name}"] == sums[name], name
    assert metrics["money_usd"] == pytest.approx(cost(sums, PRICE))


@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_agent_of_each_api_solves_its_task(talker, make_task, make_bench, run_cli, rollout, workdir, fake, api, stream):
    prompt = scripted(turns=[{"text": "I look.", "shell": [SPY, "ls"]}, {"text": "I fix.", "shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker(api, stream), model="fake-one")
    look(run_cli("run", path, "-v", env=ENV, check=0))
    t = rollout()
    [(run_id, result)] = t.runs.items()
    assert result["outcome"] == "completed" and result["total_score"] == 1.0
    assert [e.turn for e in fake.log()] == [0, 1, 2] and {e.dialect for e in fake.log()} == {api}
    check_metrics(result, fake.log())
    lines = list(said(workdir, run_id))
    assert [line["said"] for line in lines if "said" in line] == ["I look.", "I fix.", "Fixed."]
    spied = next(line["output"] for line in lines if "output" in line)
    assert "URL=http://127.0.0.1:" in spied and "FAKE_API_KEY" not in spied, "it has looked, and there is none"
    token = next(line for line in spied.splitlines() if line.startswith("TOKEN=")).removeprefix("TOKEN=")
    assert token.split(".")[:-1] == [run_id, "1", "agent"]
    for entry in fake.log():
        assert token not in entry.request.target + repr(entry.request.headers)


def test_the_account_makes_no_difference(talker, make_task, make_bench, run_cli, rollout, account):
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("anthropic"), model="fake-one")
    look(run_cli("run", path, env=ENV, check=0))
    [result] = rollout().runs.values()
    assert result["total_score"] == 1.0 and result["agent"]["metrics"]["calls"] == 2


def many(talker, make_task, make_bench, turns, **more):
    """Three tasks, two models, two rollouts: twelve trials."""
    tasks = [make_task(f"task-{n}", instructions=scripted(turns=turns)) for n in range(3)]
    entries = [{"prepared_dir": task, "models": ["fake-one", "fake-two"]} for task in tasks]
    return make_bench(*entries, agent=talker("anthropic"), rollouts=2, **more)


def test_many_trials_share_a_small_and_faulty_provider(talker, make_task, make_bench, run_cli, rollout, fake):
    """Two calls at a time for each model, now and then an error: no agent is told, and every token is counted."""
    fake.configure(quotas=[{"concurrent": 2}], options={"delay": 0.05},
                   rules=[{"every": 5, "do": {"status": 529}}, {"nth": [3], "do": {"reset": True}},
                          {"nth": [7], "do": {"status": 500}}])
    turns = [{"shell": "cat src/greet.py"}, {"shell": FIX}, {"text": "Fixed."}]
    done = look(run_cli("run", many(talker, make_task, make_bench, turns), "-j8", env=ENV, check=0, timeout=300))
    t = rollout()
    assert len(t.runs) == 12, done.stdout
    assert all(r["outcome"] == "completed" and r["total_score"] == 1.0 for r in t.runs.values())
    good = [e for e in fake.log() if e.status == 200]
    assert len(good) == 36 and len(fake.log()) > 36
    assert all(r["agent"]["metrics"]["calls"] == 3 for r in t.runs.values())
    totals = [e for e in t.events if e["event"] == "spent"][-1]
    sums = summed(good)
    assert totals["calls"] == 36 and totals["tokens"] == sums["input"] + sums["output"]
    assert totals["usd"] == pytest.approx(cost(sums, PRICE))


def test_at_its_limit_an_agent_keeps_what_it_has_done(talker, make_task, make_bench, run_cli, rollout, fake, workdir):
    prompt = scripted(turns=[{"shell": FIX}, *[{"shell": f"echo {n}"} for n in range(20)]])
    path = make_bench(make_task(instructions=prompt), agent=talker("responses"), model="fake-one", token_limit=4000)
    look(run_cli("run", path, env=ENV, check=0))
    [(run_id, result)] = rollout().runs.items()
    assert result["outcome"] == "budget" and result["total_score"] == 1.0 and result["evaluated"] is True
    assert result["reason"].startswith("token_limit of 4000 reached")
    # 1050, 1560, 2070: the third call began below the limit, the fourth is told no.
    assert len(fake.log()) == 3
    check_metrics(result, fake.log())
    last = list(said(workdir, run_id))[-1]
    assert last["status"] == 400 and "token_limit" in last["error"]


def gateways_of(parent):
    """The gateways that a supervisor has started."""
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a child that ends meanwhile
            for pid in path.read_text().split():
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "rollouts-gateway":
                    yield int(pid)


def running(child):
    """The environment and the command line of a run's processes, as others can see them."""
    left, text = [child.pid], b""
    while left:
        pid = left.pop()
        try:
            text += Path("/proc", str(pid), "cmdline").read_bytes()
            if pid != child.pid:
                text += Path("/proc", str(pid), "environ").read_bytes()
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                left += map(int, path.read_text().split())
        except OSError:
            pass
    return text


def test_the_key_is_in_no_process_but_the_supervisor(talker, make_task, make_bench, start_cli, fake):
    fake.configure(rules=[{"nth": [2], "do": {"stall": None}}])
    prompt = scripted(turns=[{"shell": "true"}, {"text": "Done."}])
    child = start_cli("run", make_bench(make_task(instructions=prompt), agent=talker(), model="fake-one"), env=ENV)
    wait_for(lambda: len(fake.log()) == 2, timeout=60)
    seen = running(child)
    assert b"rollouts-gateway" in seen and b"/.rollouts/init" in seen and b"agent.py" in seen
    assert KEY.encode() not in seen
    fake.release()
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0 and KEY not in out


def test_a_gateway_that_is_killed_again_and_again(talker, make_task, make_bench, start_cli, rollout, fake):
    """Trials that were talking to it start again; those that were not go on; nothing is lost or counted twice."""
    fake.configure(options={"delay": 0.3})
    turns = [{"shell": "true"}, {"shell": FIX}, {"text": "Fixed."}]
    child = start_cli("run", many(talker, make_task, make_bench, turns), "-j4", env=ENV)
    for calls in (3, 12):
        wait_for(lambda: len(fake.log()) >= calls, timeout=120)
        [pid] = wait_for(lambda: list(gateways_of(child.pid)), timeout=60)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: pid not in gateways_of(child.pid), timeout=60)
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0 and KEY not in out, out
    t = rollout()
    assert len(t.runs) == 12
    assert all(r["outcome"] == "completed" and r["total_score"] == 1.0 for r in t.runs.values())
    assert all(r["agent"]["metrics"]["calls"] == 3 for r in t.runs.values())
    assert any(r["attempt"] > 1 for r in t.runs.values())


def test_killed_and_resumed_no_committed_work_is_paid_again(talker, make_task, make_bench, start_cli, run_cli, rollout, fake):
    fake.configure(options={"delay": 0.3})
    turns = [{"shell": FIX}, {"text": "Fixed."}]
    child = start_cli("run", many(talker, make_task, make_bench, turns), "-j2", env=ENV)

    def finished():
        events = [e for e in (rollout().events if list_rollouts(rollout) else []) if e["event"] == "finished"]
        return events if len(events) >= 3 else None

    before = {e["trial"] for e in wait_for(finished, timeout=120)}
    child.kill()
    child.communicate()
    calls = len(fake.log())
    look(run_cli("resume", "bench", env=ENV, check=0, timeout=300))
    t = rollout()
    assert len(t.runs) == 12 and all(r["total_score"] == 1.0 for r in t.runs.values())
    # What was done is not asked again: at most the calls of what was not.
    assert len(fake.log()) - calls <= 2 * (12 - len(before))


def list_rollouts(rollout):
    try:
        return rollout().events
    except (OSError, ValueError, IndexError):
        return []


def test_a_token_is_worth_nothing_to_another(talker, make_task, make_bench, run_cli, rollout, fake, workdir):
    """An agent that makes up the tokens of others gets a 401, and the provider hears nothing of it."""
    forge = ("for t in $(printf '%s ' \"$TOKEN\" | sed 's/-0\\.1\\./-1.1./') \"${TOKEN%?}x\" x; do "
             "/usr/bin/python3 ~/agent.py chat \"$URL\" \"$t\" fake-one </dev/null; done; true")
    prompt = scripted(turns=[{"shell": forge}, {"text": "Done."}])
    path = make_bench(make_task(instructions=prompt), agent=talker("chat"), model="fake-one")
    look(run_cli("run", path, env=ENV, check=0))
    [(run_id, result)] = rollout().runs.items()
    output = next(line["output"] for line in said(workdir, run_id) if "output" in line)
    assert [json.loads(line)["status"] for line in output.splitlines()] == [401] * 3
    assert len(fake.log()) == 2 and result["agent"]["metrics"]["calls"] == 2


def test_many_trials_replay_side_by_side_also_when_resumed(talker, make_task, make_bench, run_cli, start_cli, rollout,
                                                           workdir, fake):
    """Killed in the middle of a replay and resumed without key and provider: the same scores, nothing asked."""
    turns = [{"shell": "sleep 0.3; cat src/greet.py"}, {"shell": FIX}, {"text": "Fixed."}]
    path = many(talker, make_task, make_bench, turns)
    look(run_cli("run", path, "-j4", env=ENV, check=0, timeout=300))
    first = rollout()
    stamp = first.dir.name
    asked = len(fake.log())
    fake.configure(rules=[{"do": {"status": 500}}])
    child = start_cli("run", path, "-j2", "--replay", f"bench@{stamp}")

    def finished():
        folders = [p for p in (workdir / "data/rollouts/bench").iterdir() if p.is_dir() and p.name != stamp]
        return any((p / "events.jsonl").exists() and (p / "events.jsonl").read_text().count('"finished"') >= 2
                   for p in folders if not p.is_symlink())

    wait_for(finished, timeout=120)
    child.kill()
    child.communicate()
    look(run_cli("resume", "bench", check=0, timeout=300))
    again = rollout()
    assert again.dir.name != stamp and len(again.runs) == 12
    assert all(r["outcome"] == "completed" and r["total_score"] == 1.0 for r in again.runs.values())
    assert len(fake.log()) == asked
    for name in ("calls", "tokens_input", "tokens_output"):
        assert ([r["agent"]["metrics"][name] for r in again.runs.values()]
                == [r["agent"]["metrics"][name] for r in first.runs.values()])

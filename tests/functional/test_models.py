# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs with models: `rollouts run` with its gateway, against the fake provider. Providers and keys, limits,
budgets, what is counted and where it is told."""
import json
import os
import signal
import stat

import pytest

from conftest import wait_for
from models import DIALECTS, KEY, fake, scripted  # noqa: F401 (fixtures)

# Asks CALLS times, or until it is told no; says what it was told. A model SIDE is asked first, whatever it says.
ASK = """#!/usr/bin/python3
import json, os, sys, time, urllib.error, urllib.request
url, token, model, calls = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
messages = [{"role": "user", "content": open(os.environ["ROLLOUTS_INSTRUCTION_FILE"]).read()}]
side = os.environ.get("SIDE")
for name in [side] * bool(side) + [model] * calls:
    body = json.dumps({"model": name, "messages": messages}).encode()
    request = urllib.request.Request(url + "/v1/chat/completions", body,
        {"Content-Type": "application/json", "Authorization": "Bearer " + token})
    try:
        answer = json.load(urllib.request.urlopen(request))
        print(json.dumps({"said": answer["choices"][0]["message"]["content"]}), flush=True)
    except urllib.error.HTTPError as e:
        print(json.dumps({"status": e.code, "text": e.read().decode()}), flush=True)
        if name == side:
            continue
        time.sleep(float(os.environ.get("LINGER", "0")))
        sys.exit(int(os.environ.get("EXIT", "0")))
"""
PROVIDERS = """
[providers.fake]
base_url = "{url}"
key_env = "FAKE_API_KEY"
apis = ["chat", "responses", "anthropic", "gemini"]

[[models]]
match = "fake-*"
provider = "fake"
price = {{ input = 10, cached = 1, cache_write = 20, output = 100, date = "2026-01-01" }}

[[models]]
match = "free-*"
provider = "fake"

[aliases]
"nick" = "fake-one"
"""
# Turn 0 of the fake: 1000 in, none cached, 50 out of which 20 are reasoning.
TURN_TOKENS, TURN_USD = 1050, 1000 * 10 / 1e6 + 50 * 100 / 1e6


@pytest.fixture
def provided(workdir, fake, agent_script):
    """The user's own providers.toml leads to the fake provider; an agent "asker" asks it."""
    (workdir / "xdg/rollouts").mkdir(parents=True)
    (workdir / "xdg/rollouts/providers.toml").write_text(PROVIDERS.format(url=fake.url))
    agent_script("exec /usr/bin/python3 ~/ask.py \"$URL\" \"$TOKEN\" \"$NAME\" ${CALLS:-1}", name="asker", needs="model",
                 env={"URL": "{gateway_url}", "TOKEN": "{token}", "NAME": "{model}"}, files={"{home}/ask.py": ASK})
    return fake


@pytest.fixture
def bench(provided, make_bench, make_task):
    def make(*entries, model="fake-one", calls=1, env=None, **top):
        variables = {"CALLS": str(calls), **(env or {})}
        task = make_task(instructions="Say something.\n")
        return make_bench(*({"prepared_dir": task, **e} for e in entries or [{}]), agent="asker", model=model,
                          environment_variables=variables, **top)
    return make


ENV = {"FAKE_API_KEY": KEY}


def metrics(t, run_id=None):
    [result] = [r for i, r in t.runs.items() if run_id in (None, i)]
    return result["agent"]["metrics"]


def test_a_run_is_metered(run_cli, bench, rollout, workdir, account):
    done = run_cli("run", bench(calls=2), env=ENV, check=0)
    t = rollout()
    [(run_id, result)] = t.runs.items()
    assert result["outcome"] == "completed"
    m = result["agent"]["metrics"]
    assert (m["calls"], m["tokens_input"], m["tokens_output"], m["tokens_reasoning"]) == (2, 2000, 100, 40)
    assert m["tokens_total"] == 2 * TURN_TOKENS and m["money_usd"] == pytest.approx(2 * TURN_USD)
    assert m["model_served"] == "fake-one" and m["estimated"] == 0 and m["keys"] == "FAKE_API_KEY"
    assert "model fake-one: at fake by chat, agent asker" in done.stdout
    assert f"[rollouts] spent: {2 * TURN_USD:.4f} USD, {2 * TURN_TOKENS} tokens in 2 calls\n" in done.stdout
    doc = json.loads((workdir / "data/runs" / run_id / "evaluation_results.json").read_text())["agent_metrics"]
    assert doc["tokens_total"] == 2 * TURN_TOKENS and doc["money_spent_usd"] == pytest.approx(2 * TURN_USD)
    assert doc["calls"] == 2 and doc["model_served"] == "fake-one"
    calls = [json.loads(line) for line in (workdir / "data/runs" / run_id / "logs/llm.jsonl").read_text().splitlines()]
    assert len(calls) == 2
    summary = run_cli("summarize", "bench").stdout
    assert "2,100" in summary or "2100" in summary
    assert f"{2 * TURN_USD:.4f}" in summary
    [spent] = [e for e in t.events if e["event"] == "spent"][-1:]
    assert (spent["calls"], spent["tokens"]) == (2, 2 * TURN_TOKENS) and spent["usd"] == pytest.approx(2 * TURN_USD)
    [row] = t.manifest["results"]
    assert row["tokens"] == 2 * TURN_TOKENS and row["cost_usd"] == pytest.approx(2 * TURN_USD)
    left = sorted(p.name for p in t.dir.iterdir())
    assert "sockets" not in left
    recording = workdir / "data/runs" / run_id / "attempts/1/recording"
    assert stat.S_IMODE(recording.stat().st_mode) == 0o600 and recording.stat().st_size > 0


@pytest.mark.parametrize("limit", [{"token_limit": 2000}, {"cost_limit_usd": 0.02}, {"call_limit": 2}])
def test_at_a_limit_the_agent_ends_as_budget_and_is_evaluated(run_cli, bench, rollout, limit):
    """Though it lingers, and exits as if all were well."""
    run_cli("run", bench(limit, calls=9, env={"LINGER": "600"}), env=ENV, check=0)
    [(run_id, result)] = rollout().runs.items()
    assert result["outcome"] == "budget" and result["evaluated"] is True
    assert result["reason"].startswith(next(iter(limit)) + " of ")
    assert result["agent"]["metrics"]["calls"] == 2  # the one too many is no call
    assert result["agent"]["metrics"]["wall_ms"] < 60000


def test_an_agent_that_heeds_its_limit_is_not_waited_for(run_cli, bench, rollout):
    run_cli("run", bench({"call_limit": 1}, calls=9), env=ENV, check=0)
    [result] = rollout().runs.values()
    assert result["outcome"] == "budget" and result["agent"]["exit_status"] == 0


def test_limits_need_our_gateway_and_a_price(run_cli, bench, workdir, provided):
    path = bench({"cost_limit_usd": 1}, model="free-one")
    done = run_cli("run", path, env=ENV, check=2)
    assert "cost_limit_usd" in done.stderr and "no price" in done.stderr and len(done.stderr.splitlines()) == 1
    path.write_text(path.read_text().replace("cost_limit_usd = 1", "token_limit = 5"))
    import socket
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(workdir / "own.sock"))
        done = run_cli("run", path, "--gateway", "own.sock", check=2)
    assert "token_limit" in done.stderr and "--gateway" in done.stderr
    path.write_text(path.read_text().replace("token_limit = 5", "") + "[budget]\nusd = 1\n")
    assert "no price" in run_cli("run", path, env=ENV, check=2).stderr
    assert not (workdir / "data/rollouts/bench").exists()


def test_a_refused_key_is_the_trials_error_whatever_the_agent_says(run_cli, bench, rollout, fake):
    done = run_cli("run", bench(rollouts=6), env={"FAKE_API_KEY": "sk-wrong"}, check=3)
    [result] = [r for r in rollout().runs.values() if r]
    assert result["outcome"] == "infra_error" and result["reason"].startswith("could not reach fake-one: fake: 401")
    assert result["refused"] and not result["retry"] and "sk-wrong" not in json.dumps(result)
    assert "paused: 1 trial could not reach fake-one: fake: 401" in done.stdout and "Mend it and `rollouts resume" in done.stdout
    assert "score of" not in done.stdout
    run_cli("resume", "bench", env=ENV, check=0)
    assert [r["outcome"] for r in rollout().runs.values()] == ["completed"] * 6


def message(text, **more):
    return {"error": {"message": text, **more}}


SPENT = message("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota")
DAILY = message("Quota exceeded", status="RESOURCE_EXHAUSTED",
                details=[{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}])


@pytest.mark.parametrize("do, words, refused", [
    ({"status": 402, "body": message("No balance left.")}, "fake: 402: No balance left", True),
    ({"status": 403, "body": {"detail": "this key may not"}}, "fake: 403: this key may not", True),
    ({"status": 404, "body": "nothing here"}, "/v1/chat/completions", True),
    ({"status": 301, "headers": {"Location": "http://127.0.0.1:9/"}}, "/v1/chat/completions", True),
    ({"status": 400, "body": message("Your credit balance is too low to go on")}, "credit balance is too low", True),
    ({"status": 400, "body": message("API key not valid", details=[{"reason": "API_KEY_INVALID"}])}, "API key", True),
    ({"status": 429, "body": SPENT}, "fake: 429: You exceeded your current quota", True),
    ({"status": 429, "body": DAILY}, "fake: 429: Quota exceeded", True),
    ({"status": 400, "body": message("no such parameter: temperature")}, "no answer from fake-one: fake: 400: no such", False),
], ids=lambda v: str(v.get("status")) if isinstance(v, dict) else None)
def test_a_model_that_never_answered_is_not_scored(run_cli, bench, rollout, fake, do, words, refused):
    """Nor is it asked twice, whatever the agent says of itself."""
    fake.configure(rules=[{"do": do}])
    done = run_cli("run", bench(), env=ENV, check=3 if refused else 1)
    [result] = rollout().runs.values()
    assert result["outcome"] == "infra_error" and words in result["reason"], result["reason"]
    assert (result["refused"], result["retry"], result["total_score"]) == (refused, False, None)
    assert len(fake.log()) == 1 and ("paused: " in done.stdout) is refused


@pytest.mark.parametrize("do, nth", [({"status": 401}, 1), ({"status": 429, "body": SPENT}, 1), ({"status": 402}, 2),
                                     ({"status": 429, "body": DAILY}, 2)], ids=["401", "spent", "402-later", "daily-later"])
def test_the_built_in_agent_cannot_go_on(run_cli, bench, rollout, fake, do, nth):
    """From the first call on, or in the middle of its work: neither is a score, nor tried again."""
    fake.configure(rules=[{"nth": list(range(nth, 9)), "do": do}], scripts=[{"turns": [{"shell": "true"}, {"text": "Done."}]}])
    done = run_cli("run", bench({"agent": "bash"}), env=ENV, check=3)
    [result] = rollout().runs.values()
    assert (result["outcome"], result["refused"], result["total_score"]) == ("infra_error", True, None)
    assert result["reason"].startswith("could not reach fake-one: fake: ") and "paused: " in done.stdout
    assert len(fake.log()) == nth


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_was_refused_once_and_answered_then_spoils_nothing(run_cli, bench, rollout, fake, status):
    fake.configure(rules=[{"nth": [1], "do": {"status": status}}])
    run_cli("run", bench(calls=2, env={"SIDE": "fake-one"}), env=ENV, check=0)
    [result] = rollout().runs.values()
    assert result["outcome"] == "completed" and len(fake.log()) == 3


@pytest.mark.parametrize("status, outcome", [(401, "infra_error"), (402, "infra_error"), (403, "completed"), (404, "completed")])
def test_once_a_model_has_answered_only_key_and_account_count(run_cli, bench, rollout, fake, status, outcome):
    """The rest an agent may bring about by what it asks, and it must not choose to be counted out."""
    fake.configure(rules=[{"nth": [2], "do": {"status": status}}])
    run_cli("run", bench(calls=2), env=ENV, check=3 if outcome == "infra_error" else 0)
    [result] = rollout().runs.values()
    assert result["outcome"] == outcome


def test_who_has_asked_its_model_has_been_started(run_cli, provided, agent_script, make_bench, make_task, rollout):
    """What a loader says of a library that is missing is believed of a program that cannot have said it itself."""
    agent_script('/usr/bin/python3 ~/ask.py "$URL" "$TOKEN" fake-one 1 >/dev/null\n'
                 'echo "x: error while loading shared libraries: liby.so" >&2; exit 127', name="liar", needs="model",
                 env={"URL": "{gateway_url}", "TOKEN": "{token}"}, files={"{home}/ask.py": ASK})
    make_bench(make_task(instructions="Say something.\n"), agent="liar", model="fake-one")
    run_cli("run", "bench.toml", env=ENV, check=0)
    [result] = rollout().runs.values()
    assert result["outcome"] == "agent_error", result["reason"]


def test_an_answer_that_never_came_is_no_timeout(run_cli, bench, rollout, fake):
    fake.configure(rules=[{"do": {"stall": 600}}])
    run_cli("run", bench({"timeout_sec": 2, "retries": 0}), env=ENV, check=1)
    [result] = rollout().runs.values()
    assert result["outcome"] == "infra_error" and result["retry"]
    assert result["reason"] == "no answer from fake-one: fake has not answered fake-one yet"


def test_waiting_for_quota_is_not_working_time(run_cli, bench, rollout, fake):
    fake.configure(rules=[{"nth": [1, 2], "do": {"status": 429, "headers": {"Retry-After": "2"}}}])
    run_cli("run", bench({"timeout_sec": 3}), env=ENV, check=0)
    [result] = rollout().runs.values()
    m = result["agent"]["metrics"]
    assert result["outcome"] == "completed" and m["waited_ms"] >= 3500 and m["wall_ms"] > m["waited_ms"]


def test_waiting_has_an_end(run_cli, bench, rollout, fake):
    fake.configure(rules=[{"do": {"status": 429, "headers": {"Retry-After": "60"}}}])
    run_cli("run", bench({"timeout_sec": 1, "wall_timeout_sec": 3, "retries": 0}), env=ENV, check=1)
    [result] = rollout().runs.values()
    assert result["outcome"] == "infra_error" and result["retry"] and result["total_score"] is None
    assert "waiting" in result["reason"] or "has not answered" in result["reason"]


def test_where_waiting_used_the_time_up_there_is_no_score(run_cli, bench, rollout, fake):
    fake.configure(rules=[{"nth": [1], "do": {}}, {"do": {"status": 429, "headers": {"Retry-After": "60"}}}])
    run_cli("run", bench({"timeout_sec": 1, "wall_timeout_sec": 3, "retries": 0}, calls=2), env=ENV, check=1)
    [result] = rollout().runs.values()
    assert result["outcome"] == "infra_error" and result["reason"].startswith("wall_timeout_sec is over: ")


def gateway_pid(parent):
    for task in os.listdir(f"/proc/{parent}/task"):
        for pid in open(f"/proc/{parent}/task/{task}/children").read().split():
            if os.readlink(f"/proc/{pid}/exe").endswith("rollouts-gateway"):
                return int(pid)
    return None


def test_a_model_beside_its_own_is_refused_unless_it_is_declared(run_cli, bench, rollout, fake):
    """For titles, say: the trial goes on without, and tells it."""
    run_cli("run", bench(calls=2, env={"SIDE": "side-model"}), env=ENV, check=0)
    [result] = rollout().runs.values()
    assert result["outcome"] == "completed" and result["agent"]["metrics"]["calls"] == 2
    assert 'asked for the model "side-model", which is not declared (answered 403)' in result["reason"]
    assert {e.model for e in fake.log()} == {"fake-one"}


def test_where_only_a_model_that_is_not_declared_was_asked_nothing_was(run_cli, bench, rollout, fake):
    run_cli("run", bench(calls=0, env={"SIDE": "side-model"}), env=ENV, check=3)
    [result] = rollout().runs.values()
    assert result["outcome"] == "infra_error" and not fake.log()
    assert result["reason"].startswith("no answer from fake-one: gateway: 403: the benchmark does not declare the model side-model")


def test_a_gateway_that_dies_is_started_again_and_its_trials_too(start_cli, bench, rollout, fake):
    fake.configure(rules=[{"nth": [1], "do": {"stall": None}}])
    child = start_cli("run", bench(), env=ENV)
    wait_for(lambda: fake.log(), timeout=60)
    os.kill(gateway_pid(child.pid), signal.SIGKILL)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0, out + (rollout().dir / "gateway.log").read_text()
    assert "gateway: the gateway ended by itself: killed by SIGKILL" in out and "gateway: the gateway is back" in out
    t = rollout()
    [result] = t.runs.values()
    assert result["outcome"] == "completed" and result["attempt"] == 2


def test_a_killed_supervisor_leaves_no_gateway_and_resume_goes_on(start_cli, run_cli, bench, rollout, fake):
    fake.configure(rules=[{"nth": [1], "do": {"stall": None}}])
    child = start_cli("run", bench(), env=ENV)
    wait_for(lambda: fake.log(), timeout=60)
    pid = gateway_pid(child.pid)
    # Nobody else on this machine comes to them: who runs trials opens them before it becomes another user.
    sockets = rollout().dir / "sockets"
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700 and len(list(sockets.iterdir())) == 2
    child.kill()
    child.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}/exe") or gone(pid), timeout=30)
    done = run_cli("resume", "bench", check=2)
    assert "FAKE_API_KEY" in done.stderr
    run_cli("resume", "bench", env=ENV, check=0)
    t = rollout()
    [result] = t.runs.values()
    assert result["outcome"] == "completed" and not sockets.exists()


def gone(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_an_unknown_model_stops_before_the_first_trial(run_cli, bench, workdir):
    done = run_cli("run", bench(model="nik"), env=ENV, check=2)
    [line] = done.stderr.splitlines()
    assert line.startswith(str(workdir / "bench.toml") + ":") and 'nobody answers the model "nik"' in line
    assert 'did you mean "nick"' in line and str(workdir / "xdg/rollouts/providers.toml") in line
    assert not (workdir / "data").exists()


def test_an_alias_is_resolved_and_told(run_cli, bench, rollout, fake):
    path = bench(model="nick")
    assert "# model nick: fake-one at fake by chat, agent asker" in run_cli("config", path, check=0).stdout.splitlines()
    done = run_cli("run", path, env=ENV, check=0)
    assert "model nick: fake-one at fake by chat, agent asker" in done.stdout
    assert [e.model for e in fake.log()] == ["fake-one"]
    [row] = rollout().manifest["results"]
    assert row["model"] == "nick" and row["model_id"] == "fake-one" and row["provider"] == "fake"


def test_a_users_own_rule_is_stronger_than_a_shipped_alias(run_cli, bench, workdir):
    path = bench(model="claude-3-sonnet")
    mine = workdir / "xdg/rollouts/providers.toml"
    assert "(claude-3-sonnet at" not in run_cli("run", path, "--dry-run", check=0).stdout
    mine.write_text(mine.read_text() + '\n[[models]]\nmatch = "claude-3-sonnet"\nprovider = "fake"\n')
    assert "  model claude-3-sonnet (claude-3-sonnet at fake by chat)  " in run_cli("run", path, "--dry-run", check=0).stdout
    mine.write_text(mine.read_text().replace("[aliases]", '[aliases]\n"claude-3-sonnet" = "fake-one"'))
    assert "(fake-one at fake by chat)" in run_cli("run", path, "--dry-run", check=0).stdout


def test_an_alias_that_moves_is_in_the_manifest(run_cli, bench, rollout, fake):
    fake.configure(aliases={"fake-one": "fake-0101"})
    path = bench(model="nick")
    run_cli("run", path, env=ENV, check=0)
    fake.configure(aliases={"fake-one": "fake-0202"})
    path.write_text(path.read_text() + "rollouts = 2\n")  # of the last table, [[tasks]]
    run_cli("resume", "bench", "--config", path, env=ENV, check=0)
    t = rollout()
    assert [row["model_served"] for row in t.manifest["results"]] == ["fake-0101", "fake-0202"]
    assert t.manifest["models_served"] == {"nick": ["fake-0101", "fake-0202"]}


def test_where_a_key_is_looked_for(run_cli, bench, workdir, fake, make_task):
    path = bench()
    done = run_cli("run", path, check=2)
    [line] = done.stderr.splitlines()
    assert 'no key for provider "fake"' in line and "FAKE_API_KEY" in line and "environment" in line
    for place in ("task's folder", "benchmark's folder", "working directory"):
        assert place in line
    assert not (workdir / "data").exists()
    elsewhere = workdir / "elsewhere"
    elsewhere.mkdir()
    for folder in (elsewhere, workdir, workdir / "tasks/greet"):
        (folder / ".env").write_text(f"# keys\nexport FAKE_API_KEY='{KEY}'\n")
        run_cli("run", path, cwd=elsewhere, check=0)
        (folder / ".env").unlink()
    assert len(fake.log()) == 3


def test_a_tasks_key_is_spent_for_that_task_alone(run_cli, make_bench, rollout, workdir, provided, make_task):
    """Two tasks have keys of their own, one has not: each call carries the key of its task."""
    own = {"one": KEY + "-one", "two": KEY + "-two"}
    for name in ("one", "two", "three"):
        files = {".env": f"FAKE_API_KEY={own[name]}\n"} if name in own else {}
        make_task(name, instructions=f"This is task {name}.\n", files=files)
    path = make_bench(*({"prepared_dir": f"tasks/{n}"} for n in ("one", "two", "three")), agent="asker", rollouts=2,
                      model="fake-one", parallel=4, environment_variables={"CALLS": "2"})
    provided.configure(keys=[KEY, *own.values()])
    done = run_cli("run", path, check=2)
    assert 'model "fake-one", task tasks/three: no key for provider "fake"' in done.stderr and not provided.log()
    (workdir / ".env").write_text(f"FAKE_API_KEY={KEY}\n")
    run_cli("run", path, check=0)
    assert len(provided.log()) == 12
    for name in ("one", "two", "three"):
        asked = [e for e in provided.log() if f"This is task {name}." in e.request.body.decode()]
        assert {e.key for e in asked} == {own.get(name, KEY)} and len(asked) == 4
    names = {"one": "FAKE_API_KEY (tasks/one/.env)", "two": "FAKE_API_KEY (tasks/two/.env)", "three": "FAKE_API_KEY"}
    for run_id, result in rollout().runs.items():
        task = json.loads((workdir / "data/runs" / run_id / "attempts/1/trial.json").read_text())["trial"]["task_dir"]
        assert result["agent"]["metrics"]["keys"] == names[os.path.basename(task)]
    # A key that everybody's environment holds comes first.
    run_cli("run", path, env=ENV, check=0)
    assert {e.key for e in provided.log()[12:]} == {KEY}
    for file in (workdir / "data").rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert KEY.encode() not in file.read_bytes(), file


def test_a_key_from_a_command(run_cli, bench, workdir, fake):
    mine = workdir / "xdg/rollouts/providers.toml"
    mine.write_text(mine.read_text().replace('key_env = "FAKE_API_KEY"', 'key_command = "echo ${KEY_PART}0c"'))
    path = bench()
    run_cli("run", path, env={"KEY_PART": KEY[:-2]}, check=0)
    done = run_cli("run", path, env={"KEY_PART": "x y "}, check=2)
    assert "holds a character that no key has" in done.stderr and "x y" not in done.stderr


def test_a_benchmarks_provider_gets_no_key_of_the_users(run_cli, bench, workdir, fake):
    path = bench()
    mine = workdir / "xdg/rollouts/providers.toml"
    (workdir / "providers.toml").write_text(mine.read_text().replace('"nick"', '"other"'))
    done = run_cli("run", path, env=ENV, check=2)
    assert "came with the benchmark" in done.stderr and not fake.log()
    (workdir / ".env").write_text(f"FAKE_API_KEY={KEY}\n")
    run_cli("run", path, env={"FAKE_API_KEY": "sk-of-the-user"}, check=0)
    [entry] = fake.log()
    assert entry.key == KEY
    (workdir / "providers.toml").write_text(PROVIDERS.format(url=fake.url).replace("key_env", "key_command"))
    assert "key_command may stand in your own configuration only" in run_cli("run", path, env=ENV, check=2).stderr


def test_no_key_is_left_anywhere(run_cli, bench, workdir, fake):
    fake.configure(rules=[{"nth": [2], "do": {"status": 500}}])
    path = bench(calls=3)
    done = run_cli("run", path, "-vv", env=ENV, check=0)
    assert len(fake.log()) == 4
    assert KEY not in done.stdout + done.stderr
    for folder, _, files in os.walk(workdir / "data"):
        for name in files:
            file = os.path.join(folder, name)
            if not os.path.islink(file):
                assert KEY.encode() not in open(file, "rb").read(), file


def test_at_the_benchmarks_budget_nothing_new_starts(run_cli, bench, rollout, workdir, fake):
    path = bench(rollouts=4, budget={"usd": 0.02})
    done = run_cli("run", path, env=ENV, check=1)
    assert "stopped: the budget of 0.02 USD is used up (0.0300 USD)" in done.stdout
    assert len(fake.log()) == 2 and sum(r is not None for r in rollout().runs.values()) == 2
    done = run_cli("resume", "bench", env=ENV, check=1)
    assert "the budget of 0.02 USD is used up (0.0300 USD)" in done.stdout and len(fake.log()) == 2
    path.write_text(path.read_text().replace("0.02", "2.5"))
    run_cli("resume", "bench", "--config", path, env=ENV, check=0)
    assert len(fake.log()) == 4
    [spent] = [e for e in rollout().events if e["event"] == "spent"][-1:]
    assert spent["calls"] == 4 and spent["usd"] == pytest.approx(4 * TURN_USD)


def test_a_killed_supervisor_forgets_nothing_that_was_spent(start_cli, run_cli, bench, rollout, fake, workdir):
    """Two calls are answered at once, and the journal tells of the first alone; the third is under way."""
    fake.configure(rules=[{"nth": [3], "do": {"stall": None}}])
    path = bench(calls=9, budget={"tokens": 2 * TURN_TOKENS})
    child = start_cli("run", path, env=ENV)
    wait_for(lambda: len(fake.log()) == 3, timeout=60)
    pid = gateway_pid(child.pid)
    child.kill()
    child.communicate()
    wait_for(lambda: gone(pid), timeout=30)
    fake.release()
    [log] = (workdir / "data/runs").glob("*/attempts/1/logs/llm.jsonl")
    lines = log.read_text().splitlines()
    log.with_name("judge.jsonl").write_text(lines[0] + "\n")  # what graders ask costs as well
    done = run_cli("resume", "bench", env=ENV, check=1)
    assert f"the budget of {2 * TURN_TOKENS} tokens is used up" in done.stdout, done.stdout
    assert len(fake.log()) == 3
    # What the third has cost nobody knows: its bytes are counted.
    calls = [json.loads(line) for line in lines]
    assert [call["estimated"] for call in calls] == [False, False, True]
    tokens = TURN_TOKENS + sum(call["tokens"]["input"] + call["tokens"]["output"] for call in calls)
    assert f"is used up ({tokens})" in done.stdout and f"{tokens} tokens in 4 calls" in done.stdout
    # Nor is anything counted twice when the budget allows more.
    path.write_text(path.read_text().replace(str(2 * TURN_TOKENS), "900000"))
    run_cli("resume", "bench", "--config", path, env=ENV, check=0)
    [spent] = [e for e in rollout().events if e["event"] == "spent"][-1:]
    assert (spent["calls"], spent["tokens"]) == (13, tokens + 9 * TURN_TOKENS)


def test_a_killed_gateway_forgets_nothing_that_was_spent(start_cli, bench, rollout, fake, workdir):
    fake.configure(rules=[{"nth": [3], "do": {"stall": None}}])
    child = start_cli("run", bench(calls=9, budget={"tokens": 2 * TURN_TOKENS}), env=ENV)
    wait_for(lambda: len(fake.log()) == 3, timeout=60)
    os.kill(gateway_pid(child.pid), signal.SIGKILL)
    out, _ = child.communicate(timeout=120)
    # The third was sent: what it asked is known to have been paid.
    assert child.returncode == 1 and "tokens is used up (" in out and len(fake.log()) == 3, out
    [spent] = [e for e in rollout().events if e["event"] == "spent"][-1:]
    assert spent["calls"] == 3 and 2 * TURN_TOKENS < spent["tokens"] < 3 * TURN_TOKENS
    [left] = (workdir / "data/runs").glob("*/attempts/1/logs/llm.open")
    [lost] = [json.loads(line) for line in left.read_text().splitlines() if line.strip()]
    assert lost["end"] == "lost" and lost["estimated"] and lost["usd"] > 0


def test_budgets_of_tokens_and_time(run_cli, bench, make_bench, make_task, fake):
    done = run_cli("run", bench(rollouts=4, budget={"tokens": 1000}), env=ENV, check=1)
    assert "stopped: the budget of 1000 tokens is used up (1050)" in done.stdout and len(fake.log()) == 1


def test_grading_again_needs_no_budget(run_cli, bench, rollout, workdir, fake):
    run_cli("run", bench(rollouts=2, budget={"usd": 0.02}), env=ENV, check=0)
    done = run_cli("eval", "bench", check=0)
    assert "All 2 tasks completed!" in done.stdout and "stopped" not in done.stdout, done.stdout
    graded = json.loads((workdir / f"data/rollouts/bench/{rollout().manifest['created_at']}/eval_manifest.json").read_text())
    assert [row["status"] for row in graded["results"]] == ["ok", "ok"] and len(fake.log()) == 2


def test_a_replay_needs_no_key_and_no_provider(run_cli, bench, rollout, fake, workdir, account):
    path = bench(calls=2, rollouts=2)
    run_cli("run", path, env=ENV, check=0)
    first = rollout()
    asked = len(fake.log())
    stamp = first.manifest["created_at"]
    done = run_cli("run", path, "--replay", f"bench@{stamp}", check=0)
    assert len(fake.log()) == asked == 4
    again = rollout()
    assert again.manifest["created_at"] != stamp
    for result in again.runs.values():
        assert result["outcome"] == "completed"
        assert result["agent"]["metrics"]["tokens_total"] == 2 * TURN_TOKENS
    logs = {(workdir / "data/runs" / run / "logs/agent.log").read_text() for run in {**first.runs, **again.runs}}
    assert len(logs) == 1, done.stdout


def test_a_replay_that_goes_another_way_is_told(run_cli, bench, rollout, fake):
    path = bench(calls=1)
    run_cli("run", path, env=ENV, check=0)
    stamp = rollout().manifest["created_at"]
    asker = path.parent / "agents/asker.toml"
    asker.write_text(asker.read_text().replace('{\\"role\\": \\"user\\", ', '{\\"role\\": \\"user\\", \\"name\\": \\"x\\", '))
    done = run_cli("run", path, "--replay", f"bench@{stamp}", check=1)
    t = rollout()
    [result] = t.runs.values()
    assert result["outcome"] == "replay_diverged" and result["total_score"] is None and "name" in result["reason"]
    assert result["attempt"] == 1 and len(fake.log()) == 1
    assert "replay_diverged" in run_cli("summarize", "bench").stdout, done.stdout
    run_cli("run", path, "--replay", f"bench@{stamp}", "--replay-or-live", env=ENV, check=0)
    assert len(fake.log()) == 2


def test_what_was_not_recorded_cannot_be_replayed(run_cli, bench, rollout, workdir):
    path = bench()
    run_cli("run", path, env=ENV, check=0)
    stamp = rollout().manifest["created_at"]
    done = run_cli("run", path, "--rollouts", "2", "--replay", f"bench@{stamp}", check=2)
    assert "has no recording for task greet, model fake-one, rollout 1" in done.stderr
    assert "--replay nothing@1" in run_cli("run", path, "--replay", "nothing@1", check=2).stderr
    assert len([p for p in (workdir / "data/rollouts/bench").iterdir() if p.is_dir()]) == 1
    assert "needs --replay" in run_cli("run", path, "--replay-or-live", check=2).stderr


def test_a_changed_test_is_replayed_and_live_calls_are_told_before(run_cli, bench, rollout, workdir, fake):
    path = bench(rollouts=2)
    run_cli("run", path, env=ENV, check=0)
    stamp = rollout().manifest["created_at"]
    [hidden] = {row["task_hash"] for row in rollout().manifest["results"]}
    meta = workdir / "tasks/greet/tb_meta.json"
    doc = json.loads(meta.read_text())
    doc["evaluation"]["test_scripts"][0]["content"] += "\n# corrected\n"
    meta.write_text(json.dumps(doc))
    run_cli("eval", "bench", check=0)  # its attempts have the recording, too
    run_cli("run", path, "--replay", f"bench@{stamp}", check=0)
    again = rollout()
    assert {row["task_hash"] for row in again.manifest["results"]} != {hidden} and len(fake.log()) == 2
    done = run_cli("run", path, "--rollouts", "3", "--replay", f"bench@{stamp}", "--replay-or-live", env=ENV, check=0)
    said = done.stdout.index("replay: 2 of 3 trials have a recording; 1 ask")
    assert said < done.stdout.index("Starting 3 tasks") and len(fake.log()) == 3


def test_the_forecast_is_told_and_may_forbid_the_start(run_cli, bench, fake, workdir):
    path = bench(rollouts=2)
    done = run_cli("run", path, env=ENV, check=0)
    assert "[rollouts] forecast: unknown for 2 trials: no earlier run tells" in done.stdout
    lines = done.stdout.splitlines()
    at = [i for i, line in enumerate(lines) if "forecast:" in line][0]
    assert any("output=" in line for line in lines[:at]) and any("Starting" in line for line in lines[at:])
    done = run_cli("run", path, env=ENV, check=0)
    assert "[rollouts] forecast: about 0.03 USD for 2 trials, by earlier runs; no budget is set" in done.stdout
    asked = len(fake.log())
    path.write_text(path.read_text() + "[budget]\nmax_forecast_usd = 0.02\nusd = 5\n")
    done = run_cli("run", path, env=ENV, check=2)
    assert "not started, as max_forecast_usd = 0.02 asks: the forecast is about 0.03 USD" in done.stderr
    assert len(fake.log()) == asked
    assert len([p for p in (workdir / "data/rollouts/bench").iterdir() if p.is_dir()]) == 2
    path.write_text(path.read_text().replace("0.02", "0.2"))
    assert "nothing new starts at 5 USD" in run_cli("run", path, env=ENV, check=0).stdout


def test_what_failed_for_reasons_of_ours_is_no_history(run_cli, bench, fake):
    """It cost nothing, or not all of it: the forecast would be too low."""
    path = bench(calls=2)
    fake.configure(rules=[{"nth": [2], "do": {"status": 402}}])
    run_cli("run", path, env=ENV, check=3)
    assert "forecast: unknown for 1 trial" in run_cli("run", path, env=ENV, check=0).stdout
    assert "forecast: about 0.03 USD for 1 trial, by earlier runs" in run_cli("run", path, env=ENV, check=0).stdout


def test_limits_bound_a_forecast(run_cli, bench):
    done = run_cli("run", bench({"cost_limit_usd": 1.5}, rollouts=2), env=ENV, check=0)
    assert "forecast: at most 3.00 USD for 2 trials (0 by earlier runs, 2 by their limits)" in done.stdout


def test_the_calls_of_a_trial_are_a_table(run_cli, bench, rollout, fake, workdir):
    fake.configure(aliases={"fake-one": "fake-\x1b[31mone-0613"}, rules=[{"nth": [2], "do": {"status": 500}},
                   {"nth": [3], "do": {"status": 400, "body": {"error": {"message": "No \x1b[31mmore."}}}}])
    run_cli("run", bench(calls=3), env=ENV, check=0)
    [run_id] = rollout().runs
    done = run_cli("show", run_id, "llm", check=0)
    assert "\x1b" not in done.stdout
    head, rule, *rows, blank, sums = done.stdout.splitlines()
    head, *rows = [[cell.strip() for cell in row.split("|")] for row in (head, *rows)]
    assert head == ["call", "time (UTC)", "model", "status", "input", "cached", "output", "USD", "waited", "took", ""]
    assert len(rows) == 3 and not blank and set(rule) <= set("-|+ ")
    assert rows[0][0] == "1" and rows[0][2] == "fake-one -> fake-\\u001b[31mone-0613"
    assert rows[0][3:8] == ["200", "1000", "0", "50", f"{TURN_USD:.4f}"] and rows[0][10] == ""
    assert rows[1][10] == "1 retries"
    assert rows[2][3] == "400" and rows[2][10] == "error: 400: No \\u001b[31mmore."
    assert sums == f"3 calls, 2000 tokens in (0 cached), 100 out, {2 * TURN_USD:.4f} USD"
    lines = run_cli("show", run_id, "llm", "--json", check=0).stdout
    log = workdir / "data/runs" / run_id / "logs/llm.jsonl"
    assert lines == log.read_text() and len([json.loads(line) for line in lines.splitlines()]) == 3
    assert "--json: of a run's parts" in run_cli("show", run_id, "agent", "--json", check=2).stderr
    assert json.loads(run_cli("show", run_id, "result", "--json", check=0).stdout)["run_id"] == run_id
    log.write_text(log.read_text() + '{"call": 4, "model_asked": "\x1b[31mred"\n{"call":5,"model_asked":"a\\u001b[31m"}')
    done = run_cli("show", run_id, "llm", check=0)
    assert "1 damaged line left out" in done.stdout and "\x1b" not in done.stdout and "cost N/A" in done.stdout


POST = """#!/usr/bin/python3
import json, sys, urllib.request
url, token, todo = sys.argv[1], sys.argv[2], json.load(open(sys.argv[3]))
for path, headers, body in todo:
    for name in ("Authorization", "x-api-key", "x-goog-api-key"):
        if name in headers:
            headers[name] = headers[name].replace("TOKEN", token)
    print(len(urllib.request.urlopen(urllib.request.Request(url + path, json.dumps(body).encode(), headers)).read()))
"""
TURNS = {
    "chat": lambda q: {"messages": [{"role": "system", "content": "Be \x1b[31mbrief."}, {"role": "user", "content": q},
                                    {"role": "assistant", "content": "An earlier answer."}, {"role": "user", "content": "And now?"}]},
    "responses": lambda q: {"instructions": "Be \x1b[31mbrief.", "input": [
        {"role": "user", "content": q}, {"role": "assistant", "content": "An earlier answer."}, {"role": "user", "content": "And now?"}]},
    "anthropic": lambda q: {"system": "Be \x1b[31mbrief.", "max_tokens": 100, "messages": [
        {"role": "user", "content": q}, {"role": "assistant", "content": "An earlier answer."}, {"role": "user", "content": "And now?"}]},
    "gemini": lambda q: {"systemInstruction": {"parts": [{"text": "Be \x1b[31mbrief."}]}, "contents": [
        {"role": "user", "parts": [{"text": q}]}, {"role": "model", "parts": [{"text": "An earlier answer."}]},
        {"role": "user", "parts": [{"text": "And now?"}]}]},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", sorted(TURNS))
def test_a_transcript_is_the_conversation(run_cli, bench, agent_script, rollout, name, stream, workdir):
    """The second request repeats the first: that is shown once, and the last answer too."""
    dialect = DIALECTS[name]
    whole = TURNS[name]("Why?")
    key = next(k for k in ("messages", "input", "contents") if k in whole)
    first = {**whole, key: [m for m in whole[key] if "And now?" not in json.dumps(m) and "earlier" not in json.dumps(m)]}
    todo = []
    for body in (first, whole):
        if name != "gemini":
            body = {"model": "fake-one", **body, **({"stream": True} if stream else {})}
        todo.append([dialect.target("fake-one", stream), dialect.headers("TOKEN"), body])
    path = bench()
    agent_script("exec /usr/bin/python3 ~/post.py \"$URL\" \"$TOKEN\" ~/todo.json", name="asker", needs="model",
                 env={"URL": "{gateway_url}", "TOKEN": "{token}"},
                 files={"{home}/post.py": POST, "{home}/todo.json": json.dumps(todo)})
    run_cli("run", path, env=ENV, check=0)
    [(run_id, result)] = rollout().runs.items()
    assert result["outcome"] == "completed" and result["agent"]["metrics"]["calls"] == 2, result
    text = run_cli("show", run_id, "transcript", check=0).stdout
    for once in ("Why?", "An earlier answer.", "And now?", "brief."):
        assert text.count(once) == 1, text
    assert "\\x1b[31mbrief." in text and "\x1b" not in text
    order = [text.index(word) for word in ("brief.", "Why?", "An earlier answer.", "And now?", "Done.")]
    assert order == sorted(order) and text.count("Done.") == 1
    assert "[user]" in text and "another conversation" not in text
    raw = workdir / "data/runs" / run_id / "attempts/1/recording"
    raw.write_bytes(raw.read_bytes()[:-5])
    assert run_cli("show", run_id, "transcript", check=0).stdout
    raw.write_bytes(b"{}\nnothing")
    assert "damaged" in run_cli("show", run_id, "transcript", check=2).stderr


def test_doctor_tries_every_key(run_cli, provided, workdir, fake):
    """Each with a call of its own, and no key is shown."""
    mine = workdir / "xdg/rollouts/providers.toml"
    mine.write_text(mine.read_text().replace('key_env = "FAKE_API_KEY"', 'key_env = ["KEY_A", "KEY_B"]\nprobe = "fake-one"')
                    + f'\n[providers.claudish]\nbase_url = "{fake.url}"\nkey_env = "KEY_A"\napis = ["anthropic"]\nprobe = "fake-two"\n'
                    + f'\n[providers.geminish]\nbase_url = "{fake.url}"\nkey_env = "KEY_A"\napis = ["gemini"]\nprobe = "fake-three"\n')
    fake.configure(options={"add_headers": {"x-ratelimit-remaining-requests": "99"}})
    done = run_cli("doctor", "--models", "--json", env={"KEY_A": KEY, "KEY_B": "sk-of-nobody"}, timeout=180)
    checks = {c["check"]: c for c in json.loads(done.stdout)["checks"]}
    good, bad = checks["fake KEY_A"], checks["fake KEY_B"]
    assert good["state"] == "ok" and good["detail"].startswith("fake-one: 200") and "remaining-requests: 99" in good["detail"]
    assert bad["state"] == "failed" and bad["detail"].startswith("fake-one: 401")
    assert checks["claudish KEY_A"]["detail"].startswith("fake-two: 200")
    assert checks["geminish KEY_A"]["detail"].startswith("fake-three: 200")
    assert checks["openai"]["state"] == "less" and "OPENAI_API_KEY" in checks["openai"]["detail"]
    assert KEY not in done.stdout + done.stderr and "sk-of-nobody" not in done.stdout + done.stderr
    assert done.returncode == 3


def test_a_model_without_a_price_costs_na(run_cli, bench, rollout, workdir):
    run_cli("run", bench(model="free-one"), env=ENV, check=0)
    [result] = rollout().runs.values()
    assert result["agent"]["metrics"]["money_usd"] is None and result["agent"]["metrics"]["tokens_total"] == TURN_TOKENS
    text = run_cli("summarize", "bench", check=0).stdout
    assert "cost USD" in text and "N/A" in text
    [all] = [a for a in json.loads(run_cli("summarize", "bench", "--json").stdout)["aggregates"] if a["level"] == "overall"]
    assert all["money_usd"] is None and all["tokens"] == TURN_TOKENS
    assert rollout().manifest["results"][0]["cost_usd"] is None


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic", "gemini"])
def test_auto_leads_an_unknown_family_to_the_built_in_agent(run_cli, provided, make_bench, make_task, rollout, workdir, api, account):
    """No file, no program in the sandbox: the agent in the worker solves the task in any dialect."""
    mine = workdir / "xdg/rollouts/providers.toml"
    mine.write_text(mine.read_text().replace('"chat", "responses", "anthropic", "gemini"', f'"{api}"'))
    prompt = scripted(turns=[{"shell": "sed -i s/nmae/name/ src/greet.py"}, {"text": "Fixed."}])
    path = make_bench(make_task(instructions=prompt), agent="auto", model="fake-one")
    done = run_cli("run", path, env=ENV, check=0)
    assert f"model fake-one: at fake by {api}, agent bash" in done.stdout
    t = rollout()
    [(run_id, result)] = t.runs.items()
    assert result["outcome"] == "completed" and result["total_score"] == 1
    m = result["agent"]["metrics"]
    assert (m["calls"], m["turns"], m["tool_calls"]) == (2, 2, 1)
    # Turn 1 costs 1500 in, 800 of them cached; 60 out.
    assert m["tokens_total"] == 1050 + 1560 and m["tokens_agent"] == m["tokens_total"]
    text = run_cli("show", run_id, "transcript", check=0).stdout
    assert text.count("sed -i s/nmae/name/ src/greet.py") >= 1 and "Fixed." in text and "[tool result]" in text


def test_the_built_in_agent_ends_at_its_limit(run_cli, provided, make_bench, make_task, rollout):
    prompt = scripted(turns=[{"shell": "true"}] * 20)
    path = make_bench({"prepared_dir": make_task(instructions=prompt), "call_limit": 3}, agent="auto", model="fake-one")
    run_cli("run", path, env=ENV, check=0)
    [result] = rollout().runs.values()
    assert result["outcome"] == "budget" and result["evaluated"] and result["agent"]["metrics"]["calls"] == 3


@pytest.mark.parametrize("agent", ["asker", "bash"])
def test_a_data_folder_with_a_long_path(run_cli, bench, rollout, workdir, agent, account):
    """Longer than an address of a socket may be."""
    deep = workdir / ("long" * 40)
    deep.mkdir()
    run_cli("run", bench(), "-a", agent, cwd=deep, env=ENV, check=0)
    [result] = (workdir / deep / "data/runs").glob("*/result.json")
    assert json.loads(result.read_text())["agent"]["metrics"]["calls"] == 1


def test_a_rollout_is_chosen_once(run_cli, bench):
    run_cli("run", bench(), env=ENV, check=0)
    done = run_cli("resume", "bench", "--latest", "--rollout", "2", check=2)
    assert done.stderr == "rollouts: --latest and --rollout exclude each other\n"


@pytest.mark.parametrize("budget,spent", [({"usd": 0.04}, 5), ({"usd": 0.04, "hard": False}, 18),
                                          ({"tokens": 3000, "hard": True}, 5), ({"tokens": 3000}, 18)])
def test_a_hard_budget_is_passed_by_a_call_of_each_running_trial_at_most(run_cli, bench, rollout, fake, budget, spent):
    """By itself one in USD is hard, one in tokens is not."""
    fake.configure(options={"delay": 0.3})
    done = run_cli("run", bench(calls=9, rollouts=2, parallel=2, budget=budget), env=ENV)
    results = rollout().runs.values()
    if spent == 18:
        assert len(fake.log()) == 18 and {r["outcome"] for r in results} == {"completed"}
        return
    assert len(fake.log()) <= spent
    for result in results:
        assert result["outcome"] == "budget" and result["evaluated"], result
        assert result["reason"].startswith("the benchmark's budget of ") and "is used up" in result["reason"]
    assert "what running trials still ask is refused" in done.stdout

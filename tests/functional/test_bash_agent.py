# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in agent: it lives in the worker and asks the (fake) provider itself."""
import json

import pytest

from bridge import Bridge
from conftest import wait_for
from models import DIALECTS, KEY, ModelServer, cost, fake, provided, scripted  # noqa: F401 (fixtures)

FIX = "sed -i s/nmae/name/ src/greet.py"


@pytest.fixture
def provider(workdir):
    with ModelServer() as server, Bridge(workdir / "gateway.sock", server.port) as bridge:
        server.socket = bridge.path
        yield server


@pytest.fixture
def run_bash(run_cli, make_task, make_bench, rollout, provider, workdir):
    """run_bash(turns, check=0, task={}, **bench): one trial; returns (result, run directory)."""
    def run(turns, check=0, task=None, model="claude-fake", **more):
        provider.configure(scripts=[{"turns": turns}])
        make_bench(make_task(**(task or {})), agent="bash", model=model, retries=0, **more)
        run_cli("run", "bench.toml", "--gateway", provider.socket, check=check, timeout=300)
        (run_id, result), = rollout().runs.items()
        return result, workdir / "data/runs" / run_id

    return run


def bodies(provider):
    return [json.loads(entry.request.body) for entry in provider.log()]


def outputs(provider):
    """What the model was told of its commands, as the last request holds it."""
    return [block["content"] for message in bodies(provider)[-1]["messages"] if message["role"] == "user"
            for block in message["content"] if block["type"] == "tool_result"]


def test_it_solves_a_task(run_bash, provider, account):
    turns = [{"text": "Let me look.", "shell": ["cat src/greet.py", "pwd"]}, {"shell": FIX}, {"text": "Fixed it."}]
    result, top = run_bash(turns)
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    assert result["agent"]["final_message"] == "Fixed it."
    spent = {"tokens_input": 1000 + 1500 + 2000, "tokens_cached": 800 + 1300, "tokens_output": 50 + 60 + 70,
             "tokens_total": 4680, "tool_calls": 3, "turns": 3}
    assert {key: result["agent"]["metrics"][key] for key in spent} == spent
    assert outputs(provider) == ["def greet(name):\n    return 'hello ' + nmae\n[exit status 0]",
                                 "/app/repo\n[exit status 0]", "[exit status 0]"]
    first, *_, last = bodies(provider)
    assert first["messages"][0]["content"][0].pop("cache_control")  # a mark that moves on to the end
    assert first["messages"] == last["messages"][:1]
    assert "Fix greet() in src/greet.py." in json.dumps(first["messages"])
    assert "120 seconds" in first["system"][0]["text"] and "30 minutes" in first["system"][0]["text"]
    log = (top / "logs/agent.log").read_text()
    assert "--- 1\nLet me look.\n$ cat src/greet.py\ndef greet(name):" in log
    assert "--- 3\nFixed it.\n" in log
    lines = [json.loads(line) for line in (top / "artifacts/agent/transcript.jsonl").read_text().splitlines()]
    assert [line["turn"] for line in lines] == [1, 2, 3]
    assert lines[1]["calls"] == [{"command": FIX, "output": "[exit status 0]"}]


@pytest.mark.parametrize("api", DIALECTS)
def test_each_api_through_the_gateway(run_cli, make_task, make_bench, rollout, provided, fake, workdir, api):
    """The strict provider takes every request of a session with reasoning and calls side by side."""
    turns = [{"text": "Let me look.", "shell": ["cat src/greet.py", "pwd"], "reasoning": "hm"},
             {"shell": FIX, "reasoning": "so"}, {"text": "Fixed it."}]
    make_bench(make_task(instructions=scripted(turns=turns)), agent="bash", model="any-fake", retries=0)
    done = run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (run_id, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    assert [(entry.dialect, entry.status) for entry in fake.log()] == [(api, 200)] * 3
    metrics = result["agent"]["metrics"]
    assert (metrics["tokens_total"], metrics["tokens_agent"], metrics["calls"]) == (4680, 4680, 3)
    assert (metrics["tokens_cached"], metrics["tool_calls"], metrics["turns"]) == (2100, 3, 3)
    assert metrics["money_usd"] == pytest.approx(cost(entry.usage for entry in fake.log()))
    assert f"by {api}, agent bash" in done.stdout
    assert all(entry.key == KEY for entry in fake.log())


@pytest.mark.parametrize("api", DIALECTS)
def test_a_history_too_long_for_the_model_loses_its_oldest_outputs(run_cli, make_task, make_bench, rollout, provided, fake,
                                                                   workdir, api):
    """The provider refuses what is longer than the model's context; the last output, not yet seen, always stays."""
    fake.configure(options={"context": 6000})
    turns = [*[{"shell": f"seq {n}0000 {n}0900; exit {n}"} for n in range(1, 9)], {"shell": FIX}, {"text": "Fixed it."}]
    make_bench(make_task(instructions=scripted(turns=turns)), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (run_id, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    log = fake.log()
    refused = [at for at, entry in enumerate(log) if entry.status == 400]
    assert refused and len(log) == 10 + len(refused)
    assert all(log[at + 1].status == 200 for at in refused)  # half of it is enough
    for at in refused:
        long, short = (entry.request.body.decode() for entry in log[at:at + 2])
        newest = max(n for n in range(1, 9) if f"\\n{n}0900" in long)
        assert f"\\n{newest}0900" in short and len(short) < len(long)
    last = log[-1].request.body.decode()
    assert "\\n10900" not in last
    assert "[output left out: the conversation has become too long]\\n[exit status 1]" in last
    metrics = result["agent"]["metrics"]
    assert (metrics["turns"], metrics["tokens_agent"]) == (10, metrics["tokens_total"])
    top = workdir / "data/runs" / run_id
    assert "old outputs left out from here on]" in (top / "logs/agent.log").read_text()
    lines = [json.loads(line) for line in (top / "artifacts/agent/transcript.jsonl").read_text().splitlines()]
    assert lines[0]["forgotten"] == 0 and lines[-1]["forgotten"] == last.count("[output left out")


@pytest.mark.parametrize("api", DIALECTS)
def test_what_was_thought_goes_back(run_cli, make_task, make_bench, rollout, provided, fake, api):
    """And what was bound to an output that had to be left out goes with it."""
    fake.configure(options={"context": 6000})
    turns = [*[{"shell": f"seq {n}0000 {n}0900", "reasoning": "hm"} for n in range(1, 7)], {"shell": FIX}, {"text": "Fixed it."}]
    make_bench(make_task(instructions=scripted(turns=turns)), agent="bash", model="thinks-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    refused = [json.loads(entry.answer) for entry in fake.log() if entry.status == 400]
    assert refused and "signature" not in json.dumps(refused)
    if api == "anthropic":
        kept = [entry.request.body.count(b'"thinking"') for entry in fake.log()]
        assert max(kept) > 1 and min(kept[1:]) == 0


@pytest.mark.parametrize("api", ["anthropic", "responses"])
def test_what_was_thought_stays_with_the_account_that_it_belongs_to(run_cli, make_task, make_bench, rollout, provided, fake, workdir, api):
    env = provided([api])
    file = workdir / "xdg/rollouts/providers.toml"
    file.write_text(file.read_text().replace('"FAKE_API_KEY"', '["FAKE_API_KEY", "OTHER_API_KEY"]'))
    fake.configure(keys=[KEY, KEY + "-other"])
    turns = [*[{"shell": "true", "reasoning": "hm"}] * 3, {"shell": FIX, "reasoning": "ah"}, {"text": "ok"}]
    make_bench(make_task(instructions=scripted(turns=turns)), agent="bash", model="thinks-fake", retries=0, rollouts=2, parallel=2)
    run_cli("run", "bench.toml", env={**env, "OTHER_API_KEY": KEY + "-other"}, check=0, timeout=300)
    assert [r["outcome"] for r in rollout().runs.values()] == ["completed"] * 2
    assert {entry.key for entry in fake.log()} == {KEY, KEY + "-other"} and {entry.status for entry in fake.log()} == {200}


@pytest.mark.parametrize("words", ["maximum prompt length is 3 but the request contains 9 tokens", "the request exceeds the available context size",
                                   "However, the model's context length is only 3 tokens", "prompt too long; exceeded max context length by 6 tokens"])
def test_each_servers_word_for_too_long(run_bash, provider, words):
    provider.configure(rules=[{"nth": [3], "do": {"status": 400, "body": {"error": {"message": words.upper()}}}}])
    result, _ = run_bash([{"shell": "seq 1000"}, {"shell": FIX}, {"text": "ok"}])
    assert result["outcome"] == "completed" and b"output left out" in provider.log()[-1].request.body


def test_an_output_limit_that_is_less_than_asked_for(run_bash, provider):
    provider.configure(rules=[{"nth": [1], "do": {"status": 400, "body": {"error": {
        "message": "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for m"}}}}])
    result, _ = run_bash([{"shell": FIX}, {"text": "ok"}])
    assert result["outcome"] == "completed" and [doc["max_tokens"] for doc in bodies(provider)] == [64000, 8192, 8192]


@pytest.mark.parametrize("api", DIALECTS)
def test_a_context_that_is_full_of_anything_else(run_cli, make_task, make_bench, rollout, provided, fake, api):
    fake.configure(options={"context": 3000})
    turns = [{"shell": FIX}, {"shell": "true " + "x" * 20000}, {"text": "never said"}]
    fake.configure(scripts=[{"turns": turns}])
    make_bench(make_task(), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"]) == ("agent_error", 1)
    assert result["reason"].startswith("the model's context is full: the model's API answered 400: ")


@pytest.mark.parametrize("model", ["any-fake", "gpt-oss-fake"])
def test_auto_is_the_built_in_one(run_cli, make_task, make_bench, rollout, provided, fake, model):
    """For a model no agent is usual for, and for one that is served in another dialect than its usual agent's."""
    make_bench(make_task(instructions=scripted(turns=[{"shell": FIX}, {"text": "ok"}])), agent="auto", model=model)
    done = run_cli("run", "bench.toml", env=provided(["chat"]), check=0, timeout=300)
    assert "by chat, agent bash" in done.stdout
    assert [row["agent"] for row in rollout().manifest["results"]] == ["bash"]


def test_the_gateways_limit_ends_it(run_cli, make_task, make_bench, rollout, provided, fake):
    make_bench(make_task(instructions=scripted(turns=[{"shell": FIX}, *[{"shell": "echo"}] * 50])), agent="bash",
               model="any-fake", token_limit=4000)
    run_cli("run", "bench.toml", env=provided(), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"]) == ("budget", 1)
    assert result["reason"].startswith("token_limit of 4000 reached")


def test_nothing_but_the_command_is_in_the_sandbox(run_bash, provider):
    run_bash([{"shell": "ps -e -o args= | grep -v -e 'ps -e' -e grep -e '^bash -c'; env; ls -a /opt ~"}, {"text": "ok"}])
    told = outputs(provider)[0]
    assert "PAGER=cat" in told and "HOME=/home/agent" in told
    assert "gateway" not in told.lower().replace("rollouts", "") and "rollouts-trial" not in told


def test_ends_of_a_long_output_are_shown(run_bash, provider):
    run_bash([{"shell": "seq 1 100000; echo oops >&2; exit 3"},
              {"shell": "for i in $(seq 300); do echo out $i; echo err $i >&2; done"}, {"text": "ok"}])
    told, mixed = outputs(provider)
    assert told.startswith("1\n2\n3\n") and told.endswith("100000\noops\n[exit status 3]")
    assert "bytes left out ...]" in told and 10000 <= len(told) < 10100
    assert mixed == "".join(f"out {i}\nerr {i}\n" for i in range(1, 301)) + "[exit status 0]"


def test_odd_output_is_passed_on_as_text(run_bash, provider):
    run_bash([{"shell": r"printf '\377\000\033[31m\342\202\254\n'"}, {"text": "ok"}])
    assert outputs(provider)[0] == "\\xff\\x00\\x1b[31m\u20ac\n[exit status 0]"


def test_commands_that_wait_or_stay(run_bash, provider):
    """Input ends at once, a slow command is killed in its own time, a daemon may stay until the agent ends."""
    turns = [{"shell": "read line; echo got $?"}, {"shell": "echo begun; sleep 600"},
             {"shell": "(while :; do date > /tmp/alive; sleep .1; done) & echo $! > ~/pid"},
             {"shell": "kill -0 $(cat ~/pid) && echo it lives; cd src; X=1"}, {"shell": "pwd; echo [$X]"},
             {"text": "ok"}]
    result, _ = run_bash(turns, environment_variables={"BASH_AGENT_COMMAND_SEC": "2"})
    assert result["outcome"] == "completed", result["reason"]
    assert result["agent"]["metrics"]["left_running"] >= 1
    read, slow, _, lives, fresh = outputs(provider)
    assert read == "got 1\n[exit status 0]"
    assert slow.startswith("begun\n[killed after 2 s")
    assert lives == "it lives\n[exit status 0]"
    assert fresh == "/app/repo\n[]\n[exit status 0]"


def test_its_time_ends_in_a_command(run_bash, provider):
    result, _ = run_bash([{"shell": "echo > mark; sleep 600"}, {"text": "ok"}], timeout_sec=3)
    assert (result["outcome"], result["reason"]) == ("timeout", "timed out after 3 s")
    assert result["agent"]["diff_bytes"] > 0


def test_its_time_ends_while_the_model_thinks(run_bash, provider):
    provider.configure(rules=[{"do": {"stall": 600}}])
    result, _ = run_bash([{"text": "ok"}], timeout_sec=2)
    assert (result["outcome"], result["reason"]) == ("timeout", "timed out after 2 s")
    assert result["total_score"] == 0.4  # graded all the same


def test_calls_that_make_no_sense_are_told_to_the_model(run_bash, provider):
    turns = [{"tools": [{"name": "python", "arguments": {"code": "1"}}]}, {"tools": [{"name": "bash", "arguments": {}}]},
             {"shell": "true"}, {"text": "ok"}]
    result, _ = run_bash(turns)
    assert result["outcome"] == "completed"
    assert outputs(provider) == ["[not run: there is no such tool: bash is the only one]",
                                 "[not run: the arguments lack \"command\", a string]", "[exit status 0]"]


def test_three_senseless_calls_in_a_row_end_it(run_bash, provider):
    result, _ = run_bash([{"tools": [{"name": "python", "arguments": {}}]}] * 9)
    assert result["outcome"] == "agent_error"
    assert result["reason"] == "the model's calls made no sense, three times in a row"
    assert len(provider.log()) == 3


def test_a_limit_of_steps(run_bash, provider):
    result, _ = run_bash([{"shell": "echo"}] * 9, environment_variables={"BASH_AGENT_STEPS": "4"})
    assert (result["outcome"], result["reason"]) == ("budget", "limit of 4 calls of the model reached")
    assert len(provider.log()) == 4


UNWELL = {"chat": {"error": {"code": 502, "message": "no worker is free"}}, "gemini": {"error": {"code": 503, "message": "no"}},
          "responses": {"status": "failed", "error": {"code": "server_error", "message": "no"}, "output": []},
          "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}}


@pytest.mark.parametrize("fault", [{"status": 500}, {"close": True}, {"reset": True}, {"status": 200, "body": {}},
                                   {"status": 200, "body": "no object"}])
def test_what_fails_for_the_moment_is_asked_again(run_bash, provider, fault):
    provider.configure(rules=[{"nth": [2], "do": fault}])
    result, _ = run_bash([{"shell": FIX}, {"text": "ok"}])
    assert (result["outcome"], result["total_score"], len(provider.log())) == ("completed", 1, 3), result["reason"]


@pytest.mark.parametrize("api", DIALECTS)
def test_a_failure_inside_a_200_is_asked_again(run_cli, make_task, make_bench, rollout, provided, fake, api):
    fake.configure(rules=[{"nth": [2], "do": {"status": 200, "body": UNWELL[api]}}])
    make_bench(make_task(instructions=scripted(turns=[{"shell": FIX}, {"text": "ok"}])), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"], len(fake.log())) == ("completed", 1, 3), result["reason"]


@pytest.mark.parametrize("fault, outcome, words, calls", [
    ({"status": 400}, "agent_error", "the model's API answered 400: ", 1),
    ({"status": 200, "body": {"type": "error", "error": {"type": "invalid_request_error", "message": "never"}}}, "agent_error",
     "the model's API answered 200 with an error: never", 1),
    ({"status": 200, "body": UNWELL["anthropic"]}, "infra_error", "the model's API answered 200 with an error: no", 5),
])
def test_what_goes_wrong_between_it_and_the_model(run_bash, provider, fault, outcome, words, calls):
    provider.configure(rules=[{"do": fault, "prompt": "tool_result"}])
    result, _ = run_bash([{"shell": FIX}, {"text": "ok"}], check=1 if outcome == "infra_error" else 0)
    assert (result["outcome"], words in result["reason"]) == (outcome, True), result["reason"]
    assert len(provider.log()) == 1 + calls


NOTHING = {"chat": {"choices": [{"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]},
           "responses": {"status": "completed", "output": []}, "anthropic": {"content": [], "stop_reason": "end_turn"},
           "gemini": {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]}}


@pytest.mark.parametrize("api", DIALECTS)
def test_an_answer_that_breaks_off_is_asked_again(run_cli, make_task, make_bench, rollout, provided, fake, api):
    """It comes in pieces: silence is none of them, and half an answer is none."""
    fake.configure(rules=[{"nth": [2], "do": {"cut_after": 2}}])
    turns = [{"text": "I shall mend it, and look at the rest of it then.", "shell": FIX, "reasoning": "hm"}, {"text": "It is mended now."}]
    make_bench(make_task(instructions=scripted(turns=turns)), agent="bash", model="one-that-thinks-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"], len(fake.log())) == ("completed", 1, 3), result["reason"]
    assert result["agent"]["final_message"] == "It is mended now."
    for entry in fake.log():
        assert ":streamGenerateContent?alt=sse" in entry.request.target or json.loads(entry.request.body)["stream"] is True
    assert fake.log()[1].request.body == fake.log()[2].request.body


@pytest.mark.parametrize("api,words,calls", [
    ("chat", "Unknown parameter: 'stream_options'", 3), ("chat", "Streaming is not supported by this server", 3),
    ("responses", "'stream': streaming is not enabled", 3), ("anthropic", "stream: streaming is not available", 3)])
def test_a_server_that_does_not_stream_is_asked_for_one_piece(run_cli, make_task, make_bench, rollout, provided, fake, api, words,
                                                              calls):
    fake.configure(rules=[{"nth": [1], "do": {"status": 400, "body": {"error": {"message": words}}}}])
    make_bench(make_task(instructions=scripted(turns=[{"shell": FIX}, {"text": "ok"}])), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"], len(fake.log())) == ("completed", 1, calls), result["reason"]
    later = [json.loads(entry.request.body) for entry in fake.log()[1:]]
    if "stream_options" in words:  # the gateway tries them itself then, and takes them back
        assert all(doc["stream"] is True for doc in later)
    else:
        assert all("stream_options" not in doc and not doc.get("stream") for doc in later)


def test_an_answer_in_several_parts_is_one(run_cli, make_task, make_bench, rollout, provided, fake):
    """Gemini's CONTINUATION: the very same request, and the word to go on by."""
    part = {"candidates": [{"content": {"role": "model", "parts": [{"text": "I shall", "thoughtSignature": "c2ln"}]},
                            "finishReason": "CONTINUATION", "continuationToken": "on-and-on"}],
            "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 7, "totalTokenCount": 1007}}
    fake.configure(rules=[{"nth": [1], "do": {"status": 200, "body": part}}])
    make_bench(make_task(instructions=scripted(turns=[{"text": " mend it.", "shell": FIX}, {"text": "ok"}])), agent="bash",
               model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided(["gemini"]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"], len(fake.log())) == ("completed", 1, 3), result["reason"]
    first, second, third = bodies(fake)
    assert second.pop("continuationToken") == "on-and-on" and first == second and "continuationToken" not in third
    said = third["contents"][1]["parts"]
    assert said[0] == {"text": "I shall", "thoughtSignature": "c2ln"} and said[1]["text"] == " mend it." and "functionCall" in said[2]
    assert result["agent"]["metrics"]["turns"] == 2


@pytest.mark.parametrize("api", DIALECTS)
def test_an_empty_answer_is_asked_once_more(run_cli, make_task, make_bench, rollout, provided, fake, api):
    fake.configure(rules=[{"nth": [2], "do": {"status": 200, "body": NOTHING[api]}}])
    make_bench(make_task(instructions=scripted(turns=[{"shell": FIX}, {"text": "ok"}])), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    log = fake.log()
    assert (result["outcome"], result["total_score"], len(log)) == ("completed", 1, 3), result["reason"]
    assert log[1].request.body == log[2].request.body


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_key_of_the_prompt_cache(run_cli, make_task, make_bench, rollout, provided, fake, api):
    """One and the same in all of an attempt; a server that does not know it is not sent it again."""
    fake.configure(rules=[{"nth": [2], "do": {"status": 400, "body": {"error": {"message": "property 'prompt_cache_key' is unsupported"}}}}])
    turns = [{"shell": FIX}, {"shell": "true"}, {"text": "ok"}]
    make_bench(make_task(instructions=scripted(turns=turns)), agent="bash", model="gpt-oss-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (run_id, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    keys = [json.loads(entry.request.body).get("prompt_cache_key") for entry in fake.log()]
    assert keys == [run_id + ".1", run_id + ".1", None, None]


@pytest.mark.parametrize("api", DIALECTS)
def test_text_without_a_call_is_no_end(run_cli, make_task, make_bench, rollout, provided, fake, api):
    turns = [{"text": "I shall mend it."}, {"shell": FIX}, {"text": "Mended."}, {"text": "Yes, it is.", "submit": False}]
    make_bench(make_task(instructions=scripted(turns=turns)), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    assert result["agent"]["final_message"] == "Yes, it is." and len(fake.log()) == 2 + 1 + 3
    assert [entry.request.body.count(b"There was no call of the tool") for entry in fake.log()] == [0, 1, 1, 2, 3, 4]


def test_what_comes_after_a_submission_is_not_run(run_bash, provider):
    result, _ = run_bash([{"text": "So.", "shell": [FIX, " submit\n", "rm -rf src"]}, {"text": "never said"}])
    assert (result["outcome"], result["total_score"], len(provider.log())) == ("completed", 1, 1), result["reason"]
    assert result["agent"]["final_message"] == "So." and result["agent"]["metrics"]["tool_calls"] == 2


def test_a_call_in_an_answer_that_was_cut_is_not_run(run_bash, provider):
    result, _ = run_bash([{"shell": "rm -rf src", "stop": "length"}, {"shell": FIX}, {"text": "ok"}])
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    assert outputs(provider)[0].startswith("[not run: the answer was cut at its output limit.")


def test_its_time_ends_while_it_waits_to_ask_again(run_bash, provider):
    provider.configure(rules=[{"do": {"status": 503}}])
    result, _ = run_bash([{"text": "ok"}], timeout_sec=2)
    assert (result["outcome"], result["reason"]) == ("timeout", "timed out after 2 s")


def test_a_working_folder_that_it_closed_is_its_own_affair(run_bash, provider):
    """Honest models do that by accident: they are told, and may mend it."""
    result, _ = run_bash([{"shell": FIX}, {"shell": "chmod 000 ."}, {"shell": "pwd; chmod 755 /app/repo"}, {"shell": "pwd"},
                          {"text": "ok"}])
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    assert outputs(provider)[2:] == ["[cannot enter /app/repo: Permission denied: run in / instead]\n/\n[exit status 0]",
                                     "/app/repo\n[exit status 0]"]


def test_folders_nested_beyond_the_longest_path_are_left_out(run_bash):
    dig = "python3 -c \"import os\nfor i in range(40): os.mkdir('d' * 120); os.chdir('d' * 120); open('f', 'w').write('x')\""
    result, _ = run_bash([{"shell": FIX}, {"shell": dig}, {"text": "ok"}])
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]


NO_PROCESSES_LEFT = """python3 -c "
import os, time
for i in range(20):
    if not os.fork():
        os.setsid()
        while True:
            try:
                if not os.fork(): time.sleep(300)
            except OSError: time.sleep(0.001)
" >/dev/null 2>&1 & sleep 1; true"""
TRACER = """cat > /tmp/t.py <<'X'
import ctypes, os, time
ptrace, end = ctypes.CDLL(None).ptrace, time.time() + 3
print(ptrace(16, 1, 0, 0), ptrace(0x4206, 1, 0, 0), flush=True)
if not os.fork():
    os.setsid()
    while time.time() < end:
        for pid in range(2, 60):
            if pid != os.getpid() and ptrace(0x4206, pid, 0, 0) == 0: ptrace(0x4207, pid, 0, 0)
X
python3 /tmp/t.py"""


@pytest.mark.parametrize("state", [
    NO_PROCESSES_LEFT, TRACER, "kill -STOP 1; kill -9 1; kill -9 -1", "rm -rf .git; mkfifo .git .gitignore",
    "rm -rf check.sh; mkdir -p check.sh/a; touch check.sh/a/b; head -c 30000000 /dev/zero > .git/index",
    "chmod 000 /tmp $HOME; mkdir -p .gitignore/x; python3 -c 'for i in range(20000): open(f\"/app/repo/l{i}\", \"w\")'"])
def test_whatever_it_makes_of_its_box_is_graded(run_bash, provider, state):
    """infra_error is tried again and never scored: nothing that an agent can do brings it about."""
    task = {"tests": [("check.sh", "a", "grep -q name src/greet.py\n")], "rubrics": [{"id": "a", "criterion": "c", "weight": 1}]}
    result, _ = run_bash([{"shell": FIX}, {"shell": state}, {"shell": "echo still"}, {"shell": "echo here"}, {"text": "ok"}],
                         task=task, timeout_sec=60)
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    assert outputs(provider)[3] == "here\n[exit status 0]"


def test_it_stops_when_asked(start_cli, make_task, make_bench, provider, workdir):
    """Interrupted twice while the model thinks: the worker does not wait for the answer."""
    provider.configure(rules=[{"do": {"stall": 600}}])
    make_bench(make_task(), agent="bash", model="claude-fake")
    child = start_cli("run", "bench.toml", "--gateway", str(provider.socket))
    wait_for(lambda: provider.log(), timeout=60)
    child.send_signal(2)
    while "interrupt again" not in (line := child.stdout.readline()):
        assert line
    child.send_signal(2)
    child.communicate(timeout=60)
    assert child.returncode == 130

# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents did, for other programs: predictions, a leaderboard's folder, messages."""
import json
import subprocess

import pytest

import stored
from stored import STAMP, trial


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


# A rollout of a task works where its number is even; each touches a test and a conftest, too.
WORK = r"""
[ $((ROLLOUT % 2)) = 0 ] && sed -i s/nmae/name/ src/greet.py
printf 'made by %s\n' "$MODEL" > notes_$ROLLOUT.txt
echo 'x = 1' > conftest.py
echo 'def test_greet(): pass' > test_greet.py
"""


@pytest.fixture
def worked(run_cli, make_task, make_bench, agent_script):
    make_bench({"prepared_dir": make_task("greet"), "rollouts": 2, "models": ["org/m-1", "m2"]},
               {"prepared_dir": make_task("second"), "rollouts": 2, "models": ["org/m-1", "m2"]}, agent=agent_script(WORK))
    run_cli("run", "bench.toml", "-j2", check=0)


def test_predictions(run_cli, worked, make_repo, workdir, make_bench, make_task):
    done = run_cli("export", "bench", "--format", "predictions", "--output", "preds", check=0)
    names = sorted(p.name for p in (workdir / "preds").iterdir())
    assert names == ["m2.rollout-1.jsonl", "m2.rollout-2.jsonl", "org__m-1.rollout-1.jsonl", "org__m-1.rollout-2.jsonl"]
    assert "conftest.py: changes how pytest runs" in done.stderr and "test_greet.py: is a test that grades it" in done.stderr
    for name in names:
        rows = lines((workdir / "preds" / name).read_text())
        assert [set(row) for row in rows] == [{"instance_id", "model_name_or_path", "model_patch"}] * 2
        assert [row["instance_id"] for row in rows] == ["greet", "second"]  # no instance twice
        number = int(name[-7]) - 1
        for row in rows:
            patch = row["model_patch"]
            assert row["model_name_or_path"] == ("m2" if name.startswith("m2") else "org/m-1")
            assert f"notes_{number}.txt" in patch and "conftest" not in patch and "test_greet" not in patch
            assert ("hello ' + name" in patch) == (number == 0)
            # What is left is a patch for git.
            clone = workdir / f"clone-{name}-{row['instance_id']}"
            subprocess.run(["git", "clone", "-q", workdir / "repos" / row["instance_id"], clone], check=True)
            subprocess.run(["git", "-C", clone, "checkout", "-q", "HEAD~1"], check=True)
            subprocess.run(["git", "-C", clone, "apply", "-"], input=patch.encode(), check=True)
    # The first, whatever it scored, and never the best.
    run_cli("export", "bench", "--format", "predictions", "--pick", "first", "--output", "first", check=0)
    assert sorted(p.name for p in (workdir / "first").iterdir()) == ["m2.jsonl", "org__m-1.jsonl"]
    assert all("notes_0.txt" in row["model_patch"] for row in lines((workdir / "first/m2.jsonl").read_text()))
    # One file has room for one of each.
    assert "--output FOLDER, or --pick first" in run_cli("export", "bench", "--format", "predictions", check=2).stderr
    assert "--output FOLDER" in run_cli("export", "bench", "--format", "predictions", "--pick", "first", "--output", "x.jsonl", check=2).stderr
    assert 'can only be "first"' in run_cli("export", "bench", "--format", "predictions", "--pick", "best", check=2).stderr
    folder(run_cli, workdir)


def folder(run_cli, workdir):
    run_cli("export", "bench", "--format", "leaderboard", "--pick", "first", "--output", "board", check=0)
    [one, two] = sorted((workdir / "board").iterdir())
    assert one.name.endswith("_m2") and one.name[:8].isdigit()
    assert sorted(p.name for p in two.iterdir()) == ["README.md", "all_preds.jsonl", "logs", "metadata.yaml", "results", "trajs"]
    assert len(lines((two / "all_preds.jsonl").read_text())) == 2
    logs = two / "logs/greet"
    assert json.loads((logs / "report.json").read_text())["greet"]["resolved"] is True
    assert "nmae" in (logs / "patch.diff").read_text() and "passed" in (logs / "test_output.txt").read_text()
    assert json.loads((two / "results/results.json").read_text())["resolved"] == ["greet", "second"]
    assert "2 of 2 resolved" in (two / "README.md").read_text() and 'name: "org/m-1"' in (two / "metadata.yaml").read_text()
    assert "needs --output FOLDER" in run_cli("export", "bench", "--format", "leaderboard", check=2).stderr


def test_what_has_no_result_is_no_empty_patch(run_cli, data):
    stored.write(data, [trial("a", score=1), trial("b", outcome="infra_error"), trial("c", state="planned"),
                        trial("d", score=0, outcome="timeout")])
    done = run_cli("export", "bench", "--format", "predictions", check=0)
    assert [row["instance_id"] for row in lines(done.stdout)] == ["a", "d"]
    assert "m1: 2 predictions; 2 trials without a result left out" in done.stderr
    run_cli("exclude", f"{STAMP}-0", "--reason", "contaminated", check=0)
    assert [row["instance_id"] for row in lines(run_cli("export", "bench", "--format", "predictions", check=0).stdout)] == ["d"]
    run_cli("export", "bench", "--format", "predictions", "--output", "p.json", check=0)
    assert [row["instance_id"] for row in json.loads((data.parent / "p.json").read_text())] == ["d"]


def test_names_that_would_leave_the_folder(run_cli, data, workdir):
    stored.write(data, [trial("a", model="../../evil model", score=1), trial("a", model=".hidden", score=1)])
    run_cli("export", "bench", "--format", "predictions", "--output", "preds", check=0)
    assert sorted(p.name for p in (workdir / "preds").iterdir()) == ["_.__..__evil_model.jsonl", "_hidden.jsonl"]


def frames(*calls):
    """A recording: of each call its path, its request, whether it is a stream, its answer, and its status."""
    out = b""
    for number, (path, request, stream, answer, *status) in enumerate(calls, 1):
        body = json.dumps(request).encode()
        said = ("".join(f"data: {json.dumps(e)}\n\n" for e in answer) if stream else json.dumps(answer)).encode()
        for head, data in (({"kind": "request", "call": number, "v": 2, "method": "POST", "path": path, "hash": "0" * 64,
                             "base": 0, "head": 0, "tail": 0}, body),
                           ({"kind": "head", "call": number, "status": status[0] if status else 200, "length": -1, "events": stream}, b""),
                           ({"kind": "body", "call": number}, said),
                           ({"kind": "end", "call": number, "end": "ok", "model": "served-1", "tokens": {}, "estimated": False}, b"")):
            out += json.dumps({**head, "bytes": len(data)}).encode() + b"\n" + data + b"\n"
    return out


def recorded(data, *calls, **more):
    stored.write(data, [trial("a", score=.75, **more)])
    (data / f"runs/{STAMP}-0/attempts/1/recording").write_bytes(frames(*calls))


def messages(run_cli, *flags):
    return lines(run_cli("export", "bench", "--format", "messages", *flags, check=0).stdout)


SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}
ARGS = {"command": "ls -l"}
CHAT = [("/v1/chat/completions", {"model": "m", "tools": [{"type": "function", "function": {"name": "sh", "description": "Run.", "parameters": SCHEMA}}],
                                  "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Fix it."}]}]}),
        ([{"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "sh", "arguments": json.dumps(ARGS)}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "total 0"}])]
ANTHROPIC = [("/v1/messages?beta=true", {"model": "m", "system": [{"type": "text", "text": "Be brief."}], "max_tokens": 9,
                                         "tools": [{"name": "sh", "description": "Run.", "input_schema": SCHEMA}],
                                         "messages": [{"role": "user", "content": [{"type": "text", "text": "Fix it.", "cache_control": {"type": "ephemeral"}}]}]}),
             ([{"role": "assistant", "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "c1", "name": "sh", "input": ARGS}]},
               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "total 0"}]}]}])]
RESPONSES = [("/v1/responses", {"model": "m", "instructions": "Be brief.", "tools": [{"type": "function", "name": "sh", "description": "Run.", "parameters": SCHEMA}],
                                "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]}]}),
             ([{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
               {"type": "function_call", "call_id": "c1", "name": "sh", "arguments": json.dumps(ARGS)},
               {"type": "function_call_output", "call_id": "c1", "output": "total 0"}])]
GEMINI = [("/v1beta/models/m:generateContent", {"systemInstruction": {"parts": [{"text": "Be brief."}]},
                                                "tools": [{"functionDeclarations": [{"name": "sh", "description": "Run.", "parameters": SCHEMA}]}],
                                                "contents": [{"role": "user", "parts": [{"text": "Fix it."}]}]}),
          ([{"role": "model", "parts": [{"text": "I look."}, {"functionCall": {"id": "c1", "name": "sh", "args": ARGS}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "sh", "response": {"output": "total 0"}}}]}])]
LISTS = {"chat": "messages", "anthropic": "messages", "responses": "input", "gemini": "contents"}
TURNS = {"chat": CHAT, "anthropic": ANTHROPIC, "responses": RESPONSES, "gemini": GEMINI}

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "sh", "arguments": '{"command":'}}
STREAMS = {
    "chat": [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": "I "}}]}, {"choices": [{"index": 0, "delta": {"content": "look."}}]},
             {"choices": [{"index": 0, "delta": {"tool_calls": [CALL]}}]},
             {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ' "ls -l"}'}}]}}]}, {"choices": [], "usage": {}}],
    "anthropic": [{"type": "message_start", "message": {"content": []}}, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                  {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I look."}},
                  {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1", "name": "sh", "input": {}}},
                  {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"command": "ls'}},
                  {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ' -l"}'}}, {"type": "message_stop"}],
    "responses": [{"type": "response.created", "response": {"output": []}}, {"type": "response.output_text.delta", "delta": "I look."},
                  {"type": "response.completed", "response": {"output": [RESPONSES[1][0], RESPONSES[1][1]]}}],
    "gemini": [{"candidates": [{"content": {"role": "model", "parts": [{"text": "I "}]}}]}, {"candidates": [{"content": {"parts": [{"text": "look."}]}}]},
               {"candidates": [{"content": {"parts": [GEMINI[1][0]["parts"][1]]}}]}],
}
WHOLE = {"chat": {"choices": [{"message": CHAT[1][0]}]}, "anthropic": {"content": ANTHROPIC[1][0]["content"]},
         "responses": {"output": RESPONSES[1][:2]}, "gemini": {"candidates": [{"content": GEMINI[1][0]}]}}
LAST = {"chat": {"choices": [{"message": {"role": "assistant", "content": "Done."}}]}, "anthropic": {"content": [{"type": "text", "text": "Done."}]},
        "responses": {"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "It works."}]},
                                 {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}]},
        "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "It works.", "thought": True}, {"text": "Done."}]}}]}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", sorted(TURNS))
def test_messages_are_the_same_in_every_dialect(run_cli, data, name, stream):
    (path, first), more = TURNS[name]
    second = {**first, LISTS[name]: first[LISTS[name]] + more}
    recorded(data, (path, first, stream, STREAMS[name] if stream else WHOLE[name]), (path, second, False, LAST[name]))
    [row] = messages(run_cli)
    assert (row["part"], row["conversation"], row["calls"], row["score"], row["outcome"], row["model_served"]) == ("main", 0, 2, .75, "completed", "served-1")
    assert row["task"] == "a" and row["run_id"] == f"{STAMP}-0" and row["label"] is None
    assert row["tools"] == [{"type": "function", "function": {"name": "sh", "description": "Run.", "parameters": SCHEMA}}]
    said = row["messages"]
    [call] = said[2].pop("tool_calls")
    assert json.loads(call["function"].pop("arguments")) == ARGS and call == {"id": "c1", "type": "function", "function": {"name": "sh"}}
    if name in ("responses", "gemini"):
        assert said[4].pop("reasoning_content") == "It works."
    out = said[3].pop("content")
    assert out == ('{"output":"total 0"}' if name == "gemini" else "total 0")
    assert said == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Fix it."}, {"role": "assistant", "content": "I look."},
                    {"role": "tool", "tool_call_id": "c1"}, {"role": "assistant", "content": "Done."}]
    # The answer to the first request alone says the same.
    recorded_once = (path, first, stream, STREAMS[name] if stream else WHOLE[name])
    (data / f"runs/{STAMP}-0/attempts/1/recording").write_bytes(frames(recorded_once))
    [row] = messages(run_cli)
    assert row["messages"][2]["content"] == "I look." and json.loads(row["messages"][2]["tool_calls"][0]["function"]["arguments"]) == ARGS


def ask(*said, system="Be brief.", tools=("sh",)):
    return ("/v1/chat/completions", {"model": "m", "tools": [{"type": "function", "function": {"name": t, "parameters": {}}} for t in tools],
                                     "messages": [{"role": "system", "content": system}] +
                                     [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(said)]}, False)


def say(text):
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def test_sub_agents_and_compactions_are_rows_of_their_own(run_cli, data):
    recorded(data,
             (*ask("Name this.", system="You make titles.", tools=()), say("A title")),
             (*ask("Fix it."), say("I ask.")),
             (*ask("Look around.", system="You search.", tools=("find",)), say("Here.")),
             (*ask("Fix it.", "I ask.", "Here."), {"error": {"message": "overloaded"}}, 529),
             (*ask("Fix it.", "I ask.", "Here."), say("I go on.")),
             (*ask("Look around.", "Here.", "Deeper.", system="You search.", tools=("find",)), say("There.")),
             (*ask("Fix it.", "I ask.", "Here.", "I go on.", "Sum up."), say("So far: all.")),
             (*ask("This goes on: so far all."), say("Done.")))
    rows = messages(run_cli)
    assert [(r["part"], r["calls"], r["messages"][1]["content"], r["messages"][-1]["content"], len(r["messages"])) for r in rows] == [
        ("sub-agent", 1, "Name this.", "A title", 3), ("main", 3, "Fix it.", "So far: all.", 7),
        ("sub-agent", 2, "Look around.", "There.", 5), ("compaction", 1, "This goes on: so far all.", "Done.", 3)]
    assert [r["conversation"] for r in rows] == [0, 1, 2, 3]


def test_a_note_in_the_last_message_begins_no_conversation(run_cli, data):
    recorded(data, (*ask("Fix it. <note>now</note>"), say("Yes.")), (*ask("Fix it.", "Yes.", "On. <note>then</note>"), say("Done.")))
    [row] = messages(run_cli)
    assert [m["content"] for m in row["messages"][1:]] == ["Fix it.", "Yes.", "On. <note>then</note>", "Done."]


def test_which_trials(run_cli, data):
    stored.write(data, [trial("a", score=1), trial("b", score=.5, outcome="timeout"), trial("c"), trial("d", outcome="infra_error"), trial("e", score=1)])
    for i in range(4):
        (data / f"runs/{STAMP}-{i}/attempts/1/recording").write_bytes(frames((*ask("Fix it."), say("Done."))))
    tasks = lambda *flags: [r["task"] for r in messages(run_cli, *flags)]
    assert tasks() == ["a", "b", "c", "d"] and tasks("--min-score", "0.5") == ["a", "b"] and tasks("--min-score", "1") == ["a"]
    assert tasks("--outcome", "timeout") == ["b"] and tasks("--outcome", "timeout", "--outcome", "completed") == ["a", "b", "c"]
    assert "1 trial left out: no recording" in run_cli("export", "bench", "--format", "messages", check=0).stderr
    for wrong in (["--outcome", "nice"], ["--min-score", "2"], ["--pick", "first"]):
        run_cli("export", "bench", "--format", "messages", *wrong, check=2)
    for wrong in (["--outcome", "timeout"], ["--min-score", "1"], ["--pick", "first"]):
        run_cli("export", "bench", "--format", "csv", *wrong, check=2)


@pytest.mark.parametrize("text", [b"{}\nnothing", b"", frames((*ask("x"), say("y")))[:-30]])
def test_a_damaged_recording(run_cli, data, text):
    recorded(data)
    (data / f"runs/{STAMP}-0/attempts/1/recording").write_bytes(text)
    done = run_cli("export", "bench", "--format", "messages")
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr and done.stderr.count("\n") <= 1

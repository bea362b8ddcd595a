# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts written to disk by hand, so that tests of the reading verbs choose every score and failure."""
import hashlib
import json
import zlib
from types import SimpleNamespace

STAMP = "20250824__12-34-56"


def trial(task="alpha", model="m1", rollout=0, score=None, outcome="completed", reason="", label="",
          tokens=None, tools=None, state="finished", phases=None, final="", served="", usd=None, repository="",
          cluster="", tags=(), wall=1500, version="", program="", image="", hash="0" * 64, tests=None):
    """One trial in words. outcome=None: nothing was journalled beyond `state`."""
    return SimpleNamespace(**locals())


def line(seq, event, planned, **fields):
    head = json.dumps({"v": 1, "seq": seq, "time": "2025-08-24T12:34:56.000Z", "mono_ms": seq, "host": "h",
                       "event": event, "run": planned["run_id"], "trial": planned["key"], "attempt": 1,
                       **fields}, separators=(",", ":"))[:-1]
    return f'{head},"crc":"{zlib.crc32(head.encode()):08x}"}}\n'


def planned_of(index, t, stamp):
    key = hashlib.sha256(f"{index} {t.task} {t.model} {t.label} {t.rollout}".encode()).hexdigest()
    return {"index": index, "run_id": f"{stamp}-{index}", "key": key, "task_dir": f"tasks/{t.task}",
            "task_id": t.task, "task_hash": t.hash, "task_snapshot": "cache/tasks/" + t.hash,
            "repository": t.repository, "cluster": t.cluster, "tags": list(t.tags),
            "variant": t.label, "agent": "nop", "model": t.model, "rollout": t.rollout, "seed": -1,
            "launcher": "local", "network": False, "retries": 0, "evaluate": True, "sandbox": "none",
            "workspace": "copy", "env": {}, "limits": {}}


def result_of(planned, t):
    agent = {"v": 1, "outcome": t.outcome, "reason": t.reason, "exit_status": 0, "diff_bytes": 10,
             "diff_lines": 2, "digest": "0" * 64, "final_message": t.final, "version": t.version,
             "metrics": {"tokens_total": t.tokens, "tool_calls": t.tools, "wall_ms": t.wall,
                         "model_served": t.served, "money_usd": t.usd, "calls": 3 if t.served else 0}}
    return {"v": 1, "run_id": planned["run_id"], "key": planned["key"], "attempt": 1, "outcome": t.outcome,
            "reason": t.reason, "agent": agent, "evaluated": t.score is not None, "total_score": t.score,
            "scores": {} if t.score is None else {"works": t.score}, "tests": 2, "tests_passed": 1,
            "phases": {"agent": 1500}, "sandbox": "none", "workspace": "none", "limits_held": "none",
            "program": t.program, "image_id": t.image}


def write(data, trials, name="bench", stamp=STAMP, tags=(), runs=True):
    """Write the rollout; returns its folder. Without RUNS there are no run folders, for verbs that read the journal alone."""
    top = data / "rollouts" / name / stamp
    top.mkdir(parents=True)
    (data / "runs").mkdir(exist_ok=True)
    planned = [planned_of(i, t, stamp) for i, t in enumerate(trials)]
    head = json.dumps({"v": 1, "name": name, "stamp": stamp, "config": "bench.toml"}, separators=(",", ":"))
    (top / "plan.json").write_text(head[:-1] + ',"trials":[\n' + ",\n".join(map(json.dumps, planned)) + "\n]}\n")
    events, seq = "", 0
    for p, t in zip(planned, trials):
        steps = [] if t.state == "planned" else [("started", {})]
        if t.state == "finished":
            steps.append(("finished", {"outcome": t.outcome, "reason": t.reason, "total_score": t.score,
                                       "result": result_of(p, t)}))
            if runs:
                write_run(data, p, t)
        for event, fields in steps:
            seq += 1
            events += line(seq, event, p, **fields)
    (top / "events.jsonl").write_text(events)
    if tags:
        (top / "tags").write_text("".join(f"{tag}\n" for tag in tags))
    return top


def write_run(data, planned, t):
    top = data / "runs" / planned["run_id"] / "attempts/1"
    for folder in ("logs", "artifacts"):
        (top / folder).mkdir(parents=True)
    (top / "trial.json").write_text(json.dumps({"v": 1, "trial": planned, "number": 1, "uid": 0}))
    (top / "result.json").write_text(json.dumps(result_of(planned, t)))
    if t.tests is not None:
        (top / "evaluation_results.json").write_text(json.dumps({"total_score": t.score, "test_results": t.tests}))
    (top / "logs/agent.log").write_bytes(b"plain\n\x1b[31mred\x1b[0m\n")
    (top / "logs/eval.log").write_text("1 passed\n")
    (top / "artifacts/diff.patch").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\r\n+2\n")

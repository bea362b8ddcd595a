# SPDX-License-Identifier: GPL-3.0-or-later
"""What Harbor ran, as rollouts here: counted as Harbor counts it, missing where it does not, and read by every reader."""
import json
import re

import pytest

from harbor_jobs import at, span, trial, write

TIMEOUT = {"error": "AgentTimeoutError", "message": "Agent execution timed out after 30 seconds"}


@pytest.fixture
def jobs(workdir):
    """One with every kind of ending, and one in which another model solved everything."""
    one = write(
        workdir / "jobs/one", trial("a", 0, rewards={"reward": 1.0}), trial("a", 1, rewards={"reward": 0.0}, start=5),
        trial("b", 2, rewards={"reward": 1.0}, **TIMEOUT), trial("b", 3, error="EnvironmentStartTimeoutError", message="no\x1b[31m\nengine", start=9),
        trial("c", 4, rewards={"correctness": 0.5, "style": 1}), trial("c", 5, error="RewardFileNotFoundError", message="none", start=9),
        trial("d", 6, rewards={"reward": 7}), trial("d", 7, rewards={"reward": 1}, error="ApiRateLimitError", message="429", start=9), total=10)
    (one / "a__0000000/agent/link").symlink_to("/etc/passwd")
    (one / "a__0000000/verifier/test-stdout.txt").unlink()
    (one / "a__0000000/verifier/test-stdout.txt").symlink_to("/etc/passwd")
    two = write(workdir / "jobs/two", *[trial(t, n, rewards={"reward": 1.0}, model="openai/gpt-y", start=100 + n) for n, t in enumerate("aabbccdd")],
                ident="99999999-2222-4333-8444-555555555555")
    return one, two


def trials(run_cli, rollout):
    lines = map(json.loads, run_cli("export", rollout, "--format", "jsonl", check=0).stdout.splitlines())
    return {(t["task"], t["rollout"]): t for t in lines}


def test_what_harbor_counts_is_counted(run_cli, workdir, jobs):
    done = run_cli("import", "jobs/one/", "jobs/two", check=0)
    assert "8 trials of 4 tasks taken in as terminal-bench 20261130__12-00-00: 4 scored, 2 unscored, 2 without a result" in done.stdout
    assert "mean of all (--score KEY" in done.stderr and "outside of 0..1" in done.stderr and "2 trials of the job were never begun" in done.stderr
    assert "were not copied: 2" in done.stderr
    got = trials(run_cli, "terminal-bench@one")
    scores = {key: t["score"] for key, t in got.items()}
    assert scores == {("a", 0): 1, ("a", 1): 0, ("b", 0): 1, ("b", 1): None, ("c", 0): 0.75, ("c", 1): None, ("d", 0): None, ("d", 1): None}
    assert got["b", 0]["outcome"] == "timeout" and got["b", 1]["outcome"] == "infra_error" == got["d", 1]["outcome"]
    assert got["b", 1]["reason"] == "EnvironmentStartTimeoutError: no\\x1b[31m engine" and "RewardFileNotFoundError" in got["c", 1]["reason"]
    assert got["a", 0]["cost_usd"] == 0.25 and got["a", 0]["tokens"] == 1050 and got["a", 0]["model"] == "anthropic/claude-x"
    text = run_cli("summarize", "terminal-bench@one", check=0).stdout
    assert "claude-code 2.0.1" in text and "2 missing (2 infra_error)" in text and "Finish it" not in text
    assert re.search(r"1 \| unscored +\| \S+ \| the reward 7 is outside of 0..1", text)
    assert re.search(r"1 \| unscored +\| \S+ \| RewardFileNotFoundError: none", text)
    compared = run_cli("compare", "terminal-bench@one", "terminal-bench@two").stdout
    assert "3 paired tasks, 2 differ" in compared
    run = got["a", 1]["run_id"]
    assert run_cli("show", run, "eval", check=0).stdout == "1 passed\n" and run_cli("show", run, "agent", check=0).stdout == "what it said\n"
    inside = [p for p in (workdir / "data/runs" / got["a", 0]["run_id"] / "attempts").rglob("*")]
    assert len(inside) > 5 and not any(p.is_symlink() for p in inside) and not any("root:" in p.read_text() for p in inside if p.is_file())
    rows = json.loads(run_cli("list", "--json", check=0).stdout)
    assert "20261130__12-01-40" in json.dumps(rows)


def test_the_same_job_is_known_again_and_nothing_of_it_runs(run_cli, jobs, workdir):
    run_cli("import", "jobs/two", "--name", "mine", check=0)
    assert "jobs/two is here already: mine 20261130__12-01-40" in run_cli("import", "jobs/two", check=0).stdout
    for words in (["resume", "mine"], ["eval", "mine"]):
        done = run_cli(*words, check=2)
        assert done.stderr.count("\n") == 1 and "was imported from the Harbor job two" in done.stderr
    assert "imported from a Harbor job" in run_cli("shell", "20261130__12-01-40-0", check=2).stderr
    # It went on: Harbor resumed it.
    name, result = trial("e", 9, rewards={"reward": 0.5}, model="openai/gpt-y", start=300)
    (jobs[1] / name).mkdir()
    (jobs[1] / name / "result.json").write_text(json.dumps(result))
    done = run_cli("import", "jobs/two", "--name", "mine", check=0)
    assert "9 trials of 5 tasks" in done.stdout and "an earlier state of this job is here as mine 20261130__12-01-40" in done.stderr


def test_what_harbor_left_half_done_is_missing(run_cli, workdir):
    job = write(workdir / "jobs/cut", trial("a", 0, rewards={"reward": 1}), trial("b", 1, rewards={"reward": 1}), trial("c", 2, rewards={"reward": 1}))
    (job / "result.json").write_text("")
    text = (job / "b__0000001/result.json").read_text()
    (job / "b__0000001/result.json").write_text(text[:len(text) // 2])
    (job / "c__0000002/result.json").unlink()
    (job / "notes").mkdir()
    run_cli("import", "jobs/cut", check=0)
    got = trials(run_cli, "cut")
    assert got["a", 0]["score"] == 1 and len(got) == 3
    assert got["b", 0]["reason"] == "Unfinished: Harbor result.json is cut, or no JSON" and got["c", 0]["reason"] == "Unfinished: Harbor left no result.json"


def test_what_stands_in_its_steps_is_taken_from_there(run_cli, workdir):
    """A task of several steps has its costs, times and errors there; of one that died at once there is nothing but a log."""
    def step(name, reward, start, error=None):
        return {"step_name": name, "agent_result": {"n_input_tokens": 100, "n_cache_tokens": 0, "n_output_tokens": 5, "cost_usd": 0.5},
                "verifier_result": {"rewards": {"reward": reward}}, "agent_execution": span(start, 7), "verifier": span(start + 7, 2),
                "exception_info": error and {"exception_type": error, "exception_message": "why", "exception_traceback": "", "occurred_at": at(9)}}

    def steps(*of):
        return {"steps": list(of), "agent_result": None, "agent_execution": None, "verifier": None}

    job = write(workdir / "jobs/x",
                trial("a", 0, rewards={"reward": 0.5}, **steps(step("one", 1, 0), step("two", 0, 10, "AgentTimeoutError"))),
                trial("b", 1, rewards={"reward": 1}, **steps(step("one", 1, 0, "VerifierTimeoutError"))))
    (job / "c__0000002").mkdir()
    (job / "c__0000002/trial.log").write_text("began\n")
    run_cli("import", "jobs/x", "--name", "x", check=0)
    got = trials(run_cli, "x")
    a, b, c = (got[name, 0] for name in "abc")
    assert (a["score"], a["outcome"], a["tokens"], a["cost_usd"]) == (0.5, "timeout", 210, 1) and "AgentTimeoutError: why" in a["reason"]
    assert b["score"] is None and "VerifierTimeoutError" in b["reason"] and c["reason"] == "Unfinished: Harbor left no result.json"
    result = json.loads((workdir / "data/runs" / a["run_id"] / "result.json").read_text())
    assert result["phases_ms"]["agent"] == 14000 and [s["name"] for s in result["harbor"]["steps"]] == ["one", "two"]


def test_options_of_one_agent_tell_its_trials_apart(run_cli, workdir):
    write(workdir / "jobs/x", *[trial(t, n, rewards={"reward": n % 2}, kwargs={"reasoning_effort": effort})
                                for n, (t, effort) in enumerate((t, e) for t in "ab" for e in ("low", "high"))])
    run_cli("import", "jobs/x", check=0)
    lines = map(json.loads, run_cli("export", "terminal-bench", "--format", "jsonl", check=0).stdout.splitlines())
    assert {t["label"] for t in lines} == {"reasoning_effort=low", "reasoning_effort=high"}


def test_a_key_is_the_score(run_cli, workdir):
    write(workdir / "jobs/x", trial("a", 0, rewards={"correctness": 0.5, "style": 1}), trial("b", 1, rewards={"style": 1}))
    run_cli("import", "jobs/x", "--score", "correctness", check=0)
    got = trials(run_cli, "terminal-bench")
    assert got["a", 0]["score"] == 0.5 and got["b", 0]["score"] is None and 'no reward is called "correctness"' in got["b", 0]["reason"]


def test_what_is_no_job_is_said(run_cli, workdir, jobs):
    (workdir / "empty").mkdir()
    for where, said in (("jobs", "not the folder of a Harbor job"), ("empty", "not the folder"), ("gone", "No such file"), ("jobs/one/a__0000000", "not the")):
        done = run_cli("import", where, check=2)
        assert said in done.stderr and done.stderr.count("\n") == 1
    assert not list((workdir / "data/rollouts").glob("*"))


def test_an_export_of_it_says_the_same(run_cli, workdir, jobs):
    run_cli("import", "jobs/one", check=0)
    run_cli("export", "terminal-bench@one", "out", "--format", "harbor", check=0)
    was = {r["trial_name"]: r for r in (json.loads(p.read_text()) for p in jobs[0].glob("*__*/result.json"))}
    now = [json.loads(p.read_text()) for p in (workdir / "out").glob("*__*/result.json")]
    assert len(now) == len(was)
    for facts in ("task_name", "verifier_result", "started_at", "finished_at"):
        assert sorted(json.dumps(r[facts]) for r in now) == sorted(json.dumps(r[facts]) for r in was.values()), facts
    kinds = sorted((r["exception_info"] or {}).get("exception_type", "") for r in now)
    assert kinds == sorted((r["exception_info"] or {}).get("exception_type", "") for r in was.values())
    assert {r["exception_info"]["exception_type"]: r["reward_valid"] for r in now if r["exception_info"]} == {
        "AgentTimeoutError": True, "EnvironmentStartTimeoutError": False, "RewardFileNotFoundError": False, "ApiRateLimitError": False}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of Harbor jobs, as Harbor 0.26 writes them and as earlier versions did."""
import datetime
import json

BEGAN = datetime.datetime(2026, 11, 30, 12, 0, 0, tzinfo=datetime.timezone.utc)


def at(seconds):
    return (BEGAN + datetime.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def span(start, seconds):
    return {"started_at": at(start), "finished_at": at(start + seconds)}


def trial(task, n=0, *, rewards=None, error=None, message="", usd=0.25, agent="claude-code", model="anthropic/claude-x", kwargs=None,
          source="terminal-bench", start=0, seconds=30, policy=None, steps=None, **more):
    """The name of its folder, and its result.json."""
    name = f"{task}__{n:07d}"
    config = {"schema_version": 1, "task": {"path": f"tasks/{task}"}, "trial_name": name, "trials_dir": "jobs/x",
              "agent": {"name": agent, "model_name": model, "kwargs": kwargs or {}}}
    provider, _, of = (model or "").rpartition("/")
    result = {
        "schema_version": 1, "id": f"00000000-0000-4000-8000-{n:012d}", "task_name": task, "trial_name": name, "trial_uri": f"file:///jobs/x/{name}",
        "task_id": {"path": f"tasks/{task}"}, "source": source, "task_checksum": "ab" * 32, "config": config,
        "agent_info": {"name": agent, "version": "2.0.1", "model_info": {"name": of, "provider": provider} if model else None},
        "agent_result": {"n_input_tokens": 1000, "n_cache_tokens": 600, "n_output_tokens": 50, "cost_usd": usd, "rollout_details": None, "metadata": None},
        "verifier_result": None if rewards is None else {"rewards": rewards},
        "exception_info": None if error is None else {"exception_type": error, "exception_message": message, "exception_traceback": "Traceback",
                                                      "occurred_at": at(start + seconds)},
        "started_at": at(start), "finished_at": at(start + seconds), "environment_setup": span(start, 2), "agent_setup": span(start + 2, 1),
        "agent_execution": span(start + 3, 20), "verifier": span(start + 23, 4), "step_results": steps}
    if policy is not None:
        result["exception_info"]["policy"] = policy
    result.update(more)
    return name, result


def write(folder, *trials, total=None, ident="11111111-2222-4333-8444-555555555555"):
    folder.mkdir(parents=True)
    for name, result in trials:
        (folder / name / "agent").mkdir(parents=True)
        (folder / name / "verifier").mkdir()
        (folder / name / "agent/oracle.txt").write_text("what it said\n")
        (folder / name / "verifier/test-stdout.txt").write_text("1 passed\n")
        (folder / name / "config.json").write_text(json.dumps(result["config"]))
        (folder / name / "result.json").write_text(json.dumps(result))
    (folder / "config.json").write_text(json.dumps({"schema_version": 1, "job_name": folder.name, "jobs_dir": "jobs", "n_concurrent_trials": 4}))
    (folder / "result.json").write_text(json.dumps({"schema_version": 1, "id": ident, "started_at": "2026-11-30T12:00:00", "n_total_trials":
                                                    total or len(trials), "stats": {"evals": {}}}))
    return folder

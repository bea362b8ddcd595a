# SPDX-License-Identifier: GPL-3.0-or-later
"""rollouts summarize: every number chosen by hand, read back through the real binary."""
import csv
import io
import json
import math
import os
import pty
import re
import subprocess

import pytest

import stored
from stored import trial


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def test_the_table_of_the_spec(run_cli, data):
    top = stored.write(data, [trial(score=0.5, tokens=120, tools=3), trial(rollout=1, score=1)])
    shown = run_cli("summarize", "bench", "--latest", check=0).stdout
    assert re.search(r"^task +\| run +\| +unit \| +lm \| +tokens \| +tools$", shown, re.M)
    assert re.search(r"^alpha \| 20250824__12-34-56-0 \| 0\.500 \| +– \| +120 \| +3$", shown, re.M)
    summary = (top / "summary.md").read_text()
    assert "| task | run |" not in summary and " --trials" in summary
    listed = run_cli("summarize", "bench", "--markdown", "--trials", check=0).stdout
    assert "| task | run | unit | lm | tokens | tools |\n" in listed
    assert "| alpha | 20250824__12-34-56-0 | 0.500 | – | 120 | 3 |\n" in listed
    assert "\x1b" not in shown


def test_means_come_before_tasks_failures_and_trials(run_cli, data):
    trials = [trial(f"t{i:02}", rollout=r, score=1) for i in range(20) for r in range(2)]
    trials[3] = trial("t01", rollout=1, outcome="infra_error", reason="no disk")
    stored.write(data, trials)
    shown = run_cli("summarize", "bench", check=0).stdout
    assert re.findall(r"^(?:Aggregates|Per task|Failures|Trials)$", shown, re.M) == [
        "Aggregates", "Per task", "Failures", "Trials"]
    assert shown.count("20250824__12-34-56-") == 41  # and the first run of the failure

    stored.write(data, [*trials, trial("t20", score=0.25)], name="larger", stamp="20250825__00-00-00")
    shown = run_cli("summarize", "larger", check=0).stdout
    assert shown.splitlines()[3] == "Aggregates", shown
    assert "\nTrials\n" not in shown and shown.count("20250825__00-00-00-") == 1
    [command] = re.findall("^Each of the 41 trials: rollouts (.*)$", shown, re.M)
    assert command.endswith(" --trials")
    assert re.search(r"-40 \| +0\.250 ", run_cli(*command.split(), check=0).stdout)
    for flags in (["--csv"], ["--json"]):
        assert run_cli("summarize", "larger", *flags, check=0).stdout.count("20250825__00-00-00-") >= 41
    assert json.loads(run_cli("summarize", "larger", "--json").stdout)["trials"][40]["unit"] == 0.25


def wilson(p, n, z=1.959963984540054):
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def test_an_interval_stands_beside_every_mean(run_cli, data):
    scores = {("a", "m1"): [0, 1, 1], ("b", "m1"): [0.5, 0.5, 0.5], ("c", "m1"): [1, 1, 1],
              ("a", "m2"): [0, 0, 0], ("b", "m2"): [0, 0, 1], ("c", "m2"): [1, 0, 0]}
    stored.write(data, [trial(task, model, r, score=s) for (task, model), row in scores.items()
                        for r, s in enumerate(row)])
    out = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    by_model = {g["model"]: g for g in out["aggregates"] if g["level"] == "model"}
    means = [2 / 3, 0.5, 1]
    mean = sum(means) / 3
    got = by_model["m1"]
    assert got["mean"] == pytest.approx(mean)
    # Three tasks have not shown their spread: Wilson's interval of 13/18 on three tasks.
    low, high = wilson(mean, 3)
    assert got["interval"]["low"] == pytest.approx(low, abs=1e-9)
    assert got["interval"]["high"] == pytest.approx(high, abs=1e-9)
    assert (got["interval"]["method"], got["interval"]["over"]) == ("wilson", "tasks")
    assert (got["tasks"], got["rollouts_min"], got["rollouts_max"]) == (3, 3, 3)
    overall = out["aggregates"][-1]
    assert overall["level"] == "overall" and overall["tasks"] == 3
    assert overall["mean"] == pytest.approx((sum(means) + 2 / 3) / 6)
    shown = run_cli("summarize", "bench", check=0).stdout
    assert re.search(r"^m1 +\| 0\.722 \| 0\.239–0\.956 +\| 3 tasks × 3 rollouts", shown, re.M)
    assert re.search(r"^overall +\| ", shown, re.M)


def test_six_tasks_that_differ_take_the_logit_scale(run_cli, data):
    means = [0.2, 0.4, 0.6, 0.8, 1, 1, 0.6, 0.4, 0.2, 0, 0.8, 0.6]
    stored.write(data, [trial(f"t{i}", score=mean) for i, mean in enumerate(means)])
    got = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["aggregates"][-1]
    assert got["mean"] == pytest.approx(0.55)
    assert got["interval"]["method"] == "logit-t"
    # R 4.2.2, survey: svyciprop(method = "logit")
    assert got["interval"]["low"] == pytest.approx(0.349297379241282, abs=1e-9)
    assert got["interval"]["high"] == pytest.approx(0.735648054654509, abs=1e-9)


def test_one_bit_per_task_takes_wilson(run_cli, data):
    stored.write(data, [trial(f"t{i}", score=int(i < 8)) for i in range(10)])
    got = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["aggregates"][-1]["interval"]
    assert got["method"] == "wilson"
    assert (got["low"], got["high"]) == (pytest.approx(0.49016, abs=1e-5), pytest.approx(0.94332, abs=1e-5))


def test_missing_is_missing_and_never_a_zero(run_cli, data):
    stored.write(data, [
        trial("a", rollout=0, score=1), trial("a", rollout=1, outcome="infra_error", reason="no space left"),
        trial("b", rollout=0, score=0.5), trial("b", rollout=1, outcome="infra_error", reason="no space left"),
        trial("c", rollout=0, score=0, outcome="timeout", reason="out of time"),
        trial("c", rollout=1, state="planned"), trial("d", rollout=0, state="started"),
        trial("d", rollout=1, outcome="cancelled", reason="stopped")])
    shown = run_cli("summarize", "bench", check=0).stdout
    assert "8 planned: 3 scored, 5 missing (2 infra_error, 1 not run, 1 interrupted, 1 cancelled)" in shown
    assert re.search(r"^a +\| \S+-1 +\| missing .*\| infra_error$", shown, re.M)
    assert re.search(r"^ +2 \| infra_error +\| \S+-1 +\| no space left$", shown, re.M)
    assert re.search(r"^ +1 \| timeout +\| \S+-4 +\| out of time$", shown, re.M)
    out = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    overall = out["aggregates"][-1]
    assert overall["mean"] == pytest.approx(0.5)
    assert overall["if_missing_0"] == pytest.approx((0.5 + 0.25 + 0 + 0) / 4)
    assert overall["if_missing_1"] == pytest.approx((1 + 0.75 + 0.5 + 1) / 4)
    assert out["missing_by_outcome"] == {"infra_error": 2, "not run": 1, "interrupted": 1, "cancelled": 1}
    assert [t["unit"] for t in out["trials"]].count(None) == 5


def test_a_sweep_shows_two_rows(run_cli, data):
    stored.write(data, [trial(label=label, rollout=r, score=s, outcome="completed")
                        for label, s in (("TIMEOUT_SEC=1800", 0.25), ("TIMEOUT_SEC=3600", 0.75))
                        for r in range(3)])
    shown = run_cli("summarize", "bench", check=0).stdout
    assert re.search(r"^m1 +\| TIMEOUT_SEC=1800 +\| 0\.250", shown, re.M)
    assert re.search(r"^m1 +\| TIMEOUT_SEC=3600 +\| 0\.750", shown, re.M)


def test_what_nobody_graded_is_not_missing(run_cli, data):
    stored.write(data, [trial(rollout=r) for r in range(3)])
    shown = run_cli("summarize", "bench", check=0).stdout
    assert "3 planned: 0 scored, 3 not graded, 0 missing" in shown
    assert json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["aggregates"][-1]["mean"] is None


def test_csv_has_every_column_always(run_cli, data):
    stored.write(data, [trial("=cmd", score=0.5), trial("b", outcome="infra_error", reason='say "no", or\nyes')])
    rows = list(csv.DictReader(io.StringIO(run_cli("summarize", "bench", "--csv", check=0).stdout)))
    assert list(rows[0]) == ["task", "run", "unit", "lm", "tokens", "tools", "model", "label", "agent",
                             "rollout", "attempts", "outcome", "reason", "first_try",
                             "cost_usd", "time_s", "answered_by", "run_dir", "suspect", "agent_version",
                             "wall_seconds", "evaluation_seconds", "waiting_seconds", "tokens_input", "tokens_cached",
                             "tokens_cache_write", "tokens_output", "tokens_reasoning", "model_calls", "files_changed",
                             "lines_changed", "memory_max_mb", "cpu_seconds", "disk_mb", "evaluation_memory_max_mb",
                             "evaluation_cpu_seconds", "tests_passed", "oom_killed", "cpu_pressure",
                             "timed_out_under_load", "judge_calls", "judge_tokens_input", "judge_tokens_output",
                             "judge_cost_usd", "self_reported"]
    assert rows[0]["time_s"] == "1.5" and rows[0]["run_dir"] == f"data/runs/{stored.STAMP}-0"
    assert rows[0]["task"] == "=cmd" and rows[0]["unit"] == "0.5"
    assert rows[1]["unit"] == "" and rows[1]["reason"].startswith('say "no", or')


def test_who_answered_is_told_and_not_averaged_in_silence(run_cli, data):
    stored.write(data, [trial(t, "claude-3-sonnet", r, 1, served="claude-sonnet-4-5", usd=0.25) for t in "ab" for r in (0, 1)]
                 + [trial(t, "gpt-4", r, 0, served="gpt-4-0613" if r else "gpt-4o") for t in "ab" for r in (0, 1, 2)])
    shown = run_cli("summarize", "bench", check=0).stdout
    assert re.search(r"^model +\| answered by +\| +mean", shown, re.M)
    assert re.search(r"^claude-3-sonnet +\| claude-sonnet-4-5 +\| 1.000", shown, re.M)
    assert "Several models answered for gpt-4, and its mean is over all of them: gpt-4-0613 ×4; gpt-4o ×2" in \
        " ".join(shown.split())
    doc = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    assert [g["answered_by"] for g in doc["aggregates"] if g["level"] == "model"] == [
        {"claude-sonnet-4-5": 4}, {"gpt-4-0613": 4, "gpt-4o": 2}]
    assert [t["cost_usd"] for t in doc["trials"] if t["model"] == "claude-3-sonnet"] == [0.25] * 4
    rows = list(csv.DictReader(io.StringIO(run_cli("summarize", "bench", "--csv", check=0).stdout)))
    assert {r["answered_by"] for r in rows} == {"claude-sonnet-4-5", "gpt-4-0613", "gpt-4o"}
    assert "gpt-4-0613 ×4" in (data / f"rollouts/bench/{stored.STAMP}/summary.md").read_text()


def test_a_model_that_answered_itself_gets_no_column(run_cli, data):
    stored.write(data, [trial(t, "m1", 0, 1, served="m1") for t in "ab"])
    shown = run_cli("summarize", "bench", check=0).stdout
    assert "answered by" not in shown and "Several models" not in shown


def test_text_of_others_stays_text(run_cli, data):
    top = stored.write(data, [trial("a|b<script>", score=0, outcome="agent_error", reason="\x1b]0;owned\x07 `x`")])
    for flags in ([], ["--json"], ["--csv"], ["--markdown"]):
        assert "\x1b" not in run_cli("summarize", "bench", *flags, check=0).stdout
    summary = (top / "summary.md").read_text()
    assert "<script>" not in summary and "a|b" not in summary


def test_which_rollout(run_cli, data):
    stored.write(data, [trial(score=0)], tags=["first"])
    stored.write(data, [trial(score=1)], stamp="20250825__00-00-00")
    def score(*args):
        return json.loads(run_cli("summarize", "bench", "--json", *args, check=0).stdout)["aggregates"][-1]["mean"]
    assert score() == score("--latest") == score("--rollout", "20250825") == 1
    assert score("--rollout", "first") == score("--rollout", stored.STAMP) == 0


@pytest.mark.parametrize("args, said", [
    (["bench", "--rollout", "2025"], "more than one"),
    (["bench", "--rollout", "2024"], "20250824__12-34-56"),
    (["bnech"], 'did you mean "bench"'),
    (["../bench"], "cannot be the name"),
    (["a/b"], "cannot be the name"),
    (["bench", "--latest", "--rollout", "x"], "exclude"),
    (["bench", "--json", "--csv"], "exclude"),
    (["bench", "--lates"], "--latest"),
    ([], "usage"),
    (["bench", "--data-dir", "nowhere"], "nowhere"),
])
def test_mistakes_are_one_line(run_cli, data, args, said):
    stored.write(data, [trial(score=0)])
    stored.write(data, [trial(score=0)], stamp="20250825__00-00-00")
    done = run_cli("summarize", *args, check=2)
    assert done.stderr.count("\n") == 1 and said in done.stderr and not done.stdout


def test_damage_is_reported(run_cli, data):
    top = stored.write(data, [trial(rollout=r, score=1) for r in range(3)])
    lines = (top / "events.jsonl").read_text().splitlines(True)
    lines[3] = lines[3].replace("completed", "cancelled")
    (top / "events.jsonl").write_text("".join(lines))
    shown = run_cli("summarize", "bench", check=0).stdout
    assert "1 damaged line of events.jsonl skipped" in shown and "2 scored, 1 missing (1 interrupted)" in shown


def test_a_folder_that_cannot_be_written_can_be_read(binary, workdir, data, ordinary_user):
    stored.write(data, [trial(score=1)])
    for folder in [data, *(p for p in data.rglob("*") if p.is_dir())]:
        folder.chmod(0o555)
    user = {"user": ordinary_user, "group": ordinary_user, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run([binary, "summarize", "bench"], cwd=workdir, capture_output=True, text=True, **user)
    assert done.returncode == 0 and "1 scored" in done.stdout and "summary.md" in done.stderr


def test_a_terminal_gets_lines_that_fit(binary, workdir, data):
    stored.write(data, [trial("a-very-long-task-name-" * 5, score=1)])
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "70"], stdin=slave, check=True)
    subprocess.run([binary, "summarize", "bench"], cwd=workdir, stdout=slave, check=True)
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:
        pass
    os.close(master)
    table = [row for row in shown.decode().splitlines() if " | " in row]
    assert table and max(map(len, table)) <= 70 and "…" in shown.decode()
    assert b"\x1b" not in shown

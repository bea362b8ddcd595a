# SPDX-License-Identifier: GPL-3.0-or-later
"""`resume --config` after an edit: trials that ran otherwise are told apart, and nothing is averaged in silence."""
import csv
import json
import shutil
import subprocess

import pytest
from conftest import clean_env, only, put

ONE = [("check.sh", "a", "test -f ok\n")]
RUBRICS = [{"id": "a", "criterion": "The rubric", "weight": 1.0}]


@pytest.fixture
def first(run_cli, make_task, make_bench, agent_script):
    """first(**keys of the entry): a benchmark of one trial has run; returns how to write its file anew."""
    def make(**entry):
        task = make_task("ta", tests=ONE, rubrics=RUBRICS)
        agent = agent_script("touch ok\n")

        def write(label=None, **keys):
            table = {"prepared_dir": task, "agent": agent, "model": "acme-1", "rollouts": 1, **keys}
            return make_bench({**table, **({"label": label} if label else {})})
        write(**entry)
        run_cli("run", "bench.toml", check=0)
        return write
    return make


def rows(rollout):
    return [(row["label"], row["agent"], row["rollout"]) for row in rollout().manifest["results"]]


@pytest.mark.parametrize("before, after, label", [
    ({"environment_variables": {"A": "1"}}, {"environment_variables": {"A": "2"}}, "A=2"),
    ({"label": "mine"}, {"label": "mine", "timeout_sec": 77, "disk_mb": 999}, "mine timeout_sec=77 disk_mb=999"),
])
def test_an_edit_is_a_row_of_its_own(run_cli, first, rollout, before, after, label):
    write = first(**before)
    old = before.get("label", "")
    write(**after, rollouts=2)
    dry = run_cli("resume", "bench", "--config", "bench.toml", "--dry-run", check=0)
    done = run_cli("resume", "bench", "--config", "bench.toml", check=0)
    said = f'settings changed since the trials that are there: those of the file are the variant "{label}"'
    assert said in dry.stdout and said in done.stdout
    assert rows(rollout) == [(old, "scripted", 0), (label, "scripted", 0), (label, "scripted", 1)]
    table = run_cli("summarize", "bench", check=0).stdout
    assert label in table
    # The same file again adds nothing, and neither does the first one.
    assert "nothing is missing" in run_cli("resume", "bench", "--config", "bench.toml", check=0).stdout
    write(**before)
    assert "nothing is missing" in run_cli("resume", "bench", "--config", "bench.toml", check=0).stdout
    write(**{**after, "timeout_sec": 99})
    run_cli("resume", "bench", "--config", "bench.toml", check=0)
    assert len(set(rows(rollout))) == 4 and "timeout_sec=99" in rows(rollout)[3][0]


def test_every_file_that_made_trials_is_kept(run_cli, first, rollout, workdir):
    write = first()
    texts = [(workdir / "bench.toml").read_text()]
    for n in (2, 3):
        write(rollouts=n)
        texts.append((workdir / "bench.toml").read_text())
        run_cli("resume", "bench", "--config", "bench.toml", check=0)
    r = rollout()
    assert [(r.dir / name).read_text() for name in ("config.toml", "config-2.toml", "config-3.toml")] == texts
    planned = [e for e in r.events if e["event"] == "planned"]
    assert [e["config"] for e in planned] == ["config.toml", "config-2.toml", "config-3.toml"]
    assert len({e["config_hash"] for e in planned}) == 3
    assert all(result["program"].startswith("0.1.0+") for result in r.runs.values())


@pytest.mark.parametrize("edit", ["file", "program"])
def test_an_edited_agent_is_another_one(run_cli, make_task, make_bench, agent_script, rollout, workdir, edit):
    task = make_task("ta", tests=ONE, rubrics=RUBRICS)
    program = workdir / "tools/bin/work.sh"
    if edit == "file":
        agent_script("true\n")
    else:
        put(program, "#!/bin/bash\ntrue\n")
        program.chmod(0o755)
        put(workdir / "agents/scripted.toml", f'argv = ["{program}"]\n')
    make_bench(task, agent="scripted", model="acme-1")
    run_cli("run", "bench.toml", check=0)
    if edit == "file":
        agent_script("touch ok\n")
    else:
        put(program, "#!/bin/bash\ntouch ok\n")
        program.chmod(0o755)
    make_bench({"prepared_dir": task, "rollouts": 2}, agent="scripted", model="acme-1")
    done = run_cli("resume", "bench", "--config", "bench.toml", check=0)
    results = rollout().manifest["results"]
    assert [row["total_score"] for row in results] == [0, 1, 1]
    names = {row["agent"] for row in results}
    assert len(names) == 2 and results[1]["agent"].startswith("scripted@")
    assert f'its new trials are those of the agent "{results[1]["agent"]}"' in done.stdout
    assert "nothing is missing" in run_cli("resume", "bench", "--config", "bench.toml", check=0).stdout


def test_a_changed_task_is_refused(run_cli, first, make_task, workdir, rollout):
    write = first()
    meta = workdir / "tasks/ta/tb_meta.json"
    doc = json.loads(meta.read_text())
    doc["evaluation"]["test_scripts"][0]["content"] = "true\n"
    meta.write_text(json.dumps(doc))
    for path in (workdir / "tasks/ta/evaluation/tests").iterdir():
        path.write_text("true\n")
    write(rollouts=2)
    done = run_cli("resume", "bench", "--config", "bench.toml", check=2)
    assert 'task "ta"' in done.stderr and "is not what it was when its trials here were planned" in done.stderr
    assert len(rollout().manifest["results"]) == 1


def change_test(workdir, text):
    meta = workdir / "tasks/ta/tb_meta.json"
    doc = json.loads(meta.read_text())
    doc["evaluation"]["test_scripts"][0]["content"] = text
    meta.write_text(json.dumps(doc))
    for path in (workdir / "tasks/ta/evaluation/tests").iterdir():
        path.write_text(text)


def test_a_changed_test_counts_for_all_trials_or_none(run_cli, first, workdir, rollout):
    """resume --regrade: nothing is averaged over two graders, and no trial counts twice."""
    write = first()
    assert only(rollout())["total_score"] == 1
    change_test(workdir, "false\n")
    write(rollouts=3)
    assert "without --config" in run_cli("resume", "bench", "--regrade", check=2).stderr
    flags = ("resume", "bench", "--config", "bench.toml", "--regrade")
    dry = run_cli(*flags, "--dry-run", check=0).stdout
    assert "3 of 3 trials to do" in dry and dry.count("evaluate what the agent did") == 1
    assert len(rollout().manifest["results"]) == 1
    done = run_cli(*flags, check=0)
    assert "tasks that changed since: 1 trial that is there will be graded with them as they are now" in done.stdout
    r = rollout()
    rows = r.manifest["results"]
    assert [row["total_score"] for row in rows] == [0, 0, 0] and [row["rollout"] for row in rows] == [0, 1, 2]
    assert len({row["task_hash"] for row in rows} | {row["graded_hash"] for row in rows}) == 1
    assert sum(e.get("phase") == "agent" for e in r.events) == 3  # no agent ran again
    assert "changed since" not in run_cli("summarize", "bench", check=0).stdout
    for again in (flags, flags[:-1], flags[:2]):
        assert "nothing is missing" in run_cli(*again, check=0).stdout
    change_test(workdir, "true\n")
    assert "is not what it was" in run_cli(*flags[:-1], check=2).stderr
    run_cli(*flags, check=0)
    assert [row["total_score"] for row in rollout().manifest["results"]] == [1, 1, 1]


def test_what_was_moved_is_graded_by_a_later_resume(run_cli, first, workdir, rollout):
    write = first()
    change_test(workdir, "false\n")
    write(rollouts=2)
    run_cli("resume", "bench", "--config", "bench.toml", "--regrade", check=0)
    top = rollout().dir
    # As a supervisor leaves it that was killed before it graded anything again.
    kept = [line for line in (top / "events.jsonl").read_text().splitlines(True)
            if not (json.loads(line)["event"] == "finished" and json.loads(line).get("regrade"))]
    (top / "events.jsonl").write_text("".join(kept))
    assert "tests that were changed since, and not graded again yet (rollouts resume): 1 of 2" in \
        " ".join(run_cli("summarize", "bench", check=0).stdout.split())
    run_cli("resume", "bench", check=0)
    assert [row["total_score"] for row in rollout().manifest["results"]] == [0, 0]


def test_agents_that_were_asked_something_else_did_another_task(run_cli, first, workdir, rollout):
    write = first()
    before = (rollout().dir / "plan.json").read_text()
    path = workdir / "tasks/ta/overlay_files/LM_INSTRUCTIONS.md"
    path.write_text("Another thing altogether.\n")
    write(rollouts=2)
    refused = run_cli("resume", "bench", "--config", "bench.toml", "--regrade", check=2).stderr
    assert "task ta: its instruction changed since the trials here ran" in refused
    assert (rollout().dir / "plan.json").read_text() == before


def test_a_rerun_by_choice_is_marked(run_cli, make_task, make_bench, agent_script, rollout, workdir):
    """What was rerun because of its outcome is a selection: the first tries stand beside the mean everywhere."""
    task = make_task("ta", tests=ONE, rubrics=RUBRICS)
    fails = agent_script("exit 3\n", collect=[])
    make_bench({"prepared_dir": task, "rollouts": 3}, agent=fails, model="acme-1")
    run_cli("run", "bench.toml", check=0)
    assert "first tries" not in run_cli("summarize", "bench", check=0).stdout
    plan = rollout().dir / "plan.json"
    plan.write_text(plan.read_text().replace("exit 3\\n", "touch ok\\n"))
    said = "3 of 3 scores replace an earlier one; first tries: 0.000"
    done = run_cli("resume", "bench", "--retry", "agent_error", check=0)
    assert "score 1.000" in done.stdout and said in done.stdout
    text = run_cli("summarize", "bench", check=0).stdout
    assert said in text and said in (rollout().dir / "summary.md").read_text()
    doc = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    assert [(g["replaced"], g["first_tries"], g["mean"]) for g in doc["aggregates"]] == [(3, 0, 1)] * 2
    assert [t["first_try"] for t in doc["trials"]] == [0, 0, 0]
    assert [row["first_try"] for row in rollout().manifest["results"]] == [0, 0, 0]
    said_in_csv = [(r["score"], r["replaced"], r["first_tries"]) for r in csv.DictReader(
        run_cli("list", "--csv", check=0).stdout.splitlines())]
    assert said_in_csv == [("1.0", "3", "0.0")]
    assert "1.000 (3 rerun, first tries 0.000)" in run_cli("list", check=0).stdout
    assert "3 rerun, first tries 0.000" in run_cli("list", "bench", "--history", check=0).stdout
    junit = run_cli("export", "bench", "--format", "junit", check=0).stdout
    assert junit.count("rerun because of its outcome; first try: 0.000") == 3
    assert said in run_cli("summarize", "bench", "--markdown", check=0).stdout
    # Grading again replaces no try, and says the same.
    run_cli("eval", "bench", check=0)
    assert said in run_cli("summarize", "bench", check=0).stdout


def test_rerunning_whole_tasks_is_no_selection(run_cli, make_task, make_bench, agent_script, rollout):
    """resume --rerun: a task's trials, all of them and however they ended. A retry after that is one again."""
    tasks = [make_task(name, tests=ONE, rubrics=RUBRICS) for name in ("ta", "tb")]
    make_bench(*[{"prepared_dir": task, "rollouts": 2} for task in tasks],
               agent=agent_script("test $ROLLOUT = 0 || exit 3\ntouch ok\n", collect=[]), model="acme-1")
    run_cli("run", "bench.toml", check=0)
    attempts = lambda: [row["attempts"] for row in rollout().manifest["results"]]  # noqa: E731
    assert attempts() == [1, 1, 1, 1]
    assert "is \"zz\"" in run_cli("resume", "bench", "--rerun", "zz", check=2).stderr
    dry = run_cli("resume", "bench", "--rerun", "ta", "--dry-run", check=0).stdout
    assert "2 of 4 trials to do" in dry and attempts() == [1, 1, 1, 1]
    run_cli("resume", "bench", "--rerun", "ta", check=0)
    assert sorted(attempts()) == [1, 1, 2, 2]
    assert "first tries" not in run_cli("summarize", "bench", check=0).stdout
    run_cli("resume", "bench", "--retry", "agent_error", check=0)
    assert "2 of 4 scores replace an earlier one" in run_cli("summarize", "bench", check=0).stdout
    assert "first tries" not in run_cli("resume", "bench", "--rerun", "t*", check=0).stdout
    assert "first_try" not in (rollout().dir / "manifest.json").read_text()


@pytest.mark.parametrize("file, said", [("agent.json", "not valid JSON"), ("artifacts/diff.patch", "was changed since it was committed")])
def test_damaged_work_is_made_again_when_somebody_says_so(run_cli, make_task, make_bench, agent_script, rollout, workdir, file, said):
    """What a disk lost of an agent's committed work, before it was graded."""
    make_bench({"prepared_dir": make_task("ta", tests=ONE, rubrics=RUBRICS), "rollouts": 2}, agent=agent_script("touch ok\n"), model="acme-1")
    run_cli("run", "bench.toml", check=0)
    run = rollout().manifest["results"][0]["run_id"]
    attempts = workdir / "data/runs" / run / "attempts"
    (attempts / "1" / file).write_text("")
    (attempts / "1/result.json").unlink()
    journal = rollout().dir / "events.jsonl"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True)
                               if run not in line or '"event":"finished"' not in line))
    done = run_cli("resume", "bench", check=1)
    assert said in done.stdout and f"rollouts resume bench --rerun {run}" in done.stdout
    run_cli("resume", "bench", check=1)  # and not by itself
    run_cli("resume", "bench", "--rerun", run, check=0)
    assert [row["outcome"] for row in rollout().manifest["results"]] == ["completed"] * 2
    assert (attempts / "1" / file).read_text() == ""
    assert "first tries" not in run_cli("summarize", "bench", check=0).stdout


def test_the_first_screen_says_what_is_missing_and_what_a_tag_is(run_cli, make_task, make_bench):
    """A credential that the tests need and no sandbox gets; a --tag that is one of the tasks."""
    ask = [("check.sh", "a", 'test -n "$DEEPL_API_KEY"\n')]
    make_bench(make_task("ta", tests=ask, rubrics=RUBRICS, files={".env": "DEEPL_API_KEY=1\nOTHER_API_KEY=2\n"}), model="m")
    done = run_cli("run", "bench.toml", "--tag", "test", check=0)
    assert 'task "ta": its tests name DEEPL_API_KEY' in done.stdout and "export DEEPL_API_KEY=dummy" in done.stdout
    assert "OTHER_API_KEY" not in done.stdout
    assert "the tasks with that tag: --only tag:test" in done.stdout


def test_a_credential_that_code_of_the_repository_wants(run_cli, make_repo, make_task, make_bench):
    """No test names it; that the tests miss it is seen when they are tried, and said each time."""
    files = {"app.py": "import os\nos.environ['DEEPL_' + 'API_KEY']\n"}
    make_bench(make_task("ta", tests=[("check.sh", "a", "python3 app.py\n")], rubrics=RUBRICS,
                         repo=make_repo("app", files, {"more": "1"}), files={".env": "DEEPL_API_KEY=1\nOTHER_API_KEY=2\n"}), model="m")
    for _ in range(2):
        done = run_cli("run", "bench.toml", check=0)
        assert "its tests miss DEEPL_API_KEY" in done.stdout and "export DEEPL_API_KEY=dummy" in done.stdout
        assert "OTHER_API_KEY" not in done.stdout


def test_another_build_is_said(run_cli, first, workdir, binary):
    """Whoever resumes with a newer program averages over both."""
    write = first()
    assert "builds of rollouts" not in run_cli("summarize", "bench", check=0).stdout
    beside = (binary.parent / "rollouts-trial").exists()
    other = workdir / "other"
    if beside:
        other.mkdir()
        for path in binary.parent.iterdir():
            if path.is_file() and path.name.startswith("rollouts"):
                shutil.copy(path, other)
            else:
                (other / path.name).symlink_to(path)
    else:
        shutil.copytree(binary.parents[1], other)
    worker = next(other.glob("**/rollouts-trial"))
    before, note, after = worker.read_bytes().partition(b"\3\0\0\0GNU\0")  # the linker's build id comes behind it
    assert note
    worker.write_bytes(before + note + bytes([after[0] ^ 1]) + after[1:])
    write(rollouts=2)
    subprocess.run([other / binary.relative_to(binary.parent if beside else binary.parents[1]), "resume", "bench", "--config",
                    "bench.toml"], cwd=workdir, check=True, env=clean_env(workdir, None, None), capture_output=True)
    assert "The results were made by different builds of rollouts: 0." in run_cli("summarize", "bench", check=0).stdout


def test_first_tries_are_compared(run_cli, make_task, make_bench, agent_script, rollout):
    tasks = [make_task(name, tests=ONE, rubrics=RUBRICS) for name in ("ta", "tb")]
    make_bench(*tasks, agent=agent_script("exit 3\n", collect=[]), models=["acme-1", "acme-2"])
    run_cli("run", "bench.toml", check=0)
    plan = rollout().dir / "plan.json"
    plan.write_text(plan.read_text().replace("exit 3\\n", "test $MODEL = acme-2 || touch ok\\n"))
    run_cli("resume", "bench", "--retry", "agent_error", check=0)
    doc = json.loads(run_cli("compare", "bench", "--json").stdout)
    text = run_cli("compare", "bench").stdout
    assert "rerun because of an outcome (resume --retry): the first tries are compared" in text
    assert [s["replaced"] for s in doc["sides"]] == [2, 2] and [s["mean"] for s in doc["sides"]] == [0, 0]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What people meet who do something slightly different from the examples."""
import re
import shlex
import shutil
import subprocess

import pytest

from conftest import SOURCE

BENCH = """
parallel = 2
[[tasks]]
prepared_dir = "tasks/one"
agent = "nop"
"""


@pytest.fixture
def bench(workdir, make_task):
    make_task("one")
    (workdir / "bench.toml").write_text(BENCH)
    return "bench.toml"


def path_without(workdir, missing):
    """A folder with what a run needs, but for one program."""
    folder = workdir / ("without-" + missing)
    folder.mkdir()
    for name in {"bash", "sh", "env", "git", "bwrap"} - {missing}:
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


@pytest.mark.parametrize("missing, package", [("bwrap", "bubblewrap"), ("git", "git")])
def test_a_missing_program_is_told_once_and_before_anything_starts(run_cli, workdir, bench, missing, package):
    env = {"PATH": path_without(workdir, missing)}
    done = run_cli("run", bench, env=env, check=3)
    assert done.stderr == (f"rollouts: {missing} is not on PATH: install the package {package}, then see: "
                           "rollouts doctor\n")
    assert done.stdout == ""
    assert not (workdir / "data/rollouts/bench").exists()
    run_cli("run", bench, "--sandbox", "none", env=env, check=2)


def test_without_a_sandbox_no_program_is_needed(run_cli, workdir, bench):
    (workdir / bench).write_text(BENCH + 'sandbox = "none"\nevaluate = false\n')
    run_cli("run", bench, env={"PATH": path_without(workdir, "bwrap")}, check=0)


def test_commands_to_paste_survive_a_shell(run_cli, workdir, bench):
    (workdir / bench).write_text('name = "it\'s a b"\n' + BENCH)
    done = run_cli("run", bench, "--data-dir", "my data", check=0)
    line = next(l for l in done.stdout.splitlines() if l.startswith("[rollouts] details: "))
    assert "summarize 'it'\\''s a b' --rollout " in line and line.endswith(" --data-dir 'my data'")


def test_a_reservation_larger_than_the_machine_is_mentioned(run_cli, workdir, bench):
    (workdir / bench).write_text(BENCH + "cpus = 4000\n")
    out = run_cli("run", bench, check=0).stdout.splitlines()
    start = next(i for i, l in enumerate(out) if l.startswith("[rollouts] Starting"))
    assert "[rollouts] task one reserves more than this machine has" in "\n".join(out[2:start])


def test_help_of_help_and_unknown_options(run_cli):
    assert run_cli("help", "help", check=0).stdout == run_cli("help", check=0).stdout
    done = run_cli("--versio", check=2)
    assert done.stderr == 'rollouts: unknown option "--versio"; see: rollouts help\n'


def test_no_table_ends_in_blanks(run_cli, bench):
    run_cli("run", bench, check=0)
    for argv in (["list"], ["summarize", "bench"]):
        for line in run_cli(*argv, check=0).stdout.splitlines():
            assert line == line.rstrip()


def test_an_empty_path_is_one_mistake(run_cli, workdir):
    (workdir / "b.toml").write_text('[[tasks]]\nprepared_dir = ""\nagent = "nop"\noverrides = ""\n')
    done = run_cli("validate", "b.toml", check=2)
    assert done.stderr.splitlines() == ['b.toml:2:16: prepared_dir: "" must not be empty',
                                        'b.toml:4:13: overrides: "" must not be empty']


VERBS = ("init", "run", "resume", "eval", "config", "validate", "summarize", "compare", "show", "list", "tag", "clean", "doctor")


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_in_the_manual_and_in_the_documents(run_cli, verb):
    manual = (SOURCE / "man/rollouts.1").read_text()
    documents = "".join(p.read_text() for p in [*SOURCE.glob("docs/*.md"), SOURCE / "README.md"])
    options = re.findall(r"^ +(?:-\w, )?--([a-z-]+)", run_cli("help", verb, check=0).stdout, re.M)
    assert options
    for option in options:
        assert f"-{option}" in manual, option
        assert f"--{option}" in documents or option == "verbose", option


def listing(top):
    return {p.relative_to(top): p.read_bytes() if p.is_file() else None for p in top.rglob("*")}


def test_a_dry_resume_writes_nothing(run_cli, workdir, bench):
    run_cli("run", bench, check=0)
    (workdir / bench).write_text(BENCH + "rollouts = 3\n")
    before = listing(workdir / "data")
    done = run_cli("resume", "bench", "--config", bench, "--dry-run", check=0)
    assert "2 of 3 trials to do" in done.stdout
    assert re.search(r"^\d{8}__\d\d-\d\d-\d\d-2  run$", done.stdout, re.M)
    assert listing(workdir / "data") == before
    run_cli("resume", "bench", "--config", bench, check=0)


@pytest.mark.parametrize("argv", [["--version"], ["help"], ["list"], ["summarize", "bench"], ["config", "bench.toml"]])
def test_output_that_gets_lost_is_no_success(run_cli, bench, argv):
    run_cli("run", bench, check=0)
    with open("/dev/full", "w") as full:
        done = run_cli(*argv, stdout=full, check=3)
    assert "standard output" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_closed_standard_output_writes_into_no_file(binary, workdir, bench):
    command = f"cd {workdir}; exec {binary} run {bench} >&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 0
    for file in (workdir / "data/rollouts").rglob("*"):
        if file.is_file():
            assert b"[rollouts]" not in file.read_bytes(), file


def test_a_sweep_ends_with_a_line_for_each_setting(run_cli, workdir, bench):
    task = '[[tasks]]\nprepared_dir = "tasks/one"\nagent = "nop"\nmodel = "gpt-4"\n'
    (workdir / bench).write_text(
        task + 'environment_variables = { "TIMEOUT_SEC" = "1800" }\n' +
        task + 'environment_variables = { "TIMEOUT_SEC" = "3600" }\n')
    scores = [l for l in run_cli("run", bench, check=0).stdout.splitlines() if "score" in l]
    assert [l.split(": ")[0] for l in scores] == [
        "[rollouts] score of gpt-4, TIMEOUT_SEC=1800", "[rollouts] score of gpt-4, TIMEOUT_SEC=3600"]


def test_what_init_suggests_can_be_pasted(run_cli, workdir):
    for argv in (["init", "my bench.toml"], ["init", "--task", "my tasks/o'ne"]):
        last = run_cli(*argv, check=0).stdout.splitlines()[-1]
        word = shlex.split(last.removeprefix("Next: "))[-1]
        assert word == argv[-1]
    run_cli("validate", "my tasks/o'ne", check=0)


def test_a_timeout_is_shown_as_it_counts(run_cli, workdir, bench):
    assert run_cli("run", bench, "-t", "0.5", "--dry-run", check=0).stdout.endswith("timeout 0.5s\n")
    (workdir / bench).write_text(BENCH + 'environment_variables = { TIMEOUT_SEC = "60" }\n')
    lines = run_cli("config", bench, "-t", "9", check=0).stdout.splitlines()
    shown = [l for l in lines if "TIMEOUT_SEC" in l or l.startswith("timeout_sec")]
    assert [re.sub(" +", " ", l) for l in shown] == [
        "timeout_sec = 9 # --timeout", 'environment_variables."TIMEOUT_SEC" = "9" # --timeout']


@pytest.mark.parametrize("path, why", [("gone.toml", "no such file; `rollouts init` writes one to start from"),
                                       (".", "cannot be read: "), ("/dev/zero", "cannot be read: ")])
def test_a_file_that_cannot_be_read_is_one_line_with_its_cause(run_cli, path, why):
    done = run_cli("run", path, check=2)
    assert done.stderr.startswith(f"{path}: {why}") and len(done.stderr.splitlines()) == 1
    assert not done.stderr.endswith(": \n")


def test_scoring_results_hold_names_that_can_be_copied(run_cli, workdir, bench):
    run_cli("run", bench, check=0)
    [run] = (workdir / "data/runs").iterdir()
    assert f"- **Run ID:** {run.name}\n" in (run / "scoring_results.md").read_text()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed where: terminals that can do little, locales, names as people write them, files one may not read."""
import json
import os
import pty
import signal
import subprocess

import pytest
import stored
from conftest import become, clean_env, give_to
from stored import trial

PLAIN = {"LC_ALL": "C", "TERM": "xterm"}


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


@pytest.fixture
def bench(make_bench, make_task):
    """bench(**keys): two trials of an agent that does nothing."""
    def make(**keys):
        task = make_task()
        make_bench({"prepared_dir": task, "rollouts": 2}, **{"agent": "nop", "model": "m", "evaluate": False, **keys})
        return task
    return make


@pytest.fixture
def on_terminal(run_cli):
    """on_terminal(*args, env=): what a terminal is sent."""
    def run(*args, **more):
        ours, theirs = pty.openpty()
        run_cli(*args, stdout=theirs, check=0, **more)
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                piece = b""
            if not piece:
                os.close(ours)
                return text.decode()
            text += piece
    return run


def test_a_terminal_gets_what_it_can_show(on_terminal, bench):
    bench()
    assert "\x1b" in on_terminal("run", "bench.toml", env={"TERM": "xterm"})
    shown = on_terminal("run", "bench.toml", env={"TERM": "dumb"})
    assert "\x1b" not in shown and "⠋" not in shown and "✓ All 2 tasks completed!" in shown
    coloured = on_terminal("run", "bench.toml", env={"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b[3" not in coloured and "\x1b[1" not in coloured
    plain = on_terminal("run", "bench.toml", env=PLAIN)
    assert plain.isascii() and "+ All 2 tasks completed!" in plain


@pytest.mark.parametrize("env, ascii", [({"LC_ALL": "C"}, True), ({"LANG": "POSIX"}, True), ({"LC_CTYPE": "de_DE.ISO-8859-1"}, True),
                                        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, False), ({"LANG": "en_US.utf8"}, False)])
def test_a_locale_without_utf_8_gets_ascii(run_cli, data, env, ascii):
    stored.write(data, [trial("naïve", score=0.5), trial("b", outcome="infra_error", reason="no space — left")])
    env = {"LANG": "", "LC_CTYPE": "", **env}
    for verb in (["summarize", "bench"], ["list"], ["agents"], ["show", f"{stored.STAMP}-0"]):
        done = run_cli(*verb, env=env)
        assert done.stdout.isascii() == (ascii or done.stdout.isascii()), verb
    shown = run_cli("summarize", "bench", env=env, check=0).stdout
    assert ("na\\u00efve" in shown) == ascii and ("naïve" in shown) != ascii
    # What programs read is what it is.
    assert json.loads(run_cli("summarize", "bench", "--json", env=env, check=0).stdout)["tasks"][0]["task"] == "naïve"
    assert "naïve" in run_cli("summarize", "bench", "--csv", env=env, check=0).stdout
    assert "naïve" in run_cli("summarize", "bench", "--markdown", env=env, check=0).stdout


def test_a_benchmark_by_its_name_or_its_file(run_cli, bench, workdir):
    bench()
    (workdir / "configs").mkdir()
    text = (workdir / "bench.toml").read_text()
    (workdir / "configs/nightly.toml").write_text(text.replace('name = "bench"', 'name = "every_night"'))
    assert 'name = "every_night"' in (workdir / "configs/nightly.toml").read_text()
    for written in ("bench", "bench.toml", "nightly", "nightly.toml", "configs/nightly", "configs/nightly.toml"):
        assert "fine: " in run_cli("validate", written, check=0).stdout
    run_cli("config", "nightly", check=0)
    run_cli("run", "nightly", check=0)
    for written in ("every_night", "every_night.toml", "configs/nightly.toml", "data/rollouts/every_night"):
        run_cli("summarize", written, check=0)
    for verb in ("list", "resume", "eval"):
        run_cli(verb, "configs/nightly.toml", check=0)
    run_cli("tag", "configs/nightly.toml", "kept", check=0)
    run_cli("resume", "every_night", "--config", "nightly", check=0)


def test_a_benchmark_from_standard_input(run_cli, bench, workdir):
    bench()
    text = (workdir / "bench.toml").read_text()
    (workdir / "bench.toml").unlink()
    assert "All 2 tasks completed!" in run_cli("run", "-", input=text, check=0).stdout
    assert (next((workdir / "data/rollouts/bench").iterdir()) / "config.toml").read_text() == text
    nameless = run_cli("run", "-", input=text.replace('name = "bench"', ""), check=2).stderr
    assert "standard input needs a name" in nameless


@pytest.mark.parametrize("args", [["run", "bench.toml", "--tag", ""], ["run", "bench.toml", "--agent="], ["run", "bench.toml", "--model", ""],
                                  ["run", "bench.toml", "--only="], ["summarize", "bench", "--rollout", ""], ["list", "--data-dir", ""],
                                  ["run", ""], ["resume", "bench", "--config", ""]])
def test_an_empty_value_says_nothing(run_cli, bench, workdir, args):
    bench()
    said = run_cli(*args, check=2).stderr
    assert "empty" in said
    assert not (workdir / "data").exists()


def test_what_may_not_be_read_is_there(binary, workdir, data, ordinary_user):
    stored.write(data, [trial(score=1)])
    user = ordinary_user if os.geteuid() == 0 else None
    if user:
        give_to(user, workdir)

    def run(*args):
        return subprocess.run([binary, *args], cwd=workdir, text=True, capture_output=True, env=clean_env(workdir, user, {}), **become(user))
    assert run("summarize", "bench").returncode == 0
    for folder, args in ((data / "runs", ["show", stored.STAMP]), (data / f"rollouts/bench/{stored.STAMP}", ["summarize", "bench"]),
                         (data / "rollouts/bench", ["summarize", "bench"])):
        mode = folder.stat().st_mode
        folder.chmod(0)
        done = run(*args)
        folder.chmod(mode)
        assert done.returncode == 3 and "Permission denied" in done.stderr, done.stderr


def test_notes_that_are_none(run_cli, data):
    stored.write(data, [trial(score=1)])
    notes = data / f"runs/{stored.STAMP}-0/attempts/1/artifacts/notes.md"
    notes.write_text("")
    done = run_cli("show", f"{stored.STAMP}-0", "notes", check=0)
    assert done.stdout == "" and "the agent left no notes" in done.stderr


def test_doctor_tries_the_data_folder(run_cli, workdir):
    def data_folder(*more):
        doc = json.loads(run_cli("doctor", "--json", *more).stdout)
        return next(c for c in doc["checks"] if c["check"] == "data folder")
    assert data_folder()["state"] == "ok" and not (workdir / "data").exists()
    (workdir / "data").mkdir()
    (workdir / "data/runs").write_text("a file\n")
    assert data_folder()["state"] == "failed" and "data/runs" in data_folder()["detail"]
    lines = run_cli("doctor").stdout.splitlines()
    assert sum("not installed" in line for line in lines) == 1
    assert any("built in: bash, oracle, nop" in line for line in lines)


def test_agents_says_what_is_built_in(run_cli):
    shown = run_cli("agents", check=0).stdout.splitlines()
    for name, words in (("bash", "any model"), ("oracle", "own solution"), ("nop", "changes nothing")):
        assert any(line.startswith(name) and words in line for line in shown)


def test_after_an_interrupt_there_is_no_estimate(start_cli, bench, make_bench, make_task, agent_script, workdir):
    """What is planned and will not be run takes no time."""
    make_bench({"prepared_dir": make_task(), "rollouts": 40}, parallel=2, evaluate=False, model="m",
               agent=agent_script("sleep 0.3\n", collect=[]))
    run = start_cli("run", "bench.toml", "-v")
    assert any("left" in line for line in run.stdout), "there is an estimate while it goes on"
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=60)
    after = out.partition("interrupt")[2]
    assert after and "left\n" not in after


def test_new_files_that_a_diff_leaves_out_are_told(run_cli, make_task, make_bench, agent_script):
    agent = agent_script("head -c 3000000 /dev/urandom > big.bin; echo build > .gitignore; mkdir build; touch build/x\n", collect=[])
    make_bench(make_task(), agent=agent, model="m", diff_mb=4)
    said = "New files that diffs leave out, and no test saw: of 1 trial for their size or kind, of 1 by .gitignore"
    assert said in run_cli("run", "bench.toml").stdout
    assert said in " ".join(run_cli("summarize", "bench", check=0).stdout.split())

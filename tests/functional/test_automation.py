# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/*.sh as cron starts them: one at a time, resuming what was left, silent while nothing changes."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import SOURCE, put, wait_for
from test_run import binary, fake_bench  # noqa: F401 (fixtures)

SCRIPT = SOURCE / "scripts/run_nightly_benchmark.sh"
TASKS = 8


class Nightly:
    """The script, with nothing in its environment but what is told: no PATH, no HOME, no locale."""

    def __init__(self, binary, workdir, make_task, make_bench):
        self.binary, self.workdir, self.make_task, self.make_bench = binary, workdir, make_task, make_bench
        self.state = workdir / "data/automation"
        self.started = []

    def bench(self, scores=(1,) * TASKS, name="nightly", rollouts=1, **env):
        entries = [{"prepared_dir": self.workdir / f"tasks/t{i}" if (self.workdir / f"tasks/t{i}").exists() else self.make_task(f"t{i}"),
                    "rollouts": rollouts, "environment_variables": {"FAKE_SCORE": str(s), **env}} for i, s in enumerate(scores)]
        self.make_bench(*entries, name=name, file=f"configs/{name}.toml", sandbox="none", evaluate=False, retries=0, parallel=2)

    def begin(self, *args, script=SCRIPT, **env):
        env = {"BENCHMARK_DIR": str(self.workdir), "BENCHMARK_PROGRAM": str(self.binary), "TMPDIR": str(self.workdir / "tmp"), **env}
        child = subprocess.Popen([script, *(args or ("configs/nightly.toml",))], env=env, cwd="/", stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.started.append(child)
        return child

    def __call__(self, *args, check=0, **env):
        child = self.begin(*args, **env)
        out, err = child.communicate(timeout=120)
        assert child.returncode == check, (child.returncode, out, err, self.log())
        return out, err

    def status(self, name="nightly"):
        path = self.state / f"{name}.status"
        return dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}

    def rollouts(self, name="nightly"):
        return sorted(p.name for p in (self.workdir / "data/rollouts" / name).glob("2*"))

    def log(self):
        logs = sorted((self.state / "logs").glob("*.log")) if self.state.exists() else []
        return logs[-1].read_text() if logs else ""


@pytest.fixture
def nightly(binary, workdir, make_task, make_bench):
    made = Nightly(binary, workdir, make_task, make_bench)
    yield made
    for child in made.started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_says_something_only_when_something_changed(nightly, run_cli, workdir):
    nightly.bench()
    out, err = nightly()
    assert out.startswith("Benchmark nightly: complete; no baseline\n") and err == ""
    assert "8 planned: 8 scored, 0 missing" in out and "tag configs/nightly.toml baseline --rollout" in out
    status = nightly.status()
    assert status["state"] == "ended" and status["exit"] == "0" and status["rollout"] == nightly.rollouts()[-1]
    assert (workdir / status["log"]).exists() and (workdir / status["report"]).exists() and status["ended"] >= status["begun"]
    assert nightly() == ("", "")
    # The command that the message gave is one that works; the same scores again are no news after the first.
    run_cli(*re.search(r"(tag \S+ baseline --rollout \S+)", out)[1].split(), check=0)
    assert "not decided" in nightly()[0] and nightly() == ("", "")
    # Tasks that always were solved and now never are, and a verdict.
    nightly.bench((0, 0, 0, 0, 0, 0, 0, 0))
    out, _ = nightly()
    assert "complete; worse; lost: t0, t1, t2" in out and "Before: complete; not decided" in out and "Verdict" in out
    assert nightly() == ("", "") and nightly.status()["verdict"] == "worse"
    # Better again: that is news, too.
    nightly.bench()
    assert "not decided" in nightly()[0]
    assert len(nightly.rollouts()) == 7 and not list(nightly.state.glob("*.new"))


def test_the_gate_decides_the_exit_status(nightly, run_cli):
    nightly.bench()
    nightly()
    run_cli("tag", "nightly", "baseline", check=0)
    nightly.bench((0,) * TASKS)
    out, _ = nightly(BENCHMARK_MARGIN="0.05", check=1)
    assert "gate: fail" in out and nightly.status()["gate"] == "fail" and nightly.status()["exit"] == "0"
    assert nightly(BENCHMARK_MARGIN="0.05", check=1) == ("", "")
    # Another tag to compare with, which there is not.
    assert "no baseline" in nightly(BENCHMARK_BASELINE="release")[0]


def test_two_at_once(nightly, workdir):
    nightly.bench(FAKE_HOLD="agent")
    first = nightly.begin()
    wait_for(lambda: nightly.rollouts() if (workdir / "data/rollouts/nightly").exists() else None)
    out, err = nightly()
    assert "still at work" in out and err == "" and nightly() == ("", "")
    assert nightly.status()["state"] == "running"
    (workdir / "data/go").touch()
    assert "complete; no baseline" in first.communicate(timeout=60)[0] and first.returncode == 0
    assert len(nightly.rollouts()) == 1


@pytest.mark.parametrize("whom", ["the script in order", "everything at once"])
def test_what_was_left_is_finished(nightly, workdir, whom):
    nightly.bench(FAKE_HOLD="agent")
    first = nightly.begin()
    wait_for(lambda: len(list(workdir.glob("data/runs/*/attempts/1/agent.json"))) or '"phase":"agent"' in "".join(
        p.read_text() for p in workdir.glob("data/rollouts/nightly/*/events.jsonl")))
    if whom == "everything at once":  # as a machine that is switched off
        os.killpg(first.pid, signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    else:
        first.terminate()
        out, _ = first.communicate(timeout=60)
        assert first.returncode == 130 and out == "" and nightly.status()["exit"] == "130"
    (workdir / "data/go").touch()

    def again():
        out, _ = nightly()
        return "still at work" not in out and out

    # Workers of a supervisor that was killed may be about to end.
    out = wait_for(again, timeout=60, interval=0.5)
    assert "complete; no baseline" in out
    # Begun today: it is tonight's, and no second one is paid for.
    assert len(nightly.rollouts()) == 1 and nightly.status()["rollout"] == nightly.rollouts()[0]


def test_a_script_that_is_killed_leaves_its_run_locked(nightly, workdir):
    nightly.bench(FAKE_HOLD="agent")
    first = nightly.begin()
    wait_for(lambda: nightly.rollouts() if (workdir / "data/rollouts/nightly").exists() else None)
    first.kill()
    first.wait()
    assert "still at work" in nightly()[0] and len(nightly.rollouts()) == 1
    (workdir / "data/go").touch()
    wait_for(lambda: "still at work" not in nightly()[0], timeout=60, interval=0.5)


def test_what_cannot_be_finished_is_left_alone(nightly, workdir):
    nightly.bench(scores=(1, 1), FAKE_OUTCOME="infra_error", FAKE_FOR_GOOD="1")
    out, _ = nightly(check=1)
    assert "trials are missing" in out and "resume configs/nightly.toml --rollout" in out
    stamp = nightly.rollouts()[0]
    for tries in (1, 2):
        nightly(check=1, BENCHMARK_RESUMES="2")
        assert (nightly.state / "nightly.tries").read_text().split() == [stamp, str(tries)]
    nightly(check=1, BENCHMARK_RESUMES="2")
    assert len(nightly.rollouts()) == 2 and "left alone" in nightly.log()


def test_a_command_is_told_and_asked_again_when_it_fails(nightly, workdir):
    nightly.bench(scores=(1,))
    out, err = nightly(BENCHMARK_NOTIFY="exit 7", check=3)
    assert out == "" and "BENCHMARK_NOTIFY failed (7)" in err
    out, err = nightly(BENCHMARK_NOTIFY=f"cat >{workdir}/mail; echo \"$1\" >{workdir}/subject")
    assert (out, err) == ("", "") and (workdir / "mail").read_text().startswith("Benchmark nightly: complete")
    assert (workdir / "subject").read_text() == "Benchmark nightly: complete; no baseline\n"


def test_logs_are_kept_for_a_while(nightly, workdir):
    nightly.bench(scores=(1,))
    for _ in range(4):
        nightly(BENCHMARK_KEEP_LOGS="2")
    logs = list((nightly.state / "logs").glob("nightly-*.log"))
    assert len(logs) == 2 and workdir / nightly.status()["log"] in logs


def test_settings_and_mistakes(nightly, workdir):
    nightly.bench(scores=(1,))
    put(workdir / "configs/nightly.env", "BENCHMARK_BASELINE=release\n")
    (workdir / "configs/nightly.env").chmod(0o644)
    assert "chmod 600" in nightly(check=2)[1]
    (workdir / "configs/nightly.env").chmod(0o600)
    assert "tag configs/nightly.toml release" in nightly()[0]
    for args, env, words in ((("configs/no.toml",), {}, "configs/no.toml does not exist"), (("nightly",), {}, "a benchmark file"),
                             ((), {"BENCHMARK_KEEP_LOGS": "many"}, "many"), ((), {"BENCHMARK_ENV": "no.env"}, "no.env does not exist"),
                             ((), {"BENCHMARK_PROGRAM": "/no/rollouts"}, "/no/rollouts cannot be run")):
        out, err = nightly(*args, check=3 if "BENCHMARK_PROGRAM" in env else 2, **env)
        assert words in out + err
    # A mistake in the benchmark is told with rollouts' own words.
    put(workdir / "configs/bad.toml", 'name = "bad"\nparalel = 2\n')
    out, _ = nightly("configs/bad.toml", check=2)
    assert "did not run (exit status 2)" in out and "paralel" in out


def test_the_shipped_daily_benchmark(workdir):
    """As shipped: the script, its benchmark, and the example's tasks; for real."""
    real = SOURCE / os.environ.get("ROLLOUTS_BUILD", "build") / "rollouts"
    shutil.copytree(SOURCE / "configs", workdir / "repo/configs")
    shutil.copytree(SOURCE / "examples", workdir / "repo/examples")
    shutil.copytree(SOURCE / "scripts", workdir / "repo/scripts")
    os.symlink(workdir / "repo/scripts/daily_benchmark.sh", workdir / "daily")
    done = subprocess.run([workdir / "daily"], env={"BENCHMARK_PROGRAM": str(real.resolve())}, cwd="/", capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0 and done.stderr == "", (done.stdout, done.stderr)
    assert "6 planned: 6 scored" in done.stdout and list((workdir / "repo/data/rollouts/daily_benchmark").glob("2*"))
    for name in ("nightly_benchmark", "model_comparison"):
        done = subprocess.run([real, "validate", workdir / f"repo/configs/{name}.toml"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_units_of_the_page_are_ones():
    units = re.search(r"```ini\n(.*?)```", (SOURCE / "docs/automation.md").read_text(), re.S)[1]
    for line in units.splitlines():
        assert re.fullmatch(r"(#.*|\[(Unit|Service|Timer|Install)\]|[A-Z]\w+=.*)?", line), line
    assert units.count("run_nightly_benchmark.sh") == 1 and "Persistent=true" in units


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here (tools/setup lint)")
def test_shellcheck_has_nothing_to_say():
    done = subprocess.run(["shellcheck", *(SOURCE / "scripts").glob("*.sh")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_was_written_between_two_runs(nightly, run_cli, workdir):
    nightly.bench(scores=(1, 0))
    run_cli("run", "configs/nightly.toml", check=0)  # without a CHANGES
    put(workdir / "configs/CHANGES.md", "# v1\n- first *tasks*\n\n")
    run_cli("run", "configs/nightly.toml", "--tag", "v1", check=0)
    put(workdir / "configs/CHANGES.md", "# v2\n- the timeout is 1800 s \x1b[31m|\n# v1\n- first *tasks*\n")
    run_cli("run", "configs/nightly.toml", "--tag", "v2", check=0)
    first, second, third = nightly.rollouts()
    assert (workdir / f"data/rollouts/nightly/{third}/CHANGES").read_text() == (workdir / "configs/CHANGES.md").read_text()
    said = run_cli("compare", "nightly@v2", "nightly@v1", check=0).stdout
    part = said[said.index(f"Written between {second} and {third}"):said.index("Verdict")]
    assert "# v2" in part and "- the timeout is 1800 s \\x1b[31m|" in part and "# v1" not in part and "first" not in part
    back = run_cli("compare", "nightly@v1", "nightly@v2", check=0).stdout
    assert "CHANGES of the baseline, what the candidate's does not say" in back
    assert "Written between" not in run_cli("compare", f"nightly@{third}", f"nightly@{first}", "--json", check=0).stdout
    for other, lines in (("v1", ["# v2", "- the timeout is 1800 s \x1b[31m|"]), (first, 4)):
        found = json.loads(run_cli("compare", "nightly@v2", f"nightly@{other}", "--json", check=0).stdout)["comparisons"][0]["changes"]
        assert found == lines or len(found) == lines
    page = run_cli("report", "nightly@v2", "nightly@v1", "-o", "-", check=0).stdout
    assert "- the timeout is 1800 s \\x1b[31m|" in page
    # A benchmark whose CHANGES cannot be read is not run without it; a folder of that name is none.
    (workdir / "configs/CHANGES").mkdir()
    run_cli("run", "configs/nightly.toml", check=0)
    # It travels with its rollout.
    run_cli("pack", "nightly", "-o", "n.tar", "--rollout", "v2", check=0)
    run_cli("unpack", "n.tar", "--data-dir", "elsewhere", check=0)
    assert (workdir / f"elsewhere/rollouts/nightly/{third}/CHANGES").exists()

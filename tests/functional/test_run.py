# SPDX-License-Identifier: GPL-3.0-or-later
"""`run` with a worker that only pretends (tests/fake): queue, retries, screen, files, interrupts."""
import fcntl
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from conftest import read_rollout, wait_for

FAKE = Path(__file__).resolve().parents[1] / "fake/rollouts-trial"


@pytest.fixture
def binary(binary, workdir):
    """The program with the pretending worker beside it."""
    (workdir / "bin").mkdir()
    shutil.copy(FAKE, workdir / "bin/rollouts-trial")
    return Path(shutil.copy(binary, workdir / "bin/rollouts"))


@pytest.fixture
def fake_bench(make_task, make_bench):
    """fake_bench(rollouts, env={...}, ...): a benchmark of one task for the pretending worker."""
    def make(rollouts=3, env=None, task="greet", more=(), **top):
        top = {"sandbox": "none", "evaluate": False, "retries": 0, "parallel": 2, **top}
        folder = make_task(task)
        entry = {"prepared_dir": folder, "rollouts": rollouts, "environment_variables": env or {}}
        return make_bench(entry, *more, **top)

    return make


def lines(done):
    return done.stdout.splitlines()


def starts(workdir, data="data"):
    path = workdir / data / "agent-starts"
    return path.read_text().splitlines() if path.exists() else []


def test_screen_and_tree_are_the_specs(run_cli, fake_bench, workdir, account):
    fake_bench(3, name="your_benchmark", file="configs/your_benchmark.toml", env={"FAKE_SCORE": "0.5"})
    done = run_cli("run", "configs/your_benchmark.toml", check=0)
    r = read_rollout(workdir / "data", "your_benchmark")
    stamp = r.dir.name
    assert re.fullmatch(r"\d{8}__\d\d-\d\d-\d\d", stamp)
    out = lines(done)
    assert out[:5] == [
        "[rollouts] config=configs/your_benchmark.toml name=your_benchmark tasks=3 parallel=2",
        f"[rollouts] output=data/rollouts/your_benchmark/{stamp}",
        "[rollouts] Running in quiet mode - use -vv for full output",
        "[rollouts] Starting 3 tasks with parallel=2",
        "Running tasks... 0/3 completed"]
    assert sorted(out[5:8]) == [f"✓ Task {stamp}-{i} completed (launched)" for i in range(3)]
    assert out[8] == "✓ All 3 tasks completed!"
    assert all(line.startswith("[rollouts] ") for line in out[9:])
    assert "\x1b" not in done.stdout and done.stderr == ""
    for name in ("manifest.json", "runs.txt", "events.jsonl", "plan.json", "config.toml"):
        assert (r.dir / name).is_file()
    assert (r.dir / "config.toml").read_text() == (workdir / "configs/your_benchmark.toml").read_text()
    assert sorted(p.name for p in (r.dir / "task_results").iterdir()) == [f"{stamp}-{i}.json" for i in range(3)]
    assert (r.dir / "runs.txt").read_text() == "".join(f"data/runs/{stamp}-{i}\n" for i in range(3))
    temp = json.loads((workdir / f"data/rollouts/temp/rollout_your_benchmark__{stamp}.json").read_text())
    assert temp["created_at"] == stamp and len(temp["runs"]) == 3
    assert r.manifest["config"] == "configs/your_benchmark.toml"
    assert (r.manifest["name"], r.manifest["created_at"], r.manifest["state"]) == ("your_benchmark", stamp, "complete")
    for row in r.manifest["results"]:
        assert (row["status"], row["launch_rc"], row["outcome"], row["total_score"]) == ("launched", 0, "completed", 0.5)
    for path in (workdir / "data/runs").iterdir():
        assert path.stat().st_mode & 0o777 == 0o700


SNIPPET = '''
import json
from pathlib import Path

# Load benchmark results
rollout_dir = Path("data/rollouts/your_benchmark/20250824__12-34-56")
manifest = json.loads((rollout_dir / "manifest.json").read_text())

# Analyze results
for result in manifest["results"]:
    run_dir = Path(result["run_dir"])
    if (run_dir / "evaluation_results.json").exists():
        eval_data = json.loads((run_dir / "evaluation_results.json").read_text())
        print(f"Task: {result['task_dir']}")
        print(f"Score: {eval_data.get('total_score', 'N/A')}")
        print("---")
'''


def test_the_specs_analysis_runs_unchanged(run_cli, fake_bench, workdir, rollout):
    fake_bench(2, name="your_benchmark", env={"FAKE_SCORE": "0.25"})
    run_cli("run", "bench.toml", check=0)
    r = rollout("your_benchmark")
    code = SNIPPET.replace("20250824__12-34-56", r.dir.name)
    done = subprocess.run([sys.executable, "-c", code], cwd=workdir, capture_output=True, text=True, check=True)
    assert done.stdout == 2 * f"Task: {workdir}/tasks/greet\nScore: 0.25\n---\n"


def test_verbose_modes(run_cli, fake_bench):
    fake_bench(2)
    plain = lines(run_cli("run", "bench.toml", "-v", check=0))
    assert not any("quiet mode" in line or "✓" in line for line in plain)
    assert sum(bool(re.fullmatch(r"Task \S+ completed \(launched\)", line)) for line in plain) == 2
    assert "All 2 tasks completed!" in plain
    full = run_cli("run", "bench.toml", "-vv", check=0).stdout
    assert re.search(r"^\[\d{8}__\d\d-\d\d-\d\d-0\] phase agent$", full, re.M)
    assert re.search(r"^\[\d{8}__\d\d-\d\d-\d\d-0\] hello .*red$", full, re.M)
    assert re.search(r"^\[\d{8}__\d\d-\d\d-\d\d-0\] second$", full, re.M)
    assert "\x1b" not in full


def test_json_is_the_journal(run_cli, fake_bench, rollout):
    fake_bench(2)
    done = run_cli("run", "bench.toml", "--json", check=0)
    assert done.stdout == (rollout().dir / "events.jsonl").read_text()
    for line in lines(done):
        body, crc = line.rsplit(',"crc":"', 1)
        assert crc == f'{zlib.crc32(body.encode()):08x}"}}'
        json.loads(line)


def test_terminal_has_a_spinner_that_leaves_no_trace(start_cli, fake_bench, workdir):
    fake_bench(2, env={"FAKE_HOLD": "agent"})
    master, slave = pty.openpty()
    child = start_cli("run", "bench.toml", stdout=slave, stderr=slave, text=False)
    os.close(slave)
    seen = b""
    while "⠙ Running tasks... 0/2 completed".encode() not in seen:
        seen += os.read(master, 4096)
    (workdir / "data/go").touch()
    assert child.wait(20) == 0
    try:
        while piece := os.read(master, 4096):
            seen += piece
    except OSError:
        pass  # Linux: EIO once the other side is closed
    os.close(master)
    text = seen.decode()
    assert "⠋ Running tasks... 0/2 completed" in text
    shown = [part.rsplit("\r\x1b[K", 1)[-1] for part in text.split("\r\n")]
    assert not any("Running tasks" in line for line in shown)
    assert "✓ All 2 tasks completed!" in shown


def test_an_infra_error_is_retried_and_earlier_attempts_are_kept(run_cli, fake_bench, workdir, rollout):
    fake_bench(1, env={"FAKE_OUTCOME": "infra_error", "FAKE_HEAL": "2"}, retries=1)
    run_cli("run", "bench.toml", check=0)
    r = rollout()
    ends = [(e["attempt"], e["outcome"]) for e in r.events if e["event"] == "finished"]
    assert ends == [(1, "infra_error"), (2, "completed")]
    run = workdir / r.manifest["results"][0]["run_dir"]
    assert json.loads((run / "attempts/1/result.json").read_text())["outcome"] == "infra_error"
    # The agent's work was committed by the first attempt: it is not bought twice.
    assert starts(workdir) == [f"{r.dir.name}-0 1"]


def test_what_would_fail_again_is_not_tried_again(run_cli, fake_bench, rollout):
    fake_bench(1, env={"FAKE_OUTCOME": "infra_error", "FAKE_FOR_GOOD": "1"}, retries=2)
    run_cli("run", "bench.toml", check=1)
    assert [e["attempt"] for e in rollout().events if e["event"] == "finished"] == [1]


def test_a_waiting_retry_holds_no_slot(run_cli, fake_bench, workdir, rollout, make_task):
    other = {"prepared_dir": make_task("other"), "rollouts": 3}
    fake_bench(1, env={"FAKE_OUTCOME": "infra_error", "FAKE_HEAL": "2"}, retries=1, parallel=1, more=[other])
    run_cli("run", "bench.toml", check=0)
    runs = [(e["run"][-1], e["attempt"]) for e in rollout().events if e["event"] == "started"]
    assert runs.index((runs[0][0], 2)) > 1, runs  # others went on while it waited, how many is the machine's matter


def test_infra_errors_are_missing_and_exit_1(run_cli, fake_bench, rollout):
    fake_bench(2, env={"FAKE_OUTCOME": "infra_error", "FAKE_REASON": "no \x1b[2Jdisk"})
    done = run_cli("run", "bench.toml", check=1)
    r = rollout()
    assert f"✗ Task {r.dir.name}-0 completed (launch_failed): infra_error: no " in done.stdout
    assert "✗ 0 of 2 tasks completed, 2 missing" in lines(done)
    assert any("rollouts resume bench" in line for line in lines(done))
    assert "\x1b" not in done.stdout
    for row in r.manifest["results"]:
        assert (row["status"], row["launch_rc"], row["total_score"]) == ("launch_failed", 1, None)
    assert r.manifest["state"] == "incomplete"


def test_a_result_with_another_outcome_counts(run_cli, fake_bench, rollout):
    fake_bench(1, env={"FAKE_OUTCOME": "timeout", "FAKE_REASON": "30m are over", "FAKE_SCORE": "1"})
    done = run_cli("run", "bench.toml", check=0)
    assert f"✗ Task {rollout().dir.name}-0 completed (launched): timeout: 30m are over" in lines(done)
    assert "✗ All 1 task completed, 1 failed" in lines(done)


def test_marks_and_the_last_line_tell_what_became_of_it(run_cli, fake_bench, rollout, make_task):
    other = {"prepared_dir": make_task("other"), "environment_variables": {"FAKE_OUTCOME": "completed"}}
    fake_bench(2, env={"FAKE_OUTCOME": "agent_error", "FAKE_REASON": "it fell over"}, more=[other])
    out = lines(run_cli("run", "bench.toml", check=0))
    assert sum(line.startswith("✗ Task ") and line.endswith("(launched): agent_error: it fell over") for line in out) == 2
    assert sum(line.startswith("✓ Task ") for line in out) == 1
    assert "✗ All 3 tasks completed, 2 failed" in out


def test_five_failures_for_one_reason_pause_the_run(run_cli, fake_bench, rollout):
    fake_bench(40, env={"FAKE_OUTCOME": "infra_error", "FAKE_REASON": "port 4711 is taken"})
    done = run_cli("run", "bench.toml", check=3)
    paused = next(i for i, line in enumerate(lines(done)) if "paused" in line and "port 4711 is taken" in line)
    assert sum(line.startswith("✗") for line in lines(done)[:paused]) == 5
    assert any("rollouts resume bench" in line for line in lines(done))
    started = sum(e["event"] == "started" for e in rollout().events)
    assert 5 <= started <= 7


def test_different_reasons_do_not_pause(run_cli, fake_bench, make_task):
    other = {"prepared_dir": make_task("other"), "rollouts": 4,
             "environment_variables": {"FAKE_OUTCOME": "infra_error", "FAKE_REASON": "two"}}
    fake_bench(4, env={"FAKE_OUTCOME": "infra_error", "FAKE_REASON": "one"}, more=[other])
    assert "paused" not in run_cli("run", "bench.toml", check=1).stdout


def test_too_large_a_share_of_failures_pauses(run_cli, fake_bench, rollout):
    fake_bench(30, env={"FAKE_OUTCOME": "agent_error"}, parallel=1, fail_on_error=0.2)
    done = run_cli("run", "bench.toml", check=1)
    assert sum(e["event"] == "started" for e in rollout().events) == 10
    assert "paused: 10 of 10 trials failed, fail_on_error = 0.2" in done.stdout


def test_fail_fast(run_cli, fake_bench, rollout):
    fake_bench(10, env={"FAKE_OUTCOME": "agent_error"}, parallel=1)
    run_cli("run", "bench.toml", "--fail-fast", check=1)
    assert sum(e["event"] == "started" for e in rollout().events) == 1


def test_reservations_are_honoured(run_cli, fake_bench, rollout):
    # Each wants more than half of the host: never two at a time, though parallel allows it.
    fake_bench(3, parallel=3, cpus=os.cpu_count() * 0.6)
    run_cli("run", "bench.toml", check=0)
    running = 0
    for e in rollout().events:
        running += {"started": 1, "finished": -1}.get(e["event"], 0)
        assert running <= 1


def test_two_in_the_same_second_share_nothing(start_cli, fake_bench, workdir):
    fake_bench(2, name="one", file="one.toml")
    fake_bench(2, name="two", file="two.toml", task="other")
    both = [start_cli("run", f) for f in ("one.toml", "two.toml", "one.toml")]
    assert [child.wait(30) for child in both] == [0, 0, 0]
    rollouts = [p for name in ("one", "two") for p in (workdir / "data/rollouts" / name).iterdir()]
    assert len({p.name for p in rollouts}) == 3
    runs = [line for p in rollouts for line in (p / "runs.txt").read_text().split()]
    assert len(runs) == len(set(runs)) == 6


def test_dry_run_writes_nothing(run_cli, fake_bench, workdir):
    fake_bench(3)
    done = run_cli("run", "bench.toml", "--dry-run", check=0)
    assert len(lines(done)) == 4
    assert not (workdir / "data").exists()


def test_a_mistake_writes_nothing(run_cli, make_bench, workdir):
    make_bench({"prepared_dir": "nowhere"})
    run_cli("run", "bench.toml", check=2)
    assert not (workdir / "data").exists()


def test_a_missing_worker_is_said_before_anything_is_written(run_cli, fake_bench, workdir):
    fake_bench(1)
    (workdir / "bin/rollouts-trial").unlink()
    done = run_cli("run", "bench.toml", check=3)
    assert "rollouts-trial" in done.stderr and not (workdir / "data").exists()


def test_run_points_to_an_unfinished_one(run_cli, fake_bench, rollout):
    fake_bench(1, env={"FAKE_OUTCOME": "infra_error"})
    run_cli("run", "bench.toml", check=1)
    stamp = rollout().dir.name
    done = run_cli("run", "bench.toml", check=1)
    assert f"[rollouts] rollout {stamp} is unfinished; to go on with it: " \
           f"rollouts resume bench --rollout {stamp}" in lines(done)


def test_a_worker_past_its_deadline_is_killed(run_cli, fake_bench, rollout):
    fake_bench(1, env={"FAKE_LATE": "1"})
    began = time.monotonic()
    run_cli("run", "bench.toml", check=1, env={"ROLLOUTS_TEST_GRACE_MS": "1500"})
    assert 1.5 <= time.monotonic() - began < 10
    reason = rollout().manifest["results"][0]["reason"]
    assert "the agent phase went past its deadline" in reason


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_told_before_there_is_a_rollout(run_cli, fake_bench, workdir):
    fake_bench(2)
    small = workdir / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small], check=True)
    try:
        done = run_cli("run", "bench.toml", "--data-dir", "small/data", check=3)
        left = [path.name for path in (small / "data/runs").iterdir()]
    finally:
        subprocess.run(["umount", small], check=True)
    assert "nearly full" in done.stderr and len(done.stderr.splitlines()) == 1 and done.stdout == "" and left == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_disk_without_any_room_is_told_as_such(run_cli, fake_bench, workdir):
    fake_bench(2)
    small = workdir / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        (small / "filler").write_bytes(bytes(64 << 10))
        done = run_cli("run", "bench.toml", "--data-dir", "small/data", check=3)
    finally:
        subprocess.run(["umount", small], check=True)
    assert len(done.stderr.splitlines()) == 1 and "(0 MB free" in done.stderr
    assert "the disk of small/data is nearly full" in done.stderr and "rollouts clean --cache" in done.stderr


def test_a_stalled_reader_does_not_stall_the_run(start_cli, fake_bench, workdir):
    fake_bench(40, parallel=8)
    child = start_cli("run", "bench.toml", "-vv", stdout=subprocess.PIPE)
    held = fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, 4096)

    def complete():
        found = list(workdir.glob("data/rollouts/bench/*/manifest.json"))
        return found and '"state": "complete"' in found[0].read_text()
    wait_for(complete, timeout=60)  # nothing was read so far
    said = child.stdout.read()
    assert len(said) > 3 * held and "All 40 tasks completed!" in said
    assert child.wait(20) == 0


@pytest.fixture
def held(start_cli, fake_bench, workdir, rollout):
    """Start six trials, two of which sit in their agent phase."""
    fake_bench(6, env={"FAKE_HOLD": "agent"})
    child = start_cli("run", "bench.toml")

    def two_in_phase():
        found = list(workdir.glob("data/rollouts/bench/*/events.jsonl"))
        return found and found[0].read_text().count('"phase":"agent"') == 2
    wait_for(two_in_phase)
    return child


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_finishes_what_runs(held, workdir, rollout, signo):
    held.send_signal(signo)
    wait_for(lambda: '"event":"interrupted"' in (rollout().dir / "events.jsonl").read_text())
    (workdir / "data/go").touch()
    out, _ = held.communicate(timeout=20)
    assert held.returncode == 130
    assert "finishing the 2 running" in out and "2 of 6 tasks completed, 4 missing" in out
    states = [row["status"] for row in rollout().manifest["results"]]
    assert sorted(states) == ["launched"] * 2 + ["planned"] * 4


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_two_interrupts_stop_what_runs(held, rollout, signals):
    for signo in signals:
        held.send_signal(signo)
        time.sleep(0.05)  # two pending signals of a kind are one
    out, _ = held.communicate(timeout=20)
    assert held.returncode == 130
    ends = [e["outcome"] for e in rollout().events if e["event"] == "finished"]
    assert ends == ["cancelled"] * 2
    assert "0 of 6 tasks completed, 6 missing" in out
    assert len(re.findall(r"^✗ Task \S+ not completed \(launched\): cancelled", out, re.M)) == 2


def test_hanging_up_ends_nothing(held, workdir, rollout):
    for _ in range(3):
        held.send_signal(signal.SIGHUP)
        time.sleep(0.05)  # two pending signals of a kind are one
    (workdir / "data/go").touch()
    out, _ = held.communicate(timeout=60)
    assert held.returncode == 0 and "All 6 tasks completed!" in out
    assert not [e for e in rollout().events if e["event"] == "interrupted"]


@pytest.mark.parametrize("mended", [True, False])
def test_a_journal_that_cannot_be_written_ends_no_agent(held, workdir, rollout, run_cli, mended):
    """A limit on the size of files, put on the supervisor alone while two agents work, stands for a full disk."""
    journal = rollout().dir / "events.jsonl"
    before = resource.prlimit(held.pid, resource.RLIMIT_FSIZE, (journal.stat().st_size, resource.RLIM_INFINITY))
    if mended:
        (workdir / "data/go").touch()
        wait_for(lambda: "starting nothing more; what runs goes on" in held.stdout.readline())
        resource.prlimit(held.pid, resource.RLIMIT_FSIZE, before)
        out, _ = held.communicate(timeout=60)
        assert held.returncode == 0 and "All 6 tasks completed!" in out
        assert len(starts(workdir)) == 6
        return
    (workdir / "data/go").touch()
    out, _ = held.communicate(timeout=60)
    assert held.returncode == 3 and "what ran has ended and is kept" in out and "rollouts resume" in out
    run_cli("resume", "bench", check=0)
    assert len(starts(workdir)) == 6  # no agent ran twice


def test_more_at_once_than_files_can_be_open(fake_bench, binary, workdir):
    fake_bench(6)
    def run(*words, files):
        return subprocess.run([binary, "run", "bench.toml", *words], cwd=workdir, capture_output=True, text=True, timeout=120,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, files))
    refused = run("-j", "6", files=(64, 64))
    assert refused.returncode == 2 and "--parallel 4 or less" in refused.stderr, refused
    assert not list(workdir.glob("data/rollouts/bench/*"))
    assert run("-j", "6", files=(40, 4096)).returncode == 0  # raised


def test_three_interrupts_kill(start_cli, fake_bench, workdir, rollout):
    fake_bench(2, env={"FAKE_LATE": "60000"})
    child = start_cli("run", "bench.toml")
    wait_for(lambda: len(starts(workdir)) == 2)
    for _ in range(3):
        child.send_signal(signal.SIGINT)
        time.sleep(0.1)
    child.communicate(timeout=8)
    assert child.returncode == 130
    assert sum(e["event"] == "interrupted" and "run" in e for e in rollout().events) == 2

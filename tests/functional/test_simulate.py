# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark simulated: the scheduler with a virtual clock."""
import json
import resource
import time

import pytest


@pytest.fixture
def simulate(run_cli, make_task, make_bench, workdir):
    """simulate(*words, check=0, ...): the rows of the answer, and what was said besides. The benchmark is made the first time."""
    def run(*words, check=0, **more):
        if not (workdir / "bench.toml").exists():
            make_bench(make_task(), agent="oracle", rollouts=6, parallel=2, **more)
        done = run_cli("simulate", "bench.toml", "--json", *words, check=check)
        return json.loads(done.stdout)["simulations"] if check == 0 else done.stderr

    return run


def test_what_can_be_worked_out_by_hand(simulate, workdir):
    """Six trials of 10 s and 2 s to start each, two at a time: three rounds. Nothing is written."""
    [row] = simulate("--durations", "fixed(10)", "--start-sec", "2", "--usd", "0.5", "--calls", "30")
    assert (row["makespan_sec"], row["tail_sec"], row["attempts"], row["missing"], row["cost_usd"]) == (36, 12, 6, 0, 3)
    assert row["busy"] == 1 and row["calls_per_min"] == 300 and not (workdir / "data").exists()
    [row] = simulate("--durations", "fixed(10)", "--start-sec", "0", "-j", "4")
    assert (row["makespan_sec"], row["busy"]) == (20, 0.75)


def test_settings_differ_by_themselves_alone(simulate):
    """The same seed draws the same trials: more slots, retries and a better order each do what they do."""
    words = ["--durations", "lognormal(100,1)", "--failures", "0.3", "--trials", "400"]
    rows = simulate(*words, "--parallel", "10,40", "--retries", "0,5", "--order", "both")
    assert rows == simulate(*words, "--parallel", "10,40", "--retries", "0,5", "--order", "both")
    by = {(r["parallel"], r["retries"], r["order"]): r for r in rows}
    assert len(by) == 8
    for retries in (0, 5):
        assert by[40, retries, "planned"]["makespan_sec"] < by[10, retries, "planned"]["makespan_sec"]
    assert by[40, 0, "longest-first"]["makespan_sec"] < by[40, 0, "planned"]["makespan_sec"]
    assert by[10, 0, "planned"]["missing"] == by[10, 0, "planned"]["failed"] == by[40, 0, "longest-first"]["failed"] > 80
    assert by[10, 5, "planned"]["missing"] <= 3 and by[10, 5, "planned"]["attempts"] > 500
    assert simulate(*words, "--seed", "2")[0]["makespan_sec"] != simulate(*words)[0]["makespan_sec"]


def test_the_scheduler_decides(simulate):
    """What pauses a run pauses a simulation, in its words."""
    [row] = simulate("--durations", "fixed(10)", "--failures", "1", "--retries", "0", "--trials", "100")
    assert row["ended_early"] == "simulated" and row["attempts"] < 10 and row["missing"] == 100


def test_of_history(run_cli, simulate):
    """Durations and failures are those of the latest rollout of the benchmark."""
    assert "--durations history" in simulate(check=2)
    run_cli("run", "bench.toml", check=0)
    rows = simulate("--trials", "60", "-j", "1,6")
    assert 0 < rows[1]["makespan_sec"] < rows[0]["makespan_sec"] and rows[0]["failed"] == 0


@pytest.mark.parametrize("words, said", [
    (["--durations", "normal(3)"], "--durations normal(3): give history, lognormal(MEDIAN_SEC,SIGMA)"),
    (["--durations", "fixed(-1)"], "--durations fixed(-1): give history"),
    (["--durations", "fixed(1)", "--failures", "2"], "--failures 2: give a number from 0 to 1"),
    (["--durations", "fixed(1)", "-j", "4,x"], "--parallel x: give a number"),
    (["--durations", "fixed(1)", "-j", "0"], "--parallel: at least 1"),
    (["--durations", "fixed(1)", "--order", "random"], "--order random: give planned, longest-first or both"),
])
def test_mistakes(simulate, words, said):
    assert said in simulate(*words, check=2)


def test_a_million_trials(simulate):
    """In seconds of a processor, as the children of this process have used it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    [row] = simulate("--durations", "lognormal(300,0.8)", "--failures", "0.01", "--trials", "1000000", "-j", "500")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert row["attempts"] > 1000000 and time.monotonic() > start
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60

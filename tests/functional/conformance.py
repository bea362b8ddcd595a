# SPDX-License-Identifier: GPL-3.0-or-later
"""What every launcher's program keeps to (docs/launchers.md). A launcher's own test file imports these tests, and has a fixture

    program(data, settings={}, greet=True)   the program started in the data folder, a Launcher (launching.py), killed at the end

An archive is had as the program brings it: with `ended`, or by `fetch`.
"""
import json
import subprocess

import pytest

from conftest import put


@pytest.fixture
def node(binary):
    return next(p for top in (binary.parent, binary.parent.parent) for p in top.glob("**/rollouts-node"))


@pytest.fixture
def attempts(run_cli, make_task, make_bench, workdir, node):
    """attempts(N): folders of attempts that were never run, each with its travel.json; a data folder."""
    def make(count):
        bench = make_bench(make_task("conform"), name="conform", model="none", agent="nop", sandbox="none",
                           evaluate=False, rollouts=count)
        run_cli("run", bench, check=0)
        data = workdir / "data"
        dirs = []
        for run in sorted((data / "runs").glob("2*")):
            trial = json.loads((run / "attempts/1/trial.json").read_text())
            put(run / "attempts/2/trial.json", json.dumps({**trial, "number": 2, "uid": 0}))
            dirs.append(f"runs/{run.name}/attempts/2")
        asked = "".join(json.dumps({"op": "pack", "dir": d}) + "\n" for d in dirs)
        done = subprocess.run([node, "porter"], cwd=data, input=asked, capture_output=True, text=True, check=True)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert [t["event"] for t in told] == ["packed"] * count, done.stdout
        return data, [{"token": d.split("/")[1] + ".2", "dir": d, "inputs": t["inputs"], "cpus": 0, "memory_mb": 0,
                       "disk_mb": 0, "time_sec": 60} for d, t in zip(dirs, told)]

    return make


def archive_of(launcher, token):
    end = launcher.wait(lambda m: m["event"] == "ended" and m["token"] == token, poll=True, timeout=120)
    if end.get("result"):
        launcher.say(op="fetch", jobs=[{"token": token}])
        return end, launcher.wait(lambda m: m["event"] == "fetched" and m["token"] == token)["archive"]
    return end, end.get("archive")


def test_jobs_of_the_protocol(attempts, program):
    """Submitted at once, named, heard in order, ended once, with an archive of their folder."""
    data, jobs = attempts(3)
    launcher = program(data)
    launcher.say(op="submit", jobs=jobs)
    for job in jobs:
        named = launcher.wait(lambda m: m["event"] == "submitted" and m["token"] == job["token"])
        assert named["job"]
        end, archive = archive_of(launcher, job["token"])
        assert end["how"].startswith("exit status 0"), end
        lines = [m["line"]["event"] for m in launcher.heard if m["event"] == "line" and m["token"] == job["token"]]
        assert lines[0] == "phase" and lines[-1] == "finished"
        names = subprocess.run(["tar", "tf", archive], capture_output=True, text=True, check=True).stdout.split()
        assert "t/result.json" in names and names[-1] == "manifest.json"
    launcher.leave()


def test_a_token_is_submitted_once(attempts, program):
    """A program that was killed before its answer was heard is asked by token alone, and knows it."""
    data, jobs = attempts(1)
    first = program(data)
    first.say(op="submit", jobs=jobs)
    name = first.wait(lambda m: m["event"] == "submitted")["job"]
    first.kill()
    second = program(data)
    second.say(op="attach", jobs=[{"token": jobs[0]["token"], "dir": jobs[0]["dir"]},
                                  {"token": "19990101__00-00-00-0.1", "dir": "runs/19990101__00-00-00-0/attempts/1"}])
    assert second.wait(lambda m: m["event"] == "submitted" and "job" in m)["job"] == name
    assert second.wait(lambda m: m.get("unknown"))["token"] == "19990101__00-00-00-0.1"
    end, archive = archive_of(second, jobs[0]["token"])
    assert end["token"] == jobs[0]["token"] and archive
    second.say(op="done", jobs=[{"token": jobs[0]["token"]}])
    second.leave()


def test_a_job_that_is_cancelled(attempts, program):
    """Ends, once, however far it had come; a later program finds nothing of it, or its end."""
    data, jobs = attempts(1)
    launcher = program(data)
    launcher.say(op="submit", jobs=jobs)
    launcher.wait(lambda m: m["event"] == "submitted" and m["token"] == jobs[0]["token"])
    launcher.say(op="cancel", how="kill", jobs=[{"token": jobs[0]["token"]}])
    launcher.wait(lambda m: m["event"] == "ended" and m["token"] == jobs[0]["token"], poll=True, timeout=120)
    for _ in range(3):
        launcher.heard = [m for m in launcher.heard if m["event"] != "polled"]
        launcher.say(op="poll")
        launcher.wait(lambda m: m["event"] == "polled")
    assert len([m for m in launcher.heard if m["event"] == "ended"]) == 1
    launcher.say(op="done", jobs=[{"token": jobs[0]["token"]}])
    launcher.leave()


def test_what_it_does_not_know(program, workdir):
    """It says what it can do in words of the protocol, passes over what it does not know, and ends with its input."""
    data = workdir / "data"
    data.mkdir(exist_ok=True)
    launcher = program(data)
    [hello] = launcher.heard
    assert hello["v"] == 1 and hello.get("files", "shared") in ("shared", "copied") and hello.get("models", "node") in ("node", "here")
    assert hello["attach"] is True and 1 <= hello.get("batch", 1) <= 1000
    launcher.say(op="dance", jobs=[])
    for op in ("cancel", "done"):
        launcher.say(op=op, how="kill", jobs=[{"token": "19990101__00-00-00-0.1"}], since="tomorrow")
    launcher.say(op="poll")
    launcher.wait(lambda m: m["event"] == "polled")
    assert {m["event"] for m in launcher.heard} <= {"hello", "polled", "note"}
    launcher.leave()


def test_a_refusal_names_the_setting(attempts, program):
    data, _ = attempts(1)
    launcher = program(data, settings={"no_such_setting": 1}, greet=False)
    assert "no_such_setting" in launcher.wait(lambda m: m["event"] == "refused")["text"]
    launcher.leave()

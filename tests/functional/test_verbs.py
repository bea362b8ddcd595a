# SPDX-License-Identifier: GPL-3.0-or-later
"""show, list, tag, clean: what they say about what is on disk."""
import fcntl
import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stored
from conftest import wait_for
from stored import STAMP, trial

LATER = "20250825__00-00-00"


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def refused(done, said):
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1 and said in done.stderr and not done.stdout, done


@pytest.mark.parametrize("verb", ["summarize", "show", "list", "tag", "clean", "doctor"])
def test_help_has_examples(run_cli, verb):
    for args in ([verb, "--help"], ["help", verb]):
        shown = run_cli(*args, check=0).stdout
        assert shown.startswith(f"Usage: rollouts {verb}") and f"Examples:\n  rollouts {verb}" in shown


def test_show_tells_what_happened(run_cli, data):
    stored.write(data, [trial(score=0.5, tokens=7, final="\x1b[2Jdone", outcome="timeout", reason="too slow")])
    shown = run_cli("show", f"{STAMP}-0", check=0).stdout
    for said in (f"run       {STAMP}-0\n", "task      alpha (tasks/alpha)\n", "model     m1\n",
                 "outcome   timeout: too slow\n", "score     0.500 (1 of 2 tests passed)\n", "0.5 works\n",
                 f"data/runs/{STAMP}-0/attempts/1\n", "agent|eval|diff|result\n", "\\x1b[2Jdone"):
        assert said in shown
    assert "\x1b" not in shown


def test_show_parts(run_cli, data):
    stored.write(data, [trial(score=1)])
    assert run_cli("show", STAMP, "eval", check=0).stdout == "1 passed\n"
    assert json.loads(run_cli("show", STAMP, "result", check=0).stdout)["total_score"] == 1
    assert "+2\n" in run_cli("show", STAMP, "diff", check=0).stdout
    refused(run_cli("show", STAMP, "notes"), "did not get that far")
    refused(run_cli("show", STAMP, "dif"), 'did you mean "diff"')


def test_control_characters_are_harmless_unless_raw(run_cli, binary, workdir, data):
    stored.write(data, [trial(score=1)])
    done = run_cli("show", STAMP, "agent", check=0)
    assert done.stdout == "plain\n\\x1b[31mred\\x1b[0m\n" and "--raw" in done.stderr
    done = run_cli("show", STAMP, "agent", "--raw", check=0)
    assert done.stdout == "plain\n\x1b[31mred\x1b[0m\n" and not done.stderr
    master, slave = pty.openpty()
    subprocess.run([binary, "show", STAMP, "agent"], cwd=workdir, stdout=slave, check=True)
    os.close(slave)
    assert b"\x1b" not in os.read(master, 65536)
    os.close(master)


def test_a_run_is_found_by_a_unique_beginning(run_cli, data):
    stored.write(data, [trial(rollout=r, score=1) for r in range(12)])
    assert f"run       {STAMP}-1\n" in run_cli("show", f"{STAMP}-1", check=0).stdout
    assert f"run       {STAMP}-7\n" in run_cli("show", f"{STAMP}-7", check=0).stdout
    refused(run_cli("show", STAMP), "12 runs begin with")
    refused(run_cli("show", "1999"), "no run")


@pytest.mark.parametrize("word", ["../runs", f"{STAMP}-0/attempts", "..", ".", "", "/etc"])
def test_a_run_is_not_a_path(run_cli, data, word):
    stored.write(data, [trial(score=1)])
    refused(run_cli("show", word, "result"), "is no run id")


def test_show_follows_no_link(run_cli, data, workdir):
    stored.write(data, [trial(score=1)])
    (workdir / "secret").write_text("SECRET\n")
    log = data / f"runs/{STAMP}-0/attempts/1/logs/agent.log"
    log.unlink()
    log.symlink_to(workdir / "secret")
    done = run_cli("show", STAMP, "agent")
    assert done.returncode != 0 and "SECRET" not in done.stdout
    logs = log.parent
    log.unlink()
    (logs / "eval.log").unlink()
    logs.rmdir()
    (workdir / "elsewhere").mkdir()
    (workdir / "elsewhere/agent.log").write_text("SECRET\n")
    logs.symlink_to(workdir / "elsewhere")
    done = run_cli("show", STAMP, "agent")
    assert done.returncode != 0 and "SECRET" not in done.stdout


def test_show_an_earlier_attempt(run_cli, data):
    stored.write(data, [trial(score=1)])
    second = data / f"runs/{STAMP}-0/attempts/2/logs"
    second.mkdir(parents=True)
    (second / "agent.log").write_text("second\n")
    assert "attempt   1 of 2\n" in run_cli("show", STAMP, check=0).stdout  # 2 has no result yet
    assert run_cli("show", STAMP, "agent", "--attempt", "2", check=0).stdout == "second\n"
    refused(run_cli("show", STAMP, "agent", "--attempt", "3"), "attempts 1 to 2")


def test_show_what_only_the_journal_knows(run_cli, data):
    stored.write(data, [trial(outcome="infra_error", reason="the worker crashed"), trial(rollout=1, state="started")])
    for index in (0, 1):
        (data / f"runs/{STAMP}-{index}/attempts/1").mkdir(parents=True, exist_ok=True)
        (data / f"runs/{STAMP}-{index}/attempts/1/result.json").unlink(missing_ok=True)
    shown = run_cli("show", f"{STAMP}-0", check=0).stdout
    assert "outcome   infra_error: the worker crashed\nbenchmark bench " + STAMP in shown
    (data / f"runs/{STAMP}-1/attempts/1/trial.json").write_text(
        (data / f"runs/{STAMP}-0/attempts/1/trial.json").read_text())
    assert "outcome   none yet: interrupted\n" in run_cli("show", f"{STAMP}-1", check=0).stdout


def test_list_says_what_there_is(run_cli, data):
    stored.write(data, [trial(score=0.5), trial(rollout=1, score=1)], tags=["good"])
    stored.write(data, [trial(score=1), trial(rollout=1, state="started")], stamp=LATER)
    stored.write(data, [trial(score=1), trial(rollout=1, state="planned")], name="other", stamp="20250826__00-00-00")
    rows = json.loads(run_cli("list", "--json", check=0).stdout)
    assert [(r["name"], r["rollout"], r["state"], r["done"], r["trials"], r["score"], r["tags"]) for r in rows] == [
        ("bench", STAMP, "complete", 2, 2, 0.75, ["good"]),
        ("bench", LATER, "interrupted", 1, 2, 1, []),
        ("other", "20250826__00-00-00", "incomplete", 1, 2, 1, [])]
    blocks = sum(p.lstat().st_blocks * 512 for top in (f"rollouts/bench/{STAMP}", f"runs/{STAMP}-0", f"runs/{STAMP}-1")
                 for p in [data / top, *(data / top).rglob("*")])
    assert rows[0]["disk"] == blocks
    shown = run_cli("list", "other", check=0).stdout
    assert "bench" not in shown and "incomplete" in shown


def test_disk_use_follows_no_link(run_cli, data, workdir):
    stored.write(data, [trial(score=1)])
    before = json.loads(run_cli("list", "--json", check=0).stdout)[0]["disk"]
    (workdir / "big").mkdir()
    (workdir / "big/file").write_bytes(b"x" * 10_000_000)
    (data / f"runs/{STAMP}-0/artifacts").symlink_to(workdir / "big")
    assert json.loads(run_cli("list", "--json", check=0).stdout)[0]["disk"] - before < 10_000


def test_list_of_nothing(run_cli, data):
    assert "no rollouts yet" in run_cli("list", check=0).stdout
    assert json.loads(run_cli("list", "--json", check=0).stdout) == []
    refused(run_cli("list", "bench"), "nothing yet")
    refused(run_cli("list", "a/b"), "cannot be the name")


def test_one_damaged_rollout_hides_no_other(run_cli, data):
    top = stored.write(data, [trial(score=1)])
    (top / "plan.json").write_text("{")
    stored.write(data, [trial(score=1)], stamp=LATER)
    done = run_cli("list", "--json", check=0)
    assert [r["state"] for r in json.loads(done.stdout)] == ["unreadable", "complete"]
    assert "plan.json" in done.stderr


def test_a_benchmark_and_a_rollout_may_be_named_as_people_have_them(run_cli, data):
    stored.write(data, [trial(score=0)])
    stored.write(data, [trial(score=1)], stamp="20250824__23-00-00")
    stored.write(data, [trial(score=0.5)], stamp=LATER)
    day = ["--rollout", "20250824"]
    for name, which in (("bench", day), ("bench.toml", day), ("configs/bench.toml", day),
                        ("data/rollouts/bench", day), ("data/rollouts/bench/20250824", []), ("data/rollouts/bench/20250824/", [])):
        assert "bench 20250824__23-00-00: complete" in run_cli("summarize", name, *which, check=0).stdout, name
    assert LATER in run_cli("summarize", "bench.toml", check=0).stdout
    assert run_cli("list", "configs/bench.toml", "--csv", check=0).stdout == run_cli("list", "bench", "--csv", check=0).stdout
    run_cli("tag", "bench.toml", "good", *day, check=0)
    assert "20250824__23-00-00" in run_cli("summarize", "bench", "--rollout", "good", check=0).stdout
    refused(run_cli("summarize", "bench", "--rollout", "20250824__"), "more than one rollout")
    refused(run_cli("summarize", "nothing.toml"), 'no rollout of "nothing"')


def test_the_specs_comparison_in_python(data):
    stored.write(data, [trial(score=0)])
    stored.write(data, [trial(score=1), trial(score=0.5, rollout=1), trial("beta", outcome="infra_error")],
                 stamp="20250824__23-00-00")
    for stamp in (STAMP, "20250824__23-00-00"):
        top = data / "rollouts/bench" / stamp
        runs = [json.loads(p.read_text()) for p in sorted(data.glob(f"runs/{stamp}-*/attempts/1/result.json"))]
        rows = [{"task_id": json.loads((data / "runs" / r["run_id"] / "attempts/1/trial.json").read_text())["trial"]["task_id"],
                 "task_dir": "tasks/x", "model": "m1", "outcome": r["outcome"], "total_score": r["total_score"]} for r in runs]
        (top / "manifest.json").write_text(json.dumps({"results": rows}))
    code = ("from eval_rollouts import *\n"
            "r = load_benchmark('data/rollouts/bench/20250824')\n"
            "print(get_task_score(r, 'alpha'), get_task_score(r, 'beta'), load_benchmark('data/rollouts/bench') == r,"
            f" get_task_score(load_benchmark('data/rollouts/bench/{STAMP}'), 'alpha'))\n")
    scripts = Path(__file__).parents[2] / "scripts"
    done = subprocess.run([sys.executable, "-c", code], cwd=data.parent, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(scripts), "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.stdout == "0.75 None True 0.0\n"


def test_tags_come_and_go(run_cli, data):
    stored.write(data, [trial(score=0)])
    stored.write(data, [trial(score=1)], stamp=LATER)
    run_cli("tag", "bench", "new", check=0)
    run_cli("tag", "bench", "old", "--rollout", STAMP, check=0)
    run_cli("tag", "bench", "old", "--rollout", STAMP, check=0)
    tags = {r["rollout"]: r["tags"] for r in json.loads(run_cli("list", "--json", check=0).stdout)}
    assert tags == {STAMP: ["old"], LATER: ["new"]}
    assert STAMP in run_cli("summarize", "bench", "--rollout", "old", check=0).stdout
    refused(run_cli("tag", "bench", "old"), f"{STAMP} has that tag already")
    run_cli("tag", "bench", "old", "--remove", check=0)
    refused(run_cli("tag", "bench", "old", "--remove"), "old")
    refused(run_cli("summarize", "bench", "--rollout", "old"), "no rollout")


@pytest.mark.parametrize("tag", ["", "a b", "../x", "a/b", ".hidden", "-x", "x" * 65, "a\nb", "é"])
def test_bad_tags(run_cli, data, tag):
    stored.write(data, [trial(score=0)])
    refused(run_cli("tag", "--", "bench", tag), "cannot be a tag")


def leftovers(data):
    box = data / f"runs/{STAMP}-0/attempts/1/box/upper/locked"
    box.mkdir(parents=True)
    (box / "file").write_text("x")
    box.chmod(0)
    temporary = data / f"rollouts/bench/{STAMP}/manifest.json.tmp.4194305.7"  # above the highest process id
    temporary.write_text("{")
    return box.parents[1], temporary


def test_clean_removes_what_was_left_and_nothing_else(account, run_cli, data):
    stored.write(data, [trial(score=1)])
    run_cli("summarize", "bench", check=0)
    before = sorted(data.rglob("*"))
    box, temporary = leftovers(data)
    alive = data / f"rollouts/bench/{STAMP}/manifest.json.tmp.{os.getpid()}.0"
    alive.write_text("{")
    shown = run_cli("clean", "--dry-run", check=0).stdout
    assert f"would remove data/{box.relative_to(data)} (" in shown and temporary.name in shown
    assert box.exists() and temporary.exists()
    shown = run_cli("clean", "bench", check=0).stdout
    assert shown.count("removed ") == 2 and "freed in all" in shown
    alive.unlink()
    assert sorted(data.rglob("*")) == before
    assert run_cli("clean", check=0).stdout == "nothing to remove\n"


def test_clean_follows_no_link(run_cli, data, workdir):
    stored.write(data, [trial(score=1)])
    (workdir / "precious").mkdir()
    (workdir / "precious/file").write_text("x")
    (data / f"runs/{STAMP}-0/attempts/1/box").symlink_to(workdir / "precious")
    inside = data / f"runs/{STAMP}-0/attempts/1/box-eval"
    inside.mkdir()
    (inside / "link").symlink_to(workdir / "precious")
    run_cli("clean", check=0)
    assert (workdir / "precious/file").exists() and not inside.exists()


def test_clean_leaves_a_live_benchmark_alone(run_cli, data):
    top = stored.write(data, [trial(score=1)])
    box, temporary = leftovers(data)
    with open(top / "events.jsonl", "a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert run_cli("clean", check=0).stdout == "nothing to remove\n"
        refused(run_cli("clean", "--cache"), "is running")
        refused(run_cli("clean", "--runs", f"bench/{STAMP}"), "is running")
    run_cli("clean", check=0)
    assert not box.exists() and not temporary.exists()


def test_clean_cache_keeps_what_a_plan_needs(run_cli, workdir, data, make_task, make_bench):
    task = make_task()
    bench = make_bench(task, sandbox="none", evaluate=False)
    run_cli("run", bench, check=0)
    snapshot = next((data / "cache/tasks").glob("[0-9a-f]*"))
    url = json.loads((snapshot / "task.json").read_text())["repo"]["git_url"]
    kept = [snapshot, data / f"cache/pins/{snapshot.name}.json", data / f"cache/mirrors/{mirror_name(url)}.git"]
    gone = [data / "cache" / name for name in ("tasks/" + "1" * 64, "pins/" + "1" * 64 + ".json",
                                               "mirrors/" + "1" * 32 + ".git", "baselines/" + "1" * 64)]
    young = data / "cache/tasks" / ("2" * 64)
    for path in [*kept, *gone, young]:
        path.mkdir(parents=True, exist_ok=True)
    for path in [*kept, *gone]:
        os.utime(path, (time.time() - 7200,) * 2)
    assert run_cli("clean", check=0).stdout == "nothing to remove\n"
    run_cli("clean", "--cache", check=0)
    assert all(path.exists() for path in [*kept, young])
    assert not any(path.exists() for path in gone)


def mirror_name(url):
    """As hash_str feeds them: each string after its length."""
    text = b"".join(len(part).to_bytes(8, "little") + part.encode() for part in ("sha1", url))
    return hashlib.sha256(text).hexdigest()[:32]


def test_clean_cache_refuses_when_it_cannot_know(run_cli, data):
    top = stored.write(data, [trial(score=1)])
    (top / "plan.json").write_text("{")
    done = run_cli("clean", "--cache", check=2)
    assert "plan.json" in done.stderr and "mend or remove" in done.stderr


def test_clean_runs_removes_one_rollout_whole(run_cli, data):
    stored.write(data, [trial(score=1), trial(rollout=1, state="planned")])
    stored.write(data, [trial(score=1)], stamp=LATER)
    stored.write(data, [trial(score=1)], name="other", stamp="20250826__00-00-00")
    refused(run_cli("clean", "--runs"), "NAME/STAMP")
    refused(run_cli("clean", "--runs", "bench"), "NAME/STAMP")
    refused(run_cli("clean", "--runs", "bench/20250824"), f"bench/{STAMP}")
    refused(run_cli("clean", "--runs", "bench/.."), "no rollout")
    refused(run_cli("clean", "--runs", f"../bench/{STAMP}"), "cannot be the name")
    assert "with 2 runs" in run_cli("clean", "--runs", f"bench/{STAMP}", "--dry-run", check=0).stdout
    assert (data / f"runs/{STAMP}-0").exists()
    run_cli("clean", "--runs", f"bench/{STAMP}", check=0)
    assert sorted(p.name for p in (data / "runs").iterdir()) == [f"{LATER}-0", "20250826__00-00-00-0"]
    assert [p.name for p in (data / "rollouts/bench").iterdir()] == [LATER]
    run_cli("clean", "--runs", "other/20250826__00-00-00", check=0)
    assert not (data / "rollouts/other").exists()


def test_a_forged_plan_removes_nothing_else(run_cli, data):
    top = stored.write(data, [trial(score=1)])
    stored.write(data, [trial(score=1)], stamp=LATER)
    plan = (top / "plan.json").read_text()
    for run in ("../../precious", f"{LATER}-0", ".."):
        (top / "plan.json").write_text(plan.replace(f'"{STAMP}-0"', json.dumps(run)))
        refused(run_cli("clean", "--runs", f"bench/{STAMP}"), "not its own")
    assert (data / f"runs/{LATER}-0").exists() and top.exists()


def checks_of(done):
    return {c["check"]: c for c in json.loads(done.stdout)["checks"]}


def test_doctor_finds_this_machine_ready(account, run_cli, workdir):
    done = run_cli("doctor", "--json", check=0)
    assert json.loads(done.stdout)["ready"] is True
    found = checks_of(done)
    for check in ("kernel", "user namespaces", "bubblewrap", "sandbox", "rollouts-trial", "rollouts-init", "git", "bash",
                  "disk space", "clock"):
        assert found[check]["state"] == "ok", found[check]
        assert found[check]["remedy"] is None
    assert all(c["remedy"] for c in found.values() if c["state"] != "ok")
    shown = run_cli("doctor", check=0).stdout
    assert "✓ git              git version" in shown and shown.endswith("Ready to run.\n") and "\x1b" not in shown
    assert sorted(p.name for p in workdir.iterdir()) == ["tmp"]


def test_doctor_names_what_is_missing(run_cli, workdir):
    done = run_cli("doctor", "--json", env={"PATH": "/nonexistent"}, check=3)
    found = checks_of(done)
    assert found["git"]["state"] == "failed" and found["git"]["remedy"] == "apt-get install git"
    assert found["bubblewrap"]["state"] == "failed" and "apt-get install" in found["bubblewrap"]["remedy"]
    shown = run_cli("doctor", env={"PATH": "/nonexistent"}, check=3).stdout
    assert "✗ git " in shown and "\n    apt-get install git\n" in shown and "Not ready" in shown


@pytest.mark.parametrize("said, remedy", [
    ("bwrap: Unknown option --unshare-user", "too old"),
    ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "systempaths=unconfined"),
    ("bwrap: something else", "the bwrap first on PATH must work")])
def test_doctor_says_what_bubblewrap_lacks(run_cli, workdir, said, remedy):
    fake = workdir / "bin/bwrap"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    fake.chmod(0o755)
    found = checks_of(run_cli("doctor", "--json", env={"PATH": f"{fake.parent}:/usr/bin:/bin"}, check=3))
    assert found["bubblewrap"]["detail"] == said and remedy in found["bubblewrap"]["remedy"]


def test_doctor_says_what_forbids_namespaces(binary, workdir):
    """In a namespace in which no further one may be made."""
    forbid = f'echo 0 > /proc/sys/user/max_user_namespaces && exec "{binary}" doctor --json'
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", forbid], cwd=workdir, capture_output=True, text=True)
    assert done.returncode == 3, done
    found = checks_of(done)
    assert found["user namespaces"]["state"] == "failed"
    assert "user.max_user_namespaces" in found["user namespaces"]["remedy"]
    assert found["git"]["state"] == "ok"


def test_doctor_without_a_place_to_write(binary, workdir, ordinary_user):
    (workdir / "closed").mkdir(mode=0o555)
    user = {"user": ordinary_user, "group": ordinary_user, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run([binary, "doctor", "--data-dir", workdir / "closed"], cwd=workdir / "closed",
                          capture_output=True, text=True, **user)
    assert done.returncode in (0, 3) and not list((workdir / "closed").iterdir())


def test_what_a_real_run_leaves_can_be_read(account, run_cli, data, make_task, make_bench):
    run_cli("run", make_bench(make_task(), agent="oracle", rollouts=2), check=0)
    out = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    assert (out["scored"], out["missing"], out["aggregates"][-1]["mean"]) == (2, 0, 1)
    run = out["trials"][0]["run"]
    shown = run_cli("show", run, check=0).stdout
    assert "outcome   completed\n" in shown and "score     1.000 (2 of 2 tests passed)\n" in shown
    patch = run_cli("show", run, "diff", check=0).stdout
    assert "+    return 'hello ' + name" in patch
    for part in ("eval", "score", "result", "worker"):
        assert part in shown.rsplit("more ", 1)[1]
        run_cli("show", run, part, check=0)
    listed = json.loads(run_cli("list", "--json", check=0).stdout)[0]
    assert (listed["state"], listed["done"], listed["score"]) == ("complete", 2, 1) and listed["disk"] > 10_000
    assert run_cli("clean", check=0).stdout == "nothing to remove\n"


def test_a_clean_cache_is_made_again(account, run_cli, data, make_task, make_bench):
    run_cli("run", make_bench(make_task(), agent="oracle"), check=0)
    for path in (data / "cache").glob("*/*"):
        os.utime(path, (time.time() - 7200,) * 2)
    shown = run_cli("clean", "--cache", check=0).stdout
    assert "cache/baselines/" in shown and "cache/tasks" not in shown and "cache/mirrors" not in shown
    run_cli("eval", "bench", "--latest", check=0)
    assert json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)["aggregates"][-1]["mean"] == 1


def test_clean_after_everything_was_killed(account, run_cli, start_cli, data, make_task, make_bench, agent_script):
    bench = make_bench(make_task(), agent=agent_script("mkdir -p deep/er; chmod 000 deep; touch /tmp/x; sleep 100"), model="m")
    child = start_cli("run", bench)
    box = wait_for(lambda: next(data.glob("runs/*/attempts/1/box"), None))
    wait_for(lambda: any(data.glob("runs/*/attempts/1/logs/agent.log")))
    attempt = str(box.parent.relative_to(data))
    assert run_cli("clean", check=0).stdout == "nothing to remove\n"
    refused(run_cli("clean", "--runs", f"bench/{box.parents[2].name[:18]}"), "is running")
    [worker] = map(int, Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split())
    child.send_signal(signal.SIGSTOP)  # neither has a moment to tidy up after the other
    os.kill(worker, signal.SIGKILL)
    child.kill()
    child.wait()
    # Not while any worker of that name is left: its mount holder is, for a moment, and of another user's we may not
    # know where it works.
    said = wait_for(lambda: run_cli("clean", check=0).stdout.removeprefix("nothing to remove\n"), timeout=60)
    assert f"data/{attempt}/box" in said and not box.exists()
    stamp = json.loads(run_cli("list", "--json", check=0).stdout)[0]["rollout"]
    wait_for(lambda: run_cli("clean", "--runs", f"bench/{stamp}").returncode == 0, timeout=60)
    assert not list(data.glob("runs/*")) and not list(data.glob("rollouts/bench"))

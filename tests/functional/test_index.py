# SPDX-License-Identifier: GPL-3.0-or-later
"""data/index.db: whatever is done to it, to the files or around it, every table says what the files say."""
import fcntl
import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
import zlib

import pytest

import stored
from conftest import give_to
from stored import STAMP, trial

ALWAYS = {"ROLLOUTS_TEST_INDEX_BYTES": "0"}
NEVER = {"ROLLOUTS_TEST_INDEX_BYTES": str(1 << 60)}
VERBS = [("summarize", "bench"), ("summarize", "bench", "--by", "tag,served"), ("summarize", "bench", "--trials"),
         ("summarize", "bench", "--json"), ("compare", "bench", "--margin", "0.05"), ("compare", "bench", "--json", "--flips"),
         ("export", "bench", "--format", "jsonl"), ("export", "bench", "--format", "junit"), ("list", "--no-disk"),
         ("list", "bench", "--history")]


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


def trials(models=("new", "old"), tasks=12, rollouts=3):
    rng = random.Random(1)
    out = []
    for rollout in range(rollouts):
        for task in range(tasks):
            for model in models:
                how = {"score": rng.choice((0, 0, 1, 1, .5)), "served": f"{model}-0901", "tokens": rng.randrange(9999),
                       "usd": rng.random(), "tools": 3, "wall": rng.randrange(90000), "program": rng.choice(("", "0.1", "0.2"))}
                if rng.random() < .1:
                    how = {"score": None, "outcome": rng.choice(("infra_error", "cancelled")), "reason": "no, \"disk\"\n"}
                elif rng.random() < .1:
                    how = {"outcome": None, "state": rng.choice(("planned", "started"))}
                out.append(trial(f"t{task:02}", model, rollout, repository=f"https://example.org/{task % 7}",
                                 tags=("c", f"lang:{task % 3}")[:task % 3], **how))
    return out


def write(data, some=None, name="bench", stamp=STAMP):
    """As the program writes it: a plan without blanks; one trial in four has what few have."""
    some = some or trials()
    top = stored.write(data, some, name=name, stamp=stamp, runs=False)
    plan = [json.dumps(json.loads(line.rstrip(",")), separators=(",", ":"))
            for line in (top / "plan.json").read_text().splitlines()[1:-1]]
    head = (top / "plan.json").read_text().splitlines()[0]
    ordered = []
    for number, line in enumerate(plan):
        j = json.loads(line)
        if number % 5 == 0:
            j["seed"] = number
        first = ("index", "run_id", "key", "task_dir", "task_id", "task_hash", "task_snapshot", "variant", "agent", "model",
                 "rollout", "seed")
        ordered.append(json.dumps({k: j.pop(k) for k in first} | j, separators=(",", ":")))
    (top / "plan.json").write_text(head + "\n" + ",\n".join(ordered) + "\n]}\n")
    seq = 10000
    with open(top / "events.jsonl", "a") as events:
        for number, line in enumerate(ordered):
            planned, t = json.loads(line), some[number]
            if number % 4 or t.score is None:
                continue
            seq += 1
            events.write(stored.line(seq, "finished", planned, outcome="completed", reason="", total_score=t.score,
                                     judge_score=.25, judge_model="j", judge_prompt="a" * 64, judge_votes={"r1": [1, 0, 1]},
                                     served="a,b", usd=None, skipped=1, custom={"size": number / 3, "é\"x": 2},
                                     self_reported=["size"], measured=[]))
        events.write(stored.line(seq + 1, "started", planned) + "torn")
    return top


def say(run_cli, env, verbs=VERBS):
    return [run_cli(*v, env=env).stdout for v in verbs]


def rows(data):
    with sqlite3.connect(data / "index.db") as db:
        return db.execute("SELECT path FROM rollout ORDER BY path").fetchall()


def test_every_table_is_the_same(run_cli, data):
    write(data)
    wanted = say(run_cli, NEVER)
    assert not (data / "index.db").exists()
    assert say(run_cli, ALWAYS) == wanted
    assert rows(data) == [(f"rollouts/bench/{STAMP}",)]
    before = (data / "index.db").stat()
    assert say(run_cli, ALWAYS) == wanted
    after = (data / "index.db").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino), "it was written again"


def test_it_is_read(run_cli, binary, data):
    """Else every other test here would hold without an index."""
    top = write(data)
    wanted = run_cli("compare", "bench", env=ALWAYS, check=0).stdout
    times, text = (top / "events.jsonl").stat(), (top / "events.jsonl").read_bytes()
    opened = subprocess.run(["strace", "-f", "-e", "trace=openat", str(binary), "compare", "bench"], cwd=data.parent, env={**os.environ, **ALWAYS},
                            capture_output=True, text=True)
    assert opened.stdout == wanted
    assert "index.db" in opened.stderr
    assert opened.stderr.count('"events.jsonl"') == 1, "the journal was read"   # opened once, to ask whether it runs
    assert (top / "events.jsonl").stat().st_mtime_ns == times.st_mtime_ns and text


def test_small_rollouts_have_none(run_cli, data):
    write(data)
    run_cli("summarize", "bench", check=0)
    run_cli("list", check=0)
    assert not (data / "index.db").exists()


@pytest.mark.parametrize("how", ["appended", "overwritten", "replaced", "plan", "excluded", "tagged", "copied"])
def test_files_that_changed_are_read(run_cli, data, how):
    top = write(data)
    say(run_cli, ALWAYS, VERBS[:1])
    journal = top / "events.jsonl"
    if how == "appended":
        planned = json.loads((top / "plan.json").read_text().splitlines()[1].rstrip(","))
        with open(journal, "a") as f:
            f.write("\n" + stored.line(99999, "finished", planned, outcome="completed", reason="", total_score=.125, measured=[]))
    elif how in ("overwritten", "replaced"):
        # The same size and the same mtime: as a tool leaves it that copies times as well.
        text, times = journal.read_bytes(), journal.stat()
        lines = text.splitlines(keepends=True)
        lines[1], lines[3] = lines[3], lines[1]
        lines[1] = b"x" * (len(lines[1]) - 1) + b"\n"
        if how == "replaced":
            journal.unlink()
        with open(journal, "wb" if how == "replaced" else "r+b") as f:
            f.write(b"".join(lines))
        os.utime(journal, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert journal.stat().st_size == len(text)
    elif how == "plan":
        text = (top / "plan.json").read_text()
        (top / "plan.json").write_text(text.replace('"model":"old"', '"model":"own"'))
    elif how == "excluded":
        run_cli("exclude", f"{STAMP}-0", "--reason", "the server was down", env=ALWAYS, check=0)
    elif how == "tagged":
        run_cli("tag", "bench", "base", env=ALWAYS, check=0)
    else:
        shutil.copytree(data, data.parent / "copy", copy_function=shutil.copy2)
        shutil.rmtree(data)
        (data.parent / "copy").rename(data)
        with sqlite3.connect(data / "index.db") as db:
            db.execute("UPDATE piece SET content = zeroblob(9)")
    assert say(run_cli, ALWAYS) == say(run_cli, NEVER)
    assert say(run_cli, ALWAYS) == say(run_cli, NEVER)


def test_a_rollout_that_runs_is_not_indexed(run_cli, data):
    top = write(data)
    with open(top / "events.jsonl") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "so far" in run_cli("summarize", "bench", env=ALWAYS, check=0).stdout
        assert not (data / "index.db").exists()
    assert "so far" not in run_cli("summarize", "bench", env=ALWAYS, check=0).stdout
    with open(top / "events.jsonl") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "so far" in run_cli("summarize", "bench", env=ALWAYS, check=0).stdout


def test_a_damaged_index_is_made_again(run_cli, data):
    write(data)
    wanted = say(run_cli, NEVER, VERBS[:6])
    say(run_cli, ALWAYS, VERBS[:1])
    index, rng = data / "index.db", random.Random(7)
    whole = index.read_bytes()
    damages = [b"", b"no database", whole[:len(whole) // 2], whole[:-65536], bytes(len(whole)), whole + b"x" * 100]
    for _ in range(24):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 1, 8, 200))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        damages.append(bytes(damaged))
    for damaged in damages:
        index.write_bytes(damaged)
        verb = rng.randrange(6)
        assert run_cli(*VERBS[verb], env=ALWAYS).stdout == wanted[verb]
    # And works once more.
    index.write_bytes(damages[1])
    say(run_cli, ALWAYS, VERBS[:1])
    assert rows(data)


def test_records_that_lead_nowhere_are_not_followed(run_cli, data):
    """Their checksums are right: somebody wrote them on purpose."""
    write(data)
    wanted = say(run_cli, NEVER, VERBS[:2])
    rng = random.Random(3)
    for _ in range(20):
        say(run_cli, ALWAYS, VERBS[:1])
        with sqlite3.connect(data / "index.db") as db:
            pieces = db.execute("SELECT rowid, content FROM piece").fetchall()
            rowid, content = rng.choice([p for p in pieces if p[1]])
            content = bytearray(content)
            at = rng.randrange(0, max(1, len(content) - 4), 4)
            content[at:at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x10\x00"))
            content = bytes(content[:rng.choice((len(content), len(content) - 4))])
            db.execute("UPDATE piece SET content = ?, crc = ? WHERE rowid = ?", (content, zlib.crc32(content), rowid))
        # What it says then may be anything that such a file says; it ends in order.
        for verb in VERBS[:2]:
            assert run_cli(*verb, env=ALWAYS).returncode == 0
        (data / "index.db").unlink()
    assert say(run_cli, ALWAYS, VERBS[:2]) == wanted


def test_a_link_in_its_place_is_left_alone(run_cli, data):
    write(data)
    wanted = run_cli("summarize", "bench", env=NEVER, check=0).stdout
    other = data.parent / "precious"
    other.write_text("mine")
    (data / "index.db").symlink_to(other)
    assert run_cli("summarize", "bench", env=ALWAYS, check=0).stdout == wanted
    assert other.read_text() == "mine" and (data / "index.db").is_symlink()
    (data / "index.db").unlink()
    os.mkfifo(data / "index.db")
    assert run_cli("summarize", "bench", env=ALWAYS, check=0, timeout=30).stdout == wanted
    (data / "index.db").unlink()
    (data / "index.db").mkdir()
    assert run_cli("summarize", "bench", env=ALWAYS, check=0).stdout == wanted


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's own folder is made read-only below")
def test_root_leaves_an_index_that_the_owner_may_write(run_cli, data, ordinary_user):
    write(data)
    give_to(ordinary_user, data.parent)
    run_cli("summarize", "bench", env=ALWAYS, check=0)
    assert (data / "index.db").stat().st_uid == data.stat().st_uid


def test_who_may_not_write_there_reads_the_files(run_cli, binary, data, ordinary_user):
    write(data)
    wanted = run_cli("compare", "bench", env=NEVER, check=0).stdout
    reader = ordinary_user if os.geteuid() == 0 else None
    if reader:
        give_to(reader, data.parent)
        os.chown(data, 0, 0)
    data.chmod(0o555)
    for _ in range(2):
        done = subprocess.run(["setpriv", "--reuid", reader, "--clear-groups", str(binary), "compare", "bench"] if reader
                              else [str(binary), "compare", "bench"], cwd=data.parent, env={**os.environ, **ALWAYS},
                              capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "")
    assert not (data / "index.db").exists()
    data.chmod(0o755)


def test_several_at_once(run_cli, binary, data):
    some = trials()
    for day in range(1, 5):
        write(data, some, stamp=f"2025082{day}__12-34-56")
    wanted = run_cli("summarize", "bench", "--all", env=NEVER, check=0).stdout
    argv = [str(binary), "summarize", "bench", "--all"]
    for _ in range(2):
        running = [subprocess.Popen(argv, cwd=data.parent, env={**os.environ, **ALWAYS}, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True) for _ in range(6)]
        assert [p.communicate() for p in running] == [(wanted, "")] * 6
    assert len(rows(data)) == 4


def test_one_that_is_held_is_waited_for_once(run_cli, data):
    some = trials(tasks=4)
    for day in range(1, 6):
        write(data, some, stamp=f"2025082{day}__12-34-56")
    wanted = run_cli("summarize", "bench", "--all", env=ALWAYS, check=0).stdout
    db = sqlite3.connect(data / "index.db", isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    assert run_cli("summarize", "bench", "--all", env=ALWAYS, check=0).stdout == wanted
    assert time.monotonic() - begin < 8, "five rollouts, and a second of patience for each"
    db.close()


def test_a_writer_that_was_killed_is_undone(run_cli, data):
    write(data)
    wanted = run_cli("summarize", "bench", env=ALWAYS, check=0).stdout
    db = sqlite3.connect(data / "index.db", isolation_level=None)
    db.execute("PRAGMA cache_size = 1")
    db.execute("BEGIN")
    db.execute("UPDATE piece SET crc = 1")
    db.execute("CREATE TABLE more AS SELECT * FROM piece")
    for name in ("index.db", "index.db-journal"):
        shutil.copy(data / name, data.parent / name)
    db.close()
    for name in ("index.db", "index.db-journal"):
        shutil.move(data.parent / name, data / name)
    for _ in range(2):
        assert run_cli("summarize", "bench", env=ALWAYS, check=0).stdout == wanted
    assert not (data / "index.db-journal").exists()


def test_rollouts_that_are_gone_are_forgotten(run_cli, data):
    write(data)
    write(data, name="other")
    say(run_cli, ALWAYS, [("list", "--no-disk")])
    assert len(rows(data)) == 2
    shutil.rmtree(data / "rollouts/other")
    with open(data / f"rollouts/bench/{STAMP}/events.jsonl", "a") as journal:
        journal.write("\n")
    say(run_cli, ALWAYS, VERBS[:1])
    assert rows(data) == [(f"rollouts/bench/{STAMP}",)]

# SPDX-License-Identifier: GPL-3.0-or-later
"""pack --public: what may be shown to anybody, and what is refused."""
import hashlib
import json
import re
import socket
import tarfile
import zlib

import pytest

import stored
from stored import STAMP, trial
from test_export_work import ask, frames, messages, say

HOST = "zbox-17"


def on_host(top, name):
    """As if it had run on a machine of that name."""
    own = socket.gethostname()
    events = top / "events.jsonl"
    lines = [line.replace('"host":"h"', f'"host":"{name}"').replace(f'"host":"{own}"', f'"host":"{name}"').rsplit(',"crc":"', 1)[0]
             for line in events.read_text().splitlines()]
    events.write_text("".join(f'{b},"crc":"{zlib.crc32(b.encode()):08x}"}}\n' for b in lines))
    manifest = top / "manifest.json"
    if manifest.exists():
        manifest.write_text(manifest.read_text().replace(f'"name": "{own}"', f'"name": "{name}"'))


def packed(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() if m.isfile() else m.linkname.encode() for m in tar if not m.isdir()}


def all_of(members):
    return b"\n".join(name.encode() + b"\n" + text for name, text in members.items())


@pytest.fixture
def worked(run_cli, make_task, make_bench, agent_script, workdir):
    """A rollout whose agent wrote down where it was, on a machine of zdenka's."""
    task = make_task("greet", files={"overlay_files/doc.txt": f"see {workdir}/doc\n"})
    make_bench({"prepared_dir": str(task), "model": "m1"}, agent=agent_script(
        f"sed -i s/nmae/name/ src/greet.py; echo 'zdenka at {HOST} in {workdir}/data; notzdenkas' > who.txt; "
        "echo 'url = \"https://bob:hunter2@example.com/x\"' > url.txt; echo \"I am on {HOST} as zdenka\""))
    run_cli("run", "bench.toml", check=0, env={"USER": "zdenka"})
    [run] = [p for p in (workdir / "data/runs").iterdir() if p.is_dir()]
    text = f"cat {workdir}/data/x on {HOST}"
    [top] = workdir.glob("data/rollouts/bench/*")
    on_host(top, HOST)
    (run / "attempts/1/recording").write_bytes(frames((*ask(text), say("zdenka!")), (*ask(text, "zdenka!", "On."), say(f"Done on {HOST}."))))
    return run


def test_nothing_of_this_machine_is_in_it(run_cli, worked, workdir):
    run_cli("exclude", worked.name, "--reason", "x", check=0, env={"USER": "zdenka"})
    run_cli("exclude", worked.name, "--undo", check=0, env={"USER": "zdenka"})
    run_cli("eval", "bench", check=0)
    run_cli("tag", "bench", "base", "--note", "why", "--title", "Of the night", check=0)
    before = json.loads(run_cli("summarize", "bench", "--json", check=0).stdout)
    run_cli("pack", "bench", "--public", "-o", "p.tar", check=0, env={"USER": "zdenka"})
    members = packed(workdir / "p.tar")
    everything = all_of(members)
    for word in (HOST, str(workdir), workdir.name, "hunter2", "zdenka at", '"zdenka'):
        assert word.encode() not in everything, word
    assert b"user at host in /data; notzdenkas" in everything and b"https://bob:***@example.com/x" in everything
    manifest = json.loads(next(text for name, text in members.items() if name.endswith("pack.json")))
    assert manifest["public"] is True
    for file in manifest["files"]:
        if "sha256" in file:
            assert hashlib.sha256(members[f"bench@{manifest['stamp']}/{file['path']}"]).hexdigest() == file["sha256"]
    # Lines of the journal say what they are, and digests are of the files that are there.
    journal = next(text for name, text in members.items() if name.endswith("events.jsonl"))
    for line in journal.splitlines():
        body, crc = line.rsplit(b',"crc":"', 1)
        assert f'{zlib.crc32(body):08x}"}}'.encode() == crc
    diff = next(text for name, text in members.items() if name.endswith("diff.patch") and "attempts/1" in name)
    assert hashlib.sha256(diff).hexdigest() == json.loads(next(t for n, t in members.items() if n.endswith("attempts/1/agent.json")))["digest"]
    assert journal.count(hashlib.sha256(diff).hexdigest().encode()) >= 1
    # The same bytes each time, and it reads elsewhere as here.
    run_cli("pack", "bench", "--public", "-o", "q.tar", check=0, env={"USER": "zdenka"})
    assert (workdir / "p.tar").read_bytes() == (workdir / "q.tar").read_bytes()
    run_cli("unpack", "p.tar", "--data-dir", "other", check=0)
    after = json.loads(run_cli("summarize", "bench", "--json", "--data-dir", "other", check=0).stdout)
    assert (after["title"], after["notes"]) == ("Of the night", {"base": "why"})
    assert after["aggregates"] == before["aggregates"] and after["tasks"] == before["tasks"]
    assert sorted(p.name for p in workdir.glob("other/rollouts/bench/*/evaluations/*")) == ["1", "2"]
    assert "user at host" in run_cli("show", worked.name, "diff", "--data-dir", "other", check=0).stdout
    [row] = messages(run_cli, "--data-dir", "other")
    assert [m["content"] for m in row["messages"][1:]] == ["cat /data/x on host", "user!", "On.", "Done on host."]


@pytest.mark.parametrize("what, gone, kept", [
    ("recordings", [b"cat /data/x"], [b"Fix greet()", b"def test_greet"]),
    ("tests", [b"def test_greet"], [b"Fix greet()", b"cat /data/x"]),
    ("prompts", [b"Fix greet()", b"cat /data/x"], [b"def test_greet"]),
    ("prompts,tests,recordings", [b"Fix greet()", b"def test_greet", b"cat /data/x"], [])])
def test_without(run_cli, worked, workdir, what, gone, kept):
    run_cli("pack", "bench", "--public", "--without", what, "-o", "p.tar", check=0, env={"USER": "zdenka"})
    members = packed(workdir / "p.tar")
    everything = all_of(members)
    assert {w: [n for n, t in members.items() if w in t] for w in gone if w in everything} == {}
    assert [w for w in kept if w not in everything] == []
    run_cli("unpack", "p.tar", "--data-dir", "other", check=0)
    run_cli("summarize", "bench", "--data-dir", "other", check=0)


def written(workdir, text):
    """A rollout whose agent wrote TEXT."""
    (workdir / "data").mkdir()
    stored.write(workdir / "data", [trial("a", score=1)])
    (workdir / f"data/runs/{STAMP}-0/attempts/1/artifacts/diff.patch").write_text(f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n+{text}\n")


@pytest.mark.parametrize("text", ["token = sk-proj-Ab12cd34Ef56gh78", "ghp_" + "a1B2" * 9, "AKIA" + "Z9X8" * 4, "hf_" + "Q1w2" * 8,
                                  "GET /api?securityToken=" + "d9668359a6b2" * 2, 'x = {"client_secret": "' + "aB3d" * 6 + '"}', "Authorization: Bearer " + "aB3d" * 6,
                                  "-----BEGIN RSA PRIVATE KEY-----\nMII", "MY-OWN-VALUE-of-a-variable"])
def test_what_looks_like_a_key_is_refused(run_cli, workdir, text):
    written(workdir, text)
    env = {"ACME_API_KEY": "MY-OWN-VALUE-of-a-variable"}
    done = run_cli("pack", "bench", "--public", "-o", "p.tar", check=2, env=env)
    assert "attempts/1/artifacts/diff.patch:4: " in done.stderr and "must not become public" in done.stderr
    word = re.split(r"[ =\"]", text.split("\n")[0].rstrip('"}'))[-1] if "BEGIN" not in text else text.split("\n")[0]
    assert word not in done.stderr and not list(workdir.glob("p.tar*"))
    run_cli("pack", "bench", "-o", "private.tar", check=0, env=env)
    run_cli("pack", "bench", "--public", "--allow", word, "-o", "p.tar", check=0, env=env)


@pytest.mark.parametrize("text", ["task-1 sk-learn-is-nice", "risk-of-1234567890123456", "AKIArose", "see hf_hub_download_1", "TOKENS=123456789012345678901", "key: " + "0a" * 32, "API_KEY=os.environ['MY_API_KEY_OF_2024']", "http://host:80/a@b"])
def test_what_is_no_key(run_cli, workdir, text):
    written(workdir, text)
    run_cli("pack", "bench", "--public", "-o", "p.tar", check=0)


def test_what_cannot_be_replaced_is_refused(run_cli, workdir):
    """In files that are no text, and in other letters."""
    written(workdir, "x")
    file = workdir / f"data/runs/{STAMP}-0/attempts/1/artifacts/x.bin"
    file.write_bytes(b"\0\1" + str(workdir).encode() + b"\0")
    assert "x.bin:1: names this machine" in run_cli("pack", "bench", "--public", "-o", "p.tar", check=2).stderr
    file.write_text("by ZDENKA")
    assert "x.bin:1: names this machine" in run_cli("pack", "bench", "--public", "-o", "p.tar", check=2, env={"USER": "zdenka"}).stderr


def test_other_machines_and_people(run_cli, workdir):
    data = workdir / "data"
    data.mkdir()
    top = stored.write(data, [trial("a", score=1, reason="see /home/marek/x and /Users/li.wei/y, not /home/agent/z")])
    on_host(top, "gpu-07.cluster.example")
    (data / f"runs/{STAMP}-0/attempts/1/logs/agent.log").write_text("on gpu-07, from gpu-07.cluster.example and gpu-071\n")
    run_cli("pack", "bench", "--public", "-o", "p.tar", check=0)
    everything = all_of(packed(workdir / "p.tar"))
    assert b"marek" not in everything and b"li.wei" not in everything and b"/home/agent/z" in everything and b"/home/user/x" in everything
    assert b"on host, from host and gpu-071" in everything and b"cluster.example" not in everything


def test_mistakes(run_cli, workdir):
    for flags, words in ((["--without", "tests"], "go with --public"), (["--public", "--without", "keys"], "of prompts, tests, recordings")):
        assert words in run_cli("pack", "bench", "-o", "p.tar", *flags, check=2).stderr


def test_passwords_in_urls_are_told_and_not_stored(run_cli, make_task, make_bench, agent_script, workdir):
    agent = agent_script('echo "db is $DB, mail is $MAIL, here is $HERE, same is $SAME, task says $TASKS"', name="teller")
    make_bench({"prepared_dir": make_task("greet", files={".env": "TASKS=redis://x:s3cr3t-three@cache.example:6379\n"}), "model": "m", "environment_variables": {
        "DB": "postgres://app:s3cr3t-one@db.example/x", "MAIL": "smtp://me%40x:s3cr3t-two@mail/", "HERE": "http://u:pw-here@localhost:80/",
        "SAME": "postgres://postgres:postgres@db/x", "NONE": "https://example.com/a:b@c"}}, agent=agent)
    done = run_cli("run", "bench.toml", check=0)
    for name in ("variable DB", "variable MAIL", 'task "greet": environment variable TASKS'):
        assert f"{name} holds a password in a URL" in done.stdout, done.stdout
    assert "HERE" not in done.stdout and "SAME" not in done.stdout
    left = [str(p) for p in (workdir / "data").rglob("*") if p.is_file() and b"s3cr3t" in p.read_bytes()]
    assert left == []
    [run] = (workdir / "data/runs").iterdir()
    assert "db is postgres://app:***@db.example/x, mail is smtp://me%40x:***@mail/, here is http://u:pw-here@localhost:80/, same is postgres://postgres:postgres@db/x" in (
        run / "logs/agent.log").read_text()
    run_cli("resume", "bench", check=0)

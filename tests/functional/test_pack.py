# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as one file: what is in it, what is not, and that a file of somebody else can do no harm."""
import hashlib
import io
import json
import os
import shutil
import tarfile

import pytest
from conftest import read_rollout

pytestmark = pytest.mark.local("about files, not about sandboxes")

ONE = [("check.sh", "a", "test -f ok\n")]
RUBRICS = [{"id": "a", "criterion": "The rubric", "weight": 1.0}]
LONG = "a/" * 60 + "b" * 120  # beyond what a plain tar header holds


@pytest.fixture
def data(run_cli, make_task, make_bench, agent_script, workdir):
    """A rollout of two tasks, one of which brings a deep folder and a link."""
    plain, deep = (make_task(name, tests=ONE, rubrics=RUBRICS) for name in ("ta", "tb"))
    path = deep / "overlay_files" / LONG
    path.parent.mkdir(parents=True)
    path.write_text("deep\n")
    (deep / "overlay_files/link").symlink_to("a")
    agent = agent_script("touch ok\nln -s /etc/passwd ../notes.md\n")
    run_cli("run", make_bench(plain, deep, agent=agent, model="m"), "--tag", "kept", check=0)
    return workdir / "data"


def members(path):
    with tarfile.open(path) as archive:
        return {m.name: m for m in archive.getmembers()}


def modes(data):
    """Who may read and run what, of files and folders that a pack holds."""
    return {str(p.relative_to(data)): oct(p.lstat().st_mode) for top in ("runs", "cache/tasks") for p in (data / top).rglob("*")
            if not {"box", ".lock"} & set(p.parts)}


def test_a_pack_travels(run_cli, data, workdir):
    (data / "runs").joinpath(os.listdir(data / "runs")[0], "attempts/1/box").mkdir()
    [top] = data.glob("rollouts/bench/*")
    (top / "secret").write_text("s3cret")
    config = top / "config.toml"
    config.write_text(config.read_text() + "# git clone https://me:hunter2@host/x and http://host:80/@y\n")
    for name in ("one.tar", "two.tar"):
        done = run_cli("pack", "bench", "-o", name, check=0)
    assert "config.toml holds a password in a URL" in done.stderr and len(done.stderr.splitlines()) == 1
    assert (workdir / "one.tar").read_bytes() == (workdir / "two.tar").read_bytes()
    assert b"hunter2" not in (workdir / "one.tar").read_bytes()
    assert "is there already" in run_cli("pack", "bench", "-o", "one.tar", check=2).stderr
    names = members(workdir / "one.tar")
    inside = {name.partition("/")[2] for name in names}
    assert next(iter(names)) == f"bench@{top.name}/pack.json"
    assert not [name for name in inside if "mirrors" in name or "baselines" in name or "/box" in name or "secret" in name]
    assert all(m.uid == 0 and not m.uname for m in names.values())
    listed = {f["path"]: f for f in json.loads(
        tarfile.open(workdir / "one.tar").extractfile(f"bench@{top.name}/pack.json").read())["files"]}
    assert set(listed) == {n for n in inside if not names[f"bench@{top.name}/{n}"].isdir()} - {"pack.json"}

    # Another machine, where there is neither the benchmark file nor the tasks.
    before = read_rollout(data)
    for gone in ("data", "tasks", "repos", "bench.toml", "agents"):
        if (workdir / gone).exists():
            (workdir / gone).rename(workdir / f"{gone}.gone")
    said = run_cli("unpack", "one.tar", check=0).stdout
    assert "2 trials taken in" in said and f"read data/rollouts/bench/{top.name}/plan.json first" in said
    after = read_rollout(data)
    assert after.runs == before.runs and (after.dir / "tags").read_text() == "kept\n"
    assert {p.name for p in data.iterdir()} == {"rollouts", "runs", "cache"}
    assert modes(data) == modes(workdir / "data.gone")
    for path in before.dir.parents[2].with_name("data.gone").rglob("artifacts/diff.patch"):
        assert path.read_bytes() == (data / path.relative_to(workdir / "data.gone")).read_bytes()
    assert "https://me:***@host/x and http://host:80/@y" in (after.dir / "config.toml").read_text()
    assert "are here already" in run_cli("unpack", "one.tar", check=0).stdout
    assert "1.000" in run_cli("summarize", "bench", "--rollout", "kept", check=0).stdout


def test_it_grades_where_it_was_unpacked(run_cli, data, workdir):
    run_cli("pack", "bench", "-o", "one.tar", check=0)
    shutil.rmtree(data)
    with open(workdir / "one.tar", "rb") as archive:
        run_cli("unpack", "-", "--data-dir", "away", stdin=archive, check=0)
    run_cli("eval", "bench", "--data-dir", "away", check=0)
    rows = read_rollout(workdir / "away").manifest["results"]
    assert [row["total_score"] for row in rows] == [1.0, 1.0]


def altered(source, target, change):
    """Copy an archive; change(name, content) gives what follows it: [(TarInfo, bytes)], where None leaves it as it is."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for m in old.getmembers():
            content = old.extractfile(m).read() if m.isfile() else b""
            for info, data in change(m, content):
                info.size = len(data) if info.isfile() else 0
                new.addfile(info, io.BytesIO(data))


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info


def listing(content, *more):
    doc = json.loads(content)
    doc["files"] += more
    return json.dumps(doc).encode()


def entry(path, data):
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


BAD = [
    ("changed", "it is not what pack.json says"),
    ("missing", "it is missing"),
    ("added", "pack.json does not list it"),
    ("twice", "pack.json does not list it, or it comes twice"),
    ("outside", "it lies outside of the rollout's folder"),
    ("absolute", "it lies outside of the rollout's folder"),
    ("link above", "there can be no link"),
    ("through a link", "pack.json"),
    ("hard link", "neither a file, a folder nor a link"),
    ("cut", "the archive ends too early"),
    ("no pack", "this was not made by rollouts pack"),
    ("no tar", "no tar archive"),
    ("gzip", "gzip -dc bad.tar | rollouts unpack -"),
]


def spoil(workdir, kind):
    """bad.tar becomes good.tar with one fault."""
    top = next(iter(members(workdir / "good.tar"))).partition("/")[0]

    def change(m, content):
        name = m.name.partition("/")[2]
        if name == "pack.json":
            if kind == "no pack":
                return []
            if kind in ("outside", "absolute", "link above", "through a link"):
                evil = {"outside": "../evil", "absolute": "/tmp/evil", "link above": "runs",
                        "through a link": "runs/x/y/evil"}[kind]
                more = [{"path": evil, "link": "/tmp"}] if kind == "link above" else [entry(evil, b"x")]
                if kind == "through a link":
                    more.append({"path": "runs/x/y", "link": str(workdir)})
                extra = {"outside": member(f"{top}/../evil"), "absolute": member("/tmp/evil"),
                         "link above": member(f"{top}/runs", tarfile.SYMTYPE, "/tmp")}.get(kind)
                rest = [(extra, b"x")] if extra else [
                    (member(f"{top}/runs/x/y", tarfile.SYMTYPE, str(workdir)), b""),
                    (member(f"{top}/runs/x/y/evil"), b"x"), (member(f"{top}/runs/x/y/made", tarfile.DIRTYPE), b"")]
                return [(m, listing(content, *more)), *rest]
            if kind == "added":
                return [(m, content), (member(f"{top}/runs/x/evil"), b"x")]
            if kind == "hard link":
                return [(m, content), (member(f"{top}/runs/x", tarfile.LNKTYPE, "pack.json"), b"")]
        if name.endswith("plan.json"):
            return {"changed": [(m, content.replace(b"1", b"2"))], "missing": [],
                    "twice": [(m, content), (m, content)]}.get(kind, [(m, content)])
        return [(m, content)]

    bad = workdir / "bad.tar"
    altered(workdir / "good.tar", bad, change)
    if kind == "cut":
        bad.write_bytes(bad.read_bytes()[:30000])
    if kind == "no tar":
        bad.write_bytes(b"hello" * 1000)
    if kind == "gzip":
        bad.write_bytes(b"\x1f\x8b" + b"x" * 1000)


def test_nothing_is_taken_of_what_is_not_whole(run_cli, data, workdir):
    run_cli("pack", "bench", "-o", "good.tar", check=0)
    shutil.rmtree(data)
    for kind, said in BAD:
        spoil(workdir, kind)
        done = run_cli("unpack", "bad.tar")
        assert done.returncode in (2, 3) and len(done.stderr.splitlines()) == 1, (kind, done)
        assert said in done.stderr or kind == "through a link", (kind, done)
        assert not list(data.glob("rollouts/*/*/plan.json")) and not list(data.glob("runs/*"))
        assert not list(data.glob(".unpack*"))
        assert not (workdir / "evil").exists() and not (workdir / "made").exists()
        assert not os.path.exists("/tmp/evil")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image a trial runs in: what a tag means today, what a rollout keeps, what is refused."""
import json
import os
import signal
import subprocess
import tarfile

import pytest

import engines
from conftest import only, wait_for


@pytest.fixture
def run_docker(run_cli, engine):
    def run(*args, verb="run", env=None, **more):
        return run_cli(verb, *args, env={"DOCKER_HOST": engine.host, **(env or {})}, timeout=300, **more)

    return run


@pytest.fixture
def tag(engine, workdir):
    """tag(name, text, base): an image with /which saying TEXT, under a name that may have meant another."""
    made = set()

    def make(name, text, base=engines.BUSYBOX):
        folder = workdir / f"image-{len(text)}-{text}"
        folder.mkdir(exist_ok=True)
        (folder / "which").write_text(text)
        (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY which /which\n")
        engine.client("build", "-q", "-t", name, str(folder))
        made.add(name)
        return engine.client("inspect", "--format", "{{.Id}}", name)

    yield make
    for name in made:
        engine.client("rmi", "-f", name, check=False)


@pytest.fixture
def bench(make_task, make_bench, agent_script):
    """A task in an image of busybox whose agent tells what /which says."""
    def make(dockerfile=None, image=None, files=None, script="cat /which > seen; cat /which >&2", **keys):
        folder = make_task("moving", files={**({"Dockerfile": dockerfile} if dockerfile else {}), **(files or {})},
                           meta={"docker_image": image} if image else {},
                           tests=[("t.sh", "works", "true\n", {"command": "sh \"$ROLLOUTS_TEST\""})])
        agent = agent_script(script, argv=["sh", "{home}/agent.sh"])
        return make_bench({"prepared_dir": folder}, agent=agent, model="m", **{"evaluate": False, **keys})

    return make


def seen(workdir, result):
    return (workdir / "data/runs" / result["run_id"] / "artifacts/diff.patch").read_text()


@pytest.mark.parametrize("kind", ["named", "base"])
def test_a_tag_that_moved_is_noticed(run_docker, tag, bench, rollout, workdir, kind):
    first = tag("moving:1", "one")
    config = bench(image="moving:1") if kind == "named" else bench("ARG B=moving\nFROM ${B}:1\nENV X=y\n")
    done = run_docker(config, check=0)
    assert "+one" in seen(workdir, only(rollout())) and "ago" in done.stdout
    again = run_docker(config, check=0)
    assert "building" not in again.stdout and "another one" not in again.stdout
    second = tag("moving:1", "other")
    assert first != second
    done = run_docker(config, check=0)
    result = only(rollout())
    assert "+other" in seen(workdir, result) and "another one than the last time" in done.stdout
    trial = json.loads((workdir / "data/runs" / result["run_id"] / "attempts/1/trial.json").read_text())["trial"]
    assert result["image_id"] == trial["image_id"] and result["image_id"].startswith("sha256:")
    if kind == "named":
        assert result["image_id"] == second
    # From another data folder as well.
    done = run_docker(config, "--data-dir", "other", check=0)
    assert result["image_id"][:19] in done.stdout


def test_resume_keeps_the_image_or_stops(run_docker, tag, bench, engine, rollout, workdir):
    first = tag("kept:1", "kept")
    engine.client("tag", first, "kept:old")
    config = bench(image="kept:1", script="true")
    run_docker(config, check=0)
    tag("kept:1", "other")
    config.write_text(config.read_text().replace("evaluate = false", "evaluate = false\nrollouts = 2", 1))
    done = run_docker("bench", "--config", config, verb="resume", check=0)
    found = rollout().runs.values()
    assert len(found) == 2 and {r["image_id"] for r in found} == {first}, done.stdout
    engine.client("rmi", "-f", "kept:old", check=False)
    engine.client("rmi", "-f", first, check=False)
    config.write_text(config.read_text().replace("rollouts = 2", "rollouts = 3"))
    done = run_docker("bench", "--config", config, verb="resume", check=2)
    assert "no longer in the engine" in done.stdout + done.stderr and first[:19] in done.stdout + done.stderr


def load_foreign(engine, workdir):
    """An image that says it is for another processor, as foreign:1."""
    engine.client("save", "-o", str(workdir / "saved.tar"), engines.BUSYBOX)
    folder = workdir / "saved"
    with tarfile.open(workdir / "saved.tar") as tar:
        tar.extractall(folder)
    manifest = json.loads((folder / "manifest.json").read_text())[:1]
    config = json.loads((folder / manifest[0]["Config"]).read_text())
    (folder / "foreign.json").write_text(json.dumps({**config, "architecture": "s390x"}))
    (folder / "manifest.json").write_text(json.dumps([{**manifest[0], "Config": "foreign.json", "RepoTags": ["foreign:1"]}]))
    with tarfile.open(workdir / "foreign.tar", "w") as tar:
        for name in ("manifest.json", "foreign.json", *manifest[0]["Layers"]):
            tar.add(folder / name, name)
    engine.client("load", "-i", str(workdir / "foreign.tar"))


def test_an_image_for_another_processor_is_refused(run_docker, engine, bench, rollout, workdir):
    load_foreign(engine, workdir)
    try:
        config = bench(image="foreign:1", script="true")
        done = run_docker(config, check=2)
        assert "linux/s390x" in done.stderr + done.stdout and "--allow-emulation" in done.stderr + done.stdout
        done = run_docker(config, "--allow-emulation", check=0)
        assert only(rollout())["platform"] == "linux/s390x" and "emulated" in done.stdout
    finally:
        engine.client("rmi", "-f", "foreign:1", check=False)


def content_of(engine, image):
    box = engine.client("create", image, "/bin/true")
    try:
        listing = engine.client("export", "-o", str(engine.top / "look.tar"), box)
        with tarfile.open(engine.top / "look.tar") as tar:
            return {m.name: (m.mode & 0o777, int(m.mtime), tar.extractfile(m).read().decode() if m.isfile() and m.size < 9999 else listing)
                    for m in tar.getmembers() if m.name.startswith("all")}
    finally:
        engine.client("rm", box)
        (engine.top / "look.tar").unlink(missing_ok=True)


def test_the_environment_is_in_the_tasks_identity(run_docker, bench, rollout, workdir):
    files = {"setting": "one\n", "unused": "x\n"}
    config = bench(f"FROM {engines.BUSYBOX}\nCOPY setting /which\n", files=files)
    run_docker(config, check=0)
    first = only(rollout())
    (workdir / "tasks/moving/unused").write_text("changed\n")
    done = run_docker("bench", "--config", config, verb="resume", check=0)
    assert "nothing is missing" in done.stdout and len(rollout().runs) == 1
    (workdir / "tasks/moving/setting").write_text("two\n")
    refused = run_docker("bench", "--config", config, verb="resume", check=2)
    assert 'task "moving"' in refused.stderr and "is not what it was" in refused.stderr
    # Two environments are two benchmarks: the first stays as it is, and nothing averages them.
    assert only(rollout()) == first
    run_docker(config, check=0)
    stamps = sorted(p.name for p in (workdir / "data/rollouts/bench").iterdir())
    again = only(rollout(stamp=stamps[-1]))
    assert len(stamps) == 2 and again["task_hash"] != first["task_hash"] and again["image_id"] != first["image_id"]


def test_the_context_is_what_copy_names_and_dockerignore_leaves(run_docker, bench, rollout, workdir, engine):
    files = {"src/a.txt": "a\n", "src/deep/.env": "K=sk-SECRET\n", "src/.npmrc": "//r/:_authToken=npm-SECRET\n",
             "src/id_rsa": "KEY-SECRET\n", "src/skip.log": "log\n", "src/keep.log": "keep\n", "src/private.sh": "#!/bin/sh\n",
             "src/answer.txt": "true\n", "my file": "space\n", "one.cfg": "1\n", "node_modules/big/x": "x\n",
             ".dockerignore": "**/*.log\n!src/keep.log\n# no\n/node_modules/\n"}
    config = bench(f'FROM {engines.BUSYBOX}\nCOPY src/. ./all/\nCOPY ./one.cfg src//..//one.cfg /all/n/\n'
                   'COPY ["my file", "/all/spaced"]\nCOPY *.cfg /all/g/\n', files=files, script="true")
    folder = workdir / "tasks/moving"
    (folder / "src/private.sh").chmod(0o600)
    os.utime(folder / "src/a.txt", (1000000000, 1000000000))
    os.mkfifo(folder / "pipe")
    os.symlink("/etc/passwd", folder / "outside")
    os.symlink("/etc/passwd", folder / "src/link")
    done = run_docker(config, check=0)
    result = only(rollout())
    found = content_of(engine, result["image_id"])
    names = {name.removeprefix("all/") for name in found}
    assert {"a.txt", "keep.log", "private.sh", "spaced", "n/one.cfg", "g/one.cfg", "link"} <= names, names
    assert not names & {"skip.log", ".npmrc", "id_rsa", "deep/.env", "answer.txt"}, names
    assert found["all/private.sh"][0] == 0o600 and found["all/a.txt"][1] == 1000000000
    assert "kept out of the image" in done.stdout and "src/.npmrc" in done.stdout
    (folder / "README").write_text("no COPY touches this\n")
    (folder / "src/more.log").write_text("left out\n")
    assert "building" not in run_docker(config, "--data-dir", "other", check=0).stdout


def test_an_ignore_file_that_lists_what_comes_back(run_docker, bench, rollout, engine):
    files = {"src/index.ts": "x\n", "src/gone/y": "y\n", "docs/readme.md": "d\n", "docs/other": "o\n", "main.py": "m\n",
             ".dockerignore": "**\n!src/index.ts\n!docs/readme.md\n!main.py\n"}
    run_docker(bench(f"FROM {engines.BUSYBOX}\nCOPY . /all/\n", files=files, script="true"), check=0)
    found = {name for name in content_of(engine, only(rollout())["image_id"]) if name.startswith("all/")}
    assert {name.removeprefix("all/").rstrip("/") for name in found} - {""} == {"src", "src/index.ts", "docs", "docs/readme.md", "main.py"}, found


def test_the_image_speaks_for_itself(run_docker, bench, rollout, workdir):
    config = bench(f'FROM {engines.BUSYBOX}\nENV LANG=de_DE.UTF-8 TMPDIR=/var/tmp\nENTRYPOINT ["/bin/busybox", "env"]\n',
                   script="env > seen", cpus=4096)
    done = run_docker(config, check=0)
    assert "its ENTRYPOINT runs beside agent and tests (/bin/busybox env)" in done.stdout
    text = seen(workdir, only(rollout()))
    assert "+LANG=de_DE.UTF-8" in text and "+TMPDIR=/var/tmp" in text


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_builds(start_cli, bench, engine, workdir, how):
    config = bench(f"FROM {engines.BASE}\nRUN sleep 301.{int(how)}\n")
    started = start_cli("run", config, env={"DOCKER_HOST": engine.host})

    def builds():
        found = subprocess.run(["pgrep", "-f", f"sleep 301.{int(how)}$"], capture_output=True, text=True).stdout.split()
        return found

    wait_for(builds, timeout=60)
    started.send_signal(how)
    out, _ = started.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert started.returncode == 130 and "rollouts resume bench" in out, (started.returncode, out)
    wait_for(lambda: not builds(), timeout=30)

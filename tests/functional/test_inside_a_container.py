# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/inside-a-container.md as printed: all that is typed is its `docker run` and `make quickstart`.

The images are Debian 12 and 13 with the packages of tools/packages.txt, made by debootstrap and kept as tar files in
$ROLLOUTS_TEST_CACHE (~/.cache/rollouts-tests). Containers here have no network.
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import engines
from conftest import SOURCE
from test_aws_batch import aws, bench, keys  # noqa: F401

CACHE = Path(os.environ.get("ROLLOUTS_TEST_CACHE", "~/.cache/rollouts-tests")).expanduser()
PAGE = (SOURCE / "docs/inside-a-container.md").read_text()
[PRINTED] = re.findall(r"^(docker run .*) IMAGE$", PAGE, re.M)
[PRINTED_PODMAN] = re.findall(r"^(podman run .*) IMAGE$", PAGE, re.M)
CHECKOUT = "/home/dev/rollouts"
SUITES = {"12": "bookworm", "13": "trixie"}


def packages():
    rows = (line.split() for line in (SOURCE / "tools/packages.txt").read_text().splitlines())
    return ",".join(row[1] for row in rows if row and row[0] in ("build", "run"))


def root_file_system(suite):
    """Path of a tar file of it."""
    tar = CACHE / f"debian-{suite}-{hashlib.sha256(packages().encode()).hexdigest()[:12]}.tar"
    if tar.exists():
        return tar
    engines.need("debootstrap")
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"debian-{suite}-*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    root = CACHE / f"debian-{suite}-new"
    made = subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages()}", suite, root],
                          capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(root, ignore_errors=True)
        engines.unavailable(f"debootstrap {suite}: {made.stdout[-500:]}")
    subprocess.run(["chroot", root, "useradd", "--create-home", "--uid", "1000", "dev"], check=True)
    subprocess.run(["tar", "-C", root, "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*",
                    "--exclude=./usr/share/doc", "--exclude=./usr/share/man", "-cf", f"{tar}.part", "."], check=True)
    shutil.rmtree(root)
    os.rename(f"{tar}.part", tar)
    return tar


@pytest.fixture(scope="module")
def load(dockerd):
    loaded = set()

    def load(suite):
        if suite not in loaded:
            path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            dockerd.client("import", "--change", path, str(root_file_system(suite)), f"debian-{suite}")
            loaded.add(suite)
        return f"debian-{suite}"

    return load


@pytest.fixture(params=[pytest.param("12", marks=pytest.mark.long), "13"])
def debian(request, load):
    return load(SUITES[request.param])


@pytest.fixture
def checkout(workdir):
    """A clone, as a newcomer has it, that belongs to the ordinary user of the image."""
    top = workdir / "checkout"
    files = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], capture_output=True, check=True).stdout
    top.mkdir()
    subprocess.run(f"tar -C '{SOURCE}' --null --files-from=- -cf - | tar -C '{top}' -xf -", shell=True, input=files, check=True)
    subprocess.run(["chown", "-R", "1000:1000", top], check=True)
    return top


def add_programs(build_dir, checkout):
    """What is built here, where a container finds it: built for a C library that is not newer than Debian 13's."""
    (checkout / "build").mkdir()
    for name in ("rollouts", "rollouts-trial", "rollouts-init", "rollouts-docker", "rollouts-gateway", "seccomp.bpf", "seccomp-landlock.bpf",
                 "seccomp-landlock-tcp.bpf"):
        shutil.copy(build_dir / name, checkout / "build" / name)


@pytest.fixture
def run_in(dockerd, checkout):
    """run_in(printed command, user, image, command): in a container of that."""
    def run(printed, user, image, command):
        docker, *options = printed.split()
        assert docker == "docker"
        home = "/root" if user == "root" else f"/home/{user}"
        return subprocess.run(["docker", *options, "--rm", "--user", user, "--env", f"HOME={home}", "--workdir", CHECKOUT,
                               "--volume", f"{checkout}:{CHECKOUT}", image, "sh", "-c", command],
                              env={**os.environ, "DOCKER_HOST": dockerd.host}, capture_output=True, text=True, timeout=900)

    return run


def check_tables(done):
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "✓ All 24 tasks completed!" in done.stdout and re.search(r"^overall .* 24/24 ", done.stdout, re.M), done.stdout
    assert "sandbox=landlock" not in done.stdout and "weaker" not in done.stdout + done.stderr


# What quickstart runs once all is built, as it prints it.
QUICKSTART = """lines=$(make -n quickstart | grep '^build/rollouts [rs]') && echo "$lines" && tools/check-kernel && eval "$lines" """


@pytest.mark.long
def test_a_newcomer_builds_and_ends_in_the_tables(run_in, debian):
    """As an ordinary user, who builds, then as root, who finds it built."""
    for user in ("dev", "root"):
        check_tables(run_in(PRINTED, user, debian, "make quickstart"))


def test_quickstart_ends_in_the_tables(run_in, debian, build_dir, checkout):
    """In a volume, and on the container's own files."""
    add_programs(build_dir, checkout)
    for user in ("dev", "root"):
        check_tables(run_in(PRINTED, user, debian, QUICKSTART))
    for user in ("dev", "root"):
        done = run_in(PRINTED, user, debian, "build/rollouts doctor && cd ~ && ~dev/rollouts/build/rollouts doctor --data-dir data && "
                      "~dev/rollouts/build/rollouts run ~dev/rollouts/examples/hello/hello.toml --rollouts 1 -j8")
        assert done.returncode == 0, done.stdout + done.stderr
        in_volume, on_its_own, _ = done.stdout.split("Ready to run.")
        assert "put the data folder on a volume" in on_its_own and "on a volume" not in in_volume
        assert "✓ All 6 tasks completed!" in done.stdout


STARTER = """#!/usr/bin/python3
import os, sys
given = [word for name in os.environ if name.startswith("AWS_") for word in ("--env", name)]
os.execvp("docker", {before} + given + {after} + sys.argv[1:])
"""


def test_jobs_of_aws_batch_are_such_containers(run_cli, dockerd, load, checkout, build_dir, aws, bench, rollout, workdir):  # noqa: F811
    """The evaluation truly runs in a container with the rights that it needs, and what it made comes back by way of the bucket."""
    add_programs(build_dir, checkout)
    for name in ("rollouts-cloud", "rollouts-node"):
        shutil.copy(build_dir / name, checkout / "build" / name)
    options = [*PRINTED.split(), "--rm", "--network", "host", "--volume", f"{checkout}:{CHECKOUT}"]
    start = workdir / "start"
    start.write_text(STARTER.format(before=options, after=[load("trixie"), f"{CHECKOUT}/build/rollouts"]))
    start.chmod(0o755)
    server = aws(run=[str(start)], environment={"DOCKER_HOST": dockerd.host})
    path = bench({"image": "debian-trixie"}, rollouts=2, parallel=2)
    done = run_cli("run", path, "--launcher", "batch", env=server.environment, timeout=300)
    assert done.returncode == 0, done.stdout + str(server.batch.logs)
    assert [t["total_score"] for t in rollout("far").runs.values()] == [1.0] * 2
    assert len(keys(server, "archives/2")) == 2
    ran = [json.loads(o["body"]) for k, o in server.store.buckets["bkt"].items() if "/results/2" in k]
    assert {r["result"]["sandbox"] for r in ran} == {"local"}


NO_LANDLOCK = "--security-opt seccomp=" + str(Path(__file__).parent / "no-landlock.json")


@pytest.mark.parametrize("user", ["dev", "root"])
def test_where_nothing_starts_the_printed_line_is_the_answer_at_once(run_in, debian, user, checkout):
    done = run_in(f"docker run {NO_LANDLOCK}", user, debian, "make quickstart")
    assert done.returncode != 0 and "installing" not in done.stdout and not (checkout / "build").exists()
    assert f"start this container with: {PRINTED}\n" in done.stderr, done.stderr


def check_marked_tables(done):
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "✓ All 24 tasks completed!" in done.stdout and re.search(r"^overall .* 24/24 ", done.stdout, re.M), done.stdout
    assert f"start this container with: {PRINTED}\n" in done.stderr and "in a weaker sandbox" in done.stderr
    assert "[rollouts] sandbox=landlock" in done.stdout
    assert "All 24 trials ran in a weaker sandbox (landlock)" in done.stdout, done.stdout


@pytest.mark.parametrize("user", ["dev", "root"])
def test_without_options_quickstart_ends_in_marked_tables(landlock, run_in, load, user, build_dir, checkout):
    """Root as well where the way to its own folder is closed to the users of trials."""
    add_programs(build_dir, checkout)
    check_marked_tables(run_in("docker run", user, load("trixie"), QUICKSTART))
    if user == "root":
        done = run_in("docker run", user, load("trixie"), f"cp -r . /root/rollouts && cd /root/rollouts && {QUICKSTART}")
        check_marked_tables(done)
        assert "hello.toml --allow-weaker-sandbox --data-dir /var/lib/rollouts\n" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("user", ["dev", "root"])
def test_without_options_a_newcomer_builds_and_ends_in_marked_tables(landlock, run_in, debian, user):
    check_marked_tables(run_in("docker run", user, debian, "make quickstart"))


@pytest.mark.parametrize("user", ["dev", "root"])
@pytest.mark.parametrize("given", ["", "--security-opt seccomp=unconfined", "--security-opt systempaths=unconfined"])
def test_a_run_says_the_printed_line(run_in, load, user, given, build_dir, checkout):
    """Whatever part of it was given already, once, and leaves no rollout; so does doctor."""
    add_programs(build_dir, checkout)
    done = run_in(f"docker run {given}", user, load("trixie"), "build/rollouts run examples/hello/hello.toml; echo status $?; "
                  "ls data/rollouts/hello; build/rollouts doctor")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("rollouts: ")]
    assert f"start it with: {PRINTED} (docs" in line and "status 3" in done.stdout, done
    assert "cannot access 'data/rollouts/hello'" in done.stderr, done.stderr
    assert f"start it with: {PRINTED} (docs" in done.stdout, done.stdout


def test_root_without_capabilities_is_told_to_be_somebody_else(run_in, load, build_dir, checkout):
    add_programs(build_dir, checkout)
    done = run_in(f"{PRINTED} --cap-drop ALL", "root", load("trixie"), "build/rollouts doctor")
    assert "start as an ordinary user (docker run --user 1000), or with --cap-add SETFCAP" in done.stdout, done.stdout
    assert run_in(f"{PRINTED} --cap-drop ALL", "dev", load("trixie"), "build/rollouts doctor").returncode == 0


@pytest.mark.parametrize("user", ["dev", "root"])
def test_podman(podman, user, build_dir, checkout):
    """Its own default refuses less than Docker's and needs less; a trial then ends in a score."""
    if "localhost/debian-trixie" not in podman.client("images", "--format", "{{.Repository}}"):
        podman.client("import", str(root_file_system("trixie")), "debian-trixie")
    add_programs(build_dir, checkout)

    def run(printed, command):
        _, *options = printed.split()
        own = [word for name in ("root", "run", "tmp") for word in (f"--{name.replace('run', 'runroot').replace('tmp', 'tmpdir')}", podman.top / name)]
        return subprocess.run(["unshare", "--mount", "--propagation", "slave", "podman", *own, *options, "--rm", "--network", "none",
                               "--user", user, "--workdir", "/tmp", "--volume", f"{checkout}:{CHECKOUT}", "debian-trixie", "sh", "-c", command],
                              env={**os.environ, "CONTAINERS_CONF": str(podman.top / "containers.conf"), "TMPDIR": "/tmp"},
                              capture_output=True, text=True, timeout=300)

    hello = f"{CHECKOUT}/build/rollouts run {CHECKOUT}/examples/hello/hello.toml --rollouts 1"
    refused = run("podman run", hello)
    assert refused.returncode == 3 and f"start it with: {PRINTED_PODMAN} (docs" in refused.stderr, refused
    done = run(PRINTED_PODMAN, hello)
    assert done.returncode == 0 and "✓ All 6 tasks completed!" in done.stdout, done

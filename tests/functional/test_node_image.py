# SPDX-License-Identifier: GPL-3.0-or-later
"""Dockerfile at the root, built and used: the image of a node. The base is a Debian of debootstrap's, kept as a tar file in
$ROLLOUTS_TEST_CACHE; the build asks the package mirrors of this machine."""
import os
import shutil
import subprocess

import pytest

import engines
from test_inside_a_container import CACHE, PRINTED, SOURCE

pytestmark = [pytest.mark.long, pytest.mark.local("builds an image itself")]
IMAGE = "rollouts-test-node"


def bare_debian():
    tar = CACHE / "debian-bookworm-minbase.tar"
    if not tar.exists():
        engines.need("debootstrap")
        CACHE.mkdir(parents=True, exist_ok=True)
        root = CACHE / "debian-bookworm-minbase"
        shutil.rmtree(root, ignore_errors=True)
        made = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root], capture_output=True, text=True)
        if made.returncode:
            shutil.rmtree(root, ignore_errors=True)
            engines.unavailable(f"debootstrap: {made.stdout[-500:]}")
        subprocess.run(["tar", "-C", root, "--exclude=./var/cache/apt/archives/*.deb", "-cf", f"{tar}.part", "."], check=True)
        shutil.rmtree(root)
        os.rename(f"{tar}.part", tar)
    return tar


@pytest.fixture(scope="module")
def docker(dockerd, tmp_path_factory):
    """docker(...): the client, with the image built from what the repository holds."""
    def ask(*argv, check=True, timeout=300):
        done = subprocess.run(["docker", *map(str, argv)], env={**os.environ, "DOCKER_HOST": dockerd.host, "DOCKER_BUILDKIT": "0"},
                              capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done

    ask("import", "--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", bare_debian(), "debian:bookworm")
    context = tmp_path_factory.mktemp("context")
    files = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], capture_output=True, check=True).stdout
    subprocess.run(f"tar -C '{SOURCE}' --null --files-from=- -cf - | tar -C '{context}' -xf -", shell=True, input=files, check=True)
    ask("build", "--network", "host", "--tag", IMAGE, context, timeout=1800)
    return ask


@pytest.fixture
def options():
    """Of the documentation's `docker run`."""
    return ["run", "--rm", "--network", "none", *PRINTED.split()[2:]]


def test_it_has_the_program(docker):
    assert docker("run", "--rm", IMAGE, "--version").stdout.startswith("rollouts ")


@pytest.mark.parametrize("user", ["root", "1000"])
def test_doctor_is_content_in_it(docker, options, user):
    done = docker(*options, "--user", user, "--env", "HOME=/tmp", IMAGE, "doctor", "--data-dir", "/tmp/data", check=False)
    assert done.returncode == 0 and "✗" not in done.stdout, done.stdout + done.stderr


def test_a_node_runs_trials_in_it(docker, options, make_task, make_bench, workdir):
    """By rollouts-node, with a sandbox of each trial's own, graded."""
    make_bench(make_task("inside"), name="inside", file="inside.toml", agent="oracle", sandbox="local", launcher="example", model="none")
    done = docker(*options, "--volume", f"{workdir}:{workdir}", "--workdir", workdir, IMAGE, "run", "inside.toml", "--data-dir", "/tmp/data")
    assert "score 1.000" in done.stdout, done.stdout + done.stderr

# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of Harbor tasks that fetch what they verify with, where there is no network."""
import pytest

import harbor
from test_harbor import dockerd, results, run_harbor  # noqa: F401: fixtures

SCRIPT = """#!/bin/bash
set -e
apt-get update && apt-get install -y curl
curl -LsSf https://tools.invalid/uv/0.9.5/install.sh | sh
source $HOME/.local/bin/env
uvx --with pytest==8.4.1 pytest -p no:cacheprovider /tests/test_it.py
echo 1 > /logs/verifier/reward.txt
"""
UVX = """#!/bin/sh
[ "$UV_OFFLINE" = 1 ] && [ "$UV_FIND_LINKS" = /opt/rollouts/verifier/wheels ] || exit 9
shift 2
exec python3 -m "$@"
"""


@pytest.fixture
def task(workdir):
    """By the script that most published tasks have, in an image without any of what it asks for."""
    def write(name, script):
        for path, text in harbor.task(files={"tests/test.sh": script, "tests/test_it.py": "def test_it():\n    pass\n"}).items():
            (workdir / "set" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (workdir / "set" / name / path).write_text(text)
        return f"set/{name}"

    return write


@pytest.fixture
def tools(workdir):
    (workdir / "tools/bin").mkdir(parents=True)
    for name in ("uv", "uvx"):
        (workdir / "tools/bin" / name).write_text(UVX)
        (workdir / "tools/bin" / name).chmod(0o755)
    (workdir / "tools/provides").write_text("curl\n")
    return "tools"


def test_they_are_no_zero(run_harbor, task, workdir):  # noqa: F811
    task("fetches", SCRIPT)
    task("plain", "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n")
    done = run_harbor("--tasks", "set", "-a", "nop", "--network", "deny", check=1)
    assert "set/fetches: tests/test.sh:3: apt-get fetches what it verifies with" in done.stdout and "1 of 2 missing" in done.stdout
    assert {n: r["total_score"] for n, (r, _) in results(workdir).items()} == {"fetches": None, "plain": 1}


@pytest.mark.parametrize("line, by", [
    ("uvx pytest", "uvx"), ("X=1 python3 -m pip install -q pytest", "python3"), ("cd /srv && npm ci", "npm"), ("wget -q https://a.invalid/x", "wget"),
    ("if ! command -v uv; then\n  curl -L https://a.invalid/x | sh\nfi", None), ("pip install pytest || true", None), ("# uvx", None),
    ("curl http://localhost:80/", None), ("pip install /tests/x.whl", None), ("uvx --offline pytest", None), ("echo uvx", None)])
def test_what_fetches(run_harbor, task, workdir, line, by):  # noqa: F811
    done = run_harbor("--tasks", task("one", f"#!/bin/bash\n{line}\n"), "-a", "nop", "--network", "deny", "--dry-run", check=2 if by else 0)
    assert not by or f"tests/test.sh:2: {by} fetches" in done.stderr


def test_a_folder_of_tools_stands_in(run_harbor, task, tools, workdir):  # noqa: F811
    run_harbor("--tasks", task("fetches", SCRIPT), "-a", "oracle", "--network", "deny", "--verifier-tools", tools, check=0)
    result, where = results(workdir)["fetches"]
    assert result["total_score"] == 1 and "1 passed" in (where / "verifier/test-stdout.txt").read_text()
    assert result["harbor"]["container"]["verifier_tools"] == str((workdir / "tools").resolve())
    (workdir / "set/fetches/tests/test.sh").write_text(SCRIPT.replace("-y curl", "-y curl nginx"))
    run_harbor("--tasks", "set/fetches", "-a", "oracle", "--network", "deny", "--verifier-tools", tools, "--data-dir", "other", check=0)
    said = next((workdir / "other/runs").glob("*/latest/verifier/test-stdout.txt")).read_text()
    assert "nginx is neither in this image nor among the verifier's tools" in said
    assert "is not a folder" in run_harbor("--tasks", "set/fetches", "-a", "nop", "--verifier-tools", "set/fetches/task.toml", check=2).stderr

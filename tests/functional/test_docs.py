# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation names what there is, and its links lead somewhere."""
import re
import subprocess

import pytest

from conftest import SOURCE

PAGES = sorted([*SOURCE.glob("*.md"), *(SOURCE / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", ["docs/configuration.md", "man/rollouts-bench.5"])
def test_every_key_is_documented(page):
    text = (SOURCE / page).read_text()
    table = re.findall(r'\[KEY_\w+\] =\s*\{\s*"(\w+)",\s*\w+,\s*(\w+)', (SOURCE / "src/config/config-keys.c").read_text())
    keys = [key for key, scope in table if scope != "0"]  # the others are flags only
    assert len(keys) > 20
    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []


def verbs(run_cli):
    return re.findall(r"^  ([a-z]+)  ", run_cli("--help", check=0).stdout, re.M)


def test_every_command_is_in_the_manual(run_cli):
    text = (SOURCE / "man/rollouts.1").read_text()
    found = verbs(run_cli)
    assert "help" in found
    assert [verb for verb in found if f"Cm {verb}" not in text] == []


def test_every_command_explains_itself_with_examples(run_cli):
    for verb in verbs(run_cli):
        if verb != "help":
            assert f"rollouts {verb}" in run_cli("help", verb, check=0).stdout


def test_bash_completion(run_cli, binary, workdir):
    """Verbs, options of a verb and names of benchmarks are offered."""
    (workdir / "data/rollouts/nightly").mkdir(parents=True)
    script = f"""
source {SOURCE}/share/completions/rollouts.bash
complete_line() {{ COMP_WORDS=({binary} "$@"); COMP_CWORD=$#; _rollouts; echo "${{COMPREPLY[@]}}"; }}
complete_line su
complete_line summarize --da
complete_line summarize ni
"""
    done = subprocess.run(["bash", "-c", script], cwd=workdir, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["summarize", "--data-dir", "nightly"], done.stderr

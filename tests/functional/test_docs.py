# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation names what there is, and its links lead somewhere."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess

import pytest

from conftest import SOURCE, put, wait_for

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
    keys = [key for key, scope in table if scope != "SCOPE_FLAG"]  # the others are flags only
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


# What is typed, the last word to be completed, and what is offered for it. zsh looks at its cursor only.
PARTS = ["agent", "diff", "errors", "eval", "llm", "notes", "result", "score", "transcript", "worker"]
COMPLETIONS = [
    ("su", ["summarize"]),
    ("gat", ["gateway"]),
    ("help ag", ["agents"]),
    ("summarize --da", ["--data-dir"]),
    ("run --rep", ["--replay", "--replay-or-live"]),
    ("gateway --", ["--any-address", "--config", "--listen", "--provider", "--socket"]),
    ("doctor --m", ["--models"]),
    ("summarize ni", ["nightly"]),
    ("summarize nightly --rollout 2025", ["20250824__12-34-56"]),
    ("summarize nightly --rollout b", ["base"]),
    ("run b.toml --replay n", ["nightly@20250824__12-34-56"]),
    ("run b.toml --sandbox d", ["docker"]),
    ("resume nightly --retry re", ["replay_diverged"]),
    ("run b.toml --agent co", ["codex"]),
    ("run b.toml --agent my", ["mybot"]),
    ("agents ", ["check", "install", "list", "new"]),
    ("agents check qw", ["qwen"]),
    ("show 2025", ["20250824__12-34-56-0"]),
    ("show 20250824__12-34-56-0 ", PARTS),
    ("clean --runs n", ["nightly/20250824__12-34-56"]),
    ("run b.toml --limit ", []),
    ("run be", ["bench.toml"]),
]


@pytest.fixture
def completions(workdir):
    """What completions may find: a rollout with a tag, a run, a benchmark, an agent of the user's."""
    put(workdir / "data/rollouts/nightly/20250824__12-34-56/tags", "base\n")
    (workdir / "data/runs/20250824__12-34-56-0").mkdir(parents=True)
    put(workdir / "bench.toml", "")
    put(workdir / "home/.config/rollouts/agents/mybot.toml", 'argv = ["true"]\n')
    return {"PATH": os.environ["PATH"], "HOME": str(workdir / "home")}


def test_bash_completion(binary, workdir, completions):
    lines = "\n".join(f"complete_line {line}" + (" ''" if line.endswith(" ") else "") for line, _ in COMPLETIONS)
    script = f"""
source {SOURCE}/share/completions/rollouts.bash
complete_line() {{ COMP_WORDS=({binary} "$@"); COMP_CWORD=$#; _rollouts; echo "${{COMPREPLY[@]}}"; }}
{lines}
"""
    done = subprocess.run(["bash", "-c", script], cwd=workdir, env=completions, capture_output=True, text=True, check=True)
    told = [sorted(line.split()) for line in done.stdout.splitlines()]
    assert list(zip([line for line, _ in COMPLETIONS], told)) == COMPLETIONS, done.stderr


def test_zsh_completion(binary, workdir, completions):
    """In a real zsh at a terminal: the key is pressed, and what compadd takes for a match is kept."""
    functions = workdir / "functions"
    functions.mkdir()
    (functions / "_rollouts").symlink_to(SOURCE / "share/completions/rollouts.zsh")
    put(workdir / "home/.zshrc", f"""
PROMPT= PATH={binary.parent}:$PATH fpath=({functions} $fpath) LISTMAX=1000
autoload -U compinit && compinit -u -d ~/.dump
bindkey '^I' complete-word
compadd() {{
    local -a hits
    if [[ ${{@[1,(i)(-|--)]}} != *-(O|A|D)\\ * ]]; then
        builtin compadd -O hits "$@"
        print -rl -- $hits >> ~/hits
    fi
    builtin compadd "$@"
}}
ended() {{ print end >> ~/hits; comppostfuncs=(ended) }}
comppostfuncs=(ended)
print end >> ~/hits
""")
    hits = workdir / "home/hits"
    assert shutil.which("zsh"), "tools/setup test"
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(workdir)
        os.execvpe("zsh", ["zsh", "-i"], {**completions, "TERM": "dumb"})
    told, seen = [], bytearray()
    try:
        for number, (line, _) in enumerate([("", []), *COMPLETIONS]):
            if number:
                os.write(terminal, b"\x15rollouts " + line.encode() + b"\t")
            wait_for(lambda: read_some(terminal, seen) or (hits.exists() and hits.read_text().count("end\n") > number),
                     timeout=60)
            told.append(sorted(set(hits.read_text().split("end\n")[number].split())))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
    assert list(zip([line for line, _ in COMPLETIONS], told[1:])) == COMPLETIONS, seen.decode(errors="replace")


def read_some(terminal, seen):
    """What zsh shows must be read, or it stops; False."""
    while select.select([terminal], [], [], 0)[0]:
        seen += os.read(terminal, 65536)
    return False

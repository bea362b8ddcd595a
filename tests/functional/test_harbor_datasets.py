# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of a git repository at a commit, and of the files in which Harbor lists the tasks of data sets."""
import json
import os
import subprocess

import pytest

IMAGE = '[environment]\ndocker_image = "nothing-is-pulled"\n'


def git(folder, *args):
    env = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
           "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", "-C", folder, *args], env=env, check=True, capture_output=True, text=True).stdout.strip()


def task(folder, meta="", name=None):
    (folder / "tests").mkdir(parents=True)
    (folder / "task.toml").write_text((f'[task]\nname = "{name}"\n' if name else "") + meta + IMAGE)
    (folder / "instruction.md").write_text(f"Do {folder.name}.\n")
    (folder / "tests/test.sh").write_text("echo 1 > /logs/verifier/reward.txt\n")


@pytest.fixture
def upstream(workdir):
    """Two commits; the second, a tag and a branch of it, has one task more, and things that must not be followed."""
    top = workdir / "upstream"
    task(top / "tasks/a", '[metadata]\ndifficulty = "easy"\ntags = ["x"]\n')
    task(top / "tasks/b", '[metadata]\ndifficulty = "hard"\n')
    git(top, "init", "-q", "-b", "main")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "first")
    task(top / "tasks/c")
    task(workdir / "outside/evil")
    (top / "tasks/evil").symlink_to("../../outside/evil")
    (top / "out").symlink_to("../outside")
    (top / ".gitattributes").write_text("* text eol=crlf\n*.md filter=evil ident\n")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "second")
    git(top, "tag", "-am", "v1", "v1.0")
    return top


@pytest.fixture
def listed(run_cli, workdir):
    """The folders that a specification means, as `config` says them of a benchmark file, and its remarks."""
    def get(*specs, check=0):
        (workdir / "b.toml").write_text("".join(f'[[tasks]]\nprepared_dir = {json.dumps(s)}\nagent = "nop"\n' for s in specs))
        done = run_cli("config", "b.toml", check=check)
        return done.stderr if check else [line.split('"')[1] for line in done.stdout.splitlines() if line.startswith("prepared_dir")]

    return get


def test_a_repository_at_a_commit(listed, upstream, workdir):
    first, second = git(upstream, "rev-parse", "main~1"), git(upstream, "rev-parse", "main")
    url = f"git+file://{upstream}"
    assert listed(f"{url}@{first}#tasks") == [f"{url}@{first}#tasks/a", f"{url}@{first}#tasks/b"]
    assert listed(f"{url}@{first}#tasks/b") == [f"{url}@{first}#tasks/b"]
    # The link to a task outside of it is none; a branch, a tag and nothing are the commit that they are now.
    all_of = [f"{url}@{second}#tasks/{name}" for name in "abc"]
    assert listed(f"{url}@main#tasks/") == listed(f"{url}@v1.0#tasks") == listed(f"{url}#tasks") == all_of
    kept = [p for p in (workdir / "data/cache/datasets").iterdir() if p.is_dir()]
    assert {p.name[-40:] for p in kept} == {first, second} and not [p for p in kept if p.name.endswith(".tmp")]
    text = next(p for p in kept if p.name.endswith(second)) / "tasks/a/instruction.md"
    assert text.read_bytes() == b"Do a.\n"
    # What is there is not asked for again.
    upstream.rename(workdir / "gone")
    assert listed(f"{url}@{first}#tasks/a") == [f"{url}@{first}#tasks/a"]


@pytest.mark.parametrize("rest, said", [
    ("@{no}#tasks", "has no commit"), ("@nobranch#tasks", 'no branch or tag "nobranch"'), ("@{first:.9}#tasks", "a commit is named by all 40"),
    ("@{first}#nowhere", 'has no folder "nowhere"'), ("@{second}#out", "has no folder"), ("@{second}#../x", "leaves the repository"),
    ("@{second}#tasks/a/tests", "has a task.toml"), ("@{second}#out/evil", "has no folder")])
def test_what_a_repository_has_not_is_one_line(listed, upstream, rest, said):
    ids = {"no": "1" * 40, "first": git(upstream, "rev-parse", "main~1"), "second": git(upstream, "rev-parse", "main")}
    done = listed(f"git+file://{upstream}" + rest.format(**ids), check=2)
    assert said in done and done.count("\n") == 1


def test_its_configuration_is_never_used(listed, upstream, workdir):
    """Of the folder of a repository on this machine: hooks, filters, a program in place of ssh."""
    mark = workdir / "ran"
    for key in ("core.fsmonitor", "core.sshCommand", "filter.evil.smudge", "filter.evil.clean", "uploadpack.packObjectsHook", "core.pager"):
        git(upstream, "config", key, f"touch {mark}; cat")
    hook = upstream / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    assert len(listed(f"git+file://{upstream}#tasks")) == 3 and not mark.exists()


def test_a_registry_and_a_list_of_tasks(listed, upstream, workdir):
    first = git(upstream, "rev-parse", "main~1")
    task(workdir / "sets/local/l", name="org/l")
    task(workdir / "sets/local/m", name="org/m")
    remote = {"name": "r", "path": "tasks/a", "git_url": f"file://{upstream}", "git_commit_id": first}
    local = {"name": "l", "path": "local/l"}
    registry = [{"name": "old", "version": v, "description": "", "tasks": t} for v, t in (("1.9", [local]), ("1.10", [local, remote]))]
    (workdir / "sets/registry.json").write_text(json.dumps(registry + [{"name": "h", "version": "head", "tasks": [remote]}]))
    both = ["sets/local/l", f"git+file://{upstream}@{first}#tasks/a"]
    assert listed("sets/registry.json:old") == both and listed("sets/registry.json:old@1.9") == both[:1]
    assert listed("sets/registry.json:h") == both[1:]
    assert "old@1.9, old@1.10, h@head" in listed("sets/registry.json", check=2)
    assert 'has no data set "none"' in listed("sets/registry.json:none", check=2)
    (workdir / "sets/local/dataset.toml").write_text('[dataset]\nname = "org/set"\n[[tasks]]\nname = "org/m"\ndigest = "sha256:00"\n')
    assert listed("sets/local/dataset.toml") == ["sets/local/m"]
    (workdir / "sets/local/dataset.toml").write_text('[[tasks]]\nname = "org/elsewhere"\n')
    assert 'names the task "org/elsewhere"' in listed("sets/local/dataset.toml", check=2)

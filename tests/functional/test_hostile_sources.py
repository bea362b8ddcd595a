# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories that come with a task folder, and want git to wait, or to read what is the user's."""
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from conftest import git


def at(task, url, **more):
    document = json.loads((task / "tb_meta.json").read_text())
    document["repo"].update(git_url=str(url), **more)
    (task / "tb_meta.json").write_text(json.dumps(document))


def fifo(name):
    def change(repo, elsewhere):
        path = next(repo.glob(name), repo / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    return change


def written(name, text):
    return lambda repo, elsewhere: (repo / name).write_text(text.format(elsewhere=elsewhere))


def bound(repo, elsewhere):
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(repo / ".git/refs")
        try:
            sock.bind("x")
        finally:
            os.chdir(here)


def git_file(to):
    def change(repo, elsewhere):
        if to:
            shutil.rmtree(repo / ".git")
            (repo / ".git").write_text(f"gitdir: {to.format(elsewhere=elsewhere, near=os.path.relpath(elsewhere, repo))}\n")
        else:
            shutil.rmtree(repo / ".git")
            os.mkfifo(repo / ".git")
    return change


def linked(name, to):
    def change(repo, elsewhere):
        path = repo / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(to.format(elsewhere=elsewhere))
    return change


WAITS = {name: fifo(name) for name in (
    ".git/HEAD", ".git/config", ".git/packed-refs", ".git/refs/heads/main", ".git/objects/info/alternates", ".git/objects/??/*",
    ".git/objects/pack/multi-pack-index", ".git/objects/info/commit-graph", ".git/info/attributes", ".git/commondir", ".git/shallow")}
WAITS |= {"socket": bound, ".git": git_file(None), "link to a device": linked(".git/HEAD", "/dev/zero")}
LEADS = {
    "git file": git_file("{elsewhere}/.git"), "git file, relative": git_file("{near}/.git"),
    "alternates": written(".git/objects/info/alternates", "{elsewhere}/.git/objects\n"),
    "commondir": written(".git/commondir", "{elsewhere}/.git\n"),
    "link to a folder": linked(".git/objects", "{elsewhere}/.git/objects"),
    "link to a file": linked(".git/refs/heads/main", "{elsewhere}/.git/refs/heads/main"),
    "git folder": linked(".git", "{elsewhere}/.git"),
}


@pytest.fixture
def folder(workdir, make_repo, make_task):
    """folder(name): a task that brings its repository along."""
    own, elsewhere = make_repo("own"), make_repo("elsewhere")

    def make(name):
        task = make_task(name, own)
        shutil.copytree(own.path, task / "repo", symlinks=True)
        at(task, "repo")
        return task
    make.elsewhere = elsewhere.path
    return make


def test_what_git_would_wait_for_is_never_opened(run_cli, workdir, folder, make_bench):
    for number, (name, change) in enumerate(WAITS.items()):
        task = folder(f"task{number}")
        change(task / "repo", folder.elsewhere)
        bench = make_bench(task, file=f"bench{number}.toml", sandbox="none", evaluate=False, agent="oracle")
        done = run_cli("run", bench.name, timeout=60, check=2)
        assert "which no file of a repository is" in done.stderr, (name, done.stderr)
    assert not (workdir / "data/runs").exists()


def test_what_leads_out_of_the_task_folder_is_refused(run_cli, workdir, folder, make_bench):
    for number, (name, change) in enumerate(LEADS.items()):
        task = folder(f"task{number}")
        change(task / "repo", folder.elsewhere)
        bench = make_bench(task, file=f"bench{number}.toml", sandbox="none", evaluate=False, agent="oracle")
        done = run_cli("run", bench.name, timeout=60, check=2)
        assert "outside of the task's folder" in done.stderr, (name, done.stderr)
    assert not (workdir / "data/runs").exists()


def test_honest_repositories_are_left_alone(run_cli, workdir, folder, make_repo, make_task, make_bench, rollout):
    """One in the task's folder, one with alternates within it, and a linked worktree that the user names."""
    plain, shared = folder("plain"), folder("shared")
    shutil.copytree(shared / "repo/.git/objects", shared / "objects")
    shutil.rmtree(shared / "repo/.git/objects")
    (shared / "repo/.git/objects/info").mkdir(parents=True)
    (shared / "repo/.git/objects/info/alternates").write_text(f"{shared}/objects\n")
    tree = workdir / "tree"
    git(folder.elsewhere, "worktree", "add", "-q", "--detach", str(tree))
    away = make_task("away", make_repo("away"))
    at(away, tree, start_commit_sha=git(Path(tree), "rev-parse", "HEAD"))
    bench = make_bench(plain, shared, away, sandbox="none", evaluate=False, agent="nop", retries=0)
    run_cli("run", bench.name, check=0)
    assert [r["outcome"] for r in rollout().runs.values()] == ["completed"] * 3

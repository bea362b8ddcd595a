# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories whose files are partly elsewhere: submodules, which a task may ask for, and Git LFS."""
import pytest
from conftest import git, only, put

SEES = [("check.sh", "a", "grep -q deep lib/inner/deep.txt && grep -q changed lib/code.txt && test -z \"$(git status --porcelain)\"\n")]
RUBRICS = [{"id": "a", "criterion": "c", "weight": 1.0}]


def commit(repo):
    """Of the index as it is: nothing of a submodule is checked out."""
    git(repo.path, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "submodules")


def head(repo):
    return git(repo.path, "rev-parse", "HEAD").strip()


@pytest.fixture
def nested(make_repo):
    """A repository with a submodule beside it, by a relative URL, that has one itself."""
    inner = make_repo("inner", {"deep.txt": "deep\n"})
    lib = make_repo("lib", {"code.txt": "code\n"})
    top = make_repo("top", {"README.md": "top\n"})
    for repo, name, other in ((lib, "inner", inner), (top, "lib", lib)):
        put(repo.path / ".gitmodules", f'[submodule "{name}"]\n\tpath = {name}\n\turl = ../{name}\n')
        git(repo.path, "add", ".gitmodules")
        git(repo.path, "update-index", "--add", "--cacheinfo", f"160000,{head(other)},{name}")
        commit(repo)
    return top


@pytest.mark.parametrize("more", [{}, {"files": {"overlay_repo_files/extra.txt": "x\n"}},
                                  {"overrides": {"remove_repo_paths": ["README.md"]}}])
def test_a_task_may_ask_for_its_submodules(run_cli, make_task, make_bench, agent_script, rollout, nested, more, workdir):
    task = make_task("t", nested, start=head(nested), gold=False, tests=SEES, rubrics=RUBRICS, meta={"repo": {"submodules": True}}, **more)
    agent = agent_script("grep -q deep lib/inner/deep.txt && test -z \"$(git status --porcelain)\" && echo changed > lib/code.txt\n", collect=[])
    make_bench(task, agent=agent, model="m")
    assert "submodule" not in run_cli("validate", task, check=0).stdout
    run_cli("run", "bench.toml", "--no-preflight")
    result = only(rollout())
    assert result["outcome"] == "completed", result["reason"]
    run_id = next(iter(rollout().runs))
    assert "lib/code.txt" in (workdir / f"data/runs/{run_id}/artifacts/diff.patch").read_text()


def test_what_is_not_there_is_told(run_cli, make_task, make_bench, nested, make_repo):
    lfs = make_repo("lfs", {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": "version https://git-lfs\n"})
    one, two = make_task("one", nested, start=head(nested), gold=False), make_task("two", lfs, gold=False)
    said = {one: "submodules, whose folders stay empty", two: "Git LFS, of which agents see the pointers alone"}
    make_bench(one, two, agent="nop", model="m", evaluate=False)
    screens = [run_cli(verb, "bench.toml", check=0).stdout for verb in ("validate", "run")]
    for task, words in said.items():
        assert words in run_cli("validate", task, check=0).stdout
        assert all(words in screen for screen in screens)


@pytest.mark.parametrize("url, words", [
    (None, "has no URL for it"), ("/nonexistent/x", "submodule lib"), ("ext::sh -c id", "submodule lib"),
    ("https://user:token@host.example/x", "submodule lib"), ("--upload-pack=x", "submodule lib")])
def test_a_submodule_that_cannot_be_had(run_cli, make_task, make_bench, make_repo, rollout, nested, url, words):
    put(nested.path / ".gitmodules", '[submodule "lib"]\n\tpath = lib\n' + (f"\turl = {url}\n" if url else ""))
    git(nested.path, "add", ".gitmodules")
    commit(nested)
    make_bench(make_task("t", nested, start=head(nested), gold=False, meta={"repo": {"submodules": True}}), agent="nop", model="m", retries=0)
    done = run_cli("run", "bench.toml")
    assert done.returncode in (1, 3) and words in done.stdout + done.stderr

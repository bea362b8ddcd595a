# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an agent's work counts: changes that hide from size and time, links, files added by force, times, large files."""
import pytest

from conftest import only

RUBRIC = [{"id": "r", "criterion": "it holds", "weight": 1}]


@pytest.fixture
def work(make_repo, make_task, make_bench, agent_script, run_cli, rollout):
    """work(files, script, test, **bench): the result of one trial whose agent runs SCRIPT and whose test is the shell TEST."""
    def run(files, script, test, **bench):
        repo = make_repo("repo", files, {"later": ""})
        task = make_task("t", repo, tests=[("t.sh", "r", test)], rubrics=RUBRIC, gold=False)
        run_cli("run", make_bench(task, agent=agent_script(script), model="m", **bench), check=0)
        return only(rollout())

    return run


BOTH = pytest.mark.parametrize("workspace", ["auto", "copy"])


@BOTH
def test_contents_decide(work, account, workspace):
    """Files of one size that change names keep their times."""
    result = work({"a": "1\n", "b": "2\n", "c": "3\n"},
                  "mv a t; mv b a; mv t b; touch -r b ref; printf '4\\n' >c; touch -r ref c; rm ref\n",
                  'test "$(cat a b c)" = "2\n1\n4" && test "$(git status --short | grep -c "^ M")" = 3', workspace=workspace)
    assert result["total_score"] == 1, result


@BOTH
def test_links_are_links(work, account, workspace):
    """A link is the file it was made from, and the repository can be cloned inside itself."""
    script = """set -e
ln a b; [ a -ef b ]; echo more >>b; cmp a b
cp -al d e; [ d/f -ef e/f ]
git clone -q . sub; git -C sub log --oneline | grep -q 'commit 0'; git -C sub fsck
git clone -q . /tmp/other; git worktree add -q ../tree; git gc -q; git repack -adq; git fsck
rm -rf sub ../tree; echo fine >done
"""
    result = work({"a": "1\n", "d/f": "2\n"}, script, "test \"$(cat done a)\" = 'fine\n1\nmore'", workspace=workspace)
    assert result["total_score"] == 1, result


@BOTH
@pytest.mark.parametrize("index", ["", "git update-index --index-version 4", "git update-index --split-index",
                                   "rm -rf .git; git init -q ."])
def test_forced_files_count(work, workspace, index):
    """What the agent added in spite of .gitignore is its work; what lies beside it is not."""
    script = f"""set -e
{index}
mkdir -p build/deep; for f in build/a build/deep/b build/deep/c x.log y.log; do echo $f >$f; done
git add -f build/deep/b x.log; git commit -qm forced
{index if "update" in index else ""}
echo z >build/deep/z
"""
    test = "test \"$(ls build build/deep *.log)\" = \"$(printf 'x.log\\n\\nbuild:\\ndeep\\n\\nbuild/deep:\\nb\\n')\""
    result = work({".gitignore": "build/\n*.log\n", "a": "1\n"}, script, test, workspace=workspace)
    assert result["total_score"] == 1, result


@BOTH
def test_times_keep_their_order(work, account, workspace):
    """A stale object in the diff does not beat the source that was edited after it, nor one that was only touched."""
    make = "out: out.o\n\tcat out.o >out\nout.o: out.c\n\tcp out.c out.o\nlist: names\n\tcp names list\n"
    script = """make; echo new >out.c; touch -d '-1 hour' out.o out
cp names list; touch -d '-1 hour' list; touch names
"""
    result = work({"Makefile": make, "out.c": "old\n", "names": "n\n"}, script,
                  'make && test "$(cat out)" = new && make list | grep -q cp', workspace=workspace)
    assert result["total_score"] == 1, result


@BOTH
def test_large_files(work, workspace):
    """A tracked file may grow; a new one that is too large is left out, and the result says so."""
    script = "for i in 1 2; do seq 3000000 >>log; done; cp log log2; mkdir d; truncate -s 70M d/huge\n"
    result = work({"log": "1\n"}, script, "test $(wc -l <log) = 6000001 && cmp <(sed 1d log) <(sed 1d log2) && ! test -e d/huge",
                  workspace=workspace)
    assert result["total_score"] == 1, result

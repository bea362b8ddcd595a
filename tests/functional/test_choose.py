# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tasks run: by id, folder, glob, tag and difficulty, on the command line and in a [[tasks]] table."""
import re

import pytest

pytestmark = pytest.mark.local("nothing is run")


@pytest.fixture
def planned(run_cli, make_task, make_bench, workdir):
    """planned(keys, *flags): the task ids of the plan of tasks/* with these keys in its table."""
    repo = None
    for name, meta in (("ta", {"difficulty": "hard", "tags": ["go"]}), ("tb", {"difficulty": "easy", "tags": ["hard-ish"]}),
                       ("tc", {"difficulty": 3}), ("td", {"tags": ["hard"]})):
        task = make_task(name, meta={"metadata": meta})
        repo = repo or task.parent

    def plan(keys, *flags, check=0):
        make_bench({"prepared_dir": f"{repo}/t?", **keys}, agent="nop")
        done = run_cli("run", "bench.toml", "--dry-run", *flags, check=check)
        return done.stderr if check else sorted(set(re.findall(r"\bt[a-d]\b", done.stdout)))
    return plan


def test_tasks_are_chosen(planned, workdir):
    for flags, expected in (
        (["--only", "tag:hard"], ["ta", "td"]),
        (["--only", "difficulty:hard"], ["ta"]),
        (["--only", "difficulty:[0-9]"], ["tc"]),
        (["--only", "ta", "--only", "tag:hard*"], ["ta", "tb", "td"]),
        (["--exclude", "difficulty:*", "--exclude", "nothing*"], None),
        (["--exclude", "difficulty:*"], ["td"]),
    ):
        if expected is None:
            assert 'no task matches "nothing*"' in planned({}, *flags, check=2)
            continue
        assert planned({}, *flags) == expected, flags
    assert planned({"only": ["tag:hard"]}) == ["ta", "td"]
    assert planned({"only": ["t[ab]", "td"], "exclude": ["difficulty:easy"]}) == ["ta", "td"]
    assert planned({"only": ["tag:hard"]}, "--exclude", "td") == ["ta"]
    assert planned({"exclude": ["ta"]}, "--only", "tag:hard") == ["td"]
    said = planned({"only": ["zz"]}, check=2)
    assert re.search(r'bench.toml:\d+:\d+: only: no task of this \[\[tasks\]\] matches "zz"', said)
    assert "every task that only leaves is excluded" in planned({"only": ["ta"]}, "--exclude", "ta", check=2)


def test_options_given_twice(run_cli, planned):
    """Each that takes one value says so."""
    for verb, words in (("run", ["bench.toml", "--limit", "1", "--limit", "2"]), ("run", ["bench.toml", "-j", "1", "--parallel", "2"]),
                        ("run", ["bench.toml", "--agent=nop", "-a", "oracle"]), ("run", ["bench.toml", "-t", "1", "-t", "2"]),
                        ("run", ["bench.toml", "--sandbox", "local", "--sandbox", "none"]),
                        ("run", ["bench.toml", "--data-dir", "a", "--data-dir", "b"]),
                        ("summarize", ["bench", "--rollout", "a", "--rollout", "b"]),
                        ("pack", ["bench", "-o", "a", "--output", "b"]), ("resume", ["bench", "--config", "a", "--config", "b"]),
                        ("show", ["x", "--attempt", "1", "--attempt", "2"])):
        done = run_cli(verb, *words, check=2)
        assert "is given twice" in done.stderr and len(done.stderr.splitlines()) == 1, (verb, words)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Task folders and their overrides through the real program: what `validate` says, what a run makes of them."""
import pytest

# --- validate ---------------------------------------------------------------------------------------

def test_all_mistakes_in_one_go(run_cli, make_task, make_bench):
    task = make_task(meta={"metadata": {"title": 1}}, overrides={"promt": "x"})
    for word in (task, make_bench(task)):
        done = run_cli("validate", word, check=2)
        said = done.stdout + done.stderr
        assert "tb_meta.json: metadata.title: must be a string" in said
        assert 'overrides.json: unknown key "promt" (did you mean "prompt"?)' in said


@pytest.mark.parametrize("overrides, message", [
    ({"remove_repo_paths": ["../x"]}, 'remove_repo_paths[0]: "../x" leaves the repository'),
    ({"overlay_files": {"../../../../escape.txt": ""}}, '"../../../../escape.txt" leaves /app'),
    ({"overlay_repo_files": {"/etc/cron.d/x": ""}}, '"/etc/cron.d/x" is absolute'),
    ({"inject_files": [{"path": ".git/hooks/pre-commit", "content": ""}]}, "is inside .git"),
    ({"openai": {"api_key": "SECRET"}}, "openai: nothing enforces"),
    ({"rubrics": [{"id": "new", "weight": 1}]}, "add it there or override test_scripts too"),
])
def test_refused_before_anything_is_written(run_cli, workdir, make_task, make_bench, overrides, message):
    bench = make_bench(make_task(overrides=overrides))
    for verb in ("validate", "run"):
        done = run_cli(verb, bench, check=2)
        said = done.stdout + done.stderr
        assert f"overrides.json: " in said and message in said
        assert "SECRET" not in said
    assert not (workdir / "data").exists()
    assert not list(workdir.parent.glob("escape.txt"))


def test_one_line_whatever_a_key_holds(run_cli, make_task):
    done = run_cli("validate", make_task(overrides={"a\n\x1b[2Jb": 1}), check=2)
    assert "\x1b" not in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr

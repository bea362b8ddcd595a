"""The console blocks of the documentation are run, in order, and print what they show."""
import os
import re
import subprocess
from pathlib import Path

BLOCKS = re.findall(r"^```console\n(.*?)^```", Path("docs/USAGE.md").read_text(), re.M | re.S)


def examples():
    for block in BLOCKS:
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown


def test_there_is_an_example():
    assert any("snapkeep" in command for command, _ in examples())


def test_examples_are_true(tmp_path):
    env = {**os.environ, "PATH": f"{os.getcwd()}:{os.environ['PATH']}"}
    for command, shown in examples():
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.stdout.rstrip() == shown.rstrip(), command

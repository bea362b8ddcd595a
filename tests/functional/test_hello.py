# SPDX-License-Identifier: GPL-3.0-or-later
"""The example is in order, and ends with the scores it promises."""
import subprocess

import pytest

from conftest import SOURCE

HELLO = SOURCE / "examples/hello"
# Mean score of four rollouts; see agents/scripted.toml.
MEANS = {("csv-quotes", "careful"): 0.8625, ("csv-quotes", "hasty"): 0.475,
         ("stock-table", "careful"): 0.9125, ("stock-table", "hasty"): 0.6625,
         ("snapkeep-docs", "careful"): 0.75, ("snapkeep-docs", "hasty"): 0.25}


def test_repositories_are_up_to_date():
    subprocess.run([HELLO / "make-repos", "--check"], check=True)


@pytest.mark.parametrize("project, command", [
    ("csvcut", "make -s check"), ("stocktake", "python3 -m pytest -q -p no:cacheprovider"),
    ("snapkeep", "sh tests/check.sh")])
def test_projects_pass_their_own_tests(workdir, project, command):
    subprocess.run(f"cp -r {HELLO}/projects/{project} repo && cd repo && {command}", shell=True, check=True,
                   cwd=workdir, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, stdout=subprocess.DEVNULL)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line itself."""


def test_version(run_cli, account):
    done = run_cli("--version", check=0)
    assert done.stdout.startswith("rollouts ")
    assert done.stderr == ""

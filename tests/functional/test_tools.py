# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks in tools/ notice what they are for, and scripts/eval_rollouts.py is the program."""
import os
import shutil
import subprocess
import sys

from conftest import SOURCE, put

DESIGN = """| room | what | may include |
|---|---|---|
| `base` | helpers | – |
| `core` | nouns | – |
| `task` | folders | core |
| `cmd` | verbs | all |
| `init/` | PID 1 | (own protocol header only) |
"""
SPDX = "/* SPDX-License-Identifier: GPL-3.0-or-later */\n"


def check_layers(tree, files, design=DESIGN):
    put(tree / "docs/design.md", design)
    put(tree / "src/base/banned.h", SPDX)
    for path, content in files.items():
        put(tree / path, content)
    return subprocess.run([sys.executable, SOURCE / "tools/check-layers", tree], capture_output=True, text=True)


EXACT = {"src/task/task.c": SPDX + '#include "core/core.h"\n#include "base/banned.h"\n', "src/core/core.h": SPDX,
         "src/main.c": SPDX + '#include "cmd/cmd.h"\n', "init/init.c": SPDX}


def test_layers_accepts_what_the_table_says(workdir):
    done = check_layers(workdir / "t", EXACT)
    assert done.returncode == 0, done.stdout


def test_layers_refuses(workdir):
    long_function = SPDX + "int f(void)\n{\n" + "\tf();\n" * 81 + "\treturn 0;\n}\n"
    done = check_layers(workdir / "t", {
        "src/core/up.c": SPDX + '#include "task/task.h"\n',
        "src/core/alone.h": SPDX + "struct a { size_t n; };\n",
        "src/core/long.c": long_function,
        "src/core/file.c": SPDX + "\n" * 701,
        "src/core/naked.c": "int x;\n",
        "src/attic/x.c": SPDX,
        "init/init.c": SPDX + '#include "base/err.h"\n'})
    assert done.returncode == 1
    for line in ("src/core/up.c:2: core includes task", "src/core/alone.h:1: does not compile alone",
                 "src/core/long.c:3: a function of 82 lines", "src/core/file.c:702: 702 lines",
                 "src/core/naked.c:1: no SPDX", "src/attic/x.c:1: room 'attic'",
                 "init/init.c:2: init includes base", "Rooms: task has no file: take its row out"):
        assert line in done.stdout


def test_layers_wants_the_table_exact(workdir):
    """A room of a room is not granted with it, what nobody includes is not granted, and rooms are no circle."""
    done = check_layers(workdir / "t", {**EXACT, "src/task/task.c": SPDX, "src/plan/plan.c": SPDX + '#include "core/core.h"\n'},
                        DESIGN + "| `plan` | trials | task |\n")
    assert done.returncode == 1
    assert "src/plan/plan.c:2: plan includes core, which its row does not grant" in done.stdout
    assert "the row of plan must say: core (nothing of it includes task)" in done.stdout
    assert "the row of task must say: – (nothing of it includes core)" in done.stdout
    circle = check_layers(workdir / "u", {**EXACT, "src/core/up.c": SPDX + '#include "task/task.h"\n'},
                          DESIGN.replace("nouns | –", "nouns | task"))
    assert "the rooms are cyclic: core -> task -> core" in circle.stdout


def test_worker_links_refuses_a_heavier_program():
    done = subprocess.run([SOURCE / "tools/check-worker-links", shutil.which("git")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "libz" in done.stderr


def test_eval_rollouts_is_the_program(workdir, binary):
    for root, found in ((workdir / "tree", True), (workdir / "bare", False)):
        put(root / "scripts/eval_rollouts.py", (SOURCE / "scripts/eval_rollouts.py").read_bytes())
        if found:
            (root / "build").mkdir()
            (root / "build/rollouts").symlink_to(binary)
        done = subprocess.run([sys.executable, root / "scripts/eval_rollouts.py", "--version"],
                              env={"PATH": "/nonexistent"}, capture_output=True, text=True)
        assert (done.returncode == 0) == found, done.stderr
        assert ("rollouts " in done.stdout) == found


def test_setup_names_what_is_missing_without_apt(workdir):
    """A machine of another distribution: neither dpkg nor apt-get, and no meson."""
    tools = workdir / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "awk", "tr", "cat", "id", "gcc", "ninja", "make", "env", "mktemp", "rm"):
        os.symlink(shutil.which(name), tools / name)
    done = subprocess.run([SOURCE / "tools/setup", "build"], env={"PATH": str(tools)}, capture_output=True, text=True)
    assert done.returncode == 3
    assert "command:meson" in done.stderr
    assert "command:ninja" not in done.stderr


def fake_machine(top, installed):
    """A PATH with a dpkg-query that knows INSTALLED, and an apt-get and a sudo that tell on their caller."""
    tools = top / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "awk", "tr", "cat", "env", "mktemp", "rm", "tail"):
        os.symlink(shutil.which(name), tools / name)
    known = " ".join(installed)
    put(tools / "dpkg-query", f"#!/bin/sh\nfor last; do :; done\ncase ' {known} ' in *\" $last \"*) "
        "printf installed ;; *) exit 1 ;; esac\n")
    put(tools / "apt-get", f'#!/bin/sh\necho "$@" >>{top}/apt.log\n')
    put(tools / "sudo", f'#!/bin/sh\necho sudo >>{top}/apt.log\nexec "$@"\n')
    put(tools / "id", "#!/bin/sh\necho 1000\n")
    for name in ("dpkg-query", "apt-get", "sudo", "id"):
        (tools / name).chmod(0o755)
    return {"PATH": str(tools), "TMPDIR": str(top)}


def test_setup_installs_what_is_missing_and_only_that(workdir):
    env = fake_machine(workdir, ["git", "python3", "python3-pytest"])
    done = subprocess.run([SOURCE / "tools/setup", "run"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "setup: installing missing packages: bubblewrap\n"
    sudo, install = (workdir / "apt.log").read_text().splitlines()
    assert sudo == "sudo"
    assert install.endswith("install -y --no-install-recommends bubblewrap")


def test_setup_leaves_apt_alone_when_nothing_is_missing(workdir):
    env = fake_machine(workdir, ["git", "python3", "python3-pytest", "bubblewrap"])
    done = subprocess.run([SOURCE / "tools/setup", "run"], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout, (workdir / "apt.log").exists()) == ("", False)


def test_apparmor_profile_names_the_programs(binary):
    done = subprocess.run([SOURCE / "tools/apparmor", "print", "rollouts", binary, binary.parent / "rollouts-trial"],
                          capture_output=True, text=True, check=True)
    assert f'profile rollouts "{binary}" flags=(unconfined)' in done.stdout
    assert "@" not in done.stdout

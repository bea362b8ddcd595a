#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollouts program under its older name: python scripts/eval_rollouts.py run configs/bench.toml"""
import os
import shutil
import sys

source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
places = (os.path.join(source, "build", "rollouts"), os.path.join(source, "bin", "rollouts"))
program = next((p for p in places if os.access(p, os.X_OK)), None) or shutil.which("rollouts")
if not program:
    sys.exit(f"eval_rollouts.py: no rollouts program: not {places[0]}, not on PATH; run make in {source}")
os.execv(program, ["rollouts", *sys.argv[1:]])

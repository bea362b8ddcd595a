#!/bin/bash
# SPDX-License-Identifier: 0BSD
# What the agent "oracle" does: the tests must pass afterwards.
echo hello > greeting.txt

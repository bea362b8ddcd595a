#!/bin/bash
# SPDX-License-Identifier: 0BSD
# Runs after the agent, as root, in the image's WORKDIR. Its exit status counts for nothing: the reward does.
if [ "$(cat greeting.txt)" = hello ]; then
	echo 1 > /logs/verifier/reward.txt
else
	echo 0 > /logs/verifier/reward.txt
fi

# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher of AWS Batch keeps to what every launcher keeps to (conformance.py), against the strict server."""
import pytest

from conftest import clean_env
from conformance import (  # noqa: F401
    attempts, node, test_a_job_that_is_cancelled, test_a_refusal_names_the_setting, test_a_token_is_submitted_once,
    test_jobs_of_the_protocol, test_what_it_does_not_know)
from launching import Launcher
from test_aws_batch import aws  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")


@pytest.fixture
def program(workdir, node, aws):  # noqa: F811
    started, server = [], aws()

    def start(data, settings=None, **more):
        path = node.parent / "rollouts-launch-batch"
        settings = {"queue": "q", "storage": "s3://bkt/pre/fix", "poll_sec": 1, "events_sec": 1, **(settings or {})}
        started.append(Launcher(path, data, node, "batch", clean_env(workdir, None, server.environment), settings=settings, **more))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.kill()

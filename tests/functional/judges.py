# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the judge share: benchmarks with rubrics for a judge, scripted verdicts, what was asked and stored."""
import json
import re

import pytest

from models import DIALECTS, KEY, PRICE, fake, provided  # noqa: F401

RUBRIC = {"id": "clear", "criterion": "The greeting is right and src/greet.py says why", "weight": 1,
          "evaluation_criteria": ["greet() returns a greeting", "no dead code"]}


def verdict(score=0.75, verdict=None, control=None, **more):
    """A judge's answer, as the form wants it."""
    return json.dumps({"reasoning": "It says so.", "evidence": "line 1", "verdict": verdict, "score": score,
                       "control": control, "suggestions": "", **more})


def says(*texts, **more):
    """A script: the model answers TEXTS one after the other, in one conversation."""
    return {"model": "judge-fake", "turns": [{"text": text} for text in texts], **more}


def met(is_met=True):
    return verdict(None, "met" if is_met else "not_met")


@pytest.fixture
def judged(workdir, fake, provided, make_task, make_bench, run_cli, rollout):
    """judged(*scripts, rubrics=, api=, judge={...}, env=...): a run of one task with a judge; what it left."""
    def make(*scripts, rubrics=(RUBRIC,), tests=(), api="responses", judge=None, agent="oracle", check=0, args=(),
             rollouts=1, **more):
        env = provided((api,))
        fake.configure(scripts=list(scripts))
        task = make_task(rubrics=list(rubrics), tests=list(tests), **more)
        config = make_bench(task, agent=agent, rollouts=rollouts, **({} if agent in ("oracle", "nop") else {"model": "plain-fake"}))
        table = {"model": "judge-fake", **(judge or {})}
        text = config.read_text() + "\n[judge]\n" + "".join(
            f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        config.write_text(text)
        done = run_cli("run", config, *args, env=env, check=check)
        return Judged(done, fake, workdir, rollout() if check in (0, 1, 3) else None, env)

    return make


class Judged:
    def __init__(self, done, fake, workdir, rollout, env):
        self.done, self.fake, self.workdir, self.rollout, self.env = done, fake, workdir, rollout, env

    @property
    def run_id(self):
        return next(iter(self.rollout.runs))

    def folder(self, attempt="latest"):
        run = self.workdir / "data/runs" / self.run_id
        return run / "latest" if attempt == "latest" else run / "attempts" / str(attempt)

    def result(self, attempt="latest"):
        return json.loads((self.folder(attempt) / "result.json").read_text())

    def doc(self, attempt="latest"):
        return json.loads((self.folder(attempt) / "evaluation_results.json").read_text())

    def report(self):
        return (self.folder() / "scoring_results.md").read_text()

    def verdicts(self, kind=None):
        lines = [json.loads(line) for line in (self.folder() / "verdicts.jsonl").read_text().splitlines()]
        return [line for line in lines if not kind or line["kind"] == kind]

    def prompt(self):
        return self.verdicts("prompt")[0]["prompt"]

    def requests(self):
        """What the provider was asked, as documents."""
        return [json.loads(entry.request.body) for entry in self.fake.log()]


def fenced(prompt):
    """The fences of a prompt: [(code, what, lines)]; every line inside is quoted."""
    found = []
    for code, what, inner in re.findall(
            r"^<<<UNTRUSTED-BEGIN ([0-9a-f]{32}) (\w+)>>>\n(.*?)^<<<UNTRUSTED-END \1 \2>>>$", prompt, re.S | re.M):
        lines = inner.splitlines()
        assert all(line.startswith("| ") for line in lines), inner
        found.append((code, what, [line[2:] for line in lines]))
    return found

# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow that runs benchmarks on GitHub: what its file may say, and its shell steps, run here."""
import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import SOURCE, put
from test_run import binary  # noqa: F401 (fixture)

yaml = pytest.importorskip("yaml", reason="no python3-yaml here (tools/setup test)")

FILE = SOURCE / ".github/workflows/benchmark.yml"
EVENTS = {"schedule", "workflow_dispatch", "pull_request"}
KEYS = {
    "top": {"name", "on", "permissions", "concurrency", "jobs"},
    "job": {"if", "needs", "runs-on", "timeout-minutes", "permissions", "env", "outputs", "defaults", "steps"},
    "step": {"name", "id", "if", "env", "run", "uses", "with"},
}
CONTEXTS = {"github", "inputs", "secrets", "steps", "needs", "runner", "hashFiles", "cancelled"}


class Strict(yaml.SafeLoader):
    """A key that stands twice is a mistake that YAML takes."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(k, deep) for k, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice: {keys}"
        return super().construct_mapping(node, deep)


# "on" is a truth value for YAML 1.1, not for GitHub.
Strict.yaml_implicit_resolvers = {k: [r for r in v if r[0] != "tag:yaml.org,2002:bool" or k not in "oO"]
                                  for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}


@pytest.fixture(scope="module")
def workflow():
    return yaml.load(FILE.read_text(), Strict)


def steps(workflow):
    return [(name, step) for name, job in workflow["jobs"].items() for step in job["steps"]]


def test_shape(workflow):
    assert set(workflow) <= KEYS["top"] and set(workflow["on"]) == EVENTS
    assert all(re.fullmatch(r"(\S+ ){4}\S+", entry["cron"]) for entry in workflow["on"]["schedule"])
    for name, job in workflow["jobs"].items():
        assert set(job) <= KEYS["job"] and job["timeout-minutes"] <= 360 and re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])
        assert set(job.get("needs", "").split()) <= set(workflow["jobs"]) - {name}
        ids = [step["id"] for step in job["steps"] if "id" in step]
        assert len(ids) == len(set(ids))
        for step in job["steps"]:
            assert set(step) <= KEYS["step"] and ("run" in step) != ("uses" in step), step
            for value in step.get("env", {}).values():
                assert isinstance(value, str)
        # What an expression names is there.
        for used in re.findall(r"steps\.(\w+)\.outputs", yaml.dump(job)):
            assert used in ids
        for used in re.findall(r"needs\.(\w+)\.", yaml.dump(job)):
            assert used == job["needs"]
    for used, output in re.findall(r"needs\.(\w+)\.outputs\.(\w+)", FILE.read_text()):
        assert output in workflow["jobs"][used]["outputs"]
    for expression in re.findall(r"\$\{\{(.*?)\}\}", FILE.read_text()):
        words = re.findall(r"(?<![.'\w-])([a-zA-Z]\w*)(?=[.(])", re.sub(r"'[^']*'", "", expression))
        assert set(words) <= CONTEXTS, expression


def test_least_rights_and_pinned_actions(workflow):
    assert workflow["permissions"] == {}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert rights == {"benchmark": {"contents": "read", "actions": "read"}, "comment": {"pull-requests": "write", "actions": "read"}}
    for line in re.findall(r"uses: (.*)", FILE.read_text()):
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    for name, step in steps(workflow):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False and name == "benchmark"
        # Nothing that somebody else wrote becomes part of a script.
        assert "${{" not in step.get("run", "")
        # Keys are for the one step that asks models; a right to write comes without any.
        if "secrets." in json.dumps(step):
            assert step["id"] == "run" and name == "benchmark"
    assert "secrets" not in json.dumps(workflow["jobs"]["comment"])
    # A fork's pull request runs nothing.
    assert "head.repo.full_name == github.repository" in workflow["jobs"]["benchmark"]["if"]
    assert "pull_request_target" not in FILE.read_text()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here (tools/setup lint)")
def test_shellcheck_of_its_steps(workflow, workdir):
    for i, (name, step) in enumerate(steps(workflow)):
        if "run" in step:
            put(workdir / f"{i}.sh", "#!/bin/bash\nset -eo pipefail\n" + step["run"])
    done = subprocess.run(["shellcheck", *map(str, workdir.glob("*.sh"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


class Runner:
    """A job's machine: the checkout, the runner's variables, and a gh that answers from files."""

    def __init__(self, workdir, binary, workflow, make_task, make_bench):
        self.top, self.workflow = workdir, workflow
        (workdir / "build").mkdir()
        for name in ("rollouts", "rollouts-trial"):
            os.symlink(binary.parent / name, workdir / "build" / name)
        put(workdir / "tools/setup", "#!/bin/sh\necho setup $* >>did\n")
        put(workdir / "tools/apparmor", "#!/bin/sh\necho apparmor $1 >>did\n")
        put(workdir / "path/make", "#!/bin/sh\necho make >>did\n")
        put(workdir / "path/gh", """#!/bin/sh
echo "$@" >>gh-asked
case "$1 $2" in
"run list") [ -e artifact ] && echo 77 ; exit 0 ;;
"run download") [ "$4 $5" = "--name benchmark-results" ] && cp -r artifact "$7" ;;
"pr comment") [ "$4 $5 $6" = "--edit-last --create-if-none --body-file" ] && cp "$7" commented ;;
esac
""")
        for script in ("tools/setup", "tools/apparmor", "path/make", "path/gh"):
            (workdir / script).chmod(0o755)
        self.make_bench, self.tasks = make_bench, [make_task(f"t{i}") for i in range(8)]
        self.bench()

    def bench(self, score="1", **env):
        entries = [{"prepared_dir": t, "label": label, "environment_variables": {"FAKE_SCORE": s, **env}}
                   for t in self.tasks for label, s in (("a", score), ("b", "0.5"))]
        path = self.make_bench(*entries, name="model_comparison", file="configs/model_comparison.toml", sandbox="none", evaluate=False,
                               retries=0, parallel=2)
        text = path.read_text()
        path.write_text(text.replace("\n[[tasks]]", "\n[budget]\nusd = 3\n\n[[tasks]]", 1))

    def run(self, job="benchmark", **env):
        """Run the job's shell steps as a runner does; {name: (status, output)} up to the first that fails."""
        done = {}
        for step in self.workflow["jobs"][job]["steps"]:
            if "run" not in step:
                continue
            done[step["name"]] = self.step(step, job, env)
            if done[step["name"]][0]:
                break
        return done

    def step(self, step, job, env):
        values = {"PATH": f"{self.top}/path:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.top), "TMPDIR": str(self.top / "tmp"),
                  "LANG": "C.UTF-8", "CI": "true", "GITHUB_OUTPUT": str(self.top / "output"),
                  "GITHUB_STEP_SUMMARY": str(self.top / "step-summary"), "CONFIG": "configs/model_comparison.toml", "BUDGET_USD": "10",
                  "STATUS": self.outputs().get("status", ""), **{k: "" for k in step.get("env", {}) if k.endswith("_KEY")},
                  "BRANCH": "main", "PULL_REQUEST": "12", "RUN_URL": "https://github.example/run/1", **env}
        put(self.top / "step.sh", step["run"])
        done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"], cwd=self.top, env=values, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        return done.returncode, done.stdout

    def outputs(self):
        path = self.top / "output"
        return dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}


@pytest.fixture
def runner(workdir, binary, workflow, make_task, make_bench):
    return Runner(workdir, binary, workflow, make_task, make_bench)


def test_its_steps_from_the_first_week_to_a_pull_request(runner, workdir):
    done = runner.run(BUDGET_USD="7.50")
    assert {status for status, _ in done.values()} == {0}, done
    assert "no earlier results" in done["Take the baseline"][1] and "usd = 7.50" in (workdir / "configs/model_comparison.toml").read_text()
    assert (workdir / "did").read_text().split("\n")[:3] == ["setup build run", "make", "apparmor add"]
    results = workdir / "results"
    assert sorted(p.name for p in results.iterdir()) == ["report.html", "rollout.tar", "summary.md", "verdict.md"]
    summary = (workdir / "step-summary").read_text()
    assert "## Models" in summary and "better" in summary and "Aggregates" in summary and "Against the baseline" not in summary
    # A week later, with its results as the baseline, everything is worse.
    results.rename(workdir / "artifact")
    shutil.rmtree(workdir / "data")
    (workdir / "output").unlink()
    runner.bench("0")
    done = runner.run()
    assert {status for status, _ in done.values()} == {0}, done
    verdict = (workdir / "results/verdict.md").read_text()
    assert "## Against the baseline" in verdict and "worse" in verdict.split("## Against the baseline")[1]
    assert "model\\_comparison" in verdict or "model_comparison" in verdict
    done = runner.run("comment")
    assert {status for status, _ in done.values()} == {0}, done
    comment = (workdir / "commented").read_text()
    assert comment.startswith("[All results, and a page to look at them](https://github.example/run/1)") and "## Models" in comment
    # One that is longer than GitHub takes is cut between lines, and says so; the link stands above.
    put(workdir / "results/verdict.md", "## Models\n\n" + "| é | a task |\n" * 20_000)
    assert runner.run("comment")["Comment the verdict"][0] == 0
    comment = (workdir / "commented").read_text()
    assert len(comment) <= 65_536 and comment.endswith("| é | a task |\n") and "this is its beginning" in comment


@pytest.mark.parametrize("budget", ["", "ten", "1; touch pwned", "-3", "$(id)"])
def test_a_budget_is_a_number(runner, workdir, budget):
    status, said = runner.run(BUDGET_USD=budget).popitem()[1]
    assert status == 2 and "::error::" in said and not (workdir / "pwned").exists() and not (workdir / "data").exists()


def test_what_is_missing_is_told_with_all_results(runner, workdir):
    runner.bench(FAKE_OUTCOME="infra_error", FAKE_FOR_GOOD="1")
    done = runner.run()
    name, (status, said) = done.popitem()
    assert name == "Say whether anything is missing" and status == 1, (name, said)
    assert runner.outputs()["status"] == "3"  # all for the same reason: paused
    assert (workdir / "results/rollout.tar").exists() and "missing" in (workdir / "step-summary").read_text()


def test_a_run_that_cannot_start_stops_the_job(runner, workdir):
    put(workdir / "configs/model_comparison.toml", 'name = "model_comparison"\nparalel = 1\n[budget]\nusd = 1\n')
    done = runner.run()
    assert done["Run"][0] != 0 and "paralel" in done["Run"][1] and not (workdir / "results").exists()
    put(workdir / "configs/model_comparison.toml", 'name = "model_comparison"\n')
    assert runner.run()["Set the budget"][0] == 2

# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of one attempt at the gateway, one for each role: the agent's, and that of graders which ask a model."""
import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import SOURCE, clean_env, put, toml_table, wait_for
from gateways import DEADLINE, PRICE, gateway, gateway_program, make_gateway, token  # noqa: F401
from models import DIALECTS, KEY, fake, scripted  # noqa: F401

FIX = "printf 'def greet(name):\\n    return \"hello \" + name\\n' > src/greet.py"
ENV = {"FAKE_API_KEY": KEY}
NAME = f"gate-{os.getpid()}.sh"  # others may run this test at the same time
GATE = "until test -e /tmp/go; do sleep 0.05; done\n"


def test_limits_and_numbers_are_apart_and_the_budget_sees_all(gateway):
    agent = gateway.attach(limits={"calls": 1})
    judge = gateway.attach(role="judge", limits={"calls": 2}, model="free-judge")
    assert agent.ask().status == judge.ask(model="free-judge").status == 200
    assert agent.ask().status == 400 and judge.ask(model="free-judge").status == 200
    assert judge.ask(model="free-judge").status == 400
    mine, its = agent.wait(lambda s: s["calls"] == 1), judge.wait(lambda s: s["calls"] == 2)
    assert "call_limit of 1" in mine["limit"] and "call_limit of 2" in its["limit"]
    assert mine["usd"] > 0 and its["usd"] is None and its["models"] == ["free-judge"]
    assert (len(agent.lines(2)), len(judge.lines(3))) == (2, 3)
    assert wait_for(lambda: gateway.totals() and gateway.totals()["calls"] == 3, DEADLINE)


def test_a_role_ends_with_its_own_connection(gateway):
    agent, judge = gateway.attach(), gateway.attach(role="judge")
    agent.close()
    assert wait_for(lambda: agent.ask().status == 401, DEADLINE)
    assert judge.ask().status == 200


class Worker:
    """A rollout with one trial, and workers of further attempts of it, at a gateway of the test's own."""

    def __init__(self, gateway, workdir, program, run_id):
        self.gateway, self.data, self.run_id = gateway, workdir / "data", run_id
        self.env, self.program = clean_env(workdir, None, None), program
        gateway.models.chmod(0o666)  # as the supervisor's is

    def folder(self, number):
        return self.data / "runs" / self.run_id / "attempts" / str(number)

    @contextlib.contextmanager
    def attempt(self, number, change):
        """Start the worker of attempt NUMBER, which is the first one as CHANGE leaves it; waited for at the end."""
        doc = json.loads((self.folder(1) / "trial.json").read_text())
        doc.update(number=number, gateway=str(self.gateway.models), control=str(self.gateway.control), record=True,
                   judge={"provider": "fake", "model_id": "fake-judge", "tokens": 0, "calls": 0, "usd": 0})
        doc["trial"]["evaluate"] = True
        change(doc)
        for name in (".", "logs", "artifacts"):
            (self.folder(number) / name).mkdir()
            os.chown(self.folder(number) / name, doc["uid"] or os.geteuid(), doc["uid"] or os.getegid())
        put(self.folder(number) / "trial.json", json.dumps(doc))
        env = {**self.env, "ROLLOUTS_TOKEN": token(self.run_id, number),
               "ROLLOUTS_JUDGE_TOKEN": token(self.run_id, number, "judge")}
        with subprocess.Popen([self.program, self.folder(number).relative_to(self.data)], cwd=self.data, env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
            try:
                yield
                out, _ = child.communicate(timeout=DEADLINE)
            finally:
                child.kill()
        assert child.returncode == 0, out

    def ask(self, number, role):
        headers = DIALECTS["chat"].headers(token(self.run_id, number, role))
        body = json.dumps(DIALECTS["chat"].document("Is it good?", "fake-judge", False)).encode()
        return self.gateway.request("POST", DIALECTS["chat"].target("fake-judge", False), headers, body).status

    def result(self, number):
        return json.loads((self.folder(number) / "result.json").read_text())

    def calls(self, number, name):
        path = self.folder(number) / "logs" / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def bench(workdir, fake, agent_script, make_task, make_bench):
    """bench(name, content, evaluate): one trial, which one script tests. Its agent talks to its model and then, by a
    token it may be given, as the judge."""
    put(workdir / "xdg/rollouts/providers.toml",
        "[providers.fake]\n" + toml_table({"base_url": fake.url, "key_env": "FAKE_API_KEY", "apis": list(DIALECTS)})
        + "\n[[models]]\n" + toml_table({"match": "fake-*", "provider": "fake", "price": PRICE}))
    talk = "/usr/bin/python3 ~/agent.py chat \"$URL\" \"$%s\" %s <<< \"$text\"\n"
    agent = agent_script("text=$(cat)\n" + talk % ("TOKEN", "fake-one") + "test -z \"$JUDGE\" || "
                         + talk % ("JUDGE", "fake-judge"),
                         name="talker", needs="model", apis=["chat"], stdin="{instruction}",
                         env={"URL": "{gateway_url}", "TOKEN": "{token}", "JUDGE": ""},
                         files={"{home}/agent.py": (SOURCE / "tests/fake/model_agent.py").read_text()})
    prompt = scripted(turns=[{"shell": FIX}, {"text": "Fixed."}])

    def make(name, content, evaluate):
        task = make_task(instructions=prompt, tests=[(name, "works", content)],
                         rubrics=[{"id": "works", "criterion": "It works", "weight": 1}])
        return make_bench(task, agent=agent, model="fake-one", evaluate=evaluate)

    return make


@pytest.fixture
def worker(workdir, binary, gateway, bench, run_cli, rollout):
    """A trial that was run and not graded; its test waits for /tmp/go."""
    run_cli("run", bench(NAME, GATE, evaluate=False), env=ENV, check=0)
    [run_id] = rollout().runs
    near = [binary.parent / "rollouts-trial", binary.parent.parent / "libexec/rollouts/rollouts-trial"]
    return Worker(gateway, workdir, next(path for path in near if path.exists()), run_id)


def gates():
    """The test script waits in a sandbox: its /tmp, found by its process."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and (path / "cmdline").read_bytes() == f"bash\0--\0{NAME}\0".encode():
                found.append(path / "root/tmp")
    return found


def open_gates():
    for folder in gates():
        with contextlib.suppress(OSError):  # it may be ending
            (folder / "go").touch()
            return True
    return False


def test_the_agents_limits_never_see_the_judges_calls(worker):
    def change(doc):
        doc["trial"]["limits"]["calls"] = 2
        doc["agent_spec"]["env"]["JUDGE"] = token(worker.run_id, 2, "judge")

    with worker.attempt(2, change):
        wait_for(open_gates, DEADLINE)
    result = worker.result(2)
    assert result["outcome"] == "completed", result["reason"]
    assert result["agent"]["metrics"]["calls"] == 2 and result["judge"]["calls"] == 2
    assert result["agent"]["metrics"]["model_served"] == "fake-one"
    assert (result["judge"]["model_served"], result["judge"]["keys"]) == ("fake-judge", "FAKE_KEY")
    assert result["judge"]["money_usd"] > 0
    assert {c["model_served"] for c in worker.calls(2, "llm.jsonl")} == {"fake-one"}
    assert {c["model_served"] for c in worker.calls(2, "judge.jsonl")} == {"fake-judge"}
    assert (worker.folder(2) / "judge-recording").stat().st_size > 0
    assert wait_for(lambda: worker.gateway.totals()["calls"] == 4, DEADLINE)


def test_graders_have_a_model_where_no_agent_runs(worker):
    """As `rollouts eval` starts it: the agent's work is taken over, and only graders can ask."""
    with worker.attempt(2, lambda doc: doc.update(agent_from=1, regrade=True)):
        wait_for(lambda: worker.ask(2, "judge") == 200, DEADLINE)
        assert worker.ask(2, "agent") == 401, "no agent runs"
        wait_for(open_gates, DEADLINE)
    result = worker.result(2)
    assert (result["outcome"], result["total_score"]) == ("completed", 1), result["reason"]
    assert result["judge"]["calls"] == 1
    assert worker.calls(2, "llm.jsonl") == worker.calls(1, "llm.jsonl"), "taken over with the agent's work"
    assert worker.ask(2, "judge") == 401, "the attempt is over"


def test_a_gateway_that_dies_is_a_failure_of_the_grading(worker):
    with worker.attempt(2, lambda doc: doc.update(agent_from=1, regrade=True)):
        wait_for(lambda: worker.ask(2, "judge") == 200, DEADLINE)
        worker.gateway.kill()
        wait_for(open_gates, DEADLINE)
    result = worker.result(2)
    assert (result["outcome"], result["retry"], result["judge"]) == ("infra_error", True, None)
    assert "while it was graded: the gateway is gone" in result["reason"]


def test_an_attempt_that_only_grades_knows_the_gateway(bench, start_cli, rollout, workdir):
    """Its graders may ask a model, its agent does not run."""
    child = start_cli("run", bench(NAME, GATE, evaluate=True), "--no-preflight", env=ENV)
    wait_for(gates, DEADLINE)
    [worker] = [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
                if b"rollouts-trial" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: (open_gates() or True) and child.poll() is not None, DEADLINE)
    assert child.communicate()[0] and child.returncode == 0
    [(run_id, result)] = rollout().runs.items()
    first, second = (json.loads((workdir / "data/runs" / run_id / f"attempts/{n}/trial.json").read_text()) for n in (1, 2))
    assert (result["attempt"], result["judge"]) == (2, None)
    assert (first["agent_from"], second["agent_from"]) == (0, 1)
    for name in ("gateway", "control"):
        assert second[name] == first[name] and first[name].endswith(f"{name}.sock")
    assert first["judge"] is None and second["judge"] is None

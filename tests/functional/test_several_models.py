# SPDX-License-Identifier: GPL-3.0-or-later
"""Several models of one trial: roles, each with its own provider, dialect, key and price; what was not declared is refused."""
import csv
import io
import json
import re

import pytest

from conftest import SOURCE, put
from models import KEY, fake, provided  # noqa: F401 (fixtures)
from model_server import ModelServer

# Asks each "DIALECT MODEL" once, and says what it was told.
ASK = """#!/usr/bin/python3
import json, sys, urllib.error, urllib.request
url, token = sys.argv[1:3]
paths = {"chat": "/v1/chat/completions", "anthropic": "/v1/messages"}
for api, model in (a.split(" ", 1) for a in sys.argv[3:]):
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(url + paths[api], json.dumps(body).encode(), {"Content-Type": "application/json",
        "Authorization": "Bearer " + token, "x-api-key": token, "anthropic-version": "2023-06-01"})
    try:
        print(json.dumps({"said": json.load(urllib.request.urlopen(request))}))
    except urllib.error.HTTPError as e:
        print(json.dumps({"status": e.code, "text": e.read().decode()}))
"""
ELSEWHERE = """
[providers.other]
base_url = "{url}"
key_env = "OTHER_KEY"
apis = ["anthropic"]

[[models]]
match = "quick-*"
provider = "other"
price = {{ input = 1, output = 2, date = "2026-01-01" }}

[aliases]
"swift" = "quick-1"
"""
OTHER = "sk-of-the-other"


@pytest.fixture
def other():
    with ModelServer({"keys": [OTHER]}) as server:
        yield server


@pytest.fixture
def two(workdir, fake, other, provided, agent_script, make_bench, make_task):
    """two(*asked, roles=, **bench): an agent that asks main and coder, and what else is ASKED; returns (file, environment)."""
    task = make_task()

    def make(*asked, argv='"chat $NAME" "$CODER_API $CODER"', roles={"coder": "swift"}, file={}, entry={}, **keys):
        env = {**provided(["chat"]), "OTHER_KEY": OTHER}
        mine = workdir / "xdg/rollouts/providers.toml"
        mine.write_text(mine.read_text() + ELSEWHERE.format(url=other.url))
        words = " ".join(f"'{a}'" for a in asked)
        agent_script(f'exec /usr/bin/python3 ~/ask.py "$URL" "$TOKEN" {argv} {words}', name="duo", needs="model",
                     env={"URL": "{gateway_url}", "TOKEN": "{token}", "NAME": "{model}", "CODER": "{model:coder}",
                          "CODER_API": "{api:coder}"}, files={"{home}/ask.py": ASK}, apis=["chat", "anthropic"], **file)
        text = {"prepared_dir": task, **({"roles": roles} if roles else {}), **entry}
        return make_bench(text, agent="duo", model="any-fake", evaluate=False, retries=0, **keys), env

    return make


def test_each_role_goes_to_its_own_provider(run_cli, two, rollout, workdir, fake, other):
    file, env = two()
    plan = run_cli("run", file, "--dry-run", env=env, check=0).stdout
    assert "agent duo  model any-fake (any-fake at fake by chat); coder: swift, quick-1, at other by anthropic" in plan
    assert f"quick-1 is asked at {other.url}/v1/messages" in plan
    told = run_cli("run", file, env=env, check=0).stdout
    assert "model any-fake: at fake by chat, agent duo; coder: swift, quick-1, at other by anthropic" in told
    (run_id, result), = rollout().runs.items()
    assert (result["outcome"], result["reason"]) == ("completed", "")
    assert [(e.model, e.dialect, e.key) for e in fake.log()] == [("any-fake", "chat", KEY)]
    assert [(e.model, e.dialect, e.key) for e in other.log()] == [("quick-1", "anthropic", OTHER)]
    ours, theirs = fake.log()[0].usage, other.log()[0].usage
    cheap = (theirs["input"] * 1 + theirs["output"] * 2) / 1e6
    metrics = result["agent"]["metrics"]
    dear = metrics["money_usd"] - cheap
    shares = {s["model"]: s for s in metrics["by_model"]}
    assert shares["quick-1"] == {"model": "quick-1", "provider": "other", "calls": 1, "usd": pytest.approx(cheap),
                                 "tokens": theirs["input"] + theirs["output"]}
    assert shares["any-fake"]["usd"] == pytest.approx(dear) and shares["any-fake"]["tokens"] == ours["input"] + ours["output"]
    told = run_cli("summarize", "bench", check=0).stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in told.splitlines()]
    assert ["quick-1", "1", str(theirs["input"] + theirs["output"]), f"{cheap:.4f}", f"{cheap:.4f}"] in rows, told
    row, = csv.DictReader(io.StringIO(run_cli("summarize", "bench", "--csv", check=0).stdout))
    assert float(row["model_cost_usd.quick-1"]) == pytest.approx(cheap, abs=1e-6)
    again = run_cli("run", file, "--dry-run", env=env, check=0).stdout
    assert f"forecast: about {metrics['money_usd']:.2f} USD for 1 trial, by earlier runs" in again
    file.write_text(file.read_text().replace("swift", "quick-7"))  # with another helper nothing is known
    assert "forecast: unknown for 1 trial" in run_cli("run", file, "--dry-run", env=env, check=0).stdout
    for path in (workdir / "data").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert OTHER.encode() not in path.read_bytes(), path


def test_what_is_not_declared_is_refused_and_told(run_cli, two, rollout, fake, other):
    file, env = two("chat titles-fake", "anthropic quick-2")
    run_cli("run", file, env=env, check=0)
    (run_id, result), = rollout().runs.items()
    assert result["outcome"] == "completed" and len(fake.log()) == len(other.log()) == 1
    assert result["reason"] == ('asked for the model "titles-fake", which is not declared (answered 403): '
                                'roles = { NAME = "titles-fake" } in its [[tasks]] declares it')
    assert run_cli("show", run_id, "agent", check=0).stdout.count('"status": 403') == 2


def test_a_role_is_looked_after_before_the_start(run_cli, two, make_bench, workdir, fake, other):
    """Its key, its provider, its price, its dialect; one that the agent wants and nobody names; one that nobody asks for."""
    def refused(words, env=None, **change):
        file, good = two(**change)
        assert words in run_cli("run", file, env=good if env is None else env, check=2).stderr

    refused('no key for provider "other": set OTHER_KEY', env={"FAKE_API_KEY": KEY})
    refused('nobody answers the model "unheard-of"', roles={"coder": "unheard-of"})
    refused('agent "duo" asks a model as its "coder": add roles = { coder = "MODEL" } to the [[tasks]]', roles=None)
    refused('"Big" is no name of a role', roles={"coder": "swift", "Big": "swift"})
    refused('"coder" must be the name of a model', roles={"coder": 7})
    mine = workdir / "xdg/rollouts/providers.toml"
    file, env = two(budget={"usd": 1})
    mine.write_text(mine.read_text().replace("price = { input = 1, output", "# { input = 1, output"))
    assert '[budget] usd cannot be kept: no price is known of the model "swift"' in run_cli("run", file, env=env, check=2).stderr
    make_bench({"prepared_dir": next((workdir / "tasks").iterdir()), "roles": {"coder": "swift"}}, agent="bash", model="any-fake")
    assert 'roles are for agents that ask several models: "bash" asks one' in run_cli("run", "bench.toml", env=env, check=2).stderr
    assert not fake.log() and not other.log()


def test_googles_names_of_models_are_the_same_models(run_cli, two, rollout, fake, other):
    """Gemini's API in OpenAI's dialect is asked for models/NAME."""
    file, env = two("chat models/any-fake")
    run_cli("run", file, env=env, check=0)
    (_, result), = rollout().runs.items()
    assert result["reason"] == "" and result["agent"]["metrics"]["money_usd"] is not None
    assert [e.model for e in fake.log()] == ["any-fake", "models/any-fake"]


def test_a_role_may_be_left_out_where_the_agent_says_so(run_cli, two, rollout, fake, other):
    file, env = two(roles=None, file={"optional_roles": ["coder"]})
    run_cli("run", file, env=env, check=0)
    assert [e.model for e in fake.log()] == ["any-fake"] * 2 and not other.log()
    (_, result), = rollout().runs.items()
    assert "by_model" not in result["agent"]["metrics"]


def test_other_roles_are_other_trials(run_cli, two, rollout, make_task, fake, other):
    """Two entries that differ in a role alone have labels that say so."""
    file, env = two(entry={"rollouts": 1})
    file.write_text(file.read_text() + file.read_text()[file.read_text().index("[[tasks]]"):].replace('"swift"', '"quick-9"'))
    run_cli("run", file, env=env, check=0)
    labels = {json.dumps(row["label"]) for row in rollout().manifest["results"]}
    assert labels == {'"roles=coder=swift"', '"roles=coder=quick-9"'}
    assert sorted(e.model for e in other.log()) == ["quick-1", "quick-9"]
    run_cli("resume", "bench", env=env, check=0)
    assert len(other.log()) == 2


def test_a_role_whose_key_is_refused_is_the_runs_affair(run_cli, two, rollout, fake, other):
    other.configure(keys=["another"])
    file, env = two()
    run_cli("run", file, env=env, check=3)
    (_, result), = rollout().runs.items()
    assert result["outcome"] == "infra_error" and "other: 401" in result["reason"]


def test_the_page_as_it_is_printed(run_cli, workdir, fake, make_task, rollout):
    """Its files, its commands: the shipped rules and prices, with the providers' places taken by the fake one."""
    page = (SOURCE / "docs/several-models.md").read_text()
    for path, text in re.findall(r"```toml\n# (\S+)\n(.*?)```", page, re.S):
        put(workdir / path, text)
    make_task(instructions="Fix the typo.\n")
    put(workdir / "xdg/rollouts/providers.toml", "".join(f"""
[providers.{name}]
base_url = "{fake.url}"
key_env = "{name.upper()}_API_KEY"
apis = {apis}
""" for name, apis in (("openai", '["responses", "chat"]'), ("anthropic", '["anthropic"]'))))
    env = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    told = [run_cli(*line.split("#")[0].split()[1:], env=env, timeout=300).stdout
            for line in re.search(r"```sh\n(.*?)```", page, re.S)[1].splitlines()]
    assert "coder: gpt-6.1-sol, at openai by responses" in told[0].replace("sol at", "sol, at"), told[0]
    (_, result), = rollout().runs.items()
    assert result["outcome"] == "completed" and result["reason"] == ""
    assert [e.model for e in fake.log()] == ["claude-sonnet-5-5", "gpt-6.1-sol"]
    table = told[2][told[2].index("\nModels\n"):]
    assert re.search(r"claude-sonnet-5-5 \|\s+1 \|\s+\d+ \| 0\.\d{4} \|", table)
    assert re.search(r"gpt-6\.1-sol\s+\|\s+1 \|\s+\d+ \| 0\.\d{4} \|", table)

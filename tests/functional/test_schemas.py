# SPDX-License-Identifier: GPL-3.0-or-later
"""share/schema: what the program writes and answers is what the schemas say, and they say all of it."""
import json
import tarfile

import jsonschema
import pytest

from conftest import SOURCE
from judges import RUBRIC, fake, judged, provided, says, verdict  # noqa: F401
from models import KEY  # noqa: F401

SCHEMAS = SOURCE / "share/schema"
# Each file below a data folder, by its name or by where it lies.
FILES = {"plan": "rollouts/*/*/plan.json", "manifest": "rollouts/*/*/manifest.json", "eval_manifest": "rollouts/*/*/eval_manifest.json",
         "task_result": "rollouts/*/*/task_results/*.json", "notes": "rollouts/*/*/notes.json", "rollout_temp": "rollouts/temp/*.json",
         "evaluation": "rollouts/*/*/evaluations/*/evaluation.json", "trial": "runs/*/attempts/*/trial.json",
         "agent": "runs/*/attempts/*/agent.json", "result": "runs/*/attempts/*/result.json", "repo_info": "runs/*/attempts/*/artifacts/repo_info.json",
         "evaluation_results": "runs/*/attempts/*/evaluation_results.json", "task": "cache/tasks/*/task.json",
         "events.line": "rollouts/*/*/events.jsonl", "excluded.line": "rollouts/*/*/excluded.jsonl", "scores.line": "rollouts/*/*/evaluations/*/*.jsonl",
         "llm.line": "runs/*/attempts/*/logs/*.jsonl", "verdicts.line": "runs/*/attempts/*/verdicts.jsonl"}
ANSWERS = {"summarize": ["summarize", "bench"], "compare": ["compare", "other"], "list": ["list"], "history": ["list", "bench", "--history"],
           "agents": ["agents"], "models": ["models"], "power": ["power", "other"], "simulate": ["simulate", "other.toml", "--durations", "fixed(2)"], "doctor": ["doctor"], "validate_run": ["validate", "bench.toml", "--run"],
           "llm.line": ["show", "RUN", "llm"], "result": ["show", "RUN", "result"]}

ASK = """import json, os, sys, urllib.request
url, token = sys.argv[1:]
for n in range(2):
    body = {"model": os.environ["MODEL"], "messages": [{"role": "user", "content": "Hello %d" % n}]}
    print(urllib.request.urlopen(urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(),
          {"Content-Type": "application/json", "Authorization": "Bearer " + token})).read())
open("made.txt", "w").write("x")
open("conftest.py", "w").write("x = 1")
"""
TESTS = [("tests/t.sh", "tested", 'echo \'{"speed": 1.5}\' > "$ROLLOUTS_METRICS"; exit 0\n'), ("test_x.py", "tested", "def test_x():\n    assert 0\n")]


@pytest.fixture
def everything(judged, agent_script, run_cli, make_bench, make_task, workdir):  # noqa: F811
    """A data folder with every kind of file, and the answers of every verb: name -> documents."""
    agent = agent_script('exec /usr/bin/python3 ~/ask.py "$URL" "$TOKEN"', name="asker", needs="model", env={"URL": "{gateway_url}", "TOKEN": "{token}"},
                         files={"{home}/ask.py": ASK})
    run = judged(says(verdict(0.5), verdict(0.25)), rubrics=[RUBRIC, {"id": "tested", "criterion": "It works", "weight": 1}], tests=TESTS, agent=agent,
                 api="chat", rollouts=2)
    run_id, env = run.run_id, run.env
    run_cli("eval", "bench", "--tests-only", check=0)
    run_cli("tag", "bench", "base", "--note", "why", "--title", "A title", check=0)
    make_bench({"prepared_dir": make_task("plain"), "label": "a"}, {"prepared_dir": make_task("bad", tests=[("t.sh", "works", "no-such-tool\n")]), "label": "b"},
               agent="nop", name="other", file="other.toml", rollouts=2)
    run_cli("run", "other.toml", "--no-preflight", env=env)
    run_cli("exclude", run_id, "--reason", "because", check=0)
    run_cli("eval", "other", "--no-preflight", env=env)
    docs = {}
    for kind, pattern in FILES.items():
        paths = sorted((workdir / "data").glob(pattern))
        texts = [p.read_text() for p in paths]
        docs[kind] = [json.loads(line) for t in texts for line in t.splitlines()] if kind.endswith(".line") else [json.loads(t) for t in texts]
    for kind, words in ANSWERS.items():
        text = run_cli(*[run_id if w == "RUN" else w for w in words], "--json", env=env).stdout
        docs.setdefault(kind, []).extend(json.loads(line) for line in (text.splitlines() if kind == "llm.line" else [text]))
    docs["summarize"].append(json.loads(run_cli("summarize", "other", "--json").stdout))
    docs["compare"].append(json.loads(run_cli("compare", "other", "bench", "--margin", "0.1", "--json").stdout or "null"))
    docs["compare"] = [d for d in docs["compare"] if d]
    for kind, words in (("export.line", ["bench", "--format", "jsonl"]), ("messages.line", ["bench", "--format", "messages"]),
                        ("predictions.line", ["bench", "--format", "predictions", "--pick", "first"])):
        docs[kind] = [json.loads(line) for line in run_cli("export", *words, check=0).stdout.splitlines()]
    run_cli("pack", "bench", "-o", "p.tar", check=0)
    with tarfile.open(workdir / "p.tar") as tar:
        docs["pack"] = [json.load(tar.extractfile(tar.next()))]
    return docs


def unnamed(document, schema, path=""):
    """Members that the schema says nothing of."""
    if isinstance(document, list):
        return [u for one in document for u in unnamed(one, schema.get("items", {}), path + "[]")]
    if not isinstance(document, dict) or schema.get("additionalProperties") is True:
        return []
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    return [f"{path}.{key}" for key in document if key not in known and not isinstance(others, dict)] + [
        u for key, value in document.items() for u in unnamed(value, known.get(key, others or {}), f"{path}.{key}")]


def test_files_and_answers_are_what_the_schemas_say(everything):
    schemas = {p.stem: json.loads(p.read_text()) for p in SCHEMAS.glob("*.json")}
    del schemas["cloud"]  # see test_aws_account.py
    assert sorted(schemas) == sorted(kind.replace(".", "-") for kind in everything)
    wrong = []
    for kind, documents in everything.items():
        schema = schemas[kind.replace(".", "-")]
        jsonschema.Draft202012Validator.check_schema(schema)
        check = jsonschema.Draft202012Validator(schema)
        assert documents, kind
        for document in documents:
            wrong += [f"{kind}: {e.json_path}: {e.message[:200]}" for e in check.iter_errors(document)]
            # And it does tell: of another version, and of a member that is missing or of another kind.
            if isinstance(document, dict) and "v" in schema.get("required", ()):
                assert not check.is_valid({**document, "v": 99}) and not check.is_valid({k: v for k, v in document.items() if k != "v"}), kind
            assert not check.is_valid("text")
    assert sorted(set(wrong)) == []


@pytest.mark.long
def test_no_member_is_in_no_schema(everything):
    schemas = {p.stem: json.loads(p.read_text()) for p in SCHEMAS.glob("*.json")}
    assert sorted({f"{kind}: {u}" for kind, documents in everything.items() for d in documents
                   for u in unnamed(d, schemas[kind.replace(".", "-")])}) == []


def test_the_page_names_them_all():
    page = (SOURCE / "docs/formats.md").read_text()
    assert [p.stem for p in SCHEMAS.glob("*.json") if f"`{p.stem}`" not in page] == []

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks beside its instruction: follow-ups in the same session, pictures, MCP servers and services of its own."""
import base64
import json

import pytest

from conftest import put
from models import DIALECTS, fake, provided, scripted  # noqa: F401 (fixtures)

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR4nGP8z4APMOGVHbHSAEEsAROxCnMTAAAAAElFTkSuQmCC")
# Keeps its session in its home folder, and says what it was asked; FAIL in a prompt makes it fail.
TALKER = """argv = ["sh", "{home}/talk.sh"]
stdin = "{instruction}"
[files]
"{home}/talk.sh" = '''
read -r words
{ echo "args=$* file=$(cat "$ROLLOUTS_INSTRUCTION_FILE" | head -1)"; cat; } >> ~/session
printf '%s\\n' "$words" >> ~/session
cp ~/session session
echo "{\\"tokens\\": $((10 * $(grep -c args= ~/session)))}"
sleep 600 &
case "$words" in *FAIL*) exit 3;; esac
'''
[follow_up]
args = ["--again"]
[output]
format = "jsonl"
rules = [{ match = { }, field = "tokens_total", pointer = "/tokens" }]
"""


@pytest.fixture
def talk(workdir, make_task, make_bench, run_cli, rollout):
    """talk(*follow_ups, agent=text of its file, check=0, **of the task's lm): one trial; returns (result, run directory), or the command."""
    made = []

    def run(*follow_ups, agent=TALKER, check=0, more=None, **lm):
        made.append(0)
        put(workdir / "agents/talker.toml", agent)
        task = make_task(name=f"greet{len(made)}", meta={"lm": {"instructions": "First things first.\n", "follow_ups": list(follow_ups), **lm}, **(more or {})},
                         instructions="First things first.\n", files={"mock.png": PNG, "mock.txt": "no picture"})
        make_bench(task, agent="talker", model="none", retries=0)
        done = run_cli("run", "bench.toml", check=check)
        if check:
            return done
        (run_id, result), = rollout().runs.items()
        return result, workdir / "data/runs" / run_id

    return run


def test_each_prompt_is_asked_in_the_same_session(talk, run_cli):
    result, top = talk("Second.", "Third.")
    patch = (top / "artifacts/diff.patch").read_text()
    assert "+args= file=First things first." in patch and "+args=--again file=Second.\n+Second." in patch, patch
    assert "+args=--again file=Third.\n+Third." in patch, patch
    told = [(p["outcome"], p["tokens_total"]) for p in result["agent"]["prompts"]]
    assert told == [("completed", 10), ("completed", 20), ("completed", 30)], told
    assert result["agent"]["metrics"]["tokens_total"] == 60 and result["outcome"] == "completed"
    assert result["agent"]["metrics"]["left_running"] == 3, "what it left running goes on until the session ends"
    shown = run_cli("show", top.name).stdout
    assert "prompts" in shown and "1 of 3: completed" in shown and "30 tokens" in shown, shown


def test_a_session_ends_with_the_prompt_that_fails(talk, run_cli):
    result, top = talk("FAIL here.", "Third.")
    assert result["outcome"] == "agent_error" and result["reason"].startswith("prompt 2 of 3: "), result["reason"]
    assert [p["outcome"] for p in result["agent"]["prompts"]] == ["completed", "agent_error", None]
    assert "3 of 3: not asked" in run_cli("show", top.name).stdout


def test_tokens_of_the_session_so_far_are_not_summed_up(talk):
    result, _ = talk("Second.", agent=TALKER.replace('args = ["--again"]', 'usage = "total"'))
    assert [p["tokens_total"] for p in result["agent"]["prompts"]] == [10, 10]
    assert result["agent"]["metrics"]["tokens_total"] == 20


def test_who_cannot_is_refused_before_the_start(talk, run_cli):
    plain = TALKER.split("[follow_up]")[0]
    done = talk("Second.", agent=plain, check=2)
    assert 'task "greet1" has lm.follow_ups, and agent "talker" cannot take them: its file has no [follow_up]' in done.stderr
    assert "[follow_up]" in run_cli("validate", "bench.toml", check=2).stderr
    done = talk(agent=plain, check=2, images=["mock.png"])
    assert 'has lm.images, and agent "talker" cannot take them: its file has no [images]' in done.stderr
    done = talk(agent='needs = "model"\napis = ["chat"]\n' + plain, check=2, more={"mcp": {"docs": {"command": ["docs"]}}})
    assert "has MCP servers" in done.stderr and "[mcp_config]" in done.stderr, done.stderr


def test_mistakes_of_a_task_are_told(talk):
    for lm, words in (({"images": ["gone.png"]}, '"gone.png" cannot be read'), ({"images": ["mock.txt"]}, '"mock.txt" is no PNG'),
                      ({"images": ["../mock.png"]}, "mock.png"), ({"images": ["diff.patch"]}, "kept from the agent"), ({"image": ["mock.png"]}, "images")):
        done = talk(check=2, **lm)
        assert words in done.stderr, done.stderr
    assert "number 2 is empty" in talk("a", " ", check=2).stderr
    for more, words in (({"mcp": {"x": {"comand": ["y"]}}}, "comand"), ({"mcp": {"x": {}}}, "needs either command or url"),
                        ({"services": {"db": {"ready": ["true"]}}}, "argv must begin with a program"),
                        ({"services": {"db": {"argv": ["x", "{hme}/db"]}}}, "{hme} is no placeholder (did you mean {home}?)")):
        done = talk(check=2, more=more)
        assert words in done.stderr, done.stderr


def test_an_agent_is_handed_pictures(talk):
    agent = TALKER + """[images]
args = ["--image={image}"]
stdin = "{instruction_json}{images}\\n"
each = " {image_type} {image_base64}"
"""
    result, top = talk("Second.", agent=agent, images=["mock.png"])
    patch = (top / "artifacts/diff.patch").read_text()
    assert "+args=--image=/app/mock.png" in patch, patch
    assert f'+"First things first.\\n" image/png {base64.b64encode(PNG).decode()}' in patch, patch
    assert "+args=--again file=Second.\n+Second." in patch, patch


@pytest.mark.parametrize("api", DIALECTS)
def test_the_built_in_agent(run_cli, make_task, make_bench, rollout, provided, fake, workdir, api):
    turns = [{"shell": "echo one > src/one", "text": "one"}, {"shell": "submit"}, {"shell": "echo two > src/two"}, {"text": "two"}]
    first = scripted(turns=turns)
    task = make_task(meta={"lm": {"instructions": first, "follow_ups": ["Now the second."], "images": ["mock.png"]}}, instructions=first,
                     files={"overlay_files/mock.png": PNG})
    make_bench(task, agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided([api]))
    (run_id, result), = rollout().runs.items()
    assert result["outcome"] == "completed", result["reason"]
    one, two = result["agent"]["prompts"]
    assert (one["calls"], two["calls"], one["tokens_total"], two["tokens_total"]) == (2, 2, 2610, 4650), (one, two)
    patch = (workdir / "data/runs" / run_id / "artifacts/diff.patch").read_text()
    assert "src/one" in patch and "src/two" in patch
    bodies = [entry.request.body.decode() for entry in fake.log()]
    assert all(base64.b64encode(PNG).decode() in body for body in bodies) and "Now the second." in bodies[2] not in bodies[1]


def test_servers_and_services_of_a_task(run_cli, make_task, make_bench, rollout, provided, workdir):
    """Over those of the benchmark and of the agent's file."""
    put(workdir / "agents/told.toml", """needs = "model"
apis = ["chat"]
argv = ["sh", "-c", "cp ~/mcp.json mcp.json; cp ~/.rollouts/services/web.log web.log"]
[mcp_config]
files = { "{home}/mcp.json" = '{mcp}' }
[mcp.mine]
url = "http://127.0.0.1:1/mine"
[mcp.docs]
url = "http://127.0.0.1:1/docs"
""")
    task = make_task(meta={"mcp": {"docs": {"command": ["docs", "{home}/x"], "env": {"A": "1"}}},
                           "services": {"web": {"argv": ["sh", "-c", "echo up; sleep 600"], "ready": ["grep", "-q", "up", "{home}/.rollouts/services/web.log"]}}})
    make_bench(task, agent="told", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided(["chat"]))
    (run_id, result), = rollout().runs.items()
    assert result["outcome"] == "completed", result["reason"]
    patch = (workdir / "data/runs" / run_id / "artifacts/diff.patch").read_text()
    told, = [json.loads(line[1:]) for line in patch.splitlines() if line.startswith('+{')]
    assert told == {"mine": {"type": "http", "url": "http://127.0.0.1:1/mine"}, "docs": {"command": "docs", "args": ["/home/agent/x"], "env": {"A": "1"}}}
    assert "+up" in patch

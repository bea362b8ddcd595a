# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that do not last, printed by a command that runs again; and the header that carries a key."""
import json

import pytest

from models import DIALECTS, fake, provided  # noqa: F401 (fixtures)

# Asks CALLS times, PAUSE seconds apart.
ASK = """#!/usr/bin/python3
import json, sys, time, urllib.request
url, token, model, calls, pause = sys.argv[1:]
for n in range(int(calls)):
    time.sleep(float(pause) if n else 0)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": f"number {n}"}]}).encode()
    urllib.request.urlopen(urllib.request.Request(url + "/v1/chat/completions", body,
        {"Content-Type": "application/json", "Authorization": "Bearer " + token})).read()
"""


@pytest.fixture
def renewed(workdir, fake, provided, agent_script, make_bench, make_task):
    """renewed(command, calls=, pause=, more="", **bench): a benchmark whose provider has a key_command; it runs in the data's folder."""
    def make(command, calls=1, pause=0, more="", **keys):
        provided(["chat"])
        fake.configure(keys=None)
        file = workdir / "xdg/rollouts/providers.toml"
        file.write_text(file.read_text().replace('key_env = "FAKE_API_KEY"',
                                                 f"key_command = '''cd {workdir}; {command}'''\n{more}"))
        agent_script('exec /usr/bin/python3 ~/ask.py "$URL" "$TOKEN" "$MODEL" "$CALLS" "$PAUSE"', name="asker", needs="model",
                     env={"URL": "{gateway_url}", "TOKEN": "{token}"}, files={"{home}/ask.py": ASK})
        return make_bench(make_task(), agent="asker", model="any-fake", evaluate=False, retries=0,
                          environment_variables={"CALLS": str(calls), "PAUSE": str(pause)}, **keys)

    return make


NEXT = 'echo x >> asked; echo "$OF_MINE-$(wc -l < asked)"'


def test_a_key_that_is_refused_is_renewed_once_for_all(run_cli, renewed, rollout, workdir, fake):
    """Every trial meets the end of the key; it is asked for anew once, as the user's own environment has it, and each call is made again."""
    file = renewed(NEXT, calls=3, rollouts=4, parallel=4)
    fake.configure(rules=[{"key": "sk-1", "nth": list(range(3, 100)), "do": {"status": 401}}])
    done = run_cli("run", file, env={"OF_MINE": "sk"}, check=0)
    assert {r["outcome"] for r in rollout().runs.values()} == {"completed"}, done.stdout
    assert (workdir / "asked").read_text() == "x\nx\n"
    answered = [e.key for e in fake.log() if e.status == 200]
    assert len(answered) == 12 and answered.count("sk-1") == 2 and answered.count("sk-2") == 10
    assert "refuses key" not in done.stdout
    for path in (workdir / "data").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"sk-2" not in path.read_bytes(), path


def test_a_key_is_renewed_before_its_time_is_over(run_cli, renewed, rollout, workdir, fake):
    run_cli("run", renewed(NEXT, calls=3, pause=1.5, more="key_ttl_sec = 1"), env={"OF_MINE": "sk"}, check=0)
    assert {r["outcome"] for r in rollout().runs.values()} == {"completed"}
    assert {e.status for e in fake.log()} == {200}
    keys = [e.key for e in fake.log()]
    assert len(keys) == len(set(keys)) == 3 and len((workdir / "asked").read_text().split()) >= 3


def test_a_command_that_fails_for_a_moment_is_run_again(run_cli, renewed, rollout, workdir, fake):
    """Around the hour a token is not to be had, at times: the calls wait, and nobody hears of it but people."""
    file = renewed('echo x >> asked; test $(wc -l < asked) != 2 && echo "sk-$(wc -l < asked)"', calls=3)
    fake.configure(rules=[{"key": "sk-1", "nth": list(range(2, 100)), "do": {"status": 401}}])
    run_cli("run", file, check=0)
    assert {r["outcome"] for r in rollout().runs.values()} == {"completed"}
    assert (workdir / "asked").read_text() == "x\nx\nx\n" and fake.log()[-1].key == "sk-3"


@pytest.mark.parametrize("command, words", [
    pytest.param("test ! -e asked && echo sk-1 && touch asked", "key_command fails, the key stays as it was: exit status 1",
                 marks=pytest.mark.long),
    pytest.param("test -e asked && echo 'no key' || echo sk-1; touch asked", "it prints no key", marks=pytest.mark.long),
    ("echo sk-1", None)])
def test_a_command_that_has_no_better_key(run_cli, renewed, rollout, fake, command, words):
    """What the provider says of the key is the agent's then, and the run's; it is not asked for ever."""
    file = renewed(command, calls=2)
    fake.configure(rules=[{"key": "sk-1", "nth": list(range(2, 100)), "do": {"status": 401}}])
    done = run_cli("run", file, check=3)
    (_, result), = rollout().runs.items()
    assert "fake: 401: " in result["reason"], result
    assert words is None or words in done.stdout + done.stderr
    assert len(fake.log()) <= 4


def test_what_auth_may_say(run_cli, renewed, workdir):
    file, mine = renewed("echo sk-1"), workdir / "xdg/rollouts/providers.toml"
    text = mine.read_text()
    for line, words in (('auth = "digest"', 'auth must be "bearer", "x-api-key"'),
                        ("auth = { header = 'a: b' }", 'auth needs header, the name of one, such as "api-key"'),
                        ("auth = { header = 'a', value = 'none' }", "auth: value must hold {key}"),
                        ("key_ttl_sec = 0", "key_ttl_sec must be 1 to ")):
        mine.write_text(text.replace("[[models]]", f"{line}\n[[models]]"))
        assert words in run_cli("run", file, check=2).stderr
    mine.write_text(text.replace("key_command", "key_ttl_sec = 60\nkey_env = 'X' #"))
    assert "key_ttl_sec goes with key_command" in run_cli("run", file, check=2).stderr


@pytest.mark.parametrize("api, auth, header, value", [
    ("responses", '"x-api-key"', "x-api-key", "KEY"),
    ("chat", '{ header = "api-key" }', "api-key", "KEY"),
    ("anthropic", '"bearer"', "authorization", "Bearer KEY"),
    ("gemini", '{ header = "authorization", value = "Token {key}" }', "authorization", "Token KEY")])
def test_the_header_of_a_key_is_the_providers(run_cli, make_task, make_bench, provided, fake, workdir, api, auth, header, value):
    env = provided([api])
    file = workdir / "xdg/rollouts/providers.toml"
    file.write_text(file.read_text().replace("apis =", f"auth = {auth}\napis ="))
    fake.configure(rules=[{"do": {"status": 404}}])
    make_bench(make_task(), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=env, check=3)
    request = fake.log()[0].request
    sent = {name: request.header(name) for name in ("authorization", "x-api-key", "x-goog-api-key", "api-key")}
    assert {k: v for k, v in sent.items() if v} == {header: value.replace("KEY", env["FAKE_API_KEY"])}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that somebody writes, started as people start them: what a sandbox is shown of them, and how edited source is told."""
import csv
import hashlib
import json
import os
import subprocess

import pytest

from conftest import put
from models import fake, provided  # noqa: F401 (fixtures)

# Says where it runs and what it could import, and what its shell would find.
AGENT = """import os, shutil, subprocess, sys
open("/app/notes.md", "w").write("\\n".join([
    "prefix=" + sys.prefix, "exe=" + sys.executable, "which=" + str(shutil.which("python3")),
    "path=" + os.environ["PATH"], "words=" + open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "words.txt")).read()]))
"""


@pytest.fixture
def own(workdir, make_task, run_cli, rollout):
    """own(table, check=0): one trial of [agents.mine]; returns (its notes as a dict, its result, the outcome of the command)."""
    def run(table, check=0, env=None):
        task = workdir / "tasks/greet" if (workdir / "tasks/greet").exists() else make_task()
        (workdir / "bench.toml").write_text(f"name = 'bench'\nmodel = 'm'\nagent = 'mine'\n[[tasks]]\nprepared_dir = '{task}'\n"
                                            f"[agents.mine]\n{table}\n")
        done = run_cli("run", "bench.toml", check=check, env=env)
        if check:
            return done
        row, = rollout().manifest["results"]
        top = workdir / "data/runs" / row["run_id"]
        result = json.loads((top / "result.json").read_text())
        assert result["outcome"] == "completed", result["reason"] + (top / "logs/agent.err").read_text()
        notes = dict(line.split("=", 1) for line in (top / "artifacts/notes.md").read_text().splitlines() if "=" in line)
        return notes, result, done

    return run


def put_agent(folder):
    put(folder / "words.txt", "of mine")
    put(folder / "myagent/__init__.py", "")
    put(folder / "myagent/words.txt", "of mine")
    put(folder / "myagent/__main__.py", AGENT)
    put(folder / "agent.py", AGENT)
    return folder


@pytest.fixture
def venv(workdir):
    """A virtual environment with no more than it takes."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", workdir / "src/venv"], check=True)
    return workdir / "src/venv"


def site(venv):
    return next((venv / "lib").glob("python*/site-packages"))


def test_a_script_beside_the_file(own, workdir):
    put_agent(workdir / "src")
    notes, result, _ = own('argv = ["python3", "src/agent.py"]')
    assert notes["words"] == "of mine" and result["agent"]["version"]


def test_a_script_in_the_benchmarks_own_folder_does_not_show_its_tasks(own, workdir):
    put(workdir / "agent.py", "import os\nopen('/app/notes.md', 'w').write('seen=%s' % os.listdir(os.path.dirname(__file__)))\n")
    notes, _, _ = own('argv = ["python3", "agent.py"]')
    assert notes["seen"] == "['agent.py']"


@pytest.mark.parametrize("argv", [
    '["src/venv/bin/python", "-m", "myagent"]',
    '["src/venv/bin/myagent"]',
])
def test_a_virtual_environment_with_source_that_is_linked(own, workdir, venv, argv):
    """As pip install -e leaves it, old and new; the model's PATH is the task's."""
    put_agent(workdir / "src/lib")
    info = site(venv) / "myagent-1.0.dist-info"
    put(info / "direct_url.json", json.dumps({"dir_info": {"editable": True}, "url": f"file://{workdir}/src/lib"}))
    put(info / "RECORD", "")
    put(site(venv) / "myagent.pth", f"{workdir}/src/lib\n")
    put(venv / "bin/myagent", f"#!{venv}/bin/python3\nimport runpy\nrunpy.run_module('myagent', run_name='__main__')\n")
    (venv / "bin/myagent").chmod(0o755)
    notes, result, _ = own(f"argv = {argv}")
    assert notes["prefix"] == str(venv) and notes["words"] == "of mine"
    assert notes["which"].startswith(("/usr/", "/bin/")) and str(workdir) not in notes["path"]
    assert len(result["agent"]["tree"]) == 64


def test_uv_run(own, workdir, venv):
    put_agent(workdir / "src")
    put(workdir / "src/pyproject.toml", "[project]\nname = 'x'\n")
    put(workdir / "tools/uv", "#!/bin/sh\nexit 9\n")
    (workdir / "tools/uv").chmod(0o755)
    argv = 'argv = ["uv", "run", "--project", "src", "src/agent.py"]'
    done = own(argv, check=2)
    assert "uv sync --project" in done.stderr
    venv.rename(workdir / "src/.venv")
    notes, _, _ = own(argv)
    assert notes["prefix"] == str(workdir / "src/.venv")
    notes, _, _ = own('argv = ["uv", "run", "--python", "3.11", "--directory=src", "-m", "timeit", "-n1", "-r1", '
                      '"open(\'/app/notes.md\', \'w\').write(\'words=timed\')"]')
    assert notes["words"] == "timed"
    assert "`uv venv " in own('argv = ["uv", "run", "agent.py"]', check=2).stderr  # no project: nothing to sync


def test_shown_source_is_told_by_its_state(own, workdir, run_cli):
    put_agent(workdir / "src")
    table = 'argv = ["python3", "-m", "myagent"]\nshows = ["src"]\nenv = { PYTHONPATH = "{folder}/src" }'
    first = own(table)[1]["agent"]["version"]
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", **{f"GIT_{role}_{what}": "t@example.com" for role in ("AUTHOR", "COMMITTER")
                                                             for what in ("NAME", "EMAIL")}}
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=workdir / "src", env=env, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=workdir / "src", env=env, check=True, text=True,
                            capture_output=True).stdout.strip()
    assert own(table)[1]["agent"]["version"] == commit[:10]
    put(workdir / "src/words.txt", "edited")
    edited = own(table)[1]["agent"]["version"]
    assert edited.startswith(commit[:10] + "+") and first != edited
    resumed = run_cli("resume", "bench", "--latest", "--config", "bench.toml", check=0)
    assert "nothing to do" in resumed.stdout + resumed.stderr or resumed.returncode == 0
    put(workdir / "src/words.txt", "edited again")
    resumed = run_cli("resume", "bench", "--latest", "--config", "bench.toml", check=0)
    assert 'agent "mine" is not what it was' in resumed.stdout + resumed.stderr


@pytest.mark.parametrize("table, words", [
    ('argv = ["python3", "{folder}/src/agent.py"]', None),
    ('argv = ["sh", "-c", "cat {folder}/src/words.txt"]', "argv: {top}/src/words.txt is here, but not in the sandbox: add shows = [\"{top}/src\"]"),
    ('argv = ["true", "--config={folder}/src/words.txt"]', "argv: {top}/src/words.txt is here"),
    ('argv = ["true"]\nenv = { PYTHONPATH = "{folder}/src" }', "env.PYTHONPATH: {top}/src is here, but not in the sandbox: add shows = [\"{top}/src\"]"),
    ('argv = ["true"]\nenv = { SETTINGS = "{folder}/src/words.txt", CA = "/etc/ssl/certs/ca-certificates.crt" }', "env.SETTINGS: {top}/src/words.txt is here"),
    ('argv = ["true"]\nshows = ["absent"]', "shows: {top}/absent is not there"),
    ('argv = ["true"]\nshows = ["."]', "shows: {top} holds more than an agent"),
])
def test_what_the_sandbox_would_not_have_is_refused(own, workdir, table, words):
    put_agent(workdir / "src")
    if words is None:
        own(table)
        return
    done = own(table, check=2)
    assert words.replace("{top}", str(workdir)) in done.stderr, done.stderr


def test_a_binary_by_its_path(own, workdir):
    """A Go or Rust program as its build leaves it."""
    put(workdir / "target/release/agent", "#!/bin/sh\necho words=built > /app/notes.md\n")
    (workdir / "target/release/agent").chmod(0o755)
    assert own('argv = ["target/release/agent"]')[0]["words"] == "built"


def test_what_an_agent_says_of_how_it_went(workdir, make_task, make_bench, agent_script, run_cli, rollout):
    """What failed before it began is not scored, a limit of its own is no failure, and what it counts is a metric."""
    rules = {"format": "jsonl", "rules": [
        {"match": {"/type": "init", "/servers/*/status": "failed"}, "field": "setup_error", "pointer": "/servers/*/name"},
        {"stderr": "^cannot reach ([a-z]+)", "field": "setup_error"},
        {"match": {"/type": "end"}, "field": "setup_error", "pointer": "/none"},
        {"match": {"/type": "end", "/why": "max_turns"}, "field": "limit", "pointer": "/why"},
        {"match": {"/type": "denied"}, "field": "metrics.denials", "how": "count"},
        {"match": {"/type": "end"}, "field": "metrics.listed", "how": "count", "pointer": "/list/*/name"},
        {"match": {"/type": "none"}, "field": "metrics.never", "how": "count"},
        {"match": {"/type": "end"}, "field": "metrics.depth", "pointer": "/depth"}]}
    end = '{"type":"end","depth":3,"list":[{"name":"a"},{"name":"b"}]'
    words = {"fails": '{"type":"init","servers":[{"name":"docs","status":"failed"},{"name":"fine","status":"connected"}]}\n' + end + "}",
             "limited": end + ',"why":"max_turns"}', "counts": '{"type":"denied"}\n{"type":"denied"}\n' + end + "}"}
    ends = {"limited": "exit 1", "unreached": "echo >&2; echo cannot reach db: no >&2; exit 1"}
    for name, text in {**words, "unreached": end + "}"}.items():
        agent_script(f"cat <<'E'\n{text}\nE\n{ends.get(name, '')}", name=name, output=rules)
    make_bench({"prepared_dir": make_task(), "model": "m", "agents": [*words, "unreached"]}, agent="nop", retries=0)
    run_cli("run", "bench.toml", check=1)
    found = {row["agent"]: rollout().runs[row["run_id"]] for row in rollout().manifest["results"]}
    assert (found["fails"]["outcome"], found["fails"]["total_score"]) == ("infra_error", None)
    assert "its set-up failed: docs" in found["fails"]["reason"]
    assert (found["unreached"]["outcome"], found["unreached"]["total_score"]) == ("infra_error", None)
    assert "its set-up failed: db" in found["unreached"]["reason"]
    assert found["limited"]["outcome"] == "budget" and found["limited"]["reason"] == "it reached a limit of its own: max_turns"
    assert found["counts"]["outcome"] == "completed"
    assert found["counts"]["metrics"] == {"denials": 2, "listed": 2, "never": 0, "depth": 3}
    rows = list(csv.DictReader(run_cli("summarize", "bench", "--latest", "--csv", check=0).stdout.splitlines()))
    counts, = [row for row in rows if row["agent"] == "counts"]
    assert float(counts["denials"]) == 2, counts


@pytest.mark.parametrize("line, words", [
    ('argv = ["true", "{modle}"]', "{modle} is no placeholder (did you mean {model}?)"),
    ('argv = ["true"]\nfiles = { "{home}/c.json" = "{gateway_ulr}" }', "{gateway_ulr} is no placeholder (did you mean {gateway_url}?)"),
    ('argv = ["true"]\nfiles = { "{hom}/c.json" = "x" }', "{hom} is no placeholder"),
    ('argv = ["true"]\nbefore = ["mkdir {hoem}/x"]', "{hoem} is no placeholder"),
    ('argv = ["true"]\n[agents.mine.services.db]\nargv = ["db"]\nlog = "{rpeo}/log"', "{rpeo} is no placeholder"),
    ('argv = ["true"]\nmcp_config = {}\n[agents.mine.mcp.docs]\nurl = "{gateway_rul}/mcp"', "{gateway_rul} is no placeholder"),
    ('argv = ["true"]\nenv = { A = "{modle:coder}" }', "{modle:coder} is no placeholder (did you mean {model:coder}?)"),
    ('argv = ["true"]\nenv = { A = "{optoin:effort}" }', "(did you mean {option:effort}?)"),
    ('argv = ["true"]\nfollow_up = { args = ["{instrution}"] }', "{instrution} is no placeholder"),
    ('argv = ["true"]\nimages = { each = "{image_bas64}" }', "{image_bas64} is no placeholder"),
    ('argv = ["true"]\n[agents.mine.system_prompt]\nreplace = { files = { "{hmoe}/p.md" = "{system_prompt}" } }', "{hmoe} is no placeholder"),
    ('argv = ["true"]\nbefore = ["echo {option:effort}"]', 'it has no option "effort"'),
    ('argv = ["true", "{option:effort}"]', 'it has no option "effort"'),
    ('argv = ["awk", "{print}", "${modle}"]\nfiles = { "{home}/x.py" = "f\'{modle}\'" }', None),
])
def test_a_misspelt_placeholder_is_found_before_anything_runs(workdir, make_task, run_cli, line, words):
    (workdir / "bench.toml").write_text(f"model = 'm'\nagent = 'mine'\n[[tasks]]\nprepared_dir = '{make_task()}'\n[agents.mine]\n{line}\n")
    done = run_cli("validate", "bench.toml", check=2 if words else 0)
    assert not words or words in done.stderr + done.stdout, done.stderr


def test_a_variable_that_nobody_sets_is_refused(own):
    table = 'argv = ["sh", "{home}/go.sh"]\nenv = { BASE = "at-{env:PLACE}", MODE = "{env:MODE_OF:-plain}" }\n' \
            'files = { "{home}/go.sh" = \'echo "words=$BASE $MODE {env:HOME}" > /app/notes.md\' }'
    refused = own(table, check=2)
    assert 'bench.toml: agent "mine": env.BASE holds {env:PLACE}: nobody sets PLACE for the task' in refused.stderr
    assert "environment_variables = { PLACE =" in refused.stderr and "MODE_OF" not in refused.stderr
    secret = own(table.replace("{env:PLACE}", "{env:OPENAI_API_KEY}"), check=2)
    assert "env.BASE holds {env:OPENAI_API_KEY}: it names a credential" in secret.stderr
    notes, _, _ = own(table.replace("{env:PLACE}", "{env:PLACE:-home}", 1))
    assert notes["words"] == "at-home plain /home/agent"


def test_check_says_which_hosts_were_looked_up(workdir, run_cli):
    put(workdir / "agents/looker.toml", """argv = ["/usr/bin/python3", "{home}/look.py"]
[files]
"{home}/look.py" = '''
import socket
assert socket.getaddrinfo("localhost", 80)[0][4][0] in ("127.0.0.1", "::1")
assert socket.gethostbyname("localhost") == "127.0.0.1"
for host in ("prices.example.com", "prices.example.com", "old.example.org"):
    try:
        socket.getaddrinfo(host, 443)
    except socket.gaierror as error:
        assert error.errno == socket.EAI_NONAME, error
'''
""")
    done = run_cli("agents", "check", "looker", check=0)
    assert "looker: works, asks no model" in done.stdout
    assert "looker: looked up prices.example.com, which no sandbox can reach, 2 times, " in done.stdout
    assert "looker: looked up old.example.org, which no sandbox can reach\n" in done.stdout
    assert done.stdout.count("looked up") == 2  # localhost is there


@pytest.mark.parametrize("kind, words", [("python", "works by chat, "), ("cli", "works by chat, "), ("script", "works, asks no model, ")])
def test_what_new_writes_passes_its_check(workdir, run_cli, kind, words):
    run_cli("agents", "new", "mine", f"--{kind}", check=0)
    assert words in run_cli("agents", "check", "mine", check=0).stdout
    assert "agents/mine.toml is there already" in run_cli("agents", "new", "mine", f"--{kind}", check=2).stderr


PYTHON_AGENT = """summary = "from the Python index"
argv = ["hello-py", "there"]
[install]
version = "1.2.3"
before = "2026-01-31"
pip = ["hello-py=={version}"]
program = ["venv/bin/python", "venv/bin/hello-py"]
"""
UV = """#!/bin/sh
echo "$*" > asked
cat > venv/bin/hello-py <<'E'
#!/nowhere
import sys
open("/app/notes.md", "w").write("words=%s from %s" % (sys.argv[1], sys.prefix))
E
chmod 755 venv/bin/hello-py
mkdir -p venv/lib/python3/site-packages/hello_py-1.2.3.dist-info && echo hello.py,sha256=x,1 > venv/lib/python3/site-packages/hello_py-1.2.3.dist-info/RECORD
"""


def test_an_agent_from_the_python_index(own, workdir, run_cli):
    put(workdir / "agents/hello.toml", PYTHON_AGENT)
    put(workdir / "tools/uv", UV)
    (workdir / "tools/uv").chmod(0o755)
    env = {"PATH": f"{workdir}/tools:/usr/bin:/bin", "XDG_CACHE_HOME": str(workdir / "cache")}
    refused = own('base = "hello"', env=env, check=2)
    assert "rollouts agents install hello" in refused.stderr
    done = run_cli("agents", "install", "-c", "bench.toml", env=env, check=0)
    assert "fetching hello 1.2.3 with pip: hello-py==1.2.3" in done.stdout and ", tree " in done.stdout
    asked, = (workdir / "cache").rglob("asked")
    assert asked.read_text().split()[:4] == ["pip", "install", "--python", "venv/bin/python"]
    assert "--exclude-newer=2026-01-31 -- hello-py==1.2.3" in asked.read_text() and "--only-binary :all:" in asked.read_text()
    notes, result, _ = own('base = "hello"', env=env)
    assert notes["words"] == "there from /opt/rollouts/hello/venv"
    assert (result["agent"]["version"], len(result["agent"]["tree"])) == ("1.2.3", 64)


@pytest.mark.parametrize("archive", [True, False])
def test_an_agent_from_a_url(own, workdir, run_cli, archive):
    put(workdir / "dist/hello", "#!/bin/sh\necho words=fetched > /app/notes.md\n")
    (workdir / "dist/hello").chmod(0o755)
    subprocess.run(["tar", "-czf", workdir / "dist/hello-1.2.3.tar.gz", "-C", workdir / "dist", "hello"], check=True)
    name = "hello-{version}.tar.gz" if archive else "hello"
    digest = hashlib.sha256((workdir / "dist" / name.replace("{version}", "1.2.3")).read_bytes()).hexdigest()
    table = 'argv = ["hello"]\n[agents.mine.install]\nversion = "1.2.3"\nprogram = ["hello"]\nurl = "file://%s/dist/%s"\nsha256 = "%s"'
    env = {"XDG_CACHE_HOME": str(workdir / "cache")}
    own(table % (workdir, name, "0" * 64), env=env, check=2)
    wrong = run_cli("agents", "install", "-c", "bench.toml", env=env, check=3)
    assert f"its SHA-256 is {digest}, not 000000" in wrong.stderr
    own(table % (workdir, name, digest), env=env, check=2)
    run_cli("agents", "install", "mine", "-c", "bench.toml", env=env, check=0)
    notes, result, _ = own(table % (workdir, name, digest), env=env)
    assert notes["words"] == "fetched" and result["agent"]["version"] == "1.2.3"


def test_an_agent_that_never_asks_its_model_pauses_the_run(workdir, make_task, run_cli, rollout, provided):
    """A module that is missing, say: what it would be scored would be nobody's."""
    (workdir / "bench.toml").write_text(f"name = 'bench'\nmodel = 'any-fake'\nagent = 'mine'\nrollouts = 20\n[[tasks]]\nprepared_dir = '{make_task()}'\n"
                                        "[agents.mine]\nneeds = 'model'\napis = ['chat']\nargv = ['sh', '-c', 'echo no module >&2; exit 1']\n")
    done = run_cli("run", "bench.toml", check=3, env=provided(["chat"]))
    assert "paused: 5 trials in a row failed for one reason, before their agent had asked its model once: exit status 1: no module" in done.stderr + done.stdout
    assert len([row for row in rollout().manifest["results"] if row["status"] not in ("pending", "planned")]) < 20

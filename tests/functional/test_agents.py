# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents through the real program: what they get, what becomes of them, what is kept of their work."""
import hashlib
import json
import os
import re
import struct

import pytest

from conftest import SOURCE, children, wait_for

VERSION = re.search(r"version: '(.*?)'", (SOURCE / "meson.build").read_text())[1]


@pytest.fixture
def run_one(run_cli, workdir, make_task, make_bench, rollout):
    """run_one(agent, task=, check=0, ...): run one trial; returns its result and the folder of its attempt."""
    def run(agent, task=None, check=0, model="acme-1", env=None, refused=False, **keys):
        task = task or (workdir / "tasks/greet" if (workdir / "tasks/greet").exists() else make_task())
        bench = make_bench({"prepared_dir": task, "model": model, **keys}, agent=agent)
        done = run_cli("run", bench.name, check=2 if refused else check, env=env)
        if refused:
            return done
        run_id = rollout().manifest["results"][0]["run_id"]
        top = workdir / "data/runs" / run_id
        result = json.loads((top / "result.json").read_text())
        return result, top, done

    return run


def document(top):
    return json.loads((top / "evaluation_results.json").read_text())


def test_an_agent_gets_what_its_file_says(run_one, agent_script, make_task, account):
    agent = agent_script(
        """
        { env; echo "cwd=$PWD"; echo "args=$*"; echo "stdin=$(cat)"; cat ~/.tool.json; } > /app/notes.md
        """, argv=["bash", "{home}/agent.sh", "--model", "{model}"], stdin="{instruction}",
        env={"TOOL_TASK": "{task_id}", "HERE": "{repo}"},
        files={"{home}/.tool.json": '{"model": "{model}", "nested": {"a": {"b": 1}}}'})
    task = make_task(files={".env": "OPENAI_API_KEY=sk-leak-1\nFROM_TASK=yes\nHOME=/root\n"})
    result, top, _ = run_one(agent, task=task, seed=7, environment_variables={"TIMEOUT_SEC": "1800"},
                             env={"ANTHROPIC_API_KEY": "sk-leak-2", "HOST_ONLY": "leak-3"})
    notes = (top / "artifacts/notes.md").read_text()
    assert result["outcome"] == "completed"
    for line in ["cwd=/app/repo", "args=--model acme-1", "stdin=Fix greet() in src/greet.py.",
                 '{"model": "acme-1", "nested": {"a": {"b": 1}}}', "MODEL=acme-1", "ROLLOUT=0", "TOOL_TASK=greet",
                 "HERE=/app/repo", "HOME=/home/agent", "LANG=C.UTF-8", "TERM=dumb", "TIMEOUT_SEC=1800", "FROM_TASK=yes",
                 "ROLLOUTS_TASK_ID=greet", "ROLLOUTS_MODEL=acme-1", "ROLLOUTS_ROLLOUT=0"]:
        assert line in notes.splitlines(), line
    assert "leak-" not in notes
    assert all("leak-" not in p.read_text(errors="replace") for p in top.rglob("*") if p.is_file())


def test_standard_input_ends_at_once_without_a_template(run_one, agent_script):
    result, top, _ = run_one(agent_script("wc -c > /app/notes.md; exit ${PIPESTATUS[0]}"), timeout_sec=20)
    assert result["outcome"] == "completed"
    assert (top / "artifacts/notes.md").read_text().strip() == "0"


def test_the_shell_agent_needs_no_file(run_one, account):
    fix = "sed -i s/nmae/name/ src/greet.py"
    result, top, _ = run_one("shell", environment_variables={"COMMAND": fix})
    assert (result["outcome"], result["total_score"]) == ("completed", 1)
    assert "+    return 'hello ' + name" in (top / "artifacts/diff.patch").read_text()


def test_the_shell_agent_says_what_it_misses(run_one):
    result, _, _ = run_one("shell")
    assert result["outcome"] == "agent_error"
    assert "COMMAND" in result["reason"]


def test_a_failed_agents_work_is_kept_and_graded(run_one, agent_script):
    agent = agent_script("sed -i s/nmae/name/ src/greet.py; echo 'out of luck' >&2; exit 3")
    result, top, _ = run_one(agent)
    assert result["outcome"] == "agent_error"
    assert result["reason"] == "exit status 3: out of luck"
    assert (result["total_score"], result["agent"]["exit_status"]) == (1, 3 << 8)
    assert document(top)["outcome"] == "agent_error"


def test_a_crash_is_named(run_one, agent_script):
    result, _, _ = run_one(agent_script("kill -SEGV $$"))
    assert (result["outcome"], result["reason"]) == ("agent_error", "killed by SIGSEGV")


def test_time_is_up_for_everything_it_started(run_one, agent_script, account):
    agent = agent_script("sed -i s/nmae/name/ src/greet.py\n"
                         "(trap '' TERM; setsid sleep 1000) & trap '' TERM; sleep 1000; sleep 1000")
    result, top, _ = run_one(agent, timeout_sec=2)
    assert (result["outcome"], result["reason"].partition(",")[0]) == ("timeout", "timed out after 2 s")
    assert result["total_score"] == 1
    assert 1990 <= result["agent"]["metrics"]["wall_ms"] < 10000  # two clocks, each rounded


def test_an_agent_that_waits_is_told_from_one_that_works(run_one, agent_script):
    """For an answer, say: it asks, and reads what nobody will ever write."""
    waits = agent_script("mkfifo ~/answer; echo 'Go on? [y/N]'; read answer < ~/answer")
    result, *_ = run_one(waits, timeout_sec=3)
    silent = re.fullmatch(r"timed out after 3 s, silent for the last (\d+) s", result["reason"])
    assert result["outcome"] == "timeout" and silent and 1 <= int(silent[1]) <= 4, result["reason"]


def test_an_agent_that_works_to_the_end(run_one, agent_script):
    works = agent_script("while :; do echo step; read -t .1 < <(sleep 9); done")
    result, *_ = run_one(works, timeout_sec=3)
    assert (result["outcome"], result["reason"]) == ("timeout", "timed out after 3 s")


def test_there_is_no_terminal_to_ask_at(run_one, agent_script):
    result, *_ = run_one(agent_script("read answer < /dev/tty || exit 9"))
    assert result["outcome"] == "agent_error"
    assert re.match(r"exit status 9: .*/dev/tty: No such device", result["reason"]), result["reason"]


def test_what_an_agent_leaves_running_is_counted_and_killed(run_one, agent_script, run_cli):
    agent = agent_script("mkfifo ~/up; for n in 1 2; do setsid sh -c 'trap \"\" TERM; echo up > ~/up; exec sleep 1000' & "
                         "read x < ~/up; done; exit 0")
    result, *_ = run_one(agent)
    assert (result["outcome"], result["reason"]) == ("completed", "")
    assert result["agent"]["metrics"]["left_running"] == 2
    assert "2 processes left running" in run_cli("show", result["run_id"], check=0).stdout


def test_too_much_memory_is_the_agents_failure(run_one, agent_script):
    hog = "python3 -c 'x = bytearray(400 << 20); import time; time.sleep(30)'"
    result, _, _ = run_one(agent_script(hog), memory_mb=128)
    assert result["outcome"] == "agent_error"
    assert "128 MB of memory" in result["reason"]


RULES = {"format": "jsonl", "rules": [
    {"match": {"/type": "usage"}, "field": "tokens_input", "pointer": ["/in", "/cached"], "how": "add"},
    {"match": {"/type": "usage"}, "field": "tokens_output", "pointer": "/out", "how": "add"},
    {"match": {"/type": "tool"}, "field": "tool_calls", "how": "count"},
    {"match": {"/type": "end"}, "field": "final_message", "pointer": "/text"},
    {"match": {"/type": "end"}, "field": "error", "pointer": "/error"}]}


def test_output_is_read_by_rules(run_one, agent_script):
    lines = ['{"type":"usage","in":10,"cached":5,"out":2}', "noise {", '{"type":"tool"}', '{"type":"tool"}',
             '{"type":"usage","in":1,"out":1}', '{"type":"end","text":"all done"}']
    agent = agent_script("\n".join(f"echo '{line}'" for line in lines), output=RULES)
    result, top, _ = run_one(agent)
    metrics = result["agent"]["metrics"]
    assert (metrics["tokens_input"], metrics["tokens_output"], metrics["tokens_total"]) == (16, 3, 19)
    assert (metrics["tool_calls"], metrics["money_usd"], metrics["turns"]) == (2, None, None)
    assert result["agent"]["final_message"] == "all done"
    shown = document(top)["agent_metrics"]
    assert (shown["tokens_total"], shown["tool_calls_total"], shown["money_spent_usd"]) == (19, 2, None)
    assert (top / "logs/agent.log").read_text().splitlines() == lines


def test_a_reported_error_counts_in_spite_of_the_exit_status(run_one, agent_script):
    agent = agent_script("""echo '{"type":"end","error":"quota is over"}'""", output=RULES)
    result, _, _ = run_one(agent)
    assert (result["outcome"], result["reason"]) == ("agent_error", "it reported: quota is over")


def test_hostile_output_harms_nobody(run_one, agent_script):
    agent = agent_script("""
        printf '\\033[2J\\033]0;owned\\007\\n'
        head -c 3000000 /dev/urandom
        printf '\\n{"type":"usage","in":%s,"out":-7}\\n' 1e999
        python3 -c 'print("{" * 100000)'
        python3 -c 'print("{\\"type\\":\\"end\\",\\"text\\":\\"" + "x" * 20000000 + "\\"}")'
        printf '{"type":"end","error":"\\\\u001b[31mred\\\\nline"}'
        """, output=RULES)
    result, _, done = run_one(agent)
    assert result["outcome"] == "agent_error"
    assert result["reason"] == "it reported: \\x1b[31mred line"
    assert result["agent"]["metrics"]["tokens_output"] is None
    assert "\x1b" not in done.stdout + done.stderr


def test_files_are_collected_and_no_link_is_followed(run_one, agent_script, account):
    agent = agent_script("""
        mkdir -p ~/logs/deep && cd ~/logs
        echo one > one.txt; echo two > deep/two.txt; printf x > $'deep/new\\nline'
        ln -s /etc/passwd link; mkfifo pipe; truncate -s 100M huge; ln -s / deep/root
        ln -s /etc/hostname ~/other
        printf 'see \\033[31m' > /app/notes.md
        """, collect=["{home}/logs", "{home}/other", "{home}/absent", "/etc/passwd"])
    result, top, _ = run_one(agent)
    assert result["outcome"] == "completed"
    kept = {str(p.relative_to(top / "artifacts/agent")) for p in (top / "artifacts/agent").rglob("*")
            if not p.is_dir()}
    assert kept == {"home/agent/logs/one.txt", "home/agent/logs/deep/two.txt",
                    "home/agent/logs/deep/new\nline", "etc/passwd"}
    passwd = (top / "artifacts/agent/etc/passwd").read_text()
    assert "daemon" not in passwd  # the sandbox's own, not the host's
    info = json.loads((top / "artifacts/repo_info.json").read_text())
    assert any("huge: too large" in line for line in info["not_collected"])


def test_notes_that_are_a_link_are_left_behind(run_one, agent_script):
    result, top, _ = run_one(agent_script("ln -s /app/LM_INSTRUCTIONS.md /app/notes.md"))
    assert result["outcome"] == "completed"
    assert not (top / "artifacts/notes.md").exists()


def test_an_agent_starts_in_the_tasks_subdir(run_one, agent_script, make_task):
    task = make_task("sub", meta={"repo": {"subdir": "src"}}, tests=[], gold=False)
    result, top, _ = run_one(agent_script("pwd > /app/notes.md"), task=task)
    assert (top / "artifacts/notes.md").read_text() == "/app/repo/src\n"


def test_a_program_that_cannot_start_is_our_fault(run_one, agent_script):
    agent = agent_script("unused", argv=["{home}/tool"], files={"{home}/tool": "#!/nonexistent/interpreter\n"})
    result, _, _ = run_one(agent, check=1)
    assert result["outcome"] == "infra_error"
    assert "cannot be started in the sandbox" in result["reason"]
    assert result["total_score"] is None


def test_oracle_solves_the_task(run_one, make_repo, account):
    result, top, _ = run_one("oracle")
    assert (result["outcome"], result["total_score"], result["coverage"]) == ("completed", 1, 1)
    assert "hello ' + name" in (top / "artifacts/diff.patch").read_text()


def test_oracle_without_a_sandbox_hands_in_the_gold_diff(run_one, make_task, make_repo):
    repo = make_repo()
    task = make_task(repo=repo)
    result, top, _ = run_one("oracle", task=task, sandbox="none", evaluate=False)
    assert result["outcome"] == "completed"
    assert (top / "artifacts/diff.patch").read_bytes() == repo.diff(repo.commits[0], repo.head)


def test_a_gold_diff_that_does_not_apply(run_one, make_task):
    task = make_task(gold=b"diff --git a/gone b/gone\n--- a/gone\n+++ b/gone\n@@ -1 +1 @@\n-a\n+b\n")
    result, _, _ = run_one("oracle", task=task)
    assert result["outcome"] == "agent_error"
    assert "gold diff does not apply" in result["reason"]


def test_nop_shows_the_score_of_the_start(run_one):
    result, top, _ = run_one("nop")
    assert (result["outcome"], result["total_score"]) == ("completed", 0.4)
    assert (top / "artifacts/diff.patch").read_bytes() == b""
    assert result["agent"]["metrics"]["tokens_total"] is None


def test_a_big_instruction_fits_through_standard_input(run_one, agent_script, make_task):
    task = make_task(instructions="Fix it. " * 100_000)
    result, top, _ = run_one(agent_script("wc -c > /app/notes.md", stdin="{instruction}"), task=task)
    assert result["outcome"] == "completed"
    assert int((top / "artifacts/notes.md").read_text()) >= 800_000


def test_a_program_on_the_path_comes_with_its_prefix(run_one, workdir, account):
    """Found by its name, run with what is installed beside it, and read-only."""
    tool = workdir / "opt/patchbot"
    (tool / "bin").mkdir(parents=True)
    (tool / "lib").mkdir()
    (tool / "lib/words").write_text("from the library\n")
    (tool / "bin/patchbot").write_text("#!/bin/sh\ncat \"$(dirname \"$0\")/../lib/words\" > /app/notes.md\n"
                                       "touch \"$(dirname \"$0\")/mine\" 2>>/app/notes.md\ntrue\n")
    (tool / "bin/patchbot").chmod(0o755)
    (workdir / "agents").mkdir(exist_ok=True)
    (workdir / "agents/bot.toml").write_text('argv = ["patchbot"]\n')
    result, top, _ = run_one("bot", env={"PATH": f"{tool}/bin:/usr/bin:/bin"})
    assert result["outcome"] == "completed", result["reason"]
    notes = (top / "artifacts/notes.md").read_text()
    assert notes.startswith("from the library\n") and "Read-only file system" in notes
    assert not (tool / "bin/mine").exists()


FETCHED = """summary = "says hello"
argv = ["hello-bot", "there"]
[install]
version = "1.2.3"
before = "2026-01-31"
npm = ["hello-bot@{version}"]
program = ["node_modules/hello-bot/run"]
"""


@pytest.fixture
def fake_npm(workdir):
    """fake_npm(text): an npm on PATH that runs TEXT in the folder it was started in; returns the environment."""
    def make(text):
        bin_dir = workdir / "npm/bin"
        bin_dir.mkdir(parents=True, exist_ok=True)
        (bin_dir / "npm").write_text("#!/bin/sh\n[ \"$1\" = ping ] && exit\n" + text)
        (bin_dir / "npm").chmod(0o755)
        folder = workdir / "xdg/rollouts/agents"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hello.toml").write_text(FETCHED)
        return {"PATH": f"{bin_dir}:/usr/bin:/bin", "XDG_CACHE_HOME": str(workdir / "cache")}

    return make


PACKAGE = """printf '%s\\n' "$*" >> ../asked
mkdir -p node_modules/hello-bot
printf '#!/bin/sh\\necho "$1 from $0" > /app/notes.md\\n' > node_modules/hello-bot/run
chmod 755 node_modules/hello-bot/run
echo '{"packages": {"node_modules/hello-bot": {"version": "1.2.3", "integrity": "sha512-a"}, "node_modules/dep": DEP}}' \\
    > node_modules/.package-lock.json
""".replace("DEP", '{"version": "4.5.6"}')


def tree_of(*lines):
    """As documented: SHA-256 over the sorted lines, each after its length."""
    return hashlib.sha256(b"".join(struct.pack("<Q", len(line)) + line.encode() for line in lines)).hexdigest()


def test_an_agent_is_fetched_once_and_used(run_cli, run_one, fake_npm, workdir, account):
    env = fake_npm(PACKAGE)
    listed = {row["agent"]: row for row in json.loads(run_cli("agents", "--json", env=env, check=0).stdout)}
    assert listed["hello"]["state"] == "missing"
    assert "rollouts agents install hello" in listed["hello"]["remedy"]
    refused = run_one("hello", env=env, refused=True)
    assert refused.returncode == 2
    assert "agent \"hello\" is not installed: rollouts agents install hello" in refused.stderr
    run_cli("agents", "install", "hello", env=env, check=0)
    again = run_cli("agents", "install", "hello@1.2.3", env=env, check=0)
    assert "installed already" in again.stdout
    top = workdir / "cache/rollouts/agents/hello"
    asked = (top / "asked").read_text().splitlines()
    assert len(asked) == 1 and "--ignore-scripts" in asked[0]
    assert asked[0].endswith("--before=2026-01-31 -- hello-bot@1.2.3")
    assert sorted(p.name for p in top.iterdir()) == [".lock", "1.2.3", "asked"]
    tree = tree_of("node_modules/dep 4.5.6 ", "node_modules/hello-bot 1.2.3 sha512-a")
    listed = {row["agent"]: row for row in json.loads(run_cli("agents", "--json", env=env, check=0).stdout)}
    assert (listed["hello"]["state"], listed["hello"]["version"]) == ("installed", "1.2.3")
    told = run_cli("agents", env=env, check=0).stdout
    assert "says hello" in told and f" {tree[:12]} " in told
    result, run, _ = run_one("hello", env=env)
    assert result["agent"]["tree"] == listed["hello"]["tree"] == tree
    assert (result["outcome"], result["agent"]["version"]) == ("completed", "1.2.3"), result["reason"]
    assert (run / "artifacts/notes.md").read_text() == "there from /opt/rollouts/hello/node_modules/hello-bot/run\n"


def test_what_npm_resolves_tells_installations_apart(run_cli, fake_npm, workdir):
    """One version, but what it depends on is another: by default as it was at the file's day, for a version of one's own choice as
    it is now."""
    trees = set()
    for at, package in enumerate((PACKAGE, PACKAGE.replace("4.5.6", "4.5.7"), "true\n" + PACKAGE)):
        env = {**fake_npm(package), "XDG_CACHE_HOME": str(workdir / f"cache{at}")}
        done = run_cli("agents", "install", "hello", env=env, check=0)
        trees.add(re.search(r", tree ([0-9a-f]{12})$", done.stdout)[1])
    assert len(trees) == 2
    run_cli("agents", "install", "hello@1.2.4", env=env, check=0)
    assert "--before" not in (workdir / "cache2/rollouts/agents/hello/asked").read_text().splitlines()[-1]


def test_npms_words_are_shown_when_it_fails(run_cli, fake_npm, workdir):
    env = fake_npm("mkdir node_modules; echo 'E404 no such\033[31m version' >&2; exit 1\n")
    done = run_cli("agents", "install", "hello", env=env, check=3)
    assert "E404 no such\\x1b[31m version" in done.stderr
    assert "npm could not fetch hello-bot@1.2.3 (exit status 1)" in done.stderr
    assert [p.name for p in (workdir / "cache/rollouts/agents/hello").iterdir()] == [".lock"]
    env = fake_npm("true\n")
    done = run_cli("agents", "install", "hello@2.0.0", env=env, check=3)
    assert "hello-bot@2.0.0 was fetched, but holds no node_modules/hello-bot/run" in done.stderr


def test_without_a_network_it_is_one_line(run_cli, fake_npm, workdir):
    env = fake_npm("echo 'npm ERR! code EAI_AGAIN' >&2; echo 'npm ERR! request to https://registry failed' >&2; exit 1\n")
    done = run_cli("agents", "install", "hello", env=env, check=3)
    assert done.stderr.startswith("rollouts: npm cannot reach its registry (EAI_AGAIN): ") and done.stderr.count("\n") == 1


def test_a_network_that_swallows_packets_is_one_line(run_cli, fake_npm, workdir):
    """npm itself would wait for minutes. One that says nothing yet, on a busy machine, is not taken for that."""
    env = fake_npm("")
    (workdir / "npm/bin/npm").write_text("#!/bin/sh\necho \"$1\" >> " + str(workdir / "asked") + "\nsleep 1\n"
                                         "echo 'npm notice PING https://registry/' >&2\nexec sleep 600\n")
    done = run_cli("agents", "install", "hello", env=env, check=3)
    assert done.stderr.startswith("rollouts: npm cannot reach its registry (it does not answer): ")
    assert done.stderr.count("\n") == 1 and (workdir / "asked").read_text() == "ping\n"
    assert [p.name for p in (workdir / "cache/rollouts/agents/hello").iterdir()] == [".lock"]


@pytest.mark.parametrize("what, status, words", [
    ("hello@latest", 2, "\"latest\" is not an exact version, as 1.2.3 is"),
    ("hello@../../x", 2, "is not an exact version"),
    ("helo", 2, "no agent \"helo\""),
    ("nop", 2, "agent \"nop\" is built in"),
    ("shell", 2, "has no [install]"),
    ("hello", 3, "fetched by npm, which is not on PATH"),
])
def test_what_cannot_be_installed_is_told(run_cli, fake_npm, what, status, words):
    env = {**fake_npm("exit 1\n"), "PATH": "/nonexistent"}
    assert words in run_cli("agents", "install", what, env=env, check=status).stderr


def test_agents_takes_known_words_only(run_cli):
    assert "agents takes: list, install" in run_cli("agents", "instal", check=2).stderr
    assert "needs the name of an agent" in run_cli("agents", "install", check=2).stderr


def test_two_installations_at_once_are_one(start_cli, fake_npm, workdir):
    """The second waits for the first, however long that takes, and finds its work done."""
    os.mkfifo(workdir / "go")
    env = fake_npm(f"read line < {workdir}/go\n" + PACKAGE)
    first = start_cli("agents", "install", "hello", env=env)
    second = start_cli("agents", "install", "hello", env=env)
    (workdir / "go").write_text("on\n")  # opens once one of them reads
    told = sorted(child.communicate(timeout=120)[0].splitlines()[-1] for child in (first, second))
    assert (first.returncode, second.returncode) == (0, 0), told
    assert "is installed already" in told[1] or "is installed already" in told[0]
    assert len((workdir / "cache/rollouts/agents/hello/asked").read_text().splitlines()) == 1


def test_a_killed_installation_leaves_nothing_half_done(start_cli, run_cli, fake_npm, workdir):
    env = fake_npm(f"mkdir half; : > {workdir}/begun; exec sleep 600\n")
    child = start_cli("agents", "install", "hello", env=env, start_new_session=True)
    wait_for((workdir / "begun").exists, timeout=60)
    top = workdir / "cache/rollouts/agents/hello"
    assert any(p.name.startswith(".new.") for p in top.iterdir())
    child.kill()
    child.wait()
    wait_for(lambda: not any(p.name.startswith(".new.") for p in top.iterdir()), timeout=60)
    for pid in children():  # who saw to that, and the npm that was ended; ours by now
        os.waitpid(pid, 0)
    run_cli("agents", "install", "hello", env=fake_npm(PACKAGE), check=0)
    assert sorted(p.name for p in top.iterdir()) == [".lock", "1.2.3", "asked"]


def test_an_agent_is_tried(run_cli, agent_script, account):
    """The built-in one by each API; one that is not understood, one that fails, one that asks no model."""
    done = run_cli("agents", "check", "bash", check=0)
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
        f"bash {VERSION}: works by {api}" for api in ("anthropic", "responses", "gemini", "chat")]
    done = run_cli("agents", "check", "nop", check=2)
    assert 'agent "nop" names no apis' in done.stderr


def test_an_agent_that_does_not_work_is_told(run_cli, fake_npm, workdir):
    env = fake_npm(PACKAGE)
    file = workdir / "xdg/rollouts/agents/hello.toml"
    file.write_text('apis = ["chat"]\n' + FETCHED)
    assert "rollouts agents install hello" in run_cli("agents", "check", "hello", env=env, check=2).stderr
    run_cli("agents", "install", "hello", env=env, check=0)
    done = run_cli("agents", "check", "hello", env=env, check=3)
    assert "hello by chat: it ended well, but its output was not understood: it said -1 tokens, not the 0 of 0 calls" in done.stderr
    program = next((workdir / "cache").rglob("run"))
    program.write_text("#!/bin/sh\necho 'no luck\033[2J' >&2; exit 7\n")
    done = run_cli("agents", "check", "hello", env=env, check=3)
    assert "hello by chat: exit status 7: no luck\\x1b[2J" in done.stderr
    assert "--- the end of logs/agent.err\nno luck\\x1b[2J" in done.stderr

# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image starts by itself: its ENTRYPOINT runs beside the agent and beside each grading."""
import json

import pytest

import engines
from conftest import only

SERVER = """import http.server, os, pathlib, time
time.sleep({delay})
pathlib.Path('/tmp/where').write_text(os.getcwd() + ' ' + os.environ.get('SETTING', '') + ' ' + str(os.getppid()))
http.server.HTTPServer(('127.0.0.1', 8377), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
ASK = "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8377/').status)\""


@pytest.fixture
def run_docker(run_cli, engine):
    return lambda *args, **more: run_cli("run", *args, env={"DOCKER_HOST": engine.host}, timeout=300, **more)


@pytest.fixture
def bench(make_task, make_bench, agent_script, make_repo):
    def make(entry, lines="", delay=0, tests=2, script=f"{ASK} >&2; {ASK} >&2; cat /tmp/where >&2; ps -A -o pid,ppid,args >&2", **keys):
        files = {"entry.sh": entry, "server.py": SERVER.format(delay=delay),
                 "Dockerfile": f"FROM {engines.BASE}\nCOPY entry.sh server.py /srv/\nWORKDIR /srv\nENV SETTING=image\n{lines}\n"}
        folder = make_task("served", files=files, rubrics=[{"id": "works", "criterion": "c", "weight": 1}],
                           tests=[(f"t{i}.sh", "works", ASK + "\n") for i in range(tests)])
        agent = agent_script(script)
        return make_bench({"prepared_dir": folder}, agent=agent, model="m", **keys)

    return make


def log(workdir, name):
    return next((workdir / "data/runs").glob(f"*/logs/{name}")).read_text()


SCRIPT = "#!/bin/bash\nset -e\n( setsid python3 /srv/server.py & )\nwhile ! " + ASK + " 2>/dev/null; do sleep 0.1; done\necho started\nexec \"$@\"\n"


def test_a_script_that_starts_a_service(run_docker, bench, rollout, workdir):
    """The service outlives the ends of agent and tests, though it left the script's session."""
    done = run_docker(bench(SCRIPT, 'ENTRYPOINT ["/bin/bash", "/srv/entry.sh"]\nCMD ["never"]', delay=0.5), check=0)
    result = only(rollout())
    assert "its ENTRYPOINT runs beside agent and tests (/bin/bash /srv/entry.sh)" in done.stdout
    assert result["outcome"] == "completed" and result["total_score"] == 1, result
    said = log(workdir, "agent.err")
    assert said.startswith("200\n200\n/srv image ") and "started" in log(workdir, "entrypoint.log")


def test_a_service_that_knows_no_arguments_and_its_health_check(run_docker, bench, rollout, workdir):
    lines = (f'ENTRYPOINT ["python3", "/srv/server.py"]\nHEALTHCHECK --interval=1s --timeout=5s --start-period=20s CMD {ASK}')
    run_docker(bench("", lines, delay=2, tests=1), check=0)
    assert only(rollout())["total_score"] == 1, only(rollout())
    assert log(workdir, "agent.err").startswith("200\n")


@pytest.mark.parametrize("entry, lines, words", [
    ("echo no database here; exit 7\n", "", "no database here"),
    ("sleep 600\n", "HEALTHCHECK --interval=200ms --timeout=1s --retries=1 CMD false", "HEALTHCHECK does not pass")])
def test_its_failure_is_found_before_the_agent(run_docker, bench, rollout, workdir, entry, lines, words):
    config = bench(entry, 'ENTRYPOINT ["/bin/bash", "/srv/entry.sh"]\n' + lines, tests=1)
    done = run_docker(config, check=3)
    assert words in done.stdout + done.stderr and "ENTRYPOINT" in done.stderr and "preflight" in done.stderr
    done = run_docker(config, "--no-preflight", check=1)
    result = only(rollout())
    assert result["outcome"] == "infra_error" and words in result["reason"] and "agent" not in result["phases_ms"], result


def test_an_interpreter_is_no_service(run_docker, bench, rollout):
    done = run_docker(bench("", 'ENTRYPOINT ["python3"]', script="true", tests=0, evaluate=False), check=0)
    assert "its ENTRYPOINT (python3) is not run" in done.stdout and only(rollout())["outcome"] == "completed"


def test_programs_in_a_folder_of_root(run_docker, bench, rollout, workdir):
    """uv, rustup and pipx put programs below /root, which is 0700."""
    lines = "RUN mkdir -p /root/.local/bin && printf '#!/bin/sh\\necho found\\n' > /root/.local/bin/mytool && chmod 755 /root/.local/bin/mytool " \
            "&& chmod 700 /root && echo secret > /root/secret && chmod 600 /root/secret\nENV PATH=/root/.local/bin:/usr/bin:/bin"
    run_docker(bench("", lines, script="mytool >&2; ls /root; cat /root/secret; touch /root/x; touch /x; true", tests=0, evaluate=False), check=0)
    said = log(workdir, "agent.err")
    assert said.startswith("found\n") and said.count("Permission denied") == 2 and said.count("Read-only file system") == 2, said


def test_an_ordinary_user_is_told_of_them(run_docker, bench, ordinary_user):
    lines = "RUN mkdir -p /opt/closed/bin && chmod 700 /opt/closed\nENV PATH=/opt/closed/bin:/usr/bin:/bin"
    done = run_docker(bench("", lines, script="true", tests=0, evaluate=False), user=ordinary_user, check=0)
    assert "only root may enter /opt/closed" in done.stdout and "chmod o+x" in done.stdout


@pytest.mark.parametrize("line", ["RUN rm -rf /app && mkdir -p /data && ln -s /data /app", "RUN rm -rf /home && mkdir -p /data && ln -s data /home"])
def test_a_link_where_a_trial_needs_a_folder(run_docker, bench, rollout, line):
    done = run_docker(bench("", line, script="true"), check=1)
    result = only(rollout())
    assert "is a link to" in done.stdout and result["outcome"] == "infra_error"
    assert "agent" not in result["phases_ms"]

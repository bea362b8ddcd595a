# SPDX-License-Identifier: GPL-3.0-or-later
"""Harbor task folders in containers of a real dockerd: each as its format says, with the rewards that it must get."""
import json
import os
import re
import subprocess

import pytest

import engines
import harbor
from conftest import only
from models import fake, provided, scripted  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def dockerd():
    with engines.start_dockerd() as engine:
        engine.load(engines.BASE, engines.make_base)
        yield engine


@pytest.fixture
def run_harbor(run_cli, dockerd):
    def run(*args, env=None, **more):
        return run_cli("run", *args, env={"DOCKER_HOST": dockerd.host, "DOCKER_BUILDKIT": "0", **(env or {})}, timeout=600, **more)

    return run


def results(workdir):
    """{name of the task's folder: result}, and where each attempt lies."""
    found = {}
    for run in (workdir / "data/runs").iterdir():
        trial = json.loads((run / "latest/trial.json").read_text())["trial"]
        found[re.split("[/#]", trial["task_dir"])[-1]] = (json.loads((run / "result.json").read_text()), run / "latest")
    return found


@pytest.fixture
def tasks(workdir):
    def write(*names):
        for name in names or harbor.TASKS:
            harbor.write(workdir / "set", name)
        return "set"

    return write


def wanted(rewards):
    return rewards if rewards is None or isinstance(rewards, dict) else {"reward": rewards}


@pytest.mark.parametrize("agent", ["oracle", "nop"])
def test_the_rewards_of_every_task(run_harbor, tasks, workdir, agent, dockerd):
    done = run_harbor("--tasks", tasks(), "--agent", agent, "--network", "deny", "-j", 4, "-e", "T_GIVEN=given", check=0)
    assert "unknown keys are ignored: " in done.stdout and done.stdout.count("agent.max_turns") == 1
    got = results(workdir)
    assert set(got) == set(harbor.TASKS)
    for name, (_, solved, nothing) in harbor.TASKS.items():
        result, where = got[name]
        log = (where / "verifier/test-stdout.txt").read_text() if (where / "verifier/test-stdout.txt").exists() else ""
        expected = wanted(solved if agent == "oracle" else nothing)
        rewards = result["harbor"]["rewards"]
        assert (rewards is None) == (expected is None), (name, result["reason"], log)
        assert rewards is None or rewards == pytest.approx(expected), (name, result["reason"], log)
        # What is no reward, or none from 0 to 1, is no score, and says why.
        total = None if rewards is None or name == "beyond" else rewards["reward"]
        assert result["total_score"] == (total if total is None else pytest.approx(total)) and result["evaluated"], name
        assert (total is None) == ("unscored: " in result["reason"]), (name, result["reason"])
    assert dockerd.containers() == {}
    steps = [s["name"] for s in got["steps"][0]["harbor"]["steps"]]
    assert steps == (["one", "two", "three"] if agent == "oracle" else ["one"])
    if agent == "oracle":
        look_at_results(got)


def look_at_results(got):
    result, where = got["artifacts"]
    manifest = {e["source"]: e for e in json.loads((where / "artifacts/manifest.json").read_text())}
    assert (where / "artifacts/srv/out").read_text() == "QUIET\n" and (where / "artifacts/logs/x.log").read_text() == "l\n"
    assert sorted(p.name for p in (where / "artifacts/srv/many").iterdir()) == ["a.py"]
    assert manifest["/not/there"]["status"] == "failed" and manifest["many"]["type"] == "directory"
    assert manifest["/logs/artifacts"]["status"] == "ok" and (where / "artifacts/logs/artifacts/note").exists()
    assert got["daemon"][0]["harbor"]["survivors"] == ["python3"] and got["daemon"][0]["harbor"]["forgeable"]
    assert got["late"][0]["outcome"] == "timeout" and got["late"][0]["harbor"]["survivors"] == []
    assert "VerifierTimeoutError" in got["slow"][0]["reason"] and "RewardFileNotFoundError" in got["none"][0]["reason"]
    assert "RewardFileEmptyError" in got["empty"][0]["reason"]
    for name in ("words", "list", "string", "infinite"):
        assert "VerifierOutputParseError" in got[name][0]["reason"]
    assert not got["separate"][0]["harbor"]["forgeable"] and got["separate"][0]["harbor"]["verifier_image"].startswith("sha256:")
    container = got["json"][0]["harbor"]["container"]
    assert container["writable_root"] and container["no_new_privileges"] and len(container["capabilities"]) == 9
    assert json.loads((got["old"][1] / "trial.json").read_text())["trial"]["limits"]["memory_mb"] == 512
    assert (got["steps"][1] / "steps/two/verifier/reward.json").exists()


LOOK = r"""grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status > /srv/status; id -u > /srv/who; pwd > /srv/pwd
head -c 6 "$ROLLOUTS_INSTRUCTION_FILE" > /srv/first; ls /tests /solution > /srv/there 2>/dev/null
for p in / /usr /logs/agent; do touch $p/mine && echo $p; done > /srv/writable; ls -A /.rollouts/ctl > /srv/ctl
(setsid sleep 1000 </dev/null >/dev/null 2>&1 &)
until grep -qs sleep /proc/[0-9]*/comm; do /usr/bin/true; done
"""


def test_an_agent_in_such_a_container(run_harbor, tasks, agent_script, workdir, rollout):
    tasks("old")
    name = agent_script(LOOK, argv=["bash", "{home}/agent.sh"])
    toml = (workdir / "set/old/task.toml").read_text()
    (workdir / "set/old/task.toml").write_text('artifacts = ["/srv"]\n' + toml)
    run_harbor("--tasks", "set/old", "-a", name, "-m", "m", "--network", "deny", check=0)
    result, where = results(workdir)["old"]
    read = {p.name: p.read_text() for p in (where / "artifacts/srv").iterdir() if p.is_file()}
    status = dict(line.split(":\t") for line in read["status"].splitlines())
    assert int(status["CapBnd"], 16) == sum(1 << n for n in (0, 1, 3, 4, 5, 6, 7, 10, 18))
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert read["who"] == "0\n" and read["pwd"] == "/srv\n" and read["first"] == "Create" and read["there"] == ""
    assert read["writable"].split() == ["/", "/usr", "/logs/agent"] and read["ctl"] == ""
    assert result["harbor"]["survivors"] == ["sleep"] and result["outcome"] == "completed", result["reason"]


@pytest.mark.parametrize("change, text", [
    ({"task.toml": "[environment]\ncpus = 'many'\n"}, "environment.cpus must be a number"),
    ({"task.toml": "[environment\n"}, "task.toml:1:"),
    ({"task.toml": "[environment]\nos = 'Windows'\ndocker_image = 'x'\n"}, "windows"),
    ({"task.toml": "[environment]\nmemory = '2X'\ndocker_image = 'x'\n"}, 'environment.memory = "2X" is no size'),
    ({"instruction.md": None}, "instruction.md: is missing"),
    ({"tests/test.sh": None}, "tests/test.sh: is missing"),
    ({"task.toml": "[verifier.env]\nKEY = '${WHO_KNOWS}'\n" + harbor.ENVIRONMENT}, "wants the variable WHO_KNOWS"),
    ({"task.toml": "[verifier.env]\nKEY = '${A_API_KEY}'\n" + harbor.ENVIRONMENT}, "a credential, which never enters"),
])
def test_what_is_wrong_with_a_task_is_told_before_anything_runs(run_harbor, tasks, workdir, change, text):
    tasks("plain")
    for path, content in change.items():
        (workdir / "set/plain" / path).unlink(missing_ok=True)
        if content is not None:
            (workdir / "set/plain" / path).write_text(content)
    done = run_harbor("--tasks", "set", "-a", "nop", check=2)
    assert text in done.stderr and not (workdir / "data/runs").exists(), done.stderr


def test_a_task_that_cannot_be_run_is_left_out_by_its_folder(run_harbor, tasks, workdir):
    tasks("plain", "json")
    (workdir / "set/json/task.toml").write_text("[environment]\nos = 'windows'\ndocker_image = 'x'\n")
    run_harbor("--tasks", "set", "-a", "nop", "--network", "deny", "--exclude", "json", check=0)
    assert set(results(workdir)) == {"plain"}


def test_one_that_cannot_be_run_is_missing_and_stops_no_other(run_harbor, tasks, workdir):
    tasks("plain", "json", "none")
    (workdir / "set/json/task.toml").write_text("[environment]\nos = 'windows'\ndocker_image = 'x'\n")
    (workdir / "set/none/environment").mkdir()
    (workdir / "set/none/environment/docker-compose.yaml").write_text("services: {}\n")
    done = run_harbor("--tasks", "set", "-a", "oracle", "--network", "deny", check=1)
    assert "2 tasks cannot be run here: 2 of 3 trials will be missing" in done.stdout and done.stdout.count("docker compose") == 2
    assert "2 of 3 missing" in done.stdout
    got = {name: result for name, (result, _) in results(workdir).items()}
    assert got["plain"]["total_score"] == 1 and {got[n]["outcome"] for n in ("json", "none")} == {"infra_error"}
    assert "not run: task.toml: environment.os" in got["json"]["reason"] and got["json"]["total_score"] is None
    assert run_harbor("--tasks", "set/json", "-a", "oracle", check=2).stderr.count("windows") == 1


def test_both_formats_stand_in_one_benchmark(run_harbor, run_cli, tasks, make_task, make_bench, workdir, rollout):
    tasks("plain", "json")
    bench = make_bench({"prepared_dir": make_task("greet"), "agent": "oracle"}, {"path": "set", "agent": "oracle", "score": "style"})
    run_harbor(bench, "--network", "deny", "--only", "*", "-k", 2, check=0)
    scores = sorted((r["total_score"] for r in rollout().runs.values()), key=str)
    assert scores == [1.0, 1.0, 1.0, 1.0, None, None]  # `plain` has no reward that is called so
    done = run_cli("eval", "bench", check=0)
    assert "4 trials of Harbor tasks keep their rewards" in done.stdout and "left out" not in done.stdout
    assert sorted((r["total_score"] for r in rollout().runs.values()), key=str) == scores


def test_nobody_is_asked_for_a_network_and_what_ran_is_not_graded_again(run_harbor, run_cli, tasks, workdir):
    tasks("plain")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    (workdir / "set/.gitattributes").write_text("*.bin filter=lfs\n")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", workdir / "set", *words], check=True, env=env)
    done = run_harbor("--tasks", f"git+file://{workdir}/set", "-a", "nop", check=0)
    assert re.search(r"names no commit: it is ([0-9a-f]{40}) now; @\1 runs the same tasks again", done.stdout)
    assert "keeps files in Git LFS, which is not fetched" in done.stdout
    assert "1 Harbor task would like a network for the agent and gets none (--network allow grants it)" in done.stdout
    result, where = results(workdir)["plain"]
    assert not result["harbor"]["container"]["agent_network"] and result["total_score"] == 0
    assert json.loads((where / "trial.json").read_text())["trial"]["task_dir"].startswith("git+file://")
    done = run_cli("eval", "set", check=2)
    assert done.stderr.count("\n") == 1 and "is of Harbor tasks alone" in done.stderr
    done = run_harbor("--tasks", "set", "-a", "nop", "--launcher", "slurm", check=2)
    assert "runs on this machine alone" in done.stderr


def test_an_image_without_bash_is_said(run_harbor, tasks, workdir, dockerd, rollout):
    dockerd.load(engines.BUSYBOX, engines.make_busybox)
    tasks("plain")
    toml = workdir / "set/plain/task.toml"
    toml.write_text(toml.read_text().replace(engines.BASE, engines.BUSYBOX))
    run_harbor("--tasks", "set", "-a", "nop", "--network", "deny", check=1)
    assert only(rollout("set"))["outcome"] == "infra_error" and "no bash" in only(rollout("set"))["reason"]


def test_a_dockerfile_for_buildkit_is_said_where_that_is_missing(run_harbor, tasks, workdir, rollout):
    tasks("plain")
    (workdir / "set/plain/task.toml").write_text("[environment]\n")
    (workdir / "set/plain/environment").mkdir()
    (workdir / "set/plain/environment/Dockerfile").write_text(f"FROM {engines.BASE}\nRUN <<E\necho 1 > /x\nE\n")
    run_harbor("--tasks", "set", "-a", "nop", "--network", "deny", check=1)
    assert only(rollout("set"))["outcome"] == "infra_error" and "needs BuildKit" in only(rollout("set"))["reason"]


def test_a_rollout_as_the_folder_of_a_harbor_job(run_harbor, run_cli, tasks, workdir, provided):
    """The built-in agent, so that something was said to a model; one trial of its task has no reward."""
    tasks("plain", "none")
    for name in ("plain", "none"):
        (workdir / "set" / name / "instruction.md").write_text(scripted(turns=[{"shell": "touch /srv/plain"}, {"shell": "submit"}]))
    run_harbor("--tasks", "set", "-a", "bash", "-m", "claude-fake", "--network", "deny", "-j", 2, check=0, env=provided())
    run_cli("export", "set", "job", "--format", "harbor", check=0)
    job = json.loads((workdir / "job/result.json").read_text())
    stats = job["stats"]["evals"]["bash__claude-fake__set"]
    assert job["n_total_trials"] == 2 and stats["n_trials"] == 1 and list(stats["exception_stats"]) == ["RewardFileNotFoundError"]
    assert stats["reward_stats"] == {"reward": {"1": [next(p.name for p in (workdir / "job").glob("plain__*"))]}}
    trials = {t["task_name"]: t for t in (json.loads(p.read_text()) for p in (workdir / "job").glob("*__*/result.json"))}
    plain = trials["plain"]
    assert plain["verifier_result"] == {"rewards": {"reward": 1.0}} and plain["reward_valid"] and plain["exception_info"] is None
    assert plain["agent_info"]["model_info"]["name"] == "claude-fake" and plain["config"]["agent"]["name"] == "bash"
    assert plain["agent_result"]["n_input_tokens"] > 0 and not trials["none"]["reward_valid"]
    where = workdir / "job" / plain["trial_name"]
    assert (where / "verifier/reward.txt").read_text() == "1\n" and (where / "artifacts/manifest.json").exists()
    lines = run_cli("export", "set", "--format", "atif", check=0).stdout.splitlines()
    assert len(lines) == 2
    for trajectory in [json.loads((where / "agent/trajectory.json").read_text()), *map(json.loads, lines)]:
        steps = trajectory["steps"]
        assert trajectory["schema_version"] == "ATIF-v1.7" and [s["step_id"] for s in steps] == list(range(1, len(steps) + 1))
        assert {s["source"] for s in steps} == {"system", "user", "agent"}
        called = next(s for s in steps if s.get("tool_calls"))
        assert called["observation"]["results"][0]["source_call_id"] == called["tool_calls"][0]["tool_call_id"]
        assert isinstance(called["tool_calls"][0]["arguments"], dict)
    assert "File exists" in run_cli("export", "set", "job", "--format", "harbor", check=2).stderr


def test_a_sample_is_the_same_for_the_same_seed(run_cli, tasks, workdir, dockerd):
    def drawn(seed):
        done = run_cli("run", "--tasks", tasks(), "-a", "nop", "--sample", 5, "--seed", seed, "-e", "T_GIVEN=x", "--dry-run", check=0,
                       env={"DOCKER_HOST": dockerd.host})
        return [line.split()[1] for line in done.stdout.splitlines() if " agent nop " in line]

    assert len(set(drawn(1))) == 5 and drawn(1) == drawn(1) and drawn(1) != drawn(2)


def test_a_written_task_runs(run_harbor, run_cli, workdir):
    run_cli("init", "--task", "mine", "--format", "harbor", check=0)
    (workdir / "mine/environment/Dockerfile").write_text(f"FROM {engines.BASE}\nWORKDIR /app\n")
    run_harbor("--tasks", "mine", "-a", "oracle", check=0)
    assert results(workdir)["mine"][0]["total_score"] == 1

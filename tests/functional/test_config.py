# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration through the real program: what is refused and how, and that nothing is written then."""
import os
import tomllib

import pytest

SPEC = """
name = "{name}"
parallel = {parallel}

[[tasks]]
prepared_dir = "tasks/a"
model = "gpt-4"
rollouts = 3
apply_overrides = true
overrides = "tasks/a/overrides.json"

[[tasks]]
prepared_dir = "tasks/b"
model = "claude-3-sonnet"
rollouts = 5
apply_overrides = false

[[tasks]]
prepared_dir = "tasks/a"
model = "gpt-3.5-turbo"
rollouts = 1
"""

SWEEP = """
name = "parameter_sweep"
parallel = 3

[[tasks]]
prepared_dir = "tasks/a"
model = "gpt-4"
rollouts = 3
# Custom timeout
environment_variables = { "TIMEOUT_SEC" = "1800" }

[[tasks]]
prepared_dir = "tasks/a"
model = "gpt-4"
rollouts = 3
# Different timeout
environment_variables = { "TIMEOUT_SEC" = "3600" }
"""


@pytest.fixture
def tasks(make_task):
    make_task("a", overrides={"lm_instructions": "Do it."})
    make_task("b")


def listing(top):
    return sorted(str(p.relative_to(top)) for p in top.rglob("*"))


def write(workdir, text, name="bench.toml"):
    path = workdir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def test_a_spec_file_needs_no_other_key(run_cli, workdir, tasks, account):
    name = write(workdir, SPEC.format(name="my_benchmark", parallel=4))
    done = run_cli("validate", name, "--agent", "nop", check=0)
    assert done.stdout == "bench.toml: fine: 3 tasks, 9 trials\n"


def test_agents_that_are_missing_are_one_line_each(run_cli, workdir, tasks):
    name = write(workdir, SPEC.format(name="my_benchmark", parallel=4))
    nothing = {"XDG_CACHE_HOME": str(workdir / "none"), "PATH": "/nowhere"}
    done = run_cli("validate", name, env=nothing, check=2)
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith('bench.toml:7:9: agent = "auto" means "codex" for models "gpt-4", "gpt-3.5-turbo": ')
    assert lines[1].startswith('bench.toml:14:9: agent = "auto" means "claude" for model "claude-3-sonnet": ')
    assert "rollouts agents install codex" in lines[0] and "rollouts agents install claude" in lines[1]
    done = run_cli("validate", name, "-m", "gpt-4", "-m", "gpt-4o", env=nothing, check=2)
    assert done.stderr.startswith('--model: agent = "auto" means "codex" for models "gpt-4", "gpt-4o": ')


def test_a_model_nobody_answers_is_one_line(run_cli, workdir, tasks):
    (workdir / "agents").mkdir()
    (workdir / "agents/mine.toml").write_text('argv = ["sh"]\nneeds = "model"\n')
    named = write(workdir, '[[tasks]]\nprepared_dir = "tasks/a"\nmodels = ["gpt-4", "gemeni-pro"]\nagent = "mine"\n', "n.toml")
    [line] = run_cli("validate", named, check=2).stderr.splitlines()
    assert line.startswith('n.toml:3:10: nobody answers the model "gemeni-pro" (did you mean "gemini-pro"?): ')


def test_the_sweep_of_the_spec(run_cli, workdir, tasks):
    done = run_cli("config", write(workdir, SWEEP), check=0)
    first, second = tomllib.loads(done.stdout)["tasks"]
    assert first["timeout_sec"] == 1800 and second["timeout_sec"] == 3600
    assert first["environment_variables"] == {"TIMEOUT_SEC": "1800"}
    assert run_cli("validate", "bench.toml", "-a", "nop", check=0).stdout.endswith("6 trials\n")


def test_all_mistakes_in_one_go_and_nothing_written(run_cli, workdir, make_task, account):
    make_task("bad", meta={"task_id": 7})
    name = write(workdir, """
paralel = 3
[[tasks]]
prepared_dir = "tasks/bad"
model = "m"
agent = "scriptd"
rollout = 2
[[tasks]]
prepared_dir = "tasks/gone"
model = "m"
launcher = "nowhere"
agent = "orcle"
""", "configs/bench.toml")
    (workdir / "configs/agents").mkdir()
    (workdir / "configs/agents/scripted.toml").write_text('argv = ["sh"]\n')
    before = listing(workdir)
    done = run_cli("validate", name, check=2)
    lines = done.stderr.splitlines()
    assert done.stdout == ""
    assert lines[0] == (
        'configs/bench.toml:2:1: unknown key "paralel" at the top level (did you mean "parallel"?)')
    assert lines[1].startswith(
        'configs/bench.toml:6:9: agent: no agent "scriptd" (did you mean "scripted"?)')
    assert lines[2:4] == [
        'configs/bench.toml:7:1: unknown key "rollout" in [[tasks]] (did you mean "rollouts"?)',
        'configs/bench.toml:9:16: prepared_dir: no folder "tasks/gone": tried tasks/gone in the working '
        'directory and configs/tasks/gone beside the benchmark',
    ]
    assert lines[4].startswith("configs/bench.toml:11:12: launcher:")
    assert lines[5].startswith(
        'configs/bench.toml:12:9: agent: no agent "orcle" (did you mean "oracle"?)')
    assert lines[6].startswith("tasks/bad/tb_meta.json: task_id:")
    assert len(lines) == 7
    assert listing(workdir) == before


@pytest.mark.parametrize("verb", ["config", "validate"])
def test_a_missing_file_is_one_line(run_cli, workdir, verb):
    done = run_cli(verb, "no.toml", check=2)
    assert done.stderr == "no.toml: no such file; `rollouts init` writes one to start from\n"


def test_terminal_escapes_in_a_file_are_harmless(run_cli, workdir):
    name = write(workdir, '"\\u001b[31m" = 1\n')
    done = run_cli("validate", name, check=2)
    assert "\x1b" not in done.stderr


def test_origins(run_cli, workdir, tasks, account):
    name = write(workdir, """
parallel = 2
[defaults]
model = "m"
rollouts = 2
[[tasks]]
prepared_dir = "tasks/*"
rollouts = 4
""")
    done = run_cli("config", name, "-j", "8", "--env", "A=b", env={"SANDBOX_BACKEND": "local"}, check=0)
    lines = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert {"parallel = 8 # --parallel", 'models = ["m"] # bench.toml:4:9', "rollouts = 4 # bench.toml:8:12",
            'sandbox = "local" # SANDBOX_BACKEND in the environment', 'agent = "auto" # default',
            'environment_variables."A" = "b" # --env'} <= lines
    # It is a benchmark itself, and says the same.
    write(workdir, done.stdout, "again.toml")
    again = run_cli("config", "again.toml", check=0)
    assert tomllib.loads(again.stdout)["tasks"] == tomllib.loads(done.stdout)["tasks"]


@pytest.mark.parametrize("backend", ["none", "e2b"])
def test_backends_that_are_not_there_are_refused(run_cli, workdir, tasks, backend):
    name = write(workdir, SPEC.format(name="x", parallel=1))
    done = run_cli("validate", name, "-a", "nop", env={"SANDBOX_BACKEND": backend}, check=2)
    assert done.stderr == (f'SANDBOX_BACKEND in the environment: "{backend}" is not built yet; '
                           'unset it or set it to "local", "docker", "landlock" or "modal"\n')
    run_cli("validate", name, "-a", "nop", "--sandbox", "local", env={"SANDBOX_BACKEND": backend}, check=0)


def test_modal_is_a_launcher(run_cli, workdir, tasks):
    """Named by SANDBOX_BACKEND it is where nothing else is said; a sandbox that is named outweighs it."""
    name, env = write(workdir, SPEC.format(name="x", parallel=1)), {"SANDBOX_BACKEND": "modal"}
    lines = {" ".join(line.split()) for line in run_cli("config", name, env=env, check=0).stdout.splitlines()}
    assert {'launcher = "modal" # SANDBOX_BACKEND in the environment', '# sandbox = "auto" # default'} & lines
    for flags in (["--sandbox", "local"], ["--launcher", "local"]):
        assert '"modal"' not in run_cli("config", name, *flags, env=env, check=0).stdout


def test_only_limit_and_flags(run_cli, workdir, tasks):
    name = write(workdir, SPEC.format(name="x", parallel=1))
    def trials(*flags):
        return run_cli("validate", name, "-a", "nop", *flags, check=0).stdout.split(", ")[1].strip()
    assert trials("--only", "b") == "5 trials"
    assert trials("--limit", "2") == "2 trials"
    assert trials("--rollouts", "1", "-m", "x", "--only", "b") == "1 trial"
    # The same task twice with the same model is a mistake, unless something tells the two apart.
    name = write(workdir, SWEEP)
    run_cli("validate", name, "-a", "nop", check=0)
    done = run_cli("validate", name, "-a", "nop", "--env", "TIMEOUT_SEC=7", check=2)
    assert "bench.toml:13:16: this [[tasks]] makes the same trials as the one at line 6" in done.stderr
    assert run_cli("validate", name, "-a", "nop", "--only", "zz", check=2).stderr.startswith("--only: ")


@pytest.mark.parametrize("tag, why", [
    ("a\nb", '"a b" cannot be a tag: letters'),
    ("a/b", '"a/b" cannot be a tag: letters'),
    ("2025", '"2025" cannot be a tag: it reads as a stamp; add a letter'),
    ("20250824__12-34-56", "it reads as a stamp"),
])
def test_a_tag_is_what_the_verb_tag_takes(run_cli, workdir, tasks, tag, why):
    name = write(workdir, SPEC.format(name="x", parallel=1))
    done = run_cli("validate", name, "-a", "nop", "--tag", tag, check=2)
    assert done.stderr.startswith("--tag: ") and why in done.stderr
    run_cli("validate", name, "-a", "nop", "--tag", "v1.2_a-b", check=0)


def test_options_given_twice(run_cli, workdir, tasks):
    """Nothing written is left out in silence: what takes several is repeated, what takes one is refused."""
    name = write(workdir, SPEC.format(name="x", parallel=1))

    def trials(*flags):
        return run_cli("validate", name, "-a", "nop", "--rollouts", "1", "-m", "x", *flags, check=0).stdout.split(": fine: ")[1]
    both = trials()
    assert trials("--only", "a", "--only", "b") == both != trials("--only", "b") == trials("--exclude", "a")
    assert trials("--only", "tag:te?t") == both
    for flags, said in ((["--only", "a", "--only", "zz"], '--only: no task matches "zz"'),
                        (["--exclude", "tag:none"], '--exclude: no task matches "tag:none"'),
                        (["--exclude", "*"], "--exclude: every task"),
                        (["--limit", "1", "--limit=2"], '--limit is given twice, as "1" and as "2"'),
                        (["-t", "5", "--timeout", "6"], '--timeout is given twice, as "5" and as "6"'),
                        (["--limit", "1", "--limit", "1"], "--limit 1 is given twice"),
                        (["-e", "A=1", "-e", "A=2"], '--env A is given twice, as "1" and as "2"')):
        assert said in run_cli("validate", name, "-a", "nop", "-m", "x", *flags, check=2).stderr


def test_a_gateway_must_be_a_socket(run_cli, workdir, tasks):
    name = write(workdir, SPEC.format(name="x", parallel=1))
    done = run_cli("validate", name, "-a", "nop", "--gateway", "nowhere", check=2)
    assert done.stderr == "--gateway: nowhere is not a socket\n"


def test_validate_a_task(run_cli, workdir, tasks, account):
    done = run_cli("validate", "tasks/a", check=0)
    assert done.stdout.splitlines()[-1] == "tasks/a: fine: task a, 2 rubrics, 2 tests, a gold diff"
    for flags in (["--model", "m"], ["-j", "2"], ["-e", "A=b"], ["--limit", "1"], ["--only", "a"], ["--fail-fast"]):
        refused = run_cli("validate", "tasks/a", *flags, check=2)
        assert refused.stdout == "" and len(refused.stderr.splitlines()) == 1
        assert "has no meaning for a task folder" in refused.stderr
    (workdir / "tasks/a/tb_meta.json").write_text("{")
    assert run_cli("validate", "tasks/a", check=2).stderr.startswith("tasks/a/tb_meta.json:1:1: ")


def test_init_writes_what_validates(run_cli, workdir, account):
    assert "rollouts validate bench.toml" in run_cli("init", check=0).stdout
    run_cli("validate", "bench.toml", check=2)
    run_cli("init", "--task", "tasks/first/", check=0)
    assert run_cli("validate", "tasks/first", check=0).stdout.startswith("tasks/first: fine: task first,")
    assert run_cli("validate", "bench.toml", check=0).stdout == "bench.toml: fine: 1 task, 3 trials\n"


def test_init_overwrites_nothing(run_cli, workdir):
    write(workdir, "mine")
    (workdir / "t").mkdir()
    assert "bench.toml is there already" in run_cli("init", check=2).stderr
    assert "t is there already" in run_cli("init", "--task", "t", check=2).stderr
    assert run_cli("init", "x", "--task", "y", check=2).stderr.startswith("rollouts: give either")
    assert (workdir / "bench.toml").read_text() == "mine"
    assert listing(workdir) == ["bench.toml", "t", "tmp"]


def test_names_of_commands(run_cli):
    done = run_cli("valdate", check=2)
    assert done.stderr == 'rollouts: unknown command "valdate" (did you mean "validate"?); see: rollouts help\n'
    overview = run_cli("help", check=0).stdout
    for verb in ("init", "config", "validate"):
        assert f"  {verb}" in overview
        text = run_cli("help", verb, check=0).stdout
        assert text.startswith(f"Usage: rollouts {verb} [options] ")
        assert f"  rollouts {verb}" in text.split("Examples:")[1]
        assert run_cli(verb, "--help", check=0).stdout == text
    assert run_cli("help", "nothing", check=2).stdout == ""
    assert run_cli(check=2).stdout == ""


def test_unknown_options(run_cli):
    done = run_cli("validate", "x", "--paralel", "2", check=2)
    assert done.stderr == "rollouts: unknown option --paralel (did you mean --parallel?)\n"
    assert run_cli("validate", check=2).stderr == "rollouts: usage: rollouts validate CONFIG|TASK...\n"


def test_the_program_links_little(binary):
    """Start-up time: nothing but libc and jansson is loaded."""
    import subprocess
    needed = subprocess.run(["readelf", "-d", binary], capture_output=True, text=True, check=True).stdout
    libs = {line.split("[")[1].split(".so")[0] for line in needed.splitlines() if "(NEEDED)" in line}
    libs -= {"libasan", "libubsan"}  # of an instrumented build
    assert libs <= {"libc", "libjansson", "libm", "ld-linux-x86-64", "ld-linux-aarch64"}
    assert os.access(binary, os.X_OK)


def test_two_tasks_of_one_name_are_refused(run_cli, make_task, make_bench, workdir):
    """They would share a row in every table."""
    ones = [make_task(f"{top}/greet", meta={"task_id": "greet"}, instructions=f"Do it as {top} says.\n") for top in ("old", "new")]
    make_bench({"prepared_dir": ones[0], "model": "m1"}, {"prepared_dir": ones[1], "model": "m2"}, agent="nop")
    said = run_cli("run", "bench.toml", check=2).stderr
    assert f'"{ones[1]}" is another task than "{ones[0]}"' in said and 'of the same name and task_id, "greet"' in said
    assert not (workdir / "data/rollouts").exists()
    run_cli("run", "bench.toml", "--only", ones[1], check=0)


def test_one_label_holds_one_set_of_overrides(run_cli, make_task, make_bench, workdir):
    task = make_task("greet")
    for name in "ab":
        (workdir / f"{name}.json").write_text(f'{{"prompt": "Do {name}."}}')
    entries = [{"prepared_dir": task, "overrides": f"{name}.json"} for name in "ab"]
    make_bench(*[{**e, "label": "mine"} for e in entries], agent="nop", model="m")
    assert 'under the same label "mine"' in run_cli("run", "bench.toml", check=2).stderr
    make_bench(*entries, agent="nop", model="m")
    run_cli("run", "bench.toml", check=0)
    make_bench(*entries, {"prepared_dir": task, "overrides": "c.json"}, agent="nop", model="m")
    (workdir / "c.json").write_text('{"prompt": "Do c."}')
    run_cli("resume", "bench", "--config", "bench.toml", check=0)  # a row more is no changed task

# SPDX-License-Identifier: GPL-3.0-or-later
"""A task in each language, as `init --task --language` writes it, is solved by its solution and by nothing else; and the recipes of
docs/programs.md work. With the toolchains of this machine: what is missing is skipped, with a line that says so."""
import json
import os
import shutil
import subprocess

import pytest

import engines
from conftest import SOURCE, put, read_rollout
from test_docker import run_docker  # noqa: F401: a fixture

TOOLS = {"python": ["python3"], "c++": ["g++"], "java": ["javac", "java"], "node": ["node"], "rust": ["cargo", "rustc"], "go": ["go"]}
USUAL = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATHS = f"/usr/local/go/bin:{os.path.expanduser('~/.cargo/bin')}:{USUAL}"
RUBRIC = [{"id": "r", "criterion": "c", "weight": 1}]


def found(language, user=None):
    """Where its programs are: below /usr/bin, or None and shown as tools. Skips where there are none for USER."""
    path = PATHS if not user else f"/usr/local/go/bin:{USUAL}"
    for name in TOOLS[language]:
        if not shutil.which(name, path=path):
            pytest.skip(f"{language}: {name} is not installed")
    return [name for name in TOOLS[language] if not shutil.which(name, path=USUAL)]


def try_both(run, workdir, language, tools, **keys):
    """Run its task with the solution and without; the two scores."""
    run("init", "--task", f"tasks/{language}", "--language", language, check=0)
    top = {"name": "bench", "parallel": 2, "eval_timeout_sec": 300, **({"tools": tools} if tools else {}), **keys}
    lines = [f"{k} = {json.dumps(v)}" for k, v in top.items()]
    for agent in "oracle", "nop":
        lines.append(f'[[tasks]]\nprepared_dir = "tasks/{language}"\nagent = "{agent}"')
    put(workdir / "both.toml", "\n".join(lines) + "\n")
    run("run", "both.toml", check=0, timeout=500)
    rows = read_rollout(workdir / "data").manifest["results"]
    return {row["agent"]: row.get("total_score") for row in rows}


# A build of Go's own library takes a minute.
@pytest.mark.parametrize("language", [pytest.param(name, marks=[pytest.mark.long] if name in ("go", "rust") else []) for name in TOOLS])
def test_a_task_in(run_cli, workdir, language, account):
    tools = found(language, account)

    def run(*args, **more):
        return run_cli(*args, env={"PATH": PATHS, **({} if account else {"HOME": os.path.expanduser("~")})}, **more)

    assert try_both(run, workdir, language, tools) == {"oracle": 1, "nop": 0}


def test_the_tasks_are_up_to_date():
    subprocess.run([SOURCE / "tools/make-language-tasks", "--check"], check=True)


def test_init_names_what_it_needs(run_cli, workdir):
    assert run_cli("init", "--task", "t", "--language", "cobol", check=2).stderr.endswith("there are go, rust, java, node, python, c++\n")
    assert "give --task DIR" in run_cli("init", "--language", "go", check=2).stderr
    said = run_cli("init", "--task", "t", "--language", "python", check=0).stdout
    assert "Next: rollouts validate t" in said
    if not shutil.which("go", path=USUAL):
        assert 'In the benchmark: tools = ["go"]' in run_cli("init", "--task", "u", "--language", "go", check=0).stdout


def test_perl(run_cli, make_task, make_bench, workdir):
    if not shutil.which("perl", path=USUAL):
        pytest.skip("perl is not installed")
    task = make_task("perl", rubrics=RUBRIC, gold=False, tests=[("t/own.t", "r", "#!/usr/bin/perl\nuse strict; use Test::More tests => 1;\n"
                                                                                 "use File::Temp; ok(-w File::Temp->new->filename);\n")])
    run_cli("run", make_bench(task, agent="nop"), check=0)
    assert read_rollout(workdir / "data").manifest["results"][-1]["total_score"] == 1


# --- other versions than those of the sandbox -----------------------------------------------------

def test_another_version_on_path_is_named(run_cli, make_task, make_bench, workdir):
    """By validate, and on the first screen; not where tools show it, and not of what no test starts."""
    for name in "python3", "node":
        put(workdir / f"own/{name}", "#!/bin/sh\necho Version 99\n")
        (workdir / f"own/{name}").chmod(0o755)
    env = {"PATH": f"{workdir}/own:{USUAL}"}
    task = make_task("py", rubrics=RUBRIC, gold=False, tests=[("t.py", "r", "def test(): pass\n")])
    line = f"tests start python3: your PATH has Version 99 ({workdir}/own/python3), sandboxes have Python"
    assert line in run_cli("validate", task, env=env, check=0).stdout
    done = run_cli("run", make_bench(task, agent="nop"), env=env, check=0)
    assert line in done.stdout and "node" not in done.stdout
    assert line not in run_cli("validate", make_bench(task, agent="nop", tools=["python3"]), env=env, check=0).stdout
    shell = make_task("sh", rubrics=RUBRIC, gold=False, tests=[("t.sh", "r", "# the node of a tree\ncd . && node x.js\n")])
    assert "tests start node" in run_cli("validate", shell, env=env, check=0).stdout
    words = make_task("words", rubrics=RUBRIC, gold=False, tests=[("t.sh", "r", "echo the node x; grep -q node README.md\n")])
    assert "tests start" not in run_cli("validate", words, env=env, check=0).stdout


# --- recipes ---------------------------------------------------------------------------------------

@pytest.fixture
def graded(run_cli, make_task, make_bench, make_repo, workdir):
    """graded(files, test, ...): the score of an agent that does nothing."""
    def run(files, test, env=None, dotenv="", path=PATHS, **keys):
        repo = make_repo("recipe", files)
        task = make_task("recipe", repo, rubrics=RUBRIC, gold=False, tests=[("t.sh", "r", test)], files={".env": dotenv} if dotenv else None)
        run_cli("run", make_bench(task, agent="nop", eval_timeout_sec=300, **keys), env={"PATH": path, **(env or {})}, check=0, timeout=400)
        return read_rollout(workdir / "data").manifest["results"][-1].get("total_score")

    return run


def test_node_modules_beside_the_checkout(graded, workdir):
    found("node")
    put(workdir / "deps/node_modules/left-pad/index.js", "module.exports = (s, n) => String(s).padStart(n);\n")
    put(workdir / "deps/node_modules/left-pad/package.json", '{"name": "left-pad", "version": "1.0.0"}\n')
    put(workdir / "deps/node_modules/.bin/tell", "#!/bin/sh\necho told\n")
    (workdir / "deps/node_modules/.bin/tell").chmod(0o755)
    test = "node -e \"if (require('left-pad')(7, 3) !== '  7') process.exit(1)\" && [ \"$(tell)\" = told ]"
    assert graded({"package.json": "{}\n"}, test, dotenv="PATH=/node_modules/.bin:$PATH\n",
                  caches=[f"{workdir}/deps/node_modules:/node_modules"]) == 1


def test_a_virtual_environment(graded, workdir):
    """With the Python that it was made with, wherever that lies."""
    python = shutil.which("python3", path=USUAL)
    subprocess.run([python, "-m", "venv", "--without-pip", workdir / "venv"], check=True)
    site = next((workdir / "venv/lib").glob("python3*/site-packages"))
    put(site / "only_there.py", "x = 5\n")
    test = "python3 -c 'import only_there, sys; sys.exit(only_there.x != 5)' && [ \"$(command -v python3)\" = " + f"{workdir}/venv/bin/python3 ]"
    assert graded({"a": "a\n"}, test, tools=[str(workdir / "venv")]) == 1


def test_a_virtual_environment_by_way_of_an_alias(graded, workdir):
    """As uv makes them: the link names a minor version's folder, which is a link to that of a patch release."""
    put(workdir / "uv/cpython-9.9.5/bin/python9.9", "#!/bin/sh\necho nine\n")
    (workdir / "uv/cpython-9.9.5/bin/python9.9").chmod(0o755)
    (workdir / "uv/cpython-9.9").symlink_to("cpython-9.9.5")
    put(workdir / "venv/pyvenv.cfg", f"home = {workdir}/uv/cpython-9.9/bin\n")
    (workdir / "venv/bin").mkdir()
    (workdir / "venv/bin/python").symlink_to(workdir / "uv/cpython-9.9/bin/python9.9")
    (workdir / "venv/bin/python3").symlink_to("python")
    assert graded({"a": "a\n"}, "[ \"$(python3)\" = nine ]", tools=[str(workdir / "venv")]) == 1


@pytest.mark.long
def test_go_with_modules_and_a_warm_cache(graded, workdir):
    found("go")
    env = {**os.environ, "PATH": PATHS, "HOME": str(workdir / "home"), "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    env.pop("GOPATH", None)
    files = {"go.mod": "module example.org/m\n\ngo 1.18\n", "m_test.go": "package m\n\nimport \"testing\"\n\nfunc TestM(t *testing.T) {}\n"}
    for name, text in files.items():
        put(workdir / "warm" / name, text)
    (workdir / "home").mkdir()
    subprocess.run(["go", "test", "./..."], cwd=workdir / "warm", env=env, check=True, timeout=300)
    test = "s=$(date +%s%N); go test -count=1 ./... || exit 1; [ $(( ($(date +%s%N) - s) / 1000000 )) -lt 20000 ]"
    assert graded(files, test, env={"HOME": str(workdir / "home")}, tools=["go"], caches=["~/.cache/go-build"],
                  dotenv="GOTOOLCHAIN=local\nGOPROXY=off\n") == 1


@pytest.mark.long
def test_rust_with_vendored_crates(graded):
    tools = found("rust")
    crate = {"vendor/five/Cargo.toml": '[package]\nname = "five"\nversion = "1.0.0"\nedition = "2021"\n',
             "vendor/five/src/lib.rs": "pub fn five() -> i32 { 5 }\n", "vendor/five/.cargo-checksum.json": '{"files":{},"package":null}\n',
             ".cargo/config.toml": '[source.crates-io]\nreplace-with = "vendored-sources"\n[source.vendored-sources]\ndirectory = "vendor"\n',
             "Cargo.toml": '[package]\nname = "m"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nfive = "1"\n',
             "src/lib.rs": "#[test]\nfn t() { assert_eq!(five::five(), 5); }\n"}
    assert graded(crate, "cargo test --quiet", env={"HOME": os.path.expanduser("~")}, tools=tools, dotenv="CARGO_NET_OFFLINE=true\n") == 1


@pytest.mark.long
def test_maven_without_a_network(graded, workdir):
    """Where a Maven repository can be reached to fill the cache."""
    found("java")
    if not shutil.which("mvn", path=USUAL):
        pytest.skip("mvn is not installed")
    files = {"pom.xml": """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>org.example</groupId><artifactId>m</artifactId><version>1</version>
<properties><maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target></properties>
<dependencies><dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>4.13.2</version><scope>test</scope></dependency></dependencies>
</project>
""", "src/main/java/M.java": "public class M { public static int two() { return 2; } }\n",
             "src/test/java/MTest.java": "import org.junit.Test; import static org.junit.Assert.*;\n"
                                         "public class MTest { @Test public void two() { assertEquals(2, M.two()); } }\n"}
    for name, text in files.items():
        put(workdir / "warm" / name, text)
    filled = subprocess.run(["mvn", "-q", f"-Dmaven.repo.local={workdir}/m2/repository", "test"], cwd=workdir / "warm", capture_output=True,
                            text=True, timeout=300)
    if filled.returncode:
        pytest.skip("mvn reaches no repository: " + filled.stdout[-300:])
    assert graded(files, "mvn -o -q test", caches=[f"{workdir}/m2/repository:~/.m2/repository"]) == 1


# --- in containers ---------------------------------------------------------------------------------

def run_in(run_cli, run_docker, workdir, image):
    """`run` for try_both: its task gets a Dockerfile of IMAGE."""
    def run(*args, **more):
        if args[0] != "run":
            return run_cli(*args, **more)
        for task in (workdir / "tasks").iterdir():
            put(task / "Dockerfile", f"FROM {image}\n")
        return run_docker(*args[1:], env={"PATH": PATHS, "HOME": os.path.expanduser("~")}, check=more["check"])

    return run


def solved_in_a_container(workdir, scores):
    return scores == {"oracle": 1, "nop": 0} and {row["sandbox"] for row in read_rollout(workdir / "data").manifest["results"]} == {"docker"}


@pytest.mark.parametrize("language", ["java", pytest.param("go", marks=pytest.mark.long)])
def test_tools_below_usr_are_shown_in_containers(run_docker, run_cli, workdir, language):
    """A JDK with what it has in /etc; Go, which is one folder."""
    tools = {"java": [os.path.realpath(shutil.which("javac", path=USUAL) or "/").removesuffix("/bin/javac")], "go": ["go"]}[language]
    if not os.path.isdir("/usr/local/go" if language == "go" else tools[0]) or tools == ["/"]:
        pytest.skip(f"{language} is not installed in a folder of its own below /usr")
    assert solved_in_a_container(workdir, try_both(run_in(run_cli, run_docker, workdir, engines.BASE), workdir, language, tools))


def test_python_of_an_image(run_docker, run_cli, workdir):
    assert solved_in_a_container(workdir, try_both(run_in(run_cli, run_docker, workdir, engines.BASE), workdir, "python", []))


@pytest.fixture(scope="module")
def languages_image(dockerd):
    dockerd.load(engines.LANGUAGES, engines.make_languages)
    return engines.LANGUAGES


@pytest.mark.long
@pytest.mark.parametrize("language", ["node", "c++", "rust"])
def test_a_task_in_an_image(run_docker, run_cli, workdir, languages_image, language):
    """Of the image's own; rustup's toolchain of this machine is shown to it, and links with the image's gcc."""
    tools = found(language)
    assert solved_in_a_container(workdir, try_both(run_in(run_cli, run_docker, workdir, languages_image), workdir, language, tools))


@pytest.mark.long
@pytest.mark.parametrize("program, script", [
    ("perl", "perl -MTest::More -MFile::Temp -e 'ok(-w File::Temp->new->filename); done_testing'"),
    ("php", "php -n -r 'exit(array_sum([1, 2]) === 3 && gethostbyname(gethostname()) === \"127.0.0.1\" ? 0 : 1);'"),
])
def test_a_script_in_an_image(run_docker, make_task, make_bench, workdir, languages_image, program, script):
    if not shutil.which(program, path=USUAL):
        pytest.skip(f"{program} is not installed")
    task = make_task("script", rubrics=RUBRIC, gold=False, tests=[("t.sh", "r", script)], files={"Dockerfile": f"FROM {languages_image}\n"})
    run_docker(make_bench(task, agent="nop"), check=0)
    assert read_rollout(workdir / "data").manifest["results"][-1]["total_score"] == 1

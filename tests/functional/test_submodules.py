# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories whose files are partly elsewhere: submodules, which a task may ask for, and Git LFS."""
import contextlib
import http.server
import json
import os
import ssl
import subprocess
import threading

import pytest

from conftest import git, only, put
from test_gateway_tls import authority  # noqa: F401: a fixture

SEES = [("check.sh", "a", "grep -q deep lib/inner/deep.txt && grep -q changed lib/code.txt && test -z \"$(git status --porcelain)\"\n")]
RUBRICS = [{"id": "a", "criterion": "c", "weight": 1.0}]


def commit(repo):
    """Of the index as it is: nothing of a submodule is checked out."""
    git(repo.path, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "submodules")


def head(repo):
    return git(repo.path, "rev-parse", "HEAD").strip()


@pytest.fixture
def nested(make_repo):
    """A repository with a submodule beside it, by a relative URL, that has one itself."""
    inner = make_repo("inner", {"deep.txt": "deep\n"})
    lib = make_repo("lib", {"code.txt": "code\n"})
    top = make_repo("top", {"README.md": "top\n"})
    for repo, name, other in ((lib, "inner", inner), (top, "lib", lib)):
        put(repo.path / ".gitmodules", f'[submodule "{name}"]\n\tpath = {name}\n\turl = ../{name}\n')
        git(repo.path, "add", ".gitmodules")
        git(repo.path, "update-index", "--add", "--cacheinfo", f"160000,{head(other)},{name}")
        commit(repo)
    return top


@pytest.mark.parametrize("more", [{}, {"files": {"overlay_repo_files/extra.txt": "x\n"}},
                                  {"overrides": {"remove_repo_paths": ["README.md"]}}])
def test_a_task_may_ask_for_its_submodules(run_cli, make_task, make_bench, agent_script, rollout, nested, more, workdir):
    task = make_task("t", nested, start=head(nested), gold=False, tests=SEES, rubrics=RUBRICS, meta={"repo": {"submodules": True}}, **more)
    agent = agent_script("grep -q deep lib/inner/deep.txt && test -z \"$(git status --porcelain)\" && echo changed > lib/code.txt\n", collect=[])
    make_bench(task, agent=agent, model="m")
    assert "submodule" not in run_cli("validate", task, check=0).stdout
    run_cli("run", "bench.toml", "--no-preflight")
    result = only(rollout())
    assert result["outcome"] == "completed", result["reason"]
    run_id = next(iter(rollout().runs))
    assert "lib/code.txt" in (workdir / f"data/runs/{run_id}/artifacts/diff.patch").read_text()


def test_what_is_not_there_is_told(run_cli, make_task, make_bench, nested, make_repo):
    lfs = make_repo("lfs", {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": "version https://git-lfs\n"})
    one, two = make_task("one", nested, start=head(nested), gold=False), make_task("two", lfs, gold=False)
    said = {one: "submodules, whose folders stay empty", two: "Git LFS, of which agents see the pointers alone"}
    make_bench(one, two, agent="nop", model="m", evaluate=False)
    screens = [run_cli(verb, "bench.toml", check=0).stdout for verb in ("validate", "run")]
    for task, words in said.items():
        assert words in run_cli("validate", task, check=0).stdout
        assert all(words in screen for screen in screens)


def backend(root):
    """git's own server, asked by http."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def serve(self):
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
                   "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_ADDR": "127.0.0.1",
                   "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                   "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                   "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
            out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
            head, _, rest = out.partition(b"\r\n\r\n")
            lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(lines.pop("Status", "200").split()[0]))
            for name, value in {**lines, "Content-Length": str(len(rest))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(rest)

        do_GET = do_POST = serve

        def log_message(self, *_):
            pass

    return Handler


@contextlib.contextmanager
def served(root, authority):  # noqa: F811
    """The URL that the repositories below ROOT are at."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), backend(root))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.sign())
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("filters", [True, False])
def test_of_a_repository_elsewhere_it_is_told_before_it_is_fetched(run_cli, make_task, make_bench, nested, workdir, authority, filters):  # noqa: F811
    """By validate --online and on the first screen; whether or not the other side leaves files out for us."""
    put(nested.path / "big.txt", "much\n" * 1000)
    put(nested.path / "deep/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    git(nested.path, "add", "big.txt", "deep")
    commit(nested)
    git(nested.path, "config", "uploadpack.allowFilter", str(filters).lower())
    task = make_task("far", nested, start=head(nested), gold=False)
    doc = json.loads((task / "tb_meta.json").read_text())
    env = {"GIT_SSL_CAINFO": str(authority.pem)}
    with served(workdir, authority) as url:
        doc["repo"]["git_url"] = f"{url}/{nested.path.relative_to(workdir)}/.git"
        (task / "tb_meta.json").write_text(json.dumps(doc))
        make_bench(task, agent="nop", model="m", evaluate=False)
        for words in ("validate", "bench.toml", "--online"), ("run", "bench.toml"):
            said = run_cli(*words, env=env, check=0).stdout
            assert "submodules, whose folders stay empty" in said and "Git LFS, of which agents see the pointers alone" in said
        (task / "overrides.json").write_text('{"remove_repo_paths": ["big.txt", "small.*"]}')
        assert 'task "far": remove_repo_paths: "small.*" matches nothing' in run_cli("validate", "bench.toml", "--online", env=env, check=2).stderr
    (task / "overrides.json").unlink()
    assert "submodules" not in run_cli("validate", "bench.toml", env=env, check=0).stdout


@pytest.mark.parametrize("url, words", [
    (None, "has no URL for it"), ("/nonexistent/x", "submodule lib"), ("ext::sh -c id", "submodule lib"),
    ("https://user:token@host.example/x", "submodule lib"), ("--upload-pack=x", "submodule lib")])
def test_a_submodule_that_cannot_be_had(run_cli, make_task, make_bench, make_repo, rollout, nested, url, words):
    put(nested.path / ".gitmodules", '[submodule "lib"]\n\tpath = lib\n' + (f"\turl = {url}\n" if url else ""))
    git(nested.path, "add", ".gitmodules")
    commit(nested)
    make_bench(make_task("t", nested, start=head(nested), gold=False, meta={"repo": {"submodules": True}}), agent="nop", model="m", retries=0)
    done = run_cli("run", "bench.toml")
    assert done.returncode in (1, 3) and words in done.stdout + done.stderr

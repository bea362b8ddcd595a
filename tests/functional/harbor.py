# SPDX-License-Identifier: GPL-3.0-or-later
"""Harbor task folders, each of which pins one rule of the format, with the rewards that its solution and doing nothing must get."""
import engines

CHECK = """#!/bin/bash
pass() { echo 1 > /logs/verifier/reward.txt; exit 0; }
fail() { echo "FAIL: $*"; echo 0 > /logs/verifier/reward.txt; exit 1; }
"""
SERVER = """import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c, _ = s.accept()
    c.sendall(open(sys.argv[2], "rb").read())
    c.close()
"""
SERVE = """cp /solution/server.py /srv/server.py
setsid nohup python3 /srv/server.py {port} {file} >/dev/null 2>&1 </dev/null &
for i in $(seq 600); do (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done
"""
GET = 'get() { timeout 20 bash -c \'exec 3<>/dev/tcp/127.0.0.1/\'$1\'; cat <&3\' 2>/dev/null; }\n'
LONG = "[agent]\ntimeout_sec = 300\n[verifier]\ntimeout_sec = 300\n"
ENVIRONMENT = f'[environment]\ndocker_image = "{engines.BASE}"\nworkdir = "/srv"\n'


def task(toml="", environment=ENVIRONMENT, solve="true\n", test="pass\n", instruction="Do it.\n", limits=LONG, head="", files=None):
    files = dict(files or {})
    files.setdefault("task.toml", head + limits + environment + toml)
    files.setdefault("instruction.md", instruction)
    files.setdefault("solution/solve.sh", "#!/bin/bash\n" + solve)
    files.setdefault("tests/test.sh", CHECK + GET + test)
    return {k: v for k, v in files.items() if v is not None}


def step(name, solve, test):
    return {f"steps/{name}/instruction.md": f"Do {name}.\n", f"steps/{name}/solution/solve.sh": solve, f"steps/{name}/tests/test.sh": test}


STEPS = {
    "task.toml": ENVIRONMENT + """[[steps]]
name = "one"
min_reward = 1.0
[[steps]]
name = "two"
min_reward = { reward = 0.5, shape = 1.0 }
[[steps]]
name = "three"
""",
    "tests/common.sh": 'put() { echo "$1" > /logs/verifier/reward.txt; }\n',
    **step("one", "echo 1 > one\n", '. /tests/common.sh\nput $([ "$(cat /srv/one)" = 1 ] && echo 1 || echo 0)\n'),
    **step("two", """[ -e /logs/verifier/reward.txt ] && echo reward >> /srv/leak
[ -e /tests/test.sh ] && echo tests >> /srv/leak
cp given.txt two
""", """if grep -q made-by-setup /srv/two && [ -e /srv/one ] && [ ! -e /srv/leak ]; then
echo '{"reward": 0.5, "shape": 1}'; else echo '{"reward": 0, "shape": 0}'; fi > /logs/verifier/reward.json
"""),
    **step("three", "echo 3 > three\n", """. /tests/common.sh
[ -e /logs/verifier/reward.json ] && { put 0; exit; }
put $([ "$(cat /srv/three)" = 3 ] && echo 1 || echo 0)
"""),
    "steps/two/workdir/given.txt": "given\n", "steps/two/workdir/setup.sh": "echo made-by-setup >> /srv/given.txt\n",
}


def broken(kind):
    """What the verifier leaves; a good reward.txt beside a bad reward.json does not help."""
    return task(test=kind.replace("OK", "echo 1 > /logs/verifier/reward.txt; "))


# name: (files, rewards of the solution, rewards of doing nothing); None: unscored
TASKS = {
    "daemon": (task(solve="echo blue > /srv/word\n" + SERVE.format(port=8080, file="/srv/word"), files={"solution/server.py": SERVER},
                    test='[ "$(get 8080)" = blue ] || fail none\necho green > /srv/word\n[ "$(get 8080)" = green ] || fail old\npass\n'), 1, 0),
    "json": (task(solve="touch /srv/done\nexit 9\n", test="""echo 1 > /logs/verifier/reward.txt
if [ -e /srv/done ]; then echo '{"reward": 0.25, "style": true}'; else echo '{"reward": 0, "style": 0.5}'; fi > /logs/verifier/reward.json
exit 3
"""), {"reward": 0.25, "style": 1}, {"reward": 0, "style": 0.5}),
    "order": (task(
        environment="[environment]\n", solve="""ls /tests | grep -v -e stale -e data > /srv/seen; cat /tests/data.txt >> /srv/seen
echo 1 > /logs/verifier/reward.txt; mkdir -p /logs/verifier/reward.json; echo "exit 0" > /tests/test.sh
""", test="""[ -e /logs/verifier/reward.json ] && fail forged
[ ! -e /tests/deep/secret.txt ] && [ ! -e /tests/top ] && [ -e /tests/deep/kept.txt ] && [ -e /tests/deep/top ] || fail ignored
[ "$(cat /tests/data.txt)" = new ] && [ -e /tests/stale.txt ] || fail tests
[ "$(cat /srv/seen)" = old ] || fail "saw $(cat /srv/seen)"
[ "$0" = /tests/test.sh ] && [ "$PWD" = /srv ] || fail "$0 in $PWD"
pass
""", files={"tests/.harborignore": "secret*\n# no\n/top\n*.txt\n!kept.txt\n!/data.txt\n", "tests/deep/secret.txt": "", "tests/top": "",
                     "tests/deep/kept.txt": "", "tests/deep/top": "", "tests/data.txt": "new\n", "environment/Dockerfile":
            f"FROM {engines.BASE}\nWORKDIR /srv\nRUN mkdir /tests && echo old > /tests/stale.txt && echo old > /tests/data.txt\n"}), 1, 0),
    "users": (task(limits='[agent]\nuser = 1234\n[verifier]\nuser = "root"\n', environment=ENVIRONMENT.replace("/srv", "/tmp"),
                   solve="id -u > /tmp/who\ntouch /usr/x 2>/dev/null && echo wrote >> /tmp/who\necho a > /logs/artifacts/a && echo b > /logs/agent/b "
                         "|| echo no >> /tmp/who\n",
                   test='[ "$(id -u)" = 0 ] && [ "$(cat /tmp/who)" = 1234 ] && [ "$(stat -c %u /tmp/who)" = 1234 ] || fail "$(cat /tmp/who)"\npass\n'), 1, 0),
    "root": (task(solve="touch /usr/bin/mine && chown 33:33 /usr/bin/mine && chmod 4755 /usr/bin/mine\necho 80 > /srv/page\n"
                  + SERVE.format(port=80, file="/srv/page"), files={"solution/server.py": SERVER},
                  test='[ "$(stat -c %u:%a /usr/bin/mine)" = 33:4755 ] || fail owner\n[ "$(get 80)" = 80 ] || fail port\npass\n'), 1, 0),
    "late": (task(limits="[agent]\ntimeout_sec = 5\n", solve="echo part > /srv/part\n(sleep 8; echo late > /srv/late)\nsleep 60\n",
                  test='sleep 5\n[ "$(cat /srv/part)" = part ] || fail part\n[ ! -e /srv/late ] || fail late\npass\n'), 1, 0),
    "slow": (task(limits="[verifier]\ntimeout_sec = 2\n", test="echo 1 > /logs/verifier/reward.txt\nsleep 60\n"), None, None),
    "offline": (task(toml='network_mode = "no-network"\n', files={"solution/server.py": SERVER},
                     solve="timeout 20 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80' 2>/dev/null && echo online > /srv/net || echo offline > /srv/net\n"
                           "echo loop > /srv/l\n" + SERVE.format(port=9000, file="/srv/l"),
                     test='[ "$(cat /srv/net)" = offline ] && [ "$(get 9000)" = loop ] || fail net\npass\n'), 1, 0),
    "entry": (task(environment="""[environment]
[environment.healthcheck]
command = "test -e /run/ready"
interval_sec = 0.2
start_period_sec = 100
start_interval_sec = 0.2
""", solve='cp /run/token token; echo "$FROM_IMAGE" > from-image\n', test="""grep -q sleep /run/args || fail "args: $(cat /run/args)"
[ "$(cat /srv/deep/from-image)" = base ] && cmp -s /srv/deep/token /run/token || fail token
pass
""", files={"environment/Dockerfile": f'FROM {engines.BASE}\nWORKDIR /srv/deep\nCOPY entry.sh /entry.sh\nENTRYPOINT ["sh", "/entry.sh"]\nCMD ["false"]\n',
            "environment/entry.sh": 'echo "entry: $*" > /run/args\n(sleep 1; echo $$ > /run/token; touch /run/ready; while :; do sleep 1; done) &\nexec "$@"\n'}),
              1, 0),
    "variables": (task(toml='[environment.env]\nEA = "${T_EA:-e}"\nEMPTY = "${T_EMPTY:-}"\n[solution.env]\nSOL = "${T_SOL:-s}"\n'
                            '[verifier.env]\nVKEY = "${T_GIVEN}"\nLIT = "a${T_A}b"\n',
                       solve='echo "$EA $SOL ${VKEY-unset} ${EMPTY-unset}. $DEBIAN_FRONTEND" > /srv/sol\n', test="""
[ "$VKEY" = given ] && [ "$LIT" = 'a${T_A}b' ] && [ -z "${SOL+x}" ] && [ "$EA" = e ] || fail "$VKEY $LIT $EA"
[ "$(cat /srv/sol)" = "e s unset . noninteractive" ] || fail "$(cat /srv/sol)"
pass
"""), 1, 0),
    "artifacts": (task(head='artifacts = ["/srv/out", {source = "/var/log/x.log", destination = "logs/x.log"}, '
                            '{source = "many", exclude = ["*.pyc"]}, "/not/there"]\n',
                       solve="tr a-z A-Z < input.txt > out; mkdir -p many /var/log; echo l > /var/log/x.log; touch many/a.py many/a.pyc\n"
                             "ln -s /etc/passwd many/link; echo note > /logs/artifacts/note\n",
                       test='[ -e /srv/sub/more.txt ] || fail upload\n[ "$(cat out)" = QUIET ] || fail out\npass\n',
                       files={"environment/input.txt": "quiet\n", "environment/sub/more.txt": "more\n"}), 1, 0),
    "old": (task(files={"task.toml": f"""version = "1.0"
note = "unknown"
[metadata]
anything = {{ goes = true }}
[agent]
timeout_sec = "300"
max_turns = 3
[agent.env]
DROPPED = "1"
[environment]
docker_image = "{engines.BASE}"
workdir = "/srv"
memory = "0.5G"
allow_internet = false
""", "instruction.md": "<!-- a canary GUID 0 -->\n# another CANARY line\n\nCreate /srv/ok.\n"}, solve='[ -z "$DROPPED" ] && touch /srv/ok\n',
                  test="[ -e /srv/ok ] || fail\npass\n"), 1, 0),
    "plain": (task(files={"solution/solve.sh": "touch /srv/plain\n", "tests/test.sh": "test -e /srv/plain; echo $((1 - $?)) > /logs/verifier/reward.txt\n"}),
              1, 0),
    "steps": (STEPS, {"reward": 2.5 / 3, "shape": 1 / 3}, 0),
    "separate": (task(head='artifacts = ["/srv/answer", "/srv/tree"]\n', limits='[agent]\n[verifier]\nenvironment_mode = "separate"\n',
                      solve="""echo 42 > /srv/answer; mkdir -p /srv/tree/deep /tests; echo 7 > /srv/tree/deep/n
echo 1 > /srv/undeclared; echo note > /logs/artifacts/note; echo 1 > /logs/verifier/reward.txt; echo agent > /etc/which
""", test="""[ "$(cat /etc/which)" = verifier ] && [ ! -e /srv/undeclared ] && [ "$PWD" = /srv ] || fail "$PWD"
[ "$(cat /srv/answer)" = 42 ] && [ "$(cat /srv/tree/deep/n)" = 7 ] && [ "$(cat /logs/artifacts/note)" = note ] || fail artifacts
pass
""", files={"tests/Dockerfile": f"FROM {engines.BASE}\nRUN echo verifier > /etc/which\nCOPY . /tests/\nRUN chmod 755 /tests/test.sh\nWORKDIR /\n"}), 1, 0),
    "copy": (task(head='artifacts = ["out"]\n', limits='[agent]\n[verifier]\nenvironment_mode = "separate"\n',
                  solve="echo x > out; echo y > other\n", test="[ -e out ] && [ ! -e other ] && [ -e /tests/more ] || fail\npass\n",
                  files={"tests/more": "m"}), 1, 0),
    "beyond": (task(test="echo 3 > /logs/verifier/reward.txt\n"), 3, 3),
    "none": (broken("true\n"), None, None),
    "empty": (broken(": > /logs/verifier/reward.txt\n"), None, None),
    "words": (broken("echo passed > /logs/verifier/reward.txt\n"), None, None),
    "list": (broken("OKecho '[1]' > /logs/verifier/reward.json\n"), None, None),
    "string": (broken("""OKecho '{"score": 1, "status": "pass"}' > /logs/verifier/reward.json\n"""), None, None),
    "infinite": (broken("OKecho '{\"reward\": 1e999}' > /logs/verifier/reward.json\n"), None, None),
    "folder": (broken("OKmkdir /logs/verifier/reward.json\n"), None, None),
}


def write(folder, name):
    for path, text in TASKS[name][0].items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / path).write_text(text)
    return folder / name

# SPDX-License-Identifier: GPL-3.0-or-later
"""`rollouts report`: one page that stands alone, holds whatever agents wrote as text, and is looked at in a real browser."""
import base64
import hashlib
import html
import http.server
import json
import os
import re
import stat
import threading
import xml.etree.ElementTree as ET
import zlib
from html.parser import HTMLParser

import pytest

import stored
from browser import needs_browser, open_browser
from stored import trial

EVIL = "</script></pre></textarea><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>"
BASE = 1756038896000


@pytest.fixture
def data(workdir):
    (workdir / "data").mkdir()
    return workdir / "data"


@pytest.fixture
def browser(workdir):
    with open_browser(workdir) as page:
        yield page


class Parsed(HTMLParser):
    VOID = {"meta", "br", "input", "link", "hr", "img"}

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.attributes, self.ids, self.problems = [], [], [], [], []
        self.feed(text)
        self.problems += [f"open: {self.stack}"] if self.stack else []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.problems.append(f"</{tag}>")


def page_of(run_cli, workdir, *args, name="report.html"):
    run_cli("report", *(args or ("bench",)), "-o", name, check=0)
    return (workdir / name).read_text()


def attempt(data, index, stamp=stored.STAMP):
    return data / "runs" / f"{stamp}-{index}" / "attempts/1"


def timed(data, top, steps):
    """A journal with times: (seconds, event, index of the trial, fields)."""
    plan = json.loads((top / "plan.json").read_text())["trials"]
    lines = []
    for seq, (second, event, index, fields) in enumerate(steps, 1):
        p = plan[index]
        head = json.dumps({"v": 1, "seq": seq, "wall": BASE + round(second * 1000), "mono": seq, "host": "h", "event": event,
                           "run": p["run_id"], "trial": p["key"], "attempt": fields.pop("attempt", 1), **fields})[:-1]
        lines.append(f'{head},"crc":"{zlib.crc32(head.encode()):08x}"}}\n')
    (top / "events.jsonl").write_text("".join(lines))


def finished(score=1, **result):
    return {"outcome": "completed", "reason": "", "total_score": score, "result": result}


def mixed(data, **how):
    """Two models over four tasks, of every kind of ending."""
    return stored.write(data, [
        trial("alpha", "m1", 0, 1, tokens=100, tools=3, usd=.5), trial("alpha", "m1", 1, 0, tokens=900, tools=30, usd=.7),
        trial("beta", "m1", 0, .5, tokens=50, tools=1, usd=.1), trial("beta", "m1", 1, None, outcome="infra_error", reason="no disk"),
        trial("gamma", "m1", 0, 0, outcome="timeout", reason="its time was up", usd=.2), trial("gamma", "m1", 1, state="planned"),
        trial("alpha", "m2", 0, 1, tokens=20, usd=.01), trial("alpha", "m2", 1, 1, tokens=30, usd=.02),
        trial("beta", "m2", 0, 0, usd=.01), trial("beta", "m2", 1, 0, usd=.01),
        trial("gamma", "m2", 0, 1, usd=.01), trial("gamma", "m2", 1, 1, usd=.01)], **how)


def test_one_file_that_stands_alone(run_cli, workdir, data):
    mixed(data)
    page = page_of(run_cli, workdir)
    parsed = Parsed(page)
    assert not parsed.problems and len(parsed.ids) == len(set(parsed.ids))
    assert not {"link", "iframe", "img", "object", "base"} & set(parsed.tags)
    assert not [a for a in parsed.attributes if a.startswith("on") or a in ("style", "src", "srcset", "xlink:href")]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert "http://" not in page and "https://" not in page
    # Each picture says in words what it shows, and has its numbers behind it.
    for figure in re.findall(r"<figure.*?</figure>", page, re.S):
        if "<svg" in figure:
            assert 'role="img"' in figure and re.search(r'<svg[^>]*aria-label="[^"]{20,}"', figure) and "<table>" in figure, figure[:200]
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        ET.fromstring(svg)


def test_what_the_charts_say(run_cli, workdir, data):
    mixed(data)
    page = page_of(run_cli, workdir)
    figures = dict(re.findall(r'<figure id="(\S+)"(.*?)</figure>', page, re.S))
    assert {"scores", "cost", "rollouts", "outcomes", "tasks", "timeline"} <= set(figures)

    def rows(name):
        body = re.search(r"<tbody>(.*?)</tbody>", figures[name], re.S)[1]
        return [[html.unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in re.findall(r"<tr>(.*?)</tr>", body)]

    score = {row[0]: row for row in rows("scores")}
    assert score["m1"][1] == "0.333" and score["m2"][1] == "0.667" and score["m1"][5] == "4/6"
    assert score["m1"][6:8] == ["0.250", "0.583"] and score["m2"][6:8] == ["–", "–"]
    cost = {row[0]: row for row in rows("cost")}
    assert cost["m1"][1] == "0.3750" and cost["m2"][4] == "yes" and cost["m1"][4] == ""  # dearer and worse
    tasks = {row[0]: row for row in rows("tasks")}
    assert tasks["alpha"] == ["alpha", "0.500", "1.000", "better than the first"]
    assert tasks["beta"] == ["beta", "0.500", "0.000", "worse than the first"] and "▼0.000" in figures["tasks"]
    outcomes = rows("outcomes")
    assert ["m1", "3", "1", "1", "1", "6"] in outcomes and ["m2", "6", "0", "0", "0", "6"] in outcomes
    passes = {(row[0], row[1]): row[2] for row in rows("rollouts")}
    assert passes["m2", "1"] == "0.667" and passes["m2", "2"] == "0.667"
    assert "m1 against m2" in page.replace("</strong>", "").replace("<strong>", "") or "against" in page
    assert "not known" in figures["timeline"]  # a journal without times


def test_timeline_has_slots_phases_and_waiting(run_cli, workdir, data):
    top = stored.write(data, [trial("a", "m", 0, 1), trial("b", "m", 0, 1), trial("c", "m", 0, 1)])
    phases = [(0, "prepare"), (1, "sandbox"), (2, "agent"), (8, "collect"), (9, "evaluate")]
    steps = []
    for start, i in ((0, 0), (0.5, 1), (10, 2)):
        steps += [(start, "started", i, {})] + [(start + s, "phase", i, {"phase": p}) for s, p in phases]
        steps += [(start + 10, "finished", i, finished())]
    timed(data, top, sorted(steps, key=lambda s: s[0]))
    call = {"v": 1, "call": 1, "at": BASE + 12500, "queued_ms": 3000, "total_ms": 4000, "path": "/", "api": "chat", "end": "ok"}
    (attempt(data, 2) / "logs/llm.jsonl").write_text(json.dumps(call) + "\n")
    page = page_of(run_cli, workdir)
    figure = re.search(r'<figure id="timeline".*?</figure>', page, re.S)[0]
    assert "3 attempts in 2 slots over 20.0s; waiting for quota: 3.0s in all" in figure
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", figure)]
    rows = {row[0][-1]: row[1:] for row in rows if row}
    assert rows["2"] == ["1", "10.0s", "1.0s", "1.0s", "6.0s", "1.0s", "1.0s", "3.0s"]
    assert rows["1"][0] == "2" and rows["1"][-1] == "0ms" and 'class="p5"' in figure


def test_a_night_between_two_sessions_is_cut_out(run_cli, workdir, data):
    top = stored.write(data, [trial("a", "m", 0, 1), trial("b", "m", 0, 1)])
    steps = []
    for start, i in ((0, 0), (36_000, 1)):
        steps += [(start, "started", i, {}), (start + 1, "phase", i, {"phase": "agent"}), (start + 100, "finished", i, finished())]
    timed(data, top, steps)
    figure = re.search(r'<figure id="timeline".*?</figure>', page_of(run_cli, workdir), re.S)[0]
    assert "over 10h01m" in figure and "1 time in which nothing ran is cut short" in figure and 'class="gap"' in figure
    bars = [float(w) for w in re.findall(r"h([\d.]+)v", re.search(r'class="p2" d="([^"]*)"', figure)[1])]
    assert len(bars) == 2 and min(bars) > 300  # each nearly half of the picture
    rows = re.findall(r"<td>\S+-1</td>.*?</tr>", figure)
    assert ">10h00m<" in rows[0]


def test_several_rollouts_side_by_side(run_cli, workdir, data):
    stored.write(data, [trial(f"t{i}", "m", 0, i % 2) for i in range(8)], stamp="20250824__12-34-56", tags=["baseline"])
    stored.write(data, [trial(f"t{i}", "m", 0, 1) for i in range(8)], stamp="20250825__12-34-56")
    page = page_of(run_cli, workdir, "bench", "bench@baseline")
    assert "bench 20250825__12-34-56" in page and "m · 20250825__12-34-56" in page and "m · baseline" in page
    assert page.count('class="f"') == 4 and page.count('<tbody id="') == 16
    assert "worse than the first" in page and 'id="comparison"' in page
    said = run_cli("report", "bench", "bench@20250825", check=2)
    assert "is named twice" in said.stderr
    run_cli("report", "bench", "--all", "-o", "all.html", check=0)
    assert (workdir / "all.html").read_text().count('<tbody id="') == 16


def test_options_and_mistakes(run_cli, workdir, data):
    mixed(data)
    said = run_cli("report", "bench", check=0)
    assert re.fullmatch(r"report\.html \(\d+ KB\)\n", said.stdout)
    assert stat.S_IMODE((workdir / "report.html").stat().st_mode) == 0o600
    assert run_cli("report", "bench", "-o", "-", check=0).stdout == (workdir / "report.html").read_text()
    assert "<title>Nightly &lt;1&gt;</title>" in page_of(run_cli, workdir, "bench", "--title", "Nightly <1>")
    (workdir / "folder").mkdir()
    for args, status, words in ((("nothing",), 2, "nothing"), (("bench", "-o", "folder"), 2, "that is a folder"),
                                (("bench", "-o", "no/such/report.html"), 2, "no/such/report.html"), ((), 2, "report"),
                                (("bench", "--baseline", "m9"), 2, "m9")):
        said = run_cli("report", *args, check=status)
        assert words in said.stderr and len(said.stderr.splitlines()) <= 2, said.stderr
    assert sorted(set(os.listdir(workdir)) - {"tmp"}) == ["data", "folder", "report.html"]
    assert "report" in run_cli("help", check=0).stdout and "-o" in run_cli("report", "--help", check=0).stdout


def hostile(data):
    top = stored.write(data, [
        trial(f"t {EVIL}", f"m {EVIL}", 0, 0, reason=EVIL, final=EVIL, served=EVIL, version=EVIL, label=EVIL,
              tests={EVIL: {"success": False, "output": EVIL, "reason": EVIL, "rubric_id": EVIL}}),
        trial("plain", "m2", 0, 1, reason="\x1b[31m\u202eevil\u202c")], tags=["x"])
    one = attempt(data, 0)
    for name in ("artifacts/diff.patch", "logs/agent.log", "logs/agent.err", "logs/eval.log", "artifacts/notes.md"):
        (one / name).write_text(f"first\n{EVIL}\n\x1b[31m\u202e\0\n" + "x" * 100)
    (one / "logs/agent.log").write_bytes(b"\xff\xfe" + EVIL.encode() + b"\xc3")
    doc = json.loads((one / "evaluation_results.json").read_text())
    doc["evaluation"] = {"rubrics": {EVIL: {"score": 0, "weight": 1, "criterion": EVIL}}}
    doc["lm_evaluation"] = {"weighted_score": 0.5, "summary": EVIL, "metadata": {"model": EVIL},
                            "rubric_scores": [{"rubric_id": EVIL, "score": None, "reasoning": EVIL, "evidence": [EVIL]}]}
    (one / "evaluation_results.json").write_text(json.dumps(doc))
    # Links lead nowhere, whoever put them there.
    (attempt(data, 1) / "logs/agent.log").unlink()
    (data / "secret.txt").write_text("the secret of this machine")
    (attempt(data, 1) / "logs/agent.log").symlink_to(data / "secret.txt")
    os.mkfifo(attempt(data, 1) / "logs/agent.err")
    return top


def test_whatever_was_written_is_text(run_cli, workdir, data):
    hostile(data)
    page = page_of(run_cli, workdir)
    parsed = Parsed(page)
    assert not parsed.problems and "img" not in parsed.tags and parsed.tags.count("script") == 1
    assert not [a for a in parsed.attributes if a.startswith("on")]
    assert page.count(html.escape(EVIL, quote=True)) >= 12
    assert not re.search("[\0-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page) and "the secret" not in page
    assert "\\x1b[31m" in page and "\\u{202e}" in page


def test_long_texts_are_cut_and_say_where_all_is(run_cli, workdir, data):
    stored.write(data, [trial("a", "m", 0, 0), trial("b", "m", 0, 1)])
    (attempt(data, 0) / "artifacts/diff.patch").write_text("".join(f"+line {i} <&>\n" for i in range(400_000)))
    (attempt(data, 0) / "logs/agent.log").write_text("".join(f"said {i}\n" for i in range(400_000)))
    page = page_of(run_cli, workdir, "bench", "--max-bytes", "150000")
    assert len(page.encode()) <= 150_000
    row = re.search(rf'<tbody id="{stored.STAMP}-0".*?</tbody>', page, re.S)[0]
    assert "+line 0 &lt;&amp;&gt;" in row and "said 399999" in row and "said 0\n" not in row
    assert re.search(r"The first \d+ of \d+ bytes", row) and re.search(r"The last \d+ of \d+ bytes", row)
    assert f"All of what is cut: <code>rollouts show {stored.STAMP}-0</code>, or in <code>runs/{stored.STAMP}-0/attempts/1</code>" in row
    # Those that failed have what is left; a page that has room cuts nothing.
    assert len(row) > 60_000
    assert "1 passed" in page and "All of what" not in re.search(rf'<tbody id="{stored.STAMP}-1".*?</tbody>', page, re.S)[0]


def many(data, tasks):
    """Ten trials a task, each with long texts."""
    texts = "diff --git a/file b/file\n" + "".join(f"+some line of code {i} && more <of> it\n" for i in range(900))
    n = 10 * tasks
    top = stored.write(data, [
        trial(f"organisation__repository-{task:04}", f"model-{model}", r, (task + r + model) % 3 / 2, tokens=12345, tools=12, usd=.1234,
              reason="" if (task + r) % 4 else "the time of the agent was up after 1800 s, and more words")
        for task in range(tasks) for model in range(2) for r in range(5)])
    steps = []
    for i in range(n):
        for name in ("artifacts/diff.patch", "logs/agent.log", "logs/eval.log"):
            (attempt(data, i) / name).write_text(texts)
        start = i // 16 * 60 + i % 16
        steps += [(start, "started", i, {})] + [(start + 5 * k, "phase", i, {"phase": p})
                                                for k, p in enumerate(("prepare", "sandbox", "agent", "collect", "evaluate"))]
        steps += [(start + 40, "finished", i, finished((i % 3) / 2))]
    timed(data, top, sorted(steps, key=lambda s: s[0]))


# The second takes long to be removed.
@pytest.mark.parametrize("tasks", [10, pytest.param(100, marks=pytest.mark.long)])
def test_two_kilobytes_a_trial(run_cli, workdir, data, tasks):
    many(data, tasks)
    size = 200_000 * tasks // 10
    page = page_of(run_cli, workdir, "bench", "--max-bytes", str(size - 1)) if tasks < 100 else page_of(run_cli, workdir)
    assert len(page.encode()) < size and page.count("<tbody id=") == 10 * tasks
    for row in re.findall(r"<tbody id=.*?</tbody>", page, re.S):
        assert "diff --git a/file" in row and "<summary>agent's log" in row and "<summary>tests' log" in row, row
    assert not Parsed(page).problems


@needs_browser
def test_in_a_browser(run_cli, workdir, data, browser):
    mixed(data)
    (attempt(data, 1) / "artifacts/diff.patch").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n")
    page_of(run_cli, workdir)
    browser.look(workdir / "report.html")
    assert not browser.said and browser.asked == [f"file://{workdir}/report.html"]
    first = "[...document.querySelectorAll('#trial-table tbody')].filter(b => !b.hidden).map(b => b.rows[0].cells[%d].textContent)"
    click = "[...document.querySelectorAll('#trial-table th button')].find(b => b.textContent === %r).click()"
    # Sorted by a number: the most first, what has none last in both ways; then by name.
    browser.run(click % "tokens")
    tokens = browser.run(first % 5)
    assert tokens[:4] == ["900", "100", "50", "30"] and set(tokens[5:]) == {"–"}
    browser.run(click % "tokens")
    assert browser.run(first % 5)[:3] == ["20", "30", "50"] and browser.run(first % 5)[-1] == "–"
    assert browser.run("document.querySelector('th[aria-sort]').textContent + document.querySelector('th[aria-sort]').ariaSort") == "tokensascending"
    browser.run(click % "task")
    assert browser.run(first % 0) == ["alpha"] * 4 + ["beta"] * 4 + ["gamma"] * 4
    # What was sorted before holds within the names.
    assert browser.run(first % 5)[:4] == ["20", "30", "100", "900"]
    # Filtered by how it ended, and by words of task, outcome and reason.
    choose = "(which.value = %r, words.value = %r, which.dispatchEvent(new Event('input', {bubbles: true})), count.textContent)"
    assert browser.run(choose % ("m", "")) == "2 of 12 trials"
    assert browser.run(choose % ("", "GAMMA time")) == "1 of 12 trials"
    assert browser.run(choose % ("s", "m2")) == "4 of 12 trials" and browser.run(choose % ("", "")) == "12 trials"
    # Opened: its diff is shown, in colours, and its address leads back to it.
    run = f"{stored.STAMP}-1"
    button = f"document.getElementById('{run}').querySelector('button.open')"
    shown = f"document.getElementById('more-{run}').getBoundingClientRect().height"
    assert browser.run(shown) == 0
    browser.run(button + ".click()")
    assert browser.run(shown) > 50 and browser.run(button + ".ariaExpanded") == "true"
    assert browser.run("location.hash") == f"#{run}"
    browser.run("new Promise(r => requestAnimationFrame(() => setTimeout(r, 50)))")
    assert browser.run(f"document.getElementById('{run}').querySelector('pre .add').textContent") == "+two\n"
    browser.run(button + ".click()")
    assert browser.run(shown) == 0
    browser.run(f"location.hash = '#{stored.STAMP}-4'")
    browser.run("new Promise(r => setTimeout(r, 50))")
    assert browser.run(f"document.getElementById('{stored.STAMP}-4').classList.contains('open')")
    assert not browser.said


@needs_browser
def test_in_both_themes_on_a_phone_and_without_script(run_cli, workdir, data, browser):
    mixed(data)
    page_of(run_cli, workdir)
    colours = []
    for dark in (False, True):
        browser.look(workdir / "report.html", dark=dark)
        colours.append(browser.run("getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color"))
        assert not browser.said
    assert colours[0] != colours[1]
    browser.look(workdir / "report.html", width=360, height=780)
    # Nothing makes the page itself wider than the screen, and letters of charts stay legible.
    assert browser.run("document.documentElement.scrollWidth") <= 360
    sizes = browser.run("[...document.querySelectorAll('svg text')].filter(t => !t.closest('details'))"
                        ".map(t => t.getBoundingClientRect().height).filter(h => h > 0)")
    assert sizes and min(sizes) >= 9
    browser.run("document.querySelectorAll('button.open')[0].click()")
    assert browser.run("document.documentElement.scrollWidth") <= 360
    browser.look(workdir / "report.html", script=False)
    rects = browser.call("Runtime.evaluate", expression="1")  # the page's own script is off, ours is not
    assert rects and browser.run("getComputedStyle(document.querySelector('tr.more')).display") == "table-row"


# Each text that is seen, with the contrast to what is behind it: WCAG's formula. Cells of the map have their own colours.
CONTRAST = """(() => {
    const light = (c) => { const v = c.map((x) => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
    const rgb = (s) => s.match(/[\\d.]+/g).map(Number);
    const back = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
        if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
    const found = [];
    for (const e of document.querySelectorAll("body *:not(script)")) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
        const svg = e.tagName === "text", style = getComputedStyle(e);
        let behind = back(svg ? e.closest("svg").parentElement : e);
        if (svg && e.previousElementSibling && e.className.baseVal.match(/^th\\d/)) behind = rgb(getComputedStyle(e.previousElementSibling).fill);
        const a = light(rgb(svg ? style.fill : style.color)), b = light(behind);
        found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.getAttribute("class"), e.textContent.slice(0, 30)]);
    }
    return found;
})()"""


@needs_browser
def test_everything_can_be_read(run_cli, workdir, data, browser):
    stored.write(data, [trial(f"t{i}", "m", r, i / 10) for i in range(11) for r in range(2)] + [trial("t0", "m2", 0, state="planned")])
    page_of(run_cli, workdir)
    for dark in (False, True):
        browser.look(workdir / "report.html", dark=dark)
        browser.run("document.querySelectorAll('button.open')[0].click(), document.querySelectorAll('details').forEach(d => d.open = true)")
        found = browser.run(CONTRAST)
        assert len(found) > 100 and not [f for f in found if f[0] < 4.5], (dark, sorted(found, key=str)[:8])


@needs_browser
def test_behind_a_server_that_forbids_everything(run_cli, workdir, data, browser):
    """As Jenkins serves what was archived: no script, no style of the page's own."""
    mixed(data)
    page = page_of(run_cli, workdir).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Security-Policy", "sandbox; default-src 'none'; img-src 'self'; style-src 'self';")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.look(f"http://127.0.0.1:{server.server_port}/report.html")
        assert browser.run("document.querySelectorAll('tr.more details').length") > 20
        assert browser.run("document.querySelector('tr.more').getBoundingClientRect().height") > 20
        # Nothing of a chart is a black box.
        assert browser.run("[...document.querySelectorAll('svg rect')].every(r => getComputedStyle(r).fill === 'none')")
        server.shutdown()


@needs_browser
def test_nothing_that_was_written_runs(run_cli, workdir, data, browser):
    hostile(data)
    page_of(run_cli, workdir)
    browser.look(workdir / "report.html")
    browser.run("document.querySelectorAll('button.open').forEach(b => b.click())")
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.run("new Promise(r => setTimeout(r, 200))")
    assert browser.run("document.images.length + document.scripts.length") == 1
    assert not browser.said and browser.asked == [f"file://{workdir}/report.html"]
    assert EVIL in browser.run("document.querySelector('#trial-table tbody pre').textContent + "
                               "document.querySelector('details.diff pre').textContent")
    # And if something slipped through, the policy would stop it.
    browser.run("(a => { a.href = 'javascript:window.ran = 1'; document.body.append(a); a.click() })(document.createElement('a'))")
    browser.run("new Promise(r => setTimeout(r, 50))")
    assert browser.run("window.ran === undefined") and any("Content Security Policy" in said for said in browser.said)

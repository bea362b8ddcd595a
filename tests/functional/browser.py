# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser, headless, driven over a pipe by its DevTools protocol: Chromium, where there is one."""
import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(not PROGRAM, reason="no chromium here (tools/setup browser): pages are not looked at")


class Page:
    def __init__(self, process, to, back):
        self.process, self.to, self.back = process, to, back
        self.number, self.rest, self.session, self.said, self.asked = 0, b"", None, [], []

    def _read(self, deadline):
        while b"\0" not in self.rest:
            assert select.select([self.back], [], [], max(0, deadline - time.monotonic()))[0], "the browser says nothing"
            piece = os.read(self.back, 1 << 20)
            assert piece, "the browser ended"
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\0")
        return json.loads(line)

    def _note(self, message):
        params = message.get("params", {})
        if message.get("method") == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        if message.get("method") in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
            self.said.append(json.dumps(params))
        if message.get("method") == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def wait(self, method):
        deadline = time.monotonic() + 60
        while True:
            message = self._read(deadline)
            self._note(message)
            if message.get("method") == method:
                return

    def look(self, path, width=1280, height=900, dark=False, script=True):
        """Open the file; .said is what the console said, .asked every address the page asked for."""
        self.said, self.asked = [], []
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Page.navigate", url=path if str(path).startswith("http") else f"file://{path}")
        self.wait("Page.loadEventFired")

    def run(self, script):
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def open_browser(folder):
    to_browser, to = os.pipe()
    back, from_browser = os.pipe()
    home = folder / "browser"
    home.mkdir()

    def pipes():
        # Its own numbers for them are 3 and 4.
        a, b = os.dup(to_browser), os.dup(from_browser)
        os.dup2(a, 3)
        os.dup2(b, 4)
        for fd in (3, 4):
            os.set_inheritable(fd, True)

    process = subprocess.Popen(
        [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-breakpad",
         "--disable-crash-reporter", "--no-zygote", "--disable-background-networking", "--disable-component-update",
         "--hide-scrollbars", f"--user-data-dir={home}/profile", "--remote-debugging-pipe", "about:blank"],
        preexec_fn=pipes, close_fds=False, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(home), "TMPDIR": str(home), "XDG_RUNTIME_DIR": str(home)})
    os.close(to_browser)
    os.close(from_browser)
    try:
        page = Page(process, to, back)
        target = next(t for t in page.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        page.session = page.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(to)
        os.close(back)

"""A headless Chromium, driven over its DevTools protocol: no driver, no further package.

Protocol: chromedevtools.github.io/devtools-protocol, domains Page, Runtime, Input, Emulation, Log.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import gevent
import gevent.subprocess
import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "Chromium is needed to try the page: `apt-get install chromium` (.ci/run does that), or put one on the PATH"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    # A name whose owner lets it lead to this machine.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
ANSWER = 60.0  # seconds; nobody waits for longer than it takes
# Windows' number of a key, and what it types.
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, "")}


def find() -> str:
    """The browser's program. Raises AssertionError with what to install."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    raise AssertionError(MISSING)


class Browser:
    """One browser with a profile of its own; ``with`` ends it and whatever it started."""

    def __init__(self, home: Path) -> None:
        self._home = home
        profile = home / "profile"
        self._said = home / "chromium.log"
        with self._said.open("wb") as log:
            self._popen = gevent.subprocess.Popen(
                [find(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(home)},
                start_new_session=True,
            )
        self._port_file = profile / "DevToolsActivePort"
        self._pages: list[Page] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()

    def page(self, width: int, height: int, mobile: bool = False) -> Page:
        """A new tab of this size in CSS pixels."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port()}/json/new?about:blank", method="PUT")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=ANSWER) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        page = Page(address)
        self._pages.append(page)
        page.resize(width, height, mobile)
        return page

    def close_pages(self) -> None:
        """End all tabs, and forget the cookies: one host's belong to all its ports."""
        while self._pages:
            page = self._pages.pop()
            page.call("Network.clearBrowserCookies")
            page.close()

    def _port(self) -> int:
        """The file appears, with both its lines, once the browser listens."""
        deadline = time.monotonic() + ANSWER
        while True:
            if self._port_file.exists() and "\n" in self._port_file.read_text():
                return int(self._port_file.read_text().split()[0])
            assert self._popen.poll() is None, f"Chromium ended: {self._said.read_text(errors='replace')[-2000:]}"
            assert time.monotonic() < deadline, f"Chromium does not listen: {self._said.read_text(errors='replace')}"
            gevent.sleep(0.05)


class Page:
    """One tab. ``errors`` are what its scripts threw and what its console logged as an error."""

    def __init__(self, address: str) -> None:
        # An Origin header would be refused: only programs may drive a browser, not other pages.
        self._ws = websocket.create_connection(address, timeout=ANSWER, suppress_origin=True, http_no_proxy=["*"])
        self._last = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """One command and its result; events that come in between are looked through for errors."""
        self._last += 1
        self._ws.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            said = json.loads(self._ws.recv())
            if said.get("id") == self._last:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]
            self._hear(said)

    def _hear(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description") or details["text"]))
        elif said.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Take another size; ``mobile`` honours the page's viewport tag, and has touch."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def speak(self, *languages: str) -> None:
        """The reader's languages, the dearest first, for what is opened from now on."""
        agent = self.eval("navigator.userAgent")
        self.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=",".join(languages))

    def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        said = self.call("Page.navigate", url=url)
        assert "errorText" not in said, f"{url}: {said['errorText']}"
        self.until("document.readyState === 'complete'", what=f"{url} to load")

    def reload(self) -> None:
        """Load the page anew; what stood in it is gone before this returns."""
        self.eval("window.beforeReload = true")
        self.call("Page.reload")
        self.until("!window.beforeReload && document.readyState === 'complete'", what="the page to load again")

    def eval(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, f"{expression}: {said['exceptionDetails']}"
        return said["result"].get("value")

    def until(self, expression: str, seconds: float = ANSWER, what: str = "") -> Any:
        """The expression's first true value."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.eval(expression)
            except AssertionError:  # between two documents there is no place to evaluate in
                found = None
            if found:
                return found
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or expression}; {self.errors}"
            gevent.sleep(0.05)

    def click(self, selector: str) -> None:
        """Scroll an element into sight and click into its middle with the mouse. One that moved away in
        between is aimed at anew, and what was hit in its place is not told of it."""
        deadline = time.monotonic() + ANSWER
        while True:
            x, y = self.eval(
                f"(() => {{ const element = document.querySelector({json.dumps(selector)}); window.hit = null;"
                " document.addEventListener('click', (event) => { window.hit = element.contains(event.target);"
                " if (!window.hit) { event.stopImmediatePropagation(); event.preventDefault() } },"
                " {capture: true, once: true});"
                " element.scrollIntoView({block: 'nearest'}); const r = element.getBoundingClientRect();"
                " return [r.x + r.width / 2, r.y + r.height / 2] })()"
            )
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
            if self.eval("window.hit") is not False:  # null: a button that is disabled, or another document by now
                return
            assert time.monotonic() < deadline, f"something lies over {selector}"

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, shift: bool = False) -> None:
        """One of the keys of ``KEYS``."""
        number, text = KEYS[key]
        stroke = {"key": key, "code": key, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **stroke, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **stroke)

    def press_enter(self) -> None:
        """The Enter key, without Shift."""
        self.press("Enter")

    def picture(self, path: Path) -> None:
        """What is to be seen now, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the tab."""
        self.call("Page.close")
        self._ws.close()

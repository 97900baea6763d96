"""Chromium without a window, driven as a person would: keys, clicks, wheel. For tests, benchmarks and pictures.

Speaks the Chrome DevTools protocol over a WebSocket; nothing is downloaded, the installed Chromium is used.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recontrast.errors import DependencyError, RecontrastError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")

_FLAGS = (
    "--headless=new", "--no-sandbox", "--no-first-run", "--no-default-browser-check", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows", "--remote-debugging-port=0",
)  # fmt: skip

_CODES = {
    " ": ("Space", 32), "Enter": ("Enter", 13), "Tab": ("Tab", 9), "ArrowUp": ("ArrowUp", 38),
    "ArrowDown": ("ArrowDown", 40), "ArrowLeft": ("ArrowLeft", 37), "ArrowRight": ("ArrowRight", 39),
    "PageUp": ("PageUp", 33), "PageDown": ("PageDown", 34), "Delete": ("Delete", 46),
}  # fmt: skip


class BrowserError(RecontrastError):
    """The browser did not do what was asked."""


class Page:
    """One tab.

    Attributes:
        events: What the browser reported since the tab was opened (requests, responses, messages of the console).
    """

    def __init__(self, address: str) -> None:
        """Connect to the tab with this WebSocket address."""
        from websockets.sync.client import connect

        self._connection = connect(address, max_size=2**28, proxy=None)
        self._socket = self._connection.__enter__()  # closed by `close`
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, timeout: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result.

        Raises:
            BrowserError: It failed, or no answer came.
        """
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        until = time.monotonic() + timeout
        while True:
            try:
                message = json.loads(self._socket.recv(timeout=max(0.01, until - time.monotonic())))
            except TimeoutError:
                raise BrowserError(f"the browser did not answer {method} within {timeout:.0f} s") from None
            if message.get("id") == self._number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error'].get('message')}")
                return dict(message["result"])
            self.events.append(message)

    def go(self, address: str) -> None:
        """Open an address."""
        self.call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(
                f"{expression[:80]}: {found['exceptionDetails'].get('exception', {}).get('description')}"
            )
        return found["result"].get("value")

    def wait(self, condition: str, timeout: float = 60.0) -> Any:
        """Wait until a JavaScript expression is true; return its value."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            try:
                value = self.evaluate(condition)
            except BrowserError:  # between two pages there is nothing to ask
                value = None
            if value:
                return value
            time.sleep(0.02)
        text = self.evaluate("document.body.innerText")
        raise BrowserError(f"waited {timeout:.0f} s for {condition}; the page shows: {str(text)[:300]!r}")

    def key(self, key: str, shift: bool = False) -> None:
        """Press a key and let it go."""
        code, number = _CODES.get(key, ("", ord(key.upper()[0])))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common: dict[str, Any] = {
            "key": key,
            "code": code,
            "windowsVirtualKeyCode": number,
            "modifiers": 8 if shift else 0,
        }
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def middle(self, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
        """A point inside an element, as shares of its size."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null; "
            "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect(); "
            "return [b.left, b.top, b.width, b.height]; })()"
        )
        if not box:
            raise BrowserError(f"there is no {selector} on the page")
        return box[0] + x * box[2], box[1] + y * box[3]

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event of the mouse: mousePressed, mouseMoved, mouseReleased, mouseWheel."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str, x: float = 0.5, y: float = 0.5, count: int = 1) -> None:
        """Click into an element."""
        place = self.middle(selector, x, y)
        for number in range(1, count + 1):
            self.mouse("mousePressed", *place, button="left", clickCount=number)
            self.mouse("mouseReleased", *place, button="left", clickCount=number)

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str = "left") -> None:
        """Press at one point, move, let go at another."""
        buttons = {"left": 1, "right": 2}[button]
        self.mouse("mousePressed", *start, button=button, buttons=buttons, clickCount=1)
        self.mouse("mouseMoved", *end, button=button, buttons=buttons)
        self.mouse("mouseReleased", *end, button=button, clickCount=1)

    def wheel(self, selector: str, delta: float) -> None:
        """Turn the wheel over an element."""
        self.mouse("mouseWheel", *self.middle(selector), deltaX=0, deltaY=delta)

    def screenshot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def reports(self, method: str) -> list[Mapping[str, Any]]:
        """Parameters of all events of one kind so far."""
        self.evaluate("0")
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        """Close the connection."""
        self._connection.__exit__(None, None, None)


class Browser:
    """A running Chromium; `open` gives tabs."""

    def __init__(self, port: int) -> None:
        """Speak to the browser that listens on `port`."""
        self.port = port
        self.pages: list[Page] = []

    def open(self, window: bool = False) -> Page:
        """A new tab with a session store of its own.

        Args:
            window: In a window of its own: what lies in a hidden tab is not painted, as for a reader who looks away.
        """
        if window and self.pages:
            target = self.pages[0].call("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
            page = Page(f"ws://127.0.0.1:{self.port}/devtools/page/{target}")
            self.pages.append(page)
            return page
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=60) as response:
            page = Page(json.load(response)["webSocketDebuggerUrl"])
        self.pages.append(page)
        return page


def find_program() -> str | None:
    """Path of an installed Chromium, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def browser(width: int = 1400, height: int = 900, flags: tuple[str, ...] = ()) -> Iterator[Browser]:
    """Start Chromium, and end it with everything it wrote.

    Raises:
        DependencyError: No Chromium is installed, or not the package websockets.
    """
    program = find_program()
    if program is None:
        raise DependencyError("no Chromium was found (apt-get install chromium)")
    try:
        import websockets  # noqa: F401
    except ImportError as error:
        raise DependencyError("websockets is not installed: pip install websockets") from error
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        drawing = flags or ("--disable-gpu",)  # other flags say how WebGL is drawn
        command = [program, *_FLAGS, *drawing, f"--window-size={width},{height}", f"--user-data-dir={folder}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started = None
        try:
            started = Browser(_port(Path(folder), process))
            yield started
        finally:
            for page in started.pages if started else ():
                page.close()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    file, until = folder / "DevToolsActivePort", time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if file.is_file() and file.read_text().strip():
            return int(file.read_text().splitlines()[0])
        time.sleep(0.05)
    raise BrowserError(f"Chromium did not start (status {process.poll()})")

"""The browser: Chromium under Playwright, with everything that it saw written down.

Playwright's own loop and the operator's cannot run in one thread, so a browser has a thread of
its own, and everything that touches a page is sent there:

    browser.do(lambda page: page.title())
"""

import base64
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import (
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    Response,
    ViewportSize,
    WebSocket,
    sync_playwright,
)
from playwright.sync_api import Error as BrowserError

from compose.machine.browser import require
from gate.errors import MachineError
from gate.machine.limits import machine_error
from gate.target import Target

STILL = Path(__file__).with_name("still.py")
ACTION_MS = 2_000.0
LOAD_MS = 10_000.0
START_SECONDS = 20.0
WORK_SECONDS = 40.0
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
NETWORK_NOISE = "Failed to load resource"
"""The console's own line for a failed request, which is in the page's log as a request already."""
Done = TypeVar("Done")


@dataclass
class PageLog:
    """What a page did, in order; times are monotonic seconds."""

    errors: list[str] = field(default_factory=list)
    """Exceptions of its scripts and errors on its console."""
    requests: list[str] = field(default_factory=list)
    """`METHOD URL`, WebSockets too."""
    failed: list[str] = field(default_factory=list)
    """Requests without an answer or with one of 400 and above."""
    messages: list[tuple[float, str]] = field(default_factory=list)
    """What came over its WebSockets."""

    def copy(self) -> "PageLog":
        """What is in it now."""
        return deepcopy(self)

    def keep(self, page: Page) -> None:
        """Write down what happens to a page from now on."""
        page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        page.on("console", self._console)
        page.on("request", lambda one: self.requests.append(f"{one.method} {one.url}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        page.on("websocket", self._connected)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and NETWORK_NOISE not in message.text:
            self.errors.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # A page that is left cancels what it still waits for; that is no failure.
        if request.failure != "net::ERR_ABORTED":
            self.failed.append(f"{request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            request = response.request
            self.failed.append(f"{request.method} {response.url}: {response.status}")

    def _connected(self, socket: WebSocket) -> None:
        self.requests.append(f"GET {socket.url}")
        socket.on("framereceived", self._heard)

    def _heard(self, message: str | bytes) -> None:
        self.messages.append((time.monotonic(), str(message)))


class Browser:
    """One Chromium with one page, in its own thread. Use as a context manager."""

    def __init__(self, target: Target) -> None:
        self.base = target.url
        self.page_log = PageLog()
        self._arguments = [*_pinned(target), *_connected(target)]
        self._arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
        self._thread = ThreadPoolExecutor(1, "browser")
        self._playwright: Playwright | None = None
        self._chromium: Chromium | None = None
        self._page: Page | None = None

    def __enter__(self) -> "Browser":
        self._thread.submit(self._open).result(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._close).result(START_SECONDS)
        self._thread.shutdown()

    def _open(self) -> None:
        program = require()
        try:
            self._playwright = sync_playwright().start()
            self._chromium = self._playwright.chromium.launch(
                executable_path=STILL,
                env={**os.environ, "STILL_PROGRAM": program},
                args=self._arguments,
                timeout=START_SECONDS * 1000,
            )
        except (BrowserError, OSError) as error:
            lacking = machine_error(error) or machine_error(str(error))
            first = str(error).partition("\n")[0]
            raise lacking or MachineError(f"expected Chromium to start, got: {first}") from error
        self._page = self.page(self.page_log)

    def _close(self) -> None:
        if self._chromium is not None:
            with suppress(BrowserError):
                self._chromium.close()
        if self._playwright is not None:
            self._playwright.stop()

    def page(self, page_log: PageLog) -> Page:
        """One more page, with a session of its own; only from work sent to the browser."""
        assert self._chromium is not None
        page = self._chromium.new_context(base_url=self.base, viewport=DESKTOP).new_page()
        page.set_default_timeout(ACTION_MS)
        page.set_default_navigation_timeout(LOAD_MS)
        page_log.keep(page)
        return page

    def do(self, work: Callable[[Page], Done]) -> Done:
        """What `work` comes to; raises what it raises, `BrowserError` for the browser's own."""
        return self._thread.submit(self._with_page, work).result(WORK_SECONDS)

    def _with_page(self, work: Callable[[Page], Done]) -> Done:
        assert self._page is not None
        return work(self._page)


def _pinned(target: Target) -> list[str]:
    """Chromium takes the target's own CA by its key; whatever that did not sign stays refused."""
    if target.ca_file is None:
        return []
    authority = x509.load_pem_x509_certificate(target.ca_file.read_bytes())
    key = authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    return [f"--ignore-certificate-errors-spki-list={pin}"]


def _connected(target: Target) -> list[str]:
    """Chromium connects to where the target's names lead; origins and names in TLS stay."""
    rules = ", ".join(f"MAP {name} {place}" for name, place in target.connect.items())
    return [f"--host-resolver-rules={rules}"] if rules else []

"""The page in a headless Chromium, for the tests and for the measurements: a static server, a browser, a page that tells."""

from __future__ import annotations

import contextlib
import functools
import mimetypes
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Route, sync_playwright

#: What the page's sections are called, in their order.
DEMOS = ("drive", "dodge", "see", "beside", "temperature", "learn")
#: Long enough for a machine that does other things, too.
PATIENCE_MS = 60_000


class _Quiet(SimpleHTTPRequestHandler):
    """What `python -m http.server` answers, without its lines."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder on this machine; yields its address, which ends in a slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chromium() -> str | None:
    """Returns the path of the system's Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Starts the system's Chromium, without a window."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*sandbox, "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Told:
    """What a page has asked for, and what it has complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextlib.contextmanager
def opened(
    browser: Browser,
    address: str,
    broken: dict[str, bytes | None] | None = None,
    script: str = "",
    **context: Any,
) -> Iterator[Told]:
    """Opens an address.

    Args:
        broken: files' names (``*`` stands for anything) that are answered otherwise: with these bytes, or None as missing.
        script: runs before the page's own.
        context: what Playwright's ``new_context`` takes: the viewport, colours, touch.
    """
    made = browser.new_context(accept_downloads=True, **context)
    made.set_default_timeout(PATIENCE_MS)
    page = made.new_page()
    told = Told(page)
    page.on("request", lambda request: told.requests.append(request.url))
    page.on("console", lambda message: told.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: told.complaints.append(f"error: {error}"))
    for name, data in (broken or {}).items():
        page.route(f"**/{name}", functools.partial(_answer, data=data))
    if script:
        page.add_init_script(script)
    try:
        page.goto(address, wait_until="commit")
        yield told
    finally:
        made.close()


def _answer(route: Route, data: bytes | None) -> None:
    kind, _ = mimetypes.guess_type(route.request.url)
    route.fulfill(status=404 if data is None else 200, body=data or b"", content_type=kind or "application/octet-stream")


def begun(page: Page, demo: str) -> None:
    """Scrolls to a demo and waits until it shows something."""
    page.wait_for_selector(f"#{demo}")
    page.evaluate("demo => document.getElementById(demo).scrollIntoView()", demo)
    page.wait_for_selector(f"#{demo}[data-begun]")

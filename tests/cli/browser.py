"""A real headless Chromium, by the few commands of the WebDriver protocol that tests need."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_WAIT = 60  # seconds; machines that test are busy


class Browser:
    """One session of chromedriver.

    Args:
        url: Of the session.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def open(self, url: str) -> None:
        """Go to a page."""
        _request("POST", f"{self._url}/url", {"url": url})

    def script(self, text: str) -> Any:
        """Run JavaScript in the page; what it returns."""
        return _request("POST", f"{self._url}/execute/sync", {"script": text, "args": []})

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.script("return document.body ? document.body.innerText : ''"))

    def wait_for(self, condition: str, seconds: float = _WAIT) -> Any:
        """Wait until a JavaScript expression is true; its value."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.script(f"return {condition}"):
                return found
            time.sleep(0.2)
        raise AssertionError(f"never came true: {condition}\n{self.text()}")

    def errors(self) -> list[str]:
        """What the console calls severe."""
        entries = _request("POST", f"{self._url}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> None:
        """The page as a PNG."""
        path.write_bytes(base64.b64decode(_request("GET", f"{self._url}/screenshot")))


@contextmanager
def chromium(folder: Path, width: int = 1400, height: int = 1600) -> Iterator[Browser]:
    """Start a browser with an empty profile in a folder; tests skip where there is none."""
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt install chromium chromium-driver)")
    port = free_port()
    with (folder / "chromedriver.log").open("w") as log:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--disable-dev-shm-usage", f"--window-size={width},{height}"]
    arguments += [f"--user-data-dir={folder / 'profile'}"]
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": {"binary": program, "args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    }
    try:
        wait_until_answers(f"{url}/status")
        session = _request("POST", f"{url}/session", {"capabilities": {"alwaysMatch": wanted}})
        own = f"{url}/session/{session['sessionId']}"
        try:
            yield Browser(own)
        finally:
            _request("DELETE", own)
    finally:
        process.terminate()
        process.wait(timeout=_WAIT)


def wait_until_answers(url: str, seconds: float = _WAIT) -> None:
    """Wait until a server is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no answer from {url}")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _request(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_WAIT) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.read().decode()[:500]}") from error

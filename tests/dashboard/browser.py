"""The app as visitors meet it: a real server, a real browser. For tests and for screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from .waiting import wait_for

APP = Path(__file__).parents[2] / "app.py"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--no-first-run"]  # fmt: skip
PATIENCE = 240_000  # milliseconds: other work may share the machine
DESK = {"width": 1024, "height": 768}


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise FileNotFoundError(
            "No Chromium here. Install one (Debian: apt-get install chromium; elsewhere: "
            "python -m playwright install chromium), or set CHROMIUM to its path."
        )
    return found


@contextmanager
def serving(log: Path, **environment: str) -> Iterator[str]:
    """The address of an app that runs meanwhile and prints into ``log``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true"]
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(APP), *options],
            cwd=APP.parent,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).status == 200
        except (urllib.error.URLError, OSError):
            return False

    try:
        wait_for(answers, 60, "the server to answer")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, **context) -> Iterator[Page]:
    """One visitor's page; at its end nothing may have gone wrong on it."""
    context = browser.new_context(**{"viewport": DESK, "locale": "en-GB"} | context)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert page.get_by_test_id("stException").count() == 0, page.inner_text("body")
    assert "Traceback" not in page.inner_text("body")
    assert errors == []
    context.close()


@pytest.fixture
def server(runs: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running app, and the file with what it printed: no error, at the end."""
    log = tmp_path / "server.log"
    with serving(log, LORA_LAB_RUNS=str(runs)) as address:
        yield address, log
    for word in ("Traceback", "Error"):
        assert word not in log.read_text(), log.read_text()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Not shared by tests: Playwright keeps an event loop running, which others would meet."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor at a small desk screen, whose page has no error at the end."""
    with visiting(browser) as page:
        yield page


def settled(page: Page) -> None:
    """Wait until Streamlit's script has run to its end and nothing will be drawn anew."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE)

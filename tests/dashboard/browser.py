"""The app as visitors meet it: a real server, a real browser. For tests and for screenshots."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from .. import browser as real
from ..browser import MILLISECONDS, browsing

APP = Path(__file__).parents[2] / "app.py"
DESK = {"width": 1024, "height": 768}


def serving(log: Path, **environment: str) -> AbstractContextManager[str]:
    """The address of an app that runs meanwhile and prints into ``log``."""

    def command(port: int) -> list[str]:
        options = ["--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true"]
        return [sys.executable, "-m", "streamlit", "run", str(APP), *options]

    return real.serving(command, "/_stcore/health", log, APP.parent, **environment)


@contextmanager
def visiting(browser: Browser, **context) -> Iterator[Page]:
    """One visitor's page; at its end nothing may have gone wrong on it."""
    context = browser.new_context(**{"viewport": DESK, "locale": "en-GB"} | context)
    page = context.new_page()
    page.set_default_timeout(MILLISECONDS)
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
    printed_no_error(log)


def printed_no_error(log: Path) -> None:
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
    expect(app).to_have_attribute("data-test-script-state", "notRunning")


def address_has(page: Page, part: str) -> None:
    """Wait until the address bar says so. (``page.url`` alone stands still between two calls.)"""
    expect(page).to_have_url(re.compile(re.escape(part)))

"""The app as it is: a real server, a real browser, a real run on real sentences."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from lora_lab import jobs
from lora_lab.adapt import LoraConfig
from lora_lab.counting import count

from .conftest import APP, wait_for

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--no-first-run"]  # fmt: skip
PATIENCE = 240_000  # milliseconds: other work may share the machine


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.fail(
            "No Chromium here. Install one (Debian: apt-get install chromium; elsewhere: "
            "python -m playwright install chromium), or set CHROMIUM to its path."
        )
    return found


@pytest.fixture
def server(runs: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running app, and the file with what it printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "server.log"
    options = ["--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true"]
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(APP), *options],
            cwd=APP.parent,
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
        yield address, log
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1024, "height": 768})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def test_from_a_rank_to_a_result(server: tuple[str, Path], runs: Path, page: Page):
    address, log = server
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/?layers=top:1&train=100&epochs=2&lang=en")
    figures = page.locator(".figures")
    expect(figures).to_contain_text(trainable(rank=8), timeout=PATIENCE)

    # The rank by keyboard: one step of the slider doubles it.
    settled(page)
    slider = page.get_by_role("slider", name="Rank r")

    def moved() -> bool:
        if slider.get_attribute("aria-valuetext") == "8":
            slider.press("ArrowRight")  # again, if a rerun took the slider away from under the key
        return slider.get_attribute("aria-valuetext") == "16"

    wait_for(moved, 30, "the slider to move")
    expect(figures).to_contain_text(trainable(rank=16), timeout=PATIENCE)
    expect(page.get_by_text("Scale alpha / r = 16 / 16 = 1")).to_be_visible()
    assert "rank=16" in page.url

    settled(page)
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible(timeout=PATIENCE)
    curve = page.get_by_text("Points: mean of each epoch.")
    expect(curve).to_be_visible(timeout=PATIENCE)
    wait_for(lambda: "run=" in page.url, 30, "the run to be in the address")

    # Closing and opening again: the address brings the run back; without it the queue shows it.
    link = page.url
    page.reload()
    expect(curve).to_be_visible(timeout=PATIENCE)
    page.goto(f"{address}/?lang=en")
    expect(page.get_by_text("1 in training")).to_be_visible(timeout=PATIENCE)
    page.goto(link)
    expect(curve).to_be_visible(timeout=PATIENCE)

    expect(page.get_by_text("Test accuracy", exact=True)).to_be_visible(timeout=PATIENCE)
    [run] = jobs.history(runs)
    assert run.state == "finished"
    shown = f"{100 * run.test.accuracy:.1f}%"
    expect(page.get_by_test_id("stMetricValue").first).to_have_text(shown)
    expect(page.get_by_text("difference").first).to_be_visible()
    assert run.id in page.url  # a label or anything else never takes the place of the run

    assert page.get_by_test_id("stException").count() == 0
    for word in ("Traceback", "Error"):
        assert word not in page.inner_text("body")
        assert word not in log.read_text()
    assert errors == []


def test_language_and_presenter_by_hand(server: tuple[str, Path], page: Page):
    address, log = server
    page.goto(address)
    expect(page.get_by_role("button", name="Start run")).to_be_visible(timeout=PATIENCE)
    settled(page)
    letters = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    before = page.evaluate(letters)
    page.get_by_text("Presenter", exact=True).click()
    wait_for(lambda: page.evaluate(letters) > before, 120, "large letters")
    wait_for(lambda: "present=1" in page.url, 30, "the address to say that someone presents")
    settled(page)
    page.get_by_text("中文", exact=True).click()
    expect(page.get_by_role("button", name="开始训练")).to_be_visible(timeout=PATIENCE)
    wait_for(lambda: "lang=zh" in page.url, 30, "the address to name the language")
    settled(page)
    page.go_back()
    expect(page.get_by_role("button", name="Start run")).to_be_visible(timeout=PATIENCE)
    assert "Traceback" not in log.read_text()


def test_text_from_the_address_is_only_text(server: tuple[str, Path], page: Page):
    address, log = server
    image = "%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E"
    page.goto(f"{address}/?rank={image}&rate=http://example.com/a&run=%5Bx%5D(http://example.com)")
    expect(page.get_by_text("Rank r cannot be")).to_be_visible(timeout=PATIENCE)
    assert "<img src=x onerror=window.hacked=1>" in page.inner_text("body")
    assert page.evaluate("window.hacked") is None
    assert page.locator("a[href*='example.com']").count() == 0
    assert "Traceback" not in log.read_text()


def settled(page: Page) -> None:
    """Wait until Streamlit's script has run to its end and nothing will be drawn anew."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE)


def trainable(rank: int) -> str:
    return f"{count('minilm', LoraConfig(rank=rank, layers='top:1')).trainable_parameters:,}"

"""A real browser for tests: Chromium, driven through Playwright, and servers for it to visit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from .waiting import PATIENCE, wait_for

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--no-first-run"]  # fmt: skip
MILLISECONDS = 1000 * PATIENCE

expect.set_options(timeout=MILLISECONDS)


def chromium() -> str:
    """Path of the browser.

    Raises:
        FileNotFoundError: there is none; says how to get one.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise FileNotFoundError(
            "No Chromium here. Install one (Debian: apt-get install chromium; elsewhere: "
            "python -m playwright install chromium), or set CHROMIUM to its path."
        )
    return found


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def serving(
    command: Callable[[int], list[str]], health: str, log: Path, folder: Path, **environment: str
) -> Iterator[str]:
    """Run a server until the block ends; gives its address once it answers.

    Args:
        command: from a port to the command line.
        health: a path that answers 200 when the server is ready.
        log: file for what it prints.
        folder: to start it in.
        environment: variables besides those of this process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command(port),
            cwd=folder,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return urllib.request.urlopen(address + health, timeout=2).status == 200
        except (urllib.error.URLError, OSError):
            return False

    try:
        wait_for(answers, "the server to answer")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()

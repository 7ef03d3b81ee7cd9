"""Waiting for something that happens in another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 240.0  # seconds: other work may share the machine

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str) -> T:
    """Ask again until the answer is true; fail when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"Waited {PATIENCE:.0f} s for {what}.")

"""A runs folder, a small data set and the app as a test drives it, without a browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lora_lab import jobs
from lora_lab.dashboard import settings

from ..data.invented import make_frame

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of runs; whatever still waits or trains at the end is stopped."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("LORA_LAB_RUNS", str(folder))
    yield folder
    jobs.shut_down()


@pytest.fixture
def small_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few hundred invented sentences in the place of the film reviews."""
    file = tmp_path / "reviews.csv"
    make_frame(200, ("negative", "positive")).to_csv(file, index=False)
    monkeypatch.setattr(settings, "DATA", str(file))
    return file


@pytest.fixture
def app(runs: Path) -> AppTest:
    return AppTest.from_file(str(APP), default_timeout=60)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Ask again until the answer is true; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.1)
    pytest.fail(f"Waited {seconds:.0f} s for {what}.")

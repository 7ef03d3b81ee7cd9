"""A runs folder, a small data set and the app as a test drives it, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lora_lab import jobs
from lora_lab.dashboard import settings

from ..data.invented import make_frame
from .browser import APP, browser, page, server  # noqa: F401 (three are fixtures)
from .waiting import wait_for  # noqa: F401 (for the tests here)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of runs; whatever still trains in it at the end is cancelled."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("LORA_LAB_RUNS", str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # several threads wait for each other when busy
    yield folder
    if run := jobs.current(folder):
        jobs.cancel(run)


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

"""A runs folder, small data and the app as a test drives it, without a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lora_lab import jobs
from lora_lab.dashboard import once, uploads

from ..data.invented import make_frame
from ..waiting import wait_for  # noqa: F401 (for the tests here)
from .browser import APP, browser, page, server  # noqa: F401 (three are fixtures)


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves its script behind as the main module, and new processes would run that."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def charts_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Vega-Lite's schema; the pages leave that to the tests, because it takes long."""
    monkeypatch.setattr(once, "CHECKS", True)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of runs; whatever still waits or trains at the end is stopped."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("LORA_LAB_RUNS", str(folder))
    yield folder
    jobs.shut_down()


@pytest.fixture
def own_data(runs: Path) -> str:
    """The id of an uploaded file with a few hundred invented sentences."""
    return uploads.keep(make_frame(200, ("negative", "positive")), "text", "label", "mine.csv")


@pytest.fixture
def app(runs: Path) -> AppTest:
    return AppTest.from_file(str(APP), default_timeout=120)


def texts(app: AppTest) -> str:
    """Everything that is written on the page."""
    kinds = ("title", "header", "markdown", "caption", "info", "warning", "error", "metric")
    found = [element.value for kind in kinds for element in app.get(kind)]
    found += [element.proto.body for element in app.get("html")]
    return "\n".join(map(str, found))


def labels(app: AppTest) -> list[str]:
    """What the settings in the sidebar are called, in their order."""
    return [element.label for element in app.sidebar if getattr(element, "label", "")]


def open_page(app: AppTest, **address: str) -> AppTest:
    for name, text in address.items():
        app.query_params[name] = text
    return again(app)


def again(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def address(app: AppTest) -> dict[str, str]:
    """What the browser's address bar says."""
    given = dict(app.query_params)
    return {n: text[-1] if isinstance(text, list) else text for n, text in given.items()}

from pathlib import Path

import pandas as pd
import pytest

from lora_lab.data import fetch

from .invented import make_frame


@pytest.fixture
def frame() -> pd.DataFrame:
    return make_frame()


@pytest.fixture
def write(tmp_path: Path):
    """Write text or bytes to a file in a fresh folder and give back its path."""

    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


@pytest.fixture(scope="session")
def fetched() -> Path:
    """The embedded sentences, downloaded once per machine."""
    return fetch()

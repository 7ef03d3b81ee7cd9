"""Folders with an adapter, to be read or damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lora_lab.adapter_files import save_adapter

from .made import LORA, peft_save, trained


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(trained("bert", LORA), tmp_path_factory.mktemp("adapters") / "lora")


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    """A valid adapter for ``fresh()``, to be damaged."""
    return Path(shutil.copytree(stored, tmp_path / "adapter"))


@pytest.fixture
def peft_folder(tmp_path: Path) -> Path:
    peft_save(tmp_path / "peft")
    return tmp_path / "peft"

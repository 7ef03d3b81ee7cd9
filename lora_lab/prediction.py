"""A model's answers on texts, and its score on labelled data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from lora_lab.batches import TokenisedText, inference_batches, tokenise
from lora_lab.evaluation import Evaluation, evaluate_predictions


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
    return probabilities(model, tokenise(tokenizer, texts, max_length), batch_size)


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
    return evaluate_tokenised(model, text, dataset, batch_size)


def evaluate_tokenised(
    model: nn.Module, text: TokenisedText, dataset: Dataset, batch_size: int = 64
) -> Evaluation:
    """``evaluate`` for texts that have been tokenised already."""
    names = list(dataset.features["label"].names)
    own = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if names != own:
        raise ValueError(f"The model answers {own}, but the data's classes are {names}.")
    p = probabilities(model, text, batch_size)
    return evaluate_predictions(np.asarray(dataset["label"]), p.argmax(axis=1), names, p)


@torch.inference_mode()
def probabilities(model: nn.Module, text: TokenisedText, batch_size: int = 64) -> np.ndarray:
    """``predict_probabilities`` for texts that have been tokenised already."""
    training = [module for module in model.modules() if module.training]
    device = next(model.parameters()).device
    result = np.empty((len(text), model.config.num_labels), dtype=np.float32)
    model.eval()
    try:
        for rows in inference_batches(text, batch_size):
            inputs = {k: v.to(device) for k, v in text.batch(rows).items()}
            result[rows] = torch.softmax(model(**inputs).logits.float(), dim=-1).cpu().numpy()
    finally:
        for module in training:
            module.training = True
    return result

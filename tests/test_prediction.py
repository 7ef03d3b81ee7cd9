"""Predictions: in the order given, whatever the batches, and leaving the model as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from tokenizers import Tokenizer
from tokenizers import models as tokenizer_models
from torch import nn
from transformers import PreTrainedTokenizerFast

from lora_lab.adapt import LoraConfig, apply_lora, trainable_parameters
from lora_lab.batches import tokenise
from lora_lab.models import LoadedModel, load_model
from lora_lab.prediction import (
    evaluate,
    evaluate_tokenised,
    mean_pooled,
    predict_probabilities,
)

from .tiny_models import tiny_model

LABELS = ["negative", "neutral", "positive"]
TEXTS = [
    "the plot was superb",
    "dull",
    "",
    "the pace was dull and the ending was clumsy",
    "witty",
    "the cast was quite charming again",
    "the score was noisy",
]


@pytest.fixture
def loaded(tiny_folder: Path) -> LoadedModel:
    return load_model(tiny_folder, labels=LABELS)


def data_of(texts: list[str], labels: list[int], names: list[str] | None = None) -> Dataset:
    features = Features({"text": Value("string"), "label": ClassLabel(names=names or LABELS)})
    return Dataset.from_dict({"text": texts, "label": labels}, features=features)


def test_each_text_gets_its_own_answer(loaded: LoadedModel) -> None:
    """The same as one text after another, put through the model by hand."""
    model, tokenizer = loaded
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        expected.append(torch.softmax(logits, dim=0).numpy())
    found = predict_probabilities(model, tokenizer, TEXTS, batch_size=3)
    assert found.shape == (len(TEXTS), 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert len(np.unique(found.round(4), axis=0)) == len(TEXTS)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
def test_batch_size_changes_nothing(loaded: LoadedModel, size: int) -> None:
    whole = predict_probabilities(*loaded, TEXTS)
    np.testing.assert_allclose(
        predict_probabilities(*loaded, TEXTS, batch_size=size), whole, atol=1e-5
    )


def test_order_of_the_texts_is_the_order_of_the_answers(loaded: LoadedModel) -> None:
    order = [4, 2, 6, 0, 5, 1, 3]
    straight = predict_probabilities(*loaded, TEXTS, batch_size=2)
    mixed = predict_probabilities(*loaded, [TEXTS[i] for i in order], batch_size=2)
    np.testing.assert_allclose(mixed, straight[order], atol=1e-5)


def test_gpt2_answers_an_empty_text_and_is_not_disturbed_by_padding() -> None:
    backend = Tokenizer(tokenizer_models.WordLevel({"no": 0, "<end>": 1, "fine": 2}, "no"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<end>")
    model = tiny_model("gpt2").eval()
    together = predict_probabilities(model, tokenizer, ["", "fine", ""], batch_size=3)
    alone = [predict_probabilities(model, tokenizer, [text])[0] for text in ("", "fine", "")]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_texts_no_answers(loaded: LoadedModel) -> None:
    assert predict_probabilities(*loaded, []).shape == (0, 3)


def test_one_text_must_stand_in_a_list(loaded: LoadedModel) -> None:
    with pytest.raises(TypeError, match="list of texts"):
        predict_probabilities(*loaded, "the plot was superb")


def test_longer_texts_are_cut(loaded: LoadedModel) -> None:
    whole = predict_probabilities(*loaded, ["the plot was superb"], max_length=4)
    cut = predict_probabilities(*loaded, ["the plot"])
    np.testing.assert_allclose(whole, cut, atol=1e-5)


def flags(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def test_model_is_left_as_it_was(loaded: LoadedModel) -> None:
    model, tokenizer = loaded
    apply_lora(model, LoraConfig(rank=2, dropout=0.5))
    model.train()
    model.bert.embeddings.eval()  # a mixture, as in training with frozen parts
    before, trainable = flags(model), trainable_parameters(model)
    first = predict_probabilities(model, tokenizer, TEXTS)
    assert (first == predict_probabilities(model, tokenizer, TEXTS)).all()  # no dropout
    assert flags(model) == before and trainable_parameters(model) == trainable
    assert all(p.grad is None for p in model.parameters())


def test_model_is_left_as_it_was_after_a_failure(loaded: LoadedModel) -> None:
    model, tokenizer = loaded
    model.train()
    with pytest.raises(RuntimeError):
        predict_probabilities(model, tokenizer, ["plot " * 100])  # more than its 40 positions
    assert all(flags(model).values())


def test_score_on_labelled_data(loaded: LoadedModel) -> None:
    answers = predict_probabilities(*loaded, TEXTS)
    right = answers.argmax(axis=1)
    labels = right.copy()
    labels[:2] = (labels[:2] + 1) % 3
    data = data_of(TEXTS, labels.tolist())
    found = evaluate(*loaded, data, batch_size=2)
    assert (found.correct, found.examples) == (len(TEXTS) - 2, len(TEXTS))
    assert [c.name for c in found.classes] == LABELS
    by_hand = -np.log(answers[np.arange(len(TEXTS)), labels]).mean()
    assert found.loss == pytest.approx(by_hand, rel=1e-4)
    text = tokenise(loaded.tokenizer, TEXTS)
    assert evaluate_tokenised(loaded.model, text, data, batch_size=2) == found


@pytest.mark.parametrize("names", [LABELS[::-1], LABELS[:2], ["a", "b", "c"], [*LABELS, "mixed"]])
def test_other_labels_are_refused(loaded: LoadedModel, names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"The model answers \['negative', .* classes are \['"):
        evaluate(*loaded, data_of(["dull"], [0], names))


def test_no_data_cannot_be_scored(loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="at least one"):
        evaluate(*loaded, data_of([], []))


def test_answers_of_a_diverged_model_are_not_scored(loaded: LoadedModel) -> None:
    with torch.no_grad():
        loaded.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN.*diverged"):
        evaluate(*loaded, data_of(["dull"], [0]))


def test_pooling_counts_every_token_once_and_no_padding(loaded: LoadedModel) -> None:
    """The same as the plain mean of one text after another, which needs no padding."""
    model, tokenizer = loaded
    model.train()
    found = mean_pooled(model, tokenizer, TEXTS, batch_size=3)
    assert model.training, "left as it was"
    model.eval()
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            hidden = model.base_model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        np.testing.assert_allclose(vector, hidden[0].mean(dim=0), atol=1e-5)
    assert mean_pooled(model, tokenizer, []).shape == (0, model.config.hidden_size)

"""A trained update cut to a lower rank, or scaled anew, and scored without training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_lab.adapt import (
    LoraConfig,
    TwoSidedConfig,
    adapted_layers,
    apply_lora,
    apply_two_sided,
    disabled,
    merge,
)
from lora_lab.derivations.low_rank import truncated_svd
from lora_lab.inside import rescoring
from lora_lab.inside.rescoring import Rescorer, changed_update
from lora_lab.models import load_model
from lora_lab.prediction import evaluate, predict_probabilities

RANK, ALPHA = 4, 8.0


@pytest.fixture
def loaded(tiny_folder, reviews):
    """A model whose update is not zero, as after training."""
    loaded = load_model(tiny_folder, labels=reviews)
    torch.manual_seed(0)
    apply_lora(loaded.model, LoraConfig(rank=RANK, alpha=ALPHA, layers="top:1"))
    for layer in adapted_layers(loaded.model).values():
        torch.nn.init.normal_(layer.B, std=0.5)
    return loaded


@pytest.fixture
def rescorer(loaded, reviews):
    return Rescorer(*loaded, reviews["validation"])


def close(first, second) -> bool:
    """The same evaluation, up to rounding in the loss."""
    return first.accuracy == second.accuracy and first.loss == pytest.approx(second.loss, rel=1e-4)


def test_unchanged_it_scores_what_evaluate_scores(loaded, reviews, rescorer):
    expected = evaluate(*loaded, reviews["validation"])
    assert close(rescorer.score(), expected)
    assert close(rescorer.score(rank=RANK, alpha=ALPHA), expected), "nothing is cut, nothing scaled"


def test_probabilities_are_those_of_the_changed_model(loaded, reviews, rescorer):
    texts = reviews["validation"]["text"]
    with changed_update(loaded.model, rank=1, alpha=2 * ALPHA):
        expected = predict_probabilities(*loaded, texts)
    found = rescorer.probabilities(rank=1, alpha=2 * ALPHA)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    right = (found.argmax(axis=1) == np.asarray(reviews["validation"]["label"])).mean()
    assert rescorer.score(rank=1, alpha=2 * ALPHA).accuracy == pytest.approx(right)


def test_pieces_are_a_mixture_and_together_the_whole(reviews, rescorer):
    whole = rescorer.probabilities(rank=1)
    pieces = list(rescorer.in_pieces(10, rank=1))
    rows = np.concatenate([rows for rows, _ in pieces])
    assert sorted(rows) == list(range(len(whole))), "every sentence once"
    assert list(rows) != sorted(rows), "sentences stand sorted by class in a file"
    for rows, p in pieces:
        assert len(rows) <= 10
        np.testing.assert_allclose(p, whole[rows], atol=1e-6)


def test_rank_zero_is_the_base_with_the_trained_head(loaded, reviews, rescorer):
    with disabled(loaded.model):
        expected = evaluate(*loaded, reviews["validation"])
    assert close(rescorer.score(rank=0), expected)
    assert close(rescorer.score(alpha=0.0), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_cut_update_is_the_best_approximation_of_that_rank(loaded, rank):
    layers = adapted_layers(loaded.model)
    expected = {n: truncated_svd(m.update().detach(), rank).matrix() for n, m in layers.items()}
    with changed_update(loaded.model, rank=rank):
        for name, layer in layers.items():
            torch.testing.assert_close(layer.update(), expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["alpha/r", "alpha/sqrt(r)"])
def test_alpha_scales_the_update_by_the_trained_rank_and_rule(tiny_folder, reviews, rule):
    model, _ = load_model(tiny_folder, labels=reviews)
    apply_lora(model, LoraConfig(rank=RANK, alpha=ALPHA, scaling=rule))
    layers = adapted_layers(model)
    for layer in layers.values():
        torch.nn.init.normal_(layer.B)
    before = {name: layer.update().detach().clone() for name, layer in layers.items()}
    with changed_update(model, rank=RANK - 1, alpha=3 * ALPHA):
        # The rank that was trained with divides alpha: cutting must not also rescale.
        for name, layer in layers.items():
            best = truncated_svd(before[name], RANK - 1).matrix()
            torch.testing.assert_close(layer.update(), 3 * best, rtol=1e-4, atol=1e-5)


def test_the_model_is_as_it_was_afterwards_also_after_an_error(loaded, rescorer):
    model, tokenizer = loaded
    model.train()
    trainable = {n: (p, p.detach().clone()) for n, p in model.named_parameters() if p.requires_grad}
    answers = predict_probabilities(model, tokenizer, ["superb plot"])
    rescorer.score(rank=1, alpha=2.0)
    with pytest.raises(RuntimeError), changed_update(model, rank=1):
        raise RuntimeError("in the middle")
    now = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert now.keys() == trainable.keys()
    assert all(now[n] is p and torch.equal(p, value) for n, (p, value) in trainable.items())
    assert model.training
    np.testing.assert_array_equal(predict_probabilities(model, tokenizer, ["superb plot"]), answers)


def test_a_score_computes_no_layer_below_the_adapters(loaded, reviews):
    rescorer = Rescorer(*loaded, reviews["validation"])
    calls = []
    loaded.model.bert.embeddings.register_forward_hook(lambda *_: calls.append("embeddings"))
    below, above = loaded.model.bert.encoder.layer
    below.intermediate.dense.register_forward_hook(lambda *_: calls.append("below"))
    above.output.dense.register_forward_hook(lambda *_: calls.append("above"))
    rescorer.score(rank=2)
    batches = -(-len(reviews["validation"]) // rescorer.batch_size)
    assert calls == ["above"] * batches, "one forward pass of the adapted layer, nothing else"


@pytest.mark.parametrize("rank", [-1, RANK + 1])
def test_a_rank_that_was_not_trained_is_refused(rescorer, rank):
    with pytest.raises(ValueError, match=f"Choose 0 to {RANK}"):
        rescorer.score(rank=rank)


@pytest.mark.parametrize("alpha", [float("nan"), float("inf")])
def test_an_alpha_that_is_no_number_is_refused(rescorer, alpha):
    with pytest.raises(ValueError, match="finite"):
        rescorer.score(alpha=alpha)


def test_models_without_a_lora_update_to_change_are_refused(tiny_folder, reviews, loaded):
    plain = load_model(tiny_folder, labels=reviews)
    with pytest.raises(ValueError, match="no LoRA layers"):
        Rescorer(*plain, reviews["validation"])
    apply_two_sided(plain.model, TwoSidedConfig(rank=2))
    with pytest.raises(ValueError, match="no LoRA layers"):
        Rescorer(*plain, reviews["validation"])
    merge(loaded.model)
    with pytest.raises(ValueError, match="unmerge"):
        Rescorer(*loaded, reviews["validation"])


def test_data_with_other_classes_is_refused(loaded, reviews):
    renamed = reviews["validation"].cast_column(
        "label", type(reviews["validation"].features["label"])(names=["no", "yes"])
    )
    with pytest.raises(ValueError, match="classes"):
        rescoring.Rescorer(*loaded, renamed)

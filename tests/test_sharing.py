"""Models that share their base answer as before, and hold it once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora, freeze
from lora_lab.models import load_model
from lora_lab.prediction import predict_probabilities
from lora_lab.sharing import share_frozen

TEXTS = ["superb plot", "dull pace", ""]
NAMES = ("negative", "positive")


@pytest.fixture
def base(tiny_folder):
    return load_model(tiny_folder, labels=("any", "other")).model


def adapted(tiny_folder, seed):
    loaded = load_model(tiny_folder, labels=NAMES, seed=seed)
    torch.manual_seed(seed)
    apply_lora(loaded.model, LoraConfig(rank=2))
    for layer in adapted_layers(loaded.model).values():
        torch.nn.init.normal_(layer.B)
    return loaded


def test_two_models_on_one_base_answer_as_before(tiny_folder, base):
    for seed in (0, 1):
        loaded = adapted(tiny_folder, seed)
        before = predict_probabilities(*loaded, TEXTS)
        share_frozen(loaded.model, base)
        np.testing.assert_array_equal(predict_probabilities(*loaded, TEXTS), before)


def test_only_what_learnt_is_held_twice(tiny_folder, base):
    model, _ = adapted(tiny_folder, 0)
    everything = sum(p.nbytes for p in model.parameters())
    learnt = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    assert share_frozen(model, base) == everything - learnt
    assert share_frozen(model, base) == 0, "there is nothing left to share"
    places = {p.data_ptr() for p in base.parameters()}
    for name, parameter in model.named_parameters():
        assert (parameter.data_ptr() in places) == (not parameter.requires_grad), name


def test_other_weights_are_left_alone(tiny_folder, base):
    model, tokenizer = load_model(tiny_folder, labels=NAMES)
    freeze(model)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight += 1
    before = predict_probabilities(model, tokenizer, TEXTS)
    share_frozen(model, base)
    own = model.bert.embeddings.word_embeddings.weight
    assert own.data_ptr() != base.bert.embeddings.word_embeddings.weight.data_ptr()
    np.testing.assert_array_equal(predict_probabilities(model, tokenizer, TEXTS), before)


def test_what_may_still_learn_is_not_shared(tiny_folder, base):
    assert share_frozen(load_model(tiny_folder, labels=NAMES).model, base) == 0

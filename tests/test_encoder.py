"""The model in parts: transformers' own logits and gradients, whichever parts are left out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lora_lab import encoder as encoder_module
from lora_lab.adapt import (
    LoraConfig,
    adapted_layers,
    apply_lora,
    disabled,
    freeze,
    merge,
    remove_adapters,
)
from lora_lab.encoder import Encoder, additive_mask, find_encoder
from lora_lab.matrix_floor import flops, matrix_products

from .tiny_models import tiny_batch, tiny_model

FAMILIES = ("bert", "roberta", "distilbert")
DEPTH = 3


def adapted(family: str, *, layers="all", **settings) -> nn.Module:
    """A tiny model in eval mode whose adapters are away from zero, so that losing one shows."""
    model = tiny_model(family, **settings)
    torch.manual_seed(1)
    apply_lora(model, LoraConfig(rank=2, alpha=4, layers=layers))
    with torch.no_grad():
        for layer in adapted_layers(model).values():
            layer.B.normal_(std=0.2)
    return model.eval()


def inputs_of(size: int = 4, length: int = 7, *, padded: bool = True) -> dict[str, Tensor]:
    batch = tiny_batch(size, length)
    if not padded:
        batch = dict(
            input_ids=torch.randint(3, 100, (size, length)),
            attention_mask=torch.ones(size, length, dtype=torch.long),
        )
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def in_parts(encoder: Encoder, inputs: dict[str, Tensor], start: int = 0) -> Tensor:
    """Logits by way of the parts, with a break before block ``start``."""
    hidden = encoder.embeddings(input_ids=inputs["input_ids"])
    mask = additive_mask(inputs["attention_mask"], hidden.dtype)
    hidden = encoder.hidden_states(hidden, mask, 0, start)
    return encoder.head(encoder.hidden_states(hidden, mask, start))


def gradients(model: nn.Module, logits: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_all_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_are_transformers(family, padded):
    model, inputs = adapted(family), inputs_of(padded=padded)
    theirs, ours = model(**inputs).logits, in_parts(find_encoder(model), inputs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    expected = gradients(model, theirs)
    assert expected.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    assert_all_close(gradients(model, ours), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_full_fine_tuning_has_transformers_gradients(family):
    model, inputs = tiny_model(family).eval(), inputs_of()
    expected = gradients(model, model(**inputs).logits)
    assert_all_close(gradients(model, in_parts(find_encoder(model), inputs)), expected)


@pytest.mark.parametrize("start", range(DEPTH + 1))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_break_between_blocks_gives_the_same(family, start):
    model, inputs = adapted(family), inputs_of()
    ours = in_parts(find_encoder(model), inputs, start)
    torch.testing.assert_close(ours, model(**inputs).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_below_the_last_block_are_transformers(family):
    model, inputs = adapted(family), inputs_of()
    encoder = find_encoder(model)
    assert encoder.depth == DEPTH
    expected = model(**inputs, output_hidden_states=True).hidden_states
    hidden = encoder.embeddings(input_ids=inputs["input_ids"])
    mask = additive_mask(inputs["attention_mask"], hidden.dtype)
    present = inputs["attention_mask"].bool()
    for stop in range(DEPTH):
        found = encoder.hidden_states(hidden, mask, 0, stop)
        torch.testing.assert_close(found[present], expected[stop][present], rtol=0, atol=1e-5)
    last = encoder.hidden_states(hidden, mask, 0)
    torch.testing.assert_close(last, expected[DEPTH][:, :1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_long_sentences_take_the_fused_kernel_with_the_same_result(family, padded, monkeypatch):
    model, inputs = adapted(family), inputs_of(padded=padded)
    encoder = find_encoder(model)
    short, taken = in_parts(encoder, inputs), []
    fused = encoder_module.scaled_dot_product_attention
    monkeypatch.setattr(
        encoder_module,
        "scaled_dot_product_attention",
        lambda *args, **kwargs: taken.append(1) or fused(*args, **kwargs),
    )
    length = inputs["input_ids"].shape[1]
    monkeypatch.setattr(encoder_module, "SHORT", length)
    in_parts(encoder, inputs)
    assert not taken
    monkeypatch.setattr(encoder_module, "SHORT", length - 1)
    long = in_parts(encoder, inputs)
    assert len(taken) == DEPTH
    torch.testing.assert_close(long, short, rtol=0, atol=1e-5)
    assert_all_close(
        gradients(model, in_parts(encoder, inputs)), gradients(model, model(**inputs).logits)
    )


def test_padding_is_masked_and_only_padding():
    assert additive_mask(torch.ones(2, 3), torch.float32) is None
    mask = additive_mask(torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.float32)
    assert mask.shape == (2, 1, 1, 3)
    assert mask[:, 0, 0].tolist() == [[0, 0, -torch.inf], [0, 0, 0]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("layers", "first"), [("all", 0), ("top:1", 2), ((1,), 1), ("top:2", 1)])
def test_the_first_changing_block_is_the_lowest_adapted_one(family, layers, first):
    """Also when the adapter is merged, disabled or frozen: each may change again later."""
    model = adapted(family, layers=layers)
    encoder = find_encoder(model)
    assert encoder.first_changing_block() == first
    with disabled(model):
        assert encoder.first_changing_block() == first
    freeze(model)
    for layer in adapted_layers(model).values():
        layer.requires_grad_(False)
    assert encoder.first_changing_block() == first
    merge(model)
    assert encoder.first_changing_block() == first
    remove_adapters(model)
    assert find_encoder(model).first_changing_block() == DEPTH


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_learns_counts_as_changing_but_not_the_head(family):
    model = tiny_model(family)
    encoder = find_encoder(model)
    assert encoder.first_changing_block() == 0, "full fine-tuning"
    freeze(model)
    assert encoder.first_changing_block() == DEPTH, "the head alone"
    encoder.blocks[1].output_norm.bias.requires_grad_(True)
    assert encoder.first_changing_block() == 1, "a bias"
    next(encoder.embeddings.parameters()).requires_grad_(True)
    assert encoder.first_changing_block() == 0, "embeddings"


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_counts_only_below_the_head_in_training_mode_and_above_zero(family):
    inner, at_head = (
        (dict(dropout=0.1), dict(seq_classif_dropout=0.1))
        if family == "distilbert"
        else (dict(hidden_dropout_prob=0.1, classifier_dropout=0.0), dict(classifier_dropout=0.1))
    )
    model = tiny_model(family, **inner)
    assert find_encoder(model.train()).has_dropout
    assert not find_encoder(model.eval()).has_dropout
    assert not find_encoder(tiny_model(family).train()).has_dropout, "p = 0"
    assert not find_encoder(tiny_model(family, **at_head).train()).has_dropout


def test_other_models_are_left_to_transformers():
    assert find_encoder(tiny_model("gpt2")) is None
    assert find_encoder(tiny_model("bert", is_decoder=True)) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_reading_one_token_saves_all_but_keys_and_values_of_the_last_block(family):
    model, size, length = tiny_model(family).eval(), 4, 7
    inputs = inputs_of(size, length)
    encoder = find_encoder(model)
    hidden = encoder.embeddings(input_ids=inputs["input_ids"])
    mask = additive_mask(inputs["attention_mask"], hidden.dtype)
    block, width = encoder.blocks[-1], hidden.shape[-1]

    def cost(first_token_only: bool) -> int:
        return flops(
            matrix_products(lambda: block(hidden, mask, first_token_only=first_token_only))
        )

    def expected(queries: int) -> int:
        keys_and_values = 2 * length * width * width
        query_and_output = 2 * queries * width * width
        feed_forward = 2 * queries * width * 2 * width
        attention = 2 * queries * length * width
        return 2 * size * (keys_and_values + query_and_output + feed_forward + attention)

    assert cost(False) == expected(length)
    assert cost(True) == expected(1)
    whole = flops(matrix_products(lambda: encoder.hidden_states(hidden, mask, DEPTH - 1)))
    assert whole == expected(1), "the last block is computed so"

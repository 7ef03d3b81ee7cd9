"""The floor: every matrix product of a step is seen, with its size and its memory layout."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode, addmm_flop

from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora
from lora_lab.batches import TokenisedText
from lora_lab.forward import logits_function
from lora_lab.matrix_floor import Product, floor_seconds, flops, matrix_products

from .tiny_models import tiny_model

FAMILIES = ("bert", "roberta", "distilbert")
IN_PLACE = {torch.ops.aten.addmm_: addmm_flop.__wrapped__}  # torch's counter lacks this one
TEXT = TokenisedText([[2, 5, 6, 7, 3], [2, 8, 3], [2, 9, 10, 3]], 0, pad_id=1)


def training_step(family: str, **lora):
    model = tiny_model(family)
    apply_lora(model, LoraConfig(rank=2, alpha=4, **lora))
    with torch.no_grad():
        for layer in adapted_layers(model).values():
            layer.B.normal_()
    forward = logits_function(model, TEXT, prefix="off")

    def step() -> None:
        cross_entropy(forward([0, 1, 2]), torch.tensor([0, 1, 2])).backward()

    return step


@pytest.mark.parametrize("layers", ["all", "top:1"])
@pytest.mark.parametrize("backward", ["derived", "autograd"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_step_counts_as_in_torchs_own_counter(family, backward, layers):
    step = training_step(family, backward=backward, layers=layers)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as torchs:
        step()
    assert flops(matrix_products(step)) == torchs.get_total_flops() > 0


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_costs_one_product_forward_and_two_backward(bias):
    layer, x = nn.Linear(7, 5, bias=bias), torch.randn(3, 7, requires_grad=True)
    one = 2 * 3 * 7 * 5
    assert flops(matrix_products(lambda: layer(x))) == one
    assert flops(matrix_products(lambda: layer(x).sum().backward())) == 3 * one
    layer.requires_grad_(False)
    assert flops(matrix_products(lambda: layer(x).sum().backward())) == 2 * one, "frozen"


def test_products_in_batches_and_in_place_are_counted():
    m, x, y = torch.zeros(4, 6), torch.randn(4, 5), torch.randn(5, 6)
    batch = torch.zeros(2, 4, 6), torch.randn(2, 4, 5), torch.randn(2, 5, 6)
    one = 2 * 4 * 5 * 6
    for step, expected in (
        (lambda: x @ y, one),
        (lambda: torch.addmm(m, x, y), one),
        (lambda: m.addmm_(x, y), one),
        (lambda: batch[1] @ batch[2], 2 * one),
        (lambda: torch.baddbmm(*batch), 2 * one),
        (lambda: m + m, 0),
    ):
        assert flops(matrix_products(step)) == expected


def test_equal_products_are_counted_together_and_others_apart():
    x, y = torch.randn(4, 4), torch.randn(4, 4)
    assert list(matrix_products(lambda: (x @ y, y @ x)).values()) == [2]
    assert sorted(matrix_products(lambda: (x @ y, x @ y.T, x @ y.T)).values()) == [1, 2]


def test_products_keep_their_strides():
    """A transposed or cut-out factor is timed as it lies in memory, not as a fresh copy."""
    x, y = torch.randn(4, 10)[:, :5], torch.randn(6, 5)
    ((product, count),) = matrix_products(lambda: x @ y.T).items()
    assert count == 1
    assert product == Product((4, 5), (10, 1), (5, 6), (1, 5))
    assert product.flops == 2 * 4 * 5 * 6


def test_nothing_is_counted_outside_the_step():
    x = torch.randn(3, 3)
    products = matrix_products(lambda: x @ x)
    _ = x @ x
    assert flops(products) == 2 * 27


def test_an_error_in_the_step_ends_the_watch():
    x = torch.randn(3, 3)
    with pytest.raises(RuntimeError):
        matrix_products(lambda: x @ torch.randn(4, 4))
    assert flops(matrix_products(lambda: x @ x)) == 2 * 27


def test_the_floor_is_positive_and_a_sum_over_all_products(monkeypatch):
    small = Product((4, 5), (5, 1), (5, 6), (1, 5))
    batch = Product((2, 4, 5), (20, 5, 1), (2, 5, 6), (30, 6, 1))
    assert floor_seconds(Counter({small: 1, batch: 2}), repeats=1) > 0
    assert floor_seconds(Counter()) == 0
    seconds = {small: 3.0, batch: 5.0}  # a clock without noise
    monkeypatch.setattr(Product, "seconds", lambda self, repeats: seconds[self])
    assert floor_seconds(Counter({small: 1, batch: 2})) == 13
    both = Counter({small: 1}) + Counter({small: 3, batch: 1})
    assert floor_seconds(both) == floor_seconds(Counter({small: 4})) + 5


def test_the_floor_of_a_whole_step_can_be_timed():
    products = matrix_products(training_step("bert"))
    assert floor_seconds(products, repeats=1) > 0


def test_a_product_is_timed_in_the_type_that_it_had():
    kinds = (torch.float32, torch.bfloat16)
    pairs = {kind: (torch.randn(4, 3, dtype=kind), torch.randn(3, 2, dtype=kind)) for kind in kinds}
    for kind, (left, right) in pairs.items():
        (product,) = matrix_products(lambda a=left, b=right: a @ b)
        assert product.dtype == kind and product.seconds() > 0

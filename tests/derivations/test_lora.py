"""W + s B A: what must be true of its forward, its gradients and its update."""

import pytest
import torch
from torch.nn.functional import linear

from lora_lab.derivations import lora

IN, OUT, RANK, SCALING = 6, 5, 2, 2.5


def normal(*size, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(size))
    return torch.randn(*size, generator=generator, dtype=torch.float64)


@pytest.fixture
def layer():
    return {
        "x": normal(2, 3, IN),
        "W": normal(OUT, IN),
        "A": normal(RANK, IN, seed=1),
        "B": normal(OUT, RANK, seed=2),
        "scaling": SCALING,
    }


@pytest.fixture
def mask():
    """Already divided by the keep probability, 1/2."""
    return (normal(2, 3, IN, seed=3) > 0).double() * 2


@pytest.fixture
def g():
    return normal(2, 3, OUT, seed=4)


def test_without_scaling_or_B_it_is_the_base_layer(layer):
    base = linear(layer["x"], layer["W"])
    assert torch.equal(lora.forward(**layer | {"scaling": 0.0}), base)
    assert torch.equal(lora.forward(**layer | {"B": torch.zeros_like(layer["B"])}), base)


def test_forward_is_the_papers_formula_for_each_example(layer):
    bias = normal(OUT)
    h = lora.forward(**layer, bias=bias)
    W, A, B = layer["W"], layer["A"], layer["B"]
    for row, expected in zip(layer["x"].reshape(-1, IN), h.reshape(-1, OUT), strict=True):
        torch.testing.assert_close(W @ row + bias + SCALING * B @ (A @ row), expected)


def test_the_adapter_is_linear_in_B(layer):
    other = normal(OUT, RANK, seed=9)
    base = linear(layer["x"], layer["W"])

    def adapter(B):
        return lora.forward(**layer | {"B": B}) - base

    expected = 3 * adapter(layer["B"]) - 2 * adapter(other)
    torch.testing.assert_close(adapter(3 * layer["B"] - 2 * other), expected)


def test_a_mask_of_ones_is_no_mask(layer, g):
    ones = torch.ones_like(layer["x"])
    assert torch.equal(lora.forward(**layer, mask=ones), lora.forward(**layer))
    masked, plain = lora.backward(g, **layer, mask=ones), lora.backward(g, **layer)
    torch.testing.assert_close(tuple(masked), tuple(plain))


def test_dropout_leaves_the_base_branch_alone(layer, g):
    nothing = torch.zeros_like(layer["x"])
    assert torch.equal(lora.forward(**layer, mask=nothing), linear(layer["x"], layer["W"]))
    gradients = lora.backward(g, **layer, mask=nothing)
    assert torch.equal(gradients.x, g @ layer["W"])
    assert not gradients.A.any() and not gradients.B.any()


def test_leading_dimensions_are_only_more_rows(layer, mask, g):
    flat = layer | {"x": layer["x"].reshape(-1, IN)}
    flat_mask = mask.reshape(-1, IN)
    h = lora.forward(**layer, mask=mask)
    torch.testing.assert_close(h.reshape(-1, OUT), lora.forward(**flat, mask=flat_mask))

    gradients = lora.backward(g, **layer, mask=mask)
    rows = lora.backward(g.reshape(-1, OUT), **flat, mask=flat_mask)
    torch.testing.assert_close(gradients.x, rows.x.reshape(layer["x"].shape))
    torch.testing.assert_close(gradients[1:], rows[1:])


def test_weight_gradients_add_up_over_examples(layer, g):
    rows = zip(layer["x"].reshape(-1, IN), g.reshape(-1, OUT), strict=True)
    each = [lora.backward(g_i, **layer | {"x": x_i}) for x_i, g_i in rows]
    together = lora.backward(g, **layer)
    torch.testing.assert_close(together.A, sum(gradients.A for gradients in each))
    torch.testing.assert_close(together.B, sum(gradients.B for gradients in each))


def test_at_the_start_B_moves_first_and_A_waits(layer, g):
    """B = 0, A random: the pre-trained function is kept and yet something learns."""
    gradients = lora.backward(g, **layer | {"B": torch.zeros(OUT, RANK, dtype=torch.float64)})
    assert not gradients.A.any()
    assert gradients.B.all()


def test_with_A_and_B_both_zero_nothing_ever_learns(layer, g):
    zeros = {name: torch.zeros_like(layer[name]) for name in "AB"}
    gradients = lora.backward(g, **layer | zeros)
    assert not gradients.A.any() and not gradients.B.any()


def test_the_input_gradient_is_skipped_on_request(layer, mask, g):
    full = lora.backward(g, **layer, mask=mask)
    short = lora.backward(g, **layer, mask=mask, input_gradient=False)
    assert short.x is None
    assert all(map(torch.equal, short[1:], full[1:]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_autograds(layer, dtype, leading, masked):
    names = ("x", "A", "B")
    layer = layer | {"x": normal(*leading, IN)}
    mask = (normal(*leading, IN, seed=5) > 0).to(dtype) * 2 if masked else None
    layer = {k: t.to(dtype) if torch.is_tensor(t) else t for k, t in layer.items()}
    leaves = {name: layer[name].clone().requires_grad_() for name in names}
    g = normal(*leading, OUT).to(dtype)

    h = lora.forward(**layer | leaves, mask=mask)
    expected = torch.autograd.grad(h, [leaves[name] for name in names], g)
    torch.testing.assert_close(tuple(lora.backward(g, **layer, mask=mask)), expected)


@pytest.mark.parametrize("rank", [1, 2, min(IN, OUT)])
def test_the_update_has_at_most_the_rank_and_merges_into_W(layer, rank):
    layer = layer | {"A": normal(rank, IN, seed=6), "B": normal(OUT, rank, seed=7)}
    delta = lora.update(layer["A"], layer["B"], SCALING)
    assert delta.shape == (OUT, IN)
    assert torch.linalg.matrix_rank(delta) <= rank
    torch.testing.assert_close(linear(layer["x"], layer["W"] + delta), lora.forward(**layer))

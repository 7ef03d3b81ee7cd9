"""Cross-entropies: torch's numbers, at ordinary and at extreme logits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lora_lab.derivations import losses

DTYPES = (torch.float64, torch.float32)
N, C = 6, 4


def normal(*size, dtype=torch.float64, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradient(value, z):
    return torch.autograd.grad(value.sum(), z)[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_binary_cross_entropy_is_torchs(dtype, reduction):
    z = normal(N, dtype=dtype).mul(5).requires_grad_()
    y = torch.rand(N, generator=torch.Generator().manual_seed(1), dtype=dtype)
    expected = F.binary_cross_entropy_with_logits(z, y, reduction=reduction)
    name = "binary_cross_entropy" if reduction == "none" else "mean_binary_cross_entropy"

    torch.testing.assert_close(getattr(losses, name)(z, y), expected)
    torch.testing.assert_close(getattr(losses, f"{name}_grad")(z, y), gradient(expected, z))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_softmax_cross_entropy_is_torchs(dtype, reduction):
    z = normal(N, C, dtype=dtype).mul(5).requires_grad_()
    y = torch.arange(N) % C
    expected = F.cross_entropy(z, y, reduction=reduction)
    name = "softmax_cross_entropy" if reduction == "none" else "mean_softmax_cross_entropy"

    torch.testing.assert_close(getattr(losses, name)(z, y), expected)
    torch.testing.assert_close(getattr(losses, f"{name}_grad")(z, y), gradient(expected, z))


@given(z=st.floats(-1e6, 1e6), y=st.floats(0, 1))
def test_binary_loss_and_gradient_at_any_logit(z, y):
    z, y = torch.tensor([z, -z], dtype=torch.float64), torch.tensor([y, 1 - y], dtype=torch.float64)
    value, slope = losses.binary_cross_entropy(z, y), losses.binary_cross_entropy_grad(z, y)

    torch.testing.assert_close(value, F.binary_cross_entropy_with_logits(z, y, reduction="none"))
    assert (value >= 0).all()
    assert (slope.abs() <= 1).all()
    # Exchanging the classes mirrors the loss.
    torch.testing.assert_close(value[0], value[1])
    torch.testing.assert_close(slope[0], -slope[1])


@given(
    z=st.lists(st.floats(-1e6, 1e6), min_size=C, max_size=C),
    label=st.integers(0, C - 1),
    shift=st.integers(-1000, 1000),
)
def test_softmax_loss_ignores_a_common_shift_and_its_gradient_sums_to_zero(z, label, shift):
    z, y = torch.tensor([z], dtype=torch.float64), torch.tensor([label])
    value = losses.softmax_cross_entropy(z, y)

    torch.testing.assert_close(value, F.cross_entropy(z, y, reduction="none"))
    torch.testing.assert_close(
        losses.softmax_cross_entropy(z + shift, y), value, rtol=1e-9, atol=1e-9
    )
    assert losses.softmax_cross_entropy_grad(z, y).sum().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_huge_logits_cost_exactly_their_size_when_wrong_and_nothing_when_right(dtype, size):
    z = torch.tensor([size, size, -size, -size], dtype=dtype)
    y = torch.tensor([1, 0, 1, 0], dtype=dtype)
    cost = torch.tensor([0, size, size, 0], dtype=dtype)
    pair = torch.stack([torch.zeros_like(z), z], dim=-1)  # the same in two classes

    torch.testing.assert_close(losses.binary_cross_entropy(z, y), cost)
    torch.testing.assert_close(losses.softmax_cross_entropy(pair, y.long()), cost)
    right = torch.tensor([0, 1, -1, 0], dtype=dtype)
    torch.testing.assert_close(losses.binary_cross_entropy_grad(z, y), right)
    torch.testing.assert_close(losses.softmax_cross_entropy_grad(pair, y.long())[:, 1], right)


@pytest.mark.parametrize("logit", [30.0, 300.0])
def test_the_loss_of_a_confident_right_answer_does_not_round_to_zero(logit):
    z = torch.tensor([logit, -logit], dtype=torch.float64)
    y = torch.tensor([1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(
        losses.binary_cross_entropy(z, y), torch.exp(-z.abs()), atol=0, rtol=1e-9
    )


def test_autograd_agrees_at_logit_zero_where_the_stable_form_has_kinks():
    z = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    assert torch.equal(gradient(losses.binary_cross_entropy(z, y), z), 0.5 - y)


def test_means_are_means():
    z, y = normal(N), torch.rand(N, dtype=torch.float64)
    assert losses.mean_binary_cross_entropy(z, y) == losses.binary_cross_entropy(z, y).mean()
    per_example = losses.binary_cross_entropy_grad(z, y)
    assert torch.equal(losses.mean_binary_cross_entropy_grad(z, y) * N, per_example / N * N)

    z, y = normal(N, C), torch.arange(N) % C
    assert losses.mean_softmax_cross_entropy(z, y) == losses.softmax_cross_entropy(z, y).mean()
    per_example = losses.softmax_cross_entropy_grad(z, y)
    assert torch.equal(losses.mean_softmax_cross_entropy_grad(z, y) * N, per_example / N * N)


def test_two_class_softmax_is_the_binary_loss_of_the_difference():
    z, y = normal(N, 2), torch.arange(N) % 2
    binary = losses.binary_cross_entropy(z[:, 1] - z[:, 0], y.double())
    torch.testing.assert_close(losses.softmax_cross_entropy(z, y), binary)

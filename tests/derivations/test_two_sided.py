"""U W V: the three shapes of U and V are one formula, and its gradients follow."""

import pytest
import torch
from torch.nn.functional import linear

from lora_lab.derivations import two_sided

IN, OUT, RANK = 6, 5, 2


def normal(*size, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(size))
    return torch.randn(*size, generator=generator, dtype=torch.float64)


def eye(n):
    return torch.eye(n, dtype=torch.float64)


X, W, BIAS, G = normal(2, 3, IN), normal(OUT, IN, seed=1), normal(OUT), normal(2, 3, OUT, seed=2)
U, V = normal(OUT, OUT, seed=3), normal(IN, IN, seed=4)
P, Q, R, S = (
    normal(OUT, RANK, seed=5),
    normal(RANK, OUT, seed=6),
    normal(IN, RANK, seed=7),
    normal(RANK, IN, seed=8),
)
u, v = normal(OUT, seed=9), normal(IN, seed=10)

FORMS = {
    "dense": (two_sided.dense_forward, two_sided.dense_backward, two_sided.dense_weight, (U, V)),
    "low-rank": (
        two_sided.low_rank_forward,
        two_sided.low_rank_backward,
        two_sided.low_rank_weight,
        (P, Q, R, S),
    ),
    "diagonal": (
        two_sided.diagonal_forward,
        two_sided.diagonal_backward,
        two_sided.diagonal_weight,
        (u, v),
    ),
}
NEUTRAL = {
    "dense": (eye(OUT), eye(IN)),
    "low-rank": (torch.zeros_like(P), Q, torch.zeros_like(R), S),
    "diagonal": (torch.ones_like(u), torch.ones_like(v)),
}
every_form = pytest.mark.parametrize("form", FORMS)


@every_form
@pytest.mark.parametrize("bias", [None, BIAS])
def test_neutral_factors_leave_the_base_layer(form, bias):
    forward, _, weight, _ = FORMS[form]
    torch.testing.assert_close(forward(X, W, *NEUTRAL[form], bias), linear(X, W, bias))
    assert torch.equal(weight(W, *NEUTRAL[form]), W)


@every_form
@pytest.mark.parametrize("bias", [None, BIAS])
def test_the_merged_weight_gives_the_same_forward(form, bias):
    forward, _, weight, factors = FORMS[form]
    merged = weight(W, *factors)
    assert merged.shape == W.shape
    torch.testing.assert_close(linear(X, merged, bias), forward(X, W, *factors, bias))


def test_low_rank_is_dense_with_identity_plus_low_rank():
    dense = (eye(OUT) + P @ Q, eye(IN) + R @ S)
    torch.testing.assert_close(
        two_sided.low_rank_forward(X, W, P, Q, R, S), two_sided.dense_forward(X, W, *dense)
    )
    # The chain rule through U = I + P Q and V = I + R S.
    whole = two_sided.dense_backward(G, X, W, *dense)
    parts = two_sided.low_rank_backward(G, X, W, P, Q, R, S)
    torch.testing.assert_close(parts.x, whole.x)
    torch.testing.assert_close(parts.P, whole.U @ Q.T)
    torch.testing.assert_close(parts.Q, P.T @ whole.U)
    torch.testing.assert_close(parts.R, whole.V @ S.T)
    torch.testing.assert_close(parts.S, R.T @ whole.V)


def test_diagonal_is_dense_with_diagonal_matrices():
    dense = (torch.diag(u), torch.diag(v))
    torch.testing.assert_close(
        two_sided.diagonal_forward(X, W, u, v), two_sided.dense_forward(X, W, *dense)
    )
    whole = two_sided.dense_backward(G, X, W, *dense)
    parts = two_sided.diagonal_backward(G, X, W, u, v)
    torch.testing.assert_close(parts.x, whole.x)
    torch.testing.assert_close(parts.u, whole.U.diagonal())
    torch.testing.assert_close(parts.v, whole.V.diagonal())


def test_dense_gradients_are_the_printed_formula_for_one_example():
    x, g = X[0, 0], G[0, 0]
    gradients = two_sided.dense_backward(g, x, W, U, V)
    torch.testing.assert_close(gradients.U, torch.outer(g, W @ V @ x))
    torch.testing.assert_close(gradients.V, torch.outer((U @ W).T @ g, x))
    torch.testing.assert_close(gradients.x, (U @ W @ V).T @ g)


@every_form
@pytest.mark.parametrize("rows", [slice(None), 0, (0, 0)], ids=["2x3 rows", "3 rows", "one row"])
def test_gradients_are_autograds(form, rows):
    forward, backward, _, factors = FORMS[form]
    x, g = X[rows], G[rows]
    leaves = [t.clone().requires_grad_() for t in (x, *factors)]
    h = forward(leaves[0], W, *leaves[1:], BIAS)
    expected = torch.autograd.grad(h, leaves, g)
    torch.testing.assert_close(tuple(backward(g, x, W, *factors)), expected)

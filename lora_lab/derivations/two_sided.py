"""The multiplicative form ``h = U W V x`` and its gradients, for three shapes of U and V.

    x (..., in)   inputs          W (out, in)   frozen base weight      b (out,)  frozen bias
    g (..., out)  dL/dh

    dense      U (out, out), V (in, in): the introductory article's form. It has more
               parameters than W itself, and random U, V destroy the pre-trained function.
    low-rank   U = I + P Q, V = I + R S with P (out, rank), Q (rank, out), R (in, rank),
               S (rank, in): few parameters, and W is kept where P = R = 0.
    diagonal   U = diag(u), V = diag(v) with u (out,), v (in,): scales features, as IA3 does
               (Liu et al. 2022, arXiv 2205.05638).

This is not LoRA: LoRA adds a low-rank term to W (``lora``), here W is multiplied. With
a = V x and h = U W a, one rule serves all three:

    dL/dU = g (W V x)^T      dL/dV = (U W)^T g x^T      dL/dx = (U W V)^T g
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear


class DenseGradients(NamedTuple):
    x: Tensor
    U: Tensor
    V: Tensor


class LowRankGradients(NamedTuple):
    x: Tensor
    P: Tensor
    Q: Tensor
    R: Tensor
    S: Tensor


class DiagonalGradients(NamedTuple):
    x: Tensor
    u: Tensor
    v: Tensor


def dense_forward(x: Tensor, W: Tensor, U: Tensor, V: Tensor, bias: Tensor | None = None) -> Tensor:
    """``h = U W V x + b``. Shape (..., out)."""
    a = linear(x, V)  # (..., in)
    return linear(linear(a, W), U, bias)


def dense_backward(g: Tensor, x: Tensor, W: Tensor, U: Tensor, V: Tensor) -> DenseGradients:
    """``dU = g (W V x)^T``, ``dV = (U W)^T g x^T``, ``dx = (U W V)^T g``, summed over rows."""
    a = linear(x, V)  # (..., in)
    da = g @ U @ W  # (..., in)   dL/da
    return DenseGradients(x=da @ V, U=_outer(g, linear(a, W)), V=_outer(da, x))


def low_rank_forward(
    x: Tensor, W: Tensor, P: Tensor, Q: Tensor, R: Tensor, S: Tensor, bias: Tensor | None = None
) -> Tensor:
    """``h = (I + P Q) W (I + R S) x + b``. Shape (..., out)."""
    a = x + linear(linear(x, S), R)  # (..., in)
    c = linear(a, W)  # (..., out)
    h = c + linear(linear(c, Q), P)  # (..., out)
    return h if bias is None else h + bias


def low_rank_backward(
    g: Tensor, x: Tensor, W: Tensor, P: Tensor, Q: Tensor, R: Tensor, S: Tensor
) -> LowRankGradients:
    """Gradients of ``h = (I + P Q) W (I + R S) x``, with ``c = W a``:

    dP = g (Q c)^T     dQ = P^T g c^T     dc = g + (P Q)^T g
    dR = da (S x)^T    dS = R^T da x^T    da = W^T dc,   dx = da + (R S)^T da
    """
    sx = linear(x, S)  # (..., rank)
    a = x + linear(sx, R)  # (..., in)
    c = linear(a, W)  # (..., out)
    gP = g @ P  # (..., rank)
    da = (g + gP @ Q) @ W  # (..., in)
    daR = da @ R  # (..., rank)
    return LowRankGradients(
        x=da + daR @ S,
        P=_outer(g, linear(c, Q)),
        Q=_outer(gP, c),
        R=_outer(da, sx),
        S=_outer(daR, x),
    )


def diagonal_forward(
    x: Tensor, W: Tensor, u: Tensor, v: Tensor, bias: Tensor | None = None
) -> Tensor:
    """``h = diag(u) W diag(v) x + b``. Shape (..., out)."""
    h = u * linear(v * x, W)
    return h if bias is None else h + bias


def diagonal_backward(g: Tensor, x: Tensor, W: Tensor, u: Tensor, v: Tensor) -> DiagonalGradients:
    """``du = sum g * (W (v * x))``, ``dv = sum (W^T (u * g)) * x``, ``dx = v * W^T (u * g)``."""
    da = (u * g) @ W  # (..., in)
    return DiagonalGradients(x=da * v, u=_row_sum(g * linear(v * x, W)), v=_row_sum(da * x))


def dense_weight(W: Tensor, U: Tensor, V: Tensor) -> Tensor:
    """The merged weight ``U W V``. Shape (out, in)."""
    return U @ W @ V


def low_rank_weight(W: Tensor, P: Tensor, Q: Tensor, R: Tensor, S: Tensor) -> Tensor:
    """The merged weight ``(I + P Q) W (I + R S)``. Shape (out, in)."""
    left = W + P @ (Q @ W)
    return left + (left @ R) @ S


def diagonal_weight(W: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The merged weight ``diag(u) W diag(v)``. Shape (out, in)."""
    return u[:, None] * W * v


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """``sum over rows of left_i right_i^T``: the gradient of a matrix between the two."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def _row_sum(t: Tensor) -> Tensor:
    return torch.sum(t.reshape(-1, t.shape[-1]), dim=0)

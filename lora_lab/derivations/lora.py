"""LoRA: ``h = W x + s B A x`` and its gradients (Hu et al. 2021, arXiv 2106.09685, eq. 3).

Symbols and shapes, the paper's:

    x (..., in)     inputs, any number of leading dimensions
    W (out, in)     frozen base weight           b (out,)  frozen bias
    A (rank, in)    down-projection              B (out, rank)  up-projection
    s               scaling, alpha / rank
    m (..., in)     dropout mask already divided by the keep probability: 0 or 1/(1-p)
    g (..., out)    dL/dh, the gradient that arrives from above

With dropout only the low-rank branch sees the mask: ``h = W x + b + s B A (m * x)``.
Rows are examples, so the paper's ``A x`` is written ``x A^T``.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import linear


class LoraGradients(NamedTuple):
    """Gradients of the loss, each in the shape of its variable (``x`` None if not asked for)."""

    x: Tensor | None
    A: Tensor
    B: Tensor


def forward(
    x: Tensor,
    W: Tensor,
    A: Tensor,
    B: Tensor,
    scaling: float,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``h = W x + b + s B A (m * x)``. Shape (..., out)."""
    h = linear(x, W, bias)  # (..., out)
    u = _rows(_masked(x, mask)) @ A.T  # (N, rank)
    # Added in place: at these sizes a sum of its own costs more than the low-rank products.
    return _rows(h).addmm_(u, B.T, alpha=scaling).view_as(h)


def backward(
    g: Tensor,
    x: Tensor,
    W: Tensor,
    A: Tensor,
    B: Tensor,
    scaling: float,
    mask: Tensor | None = None,
    *,
    input_gradient: bool = True,
) -> LoraGradients:
    """All three gradients, sharing the two small products between them.

    With ``x~ = m * x``, ``u = x~ A^T`` and ``v = g B``, both (..., rank):

        dA = s v^T x~          dB = s g^T u          dx = g W + s m * (v A)

    W and b are frozen and get none. The layers' backward pass is this function.

    Args:
        input_gradient: False skips dx, which the first adapted layer does not need.
    """
    x_masked = _masked(x, mask)
    g, x_masked = _rows(g), _rows(_masked(x, mask))
    u = x_masked @ A.T  # (N, rank); cheaper to compute again than to keep
    v = scaling * (g @ B)  # (N, rank)
    dA = v.T @ x_masked  # (rank, in)
    dB = g.T @ (scaling * u)  # (out, rank)
    dx = _input_gradient(g, v, W, A, mask).view_as(x) if input_gradient else None
    return LoraGradients(x=dx, A=dA, B=dB)


def _input_gradient(g: Tensor, v: Tensor, W: Tensor, A: Tensor, mask: Tensor | None) -> Tensor:
    """``g W + m * (v A)``. Shape (N, in)."""
    dx = g @ W
    return dx.addmm_(v, A) if mask is None else dx + _rows(mask) * (v @ A)


def update(A: Tensor, B: Tensor, scaling: float) -> Tensor:
    """The weight update ``Delta W = s B A``. Shape (out, in), rank at most ``rank``."""
    return scaling * (B @ A)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _rows(t: Tensor) -> Tensor:
    """Fold all leading dimensions into one: gradients of weights sum over them."""
    return t.reshape(-1, t.shape[-1])

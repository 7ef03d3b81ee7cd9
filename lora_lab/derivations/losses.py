"""Cross-entropy on logits: values and gradients.

Shapes: N examples, C classes. ``z`` are logits (the raw outputs of the last linear layer),
never probabilities: the sigmoid or softmax is part of the loss, and so is its derivative.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def binary_cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Loss of each example, L_i = -[y_i log p_i + (1 - y_i) log(1 - p_i)], p = sigmoid(z).

    Written as ``max(z, 0) - z y + log(1 + exp(-|z|))``, the same function, in which no
    exponential can overflow and no logarithm meets a zero: exact for any finite z.

    Args:
        z: logits, any shape.
        y: targets in [0, 1], same shape.
    """
    # maximum, not clamp: at the kink z = 0 it splits autograd's gradient evenly, and p is 1/2.
    return torch.maximum(z, z.new_zeros(())) - z * y + torch.log1p(torch.exp(-z.abs()))


def binary_cross_entropy_grad(z: Tensor, y: Tensor) -> Tensor:
    """dL_i/dz_i = p_i - y_i, each example on its own. Same shape as ``z``.

    By the chain rule dL/dp = (p - y) / (p (1 - p)) and dp/dz = p (1 - p): the sigmoid's
    derivative cancels the denominator. Leave it out and the gradient blows up near 0 and 1.
    """
    return torch.sigmoid(z) - y


def mean_binary_cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Empirical risk: the average of ``binary_cross_entropy`` over all N examples. Scalar."""
    return binary_cross_entropy(z, y).mean()


def mean_binary_cross_entropy_grad(z: Tensor, y: Tensor) -> Tensor:
    """dL/dz_i = (p_i - y_i) / N. Same shape as ``z``."""
    return binary_cross_entropy_grad(z, y) / z.numel()


def softmax_cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Loss of each example, L_i = log sum_c exp(z_ic) - z_i,y_i.

    The largest logit is taken out of the sum first, so that no exponential overflows.

    Args:
        z: logits (N, C).
        y: class indices (N,), integers in 0..C-1.

    Returns:
        (N,)
    """
    top = z.amax(dim=-1, keepdim=True)
    log_sum = (top + (z - top).exp().sum(dim=-1, keepdim=True).log()).squeeze(-1)
    return log_sum - z.gather(-1, y.unsqueeze(-1)).squeeze(-1)


def softmax_cross_entropy_grad(z: Tensor, y: Tensor) -> Tensor:
    """dL_i/dz_ic = p_ic - [c = y_i], with p = softmax(z). Shape (N, C)."""
    return torch.softmax(z, dim=-1) - one_hot(y, z.shape[-1]).to(z.dtype)


def mean_softmax_cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """The average of ``softmax_cross_entropy`` over the N examples. Scalar."""
    return softmax_cross_entropy(z, y).mean()


def mean_softmax_cross_entropy_grad(z: Tensor, y: Tensor) -> Tensor:
    """dL/dz_ic = (p_ic - [c = y_i]) / N. Shape (N, C)."""
    return softmax_cross_entropy_grad(z, y) / z.shape[0]

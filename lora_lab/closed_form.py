"""Where the derivations meet autograd: functions of torch whose backward pass is a closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from lora_lab.derivations import losses


class ClosedForm(torch.autograd.Function):
    """A linear map with trainable parameters whose gradients come from a derivation.

    ``forward(x, W, *parameters, bias=)`` and ``backward(g, x, W, *parameters)`` are functions
    of ``derivations``; the second returns gradients in the order (x, *parameters). They are
    made of differentiable operations, so second derivatives work as well.
    """

    @staticmethod
    def forward(ctx, forward, backward, x, W, bias, *parameters):
        ctx.closed_form_backward = backward
        ctx.save_for_backward(x, W, *parameters)
        return forward(x, W, *parameters, bias=bias)

    @staticmethod
    def backward(ctx, g):
        x, W, *parameters = ctx.saved_tensors
        gradients = ctx.closed_form_backward(g, x, W, *parameters)
        return None, None, gradients[0], None, None, *gradients[1:]


class _MeanCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels):
        ctx.save_for_backward(logits, labels)
        return losses.mean_softmax_cross_entropy(logits, labels)

    @staticmethod
    def backward(ctx, g):
        return g * losses.mean_softmax_cross_entropy_grad(*ctx.saved_tensors), None


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The training loss: softmax cross-entropy averaged over N examples, derived backward.

    Args:
        logits: (N, C).
        labels: (N,) class indices.
    """
    return _MeanCrossEntropy.apply(logits, labels)

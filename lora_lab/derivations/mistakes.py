"""Mistakes that people really make, each by name: what the referees must catch.

A `Mistake` replaces the gradients of one derivation, as a slip in a hand-derived backward would.
One that also sits in the forward replaces that too: its gradients then fit its forward, and only
a referee that starts from the paper's formula can object. To add one, add one entry to `MISTAKES`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import lora, losses, two_sided
from .catalogue import Derivation, find, look_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from .catalogue import Gradients


@dataclass(frozen=True)
class Mistake:
    """Gradients, and a forward if given, that are not those of ``derivation``."""

    name: str
    derivation: str  # a key of the catalogue
    explanation: str
    gradients: Callable[..., Gradients]
    forward: Callable[..., Tensor] | None = None

    def applied(self) -> Derivation:
        """The derivation with its functions replaced by the wrong ones."""
        right = find(self.derivation)
        return replace(right, gradients=self.gradients, forward=self.forward or right.forward)


def find_mistake(name: str) -> Mistake:
    """The mistake called ``name``. Raises ValueError, listing the names, if there is none."""
    return look_up(name, {mistake.name: mistake for mistake in MISTAKES}, "mistake")


def _missing_scaling(g: Tensor, scaling: Tensor, **inputs: Tensor) -> Gradients:
    return lora.backward(g, **inputs, scaling=1.0)._asdict()


def _forward_with_alpha(A: Tensor, scaling: Tensor, **inputs: Tensor) -> Tensor:
    alpha = scaling * A.shape[0]
    return lora.forward(A=A, scaling=alpha, **inputs)


def _gradients_with_alpha(g: Tensor, A: Tensor, scaling: Tensor, **inputs: Tensor) -> Gradients:
    alpha = scaling * A.shape[0]
    return lora.backward(g, A=A, scaling=alpha, **inputs)._asdict()


def _transposed_A(g: Tensor, **inputs: Tensor) -> Gradients:
    right = lora.backward(g, **inputs)
    stored = right.A.T  # (in, rank)
    return right._replace(A=stored.reshape(right.A.shape))._asdict()


def _forgotten_mask(g: Tensor, mask: Tensor, **inputs: Tensor) -> Gradients:
    return lora.backward(g, **inputs)._asdict()


def _article_product_rule(g: Tensor, x: Tensor, W: Tensor, U: Tensor, V: Tensor) -> Gradients:
    right = two_sided.dense_backward(g, x, W, U, V)  # the first term, U d(W V x), gives dV and x
    return {
        "U": torch.zeros_like(U),  # no term contains dU
        "V": right.V,
        "x": right.x + g @ W @ V,  # the second term, W V dx
    }


def _missing_sigmoid_derivative(g: Tensor, z: Tensor, y: Tensor) -> Gradients:
    p = torch.sigmoid(z)
    return {"z": g * losses.mean_binary_cross_entropy_grad(z, y) / (p * (1 - p))}


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        name="missing-scaling",
        derivation="lora",
        explanation="The forward scales B A x by s = alpha/r, the backward does not. At s = 1 "
        "nobody notices; otherwise A and B learn at a rate that is off by the factor s.",
        gradients=_missing_scaling,
    ),
    Mistake(
        name="alpha-not-alpha-over-r",
        derivation="lora",
        explanation="alpha stands where alpha/r belongs, in forward and backward alike, so the "
        "rank silently changes the step size. The two fit each other: whoever trusts the forward "
        "sees nothing, and at rank 1 there is nothing to see.",
        gradients=_gradients_with_alpha,
        forward=_forward_with_alpha,
    ),
    Mistake(
        name="transposed-A",
        derivation="lora",
        explanation="dA is computed for an A stored as (in, rank) and reshaped to (rank, in), "
        "where a transpose belongs. The shape is right and every number is there, in the wrong "
        "place; at rank 1 even the places agree.",
        gradients=_transposed_A,
    ),
    Mistake(
        name="forgotten-mask",
        derivation="lora-dropout",
        explanation="The forward drops inputs of the low-rank branch, the backward uses them all. "
        "dA, dB and dx then belong to another function than the one whose loss is reported.",
        gradients=_forgotten_mask,
    ),
    Mistake(
        name="article-product-rule",
        derivation="two-sided-dense",
        explanation="d(U W V x) is written as U d(W V x) + W V dx. The product rule's second term "
        "is dU W V x: without it U gets no gradient and never learns, and dx gets a term "
        "(W V)^T g that does not belong there.",
        gradients=_article_product_rule,
    ),
    Mistake(
        name="missing-sigmoid-derivative",
        derivation="mean-bce",
        explanation="The gradient with respect to the probability p is called dL/dz. The factor "
        "dp/dz = p (1 - p) is missing, so confident mistakes blow up.",
        gradients=_missing_sigmoid_derivative,
    ),
)

"""Checks of notebook 4: the backward pass, without and with a dropout mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lora_lab.derivations import lora
from lora_lab.exercises.checking import (
    Mistake,
    attempt_named,
    check,
    expect_tensor,
    same,
)


@dataclass(frozen=True)
class _Point:
    """Inputs of a backward pass, with the small products that all gradients are made of."""

    g: Tensor
    x: Tensor
    W: Tensor
    A: Tensor
    B: Tensor
    scaling: float
    mask: Tensor

    @classmethod
    def draw(cls, leading: tuple[int, ...], n_in: int, out: int, rank: int, s: float) -> _Point:
        generator = torch.Generator().manual_seed(n_in)

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64)

        x = normal(*leading, n_in)
        kept = torch.arange(x.numel()) % 3 != 1  # two of three
        mask = (kept.double() * 1.5).view_as(x)
        return cls(
            g=normal(*leading, out),
            x=x,
            W=normal(out, n_in),
            A=normal(rank, n_in),
            B=normal(out, rank),
            scaling=s,
            mask=mask,
        )

    @property
    def where(self) -> str:
        rank, n_in = self.A.shape
        return f"x {tuple(self.x.shape)}, out {len(self.W)}, rank {rank}, s = {self.scaling:g}"

    def arguments(self) -> dict[str, Any]:
        names = ("g", "x", "W", "A", "B", "scaling")
        return {name: getattr(self, name) for name in names}

    def right(self, mask: Tensor | None = None) -> lora.LoraGradients:
        return lora.backward(**self.arguments(), mask=mask)

    @property
    def from_base(self) -> Tensor:
        return self.g @ self.W

    @property
    def from_adapter(self) -> Tensor:
        """s g B A, without a mask."""
        return self.scaling * self.g @ self.B @ self.A

    @property
    def examples(self) -> int:
        return self.g[..., 0].numel()


_POINTS = (
    _Point.draw((4,), 5, 3, 2, 2.5),
    _Point.draw((2, 3), 4, 6, 2, 0.6),
)


@check
def check_lora_backward(function: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> str:
    """``function(g, x, W, A, B, scaling) -> (dx, dA, dB)``, the gradients of s B A x + W x."""
    for point in _POINTS:
        right = point.right()
        dx, dA, dB = _three(attempt_named(function, **point.arguments()), right)
        expect_tensor(dA, right.A, _slips("dA", right.A, point), f"dA, {point.where}")
        expect_tensor(dB, right.B, _slips("dB", right.B, point), f"dB, {point.where}")
        s = point.scaling
        mistakes = {
            "dx lacks s g B A: x feeds the low-rank branch too.": point.from_base,
            "dx lacks g W: W is frozen, but the gradient still passes through it.": (
                point.from_adapter
            ),
            "In dx the scale is missing before g B A.": point.from_base + point.from_adapter / s,
            "In dx the scale multiplies g W too; only the low-rank branch is scaled.": (
                s * point.from_base + point.from_adapter
            ),
            "dx has the wrong sign: return the gradient, the optimiser takes the minus.": -right.x,
            "In dx the scale stands twice.": point.from_base + s * point.from_adapter,
        }
        expect_tensor(dx, right.x, mistakes, f"dx, {point.where}")
    return "g B and x Aᵀ are small: going through them is what makes the backward pass cheap."


@check
def check_masked_backward(function: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> str:
    """``function(g, x, W, A, B, scaling, mask) -> (dx, dA, dB)`` of W x + s B A (mask * x)."""
    for point in _POINTS:
        right, m, given = point.right(point.mask), point.mask, point.arguments()
        given = given | {"mask": m}
        dx, dA, dB = _three(attempt_named(function, **given), right)
        again = _three(attempt_named(function, **given), right)
        if not all(same(a, b) for a, b in zip((dx, dA, dB), again, strict=True)):
            raise Mistake(
                "Two calls with the same inputs give different answers: a mask is drawn anew. The "
                "backward pass needs the very mask of the forward pass, which you are given."
            )
        plain, ones, squared = point.right(), point.right(m.bool().double()), point.right(m * m)
        for name, got in (("A", dA), ("B", dB)):
            correct = getattr(right, name)
            mistakes = {
                f"The mask is forgotten in d{name}: the forward pass used m * x there, not x.": (
                    getattr(plain, name)
                ),
                f"In d{name} the mask is applied twice.": getattr(squared, name),
                f"In d{name} the mask has lost its factor 1/(1-p): it holds 0 and 1/(1-p), so "
                "multiply by it as it is.": getattr(ones, name),
                **_slips(f"d{name}", correct, point),
            }
            expect_tensor(got, correct, mistakes, f"d{name}, {point.where}")
        base, adapter, s = point.from_base, point.from_adapter, point.scaling
        mistakes = {
            "The mask is forgotten in dx: what was dropped on the way up passes no gradient on "
            "the way down.": base + adapter,
            "dx is masked as a whole; W saw all of x, so g W stays as it is.": (
                m * (base + adapter)
            ),
            "In dx the mask is on the wrong term: it belongs to s g B A, not to g W.": (
                m * base + adapter
            ),
            "In dx the mask is applied twice.": base + m * m * adapter,
            "In dx the mask has lost its factor 1/(1-p).": base + m.bool() * adapter,
            "In dx the scale is missing.": base + m * adapter / s,
            "dx lacks s m * (g B A).": base,
            "dx lacks g W.": m * adapter,
        }
        expect_tensor(dx, right.x, mistakes, f"dx, {point.where}")
    return "What the mask let through on the way up is what it lets through on the way down."


def _slips(name: str, right: Tensor, point: _Point) -> dict[str, Tensor]:
    """Mistakes that any gradient of a factor can have."""
    s = point.scaling
    return {
        f"In {name} the scale s is missing.": right / s,
        f"In {name} the scale stands twice: once in s g B (or s x Aᵀ), and once more.": s * right,
        f"{name} is divided by the number of examples. The mean is part of the loss, so it is in "
        "g already.": right / point.examples,
        f"{name} has the wrong sign: return the gradient, the optimiser takes the minus.": -right,
    }


def _three(result: Any, right: lora.LoraGradients) -> tuple[Tensor, Tensor, Tensor]:
    """dx, dA, dB with the shapes of their variables; a verdict otherwise."""
    if isinstance(result, tuple | list) and len(result) == 4:
        raise Mistake("Return three gradients, (dx, dA, dB). W is frozen: nobody asks for dW.")
    if not isinstance(result, tuple | list) or len(result) != 3:
        raise Mistake("Return three tensors: (dx, dA, dB).")
    if not all(isinstance(part, Tensor) for part in result):
        kinds = ", ".join(type(part).__name__ for part in result)
        raise Mistake(f"Return three tensors, (dx, dA, dB), not {kinds}.")
    shapes = [tuple(part.shape) for part in result]
    wanted = [tuple(part.shape) for part in right]
    if shapes != wanted and sorted(shapes) == sorted(wanted):
        raise Mistake(f"The order is (dx, dA, dB); yours have the shapes {shapes}.")
    for name, shape, want in zip(("x", "A", "B"), shapes, wanted, strict=True):
        if shape == want:
            continue
        says = f"d{name} has shape {shape}, {name} has {want}"
        if shape == want[::-1]:
            raise Mistake(f"{says}: transposed. A gradient has the shape of its variable.")
        if name == "x":
            raise Mistake(f"{says}: give dx the leading dimensions of x back.")
        if len(shape) > 2:
            raise Mistake(f"{says}: all leading dimensions are examples, so sum over them.")
        raise Mistake(f"{says}. A gradient has the shape of its variable.")
    return tuple(part.detach() for part in result)

"""Checks of notebook 4: the scale and the layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_lab.derivations import lora
from lora_lab.exercises.checking import (
    Mistake,
    attempt,
    attempt_named,
    check,
    expect,
    expect_tensor,
    one_number,
)
from lora_lab.layers import LoRALinear, scale


@check
def check_kept_scale(function: Callable[[float, int, int, str], float]) -> str:
    """``function(alpha, rank, new_rank, rule)``: the alpha that keeps s when the rank changes.

    ``rule`` is "alpha/r" or "alpha/sqrt(r)".
    """
    for alpha, rank, new in ((6.0, 4, 32), (10.0, 16, 2)):
        linear, root = alpha * new / rank, alpha * math.sqrt(new / rank)
        for rule in ("alpha/r", "alpha/sqrt(r)"):
            right, of_other_rule = (linear, root) if rule == "alpha/r" else (root, linear)
            mistakes = {
                "That is alpha as it was: the rank changes, so the scale would change with it.": (
                    alpha
                ),
                "Upside down: when the rank grows, alpha must grow too.": alpha * alpha / right,
                f"That keeps the scale under the other rule; here it is s = {rule}.": of_other_rule,
                "That is the scale s itself; the alpha is asked for that gives it at the new "
                "rank.": scale(alpha, rank, rule),
                "That is the scale that the old alpha has at the new rank.": (
                    scale(alpha, new, rule)
                ),
                "alpha and r are divided, not subtracted: adding the same to both changes s.": (
                    alpha + new - rank
                ),
                "alpha = 2 r is a habit, not a law: it keeps s only if s was 2.": 2.0 * new,
                "alpha = r makes s = 1 (under alpha/r), whatever it was before.": float(new),
            }
            got = one_number(attempt(function, alpha, rank, new, rule))
            expect(got, right, mistakes, f"alpha {alpha:g}, rank {rank} to {new}, {rule}")
    return "Now the rank changes how much can be learned, and not how strongly it is applied."


# The layer. Whole numbers, so that float32 rounds nothing.


@dataclass(frozen=True)
class _Case:
    n_in: int
    n_out: int
    rank: int
    alpha: float
    bias: bool

    def __str__(self) -> str:
        kind = "" if self.bias else " without bias"
        return f"Linear({self.n_in}, {self.n_out}){kind}, rank {self.rank}, alpha {self.alpha:g}"


_LAYERS = (_Case(5, 4, 3, 7.5, bias=True), _Case(4, 6, 2, 9.0, bias=False))


@check
def check_lora_layer(kind: Callable[[nn.Linear, int, float], nn.Module]) -> str:
    """``kind(base, rank, alpha)``: a class whose objects do what ``LoRALinear`` does.

    They hold ``base`` (frozen), ``A`` (rank, in) and ``B`` (out, rank), and have ``merge()``.
    """
    if isinstance(kind, nn.Module):
        raise Mistake("Pass the class itself, check_lora_layer(MyLoRA), not an object of it.")
    for case in _LAYERS:
        layer, base, x = _built(kind, case)
        _check_parts(layer, case)
        _check_forward(layer, base, x, case)
        _check_gradients(layer, x, case)
        _check_merge(layer, x, case)
    return (
        "At every point it agrees with LoRALinear, which is this and a dropout mask, some guards, "
        "and a backward pass derived by hand: exercises 3 and 4."
    )


def _built(kind: Callable[..., Any], case: _Case) -> tuple[nn.Module, nn.Linear, Tensor]:
    """The learner's layer, a base of its own with the same numbers, and an input."""
    base, x = _base(case), _whole(2, 3, case.n_in, seed=1)
    given = dict(base=_base(case), rank=case.rank, alpha=case.alpha)
    layer = attempt_named(kind, **given)
    if not isinstance(layer, nn.Module):
        raise Mistake(
            f"MyLoRA(base, rank, alpha) must make an nn.Module, not {type(layer).__name__}."
        )
    # The output first: as long as forward is a stub, nothing else is worth a word.
    h = attempt_named(layer, "layer", x=x)
    if not isinstance(h, Tensor) or h.shape != (2, 3, case.n_out):
        size = tuple(h.shape) if isinstance(h, Tensor) else type(h).__name__
        raise Mistake(
            f"forward maps (..., in) to (..., out): (2, 3, {case.n_in}) to (2, 3, {case.n_out}), "
            f"yours gives {size} ({case})"
        )
    return layer, base, x


def _check_parts(layer: nn.Module, case: _Case) -> None:
    own = getattr(layer, "base", None)
    if not isinstance(own, nn.Linear):
        raise Mistake("Keep the layer that you are given as self.base: its W and bias are needed.")
    _matrix(layer, "A", (case.rank, case.n_in))
    _matrix(layer, "B", (case.n_out, case.rank))
    if own.weight.requires_grad:
        raise Mistake("The base is not frozen: base.weight still requires a gradient.")
    if own.bias is not None and own.bias.requires_grad:
        raise Mistake("W is frozen, but the base's bias still requires a gradient: freeze both.")
    learns = {name for name, p in layer.named_parameters() if p.requires_grad}
    for name in ("A", "B"):
        if name not in learns:
            raise Mistake(f"{name} requires no gradient, so it can never learn.")
    if learns != {"A", "B"}:
        raise Mistake(f"Only A and B learn; yours also trains {', '.join(sorted(learns))}.")
    A, B = layer.A.detach(), layer.B.detach()
    if not A.any() and not B.any():
        raise Mistake("A and B both start at zero: then both gradients are zero, for ever.")
    if B.any():
        hint = "You have it the other way round: the paper draws A and sets B to zero."
        both = "A and B both start random: B A is added to W before anything has been learned."
        raise Mistake(both if A.any() else hint)
    if case.rank > 1 and torch.equal(A, A[:1].expand_as(A)):
        raise Mistake(
            "All rows of A start equal. They then get equal gradients for ever, so the rank of "
            "the update stays 1: draw A at random."
        )


def _matrix(layer: nn.Module, name: str, shape: tuple[int, int]) -> None:
    value = getattr(layer, name, None)
    if isinstance(value, nn.Linear):
        raise Mistake(f"self.{name} is an nn.Linear. Keep the matrix itself: nn.Parameter{shape}.")
    if value is None:
        raise Mistake(f"self.{name} is missing: a matrix of shape {shape} that learns.")
    if not isinstance(value, nn.Parameter):
        raise Mistake(
            f"self.{name} is not an nn.Parameter, so layer.parameters() does not contain it and "
            "no optimiser will ever see it."
        )
    if tuple(value.shape) != shape:
        axes = "(rank, in)" if name == "A" else "(out, rank)"
        raise Mistake(
            f"self.{name} has shape {tuple(value.shape)}. In the paper {name} is {axes}, here "
            f"{shape}."
        )


def _check_forward(layer: nn.Module, base: nn.Linear, x: Tensor, case: _Case) -> None:
    reference = LoRALinear(_base(case), case.rank, case.alpha)
    with torch.no_grad():
        at_zero = attempt_named(layer, "layer", x=x)
        no_bias = x @ base.weight.T
        expect_tensor(
            at_zero,
            reference(x),
            {
                "The base's bias got lost.": no_bias,
                "The scale multiplies the base too: only B A x is scaled.": (
                    reference.scaling * base(x)
                ),
                "The base is missing: h = W x + b + s B A x.": torch.zeros_like(at_zero),
            },
            f"step zero, {case}",
        )
        _set(layer, case)
        _set(reference, case)
        W, A, B, bias = base.weight, reference.A, reference.B, base.bias

        def scaled(s: float) -> Tensor:
            return lora.forward(x, W, A, B, s, bias)

        r, alpha, s = case.rank, case.alpha, reference.scaling
        mistakes = {
            "Your scale is alpha, not alpha/r: a larger rank would silently mean larger steps.": (
                scaled(alpha)
            ),
            "The scale alpha/r is missing.": scaled(1.0),
            "Your scale is 1/r: alpha is missing.": scaled(1 / r),
            "Your scale is r/alpha: upside down.": scaled(r / alpha),
            "Your scale is alpha/sqrt(r). That is rsLoRA; the paper divides by r.": (
                scaled(alpha / math.sqrt(r))
            ),
            "B A x is subtracted.": scaled(-s),
            "The scale multiplies the base too: only B A x is scaled.": s * scaled(1.0),
            "A and B play no part in forward: whatever they learn changes nothing.": base(x),
            "The base's bias got lost.": lora.forward(x, W, A, B, s),
            "The base is missing: h = W x + b + s B A x.": scaled(s) - base(x),
        }
        expect_tensor(
            attempt_named(layer, "layer", x=x), reference(x), mistakes, f"A and B set, {case}"
        )
        if not torch.equal(layer.base.weight, base.weight):
            raise Mistake(
                "forward writes to base.weight: every forward pass adds the update once more. "
                "Read W there, and leave writing to merge()."
            )


def _check_gradients(layer: nn.Module, x: Tensor, case: _Case) -> None:
    A, B, s = layer.A.detach(), layer.B.detach(), case.alpha / case.rank
    W = _base(case).weight.detach()
    g = _whole(2, 3, case.n_out, seed=4)
    x = x.clone().requires_grad_()
    h = attempt_named(layer, "layer", x=x)
    if not h.requires_grad:
        raise Mistake("No gradient leaves forward: no_grad, detach() or .data cut it off.")

    def gradients() -> list[Tensor | None]:
        return list(torch.autograd.grad(h, (x, layer.A, layer.B), g, allow_unused=True))

    gradients.__name__ = "the backward pass of layer(x)"
    found = attempt(gradients)
    right = lora.backward(g, x.detach(), W, A, B, s)
    for name, own in zip(("A", "B"), found[1:], strict=True):
        if own is None:  # not in the graph
            raise Mistake(
                f"{name} gets no gradient, although forward uses it: detach() or .data cuts it off."
            )
        expect_tensor(own, getattr(right, name), {}, f"d{name}, {case}")
    dx = torch.zeros_like(right.x) if found[0] is None else found[0]
    from_base = g @ W
    mistakes = {
        "The base's share of dx is missing: no_grad around base(x) stops W from learning, but "
        "also cuts off every layer below. Freezing is a matter of requires_grad.": (
            right.x - from_base
        ),
        "The low-rank branch sends nothing down: x is detached there, so the layers below learn "
        "for another function.": from_base,
        "No gradient reaches x, so no layer below could learn.": torch.zeros_like(right.x),
    }
    expect_tensor(dx, right.x, mistakes, f"dx, {case}")


def _check_merge(layer: nn.Module, x: Tensor, case: _Case) -> None:
    if not callable(getattr(layer, "merge", None)):
        raise Mistake("All but merge() is right. It writes W + s B A into base.weight.")
    with torch.no_grad():
        reference = LoRALinear(_base(case), case.rank, case.alpha)
        _set(reference, case)
        W, BA, s = _base(case).weight, reference.B @ reference.A, reference.scaling
        before = reference(x)
        reference.merge()
        merged = reference.base.weight
    where = f"base.weight after merge(), {case}"
    _merge(layer)
    if layer.base.weight.requires_grad:
        raise Mistake(
            "After merge() base.weight requires a gradient. Sum inside torch.no_grad(), and copy "
            "into the weight that is there."
        )
    mistakes = {
        "All but merge() is right. It has not changed base.weight: write W + s B A there.": W,
        "merge() adds alpha B A, forward alpha/r B A.": W + case.alpha * BA,
        "merge() adds B A without the scale.": W + BA,
        "merge() subtracts the update: that is how one takes it out again.": W - s * BA,
        "merge() replaces W by the update; it belongs on top of it.": s * BA,
    }
    expect_tensor(layer.base.weight, merged, mistakes, where)
    with torch.no_grad():
        after = attempt_named(layer, "layer", x=x)
    twice = {
        "After merge() forward adds s B A x once more, although W contains it now.": (
            before + s * x @ BA.T
        ),
    }
    expect_tensor(after, before, twice, f"forward after merge(), {case}")
    _merge(layer)
    twice = {"Merging twice adds the update twice: remember that it is in.": W + 2 * s * BA}
    expect_tensor(layer.base.weight, merged, twice, f"base.weight after merging twice, {case}")


def _merge(layer: nn.Module) -> None:
    def merge() -> bool:
        layer.merge()
        return True  # merge() itself returns nothing, which is not an empty stub

    merge.__name__ = "layer.merge"
    attempt(merge)


def _base(case: _Case) -> nn.Linear:
    base = nn.Linear(case.n_in, case.n_out, bias=case.bias)
    with torch.no_grad():
        base.weight.copy_(_whole(case.n_out, case.n_in, seed=5))
        if case.bias:
            base.bias.copy_(_whole(case.n_out, seed=6))
    return base


def _set(layer: nn.Module, case: _Case) -> None:
    """Put the same A and B into any layer."""
    with torch.no_grad():
        layer.A.copy_(_whole(case.rank, case.n_in, seed=2))
        layer.B.copy_(_whole(case.n_out, case.rank, seed=3))


def _whole(*size: int, seed: int) -> Tensor:
    """Whole numbers from 1 to 3 with either sign: sums of products are exact."""
    generator = torch.Generator().manual_seed(seed)
    sign = 2 * torch.randint(0, 2, size, generator=generator) - 1
    return (sign * torch.randint(1, 4, size, generator=generator)).float()

"""Checks of notebook 1: losses on logits, their gradients, and a gradient checker."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lora_lab.derivations import losses
from lora_lab.exercises.checking import Mistake, attempt, check, expect, one_number

LARGEST_STEP, SMALLEST_STEP = 2e-3, 5e-8
NOT_MOVED = 1e-12  # what rounding may leave of an entry that was moved and moved back


@check
def check_binary_loss(function: Callable[[Tensor, Tensor], Any]) -> str:
    """``function(z, y)``: mean binary cross-entropy of logits (N,) and targets (N,), finite."""
    for logits, targets in (
        ([0.8, -1.5, 2.3, -0.4], [1.0, 0.0, 0.0, 1.0]),
        ([1.7, -0.6, 0.9], [0.3, 1.0, 0.0]),  # a soft target: three raters of ten said yes
    ):
        z, y = _float64(logits), _float64(targets)
        where = f"z = {logits}, y = {targets}"
        p, right = torch.sigmoid(z), losses.mean_binary_cross_entropy(z, y).item()
        positive, negative = y * torch.log(p), (1 - y) * torch.log(1 - p)
        twice = torch.sigmoid(p)
        mistakes = {
            "That is the sum over the batch; the empirical risk is the mean.": len(z) * right,
            "The sign is turned round: log p is negative, so the loss has a minus in front.": (
                -right
            ),
            "Logarithms to base 2 give bits. The loss here is in nats: natural logarithm.": (
                right / math.log(2)
            ),
            "The term (1 - y) log(1 - p) is missing: the examples of class 0 cost nothing.": (
                -positive.mean().item()
            ),
            "The term y log p is missing: the examples of class 1 cost nothing.": (
                -negative.mean().item()
            ),
            "y and 1 - y are swapped: this rewards the wrong class.": (
                losses.mean_binary_cross_entropy(z, 1 - y).item()
            ),
            "The sigmoid was taken twice. z is a logit: one sigmoid makes it a probability.": (
                -(y * twice.log() + (1 - y) * (1 - twice).log()).mean().item()
            ),
            "The term - z y is missing: whatever the target, every example costs the same.": (
                torch.nn.functional.softplus(z).mean().item()
            ),
            "In log(1 + exp(-|z|)) the minus is missing.": (
                (z.clamp(min=0) - z * y + torch.log1p(z.abs().exp())).mean().item()
            ),
            "That is the squared error of the probability, not the cross-entropy.": (
                ((p - y) ** 2).mean().item()
            ),
        }
        got = _values(attempt(function, z.clone(), y.clone()), (), "one number, the mean loss")
        if not np.isfinite(got):
            raise Mistake(
                "The logarithm met a number that is not positive. z is a logit, not a probability: "
                f"the sigmoid is missing ({where})"
            )
        expect(got, right, mistakes, where)
    z, y = _float64([800.0, -750.0, 30.0, -40.0]), _float64([0.0, 1.0, 1.0, 0.0])
    where, right = "z = [800, -750, 30, -40], y = [0, 1, 1, 0]", (800 + 750) / 4
    got = _values(attempt(function, z.clone(), y.clone()), (), "one number, the mean loss")
    if not np.isfinite(got):
        raise Mistake(
            "Right for small logits, but a confident mistake gives inf or nan: exp overflows, or "
            "sigmoid rounds to 0 or 1 and log meets a zero. Rewrite the loss so that exp only sees "
            f"-|z| ({where})"
        )
    if 0 < got < 0.9 * right:
        raise Mistake(
            "Right for small logits, but capped for large ones: the probability is clamped, so a "
            f"confident mistake looks cheap and its gradient is 0. It costs |z| nats ({where})"
        )
    expect(got, right, {}, where)
    return "For a confident mistake it is simply |z|: the loss grows no faster than the logit."


@check
def check_binary_gradient(function: Callable[[Tensor, Tensor], Any]) -> str:
    """``function(z, y)``: the gradient of the mean binary cross-entropy, (N,)."""
    for logits, targets in (
        ([0.8, -1.5, 2.3, -0.4], [1.0, 0.0, 0.0, 1.0]),
        ([1.7, -0.6, 0.9], [0.3, 1.0, 0.0]),
    ):
        z, y = _float64(logits), _float64(targets)
        n, where = len(z), f"z = {logits}, y = {targets}"
        right = losses.mean_binary_cross_entropy_grad(z, y)
        p = torch.sigmoid(z)
        slope = p * (1 - p)
        mistakes = {
            "The division by N is missing: the loss is a mean.": n * right,
            "That is the article's gradient: dL/dp, without the sigmoid's derivative p (1 - p).": (
                right / slope
            ),
            "That is dL/dp, without the sigmoid's derivative, and without the division by N.": (
                n * right / slope
            ),
            "The sign is turned round: with y - p, descent would climb.": -right,
            "The sign is turned round, and the division by N is missing.": -n * right,
            "The sigmoid is missing: that subtracts y from the logit.": (z - y) / n,
            "One p (1 - p) too many. It cancels against the denominator of dL/dp; with it, this "
            "is half the gradient of the squared error.": right * slope,
            "That is the gradient of the squared error, 2 (p - y) p (1 - p) / N.": (
                2 * right * slope
            ),
            "That is the derivative of the sigmoid alone; where is the loss?": slope / n,
            "Only the term of class 1: (1 - y) log(1 - p) has a derivative too.": y * (p - 1) / n,
            "Only the term of class 0: y log p has a derivative too.": (1 - y) * p / n,
            "The factor 2 belongs to the squared error.": 2 * right,
        }
        result = attempt(function, z.clone(), y.clone())
        got = _values(result, (n,), f"a gradient per logit, {n} numbers")
        expect(got, right.numpy(), _arrays(mistakes), where)
    z, y = _float64([800.0, -750.0]), _float64([0.0, 1.0])
    got = _values(attempt(function, z.clone(), y.clone()), (2,), "a gradient per logit")
    where = "z = [800, -750], y = [0, 1]"
    if not np.isfinite(got).all():
        raise Mistake(
            "Right for small logits, but a confident mistake gives inf or nan: exp overflows (take "
            "torch.sigmoid), or something is divided by p (1 - p), which rounds to 0: cancel it on "
            "paper, not in the computer "
            f"({where})"
        )
    expect(got, np.array([0.5, -0.5]), {}, where)
    return "However wrong an example is, it pulls with at most 1/N."


@check
def check_softmax_gradient(function: Callable[[Tensor, Tensor], Any]) -> str:
    """``function(Z, y)``: the gradient of the mean softmax cross-entropy, (N, C)."""
    for logits, classes in (
        ([[0.5, -1.0, 2.0, 0.1], [1.5, 0.3, -0.7, 0.9], [-0.2, 0.8, 0.4, -1.3]], [2, 1, 3]),
        ([[0.7, -0.4, 1.1], [-1.2, 0.6, 0.2]], [0, 2]),
    ):
        z, y = _float64(logits), torch.tensor(classes)
        (n, c), where = z.shape, f"{len(z)} rows of {len(z[0])} logits, y = {classes}"
        right = losses.mean_softmax_cross_entropy_grad(z, y)
        p = torch.softmax(z, dim=1)
        hot = torch.nn.functional.one_hot(y, c).double()
        down = torch.softmax(z, dim=0)
        mistakes = {
            "The division by N is missing: the loss is a mean over examples.": n * right,
            "That divides by N C. The mean is over examples; the classes of one are summed.": (
                right / c
            ),
            "That divides by C, the number of classes; divide by N, the number of examples.": (
                n * right / c
            ),
            "The sign is turned round: with [c = y] - p, descent would climb.": -right,
            "The softmax runs over the examples (dim=0). Each row is one example: dim=-1.": (
                (down - hot) / n
            ),
            "That is p / N alone: subtract 1 where the class is the right one.": p / n,
            "Only the right class has an entry. The others are pushed down, each by its p.": (
                hot * right
            ),
            "The entry of the right class is missing.": (1 - hot) * right,
            "P[:, y] -= 1 subtracts in every row, at everybody's class. Take each row at its own: "
            "P[torch.arange(N), y], or one_hot.": (p - hot.amax(dim=0)) / n,
            "That subtracts 1 from the logits; take the softmax first.": (z - hot) / n,
            "A sigmoid for each class on its own: softmax makes a row sum to 1.": (
                (torch.sigmoid(z) - hot) / n
            ),
            "One p (1 - p) too many: it is already inside p - [c = y].": right * p * (1 - p),
        }
        result = attempt(function, z.clone(), y.clone())
        got = _values(result, (n, c), f"a gradient per logit, shape ({n}, {c})")
        expect(got, right.numpy(), _arrays(mistakes), where)
    z, y = _float64([[1000.0, 990.0], [-1000.0, 0.0]]), torch.tensor([0, 0])
    got = _values(attempt(function, z.clone(), y.clone()), (2, 2), "a gradient per logit, (2, 2)")
    where = "z = [[1000, 990], [-1000, 0]], y = [0, 0]"
    if not np.isfinite(got).all():
        raise Mistake(
            "Right for small logits, but exp(1000) overflows: inf / inf is nan. Subtract each "
            f"row's largest logit first, or use torch.softmax ({where})"
        )
    expect(got, losses.mean_softmax_cross_entropy_grad(z, y).numpy(), {}, where)
    return "Each row sums to 0: what one class gains in probability, the others lose."


@check
def check_gradient_checker(function: Callable[[Callable[[Tensor], float], Tensor], Any]) -> str:
    """``function(f, z)``: the gradient of f at z (N,) by central differences, (N,).

    ``f`` takes a float64 tensor of z's shape and returns a number. The points at which it is
    asked are watched: they tell a one-sided difference and an unwise step from a sensible one.
    """
    for logits, targets in (
        ([0.8, -1.5, 2.3, -0.4], [1.0, 0.0, 0.0, 1.0]),
        ([1.7, -0.6, 0.9], [0.3, 1.0, 0.0]),
    ):
        z, y = _float64(logits), _float64(targets)
        n, where = len(z), f"mean binary cross-entropy at z = {logits}, y = {targets}"
        asked: list[Tensor] = []
        wanted = f"a gradient per entry, {n} numbers"

        def f(point: Tensor, y: Tensor = y, asked: list[Tensor] = asked) -> float:
            point = torch.as_tensor(point, dtype=torch.float64).detach().clone()
            asked.append(point)
            return losses.mean_binary_cross_entropy(point, y).item()

        given = z.clone()
        got = _values(attempt(function, f, given), (n,), wanted)
        right = losses.mean_binary_cross_entropy_grad(z, y).numpy()
        if not asked:
            raise Mistake("f was never asked. Central differences need nothing but its values.")
        if (given - z).abs().max() > NOT_MOVED:
            raise Mistake(
                "z is not what it was before: you moved it in place. Move a copy (z.clone()), or "
                f"move each entry back ({where})"
            )
        _check_steps(asked, z, where)
        total = right.sum()
        mistakes = {
            "Twice too large: the two points are 2h apart, so divide by 2h.": 2 * right,
            "Half of it: two points that are 2h apart need a division by 2h.": right / 2,
            "The sign is turned round: the value to the right minus the value to the left.": -right,
            "The gradient of f is asked for, and f is a mean already: do not divide by N.": (
                right / n
            ),
            "All entries are alike: that is the slope along (1, 1, ...). Move one entry at a "
            "time.": np.full(n, total),
        }
        expect(got, right, mistakes, where, tolerance=1e-6)
    return "Two calls of f for every number: fine for a check, hopeless for training."


def _check_steps(asked: list[Tensor], z: Tensor, where: str) -> None:
    """Judge the points at which the function was asked: how many entries moved, how far, where."""
    moves = [point - z for point in asked if point.shape == z.shape]
    moved = [move for move in moves if move.abs().max() > NOT_MOVED]
    if not moved:
        raise Mistake(
            "f was only asked at z itself, or at points that round to it: h is 0 or far too "
            f"small, or both moves went to one tensor, take z.clone() for each ({where})"
        )
    longest = max(move.abs().max().item() for move in moved)
    shortest = min(move.abs().max().item() for move in moved)
    if longest > LARGEST_STEP:
        raise Mistake(
            f"The step {longest:.1g} is too large: the error grows with h² and is no longer small. "
            f"Section 8 says where the valley is ({where})"
        )
    if shortest < SMALLEST_STEP:
        raise Mistake(
            f"The step {shortest:.1g} is too small: f(z + h) - f(z - h) loses its digits to "
            f"rounding, the error grows with 1/h. Section 8 says where the valley is ({where})"
        )
    entries = [int((move.abs() > NOT_MOVED).sum()) for move in moved]
    if set(entries) == {1}:
        signs = {math.copysign(1, move.sum().item()) for move in moved}
        if len(signs) == 1:
            raise Mistake(
                "That is a one-sided difference: f is asked on one side of z only, and the error "
                f"is of order h, not h². Use f(z + h) and f(z - h). If you did: move two copies, "
                f"z.clone(), not twice the same tensor ({where})"
            )
    elif min(entries) < len(z):
        raise Mistake(
            "Several entries moved at once: one that was moved was not moved back before the "
            f"next. Start from a fresh copy for each entry ({where})"
        )


@check
def check_best_step(function: Callable[[float, float, float], float]) -> str:
    """``function(epsilon, value, third)``: the step h that makes the estimated error least.

    The error is h² |third| / 6 + epsilon |value| / h, with the function's value and its third
    derivative.
    """
    double, single = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
    for epsilon, value, third in (
        (double, 0.24, 0.096),
        (single, 1.7, -0.053),
        (double, -35.0, 0.4),
    ):
        where = f"epsilon {epsilon:.2g}, value {value}, third derivative {third}"
        rounding, bend = epsilon * abs(value), abs(third)
        right = (3 * rounding / bend) ** (1 / 3)
        mistakes = {
            "The square root belongs to the one-sided difference, whose error grows with h. Here "
            "the error grows with h²: a cube root.": math.sqrt(3 * rounding / bend),
            "sqrt(epsilon) is the rule for one-sided differences.": math.sqrt(epsilon),
            "epsilon^(1/3) is the rule of thumb. Here value and third derivative are known.": (
                epsilon ** (1 / 3)
            ),
            "The two parts are set equal there: that is not where their sum is least. Set the "
            "derivative of the sum to 0.": (6 * rounding / bend) ** (1 / 3),
            "The factor 3 is missing: the derivative of h²/6 is h/3.": (
                (rounding / bend) ** (1 / 3)
            ),
            "Upside down: where the function bends more, the step must be smaller.": (
                (3 * epsilon * bend / abs(value)) ** (1 / 3)
            ),
            "The value of the function is missing: its digits are what is rounded.": (
                (3 * epsilon / bend) ** (1 / 3)
            ),
            "The third derivative is missing: it says how soon the curve bends away.": (
                (3 * rounding) ** (1 / 3)
            ),
            "That is h³: take the cube root.": 3 * rounding / bend,
        }
        # Steps are tiny: compare logarithms, or every answer near 0 would pass.
        got = attempt(function, epsilon, value, third)
        if isinstance(got, complex):
            raise Mistake(
                "The cube root of a negative number came out complex: take the absolute values of "
                f"the function and of its third derivative ({where})"
            )
        got = one_number(got)
        if not got > 0:
            raise Mistake(
                "A step is a positive number: take the absolute values of the function and of its "
                f"third derivative ({where})"
            )
        logs = {message: math.log(step) for message, step in mistakes.items()}
        if not math.isclose(got, right, rel_tol=1e-4):
            for message, log in logs.items():
                if math.isclose(math.log(got), log, abs_tol=1e-4):
                    raise Mistake(f"{message} ({where})")
            raise Mistake(f"{where}: the step should be {right:.3g}, yours is {got:.3g}.")
    return "About 1e-5 in float64, about 1e-2 in float32: not as small as possible at all."


def _float64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _arrays(mistakes: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {message: value.numpy() for message, value in mistakes.items()}


def _values(got: Any, shape: tuple[int, ...], wanted: str) -> np.ndarray:
    """The learner's tensor, array, list or number as float64, if it has this shape."""
    try:
        array = torch.as_tensor(got).detach().double().numpy()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise Mistake(f"Return {wanted}; got {type(got).__name__}.") from None
    if array.shape != shape:
        raise Mistake(f"Return {wanted}; got shape {tuple(array.shape)}.")
    return array

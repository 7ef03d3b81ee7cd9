"""Checks of notebook 2: counting factors, the best error, effective rank, gradients of factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lora_lab.derivations import low_rank
from lora_lab.exercises.checking import (
    Mistake,
    attempt,
    check,
    expect,
    numbers,
    one_number,
    same,
)


@check
def check_break_even_rank(function: Callable[[int, int], int]) -> str:
    """``function(n_out, n_in)``: the largest rank at which B and A together are smaller than W."""
    for n_out, n_in in ((384, 1536), (7, 5), (384, 384)):
        whole, sides = n_out * n_in, n_out + n_in
        right = (whole - 1) // sides
        mistakes = {
            "At this rank B and A hold exactly as many numbers as W. They must hold fewer.": (
                whole // sides
            ),
            "A rank is a whole number: round down.": whole / sides,
            "A rank is a whole number: round down, with // for /.": (whole - 1) / sides,
            "Half of the smaller side is about right for a square matrix only.": (
                min(n_out, n_in) // 2
            ),
            "Rounded up or to the nearest, B and A already hold more than W: round down.": (
                right + 1
            ),
            "B is missing: besides A (rank x in) there is B (out x rank).": n_out - 1,
            "A is missing: besides B (out x rank) there is A (rank x in).": n_in - 1,
            "That is the largest rank a matrix of this shape can have. B and A are then larger "
            "than W itself.": min(n_out, n_in),
            "Both factors are counted with in; B is out x rank.": (whole - 1) // (2 * n_in),
            "Both factors are counted with out; A is rank x in.": (whole - 1) // (2 * n_out),
            "That is how many numbers B and A hold; return the rank.": right * sides,
            "That is how many numbers W holds; return a rank.": whole,
        }
        got = one_number(attempt(function, n_out, n_in))
        expect(got, right, mistakes, f"W is {n_out} x {n_in}")
    return "For a square matrix it is just below half its size: to save, the rank must be small."


@check
def check_best_error(function: Callable[[Sequence[float], int], tuple[float, float]]) -> str:
    """``function(singular_values, rank) -> (error, energy)`` of the best approximation.

    ``error`` is the Frobenius error divided by the matrix's norm, ``energy`` the share kept.
    """
    for values, rank in (
        ([5.0, 3.0, 2.0, 1.0, 0.5], 2),
        ([2.5, 2.0, 1.2, 0.7, 0.4, 0.3], 4),
        ([4.0, 1.0, 0.5], 0),
        ([4.0, 1.0, 0.5], 3),
    ):
        where = f"singular values {values}, rank {rank}"
        sigma = np.array(values)
        squares, total = sigma**2, float((sigma**2).sum())
        error, energy = _relative_error(values, rank), float(squares[:rank].sum()) / total
        fewer, more = max(rank - 1, 0), min(rank + 1, len(values))
        result = attempt(function, list(values), rank)
        got = numbers(result, 2, "(error, energy)")
        if same(got, (energy, error)) and not same(error, energy):
            raise Mistake(f"The two are swapped: return (error, energy) ({where})")
        next_value = values[rank] if rank < len(values) else 0.0
        mistakes = {
            "That is the error itself; divide it by the norm of the matrix, "
            "sqrt(sum of all squared singular values).": error * math.sqrt(total),
            "The root is missing: that is the squared error as a share.": error**2,
            "That is the part that was kept; the error is made by the values dropped.": (
                math.sqrt(energy)
            ),
            "That is the error in the spectral norm, the first value dropped over the largest. "
            "The Frobenius norm adds up the squares of all that were dropped.": (
                next_value / values[0]
            ),
            "That is the first value dropped. The Frobenius error adds up the squares of all of "
            "them.": next_value,
            "Square the singular values before adding them up.": (sigma[rank:].sum() / sigma.sum()),
            "One value too few is kept: rank k keeps the first k.": _relative_error(values, fewer),
            "One value too many is kept: rank k keeps the first k.": _relative_error(values, more),
        }
        expect(got[0], error, mistakes, f"error, {where}")
        mistakes = {
            "That is the energy that is lost.": 1 - energy,
            "Not the error, its square is what is lost: energy = 1 - error².": 1 - error,
            "Energy is made of squared singular values.": sigma[:rank].sum() / sigma.sum(),
            "That is a root of the energy: leave the squares as they are.": math.sqrt(energy),
            "One value too few is kept: rank k keeps the first k.": squares[:fewer].sum() / total,
            "One value too many is kept: rank k keeps the first k.": squares[:more].sum() / total,
            "Divide by the energy of the whole matrix.": squares[:rank].sum(),
            "That is a percentage; return a share between 0 and 1.": 100 * energy,
        }
        expect(got[1], energy, mistakes, f"energy, {where}")
    return "error² + energy = 1: Pythagoras, for what was kept and what was dropped."


def _relative_error(values: Sequence[float], rank: int) -> float:
    sigma = torch.tensor(values, dtype=torch.float64)
    return float(low_rank.eckart_young_error(sigma, rank) / sigma.norm())


@check
def check_effective_rank(function: Callable[[Sequence[float]], float]) -> str:
    """``function(singular_values)``: exp of the entropy of the normalised singular values."""
    for values in ([6.0, 3.0, 1.5, 0.5, 0.0], [9.0, 1.0, 1.0, 1.0, 0.25], [2.0, 2.0, 2.0, 0.0]):
        where = f"singular values {values}"
        sigma = np.array(values)
        right = float(low_rank.effective_rank(torch.tensor(values, dtype=torch.float64)))
        entropy = math.log(right)
        mistakes = {
            "That is the entropy. Its exponential is a number of directions.": entropy,
            "That normalises the squares. Here p = sigma / sum of sigma, without squares.": (
                math.exp(_entropy(sigma**2))
            ),
            "The entropy is in nats (natural logarithm), so the base of the power is e, not 2.": (
                2**entropy
            ),
            "The logarithm is to base 2, the power to base e: take the same base for both.": (
                math.exp(entropy / math.log(2))
            ),
            "The sign is lost: the entropy is minus the sum of p log p.": math.exp(-entropy),
            "Normalise first: the p must sum to 1.": math.exp(-_sum_x_log_x(sigma)),
            "Divide by the sum of the singular values, not by the norm: the p must sum to 1.": (
                math.exp(-_sum_x_log_x(sigma / np.linalg.norm(sigma)))
            ),
            "That counts the singular values that are not zero: the rank, not how evenly they "
            "are used.": int((sigma > 0).sum()),
            "That is the number of singular values.": len(values),
            "That is the stable rank, the sum of squares over the largest square: another "
            "measure.": float((sigma**2).sum() / sigma[0] ** 2),
            "That is the participation ratio, (sum)² / (sum of squares): another measure.": float(
                sigma.sum() ** 2 / (sigma**2).sum()
            ),
        }
        got = one_number(attempt(function, list(values)))
        if math.isnan(got):
            raise Mistake(f"0 · log 0 gave NaN. A direction that is not used adds 0 ({where})")
        expect(got, right, mistakes, where)
    return "Three equal values count as 3, whatever zeros follow; twice the matrix, same rank."


def _sum_x_log_x(values: np.ndarray) -> float:
    used = values[values > 0]
    return float((used * np.log(used)).sum())


def _entropy(weights: np.ndarray) -> float:
    return -_sum_x_log_x(weights / weights.sum())


@check
def check_factor_gradients(function: Callable[..., tuple[Tensor, Tensor]]) -> str:
    """``function(T, A, B, s) -> (dA, dB)`` of L = 1/2 ||T - s B A||_F^2, on torch tensors."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    T, A, B = normal(4, 3), normal(2, 3), normal(4, 2)
    for name, B_now, s in (("random B", B, 2.5), ("B = 0, as at LoRA's start", 0 * B, 0.5)):
        where = f"T (4, 3), A (2, 3), {name}, s = {s}"
        result = attempt(function, T.clone(), A.clone(), B_now.clone(), s)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Mistake("Return two matrices: dA, dB.")
        shapes = tuple(tuple(getattr(part, "shape", ())) for part in result)
        if shapes == (tuple(B.shape), tuple(A.shape)):
            raise Mistake(f"dA and dB are swapped: return dA first ({where})")
        got = [_gradient(part, *of) for part, of in zip(result, (("A", A), ("B", B)), strict=True)]
        right = _factor_gradients(T, A, B_now, s, s)
        without_product = (-s * B_now.T @ T, -s * T @ A.T)
        for i, variable in enumerate(("dA", "dB")):
            gradient = right[i].numpy()
            mistakes = {
                "The chain rule's factor s is missing: the residual is right, but s multiplies "
                "B A, so it multiplies its gradient too.": _factor_gradients(T, A, B_now, s, 1)[i],
                "s is missing in the residual s B A - T.": _factor_gradients(T, A, B_now, 1, s)[i],
                "s is missing everywhere.": _factor_gradients(T, A, B_now, 1, 1)[i],
                "s appears twice outside the residual; once is right.": s * right[i],
                "Twice too large: the 1/2 in the loss cancels the 2 of the square.": 2 * right[i],
                "The sign is wrong: the residual is s B A - T, and this climbs the loss.": (
                    -right[i]
                ),
                "That is the gradient of the mean over all entries; the loss is their sum.": (
                    right[i] / T.numel()
                ),
                "s B A is missing in the residual: that is right only while B is 0.": (
                    without_product[i]
                ),
            }
            named = {message: value.numpy() for message, value in mistakes.items()}
            expect(got[i], gradient, named, f"{variable}, {where}")
    return "At B = 0 the gradient of A is 0: LoRA's first step moves B alone."


def _factor_gradients(
    T: Tensor, A: Tensor, B: Tensor, inner: float, outer: float
) -> tuple[Tensor, Tensor]:
    """(dA, dB) with s given twice: in the residual, and as the factor of the chain rule."""
    residual = inner * B @ A - T
    return outer * B.T @ residual, outer * residual @ A.T


def _gradient(value: Any, name: str, variable: Tensor) -> np.ndarray:
    """The learner's gradient as an array of the variable's shape; a verdict otherwise."""
    shape = tuple(variable.shape)
    try:
        tensor = torch.as_tensor(value, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"d{name} must be a matrix of shape {shape}.") from None
    if tuple(tensor.shape) == shape[::-1]:
        raise Mistake(f"d{name} is transposed: a gradient has its variable's shape, {shape}.")
    if tuple(tensor.shape) != shape:
        raise Mistake(
            f"d{name} has shape {tuple(tensor.shape)}; a gradient has its variable's, {shape}."
        )
    return tensor.numpy()

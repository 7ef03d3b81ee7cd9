"""Checks of notebook 3: counts and gradients of the two ways to factor, and where to start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lora_lab.derivations import lora, two_sided
from lora_lab.exercises.checking import Mistake, attempt, check, expect, numbers


@check
def check_counts(function: Callable[[int, int, int], tuple[int, int, int, int]]) -> str:
    """``function(out, in_, rank)``: numbers that learn in one adapted layer W (out, in).

    Returns four: LoRA, dense U and V, low-rank U = I + P Q and V = I + R S, diagonal.
    """
    for out, in_, rank in ((50, 30, 4), (768, 3072, 8)):
        where = f"out {out}, in {in_}, rank {rank}"
        right = {
            "LoRA": rank * (out + in_),
            "dense": out * out + in_ * in_,
            "low-rank": 2 * rank * (out + in_),
            "diagonal": out + in_,
        }
        frozen = "W is counted too, but it is frozen."
        mistakes = {
            "LoRA": {
                "B is missing: A (rank x in) and B (out x rank) both learn.": rank * in_,
                "A is missing: A (rank x in) and B (out x rank) both learn.": rank * out,
                frozen: rank * (out + in_) + out * in_,
                "in and out are multiplied: A and B stand side by side, so add them.": (
                    rank * out * in_
                ),
                "That is W itself. A and B have a side of length rank.": out * in_,
                "That takes both sides to be as long as the input.": 2 * rank * in_,
                "That takes both sides to be as long as the output.": 2 * rank * out,
                "That is the two-sided count: LoRA has two thin matrices, not four.": (
                    2 * rank * (out + in_)
                ),
            },
            "dense": {
                "U stands left of W, so it is out x out; V stands right of it, so it is in x in.": (
                    2 * out * in_
                ),
                "That squares the sum; U and V are two matrices of their own.": (out + in_) ** 2,
                "V is missing.": out * out,
                "U is missing.": in_ * in_,
                frozen: out * out + in_ * in_ + out * in_,
                "Both were counted as out x out.": 2 * out * out,
                "Both were counted as in x in.": 2 * in_ * in_,
                "That is W, which does not learn.": out * in_,
            },
            "low-rank": {
                "Half of it: P and Q make up U, and V has R and S besides.": rank * (out + in_),
                "V is missing: R (in x rank) and S (rank x in).": 2 * rank * out,
                "U is missing: P (out x rank) and Q (rank x out).": 2 * rank * in_,
                "U and V were both counted as out x out.": 4 * rank * out,
                "U and V were both counted as in x in.": 4 * rank * in_,
                frozen: 2 * rank * (out + in_) + out * in_,
                "The identities were counted; they are constants, which nobody learns.": (
                    2 * rank * (out + in_) + out * out + in_ * in_
                ),
                "P Q has out x out entries and R S in x in, but only the factors are kept.": (
                    out * out + in_ * in_
                ),
            },
            "diagonal": {
                "A diagonal matrix of size n holds n numbers that learn, not n².": (
                    out * out + in_ * in_
                ),
                "v is missing, the diagonal on the input's side.": out,
                "u is missing, the diagonal on the output's side.": in_,
                "That is W: the two diagonals are added up, not multiplied.": out * in_,
                frozen: out + in_ + out * in_,
                "The rank plays no part here.": rank * (out + in_),
            },
        }
        result = attempt(function, out, in_, rank)
        got = numbers(result, 4, "(LoRA, dense, low-rank, diagonal)")
        for (form, count), answer in zip(right.items(), got, strict=True):
            expect(answer, count, mistakes[form], f"{form}, {where}")
    return "A diagonal costs as much as LoRA of rank 1; two-sided low-rank as LoRA of rank 2r."


@check
def check_gradient_of_V(
    function: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
) -> str:
    """``function(g, x, W, U, V)``: dL/dV of h = U W V x, for rows x (N, in) and g (N, out)."""
    for examples, out, in_, seed in ((4, 3, 5, 0), (3, 6, 4, 1)):
        normal = _random(seed)
        g, x, W = normal(examples, out), normal(examples, in_), normal(out, in_)
        U, V = normal(out, out), normal(in_, in_)
        right = two_sided.dense_backward(g, x, W, U, V).V
        da = g @ U @ W
        mistakes = {
            "U is missing: V is seen through U and W, so both go to g's side.": (g @ W).T @ x,
            "W is missing: V is seen through U and W, so both go to g's side.": (g @ U).T @ x,
            "That is gᵀ x, the gradient of a matrix with nothing on its left. U and W stand left "
            "of V.": g.T @ x,
            "That is dL/dU. V has U and W on its left, and x alone on its right.": (
                two_sided.dense_backward(g, x, W, U, V).U
            ),
            "That is transposed: g's side gives the rows, x the columns.": right.T,
            "V's own input is x, not V x.": da.T @ (x @ V.T),
            "V stands on g's side too; dL/dV holds what is left and right of V, never V.": (
                (da @ V).T @ x
            ),
            "U is transposed the wrong way: carrying U W to g's side takes (U W)ᵀ; for rows, that "
            "is g @ U @ W.": (g @ U.T @ W).T @ x,
            "That is the mean over the examples; their gradients add up.": right / examples,
            "Only the first example is used; the gradients of all rows add up.": (da[:1].T @ x[:1]),
            "That is the article's rule for U: no gradient at all.": torch.zeros_like(right),
            "The sign is turned: the minus belongs to the step, not to the gradient.": -right,
        }
        answer = attempt(function, *(t.clone() for t in (g, x, W, U, V)))
        where = f"{examples} examples, out {out}, in {in_}"
        _compare("dL/dV", answer, right, mistakes, where)
    return "All that stands left of V goes to g's side, transposed; all to its right stays with x."


@check
def check_gradient_of_u(
    function: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
) -> str:
    """``function(g, x, W, u, v)``: dL/du of h = diag(u) W diag(v) x, rows as above."""
    for examples, out, in_, seed in ((4, 3, 5, 2), (3, 6, 4, 3)):
        normal = _random(seed)
        g, x, W = normal(examples, out), normal(examples, in_), normal(out, in_)
        u, v = normal(out), normal(in_)
        gradients = two_sided.diagonal_backward(g, x, W, u, v)
        right = gradients.u
        each = g * ((v * x) @ W.T)  # (N, out)
        whole = g.T @ ((v * x) @ W.T)  # (out, out)
        mistakes = {
            "That is dL/dU of a full matrix U; u is only its diagonal.": whole,
            "That is a diagonal matrix; u, and so its gradient, is a vector of length out.": (
                torch.diag(right)
            ),
            "That is one row per example; their gradients add up.": each,
            "That is the mean over the examples; their gradients add up.": right / examples,
            "Only the first example is used; the gradients of all rows add up.": each[0],
            "v is missing: what u scales is W (v * x).": (g * (x @ W.T)).sum(dim=0),
            "u is in it: the output is linear in u, so its own gradient holds no u.": right * u,
            "That adds up all entries, to a single number; each entry of u has its own.": (
                right.sum()
            ),
            "That is dL/dv.": gradients.v,
            "That is the sum of g, the gradient of a bias: what u scales is missing.": (
                g.sum(dim=0)
            ),
            "The sign is turned: the minus belongs to the step, not to the gradient.": -right,
        }
        answer = attempt(function, *(t.clone() for t in (g, x, W, u, v)))
        where = f"{examples} examples, out {out}, in {in_}"
        _compare("dL/du", answer, right, mistakes, where)
    return "It is the diagonal of dL/dU, and never needs the whole matrix."


@check
def check_lora_gradients(
    function: Callable[[Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]],
) -> str:
    """``function(g, x, A, B, alpha) -> (dA, dB)`` of h = W x + (alpha / rank) B A x."""
    for examples, out, in_, rank, alpha, seed in ((4, 3, 5, 2, 7.0, 4), (5, 6, 4, 3, 2.0, 5)):
        normal = _random(seed)
        g, x, W = normal(examples, out), normal(examples, in_), normal(out, in_)
        A, B = normal(rank, in_), normal(out, rank)
        where = f"{examples} examples, out {out}, in {in_}, rank {rank}, alpha {alpha:g}"
        result = attempt(function, *(t.clone() for t in (g, x, A, B)), alpha)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Mistake("Return two gradients: dA, dB.")
        got_A, got_B = (_tensor(f"d{n}", t) for n, t in zip("AB", result, strict=True))
        if (got_A.shape, got_B.shape) == (B.shape, A.shape):
            raise Mistake(f"The two are swapped: return (dA, dB), in this order ({where})")
        s = alpha / rank
        found = lora.backward(g, x, W, A, B, s)
        first = lora.backward(g[:1], x[:1], W, A, B, s)
        for name, got, right, one, seen in (
            ("dA", got_A, found.A, first.A, "s B stands left of A, so it goes to g's side"),
            ("dB", got_B, found.B, first.B, "B's own input is A x, not x"),
        ):
            mistakes = {
                f"The scaling s = alpha / rank is missing in {name}.": right / s,
                f"{name} is scaled by alpha, not by s = alpha / rank: the rank would change the "
                "size of the step.": right / s * alpha,
                f"{name} is scaled by alpha / sqrt(rank). That is rsLoRA's scaling; here s is "
                "alpha / rank.": right / s * alpha / math.sqrt(rank),
                f"{name} is scaled by alpha / in. A is (rank, in), so the rank is A.shape[0].": (
                    right / s * alpha / in_
                ),
                f"{name} is scaled by alpha / out. B is (out, rank), so the rank is B.shape[1].": (
                    right / s * alpha / out
                ),
                f"The scaling stands in {name} twice.": right * s,
                f"{name} is divided by the rank only; alpha is missing.": right / alpha,
                f"{name} is transposed.": right.T,
                f"{name} is the mean over the examples; their gradients add up.": right / examples,
                f"{name} uses the first example only; the gradients of all rows add up.": one,
                f"{name} is the gradient of a whole matrix (out x in): {seen}.": s * g.T @ x,
                f"{name} is gᵀ x: {seen}, and s is missing.": g.T @ x,
                f"{name} has the wrong sign: the minus belongs to the step.": -right,
                f"{name} is zero; that is so only where the other factor is.": (
                    torch.zeros_like(right)
                ),
            }
            _compare(name, got, right, mistakes, where)
    return "W is not even an argument: what is frozen plays no part in the gradients of A and B."


@check
def check_start(function: Callable[[int, int, int], tuple[Tensor, Tensor, Tensor, Tensor]]) -> str:
    """``function(out, in_, rank) -> (P, Q, R, S)``: keeps W at step zero, and learns after it."""
    for out, in_, rank in ((6, 9, 3), (7, 5, 2)):
        where = f"out {out}, in {in_}, rank {rank}"
        result = attempt(function, out, in_, rank)
        if not isinstance(result, tuple | list) or len(result) != 4:
            raise Mistake("Return four matrices: P, Q, R, S.")
        shapes = {"P": (out, rank), "Q": (rank, out), "R": (in_, rank), "S": (rank, in_)}
        factors = [_tensor(name, t) for name, t in zip(shapes, result, strict=True)]
        for (name, shape), factor in zip(shapes.items(), factors, strict=True):
            if tuple(factor.shape) == shape[::-1]:
                raise Mistake(f"{name} is transposed: it should be {_by(shape)} ({where})")
            if tuple(factor.shape) != shape:
                raise Mistake(
                    f"{name} should be {_by(shape)}, yours is {_by(tuple(factor.shape))}. U acts "
                    f"on the output, V on the input ({where})"
                )
            if not factor.isfinite().all():
                raise Mistake(f"{name} holds numbers that are not finite ({where})")
        if not any(factor.any() for factor in factors):
            raise Mistake(
                "All four are zero. W is kept, but every gradient is zero as well (each factor's "
                f"is a product with the other), so nothing ever learns ({where})"
            )
        normal = _random(6)
        g, x, W = normal(4, out), normal(4, in_), normal(out, in_)
        gradients = two_sided.low_rank_backward(g, x, W, *factors)._asdict()
        for side, (left, right) in {"U": ("P", "Q"), "V": ("R", "S")}.items():
            L, R = (factors[list(shapes).index(name)] for name in (left, right))
            if (L @ R).abs().max() > 1e-12:
                raise Mistake(
                    f"{left} {right} is not zero, so {side} is not the identity and the "
                    f"pre-trained function is changed before the first step, be it ever so "
                    f"little ({where})"
                )
            if not (gradients[left].any() or gradients[right].any()):
                raise Mistake(
                    f"{left} and {right} are both zero: so are their gradients, and {side} "
                    f"never learns ({where})"
                )
            widest = max(int(torch.linalg.matrix_rank(factor)) for factor in (L, R))
            if widest < min(rank, *L.shape, *R.shape):
                raise Mistake(
                    f"The directions in {left} {right} start alike, so they get equal gradients "
                    f"and stay alike: the rank stays {widest}, not {rank}. Draw at random ({where})"
                )
    return "One factor of each pair is zero and the other random: LoRA's start, on both sides."


def _random(seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"{name} should be a tensor, not {type(value).__name__}.") from None


def _compare(
    name: str, answer: Any, right: Tensor, mistakes: Mapping[str, Tensor], where: str
) -> None:
    """Pass if the answer is ``right``; otherwise name the mistake, or the shape, or the gap."""
    got = _tensor(name, answer)
    if _equal(got, right):
        return
    for message, value in mistakes.items():
        if _equal(got, value):
            raise Mistake(f"{message} ({where})")
    if got.shape != right.shape:
        raise Mistake(
            f"{name} has the shape of what it belongs to, {_by(tuple(right.shape))}; yours is "
            f"{_by(tuple(got.shape))} ({where})"
        )
    gap = float((got - right).abs().max())
    raise Mistake(f"The shape of {name} is right, but an entry is off by {gap:.3g} ({where})")


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-9)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"

"""Checks of notebook 10: how many directions are used, shared and amplified; a word left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lora_lab.derivations.low_rank import subspace_similarity, truncated_svd
from lora_lab.exercises.checking import Mistake, attempt, check, expect, numbers, one_number, same
from lora_lab.inside.attribution import leave_one_word_out


@check
def check_rank_for_share(function: Callable[[Sequence[float], float], int]) -> str:
    """``function(singular_values, share)``: the smallest k that keeps this share of ||W||_F^2."""
    for values, share in (
        ([6.0, 3.0, 2.0, 2.0, *(1.0,) * 5, 0.1], 0.9),
        ([3.0, *(1.0,) * 9], 0.5),
        ([3.0, 1.0, 0.0, 0.0], 1.0),
    ):
        sigma = np.array(values)
        kept = np.cumsum(sigma**2) / (sigma**2).sum()
        right = _first(kept >= share)
        mistakes = {
            "Square the singular values: the squared norm is the sum of their squares.": (
                _first(np.cumsum(sigma) / sigma.sum() >= share)
            ),
            "A singular value of 0 is a direction that is not used; it keeps nothing.": (
                len(values)
            ),
            "Exactly this share is enough: compare with >=, not >.": _first(kept > share),
            "One too few: that is the last k that does not keep enough, or an index that counts "
            "from 0.": right - 1,
            "That is how many directions are dropped; return how many are kept.": (
                len(values) - right
            ),
            "The share is one of the squared norm. You asked for an error of 1 - share, which is "
            "a root and so much stricter.": _first(np.sqrt(np.maximum(1 - kept, 0)) <= 1 - share),
        }
        got = one_number(attempt(function, list(values), share))
        expect(got, right, mistakes, f"singular values {values}, share {share}")
    return "This count depends on the share that you choose; the effective rank does without one."


def _first(reached: np.ndarray) -> int:
    """How many directions until this is first reached; all of them if it never is."""
    return int(reached.argmax()) + 1 if reached.any() else len(reached)


@check
def check_similarity(function: Callable[[Tensor, Tensor], tuple[float, float]]) -> str:
    """``function(first, second) -> (phi, chance)`` for orthonormal columns (d, i) and (d, j).

    ``chance`` is the mean of phi for random subspaces of these dimensions.
    """
    wide, narrow = _basis(12, 5, seed=0), _basis(12, 2, seed=1)
    for where, first, second in (
        ("i = 2 and j = 5 in 12 dimensions", narrow, wide),
        ("i = 5 and j = 2 in 12 dimensions", wide, narrow),
        ("i = 3, all of them within the j = 5", wide[:, 1:4], wide),
    ):
        d, i, j = len(first), first.shape[1], second.shape[1]
        phi, chance = float(subspace_similarity(first, second)), max(i, j) / d
        got = numbers(attempt(function, first.clone(), second.clone()), 2, "(phi, chance)")
        if same(got, (chance, phi)) and not same(phi, chance):
            raise Mistake(f"The two are swapped: return (phi, chance) ({where})")
        square = phi * min(i, j)
        expect(
            got[0],
            phi,
            {
                "The division is missing: the square of the norm lies between 0 and min(i, j).": (
                    square
                ),
                "Divide by the smaller of i and j, whichever it is: a line within a plane is "
                "wholly shared.": square / max(i, j),
                "Square the norm: the squares of the cosines are added up.": (
                    math.sqrt(square) / min(i, j)
                ),
                "That is the root of phi: the square of the norm is divided, no root taken.": (
                    math.sqrt(phi)
                ),
                "That is the mean squared cosine; a pair of subspaces has min(i, j) angles, "
                "not i times j.": square / (i * j),
            },
            f"phi, {where}",
        )
        expect(
            got[1],
            chance,
            {
                "By chance a direction lies in a subspace of dimension j to j/d: the larger of "
                "i and j counts, the smaller has been divided out.": min(i, j) / d,
                "1/d is the level for i = j = 1 only.": 1 / d,
                "Two random subspaces are not orthogonal: 0 is not the level of chance.": 0.0,
                "i j / d is the mean of the squared norm; phi divides it by min(i, j).": i * j / d,
            },
            f"chance, {where}",
        )
    return "Compare phi with this level, never with 0: two lots of 64 in 384 'agree' to a sixth."


def _basis(d: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(d, columns, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q


@check
def check_word_effects(
    function: Callable[[Callable[[str], float], str], Sequence[float]],
) -> str:
    """``function(probability, text)``: for each word, what the probability loses without it."""
    for text in ("superb but not dull", "superb and again superb"):
        words = text.split()
        whole = _probability(text)
        effects = np.array([word.effect for word in leave_one_word_out(_both, text).words])
        alone = np.array([_probability(word) for word in words])
        everywhere = [
            whole - _probability(" ".join(w for w in words if w != word)) for word in words
        ]
        mistakes = {
            "The sign is the wrong way round: an effect is positive where the probability falls "
            "without the word.": -effects,
            "That is the probability without the word; take it off the probability with it.": (
                whole - effects
            ),
            "Leave out one occurrence, not every one: the two are different words of the "
            "sentence.": everywhere,
            "That is the word alone. Leave it out and keep all others.": alone,
            "That is what the word alone adds to an empty sentence; leave it out of this one.": (
                alone - _probability("")
            ),
            "Do not divide by the whole: an effect is a difference of probabilities.": (
                effects / whole
            ),
        }
        given = attempt(function, _probability, text)
        got = numbers(given, len(words), f"one number for each of the {len(words)} words")
        expect(got, effects, mistakes, f"'{text}'")
    return "Said twice, a word of praise looks small: the other one does its work."


def _probability(text: str) -> float:
    """Of "positive", from a model whose answers are known in closed form."""
    weights = {"superb": 2.0, "dull": -1.5, "not": 0.6, "again": -0.3, "but": 0.1}
    return 1 / (1 + math.exp(-sum(weights.get(word, 0.0) for word in text.split()) - 0.2))


def _both(texts: Sequence[str]) -> np.ndarray:
    positive = np.array([_probability(text) for text in texts])
    return np.stack([1 - positive, positive], axis=1)


@check
def check_amplification(function: Callable[[Tensor, Tensor, int], float]) -> str:
    """``function(update, W, rank)``: ||update||_F / ||U^T W V||_F, U and V the update's own."""
    generator = torch.Generator().manual_seed(0)
    for out, in_, rank in ((7, 7, 2), (8, 5, 3)):
        W = torch.randn(out, in_, generator=generator, dtype=torch.float64)
        B, A = (
            torch.randn(*shape, generator=generator, dtype=torch.float64)
            for shape in ((out, rank), (rank, in_))
        )
        update = B @ A
        own, base = truncated_svd(update, rank), truncated_svd(W, rank)
        norm, whole = float(update.norm()), float(W.norm())
        along = own.U.T @ W @ own.Vh.T
        right = norm / float(along.norm())
        mistakes = {
            "Upside down: the update goes above, the base weight below.": 1 / right,
            "That is the update beside the whole of W. Only the part of W in the update's own "
            "directions counts, so keep the first `rank` columns of U and V.": norm / whole,
            "U and V are W's own directions. Take the singular vectors of the update.": (
                norm / float(base.S.norm())
            ),
            "Both sides are needed: V is missing.": norm / float((own.U.T @ W).norm()),
            "Both sides are needed: U is missing.": norm / float((W @ own.Vh.T).norm()),
            "That is the squared ratio; a norm has a root.": right**2,
            "That is the spectral norm, the largest singular value; take the Frobenius norm.": (
                float(own.S[0]) / float(torch.linalg.matrix_norm(along, 2))
            ),
            "That is the part of W in the update's directions; divide the update's norm by it.": (
                float(along.norm())
            ),
            "One direction too few is kept.": _without_last(norm, along),
        }
        got = one_number(_plain(attempt(function, update.clone(), W.clone(), rank)))
        expect(got, right, mistakes, f"update of rank {rank}, W is {out} x {in_}")
    return "Beside it belongs the same ratio for random directions: a large rank alone lowers it."


def _without_last(norm: float, along: Tensor) -> float:
    return norm / float(along[:-1, :-1].norm())


def _plain(value: object) -> object:
    """A tensor with one number as that number."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value

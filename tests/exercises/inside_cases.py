"""Right and wrong answers to the exercises of notebook 10."""

from __future__ import annotations

import math

import numpy as np
import torch

from lora_lab.exercises.inside import (
    check_amplification,
    check_rank_for_share,
    check_similarity,
    check_word_effects,
)


def rank_for_share(sigma, share):
    kept, total = 0.0, sum(s * s for s in sigma)
    for k, s in enumerate(sigma, start=1):
        kept += s * s
        if kept >= share * total:
            return k


def without_squares(sigma, share):
    return rank_for_share([math.sqrt(s) for s in sigma], share)


def strictly(sigma, share):
    kept = np.cumsum(np.square(sigma)) / np.square(sigma).sum()
    more = np.flatnonzero(kept > share)
    return int(more[0]) + 1 if len(more) else len(sigma)


def by_error(sigma, share):
    total = sum(s * s for s in sigma)
    for k in range(1, len(sigma) + 1):
        if math.sqrt(sum(s * s for s in sigma[k:]) / total) <= 1 - share:
            return k


SHARES = [
    (without_squares, "Square the singular values"),
    (strictly, ">=, not >"),
    (lambda s, p: rank_for_share(s, p) - 1, "One too few"),
    (lambda s, p: len(s) - rank_for_share(s, p), "are dropped"),
    (by_error, "much stricter"),
    (lambda s, p: len(s) if p == 1 else rank_for_share(s, p), "direction that is not used"),
    (lambda s, p: [rank_for_share(s, p)], "Return one number"),
    (lambda s, p: 7, "should give"),
]


def square(U, V):
    return float((U.T @ V).square().sum())


def phi(U, V):
    return square(U, V) / min(U.shape[1], V.shape[1])


def chance(U, V):
    return max(U.shape[1], V.shape[1]) / len(U)


def similarity(U, V):
    return phi(U, V), chance(U, V)


def phi_as(formula):
    return lambda U, V: (formula(U, V), chance(U, V))


def chance_as(formula):
    return lambda U, V: (phi(U, V), formula(U, V))


SIMILAR = [
    (lambda U, V: similarity(U, V)[::-1], "swapped"),
    (phi_as(square), "division is missing"),
    (phi_as(lambda U, V: square(U, V) / max(U.shape[1], V.shape[1])), "line within a plane"),
    (phi_as(lambda U, V: square(U, V) / U.shape[1]), "whichever it is"),
    (phi_as(lambda U, V: square(U, V) / V.shape[1]), "line within a plane"),
    (
        phi_as(lambda U, V: math.sqrt(square(U, V)) / min(U.shape[1], V.shape[1])),
        "Square the norm",
    ),
    (phi_as(lambda U, V: math.sqrt(phi(U, V))), "root of phi"),
    (phi_as(lambda U, V: float((U.T @ V).square().mean())), "mean squared cosine"),
    (chance_as(lambda U, V: min(U.shape[1], V.shape[1]) / len(U)), "larger of"),
    (chance_as(lambda U, V: V.shape[1] / len(U)), "larger of"),
    (chance_as(lambda U, V: 1 / len(U)), "i = j = 1 only"),
    (chance_as(lambda U, V: 0.0), "not orthogonal"),
    (chance_as(lambda U, V: U.shape[1] * V.shape[1] / len(U)), "mean of the squared norm"),
    (phi, "(phi, chance)"),
    (lambda U, V: U @ V, "raised RuntimeError"),
    (lambda U, V: (0.123, 0.456), "should give"),
]


def effects(probability, text):
    words = text.split()
    whole = probability(text)
    return [whole - probability(" ".join(words[:i] + words[i + 1 :])) for i in range(len(words))]


def every_occurrence(probability, text):
    words = text.split()
    return [
        probability(text) - probability(" ".join(w for w in words if w != word)) for word in words
    ]


WORDS = [
    (lambda p, text: [-e for e in effects(p, text)], "wrong way round"),
    (lambda p, text: [p(text) - e for e in effects(p, text)], "take it off"),
    (every_occurrence, "one occurrence"),
    (lambda p, text: [p(word) for word in text.split()], "the word alone. Leave"),
    (lambda p, text: [p(word) - p("") for word in text.split()], "empty sentence"),
    (lambda p, text: [e / p(text) for e in effects(p, text)], "Do not divide"),
    (lambda p, text: effects(p, text)[:-1], "needed, got"),
    (lambda p, text: sum(effects(p, text)), "one number for each"),
    (lambda p, text: [0.5 for _ in text.split()], "should give"),
]


def own(update, rank):
    U, S, Vh = torch.linalg.svd(update, full_matrices=False)
    return U[:, :rank], Vh[:rank].T


def along(update, W, rank):
    U, V = own(update, rank)
    return U.T @ W @ V


def amplification(update, W, rank):
    return float(update.norm() / along(update, W, rank).norm())


def one_sided(update, W, rank, side):
    U, V = own(update, rank)
    part = U.T @ W if side == "U" else W @ V
    return float(update.norm() / part.norm())


def spectral(M):
    return float(torch.linalg.matrix_norm(M, 2))


AMPLIFIED = [
    (lambda D, W, r: 1 / amplification(D, W, r), "Upside down"),
    (lambda D, W, r: float(D.norm() / W.norm()), "whole of W"),
    (lambda D, W, r: float(D.norm() / torch.linalg.svdvals(W)[:r].norm()), "W's own directions"),
    (lambda D, W, r: one_sided(D, W, r, "U"), "V is missing"),
    (lambda D, W, r: one_sided(D, W, r, "V"), "U is missing"),
    (lambda D, W, r: amplification(D, W, r) ** 2, "squared ratio"),
    (lambda D, W, r: spectral(D) / spectral(along(D, W, r)), "spectral norm"),
    (lambda D, W, r: float(along(D, W, r).norm()), "divide the update's norm"),
    (lambda D, W, r: amplification(D, W, r - 1), "One direction too few"),
    (lambda D, W, r: D, "Return one number"),
    (lambda D, W, r: 1.234, "should give"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_rank_for_share: (
        [rank_for_share, lambda s, p: np.int64(rank_for_share(s, p))],
        SHARES,
    ),
    check_similarity: ([similarity, lambda U, V: list(similarity(U, V))], SIMILAR),
    check_word_effects: ([effects, lambda p, text: np.array(effects(p, text))], WORDS),
    check_amplification: (
        [amplification, lambda D, W, r: torch.tensor(amplification(D, W, r), dtype=torch.float64)],
        AMPLIFIED,
    ),
}

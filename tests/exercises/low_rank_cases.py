"""Right and wrong answers to the exercises of notebook 2."""

from __future__ import annotations

import math

import numpy as np

from lora_lab.exercises.low_rank import (
    check_best_error,
    check_break_even_rank,
    check_effective_rank,
    check_factor_gradients,
)


def break_even(n_out, n_in):
    rank = 0
    while (rank + 1) * (n_out + n_in) < n_out * n_in:
        rank += 1
    return rank


BREAK_EVEN = [
    (lambda o, i: (o * i - 1) / (o + i), "with // for /"),
    (lambda o, i: min(o, i) // 2, "square matrix only"),
    (lambda o, i: o * i // (o + i), "exactly as many"),
    (lambda o, i: o * i / (o + i), "whole number"),
    (lambda o, i: math.ceil(o * i / (o + i)), "Rounded up"),
    (lambda o, i: round(o * i / (o + i)), "to the nearest"),
    (lambda o, i: o - 1, "B is missing"),
    (lambda o, i: i - 1, "A is missing"),
    (lambda o, i: min(o, i), "largest rank a matrix"),
    (lambda o, i: (o * i - 1) // (2 * i), "counted with in"),
    (lambda o, i: (o * i - 1) // (2 * o), "counted with out"),
    (lambda o, i: break_even(o, i) * (o + i), "return the rank"),
    (lambda o, i: o * i, "how many numbers W holds"),
    (lambda o, i: 3, "should give"),
    (lambda o, i: [break_even(o, i)], "Return one number"),
]


def total(sigma):
    return sum(s * s for s in sigma)


def error(sigma, k):
    return math.sqrt(total(sigma[k:]) / total(sigma))


def energy(sigma, k):
    return total(sigma[:k]) / total(sigma)


def both(sigma, k):
    return error(sigma, k), energy(sigma, k)


def first_dropped(sigma, k):
    return sigma[k] if k < len(sigma) else 0.0


def error_as(formula):
    return lambda sigma, k: (formula(sigma, k), energy(sigma, k))


def energy_as(formula):
    return lambda sigma, k: (error(sigma, k), formula(sigma, k))


BEST_ERROR = [
    (lambda s, k: both(s, k)[::-1], "swapped"),
    (error_as(lambda s, k: math.sqrt(total(s[k:]))), "divide it by the norm"),
    (error_as(lambda s, k: error(s, k) ** 2), "root is missing"),
    (error_as(lambda s, k: math.sqrt(energy(s, k))), "part that was kept"),
    (error_as(lambda s, k: first_dropped(s, k) / s[0]), "spectral norm"),
    (error_as(first_dropped), "first value dropped."),
    (error_as(lambda s, k: sum(s[k:]) / sum(s)), "Square the singular values"),
    (error_as(lambda s, k: error(s, max(k - 1, 0))), "too few"),
    (error_as(lambda s, k: error(s, k + 1)), "too many"),
    (energy_as(lambda s, k: 1 - energy(s, k)), "that is lost"),
    (energy_as(lambda s, k: 1 - error(s, k)), "energy = 1 - error²"),
    (energy_as(lambda s, k: sum(s[:k]) / sum(s)), "squared singular values"),
    (energy_as(lambda s, k: math.sqrt(energy(s, k))), "root of the energy"),
    (energy_as(lambda s, k: energy(s, max(k - 1, 0))), "too few"),
    (energy_as(lambda s, k: energy(s, k + 1)), "too many"),
    (energy_as(lambda s, k: total(s[:k])), "energy of the whole"),
    (energy_as(lambda s, k: 100 * energy(s, k)), "percentage"),
    (lambda s, k: error(s, k), "Return (error, energy)"),
    (lambda s, k: (0.5, 0.5), "should give"),
]


def entropy(weights, log=math.log):
    p = [w / sum(weights) for w in weights]
    return -sum(x * log(x) for x in p if x > 0)


def effective(sigma):
    return math.exp(entropy(sigma))


def with_nan(sigma):
    p = np.array(sigma) / sum(sigma)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(-(p * np.log(p)).sum()))


EFFECTIVE = [
    (entropy, "That is the entropy"),
    (lambda s: effective([x * x for x in s]), "without squares"),
    (lambda s: 2 ** entropy(s), "not 2"),
    (lambda s: math.exp(entropy(s, math.log2)), "same base"),
    (lambda s: math.exp(-entropy(s)), "sign is lost"),
    (lambda s: math.exp(-sum(x * math.log(x) for x in s if x > 0)), "must sum to 1"),
    (
        lambda s: math.exp(-sum(x * math.log(x) for x in s / np.linalg.norm(s) if x > 0)),
        "not by the norm",
    ),
    (lambda s: sum(x > 0 for x in s), "not zero"),
    (len, "number of singular values"),
    (lambda s: total(s) / s[0] ** 2, "stable rank"),
    (lambda s: sum(s) ** 2 / total(s), "participation"),
    (with_nan, "gave NaN"),
    (lambda s: math.exp(-sum(x * math.log(x) for x in (y / sum(s) for y in s))), "ValueError"),
    (lambda s: 2.5, "should give"),
    (lambda s: [effective(s)], "Return one number"),
]


def gradients(T, A, B, s, inner=None, outer=None):
    inner, outer = s if inner is None else inner, s if outer is None else outer
    residual = inner * B @ A - T
    return outer * B.T @ residual, outer * residual @ A.T


def times(factor):
    return lambda *given: tuple(factor(*given) * part for part in gradients(*given))


GRADIENTS = [
    (lambda T, A, B, s: gradients(T, A, B, s, outer=1), "chain rule"),
    (lambda T, A, B, s: gradients(T, A, B, s, inner=1), "missing in the residual s B A"),
    (lambda T, A, B, s: gradients(T, A, B, s, 1, 1), "missing everywhere"),
    (times(lambda T, A, B, s: s), "twice outside"),
    (times(lambda T, A, B, s: 2), "Twice too large"),
    (times(lambda T, A, B, s: -1), "sign"),
    (times(lambda T, A, B, s: 1 / T.numel()), "gradient of the mean"),
    (lambda T, A, B, s: (-s * B.T @ T, -s * T @ A.T), "only while B is 0"),
    (lambda T, A, B, s: gradients(T, A, B, s)[::-1], "swapped"),
    (lambda T, A, B, s: (gradients(T, A, B, s)[0].T, gradients(T, A, B, s)[1]), "dA is transposed"),
    (lambda T, A, B, s: (gradients(T, A, B, s)[0], gradients(T, A, B, s)[1].T), "dB is transposed"),
    (lambda T, A, B, s: (gradients(T, A, B, s)[0], 2 * gradients(T, A, B, s)[1]), "(dB, "),
    (lambda T, A, B, s: gradients(T, A, B, s)[0], "two matrices"),
    (lambda T, A, B, s: (A + 1, B), "should give"),
    (lambda T, A, B, s: (0.0, 0.0), "has shape ()"),
    (lambda T, A, B, s: T @ A, "raised RuntimeError"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_break_even_rank: ([break_even, lambda o, i: (o * i - 1) // (o + i)], BREAK_EVEN),
    check_best_error: ([both, lambda s, k: list(both(s, k))], BEST_ERROR),
    check_effective_rank: ([effective, lambda s: np.float64(effective(s))], EFFECTIVE),
    check_factor_gradients: (
        [gradients, lambda *given: [part.tolist() for part in gradients(*given)]],
        GRADIENTS,
    ),
}

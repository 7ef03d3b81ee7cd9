"""Right and wrong answers to the exercises of notebook 3."""

from __future__ import annotations

import torch

from lora_lab.exercises.factoring import (
    check_counts,
    check_gradient_of_u,
    check_gradient_of_V,
    check_lora_gradients,
    check_start,
)


def counts(o, i, r):
    return r * (o + i), o * o + i * i, 2 * r * (o + i), o + i


def with_count(place, formula):
    """The right counts with one of them replaced."""

    def answer(o, i, r):
        result = list(counts(o, i, r))
        result[place] = formula(o, i, r)
        return result

    return answer


LORA, DENSE, LOW_RANK, DIAGONAL = range(4)
COUNTS = [
    (with_count(LORA, lambda o, i, r: r * i), "B is missing"),
    (with_count(LORA, lambda o, i, r: r * o), "A is missing"),
    (with_count(LORA, lambda o, i, r: r * (o + i) + o * i), "it is frozen"),
    (with_count(LORA, lambda o, i, r: r * o * i), "multiplied"),
    (with_count(LORA, lambda o, i, r: o * i), "W itself"),
    (with_count(LORA, lambda o, i, r: 2 * r * i), "as long as the input"),
    (with_count(LORA, lambda o, i, r: 2 * r * o), "as long as the output"),
    (with_count(LORA, lambda o, i, r: 2 * r * (o + i)), "two-sided count"),
    (with_count(DENSE, lambda o, i, r: 2 * o * i), "it is out x out"),
    (with_count(DENSE, lambda o, i, r: (o + i) ** 2), "squares the sum"),
    (with_count(DENSE, lambda o, i, r: o * o), "V is missing"),
    (with_count(DENSE, lambda o, i, r: i * i), "U is missing"),
    (with_count(DENSE, lambda o, i, r: o * i), "does not learn"),
    (with_count(DENSE, lambda o, i, r: 2 * o * o), "as out x out"),
    (with_count(DENSE, lambda o, i, r: 2 * i * i), "as in x in"),
    (with_count(LOW_RANK, lambda o, i, r: r * (o + i)), "Half of it"),
    (with_count(LOW_RANK, lambda o, i, r: 2 * r * o), "R (in x rank)"),
    (with_count(LOW_RANK, lambda o, i, r: 2 * r * i), "P (out x rank)"),
    (with_count(LOW_RANK, lambda o, i, r: 4 * r * o), "both counted as out x out"),
    (with_count(LOW_RANK, lambda o, i, r: 4 * r * i), "both counted as in x in"),
    (with_count(LOW_RANK, lambda o, i, r: o * o + i * i), "only the factors are kept"),
    (with_count(LOW_RANK, lambda o, i, r: 2 * r * (o + i) + o * o + i * i), "identities"),
    (with_count(DIAGONAL, lambda o, i, r: o * o + i * i), "not n²"),
    (with_count(DIAGONAL, lambda o, i, r: o), "v is missing"),
    (with_count(DIAGONAL, lambda o, i, r: i), "u is missing"),
    (with_count(DIAGONAL, lambda o, i, r: o * i), "not multiplied"),
    (with_count(DIAGONAL, lambda o, i, r: r * (o + i)), "plays no part"),
    (with_count(DIAGONAL, lambda o, i, r: o + i + 1), "should give"),
    (lambda o, i, r: r * (o + i), "Return (LoRA"),
    (lambda o, i, r: (1, 2, 3), "4 needed"),
]


def gradient_of_V(g, x, W, U, V):
    return (g @ U @ W).T @ x


GRADIENT_OF_V = [
    (lambda g, x, W, U, V: (g @ W).T @ x, "U is missing"),
    (lambda g, x, W, U, V: (g @ U).T @ x, "W is missing"),
    (lambda g, x, W, U, V: g.T @ x, "nothing on its left"),
    (lambda g, x, W, U, V: g.T @ (x @ V.T @ W.T), "That is dL/dU"),
    (lambda g, x, W, U, V: gradient_of_V(g, x, W, U, V).T, "transposed"),
    (lambda g, x, W, U, V: (g @ U @ W).T @ (x @ V.T), "not V x"),
    (lambda g, x, W, U, V: (g @ U @ W @ V).T @ x, "never V"),
    (lambda g, x, W, U, V: (g @ U.T @ W).T @ x, "the wrong way"),
    (lambda g, x, W, U, V: gradient_of_V(g, x, W, U, V) / len(x), "mean over the examples"),
    (lambda g, x, W, U, V: gradient_of_V(g[:1], x[:1], W, U, V), "first example"),
    (lambda g, x, W, U, V: torch.zeros_like(V), "article's rule"),
    (lambda g, x, W, U, V: -gradient_of_V(g, x, W, U, V), "sign is turned"),
    (lambda g, x, W, U, V: 2 * gradient_of_V(g, x, W, U, V), "is off by"),
    (lambda g, x, W, U, V: g @ U @ W, "has the shape of what it belongs to"),
    (lambda g, x, W, U, V: g @ x, "RuntimeError"),
    (lambda g, x, W, U, V: "dV", "should be a tensor"),
]


def gradient_of_u(g, x, W, u, v):
    return (g * ((v * x) @ W.T)).sum(dim=0)


GRADIENT_OF_u = [
    (lambda g, x, W, u, v: g.T @ ((v * x) @ W.T), "only its diagonal"),
    (lambda g, x, W, u, v: torch.diag(gradient_of_u(g, x, W, u, v)), "diagonal matrix"),
    (lambda g, x, W, u, v: g * ((v * x) @ W.T), "one row per example"),
    (lambda g, x, W, u, v: (g * ((v * x) @ W.T)).mean(dim=0), "mean over the examples"),
    (lambda g, x, W, u, v: gradient_of_u(g[:1], x[:1], W, u, v), "first example"),
    (lambda g, x, W, u, v: gradient_of_u(g, x, W, u, torch.ones_like(v)), "v is missing"),
    (lambda g, x, W, u, v: u * gradient_of_u(g, x, W, u, v), "u is in it"),
    (lambda g, x, W, u, v: gradient_of_u(g, x, W, u, v).sum(), "single number"),
    (lambda g, x, W, u, v: (((u * g) @ W) * x).sum(dim=0), "That is dL/dv"),
    (lambda g, x, W, u, v: g.sum(dim=0), "gradient of a bias"),
    (lambda g, x, W, u, v: -gradient_of_u(g, x, W, u, v), "sign is turned"),
    (lambda g, x, W, u, v: gradient_of_u(g, x, W, u, v) + 1, "is off by"),
    (lambda g, x, W, u, v: u[99], "IndexError"),
]


def lora_gradients(g, x, A, B, alpha):
    s = alpha / A.shape[0]
    return s * (g @ B).T @ x, s * g.T @ (x @ A.T)


def with_A(change):
    def answer(g, x, A, B, alpha):
        dA, dB = lora_gradients(g, x, A, B, alpha)
        return change(dA, g, x, A, alpha), dB

    return answer


def with_B(change):
    def answer(g, x, A, B, alpha):
        dA, dB = lora_gradients(g, x, A, B, alpha)
        return dA, change(dB, g, x, A, alpha)

    return answer


LORA_GRADIENTS = [
    (with_A(lambda d, g, x, A, alpha: d * len(A) / alpha), "alpha / rank is missing in dA"),
    (with_B(lambda d, g, x, A, alpha: d * len(A) / alpha), "alpha / rank is missing in dB"),
    (with_A(lambda d, g, x, A, alpha: d * len(A)), "dA is scaled by alpha, not"),
    (with_B(lambda d, g, x, A, alpha: d * len(A)), "dB is scaled by alpha, not"),
    (with_A(lambda d, g, x, A, alpha: d * len(A) ** 0.5), "rsLoRA"),
    (with_A(lambda d, g, x, A, alpha: d * len(A) / A.shape[1]), "dA is scaled by alpha / in"),
    (with_B(lambda d, g, x, A, alpha: d * len(A) / g.shape[1]), "dB is scaled by alpha / out"),
    (with_A(lambda d, g, x, A, alpha: d * alpha / len(A)), "twice"),
    (with_A(lambda d, g, x, A, alpha: d / alpha), "alpha is missing"),
    (with_A(lambda d, g, x, A, alpha: d.T), "dA is transposed"),
    (with_B(lambda d, g, x, A, alpha: d.T), "dB is transposed"),
    (with_A(lambda d, g, x, A, alpha: d / len(x)), "mean over the examples"),
    (lambda g, x, A, B, alpha: lora_gradients(g[:1], x[:1], A, B, alpha), "first example"),
    (with_A(lambda d, g, x, A, alpha: alpha / len(A) * g.T @ x), "s B stands left of A"),
    (with_B(lambda d, g, x, A, alpha: alpha / len(A) * g.T @ x), "B's own input is A x"),
    (with_B(lambda d, g, x, A, alpha: g.T @ x), "s is missing"),
    (with_A(lambda d, g, x, A, alpha: -d), "wrong sign"),
    (with_A(lambda d, g, x, A, alpha: 0 * d), "dA is zero"),
    (lambda g, x, A, B, alpha: lora_gradients(g, x, A, B, alpha)[::-1], "swapped"),
    (lambda g, x, A, B, alpha: lora_gradients(g, x, A, B, alpha)[0], "Return two gradients"),
    (with_B(lambda d, g, x, A, alpha: d + 1), "is off by"),
]


def start(o, i, r):
    return torch.zeros(o, r), torch.randn(r, o), torch.zeros(i, r), torch.randn(r, i)


def with_factors(**others):
    """The right start with some of P, Q, R, S replaced, each by a function of (out, in, rank)."""

    def answer(o, i, r):
        factors = dict(zip("PQRS", start(o, i, r), strict=True))
        return tuple((factors | {k: f(o, i, r) for k, f in others.items()}).values())

    return answer


def random_everywhere(o, i, r, size=1.0):
    return tuple(size * torch.randn(*factor.shape) for factor in start(o, i, r))


START = [
    (lambda o, i, r: tuple(torch.zeros_like(f) for f in start(o, i, r)), "All four are zero"),
    (with_factors(Q=lambda o, i, r: torch.zeros(r, o)), "U never learns"),
    (with_factors(S=lambda o, i, r: torch.zeros(r, i)), "V never learns"),
    (random_everywhere, "P Q is not zero"),
    (lambda o, i, r: random_everywhere(o, i, r, 0.01), "be it ever so little"),
    (with_factors(R=lambda o, i, r: torch.randn(i, r)), "R S is not zero"),
    (with_factors(P=lambda o, i, r: torch.zeros(r, o)), "P is transposed"),
    (with_factors(R=lambda o, i, r: torch.zeros(o, r)), "V on the input"),
    (with_factors(Q=lambda o, i, r: torch.ones(r, o)), "start alike"),
    (with_factors(Q=lambda o, i, r: torch.full((r, o), torch.nan)), "not finite"),
    (lambda o, i, r: (torch.eye(o), torch.eye(i)), "Return four matrices"),
    (with_factors(S=lambda o, i, r: "random"), "should be a tensor"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_counts: ([counts, lambda o, i, r: list(counts(o, i, r))], COUNTS),
    check_gradient_of_V: (
        [
            gradient_of_V,
            lambda g, x, W, U, V: sum(
                torch.outer((U @ W).T @ g_n, x_n) for g_n, x_n in zip(g, x, strict=True)
            ),
        ],
        GRADIENT_OF_V,
    ),
    check_gradient_of_u: (
        [
            gradient_of_u,
            lambda g, x, W, u, v: (g.T @ ((v * x) @ W.T)).diagonal(),
            lambda g, x, W, u, v: gradient_of_u(g, x, W, u, v).tolist(),
        ],
        GRADIENT_OF_u,
    ),
    check_lora_gradients: ([lora_gradients], LORA_GRADIENTS),
    check_start: (
        [
            start,
            lambda o, i, r: (
                torch.randn(o, r),
                torch.zeros(r, o),
                torch.zeros(i, r),
                torch.randn(r, i),
            ),
        ],
        START,
    ),
}

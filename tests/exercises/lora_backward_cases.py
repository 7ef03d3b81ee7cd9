"""Right and wrong answers to the exercises of notebook 4: the backward pass."""

from __future__ import annotations

import torch
from torch.nn.functional import dropout

from lora_lab.exercises.lora_backward import check_lora_backward, check_masked_backward


def rows(t):
    return t.reshape(-1, t.shape[-1])


def backward(g, x, W, A, B, s, mask=None, *, of_dx=None):
    """(dx, dA, dB) with one mask for the factors and, if another is given, one for dx."""
    m = torch.ones_like(x) if mask is None else mask
    v, x_m = s * rows(g) @ B, rows(x * m)
    dx = g @ W + (m if of_dx is None else of_dx) * (s * g @ B @ A)
    return dx, v.T @ x_m, s * rows(g).T @ (x_m @ A.T)


def spoiled(part, change):
    """The right gradients, one of which is changed by ``change(gradient, g, x, W, A, B, s)``."""

    def answer(g, x, W, A, B, s, *mask):
        found = list(backward(g, x, W, A, B, s, *mask))
        number = ("dx", "dA", "dB").index(part)
        found[number] = change(found[number], g, x, W, A, B, s)
        return tuple(found)

    return answer


def low_rank(g, A, B, s):
    return s * g @ B @ A


SLIPS = [
    (spoiled("dA", lambda d, g, x, W, A, B, s: d / s), "In dA the scale s is missing"),
    (spoiled("dB", lambda d, g, x, W, A, B, s: d * s), "In dB the scale stands twice"),
    (spoiled("dA", lambda d, g, *_: d / g[..., 0].numel()), "number of examples"),
    (spoiled("dB", lambda d, *_: -d), "dB has the wrong sign"),
    (spoiled("dA", lambda d, *_: d.T), "transposed"),
    (spoiled("dx", lambda d, g, x, W, *_: g @ W), "dx lacks s"),
    (spoiled("dA", lambda d, *_: d + 1), "should give"),
    (lambda g, x, W, A, B, s, *mask: backward(g, x, W, A, B, s, *mask)[::-1], "The order is"),
    (
        lambda g, x, W, A, B, s, *mask: (*backward(g, x, W, A, B, s, *mask), rows(g).T @ rows(x)),
        "nobody asks for dW",
    ),
    (lambda g, *_: g, "Return three tensors"),
    (lambda g, *_: (1.0, 2.0, 3.0), "not float, float, float"),
    (lambda g, x, *_: x @ x @ x @ x, "raised RuntimeError"),
]

BACKWARD = [
    *SLIPS,
    (spoiled("dx", lambda d, g, x, W, A, B, s: low_rank(g, A, B, s)), "dx lacks g W"),
    (spoiled("dx", lambda d, g, x, W, A, B, s: g @ W + g @ B @ A), "scale is missing before"),
    (
        spoiled("dx", lambda d, g, x, W, A, B, s: s * g @ W + low_rank(g, A, B, s)),
        "only the low-rank branch is scaled",
    ),
    (spoiled("dx", lambda d, *_: -d), "dx has the wrong sign"),
    (spoiled("dx", lambda d, *_: rows(d)), "leading dimensions of x back"),
    (
        spoiled("dA", lambda d, g, x, W, A, B, s: s * (g @ B).transpose(-2, -1) @ x),
        "sum over them",
    ),
]


def masked(factors=None, dx=None):
    """The right answer with other masks: ``factors(m)`` in dA and dB, ``dx(m)`` in dx."""

    def answer(g, x, W, A, B, s, m):
        own = m if factors is None else factors(m)
        return backward(g, x, W, A, B, s, own, of_dx=m if dx is None else dx(m))

    return answer


def one_masked(part, factors):
    """A mask other than the right one in dA alone, or in dB alone."""

    def answer(g, x, W, A, B, s, m):
        right = backward(g, x, W, A, B, s, m)
        wrong = backward(g, x, W, A, B, s, factors(m))
        number = ("dx", "dA", "dB").index(part)
        return (*right[:number], wrong[number], *right[number + 1 :])

    return answer


def new_mask(g, x, W, A, B, s, m):
    return backward(g, x, W, A, B, s, dropout(torch.ones_like(x), 1 / 3))


def masked_dx(change):
    def answer(g, x, W, A, B, s, m):
        _, dA, dB = backward(g, x, W, A, B, s, m)
        return change(g @ W, low_rank(g, A, B, s), m, s), dA, dB

    return answer


MASKED = [
    *SLIPS,
    (lambda g, x, W, A, B, s, m: backward(g, x, W, A, B, s), "The mask is forgotten in dA"),
    (one_masked("dA", torch.ones_like), "forgotten in dA"),
    (one_masked("dB", torch.ones_like), "forgotten in dB"),
    (one_masked("dA", lambda m: m * m), "In dA the mask is applied twice"),
    (one_masked("dB", lambda m: m.bool()), "In dB the mask has lost its factor"),
    (masked(dx=torch.ones_like), "forgotten in dx"),
    (masked(dx=lambda m: m * m), "In dx the mask is applied twice"),
    (masked(dx=lambda m: m.bool()), "In dx the mask has lost its factor"),
    (masked_dx(lambda base, low, m, s: m * (base + low)), "masked as a whole"),
    (masked_dx(lambda base, low, m, s: m * base + low), "on the wrong term"),
    (masked_dx(lambda base, low, m, s: base + m * low / s), "In dx the scale is missing"),
    (masked_dx(lambda base, low, m, s: m * low), "dx lacks g W"),
    (new_mask, "a mask is drawn anew"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)


CASES = {
    check_lora_backward: ([backward, lambda *given: list(backward(*given))], BACKWARD),
    check_masked_backward: ([backward], MASKED),
}

"""Right and wrong answers to the exercises of notebook 1."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import one_hot, softplus

from lora_lab.exercises.losses import (
    check_best_step,
    check_binary_gradient,
    check_binary_loss,
    check_gradient_checker,
    check_softmax_gradient,
)


def stable(z, y):
    return (torch.maximum(z, torch.zeros_like(z)) - z * y + torch.log1p(torch.exp(-abs(z)))).mean()


def by_softplus(z, y):
    return (softplus(z) - z * y).mean().item()


def from_p(p, y):
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def per_example(z, y):
    return softplus(z) - z * y


def minus_missing(z, y):
    return (z.clamp(min=0) - z * y + torch.log1p(torch.exp(abs(z)))).mean()


LOSS = [
    (lambda z, y: per_example(z, y).sum(), "the sum over the batch"),
    (lambda z, y: -stable(z, y), "sign is turned round"),
    (lambda z, y: stable(z, y) / math.log(2), "base 2"),
    (lambda z, y: -(y * torch.sigmoid(z).log()).mean(), "term (1 - y) log(1 - p) is missing"),
    (lambda z, y: -((1 - y) * torch.sigmoid(-z).log()).mean(), "term y log p is missing"),
    (lambda z, y: stable(z, 1 - y), "swapped"),
    (lambda z, y: stable(torch.sigmoid(z), y), "sigmoid was taken twice"),
    (lambda z, y: softplus(z).mean(), "term - z y is missing"),
    (minus_missing, "the minus is missing"),
    (lambda z, y: ((torch.sigmoid(z) - y) ** 2).mean(), "squared error"),
    (lambda z, y: from_p(z, y), "the sigmoid is missing"),
    (lambda z, y: from_p(torch.sigmoid(z), y), "Right for small logits, but a confident"),
    (lambda z, y: from_p(torch.sigmoid(z).clamp(1e-7, 1 - 1e-7), y), "clamped"),
    (lambda z, y: (torch.log(1 + torch.exp(z)) - z * y).mean(), "exp overflows"),
    (per_example, "got shape (4,)"),
    (lambda z, y: 0.5, "should give"),
    (lambda z, y: y[99], "IndexError"),
]


def gradient(z, y):
    return (torch.sigmoid(z) - y) / len(z)


def slope(z):
    return torch.sigmoid(z) * (1 - torch.sigmoid(z))


def through_p(z, y):
    """Right on paper; p (1 - p) is divided by, and multiplied with again."""
    return gradient(z, y) / slope(z) * slope(z)


GRADIENT = [
    (lambda z, y: torch.sigmoid(z) - y, "division by N is missing"),
    (lambda z, y: gradient(z, y) / slope(z), "article's gradient"),
    (lambda z, y: len(z) * gradient(z, y) / slope(z), "and without the division by N"),
    (lambda z, y: -gradient(z, y), "descent would climb"),
    (lambda z, y: y - torch.sigmoid(z), "turned round, and the division"),
    (lambda z, y: (z - y) / len(z), "subtracts y from the logit"),
    (lambda z, y: gradient(z, y) * slope(z), "too many"),
    (lambda z, y: 2 * gradient(z, y) * slope(z), "squared error, 2"),
    (lambda z, y: slope(z) / len(z), "sigmoid alone"),
    (lambda z, y: y * gradient(z, torch.ones_like(y)), "Only the term of class 1"),
    (lambda z, y: (1 - y) * gradient(z, torch.zeros_like(y)), "Only the term of class 0"),
    (lambda z, y: 2 * gradient(z, y), "factor 2"),
    (through_p, "divided by p (1 - p)"),
    (lambda z, y: gradient(z, y).sum(), "got shape ()"),
    (lambda z, y: gradient(z, y) + 0.1, "should give"),
]


def softmax_gradient(z, y, dim=-1):
    return (torch.softmax(z, dim=dim) - one_hot(y, z.shape[1])) / len(z)


def hot(z, y):
    return one_hot(y, z.shape[1])


def without_largest(z, y):
    p = torch.exp(z) / torch.exp(z).sum(dim=1, keepdim=True)
    return (p - hot(z, y)) / len(z)


def in_place(z, y):
    p = torch.softmax(z, dim=1)
    p[torch.arange(len(z)), y] -= 1
    return (p / len(z)).numpy()


def minus_whole_columns(z, y):
    p = torch.softmax(z, dim=1)
    p[:, y] -= 1
    return p / len(z)


SOFTMAX = [
    (lambda z, y: len(z) * softmax_gradient(z, y), "division by N is missing"),
    (lambda z, y: softmax_gradient(z, y) / z.shape[1], "divides by N C"),
    (lambda z, y: softmax_gradient(z, y) * len(z) / z.shape[1], "divides by C"),
    (lambda z, y: -softmax_gradient(z, y), "descent would climb"),
    (lambda z, y: softmax_gradient(z, y, dim=0), "dim=0"),
    (lambda z, y: torch.softmax(z, dim=1) / len(z), "p / N alone"),
    (lambda z, y: softmax_gradient(z, y) * hot(z, y), "Only the right class"),
    (lambda z, y: softmax_gradient(z, y) * (1 - hot(z, y)), "entry of the right class is missing"),
    (lambda z, y: (z - hot(z, y)) / len(z), "from the logits"),
    (lambda z, y: (torch.sigmoid(z) - hot(z, y)) / len(z), "sigmoid for each class"),
    (
        lambda z, y: softmax_gradient(z, y) * torch.softmax(z, 1) * (1 - torch.softmax(z, 1)),
        "too many",
    ),
    (without_largest, "overflows"),
    (minus_whole_columns, "everybody's class"),
    (lambda z, y: softmax_gradient(z, y).T, "got shape"),
    (lambda z, y: softmax_gradient(z, y) + 0.1, "should give"),
]


def central(f, z, h=1e-5, by=2.0):
    result = torch.empty_like(z)
    for i in range(len(z)):
        above, below = z.clone(), z.clone()
        above[i] += h
        below[i] -= h
        result[i] = (f(above) - f(below)) / (by * h)
    return result


def one_sided(f, z, h=1e-6):
    rows = torch.eye(len(z), dtype=z.dtype)
    return torch.tensor([(f(z + h * row) - f(z)) / h for row in rows])


def all_at_once(f, z, h=1e-5):
    return torch.full_like(z, (f(z + h) - f(z - h)) / (2 * h))


def never_moved_back(f, z, h=1e-5):
    z = z.clone()
    result = []
    for i in range(len(z)):
        z[i] += h
        above = f(z)
        z[i] -= 2 * h
        result.append((above - f(z)) / (2 * h))
    return result


def moved_and_moved_back(f, z, h=1e-5):
    result = []
    for i in range(len(z)):
        z[i] += h
        above = f(z)
        z[i] -= 2 * h
        result.append((above - f(z)) / (2 * h))
        z[i] += h
    return result


def moves_the_question(f, z):
    result = central(f, z)
    z += 1
    return result


CHECKER = [
    (one_sided, "one-sided"),
    (lambda f, z: central(f, z, h=0.1), "too large"),
    (lambda f, z: central(f, z, h=1e-10), "too small"),
    (lambda f, z: central(f, z, h=1e-17), "only asked at z itself"),
    (lambda f, z: central(f, z, by=1), "divide by 2h"),
    (lambda f, z: central(f, z, by=4), "Half of it"),
    (lambda f, z: -central(f, z), "to the right minus"),
    (lambda f, z: central(f, z) / len(z), "a mean already"),
    (all_at_once, "(1, 1, ...)"),
    (never_moved_back, "Several entries moved"),
    (moves_the_question, "moved it in place"),
    (lambda f, z: torch.ones_like(z), "never asked"),
    (lambda f, z: f(z), "got shape ()"),
    (lambda f, z: central(f, z) + 0.1, "should give"),
    (lambda f, z: f(z)[0], "TypeError"),
]


def best(epsilon, value, third):
    return (3 * epsilon * abs(value) / abs(third)) ** (1 / 3)


STEP = [
    (lambda e, f, t: math.sqrt(3 * e * abs(f) / abs(t)), "cube root"),
    (lambda e, f, t: math.sqrt(e), "rule for one-sided"),
    (lambda e, f, t: e ** (1 / 3), "rule of thumb"),
    (lambda e, f, t: (6 * e * abs(f) / abs(t)) ** (1 / 3), "set equal"),
    (lambda e, f, t: (e * abs(f) / abs(t)) ** (1 / 3), "factor 3"),
    (lambda e, f, t: best(e, t, f), "Upside down"),
    (lambda e, f, t: best(e, 1, t), "value of the function is missing"),
    (lambda e, f, t: best(e, f, 1), "third derivative is missing"),
    (lambda e, f, t: best(e, f, t) ** 3, "take the cube root"),
    (lambda e, f, t: (3 * e * f / t) ** (1 / 3), "complex"),
    (lambda e, f, t: float(np.cbrt(3 * e * f / t)), "positive number"),
    (lambda e, f, t: 1e-5, "the step should be"),
    (lambda e, f, t: (1, 2), "Return one number"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_binary_loss: ([stable, by_softplus, lambda z, y: stable(z, y).numpy()], LOSS),
    check_binary_gradient: ([gradient, lambda z, y: gradient(z, y).tolist()], GRADIENT),
    check_softmax_gradient: ([softmax_gradient, in_place], SOFTMAX),
    check_gradient_checker: (
        [central, moved_and_moved_back, lambda f, z: central(f, z, h=1e-3).numpy()],
        CHECKER,
    ),
    check_best_step: ([best], STEP),
}

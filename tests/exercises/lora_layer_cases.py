"""Right and wrong answers to the exercises of notebook 4: the scale and the layer."""

from __future__ import annotations

import math

import torch
from torch import nn

from lora_lab import LoRALinear
from lora_lab.exercises.lora_layer import check_kept_scale, check_lora_layer


def kept(alpha, rank, new, rule):
    return alpha * (new / rank if rule == "alpha/r" else math.sqrt(new / rank))


KEPT = [
    (lambda a, r, n, rule: a, "alpha as it was"),
    (lambda a, r, n, rule: a * a / kept(a, r, n, rule), "Upside down"),
    (lambda a, r, n, rule: a * n / r, "keeps the scale under the other rule"),
    (lambda a, r, n, rule: a * math.sqrt(n / r), "keeps the scale under the other rule"),
    (lambda a, r, n, rule: a / r, "That is the scale s itself"),
    (lambda a, r, n, rule: a / n, "that the old alpha has at the new rank"),
    (lambda a, r, n, rule: a + n - r, "not subtracted"),
    (lambda a, r, n, rule: 2 * n, "a habit"),
    (lambda a, r, n, rule: n, "alpha = r makes s = 1"),
    (lambda a, r, n, rule: 12.3, "should give"),
    (lambda a, r, n, rule: [a], "Return one number"),
    (lambda a, r, n, rule: a / 0, "ZeroDivisionError"),
]


class Right(nn.Module):
    """The layer as it should be; the classes below change one thing each."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(self.first_A(rank, base.in_features))
        self.B = nn.Parameter(self.first_B(base.out_features, rank))
        self.scaling = self.scale(alpha, rank)
        self.alpha, self.merged = alpha, False

    def first_A(self, *size):
        return torch.rand(size) - 0.5

    def first_B(self, *size):
        return torch.zeros(size)

    def scale(self, alpha, rank):
        return alpha / rank

    def low_rank(self, x):
        return x @ self.A.T @ self.B.T

    def forward(self, x):
        if self.merged:
            return self.base(x)
        return self.base(x) + self.scaling * self.low_rank(x)

    @torch.no_grad()
    def merge(self):
        if not self.merged:
            self.base.weight += self.update()
            self.merged = True

    def update(self):
        return self.scaling * self.B @ self.A


class MergedAway(Right):
    """Another right one: after merging B is zero, so nothing can be added twice."""

    @torch.no_grad()
    def merge(self):
        self.base.weight.copy_(self.base.weight + self.update())
        self.B.zero_()


def changed(**methods):
    return type("MyLoRA", (Right,), methods)


def after_init(change):
    """The right layer, to which something is done once it is made."""

    def __init__(self, base, rank, alpha):
        Right.__init__(self, base, rank, alpha)
        change(self)

    return changed(__init__=__init__)


def thaw(part):
    return after_init(lambda self: getattr(self.base, part).requires_grad_(True))


def instead(**attributes):
    """The right layer with attributes replaced by functions of it."""

    def change(self):
        for name, make in attributes.items():
            delattr(self, name)
            setattr(self, name, make(self))

    return after_init(change)


def with_forward(function):
    """``function(self, x)`` in the place of forward, as long as nothing is merged."""
    return changed(
        forward=lambda self, x: self.base(x) if self.merged else function(self, x),
    )


def without_base_gradient(self, x):
    with torch.no_grad():
        h = self.base(x)
    return h + self.scaling * self.low_rank(x)


def all_without_gradient(self, x):
    with torch.no_grad():
        return Right.forward(self, x)


def writes(self, x):
    self.base.weight.data += self.update().data
    return self.base(x)


def with_merge(change):
    """``change(self)`` is what merge() does to the weight, once."""

    def merge(self):
        if not self.merged:
            with torch.no_grad():
                change(self)
            self.merged = True

    return changed(merge=merge)


def taped(self):
    self.base.weight = nn.Parameter(self.base.weight + self.update())
    self.merged = True


def careless(self):
    with torch.no_grad():
        self.base.weight += self.update()
    self.merged = True


def only_adds(self):
    with torch.no_grad():
        self.base.weight += self.update()


def scaled_by(rule):
    return changed(scale=lambda self, alpha, rank: rule(alpha, rank))


LAYER = [
    (scaled_by(lambda alpha, rank: alpha), "alpha, not alpha/r"),
    (scaled_by(lambda alpha, rank: 1.0), "scale alpha/r is missing"),
    (scaled_by(lambda alpha, rank: 1 / rank), "alpha is missing"),
    (scaled_by(lambda alpha, rank: rank / alpha), "upside down"),
    (scaled_by(lambda alpha, rank: alpha / rank**0.5), "rsLoRA"),
    (scaled_by(lambda alpha, rank: -alpha / rank), "subtracted"),
    (scaled_by(lambda alpha, rank: 1.37), "should give"),
    (changed(first_B=lambda self, *size: torch.ones(size)), "both start random"),
    (changed(first_A=lambda self, *size: torch.zeros(size)), "both start at zero"),
    (
        changed(
            first_A=lambda self, *size: torch.zeros(size),
            first_B=lambda self, *size: torch.ones(size),
        ),
        "the other way round",
    ),
    (changed(first_A=lambda self, *size: torch.ones(size)), "All rows of A start equal"),
    (thaw("weight"), "The base is not frozen"),
    (thaw("bias"), "the base's bias still requires"),
    (after_init(lambda self: self.A.requires_grad_(False)), "A requires no gradient"),
    (
        after_init(lambda self: setattr(self, "extra", nn.Parameter(torch.zeros(1)))),
        "also trains A, B, extra",
    ),
    (instead(A=lambda self: torch.rand(self.B.shape[1], self.base.in_features)), "nn.Parameter"),
    (
        changed(
            first_A=lambda self, rank, n_in: torch.rand(n_in, rank),
            low_rank=lambda self, x: x @ self.A @ self.B.T,
        ),
        "In the paper A is (rank, in)",
    ),
    (
        changed(
            __init__=lambda self, base, rank, alpha: (
                nn.Module.__init__(self),
                setattr(self, "linear", base),
                None,
            )[-1],
            forward=lambda self, x: self.linear(x),
        ),
        "self.base",
    ),
    (with_forward(lambda self, x: self.scaling * self.low_rank(x)), "The base is missing"),
    (
        with_forward(
            lambda self, x: x @ self.base.weight.T + self.scaling * self.low_rank(x),
        ),
        "bias got lost",
    ),
    (
        with_forward(lambda self, x: self.scaling * (self.base(x) + self.low_rank(x))),
        "multiplies the base too",
    ),
    (with_forward(lambda self, x: self.base(x)), "play no part"),
    (with_forward(writes), "writes to base.weight"),
    (with_forward(without_base_gradient), "no_grad around base(x)"),
    (with_forward(all_without_gradient), "No gradient leaves forward"),
    (
        with_forward(lambda self, x: self.base(x) + self.scaling * self.low_rank(x.detach())),
        "sends nothing down",
    ),
    (
        with_forward(
            lambda self, x: self.base(x) + self.scaling * x @ self.A.T @ self.B.detach().T
        ),
        "B gets no gradient",
    ),
    (with_forward(lambda self, x: self.base(x) + self.A @ x), "raised RuntimeError"),
    (with_forward(lambda self, x: x), "forward maps (..., in) to (..., out)"),
    (changed(merge=None), "All but merge() is right"),
    (changed(merge=lambda self: None), "has not changed base.weight"),
    (with_merge(lambda self: self.base.weight.add_(self.alpha * self.B @ self.A)), "adds alpha"),
    (with_merge(lambda self: self.base.weight.add_(self.B @ self.A)), "without the scale"),
    (with_merge(lambda self: self.base.weight.sub_(self.update())), "subtracts"),
    (with_merge(lambda self: self.base.weight.copy_(self.update())), "replaces W"),
    (changed(merge=taped), "requires a gradient"),
    (changed(merge=careless), "Merging twice"),
    (changed(merge=only_adds), "once more"),
    (lambda base, rank, alpha: base(torch.zeros(1, base.in_features)), "nn.Module"),
    (Right(nn.Linear(3, 2), 1, 1.0), "Pass the class"),
]


CASES = {
    check_kept_scale: ([kept], KEPT),
    check_lora_layer: ([Right, MergedAway, LoRALinear], LAYER),
}

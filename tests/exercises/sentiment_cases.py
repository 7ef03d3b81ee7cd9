"""Right and wrong answers to the exercises of notebook 6."""

from __future__ import annotations

import math

import numpy as np
import torch

from lora_lab.exercises.sentiment import (
    check_pad_batch,
    check_scores,
    check_trainable_count,
    check_wilson_interval,
)

Z = 1.96


def wilson(k, n, z=Z, *, shift=1.0, divide=True, root=1.0):
    p = k / n
    centre = p + shift * z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + root * z**2 / (4 * n**2))
    by = 1 + z**2 / n if divide else 1
    return (centre - half) / by, (centre + half) / by


def wald(k, n):
    p = k / n
    half = Z * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def only_half_divided(k, n):
    low, high = wilson(k, n)
    return k / n - (high - low) / 2, k / n + (high - low) / 2


WILSON = [
    (wald, "Wald"),
    (lambda k, n: wilson(k, n, divide=False), "division by 1 + z²/n is missing"),
    (lambda k, n: wilson(k, n, shift=0), "lacks its z²/(2n)"),
    (only_half_divided, "centre is still p"),
    (lambda k, n: wilson(k, n, root=0), "z²/(4n²) is missing"),
    (lambda k, n: wilson(k, n, 1.6449), "90% interval"),
    (lambda k, n: wilson(k, n, 2.5758), "99% interval"),
    (lambda k, n: wilson(k, n, 1), "one standard error"),
    (lambda k, n: wilson(k, n)[::-1], "swapped"),
    (lambda k, n: [100 * bound for bound in wilson(k, n)], "percentages"),
    (lambda k, n: (sum(wilson(k, n)) / 2, wilson(k, n)[1] - sum(wilson(k, n)) / 2), "half width"),
    (lambda k, n: wald(k, n) if k == n else wilson(k, n), "Wald"),  # special-cased at the edge
    (lambda k, n: k / n, "Return (low, high)"),
    (lambda k, n: (0.5, 0.6), "should give"),
    (lambda k, n: 1 / 0, "ZeroDivisionError"),
]


def count(hidden, rank, alpha, layers, matrices, classes):
    return 2 * hidden * rank * layers * matrices + hidden * classes + classes


COUNT = [
    (lambda h, r, a, k, m, c: h * r * k * m + h * c + c, "B is missing"),
    (lambda h, r, a, k, m, c: h * r * k * m, "counts A alone"),
    (lambda h, r, a, k, m, c: count(h, a, a, k, m, c), "alpha"),
    (lambda h, r, a, k, m, c: count(h, r, a, k, m, c) - h * c - c, "head is missing"),
    (lambda h, r, a, k, m, c: count(h, r, a, k, m, c) + h * c + c, "counted twice"),
    (lambda h, r, a, k, m, c: count(h, r, a, k, m, c) - c, "bias is missing"),
    (lambda h, r, a, k, m, c: count(h, r, a, k, 1, c), "one matrix per layer"),
    (lambda h, r, a, k, m, c: count(h, r, a, 1, m, c), "one layer"),
    (lambda h, r, a, k, m, c: h * h * k * m + h * c + c, "frozen matrices"),
    (lambda h, r, a, k, m, c: count(h, h, a, k, m, c), "hidden² each"),
    (lambda h, r, a, k, m, c: count(h, r, a, k, m, c) + h * h + h, "pooler"),
    (lambda h, r, a, k, m, c: count(h, r, a, k, m, c) + k * m * h * h, "never stored"),
    (lambda h, r, a, k, m, c: str(count(h, r, a, k, m, c)), "Return one number"),
    (lambda h, r, a, k, m, c: count(h, r, a, k, m, c) + 1, "should give"),
]


def scores(confusion):
    hits, said, true = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    f1 = 2 * hits / np.maximum(said + true, 1)
    return hits / np.maximum(said, 1), hits / np.maximum(true, 1), f1.mean()


def swapped(confusion):
    precision, recall, macro = scores(confusion)
    return recall, precision, macro


def with_nan(confusion):
    with np.errstate(invalid="ignore"):
        precision = confusion.diagonal() / confusion.sum(axis=0)
    return precision, *scores(confusion)[1:]


def f1_with_nan(confusion):
    precision, recall, _ = scores(confusion)
    with np.errstate(invalid="ignore"):
        return precision, recall, (2 * precision * recall / (precision + recall)).mean()


def macro_as(formula):
    """Right precision and recall; macro-F1 by a formula of (confusion, precision, recall)."""

    def answer(confusion):
        precision, recall, _ = scores(confusion)
        return precision, recall, formula(confusion, precision, recall)

    return answer


def harmonic(p, r):
    return 2 * p * r / np.where(p + r == 0, 1, p + r)


SCORES = [
    (swapped, "swapped"),
    (lambda m: scores(m.T), "swapped"),
    (with_nan, "0/0"),
    (f1_with_nan, "P = R = 0"),
    (macro_as(lambda m, p, r: m.trace() / m.sum()), "micro-F1"),
    (macro_as(lambda m, p, r: (harmonic(p, r) * m.sum(axis=1)).sum() / m.sum()), "weighted"),
    (macro_as(lambda m, p, r: harmonic(p.mean(), r.mean())), "F1 of the averages"),
    (macro_as(lambda m, p, r: ((p + r) / 2).mean()), "harmonic"),
    (macro_as(lambda m, p, r: harmonic(p, r).mean() / 2), "factor 2"),
    (macro_as(lambda m, p, r: harmonic(p, r)[-1]), "last class"),
    (macro_as(lambda m, p, r: harmonic(p, r)[0]), "first class"),
    (lambda m: (m.diagonal() / m.sum(), *scores(m)[1:]), "divides by all examples"),
    (lambda m: scores(m)[2], "Return three things"),
    (lambda m: (0.5, *scores(m)[1:]), "one number per class"),
]


def pad(rows, pad_id, width=None, *, left=False, token=None):
    width = width or max(map(len, rows))
    fill = pad_id if token is None else token
    gaps = [[fill] * (width - len(row)) for row in rows]
    ids = [(gap + row if left else row + gap)[:width] for row, gap in zip(rows, gaps, strict=True)]
    ones = [[1] * len(row) + [0] * len(gap) for row, gap in zip(rows, gaps, strict=True)]
    mask = [one[:width] for one in ones]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def with_mask(change):
    def answer(rows, pad_id):
        batch = pad(rows, pad_id)
        return batch | {"attention_mask": change(batch, pad_id)}

    return answer


PAD = [
    (lambda rows, pad_id: pad(rows, pad_id, 128), "pads to 128"),
    (lambda rows, pad_id: {"input_ids": pad(rows, pad_id)["input_ids"]}, "mask is missing"),
    (lambda rows, pad_id: pad(rows, pad_id, 72), "not of the data set"),
    (lambda rows, pad_id: pad(rows, pad_id, min(map(len, rows))), "shortest"),
    (lambda rows, pad_id: pad(rows, pad_id, left=True), "on the left"),
    (lambda rows, pad_id: pad(rows, pad_id, token=0), "pads with 0"),
    (with_mask(lambda batch, _: torch.ones_like(batch["input_ids"])), "1 everywhere"),
    (with_mask(lambda batch, _: 1 - batch["attention_mask"]), "inverted"),
    (with_mask(lambda batch, pad_id: batch["input_ids"] != pad_id), "input_ids != pad_id"),
    (lambda rows, pad_id: pad(rows, pad_id)["input_ids"], "dictionary"),
    (lambda rows, pad_id: {"input_ids": rows, "attention_mask": rows}, "equal length"),
    (lambda rows, pad_id: torch.tensor(rows), "raised ValueError"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_wilson_interval: ([wilson, lambda k, n: list(wilson(k, n, 1.959964))], WILSON),
    check_trainable_count: ([count], COUNT),
    check_scores: ([scores, lambda m: tuple(x.tolist() for x in scores(m))], SCORES),
    check_pad_batch: (
        [
            pad,
            with_mask(lambda batch, _: batch["attention_mask"].bool()),
            lambda r, i: {k: v.tolist() for k, v in pad(r, i).items()},
        ],
        PAD,
    ),
}

"""Checks of notebook 6: intervals, counting, scores, padding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import norm

from lora_lab.evaluation import wilson_interval
from lora_lab.exercises.checking import (
    Mistake,
    attempt,
    check,
    expect,
    numbers,
    one_number,
    same,
    table,
)

Z95 = float(norm.ppf(0.975))  # 1.96: 95% of a normal distribution lies within Z95 deviations


@check
def check_wilson_interval(function: Callable[[int, int], tuple[float, float]]) -> str:
    """``function(correct, examples) -> (low, high)``: Wilson's 95% interval."""
    for correct, examples in ((42, 60), (7, 10), (10, 10), (0, 8)):
        where = f"{correct} right of {examples}"
        p, n, z = correct / examples, examples, Z95
        right = wilson_interval(correct, examples)
        low, high = right.low, right.high
        half = (high - low) / 2
        wald = z * math.sqrt(p * (1 - p) / n)
        narrow_root = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n)
        mistakes = {
            "That is the textbook (Wald) interval p ± z·sqrt(p(1-p)/n). It is too narrow for "
            "few examples, and has width 0 when all answers are right.": (p - wald, p + wald),
            "Wald's interval cut off at 0 and 1 is still Wald's.": (
                max(0.0, p - wald),
                min(1.0, p + wald),
            ),
            "The division by 1 + z²/n is missing.": (low * (1 + z * z / n), high * (1 + z * z / n)),
            "The centre is still p: add z²/(2n) to it before dividing by 1 + z²/n.": (
                p - half,
                p + half,
            ),
            "Only p was divided by 1 + z²/n: the centre lacks its z²/(2n).": (
                p / (1 + z * z / n) - half,
                p / (1 + z * z / n) + half,
            ),
            "Under the root, z²/(4n²) is missing beside p(1-p)/n.": (
                (low + high) / 2 - narrow_root,
                (low + high) / 2 + narrow_root,
            ),
            "z = 1.645 makes a 90% interval; 95% needs z = 1.96.": _wilson(p, n, norm.ppf(0.95)),
            "z = 2.576 makes a 99% interval; 95% needs z = 1.96.": _wilson(p, n, norm.ppf(0.995)),
            "z = 1 covers 68%: that is one standard error. 95% needs z = 1.96.": _wilson(p, n, 1),
            "The two ends are swapped: return (low, high).": (high, low),
            "That is (centre, half width): return centre - half and centre + half.": (
                (low + high) / 2,
                half,
            ),
            "These are percentages; return shares between 0 and 1.": (100 * low, 100 * high),
        }
        got = numbers(attempt(function, correct, examples), 2, "(low, high)")
        expect(got, (low, high), mistakes, where, tolerance=1e-4)  # so that z = 1.96 will do
    return "At 10 right of 10 it still leaves room for error, which p ± z·sqrt(p(1-p)/n) does not."


@check
def check_trainable_count(function: Callable[..., int]) -> str:
    """``function(hidden, rank, alpha, layers, matrices, classes)``: trainable parameters.

    LoRA on ``matrices`` square matrices (hidden x hidden) per layer, and a linear head with bias.
    """
    for case in ((50, 3, 7, 5, 4, 3), (384, 8, 16, 6, 2, 2)):
        hidden, rank, alpha, layers, matrices, classes = case
        head = hidden * classes + classes
        side = layers * matrices * hidden * rank  # all A, or all B
        lora = 2 * side
        mistakes = {
            "B is missing: each adapted matrix has A (rank x hidden) and B (hidden x rank).": (
                side + head
            ),
            "B and the head are missing: this counts A alone.": side,
            "That uses alpha for the rank. alpha only scales the update; it adds no parameter.": (
                2 * layers * matrices * hidden * alpha + head
            ),
            "The head is missing: it is new, so it is trained too.": lora,
            "The head is counted twice.": lora + 2 * head,
            "The head's bias is missing: one number per class.": lora + hidden * classes,
            "Only one matrix per layer is counted.": lora // matrices + head,
            "Only one layer is counted.": lora // layers + head,
            "That counts the frozen matrices W (hidden x hidden), not A and B.": (
                layers * matrices * hidden * hidden + head
            ),
            "A and B are counted with hidden² each: they are rank x hidden and hidden x rank.": (
                2 * layers * matrices * hidden * hidden + head
            ),
            "The pooler is part of the pre-trained base here and stays frozen.": (
                lora + head + hidden * hidden + hidden
            ),
            "B·A has hidden x hidden entries, but it is never stored; count A and B.": (
                layers * matrices * (hidden * hidden + 2 * hidden * rank) + head
            ),
        }
        got = one_number(attempt(function, *case))
        where = f"hidden {hidden}, rank {rank}, alpha {alpha}, {layers} layers, "
        where += f"{matrices} matrices each, {classes} classes"
        expect(got, lora + head, mistakes, where)
    return "alpha is an argument that the answer does not need: it is not a parameter."


@check
def check_scores(function: Callable[..., tuple]) -> str:
    """``function(confusion) -> (precision, recall, macro_f1)``; rows are true classes.

    ``precision`` and ``recall`` hold one number per class; 0 where nothing could be counted.
    """
    matrices = ([[50, 10], [25, 15]], [[30, 6, 4], [5, 9, 1], [2, 0, 8]], [[40, 0], [10, 0]])
    for rows in matrices:
        where = f"confusion matrix {rows}"
        m = np.array(rows, dtype=float)
        precision, recall, f1 = _scores(m)
        macro = f1.mean()
        result = attempt(function, np.array(rows))
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise Mistake("Return three things: precision, recall, macro_f1.")
        classes = len(rows)
        got_p = numbers(result[0], classes, "precision, one number per class")
        got_r = numbers(result[1], classes, "recall, one number per class")
        if np.isnan([*got_p, *got_r]).any():
            raise Mistake(
                "0/0 gave NaN: a class that is never predicted has precision 0 here. Divide "
                f"only where the denominator is not 0 ({where})"
            )
        if same(got_p, recall) and same(got_r, precision) and not same(precision, recall):
            raise Mistake(
                "Precision and recall are swapped. Rows are true classes: recall divides the "
                f"diagonal by row sums, precision by column sums ({where})"
            )
        share = m.diagonal() / m.sum()
        whole = "That divides by all examples; divide by its column (precision) or row (recall)."
        expect(got_p, precision, {whole: share}, f"precision, {where}")
        expect(got_r, recall, {whole: share}, f"recall, {where}")
        p, r, support = precision.mean(), recall.mean(), m.sum(axis=1)
        mistakes = {
            "That is micro-F1, which equals accuracy: a rare class hardly counts.": (
                m.diagonal().sum() / m.sum()
            ),
            "That is weighted F1. Macro gives every class the same weight.": (
                (f1 * support).sum() / support.sum()
            ),
            "That is F1 of the averages. Take F1 per class first, then the mean.": (
                2 * p * r / (p + r)
            ),
            "That averages precision and recall. F1 is their harmonic mean 2PR/(P+R).": (
                ((precision + recall) / 2).mean()
            ),
            "The factor 2 in 2PR/(P+R) is missing.": macro / 2,
            "That is F1 of the last class alone; macro is the mean over classes.": f1[-1],
            "That is F1 of the first class alone; macro is the mean over classes.": f1[0],
        }
        got = numbers([result[2]], 1, "macro_f1, one number")[0]
        if math.isnan(got):
            raise Mistake(f"0/0 gave NaN: a class with P = R = 0 has F1 = 0 ({where})")
        expect(got, macro, mistakes, where)
    return "Swapping rows and columns swaps precision and recall, and leaves F1 as it was."


@check
def check_pad_batch(function: Callable[..., Mapping[str, Any]]) -> str:
    """``function(rows, pad_id) -> {"input_ids": ..., "attention_mask": ...}``, (n, longest)."""
    short, long = [[5, 6, 7], [8, 0]], [[4, 9, 3, 2, 6], [1], [9, 9]]
    for rows, pad_id in ((short, 0), (long, 1)):
        where = f"rows {rows}, pad_id {pad_id}"
        longest = max(map(len, rows))
        result = attempt(function, [list(row) for row in rows], pad_id)
        if not isinstance(result, Mapping) or "input_ids" not in result:
            raise Mistake('Return a dictionary with "input_ids" and "attention_mask".')
        if "attention_mask" not in result:
            raise Mistake(
                "The attention mask is missing: the model would read the padding as words."
            )
        ids = table(result["input_ids"], len(rows))
        mask = table(result["attention_mask"], len(rows))
        width = ids.shape[1]
        if width == 128:
            raise Mistake(
                "This pads to 128, the article's way. Pad to the longest row of the batch."
            )
        if width == min(map(len, rows)):
            raise Mistake(f"This cuts every row to the shortest: words are lost ({where})")
        if width > longest:
            raise Mistake(
                f"The batch is {width} wide, its longest row is {longest}. Pad to the longest of "
                f"the batch, not of the data set or a constant ({where})"
            )
        if width < longest:
            raise Mistake(f"The batch is {width} wide, its longest row is {longest} ({where})")
        right_ids = np.array([row + [pad_id] * (longest - len(row)) for row in rows])
        right_mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        left_ids = np.array([[pad_id] * (longest - len(row)) + row for row in rows])
        zero_ids = np.where(right_mask == 1, right_ids, 0)
        expect(
            ids,
            right_ids,
            {
                "This pads on the left. BERT reads [CLS] at place 0: pad on the right.": left_ids,
                "This pads with 0. Use pad_id: for other tokenizers 0 is a word.": zero_ids,
            },
            where,
        )
        expect(
            mask,
            right_mask,
            {
                "The mask is 1 everywhere, so padding is read as words.": np.ones_like(right_mask),
                "The mask is inverted: 1 marks words, 0 marks padding.": 1 - right_mask,
                "The mask was made from input_ids != pad_id, which also hides a real token with "
                "that number (GPT-2 pads with its end-of-text token). Use the lengths.": (
                    (right_ids != pad_id).astype(int)
                ),
            },
            where,
        )
    return "As wide as the longest row of its own batch, and the mask follows from the lengths."


def _wilson(p: float, n: int, z: float) -> tuple[float, float]:
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def _scores(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hits, said, true = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    return (
        hits / np.maximum(said, 1),
        hits / np.maximum(true, 1),
        2 * hits / np.maximum(said + true, 1),
    )

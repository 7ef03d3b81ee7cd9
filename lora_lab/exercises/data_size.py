"""Checks of notebook 9: noisy labels, weight decay, early stopping, an honest learning curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lora_lab.exercises.checking import Mistake, attempt, check, expect, numbers, one_number


@check
def check_true_accuracy(function: Callable[[float, float], float]) -> str:
    """``function(measured, flipped)``: accuracy against right labels.

    ``measured`` is the accuracy against labels of two classes, a share ``flipped`` of which was
    turned at random.
    """
    for true, e in ((0.9, 0.2), (0.75, 0.1), (0.85, 0.4), (0.6, 0.0)):
        measured = (1 - e) * true + e * (1 - true)
        where = f"measured {measured:.3g}, {e:.0%} flipped"
        mistakes = {
            "That is the forward direction: it spoils an accuracy. `measured` is spoilt already; "
            "solve the equation for a.": (1 - e) * measured + e * (1 - measured),
            "That divides by 1 - e: as if the flipped labels only lost right answers. A wrong "
            "answer to a flipped label counts as right.": measured / (1 - e),
            "That adds the flipped share. The model is wrong on some flipped sentences too, and "
            "these it gets for nothing.": measured + e,
            "The divisor is 1 - 2e, not 1 - e: bring both terms with a to one side.": (
                (measured - e) / (1 - e)
            ),
            "The measured accuracy minus e is missing its divisor, 1 - 2e.": measured - e,
            "The share e must be taken off before dividing by 1 - 2e.": measured / (1 - 2 * e),
            "A sign is wrong: the divisor is 1 - 2e, which is smaller than 1.": (
                (measured - e) / (1 + 2 * e)
            ),
            "That is the share of wrong answers.": 1 - true,
            "That returns what was measured.": measured,
        }
        got = one_number(attempt(function, measured, e))
        expect(got, true, mistakes, where)
    return "At e = 1/2 you would divide by 0: labels from a coin say nothing about anybody."


@check
def check_decayed(function: Callable[[float, float, float, float], float]) -> str:
    """``function(w, direction, rate, decay)``: a weight after one step of AdamW."""
    for w, direction, rate, decay in ((2.0, 1.3, 0.1, 0.7), (-3.0, 0.45, 0.02, 4.0)):
        right = w - rate * decay * w - rate * direction
        mistakes = {
            "The rate is missing in the decay: AdamW takes off rate · decay · w.": (
                w - decay * w - rate * direction
            ),
            "The decay is added; it draws the weight towards 0.": (
                w + rate * decay * w - rate * direction
            ),
            "The direction is added; a step goes against it.": (
                w - rate * decay * w + rate * direction
            ),
            "The decay is missing.": w - rate * direction,
            "The direction is missing: this weight only decays.": w - rate * decay * w,
            "The step is taken first and shrunk as well. The decay belongs to the weight as it was "
            "before the step.": (1 - rate * decay) * (w - rate * direction),
            "That subtracts rate · decay without the weight: every weight would shrink by the "
            "same amount (that is L1).": w - rate * decay * np.sign(w) - rate * direction,
            "The rate is missing in the step.": w - rate * decay * w - direction,
            "The decay counts twice. λ w is the whole gradient of λ/2 · w².": (
                w - 2 * rate * decay * w - rate * direction
            ),
        }
        got = one_number(attempt(function, w, direction, rate, decay))
        expect(got, right, mistakes, f"w = {w}, direction {direction}, rate {rate}, decay {decay}")
    return "The decay never went through Adam's moments: that is what *decoupled* says."


@check
def check_early_stop(
    function: Callable[[Sequence[float], int], tuple[int, int]],
) -> str:
    """``function(losses, patience)``: (epoch that training stops after, epoch that is kept).

    Epochs count from 1. Training stops after ``patience`` epochs in a row without a validation
    loss below the lowest so far, or when the losses end.
    """
    cases = (
        ([0.69, 0.58, 0.66, 0.54, 0.58, 0.54, 0.58, 0.7, 0.46], 2),
        ([0.69, 0.5, 0.55, 0.6, 0.62, 0.4, 0.3], 3),
        ([0.7, 0.6, 0.5, 0.4], 2),
        ([0.5, 0.6, 0.7], 1),
    )
    for losses, patience in cases:
        stop, kept = _early_stop(losses, patience)
        overall = int(np.argmin(losses)) + 1
        rises = next((i for i in range(1, len(losses)) if losses[i] >= losses[i - 1]), None)
        first_rise = len(losses) if rises is None else rises + 1
        impatient = _early_stop(losses, max(patience - 1, 1))
        mistakes = {
            "The best of the whole list was kept: at that time, the later epochs had not been "
            "trained.": (stop, overall),
            "All epochs were trained. The point is to stop before.": (len(losses), overall),
            "The epochs are counted from 0; the first one is 1.": (stop - 1, kept - 1),
            "The weights of the last epoch were kept; keep those of the best.": (stop, stop),
            "The two are swapped: (stopped after, kept).": (kept, stop),
            "That waits one epoch too long: stop as soon as `patience` epochs in a row brought "
            "nothing.": _early_stop(losses, patience + 1),
            "That compares with the epoch before. Compare with the lowest loss so far.": (
                _after_rises(losses, patience)
            ),
            "That stops at the first rise and forgets the patience.": (first_rise, kept),
            "That stops one epoch too early.": impatient,
            "An equal loss is no improvement: only a lower one resets the waiting.": (
                _early_stop(losses, patience, equal_counts=True)
            ),
            "The waiting must begin anew whenever a new lowest loss is found.": (
                _never_reset(losses, patience)
            ),
        }
        answer = attempt(function, list(losses), patience)
        got = numbers(answer, 2, "(stopped after, kept)")
        expect(got, (stop, kept), mistakes, f"losses {losses}, patience {patience}")
    return "You never looked at an epoch that had not been trained yet."


@check
def check_honest_curve(
    function: Callable[[np.ndarray, np.ndarray], Sequence[float]],
) -> str:
    """``function(validation, test)``: the test accuracy to report at each number of sentences.

    Both have the shape (numbers, settings, seeds). At each number, the setting is chosen by its
    mean validation accuracy over the seeds.
    """
    random = np.random.default_rng(3)
    for shape in ((4, 5, 3), (3, 6, 2)):
        validation, test = random.uniform(0.5, 0.9, (2, *shape))
        v, t = validation.mean(axis=2), test.mean(axis=2)  # (numbers, settings)
        rows = np.arange(shape[0])
        right = t[rows, v.argmax(axis=1)]
        once = v.mean(axis=0).argmax()
        by_seed = np.take_along_axis(test, validation.argmax(axis=1, keepdims=True), axis=1)
        best_seed = test[rows, v.argmax(axis=1)].max(axis=1)
        lucky = validation.reshape(shape[0], -1).argmax(axis=1)
        mistakes = {
            "That chooses the setting on the test sentences, so it reports luck. Choose on "
            "validation.": t.max(axis=1),
            "That takes the best setting and the best seed on the test sentences: luck twice.": (
                test.max(axis=(1, 2))
            ),
            "That reports the validation accuracy, which has done the choosing and flatters. "
            "Choose on validation, report the test.": v.max(axis=1),
            "The choice is right, but then the luckiest seed is reported; report the mean.": (
                best_seed
            ),
            "That chooses by the best single seed on validation. Average over the seeds first.": (
                t[rows, lucky // shape[2]]
            ),
            "That chooses another setting for each seed. Average over the seeds first.": (
                by_seed.mean(axis=(1, 2))
            ),
            "That is one setting for all numbers. Few sentences may want another one than many: "
            "choose at each number.": t[:, once],
            "That averages over the settings; nobody would use an average setting.": t.mean(axis=1),
            "That chooses by validation and test together: the test still has a say.": (
                t[rows, (v + t).argmax(axis=1)]
            ),
        }
        got = _curve(attempt(function, validation.copy(), test.copy()), shape[0])
        expect(got, right, mistakes, f"(numbers, settings, seeds) = {shape}")
    return "The test sentences were asked once for each point, after the choice."


def _curve(answer: object, count: int) -> np.ndarray:
    """One accuracy for each number of sentences."""
    if getattr(answer, "ndim", 1) > 1:
        raise Mistake(f"Return one number for each number of sentences, not shape {answer.shape}.")
    return numbers(answer, count, "one accuracy for each number of sentences")


def _early_stop(
    losses: Sequence[float], patience: int, *, equal_counts: bool = False
) -> tuple[int, int]:
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best] or (equal_counts and loss == losses[best]):
            best = epoch
        elif epoch - best >= patience:
            return epoch + 1, best + 1
    return len(losses), best + 1


def _after_rises(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Waits for ``patience`` rises in a row, each against the epoch before."""
    waited = 0
    for epoch in range(1, len(losses)):
        waited = waited + 1 if losses[epoch] >= losses[epoch - 1] else 0
        if waited >= patience:
            return epoch + 1, int(np.argmin(losses[: epoch + 1])) + 1
    return len(losses), int(np.argmin(losses)) + 1


def _never_reset(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Counts the epochs without a new lowest loss, in a row or not."""
    best, waited = 0, 0
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[best]:
            best = epoch
        else:
            waited += 1
        if waited >= patience:
            return epoch + 1, best + 1
    return len(losses), best + 1

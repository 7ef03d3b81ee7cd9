"""Right and wrong answers to the exercises of notebook 9."""

from __future__ import annotations

import numpy as np

from lora_lab.exercises.data_size import (
    check_decayed,
    check_early_stop,
    check_honest_curve,
    check_true_accuracy,
)


def true_accuracy(m, e):
    return (m - e) / (1 - 2 * e)


TRUE = [
    (lambda m, e: (1 - e) * m + e * (1 - m), "forward direction"),
    (lambda m, e: m / (1 - e), "only lost right answers"),
    (lambda m, e: m + e, "adds the flipped share"),
    (lambda m, e: (m - e) / (1 - e), "not 1 - e"),
    (lambda m, e: m - e, "missing its divisor"),
    (lambda m, e: m / (1 - 2 * e), "taken off before dividing"),
    (lambda m, e: (m - e) / (1 + 2 * e), "sign"),
    (lambda m, e: 1 - true_accuracy(m, e), "wrong answers"),
    (lambda m, e: m, "what was measured"),
    (lambda m, e: 0.123, "should give"),
    (lambda m, e: str(m), "Return one number"),
    (lambda m, e: m / 0, "ZeroDivisionError"),
]


def decayed(w, direction, rate, decay):
    return w * (1 - rate * decay) - rate * direction


DECAYED = [
    (lambda w, d, r, k: w - k * w - r * d, "rate is missing in the decay"),
    (lambda w, d, r, k: w * (1 + r * k) - r * d, "decay is added"),
    (lambda w, d, r, k: w * (1 - r * k) + r * d, "direction is added"),
    (lambda w, d, r, k: w - r * d, "decay is missing"),
    (lambda w, d, r, k: w * (1 - r * k), "direction is missing"),
    (lambda w, d, r, k: (w - r * d) * (1 - r * k), "taken first"),
    (lambda w, d, r, k: w - r * k * np.sign(w) - r * d, "L1"),
    (lambda w, d, r, k: w * (1 - r * k) - d, "rate is missing in the step"),
    (lambda w, d, r, k: w * (1 - 2 * r * k) - r * d, "twice"),
    (lambda w, d, r, k: 7.7, "should give"),
]


def early_stop(losses, patience, *, start=0, reset=True, strict=True, wait=0):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        better = loss < losses[best] or (not strict and loss == losses[best])
        if epoch == 0 or better:
            best, waited = epoch, 0 if reset else waited
        else:
            waited += 1
        if waited >= patience + wait:
            return epoch + 1 - start, best + 1 - start
    return len(losses) - start, best + 1 - start


def hindsight(losses, patience):
    return early_stop(losses, patience)[0], losses.index(min(losses)) + 1


def all_trained(losses, patience):
    return len(losses), losses.index(min(losses)) + 1


def last_weights(losses, patience):
    stop, _ = early_stop(losses, patience)
    return stop, stop


def against_the_one_before(losses, patience):
    waited = 0
    for epoch in range(1, len(losses)):
        waited = waited + 1 if losses[epoch] >= losses[epoch - 1] else 0
        if waited == patience:
            return epoch + 1, losses.index(min(losses[: epoch + 1])) + 1
    return len(losses), losses.index(min(losses)) + 1


def first_rise(losses, patience):
    for epoch in range(1, len(losses)):
        if losses[epoch] >= losses[epoch - 1]:
            return epoch + 1, early_stop(losses, patience)[1]
    return len(losses), len(losses)


EARLY = [
    (hindsight, "had not been trained"),
    (all_trained, "The point is to stop before"),
    (lambda n, p: early_stop(n, p, start=1), "counted from 0"),
    (last_weights, "weights of the last epoch"),
    (lambda n, p: early_stop(n, p)[::-1], "swapped"),
    (lambda n, p: early_stop(n, p, wait=1), "one epoch too long"),
    (against_the_one_before, "lowest loss so far"),
    (first_rise, "forgets the patience"),
    (lambda n, p: early_stop(n, p, wait=-1) if p > 1 else early_stop(n, p), "too early"),
    (lambda n, p: early_stop(n, p, strict=False), "no improvement"),
    (lambda n, p: early_stop(n, p, reset=False), "begin anew"),
    (lambda n, p: early_stop(n, p)[0], "Return (stopped after, kept)"),
    (lambda n, p: (1, 1), "should give"),
]


def chosen(validation):
    return validation.mean(axis=2).argmax(axis=1)


def honest(validation, test):
    at = np.arange(len(test))
    return test.mean(axis=2)[at, chosen(validation)]


def in_a_loop(validation, test):
    found = []
    for v, t in zip(validation, test, strict=True):
        found.append(float(t[v.mean(axis=1).argmax()].mean()))
    return found


def luckiest_seed(validation, test):
    return test[np.arange(len(test)), chosen(validation)].max(axis=1)


def by_one_seed(validation, test):
    setting = validation.max(axis=2).argmax(axis=1)
    return test.mean(axis=2)[np.arange(len(test)), setting]


def for_each_seed(validation, test):
    picked = validation.argmax(axis=1)  # (numbers, seeds)
    rows, seeds = np.indices(picked.shape)
    return test[rows, picked, seeds].mean(axis=1)


HONEST = [
    (lambda v, t: t.mean(axis=2).max(axis=1), "so it reports luck"),
    (lambda v, t: t.max(axis=(1, 2)), "luck twice"),
    (lambda v, t: v.mean(axis=2).max(axis=1), "reports the validation accuracy"),
    (luckiest_seed, "luckiest seed"),
    (by_one_seed, "best single seed"),
    (for_each_seed, "another setting for each seed"),
    (lambda v, t: t.mean(axis=2)[:, v.mean(axis=(0, 2)).argmax()], "one setting for all"),
    (lambda v, t: t.mean(axis=(1, 2)), "average setting"),
    (lambda v, t: honest(v + t, t), "still has a say"),
    (lambda v, t: t[np.arange(len(t)), chosen(v)], "not shape"),
    (lambda v, t: honest(v, t)[:2], "Return one accuracy"),
    (lambda v, t: np.zeros(len(t)), "should give"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_true_accuracy: ([true_accuracy], TRUE),
    check_decayed: ([decayed], DECAYED),
    check_early_stop: ([early_stop, lambda n, p: list(early_stop(n, p))], EARLY),
    check_honest_curve: ([honest, in_a_loop], HONEST),
}

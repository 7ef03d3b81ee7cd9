"""Right and wrong answers to the exercises of notebook 8."""

from __future__ import annotations

from math import sqrt

from lora_lab.exercises.choosing import (
    check_alpha_for_rank,
    check_choice,
    check_measurable,
    check_scale,
)


def s(alpha, rank, rule):
    return alpha / (rank if rule == "alpha/r" else sqrt(rank))


SCALE = [
    (lambda a, r, rule: a, "alpha itself"),
    (lambda a, r, rule: a / r, "look at which one is asked for"),
    (lambda a, r, rule: a / sqrt(r), "look at which one is asked for"),
    (lambda a, r, rule: 1 / s(a, r, rule), "Upside down"),
    (lambda a, r, rule: a / r if rule == "alpha/r" else sqrt(a / r), "from alpha too"),
    (lambda a, r, rule: a * a / s(a, r, rule), "multiplies"),
    (lambda a, r, rule: 3.3, "should give"),
    (lambda a, r, rule: (a, r), "Return one number"),
    (lambda a, r, rule: a / 0, "ZeroDivisionError"),
]


def alpha_for(alpha, rank, new_rank, rule):
    return s(alpha, rank, rule) * alpha / s(alpha, new_rank, rule)


ALPHA = [
    (lambda a, r, n, rule: a, "left as it was"),
    (lambda a, r, n, rule: a * n / r, "other rule"),
    (lambda a, r, n, rule: a * sqrt(n / r), "other rule"),
    (lambda a, r, n, rule: a * s(a, n, rule) / s(a, r, rule), "wrong way round"),
    (lambda a, r, n, rule: s(a, r, rule), "not the alpha that gives it"),
    (lambda a, r, n, rule: 2 * n, "alpha = 2 r"),
    (lambda a, r, n, rule: alpha_for(a, r, n, rule) / a, "multiply the old alpha"),
    (lambda a, r, n, rule: 7.7, "should give"),
    (lambda a, r, n, rule: "16", "Return one number"),
]


def under(limit):
    return lambda p_values: [p < limit(len(p_values)) for p in p_values]


def bonferroni(p_values):
    return [p * len(p_values) < 0.05 for p in p_values]


def holm(p_values):
    found, limit = [False] * len(p_values), len(p_values)
    for p in sorted(p_values):
        if p * limit >= 0.05:
            break
        found[p_values.index(p)] = True
        limit -= 1
    return found


MEASURABLE = [
    (under(lambda k: 0.05), "corrects nothing"),
    (under(lambda k: 0.05 * k), "the other way"),
    (under(lambda k: 0.05 / (k - 1)), "one too few"),
    (under(lambda k: 0.05 / k**2), "corrects twice"),
    (lambda p: [not one for one in bonferroni(p)], "Upside down"),
    (holm, "Holm"),
    (lambda p: [True, False] + [False] * (len(p) - 2), "should give"),
    (lambda p: [0.05 / len(p)], "needed"),
    (lambda p: sum(bonferroni(p)), "one truth value for each"),
]


def choose(settings, budget):
    allowed = [(v, -n, at) for at, (n, v, _) in enumerate(settings) if n <= budget]
    return max(allowed)[2]


def best(column, sign=1):
    def answer(settings, budget):
        allowed = [at for at, setting in enumerate(settings) if setting[0] <= budget]
        return max(allowed, key=lambda at: sign * settings[at][column])

    return answer


CHOICE = [
    (best(2), "by test accuracy"),
    (lambda settings, budget: choose(settings, 10**9), "over the budget"),
    (lambda settings, budget: choose(settings, budget - 1), "exactly the budget"),
    (best(1), "equally good"),
    (best(0), "spends the budget"),
    (best(0, -1), "cheapest"),
    (lambda settings, budget: 99, "should give"),
    (lambda settings, budget: settings[0], "Return one number"),
    (lambda settings, budget: settings[99], "IndexError"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_scale: ([s], SCALE),
    check_alpha_for_rank: ([alpha_for], ALPHA),
    check_measurable: ([bonferroni, under(lambda k: 0.05 / k)], MEASURABLE),
    check_choice: ([choose], CHOICE),
}

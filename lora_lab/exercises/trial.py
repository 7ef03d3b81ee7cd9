"""Checks of notebook 11: reading an interval, margins, several claims, what a sample can tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from lora_lab.evaluation import Interval
from lora_lab.exercises.checking import Mistake, attempt, check, expect, numbers, one_number
from lora_lab.results.verdicts import FAILS, HOLDS, OPEN, OUTCOMES, above

NORMAL = 1.96
Rule = Callable[..., str]


@check
def check_reading(function: Callable[[float, float], str]) -> str:
    """``function(low, high)``: is the first setting better, by the interval of the difference?"""
    cases = ((0.01, 0.03), (-0.03, -0.01), (-0.001, 0.09), (-0.09, 0.001), (-0.01, 0.01))
    mistakes: dict[str, Rule] = {
        "An interval that holds 0 is not measurable. That is no refutation, since better is in "
        "there too.": lambda low, high: HOLDS if low > 0 else FAILS,
        "An interval that holds 0 is not measurable, so better has not been shown.": (
            lambda low, high: FAILS if high < 0 else HOLDS
        ),
        "That judges by the middle. Where most of the interval is on one side of 0 and some of "
        "it is not, both can be.": lambda low, high: HOLDS if low + high > 0 else FAILS,
        "The wrong way round: the interval is that of the first minus the second.": (
            lambda low, high: _above(-high, -low, 0)
        ),
        "An interval all below 0 says something: the first is measurably worse.": (
            lambda low, high: HOLDS if low > 0 else OPEN
        ),
    }
    _judge(function, cases, lambda low, high: _above(low, high, 0), mistakes, ("low", "high"))
    return "Only the two ends count. The middle says nothing about how sure it is."


@check
def check_suffices(function: Callable[[float, float, float], str]) -> str:
    """``function(low, high, margin)``: is the first as good as the second, within the margin?"""
    ends = (
        (-0.01, 0.005),
        (-0.012, -0.004),  # measurably worse, and it does not matter
        (-0.03, -0.005),
        (-0.03, 0.03),
        (-0.05, -0.03),
        (0.01, 0.03),
        (0.03, 0.05),
    )
    mistakes: dict[str, Rule] = {
        "The margin is not used: a smaller loss does not matter.": (
            lambda low, high, margin: _above(low, high, 0)
        ),
        "Not measurable is not the same as equal: the interval may also hold losses larger than "
        "the margin.": lambda low, high, margin: FAILS if high < -margin else HOLDS,
        "Not measurable is not the same as equal, and measurably worse may still not matter. "
        "Compare with the margin instead of 0.": (
            lambda low, high, margin: FAILS if high < 0 else HOLDS
        ),
        "To suffice, the first may be better by any amount: only losses count.": _equivalent,
        "The sign: a loss is negative, so the bound is -margin.": _above,
        "An interval with only a part beyond the margin refutes nothing: losses that do not "
        "matter are possible as well.": lambda low, high, m: HOLDS if low > -m else FAILS,
    }
    _judge(
        function,
        [(low, high, 0.02) for low, high in ends],
        lambda low, high, margin: _above(low, high, -margin),
        mistakes,
        ("low", "high", "margin"),
    )
    return "With a margin of 0 it would be superiority, and no sample could ever show 'equal'."


@check
def check_corrected(function: Callable[[Sequence[float]], Sequence[float]]) -> str:
    """``function(p_values)``: the p-values corrected for their number, after Bonferroni."""
    for p_values in ([0.01, 0.04, 0.2], [0.012, 0.6, 0.02, 0.3], [0.04]):
        m = len(p_values)
        where = f"p-values {p_values}"
        ranked = sorted(p_values)
        right = [min(1.0, m * p) for p in p_values]
        mistakes = {
            "Nothing is corrected: each is as it was.": p_values,
            "A probability is at most 1.": [m * p for p in p_values],
            "Divided: with more comparisons, chance finds something more easily, so each p must "
            "grow. It is the *bound* of 0.05 that would be divided.": [p / m for p in p_values],
            "Each comparison takes the rank among the p-values: that is one step of Holm's way. "
            "Bonferroni multiplies all by their number.": [
                min(1.0, (m - ranked.index(p)) * p) for p in p_values
            ],
            "Multiplied by one less. This comparison counts itself.": [
                min(1.0, (m - 1) * p) for p in p_values
            ],
        }
        got = attempt(function, list(p_values))
        if isinstance(got, str | dict):
            raise Mistake("Return a list of numbers, one for each p-value.")
        expect(numbers(got, m, "one number for each p-value"), right, mistakes, where)
    return "Looking at more things costs certainty about each: ask few questions, ask them first."


@check
def check_sentences_needed(function: Callable[[float, float], int]) -> str:
    """``function(difference, disagree)``: test sentences until a difference is measurable.

    Two models differ by ``difference``; on the share ``disagree`` of sentences just one is right.
    """
    for difference, disagree in ((0.003, 0.04), (0.02, 0.1), (0.01, 0.25)):
        where = f"difference {difference}, disagree {disagree}"
        variance = disagree - difference**2
        exact = NORMAL**2 * variance / difference**2
        mistakes = {
            "That forgets the 1.96: it makes the standard error as large as the difference, "
            "which chance does in one case of three.": math.ceil(variance / difference**2),
            "The mean square of the steps +1, 0, -1 is `disagree`. To get the variance, take the "
            "square of their mean off.": math.ceil(NORMAL**2 * disagree / difference**2),
            "The square root: the standard error falls with the root of n, so n grows with the "
            "square.": math.ceil(NORMAL * math.sqrt(variance) / difference),
            "Rounded down, n is one too small; round up.": math.floor(exact),
            "1.96 belongs inside the square.": math.ceil(NORMAL * variance / difference**2),
        }
        got = one_number(attempt(function, difference, disagree))
        if 0 < abs(got - math.ceil(exact)) < 1 and got == exact:
            raise Mistake(f"There are no parts of sentences: round up. ({where})")
        expect(got, math.ceil(exact), mistakes, where, tolerance=1e-9)
    return "Half the difference takes four times the sentences."


def _above(low: float, high: float, bound: float) -> str:
    return above(Interval(low, high), bound)


def _equivalent(low: float, high: float, margin: float) -> str:
    if high < -margin or low > margin:
        return FAILS
    return HOLDS if -margin < low and high < margin else OPEN


def _judge(
    function: Callable[..., str],
    cases: Sequence[tuple[float, ...]],
    right: Rule,
    mistakes: Mapping[str, Rule],
    names: Sequence[str],
) -> None:
    """Name the mistaken rule that gives all of the learner's answers, or the first wrong one."""
    got = [_outcome(attempt(function, *case)) for case in cases]
    if got == [right(*case) for case in cases]:
        return
    for message, rule in mistakes.items():
        if got == [rule(*case) for case in cases]:
            raise Mistake(message)
    for case, answer in zip(cases, got, strict=True):
        if answer != right(*case):
            where = ", ".join(f"{name} {value:+}" for name, value in zip(names, case, strict=True))
            raise Mistake(f"{where} should give {right(*case)!r}, yours gives {answer!r}.")


def _outcome(got: object) -> str:
    if not isinstance(got, str) or got not in OUTCOMES:
        allowed = ", ".join(repr(outcome) for outcome in OUTCOMES)
        raise Mistake(f"Return one of {allowed}; got {got!r}.")
    return got

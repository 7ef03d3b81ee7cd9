"""Checks of notebook 8: the scale of an update, many comparisons, a choice under a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

from lora_lab.exercises.checking import attempt, check, expect, numbers, one_number
from lora_lab.layers import scale

RULES = ("alpha/r", "alpha/sqrt(r)")


@check
def check_scale(function: Callable[[float, int, str], float]) -> str:
    """``function(alpha, rank, rule)``: s, what B A is multiplied by.

    ``rule`` is "alpha/r" or "alpha/sqrt(r)".
    """
    for alpha, rank in ((16, 8), (32, 64), (5, 3)):
        for rule in RULES:
            other = RULES[1 - RULES.index(rule)]
            right = scale(alpha, rank, rule)
            mistakes = {
                "That is alpha itself; the rule divides it.": alpha,
                f"That is the rule {other}; look at which one is asked for.": (
                    scale(alpha, rank, other)
                ),
                "Upside down: alpha stands above.": 1 / right,
                "The root is drawn from alpha too; rsLoRA takes it from the rank alone.": (
                    sqrt(alpha / rank)
                ),
                "That multiplies where the rule divides.": alpha**2 / right,
            }
            got = one_number(attempt(function, alpha, rank, rule))
            expect(got, right, mistakes, f"alpha = {alpha}, r = {rank}, rule {rule}")
    return "At rank 1 the two rules agree, whatever alpha is."


@check
def check_alpha_for_rank(function: Callable[[float, int, int, str], float]) -> str:
    """``function(alpha, rank, new_rank, rule)``: the alpha that keeps s when the rank changes."""
    for alpha, rank, new_rank in ((10, 8, 32), (12, 9, 3), (10, 8, 2)):
        factor = new_rank / rank
        for rule in RULES:
            right = alpha * (factor if rule == "alpha/r" else sqrt(factor))
            mistakes = {
                "alpha is left as it was. Then two things change at once: the rank, and s.": alpha,
                "That keeps s under the other rule.": (
                    alpha * (sqrt(factor) if rule == "alpha/r" else factor)
                ),
                "The wrong way round: s divides by the rank, so a larger rank needs a larger "
                "alpha.": alpha**2 / right,
                "That is s, not the alpha that gives it.": scale(alpha, rank, rule),
                "alpha = 2 r keeps s only where alpha was twice the rank before, and only under "
                "alpha/r.": 2 * new_rank,
                "That is the factor; multiply the old alpha by it.": right / alpha,
            }
            got = one_number(attempt(function, alpha, rank, new_rank, rule))
            where = f"alpha = {alpha}, rank {rank} to {new_rank}, rule {rule}"
            expect(got, right, mistakes, where)
    return "With this alpha, a table of ranks compares ranks, and not ranks and scales at once."


@check
def check_measurable(function: Callable[[Sequence[float]], Sequence[bool]]) -> str:
    """``function(p_values)``: which comparisons are measurable, after Bonferroni's correction.

    At 5% over all of them together; one truth value for each p-value, in their order.
    """
    for p_values in ([0.03, 0.0004, 0.008, 0.3, 0.011, 0.004, 0.06], [0.02, 0.01, 0.2], [0.04]):
        count = len(p_values)

        def below(limit: float, values: Sequence[float] = tuple(p_values)) -> list[bool]:
            return [p < limit for p in values]

        right = below(0.05 / count)
        mistakes = {
            "That corrects nothing: each is held against 5% as if it were the only one.": (
                below(0.05)
            ),
            "The correction goes the other way: with more comparisons each must be clearer.": (
                below(0.05 * count)
            ),
            "That divides by one too few. Each comparison counts, the first one too.": (
                below(0.05 / max(count - 1, 1))
            ),
            "That corrects twice: multiply the p-value, or divide the 5%, not both.": (
                below(0.05 / count**2)
            ),
            "Upside down: True is for those that are measurable.": [not one for one in right],
            "That is Holm's procedure, a sound one that finds more. Bonferroni's holds every "
            "p-value against the same limit.": _holm(p_values),
        }
        wanted = f"one truth value for each of the {count} p-values"
        got = numbers(attempt(function, list(p_values)), count, wanted)
        expect(got, right, mistakes, f"p-values {p_values}")
    return "Who looks at twenty settings and reports the best p-value alone has found chance."


def _holm(p_values: Sequence[float]) -> list[bool]:
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    found = [False] * len(p_values)
    for place, at in enumerate(order):
        if p_values[at] >= 0.05 / (len(p_values) - place):
            break
        found[at] = True
    return found


@check
def check_choice(function: Callable[[Sequence[tuple[int, float, float]], int], int]) -> str:
    """``function(settings, budget)``: position of the setting to take.

    Each is (parameters, validation accuracy, test accuracy). Take the best on validation that
    trains at most ``budget`` parameters; of equals, the one that trains fewer.
    """
    cases = (
        (
            [
                (295_682, 0.80, 0.805),
                (13_058, 0.73, 0.79),
                (49_922, 0.755, 0.76),
                (50_000, 0.76, 0.758),
                (2_306, 0.64, 0.63),
            ],
            50_000,
        ),
        (
            [
                (99_074, 0.741, 0.74),
                (49_922, 0.76, 0.765),
                (25_346, 0.76, 0.755),
                (37_634, 0.75, 0.79),
                (295_682, 0.80, 0.80),
                (2_306, 0.64, 0.63),
            ],
            100_000,
        ),
    )
    for settings, budget in cases:
        within = [one for one in settings if one[0] <= budget]
        below = [one for one in within if one[0] < budget]
        right = max(within, key=_by_validation)
        mistakes = {
            "That is chosen by test accuracy. Whoever chooses on the test reports luck.": (
                max(within, key=lambda one: one[2])
            ),
            "That one is over the budget.": max(settings, key=_by_validation),
            "A setting of exactly the budget is allowed.": max(below, key=_by_validation),
            "Two are equally good on validation: take the one that trains fewer parameters.": (
                max(within, key=lambda one: one[1])
            ),
            "That spends the budget; more parameters are not better by themselves.": max(within),
            "That is the cheapest, however bad.": min(within),
        }
        got = one_number(attempt(function, list(settings), budget))
        places = {says: settings.index(one) for says, one in mistakes.items()}
        expect(got, settings.index(right), places, f"budget {budget:,}, settings {settings}")
    return "The test accuracy of the one you chose is then an honest estimate."


def _by_validation(setting: tuple[int, float, float]) -> tuple[float, int]:
    """Better is larger; of equals, the one with fewer parameters."""
    parameters, validation, _ = setting
    return validation, -parameters

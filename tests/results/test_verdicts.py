"""Verdicts on made-up answers where the truth is known, and what holds for every rule."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.evaluation import Interval
from lora_lab.results.comparing import paired_difference
from lora_lab.results.stored_grid import grid_of
from lora_lab.results.verdicts import (
    FAILS,
    HOLDS,
    OPEN,
    OUTCOMES,
    Evidence,
    Verdict,
    above,
    as_markdown,
    better,
    everywhere,
    evidence_of,
    in_points,
    opposite,
    proven,
    somewhere,
    suffices,
    tally,
)

from ..made_runs import answers, lora, make_run

SENTENCES = 2000
BEST_LAST = (FAILS, OPEN, HOLDS)

bounds = st.floats(-1, 1)
intervals = st.tuples(bounds, bounds).map(lambda pair: Interval(min(pair), max(pair)))
outcomes = st.sampled_from(OUTCOMES)


def seeds(accuracy: float, sentences: int = SENTENCES, first: int = 0) -> np.ndarray:
    """(3, N) right answers of a setting whose true accuracy is known."""
    return np.array([answers(accuracy, first + seed, sentences) for seed in range(3)])


def versus(first: float, second: float, *, sentences: int = SENTENCES, comparisons: int = 1):
    return paired_difference(
        seeds(first, sentences), seeds(second, sentences, 3), comparisons=comparisons
    )


def verdict(outcome=HOLDS, **changes) -> Verdict:
    return Verdict(
        "a claim", outcome, "a reason", Evidence("full", 2062, 3, ("a command",)), **changes
    )


# ------------------------------------------------------------------ made-up answers


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [(0.85, 0.75, HOLDS), (0.75, 0.85, FAILS), (0.8, 0.8, OPEN)],
)
def test_better(first, second, outcome):
    assert better(versus(first, second)) == outcome


@pytest.mark.parametrize(
    ("lost", "outcome"),
    [(-0.05, HOLDS), (0.0, HOLDS), (0.02, OPEN), (0.05, FAILS)],
)
def test_suffices_within_two_points(lost, outcome):
    assert suffices(versus(0.8 - lost, 0.8), 0.02) == outcome


def test_few_sentences_settle_nothing():
    few = versus(0.8, 0.8, sentences=50)
    assert better(few) == suffices(few, 0.02) == OPEN
    assert suffices(versus(0.8, 0.8), 0.02) == HOLDS, "the same truth, more sentences"


def test_a_difference_that_is_measurable_may_still_not_matter():
    small = versus(0.79, 0.8, sentences=20_000)
    assert better(small) == FAILS and suffices(small, 0.02) == HOLDS


def test_equals_are_called_better_or_worse_in_at_most_5_of_100_cases():
    generator = np.random.default_rng(1)
    difficulty = generator.normal(size=300)
    found = []
    for _ in range(300):
        a, b = (
            difficulty + generator.normal(size=(3, 1)) * 0.05 + generator.normal(size=(3, 300)) > 0
            for _ in "ab"
        )
        found.append(better(paired_difference(a, b)))
    assert sum(outcome != OPEN for outcome in found) <= 0.05 * len(found) + 3 * 3.8


def test_several_claims_looked_at_together_need_more():
    once, often = versus(0.77, 0.8), versus(0.77, 0.8, comparisons=10**6)
    assert better(once) == FAILS and better(often) == OPEN


# ------------------------------------------------------------------ every rule


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
def test_better_says_what_the_p_value_says(wins, losses, comparisons):
    first = np.array([True] * wins + [False] * losses + [True] * 40)
    second = np.array([False] * wins + [True] * losses + [True] * 40)
    found = paired_difference(first, second, comparisons=comparisons)
    assert (better(found) != OPEN) == found.measurable


@given(intervals, bounds)
def test_the_claim_and_its_negation_are_symmetric(interval, bound):
    mirrored = Interval(-interval.high, -interval.low)
    assert above(mirrored, -bound) == opposite(above(interval, bound))


@given(intervals, bounds, st.floats(0, 1))
def test_a_higher_interval_or_a_lower_bound_is_never_worse(interval, bound, by):
    higher = Interval(interval.low + by, interval.high + by)
    before = BEST_LAST.index(above(interval, bound))
    assert BEST_LAST.index(above(higher, bound)) >= before
    assert BEST_LAST.index(above(interval, bound - by)) >= before


@given(intervals, bounds, st.floats(0, 1))
def test_a_wider_interval_never_settles_more(interval, bound, by):
    wider = Interval(interval.low - by, interval.high + by)
    assert above(wider, bound) in (OPEN, above(interval, bound))


@given(st.floats(0.001, 0.2), st.floats(0, 0.2))
def test_a_wider_margin_is_never_stricter(margin, by):
    for difference in (versus(0.77, 0.8), versus(0.8, 0.8, sentences=50)):
        strict = BEST_LAST.index(suffices(difference, margin))
        assert BEST_LAST.index(suffices(difference, margin + by)) >= strict


@pytest.mark.parametrize("margin", [0, -0.02, float("nan")])
def test_equality_cannot_be_shown(margin):
    with pytest.raises(ValueError, match="must be above 0"):
        suffices(versus(0.8, 0.8), margin)


@given(st.lists(outcomes, min_size=1), outcomes)
def test_parts_of_a_claim(parts, other):
    order = BEST_LAST.index
    assert order(everywhere(parts)) == min(map(order, parts))
    assert order(somewhere(parts)) == max(map(order, parts))
    assert everywhere(parts) == everywhere(reversed(parts))
    assert order(everywhere([*parts, other])) <= order(everywhere(parts))


def test_without_evidence_nothing_can_be_told():
    assert everywhere([]) == somewhere([]) == OPEN


def test_what_is_proven_is_never_open():
    assert proven(True) == HOLDS and proven(False) == FAILS


# ------------------------------------------------------------------ the table


def test_points_are_signed_and_rounded():
    assert in_points(0.0123, Interval(-0.004, 0.02)) == "+1.2 [-0.4, +2.0]"


@pytest.mark.parametrize(
    ("command", "size"),
    [("lora-lab sweep --preset inside", "full"), ('run_quick("inside")', "quick")],
)
def test_evidence_says_what_the_grid_is(tmp_path, command, size):
    configs = [lora(seed=0), lora(seed=1), lora(seed=0, method="head")]
    runs = [make_run(tmp_path / str(i), c, answers(0.8, i)) for i, c in enumerate(configs)]
    grid = grid_of(runs, command)
    fewest = Evidence(size, sentences=400, seeds=1, rerun=(command,))
    assert evidence_of(grid) == evidence_of(grid, grid) == fewest
    assert str(fewest) == f"{size}, 400 sentences, 1 seeds"


def test_two_grids_are_both_to_be_run(tmp_path):
    one = grid_of([make_run(tmp_path / "a", lora(), answers(0.8))], "lora-lab sweep --preset a")
    few = make_run(tmp_path / "b", lora(), answers(0.8, sentences=50))
    found = evidence_of(one, grid_of([few], 'run_quick("b")'))
    assert found == Evidence("quick", 50, 1, ("lora-lab sweep --preset a", 'run_quick("b")'))


def test_the_tally_names_every_outcome():
    assert tally([]) == {HOLDS: 0, FAILS: 0, OPEN: 0}
    assert tally([verdict(HOLDS), verdict(OPEN), verdict(OPEN)]) == {HOLDS: 1, FAILS: 0, OPEN: 2}


def test_the_table_has_a_row_for_each_verdict_and_nothing_breaks_it():
    odd = dataclasses.replace(verdict(FAILS), claim="a | b", because="two\nlines")
    head, rule, first, second = as_markdown([verdict(), odd]).splitlines()
    assert first.startswith("| 1 | a claim | ✔ holds | a reason | full, 2,062 sentences")
    assert second.startswith(r"| 2 | a \| b | ✘ does not hold | two lines |")
    for line in (head, rule, first, second):
        assert line.replace(r"\|", "").count("|") == 6


def test_a_verdict_in_a_sentence():
    assert str(verdict(OPEN)) == (
        "? **a claim**: cannot be told at this scale. a reason (full, 2,062 sentences, 3 seeds)"
    )

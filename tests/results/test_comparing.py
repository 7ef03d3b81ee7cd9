"""Intervals and comparisons keep their promise: checked by SciPy, by hand and by simulation."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, ttest_1samp, ttest_ind, ttest_rel

from lora_lab.results.comparing import interval_over_seeds, mean_interval, paired_difference

SENTENCES = 400


def trained(
    generator: np.random.Generator, seeds: int, difficulty: np.ndarray, spread: float
) -> np.ndarray:
    """(K, N) right answers: a sentence's difficulty, a seed's luck, and luck of its own."""
    luck = generator.normal(scale=spread, size=(seeds, 1))
    return difficulty + luck + generator.normal(size=(seeds, difficulty.shape[-1])) > 0


# ------------------------------------------------------------------ intervals


@given(correct=st.integers(0, 50), seeds=st.integers(1, 4))
def test_without_spread_between_seeds_it_is_wilsons_interval(correct, seeds):
    found = interval_over_seeds([correct / 50] * seeds, 50)
    referee = binomtest(correct, 50).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((referee.low, referee.high), abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 5000))
def test_it_holds_the_mean_and_stays_between_0_and_1(accuracies, examples):
    found = interval_over_seeds(accuracies, examples)
    assert 0 <= found.low <= np.mean(accuracies) + 1e-12
    assert np.mean(accuracies) - 1e-12 <= found.high <= 1


def test_seeds_that_disagree_make_it_wider():
    widths = []
    for spread in (0.0, 0.01, 0.03, 0.1):
        found = interval_over_seeds([0.8 - spread, 0.8, 0.8 + spread], 2000)
        widths.append(found.high - found.low)
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_more_seeds_never_make_up_for_few_sentences():
    one, many = interval_over_seeds([0.8], 100), interval_over_seeds([0.8] * 50, 100)
    assert many.high - many.low == pytest.approx(one.high - one.low)


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.05), (3, 0.05), (3, 0.1), (5, 0.2)])
def test_95_of_100_intervals_hold_the_accuracy_over_all_seeds_and_sentences(seeds, spread):
    generator = np.random.default_rng(seeds)
    base, repeats = 1.2, 1000
    truth = norm.cdf(base / np.sqrt(1 + spread**2 + 1))
    held = naive = 0
    for _ in range(repeats):
        right = trained(generator, seeds, generator.normal(base, 1, SENTENCES), spread)
        found = interval_over_seeds(right.mean(axis=1), SENTENCES)
        held += found.low <= truth <= found.high
        # What one must not do: count every answer of every seed as a sentence of its own.
        wrong = binomtest(int(right.sum()), right.size).proportion_ci(method="wilson")
        naive += wrong.low <= truth <= wrong.high
    assert held / repeats >= 0.95
    assert naive / repeats < 0.9


@pytest.mark.parametrize(("accuracies", "examples"), [([], 10), ([0.5], 0), ([1.5], 10)])
def test_what_is_no_accuracy_is_refused(accuracies, examples):
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval_over_seeds(accuracies, examples)


# ------------------------------------------------------------------ two trained models

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(answers)
def test_two_models_are_compared_by_the_binomial_sum_over_sentences_that_part_them(pairs):
    first, second = np.array(pairs).T
    found = paired_difference(first, second)
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    tail = sum(comb(wins + losses, k) for k in range(min(wins, losses) + 1)) / 2 ** (wins + losses)
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))
    assert found.value == pytest.approx((wins - losses) / len(pairs))
    assert found.basis == "mcnemar" and (found.wins, found.losses) == (wins, losses)


@given(answers)
def test_the_interval_leaves_out_0_just_when_the_difference_is_measurable(pairs):
    found = paired_difference(*np.array(pairs).T)
    assert found.measurable == (not found.interval.low <= 0 <= found.interval.high)
    assert -1 <= found.interval.low <= found.value <= found.interval.high <= 1


@given(answers)
def test_the_other_way_round_the_sign_changes_and_nothing_else(pairs):
    first, second = np.array(pairs).T
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert back.value == pytest.approx(-there.value)
    assert back.p_value == pytest.approx(there.p_value)
    assert back.interval.low == pytest.approx(-there.interval.high)


def test_a_paired_comparison_sees_what_two_intervals_hide():
    first = np.arange(1000) < 820
    second = np.arange(1000) < 800  # right on the same sentences, but for twenty
    intervals = [interval_over_seeds([right.mean()], 1000) for right in (first, second)]
    assert intervals[0].overlaps(intervals[1])
    assert paired_difference(first, second).measurable


# ------------------------------------------------------------------ several seeds


@pytest.mark.parametrize(
    ("seeds", "spread"), [((3, 3), 0.2), ((5, 2), 0.1), ((2, 2), 0.4), ((3, 3), 0.0)]
)
def test_equal_settings_are_told_apart_in_5_of_100_cases_at_most(seeds, spread):
    generator = np.random.default_rng(7)
    repeats, measurable = 600, 0
    for _ in range(repeats):
        difficulty = generator.normal(1.2, 1, SENTENCES)
        first, second = (trained(generator, k, difficulty, spread) for k in seeds)
        measurable += paired_difference(first, second).measurable
    assert measurable / repeats <= 0.06


def test_nearly_the_same_answers_of_models_that_guess_have_an_interval_one_can_read():
    """Seeds with the same first weights can stay alike: then what differs is little beside luck."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        first = generator.random((2, 600)) < 0.5
        second = first.copy()
        second[:, :17] = ~second[:, :17]
        found = paired_difference(first, second)
        assert -1 < found.interval.low < found.interval.high < 1 and not found.measurable


def test_a_real_difference_is_found():
    generator = np.random.default_rng(1)
    difficulty = generator.normal(1.0, 1, 2000)
    better = trained(generator, 5, difficulty + 0.4, 0.05)
    found = paired_difference(better, trained(generator, 5, difficulty, 0.05))
    assert found.measurable and found.value > 0 and found.basis == "seeds"
    assert found.interval.low > 0


def test_without_spread_between_seeds_it_is_the_paired_t_test():
    generator = np.random.default_rng(2)
    difficulty = generator.normal(0.5, 1, 300)
    first, second = (trained(generator, 1, difficulty, 0) for _ in range(2))
    found = paired_difference(np.repeat(first, 2, axis=0), np.repeat(second, 2, axis=0))
    referee = ttest_rel(first[0].astype(float), second[0].astype(float))
    assert found.p_value == pytest.approx(referee.pvalue)
    low, high = referee.confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))


def test_with_sentences_in_plenty_only_the_seeds_count_as_in_welchs_t_test():
    place = np.random.default_rng(4).random(20_000)
    accuracies = (0.6, 0.7, 0.75, 0.8, 0.9), (0.55, 0.6, 0.65, 0.85)
    first, second = (np.array([place < share for share in side]) for side in accuracies)
    found = paired_difference(first, second)
    referee = ttest_ind(first.mean(axis=1), second.mean(axis=1), equal_var=False)
    bounds = referee.confidence_interval()
    assert found.p_value == pytest.approx(referee.pvalue, rel=0.02)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(bounds), rel=0.02)


def test_matched_seeds_in_plenty_of_sentences_are_the_paired_t_test():
    place = np.random.default_rng(4).random(20_000)
    accuracies = (0.6, 0.7, 0.8, 0.9), (0.57, 0.65, 0.78, 0.85)
    first, second = (np.array([place < share for share in side]) for side in accuracies)
    found = paired_difference(first, second, matched=True)
    referee = ttest_rel(first.mean(axis=1), second.mean(axis=1))
    assert found.p_value == pytest.approx(referee.pvalue, rel=0.1)
    assert found.basis == "seeds"
    assert found.value == paired_difference(first, second).value


@pytest.mark.parametrize(("shared", "spread"), [(0.3, 0.0), (0.3, 0.1), (0.0, 0.3)])
def test_matched_equals_are_told_apart_in_5_of_100_cases_at_most(shared, spread):
    generator = np.random.default_rng(8)
    repeats, measurable = 600, 0
    for _ in range(repeats):
        difficulty = generator.normal(1.2, 1, SENTENCES)
        luck = generator.normal(scale=shared, size=(3, 1))
        first, second = (trained(generator, 3, difficulty + luck, spread) for _ in range(2))
        measurable += paired_difference(first, second, matched=True).measurable
    assert measurable / repeats <= 0.06


def test_luck_that_both_sides_share_cancels_when_they_are_matched():
    generator = np.random.default_rng(9)
    hard = generator.normal(1.0, 1, 2000) + np.array([[-0.8], [0.0], [0.9]])
    better, worse = (trained(generator, 3, hard + gain, 0.0) for gain in (0.2, 0.0))
    assert paired_difference(better, worse, matched=True).measurable
    assert not paired_difference(better, worse).measurable


def test_matching_needs_as_many_seeds_on_both_sides():
    right = np.ones((3, 5), dtype=bool)
    with pytest.raises(ValueError, match="3 and 2 seeds"):
        paired_difference(right, right[:2], matched=True)


def test_a_single_seed_on_one_side_is_said():
    generator = np.random.default_rng(3)
    right = trained(generator, 4, generator.normal(1, 1, 200), 0.3)
    assert paired_difference(right[0], right[1]).basis == "mcnemar"
    assert paired_difference(right[:1], right[1:]).basis == "sentences"
    assert paired_difference(right[:2], right[2:]).basis == "seeds"


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_same_answers_are_no_difference_and_opposite_ones_are(seeds):
    right = np.ones((seeds, 30), dtype=bool)
    same = paired_difference(right, right)
    assert not same.measurable and same.value == 0
    assert same.interval.low < 0 < same.interval.high, "other sentences might part them"
    assert paired_difference(right, ~right).measurable


@pytest.mark.parametrize("seeds", [1, 4])
def test_of_several_comparisons_each_takes_its_part_of_the_5_percent(seeds):
    generator = np.random.default_rng(5)
    difficulty = generator.normal(1, 1, 300)
    first, second = (trained(generator, seeds, difficulty, 0.2) for _ in "ab")
    alone = paired_difference(first, second)
    wider = [paired_difference(first, second, comparisons=m) for m in (2, 5)]
    for m, found in zip((2, 5), wider, strict=True):
        assert found.value == alone.value
        assert found.p_value == pytest.approx(min(1, m * alone.p_value))
        assert found.measurable == (not found.interval.low <= 0 <= found.interval.high)
    widths = [d.interval.high - d.interval.low for d in (alone, *wider)]
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_five_comparisons_of_equals_find_nothing_in_95_of_100_cases():
    generator = np.random.default_rng(11)
    repeats, corrected, alone = 250, 0, 0
    for _ in range(repeats):
        difficulty = generator.normal(1.2, 1, SENTENCES)
        first, *others = (trained(generator, 3, difficulty, 0.2) for _ in range(6))
        corrected += any(paired_difference(first, o, comparisons=5).measurable for o in others)
        alone += any(paired_difference(first, o).measurable for o in others)
    assert corrected / repeats <= 0.06 < alone / repeats


def test_no_comparison_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        paired_difference(np.ones(3, bool), np.ones(3, bool), comparisons=0)


def test_answers_to_different_sentences_are_refused():
    with pytest.raises(ValueError, match="same sentences"):
        paired_difference(np.ones(10, bool), np.ones(11, bool))


# ------------------------------------------------------------------ means of values


@pytest.mark.parametrize("comparisons", [1, 4])
def test_the_interval_of_a_mean_is_students(comparisons):
    values = np.random.default_rng(3).normal(2.0, 0.5, 5)
    found = mean_interval(values, comparisons=comparisons)
    referee = ttest_1samp(values, 0).confidence_interval(1 - 0.05 / comparisons)
    assert (found.low, found.high) == pytest.approx((referee.low, referee.high))


def test_values_that_agree_leave_no_doubt_about_their_mean():
    assert mean_interval([0.5, 0.5, 0.5]).low == mean_interval([0.5, 0.5, 0.5]).high == 0.5


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]]])
def test_one_value_has_no_spread(values):
    with pytest.raises(ValueError, match="two values"):
        mean_interval(values)


def test_every_comparison_counts_itself():
    with pytest.raises(ValueError, match="at least 1"):
        mean_interval([1.0, 2.0], comparisons=0)


def test_settings_taken_together_are_the_mean_of_their_differences():
    generator = np.random.default_rng(4)
    difficulty = generator.normal(size=SENTENCES)
    a, b, c, d = (trained(generator, 3, difficulty + x, 0.05) for x in (0.5, 0.3, 0.8, 0.4))
    both = paired_difference((a.astype(float) + c) / 2, (b.astype(float) + d) / 2)
    parts = paired_difference(a, b), paired_difference(c, d)
    assert both.value == pytest.approx(np.mean([part.value for part in parts]))
    widths = [part.interval.high - part.interval.low for part in (both, *parts)]
    assert widths[0] < max(widths[1:])

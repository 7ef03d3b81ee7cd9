"""Correcting for the classifier's errors: there and back, and the interval holds what it claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.evaluation import wilson_interval
from lora_lab.watching.true_share import (
    ErrorRates,
    corrected_interval,
    corrected_share,
    error_rates,
)

RATES = ErrorRates(negative=200, found=160, other=300, cleared=270)


@given(share=st.floats(0, 1))
def test_correcting_turns_observing_round(share):
    observed = RATES.observed(share)
    assert observed == pytest.approx(0.8 * share + 0.1 * (1 - share))
    called = round(observed * 10**9)
    assert corrected_share(called, 10**9, RATES) == pytest.approx(share, abs=1e-7)


def test_a_change_is_seen_with_the_slope_of_youdens_j():
    assert RATES.youden == pytest.approx(0.7)
    assert RATES.observed(0.6) - RATES.observed(0.4) == pytest.approx(0.2 * RATES.youden)
    np.testing.assert_allclose(RATES.observed(np.array([0.0, 1.0])), [0.1, 0.8])


def test_the_estimate_stays_within_0_and_1():
    assert corrected_share(0, 50, RATES) == 0 and corrected_share(50, 50, RATES) == 1
    low = corrected_interval(5, 50, RATES)
    assert low.low == 0 < low.high < 0.2, "as many as the errors alone would call negative"
    assert corrected_interval(50, 50, RATES).high == 1


def test_a_classifier_without_errors_needs_no_correction():
    """The interval is then the usual one for a share, Agresti and Coull's, close to Wilson's."""
    perfect = ErrorRates(10**7, 10**7, 10**7, 10**7)
    found, wilson = corrected_interval(30, 100, perfect), wilson_interval(30, 100)
    assert corrected_share(30, 100, perfect) == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=0.003)


@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
@pytest.mark.parametrize("labelled, sentences", [(60, 40), (200, 400)])
def test_the_interval_holds_the_truth_in_95_of_100_cases(share, labelled, sentences):
    random, held = np.random.default_rng(0), 0
    for _ in range(1500):
        rates = ErrorRates(
            labelled,
            int(random.binomial(labelled, 0.8)),
            labelled,
            int(random.binomial(labelled, 0.85)),
        )
        called = int(random.binomial(sentences, share * 0.8 + (1 - share) * 0.15))
        interval = corrected_interval(called, sentences, rates)
        held += interval.low <= share <= interval.high
    assert 0.93 <= held / 1500 <= 0.985  # one standard error is about 0.006


def test_rates_are_counted_from_labelled_sentences():
    truth = np.array([True, True, True, False, False])
    said = np.array([True, False, True, True, False])
    assert error_rates(truth, said) == ErrorRates(negative=3, found=2, other=2, cleared=1)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: ErrorRates(10, 5, 10, 5), "more often"),
        (lambda: ErrorRates(10, 11, 10, 5), "cannot be"),
        (lambda: ErrorRates(0, 0, 10, 10), "both kinds"),
        (lambda: corrected_share(3, 2, RATES), "3 of 2"),
        (lambda: corrected_interval(0, 0, RATES), "0 of 0"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()

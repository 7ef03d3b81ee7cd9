"""The paired comparison, with the binomial sum written out as its referee."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.paired import paired_change

rows = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60)


@given(rows)
def test_counts_and_p_value(answers):
    labels, before, after = np.array(answers).T
    found = paired_change(labels, before, after)
    gained = sum(b != y == a for y, b, a in answers)
    lost = sum(b == y != a for y, b, a in answers)
    assert (found.gained, found.lost) == (gained, lost)
    n, least = gained + lost, min(gained, lost)
    by_hand = min(1, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)
    assert found.p_value == pytest.approx(by_hand)
    turned = paired_change(labels, after, before)
    assert (turned.gained, turned.lost) == (lost, gained)
    assert turned.p_value == pytest.approx(found.p_value)


def test_it_sees_what_two_intervals_cannot():
    labels = np.zeros(1000, dtype=int)
    before, after = labels.copy(), labels.copy()
    before[:200] = 1
    after[:185] = 1  # 15 sentences better, none worse: 80.0% and 81.5%
    assert paired_change(labels, before, after).measurable
    assert not paired_change(labels, before, before).measurable


def test_answers_to_other_sentences_are_refused():
    with pytest.raises(ValueError, match="3 labels, 2 and 3 answers"):
        paired_change(np.zeros(3), np.zeros(2), np.zeros(3))

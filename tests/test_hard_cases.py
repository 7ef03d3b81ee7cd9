"""Which examples come first, against a plain sort of Python's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.hard_cases import least_certain, most_wrong


@st.composite
def answered(draw):
    classes, rows = draw(st.integers(2, 4)), draw(st.integers(1, 30))
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    p = generator.dirichlet(np.ones(classes), rows)
    return p, generator.integers(0, classes, rows), draw(st.integers(0, 40))


@given(answered())
def test_least_certain(case):
    p, _, count = case

    def margin(row):
        *_, second, first = sorted(p[row])
        return first - second

    assert least_certain(p, count).tolist() == sorted(range(len(p)), key=margin)[:count]


@given(answered())
def test_most_wrong(case):
    p, labels, count = case
    wrong = [row for row in range(len(p)) if list(p[row]).index(max(p[row])) != labels[row]]
    expected = sorted(wrong, key=lambda row: p[row][labels[row]])[:count]
    assert most_wrong(p, labels, count).tolist() == expected


def test_nothing_is_wrong_with_a_model_that_knows_everything():
    assert most_wrong(np.eye(3), np.arange(3), 5).size == 0
    assert least_certain(np.eye(3), 5).tolist() == pytest.approx([0, 1, 2])

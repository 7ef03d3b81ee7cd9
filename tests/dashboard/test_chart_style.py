"""What charts share: names stand where none covers another."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lora_lab.dashboard.chart_style import apart

LINE = 5  # of heights that are whole numbers, so that nothing is rounded
heights = st.lists(st.integers(0, 40), max_size=8)


@given(heights, heights)
def test_names_never_cover_one_another_nor_a_line(heights, lines):
    names = [(height, str(number)) for number, height in enumerate(heights)]
    placed = apart(names, LINE, lines)
    assert all(above - below >= LINE for (below, _), (above, _) in pairwise(placed))
    assert not [h for h in lines for place, _ in placed if place < h < place + LINE]
    assert sorted(name for _, name in placed) == sorted(name for _, name in names)
    assert all(place >= heights[int(name)] for place, name in placed)


@given(heights)
def test_names_that_have_room_stay_where_they_belong(heights):
    names = [(LINE * height, "") for height in set(heights)]
    assert apart(names, LINE, [height for height, _ in names]) == sorted(names)

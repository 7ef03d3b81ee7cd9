"""Figures of times: parts of a whole, medians with their ranges."""

from __future__ import annotations

from lora_lab import plots

TIMES = {"slow, a row with a long name": [9.0, 8.0, 12.0], "fast": [1.0, 1.1]}

FIGURES = {
    "parts": lambda: plots.part_bars(
        {"your prediction": dict.fromkeys("abcdefgh", 1 / 8), "measured": {"a": 0.9, "h": 0.1}},
        title="Parts",
        x="share of the time",
        share=True,
    ),
    "parts of one bar": lambda: plots.part_bars({"forward": {"a": 3.0}}, title="T", x="GFLOP"),
    "times": lambda: plots.time_bars(TIMES, title="Times", x="ms", floor=0.4),
    "times, no floor": lambda: plots.time_bars(TIMES, title="Times", x="ms"),
}


def test_parts_are_stacked_in_the_order_given():
    axes = plots.part_bars({"one": {"a": 0.25, "b": 0.75}, "two": {"b": 0.5}}, title="T", x="x",
                           share=True).axes[0]  # fmt: skip
    a, b = axes.containers
    assert [p.get_width() for p in a] == [0.25, 0.0], "what a row lacks is 0"
    assert [p.get_x() for p in b] == [0.25, 0.0]
    assert [p.get_width() for p in b] == [0.75, 0.5]
    assert [t.get_text() for t in axes.texts if t.get_text()] == ["25%", "75%", "50%"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is on top"


def test_time_bars_show_median_range_and_floor():
    axes = plots.time_bars({"slow": [9.0, 8.0, 12.0]}, title="T", x="ms", floor=0.5).axes[0]
    assert [p.get_width() for p in axes.patches] == [9.0]
    spread, floor = axes.lines
    assert spread.get_xdata().tolist() == [8.0, 12.0]
    assert list(floor.get_xdata()) == [0.5, 0.5]
    assert axes.texts[0].get_text().strip() == "9" and "0.5" in axes.texts[1].get_text()
    assert axes.get_xlim()[1] > 12.0

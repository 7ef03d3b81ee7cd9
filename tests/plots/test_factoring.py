"""Figures of notebook 3: verdicts of the referees, and what a random matrix does."""

from __future__ import annotations

from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from lora_lab.plots.factoring import NO_VERDICT, VERDICT_COLOURS, mixing_curves, verdict_grid

ROWS = {
    "alpha-not-alpha-over-r": {
        "autograd": "exact",
        "central differences": "approximate",
        "symbolic": "wrong",
    },
    "value": {"symbolic": "exact"},
}
GRID = [0.0, 0.5, 1.0]
CURVES = {
    "N(0, 1), the article's": [(1.0, 1.0), (0.4, 0.6), (-0.1, 0.5)],
    "orthogonal": [(1.0, 1.0)] * 3,
}
FIGURES = {
    "verdicts": lambda: verdict_grid(ROWS, title="Which referee notices?"),
    "one verdict": lambda: verdict_grid({"x": {"autograd": "wrong"}}, title="T"),
    "mixing": lambda: mixing_curves(GRID, CURVES, at=0.5, title="12 matrices", reference=0.3),
    "mixing, one curve": lambda: mixing_curves(
        GRID, {"orthogonal": CURVES["orthogonal"]}, at=0, title="1 matrix"
    ),
}


def test_each_verdict_stands_in_its_field_with_its_colour():
    axes = verdict_grid(ROWS, title="T").axes[0]
    said = {tuple(map(int, t.get_position())): t.get_text() for t in axes.texts}
    assert said == {
        (0, 0): "exact",
        (1, 0): "approximate",
        (2, 0): "wrong",
        (0, 1): NO_VERDICT,
        (1, 1): NO_VERDICT,
        (2, 1): "exact",
    }
    fields = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    for field, verdict in zip(fields, said.values(), strict=True):
        if verdict != NO_VERDICT:
            assert to_hex(field.get_facecolor()).upper() == VERDICT_COLOURS[verdict][0].upper()
    assert len({colour for colour, _ in VERDICT_COLOURS.values()}) == 3
    assert [t.get_text() for t in axes.get_xticklabels()] == list(ROWS["alpha-not-alpha-over-r"])


def test_mixing_shows_cosines_left_answers_right_and_the_chosen_t():
    left, right = mixing_curves(GRID, CURVES, at=0.5, title="T", reference=0.3).axes
    assert left.lines[0].get_xydata().tolist() == [[0, 1], [0.5, 0.4], [1, -0.1]]
    assert right.lines[0].get_xydata().tolist() == [[0, 1], [0.5, 0.6], [1, 0.5]]
    assert list(left.lines[2].get_ydata()) == [0.3, 0.3], "the reference"
    assert all(list(axes.lines[-1].get_xdata()) == [0.5, 0.5] for axes in (left, right))
    assert left.get_ylim()[0] < -0.1, "negative cosines are seen"

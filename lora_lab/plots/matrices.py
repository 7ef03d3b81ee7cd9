"""Matrices as rectangles, all to the same scale: what is large and what is small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lora_lab.plots.style import GREY, ORANGE, STYLE, figure_of

THINNEST = 0.012  # of the largest side: a rank of 1 must still be seen


@dataclass(frozen=True)
class Matrix:
    """A rectangle ``rows`` high and ``columns`` wide; what learns has another colour."""

    name: str
    rows: int
    columns: int
    learns: bool = False


def to_scale(terms: Sequence[Matrix | str], title: str = "") -> Figure:
    """A formula with its matrices drawn to scale, from left to right.

    Args:
        terms: matrices, and texts for what stands between them, such as "+" or "s".
    """
    matrices = [term for term in terms if isinstance(term, Matrix)]
    largest = max(max(m.rows, m.columns) for m in matrices)
    gap, at = 0.08, 0.0
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 4.2)
        for term in terms:
            if isinstance(term, str):
                room = gap + 0.035 * len(term)
                axes.text(at + room / 2, 0, term, ha="center", va="center", fontsize=18)
                at += room
                continue
            width, height = (max(side / largest, THINNEST) for side in (term.columns, term.rows))
            room = max(width, 0.02 * len(f"{term.rows:,} × {term.columns:,}"))  # for the label
            left = at + (room - width) / 2
            colour = ORANGE if term.learns else GREY
            axes.add_patch(
                Rectangle((left, -height / 2), width, height, fc=colour, ec="black", alpha=0.75)
            )
            middle = left + width / 2
            axes.text(middle, height / 2 + 0.03, term.name, ha="center", va="bottom", fontsize=16)
            numbers = f"{term.rows:,} × {term.columns:,}\n{term.rows * term.columns:,}"
            axes.text(middle, -height / 2 - 0.03, numbers, ha="center", va="top", fontsize=11)
            at += room + 0.02
        axes.set(xlim=(-0.02, at), ylim=(-0.72, 0.66), aspect="equal")
        axes.set_axis_off()
        axes.set_title(title)
        kinds = {term.learns for term in matrices}
        handles = [
            Rectangle((0, 0), 1, 1, fc=colour, ec="black", alpha=0.75, label=name)
            for learns, colour, name in ((False, GREY, "frozen"), (True, ORANGE, "learns"))
            if learns in kinds
        ]
        axes.legend(
            handles=handles, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2
        )
    return figure

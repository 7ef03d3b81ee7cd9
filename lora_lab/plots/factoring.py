"""What the referees say about a derivation, and how far a model moves with its factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lora_lab.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    STYLE,
    figure_of,
    label,
)

#: Colour of each verdict, and of its word.
VERDICT_COLOURS = {"exact": (BLUE, "white"), "approximate": (SKY, "black"), "wrong": (RED, "white")}
NO_VERDICT = "not asked"


def verdict_grid(rows: Mapping[str, Mapping[str, str]], *, title: str) -> Figure:
    """A field per row and referee, coloured by its verdict: exact, approximate or wrong.

    Args:
        rows: verdicts by referee; a referee that a row lacks was not asked.
    """
    referees = list(dict.fromkeys(name for row in rows.values() for name in row))
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(10, 1.7 + 0.55 * len(rows))
        for y, row in enumerate(rows.values()):
            for x, referee in enumerate(referees):
                verdict = row.get(referee, NO_VERDICT)
                colour, ink = VERDICT_COLOURS.get(verdict, ("white", GREY))
                axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fc=colour, ec="none"))
                axes.text(x, y, verdict, ha="center", va="center", color=ink)
        axes.set_xlim(-0.5, len(referees) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xticks(range(len(referees)), referees)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        label(axes, title, "referee", "", grid=False)
    return figure


def mixing_curves(
    grid: Sequence[float],
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    at: float,
    title: str,
    reference: float | None = None,
) -> Figure:
    """What is left of a model as U goes from the identity (t = 0) to a random R (t = 1).

    Args:
        grid: the t that were tried.
        curves: for each kind of R, at each t: the mean cosine to the intact representation,
            and the share of answers that are still the same.
        at: a dashed line at this t.
        reference: a cosine to compare with, such as that of two different sentences.
    """
    styles = ((RED, "o-"), (GREEN, "s-"), (PURPLE, "^-"), (ORANGE, "v-"))
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(13, 4.4, columns=2)
        below = "t in U = (1 - t) I + t R"
        label(left, f"{title}: what the head reads", below, "mean cosine to the intact one")
        label(right, "What it answers", below, "share of the same answers")
        for number, (name, points) in enumerate(curves.items()):
            colour, marks = styles[number % len(styles)]
            for axes, values in zip((left, right), zip(*points, strict=True), strict=True):
                axes.plot(grid, values, marks, color=colour, ms=6, label=name)
        if reference is not None:
            left.axhline(reference, color=GREY, ls=":", label="another sentence")
        for axes in (left, right):
            axes.axvline(at, color="black", ls="--", lw=1.5, label=f"t = {at:g}")
            axes.set_xlim(-0.02, 1.02)
        lowest = min(0.0, *(cosine for points in curves.values() for cosine, _ in points))
        left.set_ylim(lowest - 0.05, 1.05)
        right.set_ylim(0, 1.05)
        right.legend(
            *left.get_legend_handles_labels(),
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
        )
    return figure

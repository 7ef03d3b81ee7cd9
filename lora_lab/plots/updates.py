"""What is inside an update: subspaces compared, sizes beside the base weight, words left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("--", ":", "-.")
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)


def update_spectra(
    groups: Mapping[str, Sequence[np.ndarray]], base: np.ndarray, title: str
) -> Figure:
    """Singular values of updates beside those of the base weight, and the energy they hold.

    Args:
        groups: for each rank the spectra of its runs, all in one colour.
        base: singular values of W.
    """
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(11, 4.8, columns=2)
        label(left, "Singular values", "number i (logarithmic)", "σᵢ (logarithmic)")
        label(right, "Energy kept (dotted: 90%)", "rank k (logarithmic)", "share of the energy")
        for number, (name, spectra) in enumerate({"the base weight W": [base], **groups}.items()):
            style = dict(
                color=(GREY, *PALETTE)[number], marker=(",", *MARKERS)[number], ms=5, lw=1.5
            )
            for run, sigma in enumerate(spectra):
                count = np.arange(1, len(sigma) + 1)
                name_once = name if run == 0 else None
                left.plot(count, np.where(sigma > 0, sigma, np.nan), **style)
                energy = np.square(sigma).cumsum() / np.square(sigma).sum()
                right.plot(count, energy, label=name_once, **style)
        for axes in (left, right):
            axes.set_xscale("log")
        left.set_yscale("log")
        right.set_ylim(0, 1.03)
        right.axhline(0.9, color=GREY, ls=":", lw=1.5)
        right.legend(frameon=False, loc="lower right")
        figure.suptitle(title, x=0.01, ha="left", fontsize=14)
    return figure


def similarity_grids(
    grids: Mapping[str, pd.DataFrame], title: str, *, down: str, across: str
) -> Figure:
    """phi(i, j) as one picture per grid, all on the same scale from 0 to 1.

    Args:
        grids: rows i and columns j, named by how many directions they take.
        down, across: whose directions i and j count.
    """
    with matplotlib.rc_context(STYLE):
        figure, row = figure_of(11, 4.6, columns=len(grids), squeeze=False)
        for axes, (name, grid) in zip(row[0], grids.items(), strict=True):
            picture = axes.imshow(grid.to_numpy(), cmap="viridis", vmin=0, vmax=1, aspect="auto")
            label(axes, name, across, down if axes is row[0][0] else "", grid=False)
            axes.set_xticks(*_ticks(grid.columns))
            axes.set_yticks(*_ticks(grid.index))
        figure.colorbar(picture, ax=list(row[0]), label="φ(i, j)")
        figure.suptitle(title, x=0.01, ha="left", fontsize=14)
    return figure


def _ticks(values: Sequence[int]) -> tuple[list[int], list[str]]:
    """At most eight of these, so that none overlap."""
    places = list(range(0, len(values), -(-len(values) // 8)))
    return places, [str(values[place]) for place in places]


def over_matrices(
    matrices: Sequence[str],
    groups: Mapping[str, Sequence[Sequence[float]]],
    *,
    title: str,
    y: str,
    levels: Mapping[str, float] | None = None,
    log: bool = False,
) -> Figure:
    """Dots for each matrix, along the network from bottom to top; several groups side by side.

    Args:
        groups: for each group the values in every matrix, one for each run (or pair of runs).
        levels: dashed lines with their names.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 4.8)
        label(axes, title, "matrix (layer and kind)", y)
        for number, (name, values) in enumerate(groups.items()):
            shift = 0.2 * (number - (len(groups) - 1) / 2)
            at = [place + shift for place, here in enumerate(values) for _ in here]
            axes.plot(
                at,
                [value for here in values for value in here],
                MARKERS[number % len(MARKERS)],
                color=PALETTE[number % len(PALETTE)],
                ms=8,
                alpha=0.75,
                label=name,
            )
        axes.set_xticks(range(len(matrices)), matrices)
        axes.tick_params(axis="x", rotation=45)
        if log:
            axes.set_yscale("log")
        for number, (name, value) in enumerate((levels or {}).items()):
            axes.axhline(value, color=GREY, ls=DASHES[number % len(DASHES)], lw=1.5, label=name)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def word_effects(
    words: Sequence[str], effects: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """What the probability of each model's answer loses without each word; one panel per model."""
    with matplotlib.rc_context(STYLE):
        figure, row = figure_of(
            11, 1.8 + 0.42 * len(words), columns=len(effects), squeeze=False, sharey=True
        )
        reach = 1.15 * max(0.05, *(abs(value) for values in effects.values() for value in values))
        for axes, (name, values) in zip(row[0], effects.items(), strict=True):
            _bars(axes, np.asarray(values, dtype=float), reach)
            label(axes, name, "probability lost without the word", "", grid=False)
        row[0][0].set_yticks(range(len(words)), words)
        row[0][0].set_ylim(len(words) - 0.5, -0.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=14)
    return figure


def _bars(axes: Axes, values: np.ndarray, reach: float) -> None:
    shades = [BLUE if value >= 0 else ORANGE for value in values]
    axes.barh(range(len(values)), values, 0.65, color=shades)
    axes.axvline(0, color=GREY, lw=1)
    axes.set_xlim(-reach, reach)

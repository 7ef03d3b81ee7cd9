"""Low rank to look at: singular values, energy, pictures cut to a rank, what a cut costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
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

PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
DASHES = ("-", "--", "-.", ":", "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P")
SMALLEST = 1e-5  # of a matrix's norm; a line ends where its values are below
SMALLEST_ERROR = 1e-10  # what is below is drawn here


def singular_values(
    spectra: Mapping[str, Sequence[float]], title: str, *, rank: int | None = None
) -> Figure:
    """Singular values as shares of the matrix's norm, on a log scale, and the energy they hold.

    Args:
        spectra: all singular values of each matrix; the dotted line is at 90% of the energy.
        rank: a dashed line.
    """
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(11, 4.8, columns=2)
        label(left, "Singular values", "number i", "σᵢ / norm of the matrix")
        label(right, "Energy kept (dotted: 90%)", "rank k", "share of the energy")
        for number, (name, values) in enumerate(spectra.items()):
            sigma = np.sort(np.asarray(values, dtype=float))[::-1]
            sigma = sigma / np.sqrt((sigma**2).sum())
            style = _line(number)
            left.plot(range(1, len(sigma) + 1), np.where(sigma < SMALLEST, np.nan, sigma), **style)
            energy = np.concatenate([[0.0], (sigma**2).cumsum()])
            right.plot(range(len(energy)), energy, label=name, **style)
        left.set_yscale("log")
        right.set_ylim(0, 1.03)
        right.axhline(0.9, color=GREY, ls=":", lw=1.5)
        if rank is not None:
            for axes in (left, right):
                axes.axvline(rank, color=RED, ls="--", lw=1.5)
        right.legend(frameon=False, loc="lower right")
        _headline(figure, title)
    return figure


def pictures(
    images: Mapping[str, Any], title: str, *, signed: Sequence[str] = (), shared: bool = True
) -> Figure:
    """Matrices as pictures side by side, from black (small) to white (large).

    Args:
        signed: names of those in which 0 is white and the sign has a colour.
        shared: all others have the first one's black and white; otherwise each its own.
    """
    with matplotlib.rc_context(STYLE):
        arrays = {name: np.asarray(image, dtype=float) for name, image in images.items()}
        first = next(iter(arrays.values()))
        tall = max(array.shape[0] / array.shape[1] for array in arrays.values())
        height = min(3.8, 1.0 + tall * 11 / len(arrays))  # no gap below the headline
        figure, grid = figure_of(11, height, columns=len(images), squeeze=False)
        for axes, (name, array) in zip(grid[0], arrays.items(), strict=True):
            if name in signed:
                limit = abs(array).max() or 1.0
                axes.imshow(array, cmap="PuOr", vmin=-limit, vmax=limit)
            else:
                of = first if shared else array
                axes.imshow(array, cmap="gray", vmin=of.min(), vmax=of.max())
            axes.set_title(name)
            axes.set_axis_off()
        _headline(figure, title)
    return figure


def ellipse(matrix: Any, title: str) -> Figure:
    """What a 2 x 2 matrix does to the unit circle, with its singular vectors."""
    M = np.asarray(matrix, dtype=float)
    U, S, Vh = np.linalg.svd(M)
    angle = np.linspace(0, 2 * np.pi, 241)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, points)
    reach = 1.35 * max(1.0, S[0])
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(10, 5.4, columns=2)
        _arrows(left, circle, Vh, ("v₁", "v₂"), 0.14 * reach)
        _arrows(right, M @ circle, (U * S).T, ("σ₁u₁", "σ₂u₂"), 0.14 * reach)
        label(left, "Before: all x of length 1", "x₁", "x₂")
        label(right, "After: W x", "first output", "second output")
        for axes in (left, right):
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        _headline(figure, title)
    return figure


def _arrows(
    axes: Axes, outline: np.ndarray, arrows: np.ndarray, names: Sequence[str], gap: float
) -> None:
    axes.plot(*outline, color=GREY)
    for colour, arrow, name in zip((BLUE, RED), arrows, names, strict=True):
        if np.linalg.norm(arrow) < 1e-9:
            continue
        axes.plot([0, arrow[0]], [0, arrow[1]], color=colour, lw=3)
        axes.plot(*arrow, "o", color=colour, ms=8)
        beyond = arrow * (1 + gap / np.linalg.norm(arrow))
        axes.text(*beyond, name, color=colour, ha="center", va="center", fontsize=15)


def over_rank(
    ranks: Sequence[int],
    curves: Mapping[str, Sequence[Any]],
    *,
    title: str,
    y: str,
    x: str = "rank k",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """One curve per name over the ranks, evenly spaced; a point is a value or (value, low, high).

    Args:
        levels: dashed horizontal lines with their names.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 5)
        label(axes, title, x, y)
        at = np.arange(len(ranks))
        for number, (name, values) in enumerate(curves.items()):
            points = np.array(values, dtype=float)
            style = dict(marker=MARKERS[number % len(MARKERS)], ms=8, label=name, **_line(number))
            if points.ndim == 2:
                value, low, high = points.T
                shift = 0.06 * (number - (len(curves) - 1) / 2)  # so that intervals can be seen
                axes.errorbar(at + shift, value, [value - low, high - value], capsize=4, **style)
            else:
                axes.plot(at, points, **style)
        for number, (name, value) in enumerate((levels or {}).items()):
            axes.axhline(value, color=GREY, ls=DASHES[1 + number % 3], lw=1.5, label=name)
        axes.set_xticks(at, [f"{rank:,}" for rank in ranks])
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def over_steps(
    steps: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    *,
    title: str,
    y: str,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """A quantity of a matrix while it is trained; ``levels`` are dashed lines with names."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 4.6)
        label(axes, title, "optimiser step", y)
        for number, (name, values) in enumerate(curves.items()):
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(steps, values, marker=marker, ms=7, label=name, **_line(number))
        for number, (name, value) in enumerate((levels or {}).items()):
            axes.axhline(value, color=GREY, ls=DASHES[1 + number % 3], lw=1.5, label=name)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def rank_dots(rows: Mapping[str, Mapping[str, Sequence[float]]], *, title: str, x: str) -> Figure:
    """Some dots of each group in each row: one dot per matrix, a row per kind of matrix."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 2.0 + 0.6 * len(rows))
        label(axes, title, x, "")
        for row, groups in enumerate(rows.values()):
            for number, (name, values) in enumerate(groups.items()):
                height = row + 0.2 * (number - (len(groups) - 1) / 2)
                axes.plot(
                    values,
                    [height] * len(values),
                    MARKERS[number % len(MARKERS)],
                    color=PALETTE[number % len(PALETTE)],
                    ms=8,
                    alpha=0.75,
                    label=name if row == 0 else None,
                )
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def recovery(
    errors: Sequence[float],
    observed: Sequence[float],
    planted: Sequence[float],
    rank: int,
    found: float,
    title: str,
) -> Figure:
    """Gradient descent on B and A beside what the SVD says is possible.

    Args:
        errors: distance of B A to the matrix that was observed, step by step.
        observed, planted: distance of the best approximation of rank 0, 1, ... to the matrix
            that was observed, and to the one that was planted in it.
        rank: of B and A.
        found: distance of the last B A to what was planted.
    """
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(11, 4.8, columns=2)
        label(left, "Gradient descent on B and A", "step", "distance to the observed matrix")
        label(right, "The best of each rank (SVD)", "rank", "distance")
        left.plot(np.maximum(errors, SMALLEST_ERROR), color=BLUE, label=f"B A, rank {rank}")
        best = max(observed[rank], SMALLEST_ERROR)
        left.axhline(best, color=RED, ls="--", label="best of this rank")
        left.set_yscale("log")
        lowest = max(min(best, *errors), SMALLEST_ERROR)
        left.set_ylim(lowest / (max(errors) / lowest) ** 0.1)  # a little air below
        left.legend(frameon=False, loc="upper right")
        ranks = range(len(observed))
        right.plot(ranks, observed, color=BLUE, marker="o", ms=5, label="to the observed")
        right.plot(ranks, planted, "--", color=ORANGE, marker="s", ms=5, label="to the planted")
        right.axvline(rank, color=GREY, ls=":", lw=1.5)
        right.plot([rank], [errors[-1]], "*", color=BLUE, mec="black", ms=17)
        right.plot([rank], [found], "*", color=ORANGE, mec="black", ms=17)
        right.set_ylim(bottom=0)
        right.legend(frameon=False, loc="upper right", title="stars: gradient descent")
        _headline(figure, title)
    return figure


def _line(number: int) -> dict[str, Any]:
    return dict(color=PALETTE[number % len(PALETTE)], ls=DASHES[number % len(DASHES)])


def _headline(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=14)

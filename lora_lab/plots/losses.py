"""Losses, their slopes and the errors of a gradient: data in, ``Figure`` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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

#: Colour, dashes and marker together, so that lines differ without colour as well.
LINES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (ORANGE, ":"), (PURPLE, "-"), (SKY, "--"))

Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def lines(
    curves: Curves,
    *,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    mark: Mapping[str, float] | None = None,
    y_limits: tuple[float, float] | None = None,
) -> Figure:
    """Named curves in one chart; a curve has a gap where it is not finite.

    Args:
        curves: name -> (x values, y values).
        mark: name -> x, each a vertical dotted line.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 4.6)
        _draw(axes, curves, log_x=log_x, log_y=log_y)
        for (name, at), colour in zip((mark or {}).items(), (GREY, PURPLE, ORANGE), strict=False):
            axes.axvline(at, color=colour, ls=":", label=name)
        if y_limits is not None:
            axes.set_ylim(*y_limits)
        label(axes, title, x, y)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _draw(axes, curves: Curves, *, log_x: bool, log_y: bool) -> None:
    for number, (name, (xs, ys)) in enumerate(curves.items()):
        colour, dashes = LINES[number % len(LINES)]
        heights = np.array(ys, dtype=float)
        heights[~np.isfinite(heights)] = np.nan
        if log_y:
            heights[heights <= 0] = np.nan  # an error of exactly 0 has no place on this scale
        axes.plot(np.array(xs, dtype=float), heights, dashes, color=colour, label=name)
    axes.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")


def loss_and_tangent(
    grid: Sequence[float],
    losses: Sequence[float],
    z: float,
    loss: float,
    slope: float,
    title: str,
) -> Figure:
    """A loss over the logit, with its tangent at ``z``.

    Args:
        grid, losses: (n,) logits and the loss at each.
        z, loss, slope: where the tangent touches, and its height and steepness there.
    """
    grid, losses = np.asarray(grid, dtype=float), np.asarray(losses, dtype=float)
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(9, 4.6)
        axes.plot(grid, losses, color=BLUE, label="loss")
        axes.plot(grid, loss + slope * (grid - z), "--", color=ORANGE, label="tangent")
        axes.plot([z], [loss], "o", color=RED, ms=10, label="here")
        axes.set_xlim(grid.min(), grid.max())
        axes.set_ylim(-0.6, 1.05 * losses.max())
        label(axes, title, "logit z", "loss (nats)")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def secant_and_errors(
    grid: Sequence[float],
    values: Sequence[float],
    z: float,
    value: float,
    slope: float,
    secant: tuple[float, float, float, float],
    errors: Curves,
    here: tuple[float, float],
    title: str,
) -> Figure:
    """Left, a function with its tangent and a secant; right, the error of the secant's slope.

    Args:
        grid, values: (n,) the function.
        z, value, slope: the tangent.
        secant: x of the left point, its height, x of the right point, its height.
        errors: name -> (step sizes, errors), drawn on two logarithmic axes.
        here: step and error of the secant on the left; a non-positive error is not drawn.
    """
    grid = np.asarray(grid, dtype=float)
    x_left, y_left, x_right, y_right = secant
    step, error = here
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(13, 4.8, columns=2)
        left.plot(grid, values, color=BLUE, label="loss")
        left.plot(grid, value + slope * (grid - z), "--", color=ORANGE, label="tangent")
        left.plot([x_left, x_right], [y_left, y_right], "o-", color=RED, ms=8, label="secant")
        left.set_xlim(grid.min(), grid.max())
        label(left, title, "logit z", "loss (nats)")
        left.legend(frameon=False, loc="upper right")
        _draw(right, errors, log_x=True, log_y=True)
        right.axvline(step, color=GREY, ls=":")
        if np.isfinite(error) and error > 0:
            right.plot([step], [error], "o", color=RED, ms=10, label="this secant")
        label(right, "Error of the slope", "step h (logits)", "|error| (nats per logit)")
        right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def loss_plane(
    across: Sequence[float],
    up: Sequence[float],
    heights: np.ndarray,
    paths: Curves,
    *,
    title: str,
    x: str,
    y: str,
) -> Figure:
    """Contour lines of a loss on a plane of weights, and the paths of descents on it.

    Args:
        across, up: (n,) and (m,) coordinates; heights: (m, n) the loss.
        paths: name -> coordinates of the points of a path, step by step.
    """
    heights = np.asarray(heights, dtype=float)
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(10, 5.6)
        low, high = heights.min(), heights.max()
        # Levels crowd near the minimum, where the steps are small.
        levels = low + (high - low) * np.linspace(0.02, 1, 22) ** 2
        field = axes.contourf(across, up, heights, levels, cmap="viridis_r", extend="both")
        axes.contour(across, up, heights, levels, colors="white", linewidths=0.6)
        figure.colorbar(field, ax=axes, label="risk (nats)", format="%.2f")
        for number, (name, (xs, ys)) in enumerate(paths.items()):
            colour = (RED, "black", ORANGE)[number % 3]
            axes.plot(xs, ys, "o-", color=colour, ms=4, lw=1.5, label=name)
        axes.set_xlim(min(across), max(across))
        axes.set_ylim(min(up), max(up))
        axes.yaxis.set_major_locator(MaxNLocator(6, prune="lower"))  # the corner is the x axis's
        label(axes, title, x, y, grid=False)
        axes.legend(loc="upper right", framealpha=0.9)
    return figure


def class_push(
    names: Sequence[str], probabilities: Sequence[float], gradient: Sequence[float], title: str
) -> Figure:
    """Each class's probability, and the way in which a step of descent pushes its logit."""
    rows = range(len(names))
    push = -np.asarray(gradient, dtype=float)
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(11, 1.9 + 0.55 * len(names), columns=2, sharey=True)
        left.barh(rows, probabilities, 0.6, color=SKY)
        left.set_xlim(0, 1)
        label(left, title, "probability p", "")
        left.set_yticks(rows, list(names))
        left.set_ylim(len(names) - 0.5, -0.5)
        right.barh(rows, push, 0.6, color=[BLUE if value > 0 else RED for value in push])
        right.axvline(0, color="black", lw=1)
        right.set_xlim(-1.02, 1.02)
        right.set_xticks([-1, -0.5, 0, 0.5, 1])
        label(right, "Push on its logit", "-dL/dz = [c = y] - p", "")
    return figure

"""Figures of notebook 1: loss and tangent, descent, finite differences, softmax."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lab.plots.losses import (
    class_push,
    lines,
    loss_and_tangent,
    loss_plane,
    secant_and_errors,
)

GRID = np.linspace(-6, 6, 50)
SOFTPLUS = np.log1p(np.exp(-GRID))
STEPS = np.logspace(-12, 0, 13)
ERRORS = {"float64, symmetric": (STEPS, STEPS**2 + 1e-16 / STEPS), "float32": (STEPS, STEPS)}
ACROSS, UP = np.linspace(-1, 3, 20), np.linspace(-1, 1, 15)
HEIGHTS = 0.5 + (ACROSS[None, :] - 1) ** 2 + 4 * UP[:, None] ** 2

FIGURES = {
    "lines": lambda: lines(
        {"right": ([1, 2, 3], [0.7, 0.5, 0.4]), "a curve with a long name": ([1, 2], [1, np.inf])},
        title="Risk",
        x="step",
        y="risk (nats)",
        mark={"predicted": 2},
    ),
    "lines, both logarithmic": lambda: lines(
        ERRORS, title="Error", x="step h", y="error", log_x=True, log_y=True
    ),
    "tangent": lambda: loss_and_tangent(GRID, SOFTPLUS, -2, 2.1, -0.88, "y = 1: loss 2.1"),
    "secant": lambda: secant_and_errors(
        GRID,
        SOFTPLUS,
        1,
        0.31,
        -0.27,
        (0.5, 0.47, 1.5, 0.2),
        ERRORS,
        (0.5, 1e-2),
        "Secant -0.2687, tangent -0.2689",
    ),
    "plane": lambda: loss_plane(
        ACROSS,
        UP,
        HEIGHTS,
        {"descent": ([0, 0.5, 1], [0, 0.2, 0])},
        title="Path",
        x="towards the optimum",
        y="aside",
    ),
    "push": lambda: class_push(
        ["negative", "neutral", "positive"], [0.2, 0.3, 0.5], [0.2, 0.3, -0.5], "Truth: positive"
    ),
}


def test_what_is_not_finite_is_a_gap_and_an_error_of_zero_too():
    curve = {"a": ([1, 2, 3, 4], [1.0, np.inf, np.nan, 0.0])}
    plain = lines(curve, title="T", x="x", y="y").axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(plain, [1, np.nan, np.nan, 0])
    log = lines(curve, title="T", x="x", y="y", log_y=True).axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(log, [1, np.nan, np.nan, np.nan])


def test_the_data_of_the_caller_is_left_alone():
    values = np.array([1.0, np.inf])
    lines({"a": ([1, 2], values)}, title="T", x="x", y="y")
    assert values[1] == np.inf


def test_the_tangent_touches_with_its_slope():
    axes = loss_and_tangent(GRID, SOFTPLUS, -2, 2.1, -0.88, "T").axes[0]
    curve, tangent, dot = axes.lines
    np.testing.assert_allclose(np.diff(tangent.get_ydata()) / np.diff(GRID), -0.88)
    assert np.interp(-2, GRID, tangent.get_ydata()) == pytest.approx(2.1)
    assert dot.get_xydata().tolist() == [[-2, 2.1]]


def test_the_secant_ends_where_it_is_told_and_its_error_is_marked():
    left, right = FIGURES["secant"]().axes
    assert left.lines[2].get_xydata().tolist() == [[0.5, 0.47], [1.5, 0.2]]
    assert right.lines[-1].get_xydata().tolist() == [[0.5, 1e-2]]
    assert right.get_xscale() == right.get_yscale() == "log"


def test_a_push_is_the_negative_gradient():
    right = FIGURES["push"]().axes[1]
    assert [bar.get_width() for bar in right.patches] == [-0.2, -0.3, 0.5]

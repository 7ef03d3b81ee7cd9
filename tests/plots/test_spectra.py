"""Figures of notebook 2: singular values, pictures, ranks."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lab.plots import spectra

RANDOM = np.random.default_rng(0)
NOISE = np.linalg.svd(RANDOM.normal(size=(40, 30)), compute_uv=False)
STEEP = 2.0 ** -np.arange(60)
IMAGE = RANDOM.random((20, 30))
RANKS = (0, 1, 2, 4, 8, 16, 64, 192, 384)
INTERVALS = [(0.5 + r / 1000, 0.45 + r / 1000, 0.55 + r / 1000) for r in RANKS]

FIGURES = {
    "spectra": lambda: spectra.singular_values(
        {"random, same size": NOISE, "steep": STEEP}, "A title of about one line " * 3, rank=8
    ),
    "spectra, one": lambda: spectra.singular_values({"W": NOISE}, "W"),
    "pictures": lambda: spectra.pictures(
        {"original": IMAGE, "rank 8": IMAGE, "difference": IMAGE - 0.5}, "T", signed=("difference",)
    ),
    "pictures, no difference": lambda: spectra.pictures(
        {"a": IMAGE, "d": 0 * IMAGE}, "T", signed=("d",), shared=False
    ),
    "ellipse": lambda: spectra.ellipse([[2.0, 0.5], [0.1, 0.7]], "T"),
    "ellipse, flat": lambda: spectra.ellipse([[2.0, 0.0], [1.0, 0.0]], "T"),
    "over rank, intervals": lambda: spectra.over_rank(
        RANKS, {"update cut": INTERVALS, "weight cut": INTERVALS}, title="T", y="accuracy"
    ),
    "over rank, levels": lambda: spectra.over_rank(
        RANKS, {"a": RANKS}, title="T", y="y", levels={"chance": 1.0, "all": 300.0}
    ),
    "over steps": lambda: spectra.over_steps(
        [1, 10, 20], {"change": [300, 200, 100]}, title="T", y="rank", levels={"W": 320.0}
    ),
    "dots": lambda: spectra.rank_dots(
        {"query": {"W": [1, 2], "change": [3]}, "feed-forward down": {"W": [2], "change": [1]}},
        title="T",
        x="effective rank",
    ),
    "recovery": lambda: spectra.recovery([3.0, 1.0, 0.0], [3, 2, 1, 0], [3, 2, 1, 1], 2, 1.1, "T"),
}


def test_spectra_are_shares_of_the_norm_and_energy_ends_at_one():
    left, right = spectra.singular_values({"a": [1.0, 3.0]}, "T").axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), np.array([3, 1]) / 10**0.5)
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[0, 0], [1, 0.9], [2, 1]])
    assert left.get_yscale() == "log"


def test_a_spectrum_ends_where_its_values_are_practically_zero():
    left, right = spectra.singular_values({"rank 2": [2.0, 1.0, 1e-16, 0.0]}, "T").axes
    np.testing.assert_array_equal(np.isnan(left.lines[0].get_ydata()), [False, False, True, True])
    assert right.lines[0].get_ydata()[-1] == pytest.approx(1)


def test_a_signed_picture_is_symmetric_about_zero_and_the_others_share_a_scale():
    figure = spectra.pictures(
        {"a": [[0.0, 2.0]], "b": [[0.0, 1.0]], "d": [[-3.0, 1.0]]}, "T", signed=("d",)
    )
    limits = [axes.images[0].get_clim() for axes in figure.axes]
    assert limits == [(0, 2), (0, 2), (-3, 3)]


def test_an_ellipse_of_rank_one_is_a_line():
    after = spectra.ellipse([[2.0, 0.0], [1.0, 0.0]], "T").axes[1]
    x, y = after.lines[0].get_xydata().T
    np.testing.assert_allclose(x, 2 * y, atol=1e-12)
    assert len(after.texts) == 1, "a direction that is gone has no arrow"


def test_over_rank_puts_each_rank_at_its_place_with_its_interval():
    axes = spectra.over_rank((1, 8), {"a": [(0.5, 0.4, 0.7), (0.6, 0.5, 0.8)]}, title="T", y="y")
    axes = axes.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "8"]
    (bars,) = axes.containers
    ends = [(s[0][1], s[1][1]) for line in bars.lines[2] for s in line.get_segments()]
    assert ends == [pytest.approx((0.4, 0.7)), pytest.approx((0.5, 0.8))]


def test_rank_dots_name_each_group_once():
    axes = FIGURES["dots"]().axes[0]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["W", "change"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is on top"


def test_recovery_shows_the_best_of_its_rank_and_where_descent_ended():
    left, right = FIGURES["recovery"]().axes
    assert left.lines[1].get_ydata()[0] == 1
    stars = [line.get_xydata().tolist() for line in right.lines if line.get_marker() == "*"]
    assert stars == [[[2, 0.0]], [[2, 1.1]]]


@pytest.mark.parametrize("end, lowest", [(0.4, 0.4), (1e-15, spectra.SMALLEST_ERROR)])
def test_recovery_reaches_down_as_far_as_its_distances(end, lowest):
    left, _ = spectra.recovery([4.0, 1.0, end], [4, 1, end], [4, 1, 1], 2, 1.1, "T").axes
    assert lowest / 100 < left.get_ylim()[0] < lowest

"""Figures of updates: grids on one scale, a dot for every value, a bar for every word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lora_lab.plots.style import BLUE, ORANGE
from lora_lab.plots.updates import over_matrices, similarity_grids, update_spectra, word_effects

LAYERS = [f"{layer} {kind}" for layer in range(1, 7) for kind in ("query", "value")]
COUNTS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]


def grid(i=6, j=12):
    values = np.random.default_rng(0).random((i, j))
    return pd.DataFrame(values, COUNTS[:i], COUNTS[:j])


def grids():
    return similarity_grids(
        {"query, layer 6": grid(), "value, layer 6": grid(), "random": grid(3, 3)},
        "Ranks 8 and 64: do they learn the same directions?",
        down="i of rank 8",
        across="j of rank 64",
    )


def dots(**more):
    values = {
        "rank 8": [[0.5, 0.6, 0.7]] * len(LAYERS),
        "rank 64": [[5.0, 6.0]] * len(LAYERS),
    }
    return over_matrices(LAYERS, values, title="Amplification", y="factor", **more)


def words():
    effects = {"head only": [0.1, -0.2, 0.0], "LoRA": [0.4, 0.0, -0.01]}
    return word_effects(["a", "superb", "film"], effects, "Which words mattered?")


def spectra():
    values = np.random.default_rng(0).random(64)
    runs = {"rank 8": [np.array([2.0, 1.0, 0.5, 0.0])] * 3, "rank 64": [np.sort(values)[::-1]]}
    return update_spectra(runs, np.linspace(9, 0.1, 384), "The query matrix of layer 6")


FIGURES = {
    "spectra": spectra,
    "similarity": grids,
    "over matrices": dots,
    "over matrices, with a level": lambda: dots(levels={"random": 1.0, "other": 2.0}, log=True),
    "words": words,
    "a word": lambda: word_effects(["superb"], {"LoRA": [0.0]}, "One word"),
}


def test_energy_is_the_share_of_the_squares_up_to_there():
    left, right = spectra().axes
    base, first = right.lines[:2]
    np.testing.assert_allclose(first.get_ydata(), np.array([4, 5, 5.25, 5.25]) / 5.25)
    assert base.get_ydata()[-1] == pytest.approx(1) and len(base.get_xdata()) == 384
    np.testing.assert_array_equal(left.lines[1].get_ydata(), [2, 1, 0.5, np.nan])
    assert len(left.lines) == 1 + 3 + 1


def test_grids_share_one_scale_and_name_their_counts():
    figure = grids()
    pictures = [axes.images[0] for axes in figure.axes if axes.images]
    assert [picture.get_clim() for picture in pictures] == [(0, 1)] * 3
    np.testing.assert_array_equal(pictures[0].get_array(), grid().to_numpy())
    first = figure.axes[0]
    for axis, counts in ((first.xaxis, COUNTS), (first.yaxis, COUNTS[:6])):
        for place, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
            assert int(text.get_text()) == counts[int(place)]


def test_every_value_is_a_dot_near_its_matrix():
    small, large = dots().axes[0].lines
    assert len(small.get_xdata()) == 3 * len(LAYERS) and len(large.get_xdata()) == 2 * len(LAYERS)
    assert (np.round(large.get_xdata()) == np.repeat(range(len(LAYERS)), 2)).all()
    assert set(large.get_ydata()) == {5.0, 6.0}


def test_the_sign_of_an_effect_is_its_side_and_colour_and_models_share_a_scale():
    first, second = words().axes
    widths = [bar.get_width() for bar in first.patches]
    assert widths == pytest.approx([0.1, -0.2, 0.0])
    assert [to_hex(b.get_facecolor()).upper() for b in first.patches][:2] == [BLUE, ORANGE]
    assert first.get_xlim() == second.get_xlim()

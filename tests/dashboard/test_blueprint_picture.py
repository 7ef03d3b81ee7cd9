"""The drawing: to scale, all of it inside, and every layer in its place."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.adapt import LoraConfig
from lora_lab.budget.counting import Blueprint
from lora_lab.dashboard.budget import blueprint_picture as picture
from lora_lab.dashboard.budget.blueprint_picture import Drawn

WORDS = dict(block="one <block>", layers="layers")


def bert(layers: int = 12, adapted=(2, 3), d: int = 768) -> list[Drawn]:
    shapes = dict(q=(d, d), v=(d, d), down=(d, 4 * d), up=(4 * d, d))
    return [
        Drawn(name, shape, range(layers), adapted if name in ("q", "up") else ())
        for name, shape in shapes.items()
    ]


def rectangles(kinds, rank=64, layers=12) -> list[tuple[str, float, float, float, float]]:
    tree = ElementTree.fromstring(picture.svg(kinds, rank, layers, WORDS, dark=False))
    return [
        (r.get("class"), *(float(r.get(side)) for side in ("x", "y", "width", "height")))
        for r in tree.iter("{http://www.w3.org/2000/svg}rect")
    ]


@pytest.mark.parametrize("d", [384, 12288])
def test_matrices_and_what_is_trained_are_to_scale(d):
    kinds, rank = bert(d=d), d // 8
    unit = picture.scale(kinds)
    drawn = rectangles(kinds, rank)
    whole = [(w, h) for role, _, _, w, h in drawn if role != "trained"]
    for kind, (width, height) in zip(kinds, whole, strict=True):
        assert (height, width) == pytest.approx([side * unit for side in kind.shape], rel=1e-3)
    trained = [(w, h) for role, _, _, w, h in drawn if role == "trained"]
    expected = [(rank, d), (d, rank), (rank, 4 * d), (d, rank)]  # B and A of q, then of up
    for (width, height), sides in zip(trained, expected, strict=True):
        assert (width, height) == pytest.approx([side * unit for side in sides], rel=1e-3)
    assert not picture.thicker_than_to_scale(kinds, rank)


def test_thin_strips_stay_visible_and_it_is_said():
    kinds = bert(d=12288)
    assert picture.thicker_than_to_scale(kinds, 1)
    assert min(min(w, h) for *_, w, h in rectangles(kinds, 1)) >= picture.THINNEST


@pytest.mark.parametrize("layers", [1, 6, 96, 200])
@pytest.mark.parametrize("width", [picture.WIDTH, picture.NARROW])
def test_every_layer_has_a_cell_inside_the_picture(layers, width):
    text = picture.svg(bert(layers, adapted=(0,)), 8, layers, WORDS, True, width)
    paths = re.findall(r'<path class="(\w+)" d="([^"]*)"', text)
    starts = [(role, re.findall(r"M([\d.]+) ", d)) for role, d in paths]
    counts = {"trained": 0, "frozen": 0}
    for role, each in starts:
        counts[role] += len(each)
        assert all(float(x) < width for x in each)
    assert counts == {"trained": 2, "frozen": 4 * layers - 2}
    assert len(text) < 60_000


sides = st.sampled_from([8, 64, 512, 768, 2048, 3072, 11008])


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=30))
@settings(max_examples=60)
def test_matrices_of_any_shapes_lie_inside_and_apart(shapes):
    names = ("q", "a_rather_long_name", "mlp")
    kinds = [Drawn(names[n % 3], shape, range(2), ()) for n, shape in enumerate(shapes)]
    boxes = [(x, y, x + w, y + h) for _, x, y, w, h in rectangles(kinds, 8, 2)]
    assert len(boxes) == len(kinds) and picture.scale(kinds) > 0
    for left, _, right, _ in boxes:
        assert left >= 0 and right <= picture.WIDTH + 1
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_names_are_text():
    odd = [Drawn("<script>&", (4, 4), (0,), ())]
    tree = ElementTree.fromstring(picture.svg(odd, 1, 1, WORDS, dark=False))
    assert "<script>&" in "".join(tree.itertext())


def test_a_real_network_is_drawn():
    drawn = Blueprint("gpt2")
    counted = drawn.count(LoraConfig(rank=4))
    kinds = [Drawn(k.name[-6:], k.shape, drawn.places[k.name], ()) for k in counted.matrices]
    assert len(rectangles(kinds, 4)) == len(kinds)

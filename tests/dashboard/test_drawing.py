"""Drawings are well-formed whatever is written in them, and fit the page or the file."""

from __future__ import annotations

from base64 import b64decode
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.dashboard.drawing import document, image, text

PRINTED = st.text(st.characters(exclude_categories=("C",)))


@given(PRINTED)
def test_whatever_is_written_stays_text(words):
    tree = ElementTree.fromstring(document([text(words, 0, 0)], (10, 10), dark=False))
    assert "".join(tree[-1].itertext()) == words


@given(PRINTED)
def test_an_image_holds_the_drawing_and_its_description(words):
    svg = document([], (10, 10), dark=False)
    element = ElementTree.fromstring(image(svg, words)).find("img")
    assert element.get("alt") == words
    assert b64decode(element.get("src").partition(",")[2]).decode() == svg


@pytest.mark.parametrize("dark", [False, True])
def test_colours_are_filled_in(dark):
    style = ".mine {fill: ONBLUE}"
    svg = document([], (10, 10), dark, style)
    assert ".mine" in svg and not any(name in svg for name in ("INK", "BLUE"))


def test_a_ground_covers_the_whole_file():
    tree = ElementTree.fromstring(document([], (30, 20), False, ground="white"))
    left, top, width, height = tree.get("viewBox").split()
    [ground] = tree.iter("{http://www.w3.org/2000/svg}path")
    assert ground.get("d") == f"M{left} {top}h{width}v{height}h-{width}z"
    assert "path" not in document([], (30, 20), False)

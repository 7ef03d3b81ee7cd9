"""Every derivation is also typeset, and what is typeset can be read by a TeX engine."""

import re

import pytest
from matplotlib.mathtext import MathTextParser

from lora_lab.derivations.catalogue import CATALOGUE

LAYERS = [derivation for derivation in CATALOGUE if derivation.variables != ("z",)]
every_derivation = pytest.mark.parametrize("derivation", CATALOGUE, ids=lambda d: d.key)


@every_derivation
def test_the_forward_and_every_gradient_is_typeset(derivation):
    parser = MathTextParser("path")
    tex = derivation.tex
    assert set(tex.gradients) == set(derivation.variables)
    for line in (tex.forward, *tex.gradients.values(), *tex.where):
        assert line.count("=") >= 1
        parser.parse(f"${line}$")  # raises for what it does not understand


@every_derivation
def test_each_line_is_about_its_variable(derivation):
    for variable, line in derivation.tex.gradients.items():
        left = line.partition("=")[0]
        assert rf"\partial {variable}" in left


@pytest.mark.parametrize("derivation", LAYERS, ids=lambda d: d.key)
def test_the_typeset_forward_has_the_same_factors_in_the_same_order_as_the_plain_one(derivation):
    def letters(formula: str) -> list[str]:
        return re.findall("[A-Za-z]", re.sub(r"\\\w+|diag", "", formula))

    assert letters(derivation.tex.forward) == letters(derivation.formula)

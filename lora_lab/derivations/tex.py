r"""The formulas of the catalogue typeset, for notebooks and the app.

As in the papers, x and g are columns, and a gradient of weights sums over the examples i.
``g`` is what arrives from above, dL/dh. The code holds the same with examples as rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Tex(NamedTuple):
    """TeX for KaTeX: a forward formula and the closed form of each gradient."""

    forward: str
    gradients: Mapping[str, str]  # variable -> equation
    where: tuple[str, ...] = ()  # abbreviations that the gradients use


def _layer(forward: str, where: tuple[str, ...] = (), **gradients: str) -> Tex:
    left = r"\frac{\partial L}{\partial %s} = "
    return Tex(forward, {v: left % v + right for v, right in gradients.items()}, where)


def _loss(forward: str, gradient: str, where: tuple[str, ...] = ()) -> Tex:
    return Tex(forward, {"z": gradient}, where)


_BINARY = r"\left[\, y_i \log p_i + (1 - y_i) \log (1 - p_i) \,\right]"
_SIGMOID = (r"p_i = \frac{1}{1 + e^{-z_i}}",)
_SOFTMAX = r"\log \sum_c e^{z_{ic}} - z_{i, y_i}"
_CHOSEN = r"p_{ic} - [\, c = y_i \,]"
_PROBABILITY = (r"p_{ic} = \frac{e^{z_{ic}}}{\sum_k e^{z_{ik}}}",)

BINARY = _loss(
    rf"\ell_i = - {_BINARY}",
    r"\frac{\partial \ell_i}{\partial z_i} = p_i - y_i",
    _SIGMOID,
)
MEAN_BINARY = _loss(
    rf"\ell = - \frac{{1}}{{N}} \sum_i {_BINARY}",
    r"\frac{\partial \ell}{\partial z_i} = \frac{1}{N} \left( p_i - y_i \right)",
    _SIGMOID,
)
SOFTMAX = _loss(
    rf"\ell_i = {_SOFTMAX}",
    rf"\frac{{\partial \ell_i}}{{\partial z_{{ic}}}} = {_CHOSEN}",
    _PROBABILITY,
)
MEAN_SOFTMAX = _loss(
    rf"\ell = \frac{{1}}{{N}} \sum_i \left[\, {_SOFTMAX} \,\right]",
    r"\frac{\partial \ell}{\partial z_{ic}} = "
    rf"\frac{{1}}{{N}} \left( {_CHOSEN} \right)",
    _PROBABILITY,
)

_LORA = dict(
    x=r"W^\top g + s\, A^\top B^\top g",
    A=r"s \sum_i B^\top g_i\, x_i^\top",
    B=r"s \sum_i g_i\, (A x_i)^\top",
)
LORA = _layer(r"h = W x + s\, B A\, x", **_LORA)
LORA_BIAS = _layer(r"h = W x + b + s\, B A\, x", **_LORA)
LORA_DROPOUT = _layer(
    r"h = W x + s\, B A\, (m \odot x)",
    x=r"W^\top g + s\, m \odot (A^\top B^\top g)",
    A=r"s \sum_i B^\top g_i\, (m_i \odot x_i)^\top",
    B=r"s \sum_i g_i\, (A (m_i \odot x_i))^\top",
)
DENSE = _layer(
    r"h = U\, W\, V\, x",
    x=r"(U W V)^\top g",
    U=r"\sum_i g_i\, (W V x_i)^\top",
    V=r"\sum_i (U W)^\top g_i\, x_i^\top",
)
LOW_RANK = _layer(
    r"h = (I + P Q)\, W\, (I + R S)\, x",
    where=(r"c = W (I + R S)\, x", r"d = W^\top (I + P Q)^\top g"),
    x=r"(I + R S)^\top d",
    P=r"\sum_i g_i\, (Q c_i)^\top",
    Q=r"\sum_i P^\top g_i\, c_i^\top",
    R=r"\sum_i d_i\, (S x_i)^\top",
    S=r"\sum_i R^\top d_i\, x_i^\top",
)
DIAGONAL = _layer(
    r"h = \mathrm{diag}(u)\, W\, \mathrm{diag}(v)\, x",
    x=r"v \odot W^\top (u \odot g)",
    u=r"\sum_i g_i \odot W (v \odot x_i)",
    v=r"\sum_i x_i \odot W^\top (u \odot g_i)",
)

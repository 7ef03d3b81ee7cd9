"""The network to scale: every matrix of every block, and what is trained in solid colour."""

from __future__ import annotations

import re

from lora_lab.budget.counting import Count, MatrixKind
from lora_lab.dashboard.drawing import box, document, text
from lora_lab.dashboard.language import t
from lora_lab.runs import RunConfig
from lora_lab.targets import SHORT_NAMES, choose_layers

WIDTH = 740
UNIT = 20 / 384  # the drawing's units per row or column of a matrix
BLOCK, GAP = 106, 17
THINNEST = 0.6  # thinner lines would not be seen
_STYLE = """
.small {font-size: 13px} .in {font-size: 13px; text-anchor: middle}
text.in {fill: INK; fill-opacity: 1} .in.trained {fill: ONBLUE} .head {fill: #009E73}
"""


def svg(config: RunConfig, counted: Count, layers: int, dark: bool, ground: str = "") -> str:
    """The picture; see ``drawing.document`` for ``dark`` and ``ground``."""
    blocks = _adapted_blocks(config, layers)
    short = {_short_name(k.name): k for k in counted.matrices}
    adapted = {name for name, kind in short.items() if kind.adapted}
    rank = _rank(config)
    parts, height = [], 116
    for number in range(layers):
        x = number * (BLOCK + GAP)
        parts.append(text(t("train.picture.layer", number=number), x, 14))
        for name, kind in short.items():
            role = _role(config, number in blocks and name in adapted)
            parts += _matrix(name, kind.shape, x, 24, role, rank, config.method)
    parts.append(box(layers * (BLOCK + GAP) - GAP + 3, 24, 4, 80, "head"))
    if rank:
        name, kind = next((name, kind) for name, kind in short.items() if kind.adapted)
        parts += _detail(config, name, kind, rank, 134)
        height = 254
    return document(parts, (WIDTH, height), dark, _STYLE, ground)


def description(config: RunConfig, counted: Count, layers: int) -> str:
    """The picture in words."""
    if not _rank(config):
        return caption(config)
    adapted = ", ".join(_short_name(kind.name) for kind in counted.matrices if kind.adapted)
    where = ", ".join(map(str, _adapted_blocks(config, layers)))
    return t("train.picture.adapted", names=adapted, layers=where, rank=_rank(config))


def caption(config: RunConfig) -> str:
    """How to read the picture, as Markdown."""
    how, scale = t(f"train.picture.how.{config.method}"), t("train.picture.scale")
    return t("common.then", first=how, second=scale)


def _role(config: RunConfig, chosen: bool) -> str:
    if config.method == "full":
        return "trained"
    return "adapted" if chosen and _rank(config) else "frozen"


def _matrix(
    name: str, shape: tuple[int, int], x: float, y: float, role: str, rank: int, method: str
) -> list[str]:
    """One matrix of a block at its place: q k v o in a row, down below, up at the side."""
    left, top = {
        "q": (0, 0), "k": (21.5, 0), "v": (43, 0), "o": (64.5, 0), "down": (0, 23.5), "up": (86, 0),
    }.get(name, (0, 46))  # fmt: skip
    x, y = x + left, y + top
    height, width = (n * UNIT for n in shape)
    parts = [_box(x, y, width, height, role)]
    if role == "adapted":
        thick = rank * UNIT
        parts.append(_box(x, y, thick, height, "trained"))
        parts.append(_box(x, y, width, thick, "trained"))
        if method == "two-sided":
            parts.append(_box(x + width - thick, y, thick, height, "trained"))
            parts.append(_box(x, y + height - thick, width, thick, "trained"))
    parts.append(text(name, x + width / 2, y + height / 2 + 4, f"in {role}"))
    return parts


def _detail(config: RunConfig, name: str, kind: MatrixKind, rank: int, y: float) -> list[str]:
    """One adapted matrix enlarged, with the matrices that are trained beside it to scale."""
    out, in_ = kind.shape
    scale = min(100 / out, 200 / in_)
    if config.method == "lora":
        s = f"{config.lora.scale:.3g}"
        row = [("W", out, in_, "frozen"), f"+ {s} ·", ("B", out, rank, ""), ("A", rank, in_, "")]
    else:
        row = ["( I +", ("P", out, rank, ""), ("Q", rank, out, ""), ") ·"]
        row += [
            ("W", out, in_, "frozen"),
            "· ( I +",
            ("R", in_, rank, ""),
            ("S", rank, in_, ""),
            ")",
        ]
        scale = min(scale, 100 / in_)
    parts = [text(t("train.picture.enlarged", name=name), 0, y)]
    x, top = 0.0, y + 14
    for item in row:
        if isinstance(item, str):
            parts.append(text(item, x + 6, top + 55))
            x += 14 + 7.2 * len(item)
            continue
        letter, rows, columns, role = item
        width, height = columns * scale, rows * scale
        parts.append(_box(x, top, width, height, role or "trained"))
        size = f"{letter} {rows}×{columns}"
        if role:
            parts.append(text(size, x + width / 2, top + height / 2 + 4, "in"))
        else:
            below = top + height + 16 if height < 60 else top + 55
            beside = x if height < 60 else x + width + 5
            parts.append(text(size, beside, below, "small"))
            width = max(width, 66) if height < 60 else width + 66
        x += width + 8
    if config.method == "lora":
        frozen, trained = f"{out * in_:,}", f"{kind.adapter_parameters:,}"
        parts.append(text(t("train.picture.frozen", number=frozen), x + 40, top + 46))
        parts.append(text(t("train.picture.trained", number=trained), x + 40, top + 68))
    return parts


def _box(x: float, y: float, width: float, height: float, role: str) -> str:
    return box(x, y, max(width, THINNEST), max(height, THINNEST), role)


def _rank(config: RunConfig) -> int:
    """Thickness of the trained matrices; 0 for a method without any."""
    return {"lora": config.lora.rank, "two-sided": config.two_sided.rank}.get(config.method, 0)


def _adapted_blocks(config: RunConfig, layers: int) -> tuple[int, ...]:
    return choose_layers(config.lora.layers, layers) if _rank(config) else ()


def _short_name(pattern: str) -> str:
    name = pattern.replace("*", "0")
    for short, expression in SHORT_NAMES["bert"].items():
        if re.fullmatch(expression, name):
            return short
    return pattern.rpartition(".")[2]

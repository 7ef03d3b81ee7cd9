"""The network to scale: every matrix of every block, and what is trained in solid colour."""

from __future__ import annotations

import re
from base64 import b64encode
from html import escape

from lora_lab.counting import Count, MatrixKind
from lora_lab.dashboard.language import t
from lora_lab.runs import RunConfig
from lora_lab.targets import SHORT_NAMES, choose_layers

WIDTH = 740
UNIT = 20 / 384  # the drawing's units per row or column of a matrix
BLOCK, GAP = 106, 17
_STYLE = """
text {fill: INK; font: 14px sans-serif} .small {font-size: 13px}
.in {font-size: 13px; text-anchor: middle} .in.trained {fill: ONBLUE}
rect.frozen {fill: #888; fill-opacity: .16; stroke: #888}
rect.adapted {fill: BLUE; fill-opacity: .16; stroke: BLUE; stroke-width: 1.6}
rect.trained {fill: BLUE} rect.head {fill: #009E73}
"""


def network(config: RunConfig, counted: Count, layers: int, dark: bool) -> str:
    """The picture as an HTML element.

    It is an image that holds an SVG: Streamlit takes bare SVG out of HTML.
    """
    blocks = _adapted_blocks(config, layers)
    adapted = [_short_name(k.name) for k in counted.matrices if k.adapted]
    image = b64encode(_svg(config, counted, layers, dark).encode()).decode()
    label = escape(_description(config, blocks, adapted), quote=True)
    return f'<img class="network" alt="{label}" src="data:image/svg+xml;base64,{image}">'


def _svg(config: RunConfig, counted: Count, layers: int, dark: bool) -> str:
    blocks = _adapted_blocks(config, layers)
    short = {_short_name(k.name): k for k in counted.matrices}
    adapted = {name for name, kind in short.items() if kind.adapted}
    rank = _rank(config)
    parts, height = [], 116
    for number in range(layers):
        x = number * (BLOCK + GAP)
        parts.append(_text(t("train.picture.layer", number=number), x, 14))
        for name, kind in short.items():
            role = _role(config, number in blocks and name in adapted)
            parts += _matrix(name, kind.shape, x, 24, role, rank, config.method)
    parts.append(_head(layers * (BLOCK + GAP) - GAP + 3))
    if rank:
        name, kind = next((name, kind) for name, kind in short.items() if kind.adapted)
        parts += _detail(config, name, kind, rank, 134)
        height = 254
    # Okabe and Ito's blue; on dark ground a lighter one, so that thin strips are seen.
    style = _STYLE.replace("ONBLUE", "#0b1a24" if dark else "#fff")
    style = style.replace("BLUE", "#3A9BDC" if dark else "#0072B2")
    style = style.replace("INK", "#e8e6e3" if dark else "#2d2b29")
    box = f'viewBox="0 0 {WIDTH} {height}" width="{2 * WIDTH}" height="{2 * height}"'
    body = "".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}><style>{style}</style>{body}</svg>'


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
    parts.append(_text(escape(name), x + width / 2, y + height / 2 + 4, f"in {role}"))
    return parts


def _head(x: float) -> str:
    return f'<rect class="head" x="{x:g}" y="24" width="4" height="80"/>'


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
    parts = [_text(t("train.picture.enlarged", name=escape(name)), 0, y)]
    x, top = 0.0, y + 14
    for item in row:
        if isinstance(item, str):
            parts.append(_text(item, x + 6, top + 55))
            x += 14 + 7.2 * len(item)
            continue
        letter, rows, columns, role = item
        width, height = columns * scale, rows * scale
        parts.append(_box(x, top, width, height, role or "trained"))
        text = f"{letter} {rows}×{columns}"
        if role:
            parts.append(_text(text, x + width / 2, top + height / 2 + 4, "in"))
        else:
            below = top + height + 16 if height < 60 else top + 55
            beside = x if height < 60 else x + width + 5
            parts.append(_text(text, beside, below, "small"))
            width = max(width, 66) if height < 60 else width + 66
        x += width + 8
    if config.method == "lora":
        frozen, trained = f"{out * in_:,}", f"{kind.adapter_parameters:,}"
        parts.append(_text(t("train.picture.frozen", number=frozen), x + 40, top + 46))
        parts.append(_text(t("train.picture.trained", number=trained), x + 40, top + 68))
    return parts


def _box(x: float, y: float, width: float, height: float, role: str) -> str:
    width, height = max(width, 0.6), max(height, 0.6)  # thinner lines would not be seen
    return f'<rect class="{role}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'


def _text(text: str, x: float, y: float, role: str = "") -> str:
    return f'<text class="{role}" x="{x:g}" y="{y:g}">{text}</text>'


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


def _description(config: RunConfig, blocks: tuple[int, ...], adapted: list[str]) -> str:
    if not _rank(config):
        return caption(config)
    names, where = ", ".join(adapted), ", ".join(map(str, blocks))
    return t("train.picture.adapted", names=names, layers=where, rank=_rank(config))

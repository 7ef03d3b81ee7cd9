"""What LoRA costs on any architecture: counted, drawn, and as code to take away."""

from __future__ import annotations

import json
from functools import partial

import streamlit as st

from lora_lab.budget.cost import Count, size
from lora_lab.budget.counting import Blueprint
from lora_lab.budget.pasted import PastedError
from lora_lab.dashboard import chart_style, code_tabs, drawing, export, state, wording
from lora_lab.dashboard.budget import (
    blueprint_picture,
    controls,
    counts,
    fitting,
    memory_chart,
    tables,
)
from lora_lab.dashboard.budget.blueprint_picture import Drawn
from lora_lab.dashboard.budget.counts import Asked
from lora_lab.dashboard.budget.settings import PASTED, SHEET
from lora_lab.dashboard.language import t
from lora_lab.targets import choose_layers

__all__ = ["SHEET", "show"]

# Offered to those who have no config.json at hand: k and v have fewer rows than q here.
EXAMPLE = dict(
    model_type="llama", hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
    num_attention_heads=32, num_key_value_heads=8, vocab_size=128256,
)  # fmt: skip


def show() -> None:
    state.open_page(SHEET)
    st.title(t("budget.title"), anchor=False)
    with st.sidebar:
        controls.show_model()
    values = state.values()
    is_pasted = values["model"] == PASTED
    if is_pasted and not values["config"]:
        _nothing_pasted()
        return
    drawn = counts.blueprint(values["model"], values["config"] if is_pasted else "")
    if isinstance(drawn, PastedError):
        st.error(controls.said(drawn))
        return
    with st.sidebar:
        controls.show_adapter(drawn)
    what = counts.asked(state.values(), drawn)
    try:
        counted = counts.counted(what)
    except ValueError as error:
        st.error(_why_not(what, error))
        return
    _figures(counted)
    _nothing_saved(counted, what.rank)
    tables.paper_says(what, counted)
    _memory(counted)
    _network(what, drawn, counted)
    if not state.presenting():
        tables.matrices(counted)
        tables.paper_rows()
        _code(what, drawn, counted)


def _nothing_pasted() -> None:
    if refused := controls.refusal():
        st.error(refused)
    else:
        st.info(t("budget.config.empty"))
        st.code(json.dumps(EXAMPLE, indent=1), language="json")


def _why_not(what: Asked, error: ValueError) -> str:
    try:
        largest = counts.largest_rank(what)
    except ValueError:
        return wording.plain(str(error))
    if what.rank > largest:
        return t("budget.rank_too_large", rank=what.rank, largest=f"{largest:,}")
    return wording.plain(str(error))


def _figures(counted: Count) -> None:
    """Four numbers, each beside what full fine-tuning needs."""
    full, memory = counted.full_memory, counted.lora_memory
    every = counted.base_parameters + counted.head_parameters
    whole = size(counted.model_file_bytes())
    cells = (
        ("trainable", f"{counted.trainable_parameters:,}", "full", f"{every:,}"),
        ("share", wording.share(counted.share), "of", f"{every + counted.adapter_parameters:,}"),
        ("file", size(counted.adapter_file_bytes(head=True)), "full", whole),
        ("memory", size(memory.total), "full", size(full.total)),
    )
    html = "".join(
        f"<div><div>{t(f'budget.figure.{name}')}</div>"
        f'<div class="value">{number}</div>'
        f"<div>{t(f'budget.figure.{key}', number=other)}</div></div>"
        for name, number, key, other in cells
    )
    long = " long" if max(len(number) for _, number, _, _ in cells) > 11 else ""
    st.html(f'<div class="figures{long}">{html}</div>')
    parts = dict(
        adapter=f"{counted.adapter_parameters:,}", head=f"{counted.head_parameters:,}",
        half=size(counted.adapter_file_bytes("float16", head=True)),
        full_half=size(counted.model_file_bytes("float16")),
    )  # fmt: skip
    with_head = "with_head" if counted.head_parameters else "without_head"
    st.caption(t(f"budget.caption.{with_head}", **parts))


def _nothing_saved(counted: Count, rank: int) -> None:
    """Says so where A and B are no smaller than the matrix, of the smallest such matrix."""
    sizes = [
        (kind.shape[0] * kind.shape[1], kind)
        for kind in counted.matrices
        if kind.adapted and kind.adapter_parameters >= kind.shape[0] * kind.shape[1]
    ]
    if not sizes:
        return
    own, kind = min(sizes, key=lambda one: one[0])
    out, in_ = kind.shape
    adapter = f"{kind.adapter_parameters:,}"
    limit = f"{own / (out + in_):,.4g}"
    st.info(
        t("budget.nothing_saved", rank=rank, out=out, in_=in_, adapter=adapter, own=f"{own:,}",
          limit=limit)
    )  # fmt: skip


def _memory(counted: Count) -> None:
    st.header(t("budget.memory.title"), anchor=False)
    memories = {"LoRA": counted.lora_memory, t("budget.memory.full"): counted.full_memory}
    parts = {part: t(f"budget.memory.{part}") for part in memory_chart.PARTS}
    axis = t("budget.memory.axis", unit="{unit}")
    dark = st.context.theme.type == "dark"
    st.vega_lite_chart(
        memory_chart.memory_chart(memories, parts, axis, dark, letters=chart_style.letters())
    )
    st.caption(t("budget.memory.caption", ratio=wording.number(round(_ratio(counted), 1))))
    if not state.presenting():
        # A file's ground is white, whatever the visitor's theme.
        export.figure(memory_chart.memory_chart(memories, parts, axis, False), "budget-memory")


def _ratio(counted: Count) -> float:
    return counted.full_memory.total / counted.lora_memory.total


def _network(what: Asked, drawn: Blueprint, counted: Count) -> None:
    st.header(t("budget.picture.title"), anchor=False)
    kinds = _drawn(what, drawn, counted)
    adapted = [kind.name for kind in kinds if kind.adapted]
    layers = choose_layers(what.layers, drawn.blocks)
    words = dict(
        block=t("budget.picture.block"),
        layers=t("budget.picture.layers", count=drawn.blocks),
    )
    description = t(
        "budget.picture.description",
        names=", ".join(adapted),
        layers=", ".join(map(str, layers)),
        rank=what.rank,
    )
    draw = partial(blueprint_picture.svg, kinds, what.rank, drawn.blocks, words)
    dark = st.context.theme.type == "dark"
    width = blueprint_picture.NARROW if state.presenting() else blueprint_picture.WIDTH
    st.html(drawing.image(draw(dark, width), description))
    caption = t("budget.picture.caption")
    if blueprint_picture.thicker_than_to_scale(kinds, what.rank, width):
        caption = t("common.then", first=caption, second=t("budget.picture.thick"))
    st.caption(caption)
    if not state.presenting():
        export.figure(lambda: draw(dark=False, ground="white"), "budget-matrices")


def _drawn(what: Asked, drawn: Blueprint, counted: Count) -> list[Drawn]:
    """Every kind of matrix in the blocks, with the blocks in which it is adapted."""
    chosen = set(choose_layers(what.layers, drawn.blocks))
    kinds = []
    for kind in counted.matrices:
        # The parts of a fused matrix lie where the whole one does.
        blocks = drawn.places.get(kind.name) or drawn.places.get(kind.name.rpartition(".")[0])
        if blocks:
            adapted = [number for number in blocks if number in chosen] if kind.adapted else []
            kinds.append(Drawn(fitting.short_name(kind.name, drawn), kind.shape, blocks, adapted))
    return kinds


def _code(what: Asked, drawn: Blueprint, counted: Count) -> None:
    st.header(t("common.code.title"), anchor=False)
    trained = counts.as_trained(what, drawn)
    if trained != what:
        number = counts.counted(trained).adapter_parameters
        key = "same" if number == counted.adapter_parameters else "other"
        st.caption(t(f"budget.code.fused_{key}", number=f"{number:,}"))
    source = json.loads(what.config) if what.model == PASTED else what.model
    lora = trained.lora(state.values()["alpha"])
    code_tabs.show(drawn, source, lora, head=what.head)

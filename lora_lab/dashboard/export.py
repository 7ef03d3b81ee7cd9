"""Taking away what is shown: a table as CSV, a figure as PNG and SVG.

Files are made when someone clicks, not with every look at the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import altair as alt
import pandas as pd
import streamlit as st
from vl_convert import svg_to_png

from lora_lab.dashboard import language, state
from lora_lab.dashboard.language import t
from lora_lab.runs import Run

DOTS_PER_INCH = 200


def table(frame: pd.DataFrame, name: str) -> None:
    """A button for the table's rows as CSV, with the index where it has a name."""
    _button("CSV", lambda: csv(frame), name, "text/csv")


def figure(shown: Any, name: str) -> None:
    """Buttons for a picture as PNG and as SVG.

    Args:
        shown: a chart (Altair or Vega-Lite), a matplotlib figure or a drawing in SVG, or a
            function that makes it when someone clicks.
    """
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            _button(kind.upper(), lambda kind=kind: picture(shown, kind), name, mime)


def both(shown: Any, frame: pd.DataFrame, name: str) -> None:
    """``figure`` and, in the same row, the table behind it."""
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        figure(shown, name)
        table(frame, name)


def adapter(run: Run) -> None:
    """A button for the trained adapter of a finished run, in PEFT's format."""
    if not (run.folder / "adapter").is_dir():
        return
    st.download_button(
        t("train.result.adapter"),
        lambda: zipped(run.folder / "adapter"),
        file_name=f"adapter-{_plain(run.id)}.zip",
        mime="application/zip",
        key=f"export.adapter.{run.id}",
        icon=":material/download:",
        on_click="ignore",
    )


def zipped(folder: Path) -> bytes:
    """The files of a folder as a zip file."""
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return content.getvalue()


def csv(frame: pd.DataFrame) -> bytes:
    """With a byte-order mark, without which Excel takes Chinese for something else."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    harmless = frame.map(_harmless).rename(columns=_harmless)
    return harmless.to_csv(index=False).encode("utf-8-sig")


def picture(shown: Any, kind: str) -> bytes:
    """A chart, a matplotlib figure or a drawing in SVG as the bytes of a PNG or SVG file."""
    if isinstance(shown, Callable):
        shown = shown()
    if isinstance(shown, str):
        return shown.encode() if kind == "svg" else svg_to_png(shown)
    if isinstance(shown, dict):
        shown = alt.Chart.from_dict(shown)
    if isinstance(shown, alt.TopLevelMixin):
        return _chart(shown, kind)
    file = BytesIO()
    shown.savefig(file, format=kind, dpi=DOTS_PER_INCH, bbox_inches="tight")
    return file.getvalue()


def _chart(chart: alt.TopLevelMixin, kind: str) -> bytes:
    if kind == "svg":
        drawing = StringIO()
        chart.save(drawing, format="svg")
        return drawing.getvalue().encode()
    pixels = BytesIO()
    chart.save(pixels, format="png", ppi=DOTS_PER_INCH)
    return pixels.getvalue()


def _harmless(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "lora-lab"


def _button(kind: str, make: Callable[[], bytes], name: str, mime: str) -> None:
    visitor = language.current(), state.presenting()

    def made() -> bytes:
        with state.seen_by(*visitor):
            return make()

    st.download_button(
        kind,
        made,
        file_name=f"{_plain(name)}.{kind.lower()}",
        mime=mime,
        key=f"export.{name}.{kind}",
        help=t("common.export", kind=kind),
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )

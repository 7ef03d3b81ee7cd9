"""What takes long and is the same for all who look is made once: for the first of them.

A thing is known by what it is made from, and by the visitor's language, letters and theme.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import altair as alt
import streamlit as st

from lora_lab.dashboard import chart_style, language

_KEPT = 500  # things of each kind

#: Whether each chart is checked against Vega-Lite's schema. That takes as long as all the rest of
#: drawing it and finds our own mistakes only: the tests do it.
CHECKS = False

alt.data_transformers.disable_max_rows()  # the loss of each batch of a long run


def chart(draw: partial[alt.TopLevelMixin], *known_by: Hashable, **options: Any) -> None:
    """Put a chart onto the page; to draw one takes longer than the rest of most pages.

    Args:
        known_by: what tells the chart from others, where that is less than all of ``draw``.
        options: of ``st.vega_lite_chart``.
    """
    _chart(_known(draw, known_by), options, draw)


def result(make: partial[Any], *known_by: Hashable) -> Any:
    """What ``make`` returns, a copy for each who asks. Arguments as in ``chart``."""
    return _result(_known(make, known_by), make)


def _specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart in Vega-Lite, with its data.

    ``st.altair_chart`` is not asked: while it draws, it changes how Altair writes data for the
    whole process, and a file that someone takes away at that moment would have none.
    """
    found = chart.to_dict(validate=CHECKS)
    found.pop("config", None)  # Altair's usual size; a page has its own
    return found


def _known(make: partial[Any], known_by: tuple[Hashable, ...]) -> tuple:
    function = f"{make.func.__module__}.{make.func.__qualname__}"
    made_from = known_by or (make.args, make.keywords)
    visitor = language.current(), chart_style.letters(), st.context.theme.type
    return (function, made_from, *visitor)


@st.cache_data(show_spinner=False, max_entries=_KEPT)
def _chart(known: tuple, options: dict[str, Any], _draw: Callable[[], alt.TopLevelMixin]) -> None:
    # Streamlit repeats what a kept function has shown.
    st.vega_lite_chart(_specification(_draw()), **options)


@st.cache_data(show_spinner=False, max_entries=_KEPT)
def _result(known: tuple, _make: Callable[[], Any]) -> Any:
    return _make()

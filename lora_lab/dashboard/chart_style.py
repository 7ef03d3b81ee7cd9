"""What all charts have in common: colours, letters, sizes.

Channels are written as classes, ``y2=alt.Y2("high:Q")``: Altair takes milliseconds to find the
class for a bare string or a value, and a page has many. For the same reason layers that show the
same rows have none of their own, ``alt.layer(..., data=frame)``: each would be copied and compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lora_lab.dashboard import state

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#8A8A8A"  # the first two are Okabe and Ito's
SKY = "#56B4E9"
HEIGHT = 250
WIDTH = 640  # of a picture to take away, where names need their room


def letters() -> int:
    """Size of the letters in a chart, in pixels; a presenter's can be read from the last row."""
    return 20 if state.presenting() else 14


def line_height(reach: float, height: int) -> float:
    """What a line of text takes of an axis that shows ``reach`` on ``height`` pixels."""
    return 1.5 * letters() * reach / height


def apart(
    names: Iterable[tuple[float, str]], line: float, lines: Iterable[float] = ()
) -> list[tuple[float, str]]:
    """Names that belong to heights on an axis, moved upwards so that none covers another.

    Args:
        line: what a line of text takes of the axis, see ``line_height``.
        lines: heights of what is drawn behind the names, and must not be covered either.
    """
    free, places, lines = -math.inf, [], sorted(lines)
    for height, name in sorted(names):
        place = max(height, free)
        for drawn in lines:
            if place < drawn < place + line:
                place = drawn
        places.append((place, name))
        free = place + line
    return places


def either(test: str, yes: Any, no: Any) -> dict[str, Any]:
    """Arguments of a channel's ``Value`` class: one of two values, by a test of each row."""
    return dict(value=no, condition=dict(test=test, value=yes))

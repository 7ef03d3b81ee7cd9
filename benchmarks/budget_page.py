"""How soon the Budget page follows a change: one visitor who moves its rank, on each architecture.

Time runs from the message that a browser would send to the last one of the server's answer. The
first change to a rank counts anew, so the longest time is that of a count; later ones are known.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from classroom import WARM_UP, dashboard, spread
from streamlit.util import calc_hash
from visitor import Visitor

GOAL = 0.15  # seconds


async def changes(port: int, model: str, count: int) -> list[float]:
    """Seconds of each change; the first opening of the page is not among them."""
    address = dict(page=calc_hash("budget"), query=urlencode({"model": model}))
    visitor = Visitor(port, random.Random(0), **address, types=False)
    await visitor.open(patience=WARM_UP)
    took = [await visitor.move_a_slider() for _ in range(count)]
    await visitor.close()
    if visitor.errors:
        raise RuntimeError(f"{model}: {visitor.errors[0]}")
    return [seconds for seconds in took if seconds is not None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=40, help="default: %(default)s")
    options = parser.parse_args()
    from lora_lab.budget.architectures import ARCHITECTURES  # after the parser: it takes seconds

    every = []
    with tempfile.TemporaryDirectory() as place:
        with dashboard(Path(place) / "runs", Path(place) / "server.log") as (port, _):
            for model in ARCHITECTURES:
                took = asyncio.run(changes(port, model, options.changes))
                every += took
                print(f"{model:24}{_line(took)}")
    print(f"{'all':24}{_line(every)}   to reach: {1000 * GOAL:.0f} ms")
    return 0 if spread(every)["p95"] <= GOAL else 1


def _line(took: list[float]) -> str:
    found = spread(took)
    names = {"p50": "median", "p95": "95 of 100", "longest": "longest"}
    return "   ".join(f"{name} {1000 * found[key]:4.0f} ms" for key, name in names.items())


if __name__ == "__main__":
    raise SystemExit(main())

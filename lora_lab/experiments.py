"""An experiment with a name at either size: run the quick one here, or read the shipped full one.

Both come as a ``StoredGrid``, so that a figure or a verdict is written once and says which of the
two it rests on.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from lora_lab.prefix_cache import PrefixCache
from lora_lab.presets import STORED, preset
from lora_lab.results.stored_grid import StoredGrid, grid_of, read_grid
from lora_lab.sweeps import Finished, run_sweep


def shipped(name: str) -> StoredGrid:
    """The stored result of a preset's full size, with what produced it in ``origin``.

    Raises:
        ValueError: there is no such preset.
        GridError: its result is not there, or damaged.
    """
    preset(name)
    return read_grid(STORED / name)


def run_quick(
    name: str,
    folder: Path | None = None,
    *,
    finished: Finished = lambda name, run: None,
) -> StoredGrid:
    """Train a preset's quick size here and now, in this process.

    Args:
        folder: where the run folders go and stay (default: a temporary one, deleted at the end).
        finished: called with each run's name and the run, as soon as it has finished.

    Raises:
        ValueError: there is no such preset.
        RunError and others: see ``runs.execute``.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return run_quick(name, Path(temporary), finished=finished)
    runs = run_sweep(preset(name, "quick"), folder, cache=PrefixCache(), finished=finished)
    return grid_of(list(runs.values()), f'lora_lab.experiments.run_quick("{name}")')

"""Experiments with a name: grids of runs, each of which answers a question.

Each comes in two sizes from one code path. The "full" one is what ``lora-lab sweep --preset NAME``
runs and what ships as a stored result in ``stored/NAME``; the "quick" one is small enough for a
notebook. Every description says how many runs there are and what they learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lora_lab.choices import PresetSize
from lora_lab.inside.stored_updates import write_updates
from lora_lab.presets import amount, classroom, inside, settings
from lora_lab.runs import Run, RunConfig

Configs = dict[str, RunConfig]

PRESETS: dict[str, Callable[[PresetSize], Configs]] = {
    "classroom": classroom.classroom,
    "rate-and-scale": settings.rate_and_scale,
    "rank-and-rule": settings.rank_and_rule,
    "which-matrices": settings.which_matrices,
    "controls": settings.controls,
    "how-much-data": amount.how_much_data,
    "over-fitting": amount.over_fitting,
    "wrong-labels": amount.wrong_labels,
    "domains": amount.domains,
    "no-pre-training": amount.no_pre_training,
    "inside": inside.inside,
}

#: What a stored result holds besides its grid: called with the runs and the folder.
ALSO_STORED: dict[str, Callable[[Sequence[Run], Path], object]] = {"inside": write_updates}

#: The stored results of the full sizes, a folder for each preset; see ``stored_grid``.
STORED = Path(__file__).parents[1] / "stored"


def preset(name: str, size: PresetSize = "full") -> Configs:
    """The runs of a preset, by folder name.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name](size)

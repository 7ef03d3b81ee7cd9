"""A run's baselines, scored once by whoever trains it and kept in its folder.

So a page that shows them only reads: loading the data and scoring VADER take seconds, in which a
server would answer nobody.
"""

from __future__ import annotations

import json
from pathlib import Path

from lora_lab.baselines import evaluate_majority, evaluate_vader, understands
from lora_lab.checkpoints import write_atomically
from lora_lab.evaluation import Evaluation
from lora_lab.runs import DataConfig

FILE = "baselines.json"
SPLITS = "validation", "test"

#: Scores by split, then by baseline.
Baselines = dict[str, dict[str, Evaluation]]


def score(config: DataConfig) -> Baselines:
    """Majority class and, where its answers fit the classes, VADER, on each held-out split.

    Raises:
        DataError: the data cannot be loaded.
    """
    data = config.load()
    methods = {"majority": evaluate_majority}
    if understands(data["train"].features["label"].names):
        methods["vader"] = evaluate_vader
    splits = [split for split in SPLITS if split in data]
    return {s: {name: method(data, s) for name, method in methods.items()} for s in splits}


def write(baselines: Baselines, folder: Path) -> None:
    """Into the run's folder.

    Raises:
        StorageError: the file could not be written.
    """
    values = {
        split: {name: found.as_dict() for name, found in scores.items()}
        for split, scores in baselines.items()
    }
    write_atomically(folder / FILE, json.dumps(values).encode())


def read(folder: Path) -> Baselines | None:
    """From the run's folder; None if there are none, or none that can be read."""
    try:
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {
            split: {name: Evaluation.from_dict(found) for name, found in scores.items()}
            for split, scores in values.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None

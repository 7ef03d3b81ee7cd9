"""What a run answered on each test text: the small file that paired comparisons rest on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lora_lab.checkpoints import write_atomically

FILE = "test_answers.safetensors"


@dataclass(frozen=True)
class Answers:
    """Answers to N texts with C classes, in the order of the test split.

    Attributes:
        probabilities: (N, C), rows summing to one.
        labels: (N,), the true classes.
    """

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """(N,), whether the most probable class is the true one."""
        return self.probabilities.argmax(axis=1) == self.labels


def save_answers(answers: Answers, folder: Path) -> None:
    """Write the answers into a run's folder.

    Raises:
        StorageError: the file could not be written.
    """
    tensors = {
        "probabilities": np.ascontiguousarray(answers.probabilities, dtype=np.float32),
        "labels": np.ascontiguousarray(answers.labels, dtype=np.int64),
    }
    write_atomically(folder / FILE, save(tensors))


def read_answers(folder: Path) -> Answers | None:
    """A run's answers; None if it has none, as runs of earlier versions, or they are damaged."""
    try:
        tensors = load((folder / FILE).read_bytes())
        answers = Answers(tensors["probabilities"], tensors["labels"])
    except (OSError, KeyError, SafetensorError):
        return None
    fits = answers.probabilities.ndim == 2
    fits = fits and answers.labels.shape == answers.probabilities.shape[:1]
    return answers if fits else None

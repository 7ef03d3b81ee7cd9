"""What four ways of answering say to typed sentences: base, VADER, head only, the chosen run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from lora_lab.baselines import UNDECIDED, understands, vader_answers, vader_scores
from lora_lab.dashboard import trained
from lora_lab.inside.attribution import Attribution, leave_one_word_out
from lora_lab.models import DEFAULT_MODEL
from lora_lab.runs import Run, read_run

CLASSES = ("negative", "positive")  # without a run there is nothing else to go by
MOST_SENTENCES, MOST_LETTERS, MOST_WORDS = 10, 300, 60


@dataclass(frozen=True)
class Column:
    """One way of answering.

    Attributes:
        way: base, vader, head or run.
        names: the classes.
        answers: class indices of N sentences, or ``UNDECIDED``.
        probabilities: (N, C); None for VADER, which has none.
        scores: (N,) VADER's compound scores; None for the others.
    """

    way: str
    names: tuple[str, ...]
    answers: np.ndarray
    probabilities: np.ndarray | None = None
    scores: np.ndarray | None = None

    def answer(self, row: int) -> str | None:
        """The class's name; None where there is no answer."""
        index = int(self.answers[row])
        return None if index == UNDECIDED else self.names[index]


def sentences(text: str) -> tuple[list[str], bool]:
    """One sentence a line, nothing invisible in it, and whether something was left out."""
    lines = ["".join(c if c.isprintable() else " " for c in line) for line in text.splitlines()]
    found = [" ".join(line.split()) for line in lines if line.strip()]
    kept = [line[:MOST_LETTERS] for line in found[:MOST_SENTENCES]]
    return kept, kept != found


def side_by_side(texts: Sequence[str], run: Run | None, head: Run | None) -> list[Column]:
    """Every way that can answer in the run's classes, the untrained ones first.

    Raises:
        PROBLEMS: a model cannot be loaded.
    """
    names = classes(run)
    model = run.config.model if run else DEFAULT_MODEL
    columns = [_column("base", names, _of_base(model, names, tuple(texts)))]
    if understands(names):
        scores = vader_scores(texts)
        columns.append(Column("vader", names, vader_answers(scores, names), scores=scores))
    for way, trained_run in (("head", head), ("run", run)):
        if trained_run is not None:
            found = _of_run(*trained.identity(trained_run), tuple(texts))
            columns.append(_column(way, names, found))
    return columns


def table(texts: Sequence[str], columns: Sequence[Column]) -> pd.DataFrame:
    """All answers as rows, for a spreadsheet."""
    rows = []
    for row, text in enumerate(texts):
        cells: dict[str, object] = {"sentence": text}
        for column in columns:
            cells[f"{column.way}: answer"] = column.answer(row)
            if column.probabilities is not None:
                for name, p in zip(column.names, column.probabilities[row], strict=True):
                    cells[f"{column.way}: P({name})"] = round(float(p), 4)
            else:
                cells[f"{column.way}: score"] = float(column.scores[row])
        rows.append(cells)
    return pd.DataFrame(rows)


def classes(run: Run | None) -> tuple[str, ...]:
    return tuple(run.result["labels"]) if run else CLASSES


def head_only_runs(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Runs that trained the head alone, on the same base and classes; the likest data first.

    A base with random weights is another one for every seed.
    """
    own = run.config.data
    found = [
        other
        for other in runs
        if other.config.method == "head"
        and other.id != run.id
        and _base(other) == _base(run)
        and classes(other) == classes(run)
    ]
    return sorted(found, key=lambda o: (o.config.data != own, o.config.data.name != own.name))


def _base(run: Run) -> tuple[str, int | None]:
    config = run.config
    return config.model, None if config.pretrained else config.train.seed


@st.cache_data(show_spinner=False, max_entries=1000)
def words(folder: str, written: float, text: str) -> Attribution:
    """What each word does to the run's answer."""
    short = " ".join(text.split()[:MOST_WORDS])
    classifier = trained.classifier(read_run(Path(folder)))
    return leave_one_word_out(classifier.probabilities, short)


@st.cache_data(show_spinner=False, max_entries=1000)
def _of_run(folder: str, written: float, texts: tuple[str, ...]) -> np.ndarray:
    return trained.classifier(read_run(Path(folder))).probabilities(texts)


@st.cache_data(show_spinner=False, max_entries=1000)
def _of_base(model: str, names: tuple[str, ...], texts: tuple[str, ...]) -> np.ndarray:
    return trained.untrained(model, names).probabilities(texts)


def _column(way: str, names: tuple[str, ...], probabilities: np.ndarray) -> Column:
    return Column(way, names, probabilities.argmax(axis=1), probabilities)

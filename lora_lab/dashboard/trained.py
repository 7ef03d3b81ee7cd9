"""Trained models that the server keeps for all its visitors: few, and each used by one at a time.

On a computer with two cores thirty forward passes at once would end no sooner than one after the
other, and would hold up the training besides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
import torch
from datasets import Dataset, DatasetDict
from torch import nn

from lora_lab.adapt import freeze
from lora_lab.dashboard import folders
from lora_lab.evaluation import Evaluation, evaluate_predictions
from lora_lab.inside.rescoring import Rescorer
from lora_lab.models import LoadedModel, load_model
from lora_lab.prediction import predict_probabilities
from lora_lab.runs import DataConfig, Run, load_trained, read_run, shared_cache
from lora_lab.runs.answers import read_answers
from lora_lab.sharing import share_frozen

CORES = torch.get_num_threads()  # what torch takes by itself; OMP_NUM_THREADS can say less
HALF = max(1, CORES // 2)
PIECE = 128  # sentences between which a visitor with a single one gets a turn, or a first score

SoFar = Callable[[Evaluation], None]

#: What loading a run, its model or its data can raise.
PROBLEMS = (ValueError, OSError, RuntimeError)

_over_data = threading.Lock()  # one pass over a data set at a time, whatever the model


class Classifier:
    """A model's answers to a few sentences."""

    def __init__(self, loaded: LoadedModel, max_length: int = 128) -> None:
        self.names = [
            loaded.model.config.id2label[i] for i in range(loaded.model.config.num_labels)
        ]
        self._loaded, self._max_length = loaded, max_length
        self._lock = threading.Lock()

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """(N, C)."""
        with _working(self._lock, HALF):
            return predict_probabilities(*self._loaded, texts, max_length=self._max_length)


@dataclass(frozen=True)
class Score:
    """Answers, class indices, to all validation sentences, and what they are worth."""

    answers: np.ndarray
    evaluation: Evaluation


class Scores:
    """One run's validation scores at each rank and alpha that anyone has asked for so far."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rank: int = run.config.lora.rank
        self.known: dict[tuple[int, float], Score] = {}
        self.labels = np.empty(0, dtype=int)
        self.seconds: float | None = None  # what the latest pass took

    def has(self, rank: int, times: float) -> bool:
        return _settled(self.rank, rank, times) in self.known

    def at(self, rank: int, times: float, so_far: SoFar = lambda part: None) -> Score:
        """The update cut to ``rank``, alpha multiplied by ``times``; computed once for everyone.

        Args:
            so_far: told the score on more and more of the sentences, while it is computed.

        Raises:
            PROBLEMS: model or data cannot be loaded.
        """
        key = _settled(self.rank, rank, times)
        if key not in self.known:
            with _working(_over_data, _spare_cores()):
                if key not in self.known:  # someone else may have been faster
                    self.known[key] = self._score(*key, so_far)
        return self.known[key]

    def _score(self, rank: int, times: float, so_far: SoFar) -> Score:
        rescorer = _rescorer(*identity(self.run))
        labels = self.labels = rescorer.labels
        began = time.perf_counter()
        p = np.zeros((len(labels), len(rescorer.names)), dtype=np.float32)
        done = np.empty(0, dtype=int)
        alpha = times * self.run.config.lora.alpha
        for rows, found in rescorer.in_pieces(PIECE, rank=rank, alpha=alpha):
            p[rows] = found
            done = np.append(done, rows)
            answers = p.argmax(axis=1).astype(np.int16)
            part = evaluate_predictions(labels[done], answers[done], rescorer.names, p[done])
            if len(done) < len(labels):
                so_far(part)
        self.seconds = time.perf_counter() - began
        return Score(answers, part)


def identity(run: Run) -> tuple[str, float]:
    """A key for what is remembered of a finished run: a folder may get a new run by hand."""
    return str(run.folder), (run.folder / "result.json").stat().st_mtime


def classifier(run: Run) -> Classifier:
    """The trained model of a finished run.

    Raises:
        PROBLEMS: it cannot be loaded.
    """
    return _classifier(*identity(run))


@st.cache_resource(show_spinner=False, max_entries=2)
def untrained(model: str, names: tuple[str, ...]) -> Classifier:
    """The pre-trained model with a head as it is drawn before any training."""
    loaded = load_model(model, labels=names)
    freeze(loaded.model)
    share_frozen(loaded.model, base(model))
    return Classifier(loaded)


@st.cache_resource(show_spinner=False, max_entries=2)
def base(model: str) -> nn.Module:
    """The pre-trained model whose weights all runs on it share here.

    Raises:
        ModelError: it cannot be loaded.
    """
    loaded = load_model(model, labels=("any", "other"))
    freeze(loaded.model, train_head=False)
    return loaded.model


def scores(run: Run) -> Scores:
    return _scores(*identity(run))


def prepare(run: Run) -> None:
    """Load what a run's first score needs, unless the processor has other scores to compute.

    What cannot be loaded is left for ``Scores.at`` to tell those who ask.
    """
    if not is_scoring():
        with suppress(*PROBLEMS), _working(_over_data, _spare_cores()):
            _rescorer(*identity(run))


@st.cache_resource(show_spinner=False, max_entries=4)
def data(config: DataConfig) -> DatasetDict:
    return config.load()


def is_scoring() -> bool:
    """Whether a pass over a data set is under way, so that the next one has to wait."""
    return _over_data.locked()


def is_scored(run: Run) -> bool:
    """Whether ``test_probabilities`` is known already."""
    return read_answers(run.folder) is not None or identity(run) in _scored()


def test_probabilities(run: Run) -> tuple[Dataset, np.ndarray]:
    """The test sentences of a run and its answers (N, C): those that training has kept.

    A run of an earlier version kept none; they are computed, once for everyone.

    Raises:
        PROBLEMS: model or data cannot be loaded.
    """
    test, known = data(run.config.data)["test"], _scored()
    kept = read_answers(run.folder)
    if kept is not None and np.array_equal(kept.labels, test["label"]):
        return test, kept.probabilities
    key = identity(run)
    if key not in known:
        with _over_data:
            if key not in known:
                texts, model = test["text"], classifier(run)
                pieces = [texts[i : i + PIECE] for i in range(0, len(texts), PIECE)]
                known[key] = np.concatenate([model.probabilities(piece) for piece in pieces])
    return test, known[key]


@st.cache_resource(show_spinner=False)
def _scored() -> dict[tuple[str, float], np.ndarray]:
    return {}


@st.cache_resource(show_spinner=False, max_entries=8)
def _classifier(folder: str, written: float) -> Classifier:
    run = read_run(Path(folder))
    return Classifier(_trained(folder), run.config.train.max_length)


@st.cache_resource(show_spinner=False, max_entries=4)
def _rescorer(folder: str, written: float) -> Rescorer:
    run = read_run(Path(folder))
    return Rescorer(
        *_trained(folder),
        data(run.config.data)["validation"],
        max_length=run.config.train.max_length,
        batch_size=32,  # as fast as more, in less memory
        cache=shared_cache(),
    )


@st.cache_resource(show_spinner=False, max_entries=100)
def _scores(folder: str, written: float) -> Scores:
    return Scores(read_run(Path(folder)))


def _settled(trained: int, rank: int, times: float) -> tuple[int, float]:
    """One key for one function: without an update, neither its rank nor its scale matters."""
    return (0, 1.0) if rank == 0 or times == 0 else (min(rank, trained), times)


def _trained(folder: str) -> LoadedModel:
    run = read_run(Path(folder))
    loaded = load_trained(run.folder)
    if not run.config.keeps_whole_model:
        share_frozen(loaded.model, base(run.config.model))
    return loaded


def _spare_cores() -> int:
    """All of them, unless something is being trained."""
    busy = any(run.state == "running" for run in folders.recent_runs())
    return HALF if busy else CORES


@contextmanager
def _working(lock: threading.Lock, threads: int) -> Iterator[None]:
    with lock:
        torch.set_num_threads(threads)
        yield

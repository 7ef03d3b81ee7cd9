"""The updates of several LoRA runs as small tables, which need no adapter to be read.

    tables = update_tables(runs)
    tables.matrices        a row per run and adapted matrix: spectrum, norms, effective rank
    tables.similarity      a row per pair of runs, matrix and space: phi(i, j) as text
    tables.truncated       a row per run and rank that its update was cut to: accuracy and answers

``stored_updates`` writes and reads them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from lora_lab.adapt import adapted_layers
from lora_lab.derivations.low_rank import effective_rank, subspace_similarities
from lora_lab.evaluation import evaluate_predictions
from lora_lab.inside.rescoring import Rescorer, halvings
from lora_lab.inside.spectra import Space, Update, read_updates, relation
from lora_lab.prefix_cache import PrefixCache
from lora_lab.results.table import as_table, pack, unpack
from lora_lab.runs import Run, load_trained

#: ``run``: its id; ``matrix``: the layer's full name; ``singular_values``: of s B A, as text;
#: ``base_along``, ``by_chance``: see ``spectra.Relation``; ``base_top``: the same in as many of
#: W's own top directions.
MATRIX_COLUMNS = {
    "run": "str",
    "matrix": "str",
    "rank": "int64",
    "norm": "float64",
    "effective_rank": "float64",
    "base_norm": "float64",
    "base_effective_rank": "float64",
    "base_along": "float64",
    "by_chance": "float64",
    "base_top": "float64",
    "singular_values": "str",
}
#: ``dimensions``: of the space that the directions lie in; ``phi``: see ``UpdateTables.phi``.
SIMILARITY_COLUMNS = {
    "first": "str",
    "second": "str",
    "matrix": "str",
    "space": "str",
    "dimensions": "int64",
    "phi": "str",
}
#: ``rank``: what every update of the run was cut to, 0 being the base under the trained head;
#: ``loss``: mean cross-entropy in nats; ``right``: as in ``results.table.COLUMNS``.
TRUNCATED_COLUMNS = {
    "run": "str",
    "rank": "int64",
    "accuracy": "float64",
    "loss": "float64",
    "examples": "int64",
    "right": "str",
}
#: The spaces that are compared: the paper's, and the one that is written to.
SPACES: tuple[Space, ...] = ("A", "output")
#: Numbers of directions for which phi is kept, as far as a rank reaches.
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True)
class UpdateTables:
    """Three tables with the columns above."""

    matrices: pd.DataFrame
    similarity: pd.DataFrame
    truncated: pd.DataFrame

    def spectrum(self, run: str, matrix: str) -> np.ndarray:
        """Singular values of the run's update, (rank,), descending.

        Raises:
            KeyError: no such run or matrix.
        """
        row = _only(self.matrices, run=run, matrix=matrix)
        return numbers(row["singular_values"])

    def phi(self, first: str, second: str, matrix: str, space: Space = "A") -> pd.DataFrame:
        """phi(i, j) of two runs' updates (Hu et al. 2021, eq. 4), i down and j across.

        Raises:
            KeyError: the two runs were not compared, or not in this matrix and space.
        """
        ranks = dict(zip(self.matrices["run"], self.matrices["rank"], strict=True))
        row = _only(self.similarity, first=first, second=second, matrix=matrix, space=space)
        i, j = counts(ranks[first]), counts(ranks[second])
        return pd.DataFrame(numbers(row["phi"]).reshape(len(i), len(j)), i, j)

    def right(self, run: str, rank: int) -> np.ndarray:
        """(N,) booleans: which test sentences the run got right, its updates cut to ``rank``.

        Raises:
            KeyError: no such run, or it was not cut to this rank.
        """
        row = _only(self.truncated, run=run, rank=rank)
        return unpack(row["right"], row["examples"])


def update_tables(runs: Sequence[Run], cache: PrefixCache | None = None) -> UpdateTables:
    """Look into finished LoRA runs: spectra, pairs, and what is left when updates are cut.

    Every update is cut to 0, 1, 2, 4 ... directions and scored on its run's test sentences;
    nothing is chosen by them.

    Args:
        cache: activations of frozen layers (default: kept in memory).

    Raises:
        AdapterError: a run has no LoRA adapter, or a damaged one.
        RunError: a run has not finished.
    """
    cache = cache or PrefixCache()
    updates = {run.id: read_updates(run.folder / "adapter") for run in runs}
    matrices, truncated = [], []
    for run in runs:
        model, tokenizer = load_trained(run.folder)
        layers = adapted_layers(model)
        matrices += [
            {"run": run.id} | _matrix_row(update, layers[name].weight.detach())
            for name, update in updates[run.id].items()
        ]
        test = run.config.data.load()["test"]
        length = run.config.train.max_length
        rescorer = Rescorer(model, tokenizer, test, max_length=length, cache=cache)
        rank = run.config.lora.rank
        truncated += [{"run": run.id} | _cut_row(rescorer, k) for k in halvings(rank)]
    similarity = [
        {"first": first, "second": second} | row
        for first, second in itertools.combinations(updates, 2)
        for row in _similarity_rows(updates[first], updates[second])
    ]
    return UpdateTables(
        as_table(matrices, MATRIX_COLUMNS),
        as_table(similarity, SIMILARITY_COLUMNS),
        as_table(truncated, TRUNCATED_COLUMNS),
    )


def counts(rank: int) -> list[int]:
    """The numbers of directions for which phi is kept: all of ``COUNTS`` below the rank, and it."""
    return [count for count in COUNTS if count < rank] + [rank]


def numbers(text: str) -> np.ndarray:
    """The inverse of ``_text``.

    Raises:
        ValueError: there is something else in the text.
    """
    return np.array([float(part) for part in text.split()])


def _text(values: Iterable[float], form: str) -> str:
    return " ".join(format(float(value), form) for value in values)


def _only(table: pd.DataFrame, **values: str | int) -> pd.Series:
    found = table[np.logical_and.reduce([table[name] == value for name, value in values.items()])]
    if len(found) != 1:
        raise KeyError(f"{len(found)} rows have {values}; exactly one should.")
    return found.iloc[0]


def _matrix_row(update: Update, W: torch.Tensor) -> dict[str, Any]:
    beside, own = relation(update, W), torch.linalg.svdvals(W)
    return dict(
        matrix=update.name,
        rank=update.rank,
        norm=beside.norm,
        effective_rank=update.effective_rank,
        base_norm=beside.base_norm,
        base_effective_rank=float(effective_rank(own)),
        base_along=beside.base_along,
        by_chance=beside.by_chance,
        # U and V being W's own, U^T W V is diagonal: its norm is that of the top singular values.
        base_top=float(torch.linalg.norm(own[: update.rank])),
        singular_values=_text(update.svd.S, ".4g"),
    )


def _similarity_rows(first: dict[str, Update], second: dict[str, Update]) -> list[dict[str, Any]]:
    rows = []
    for name, space in itertools.product([n for n in first if n in second], SPACES):
        bases = first[name].directions(space), second[name].directions(space)
        i, j = (np.array(counts(basis.shape[1])) - 1 for basis in bases)
        phi = subspace_similarities(*bases).numpy()[np.ix_(i, j)]
        row = dict(matrix=name, space=space, dimensions=len(bases[0]))
        rows.append(row | {"phi": _text(phi.ravel(), ".3f")})
    return rows


def _cut_row(rescorer: Rescorer, rank: int) -> dict[str, Any]:
    p = rescorer.probabilities(rank=rank)
    answers = p.argmax(axis=1)
    score = evaluate_predictions(rescorer.labels, answers, rescorer.names, p)
    return dict(
        rank=rank,
        accuracy=score.accuracy,
        loss=score.loss,
        examples=score.examples,
        right=pack(answers == rescorer.labels),
    )

"""A trained model's answers to all texts of a file, in bounded memory and safe from interruptions.

Two passes. The first reads the texts in chunks and stores each chunk's probabilities beside the
output, so that a full disk, a damaged row or a power cut costs at most the chunk under way. The
second reads the file again, joins each row with its answer and puts the output in its place whole.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from torch import nn

from lora_lab.adapt import adapted_layers
from lora_lab.answer_store import AnswerStore
from lora_lab.batches import tokenise
from lora_lab.data import DataError
from lora_lab.data.cleaning import MAX_CHARACTERS, clean_text, is_missing
from lora_lab.data.rows import Row, read_rows
from lora_lab.data.writing import check_output, schema_of, write_rows
from lora_lab.models import LoadedModel
from lora_lab.prediction import probabilities

CHUNK_ROWS = 4096
LABEL_COLUMN, PROBABILITY_COLUMN = "predicted_label", "probability_{}"


@dataclass(frozen=True)
class FilePrediction:
    """What came of predicting a file.

    Attributes:
        rows: rows of the file, each of which is in the output.
        empty: rows without a text, which have no label and no probabilities there.
        truncated: texts longer than the model's limit, of those scored in this call.
        counts: rows by predicted label.
        seconds: time of this call.
    """

    output: Path
    rows: int
    empty: int
    truncated: int
    counts: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class ScoredChunk:
    """Some rows of a file with a model's answers.

    Attributes:
        probabilities: (rows, C), float32; NaN where a row has no text.
        truncated: texts longer than the model's limit.
    """

    rows: list[Row]
    probabilities: np.ndarray
    truncated: int


def predict_file(
    loaded: LoadedModel,
    source: Path | str,
    output: Path | str | None = None,
    *,
    text_column: str = "text",
    encoding: str = "utf-8",
    max_length: int = 128,
    batch_size: int = 64,
    chunk_rows: int = CHUNK_ROWS,
    force: bool = False,
    resume: bool = False,
    finished: Callable[[int], Any] = lambda rows: None,
) -> FilePrediction:
    """Write the file's rows, in order and with their columns, with label and probabilities added.

    Args:
        source: .csv, .tsv, .jsonl, .parquet, or .txt with one text on each line.
        output: .csv, .tsv, .jsonl or .parquet; by default see ``default_output``.
        max_length: longer texts are cut to so many tokens.
        chunk_rows: rows in memory at a time; within them, texts of like length share a batch.
        force: replace an output that exists, and the answers of an interrupted call.
        resume: go on with the answers of an interrupted call.
        finished: called after each chunk with the number of rows answered so far.

    Raises:
        DataError: the source cannot be read or has no such column, or the output exists.
        StorageError: the disk is full, or the like; says where the answers so far are.
        ValueError: the model answers with NaN.
    """
    started = time.perf_counter()
    source = Path(source)
    output = default_output(source) if output is None else Path(output)
    typed = check_output(output) == ".parquet"
    _check_free(output, source, force)
    names = class_names(loaded.model)
    schema = _with_answers(schema_of(source, encoding, typed=typed), text_column, names)
    job = {
        "source": [source.name, source.stat().st_size, source.stat().st_mtime_ns],
        "model": _fingerprint(loaded.model),
        "settings": [text_column, encoding, max_length, names],
    }
    store = AnswerStore(
        output.with_name(f"{output.name}.answers"), job, len(names), force=force, resume=resume
    )
    truncated = 0
    with merged(loaded.model):
        for chunk in scored_chunks(
            loaded, source, text_column=text_column, encoding=encoding, max_length=max_length,
            batch_size=batch_size, chunk_rows=chunk_rows, skip=store.rows,
        ):  # fmt: skip
            store.append(chunk.probabilities)
            truncated += chunk.truncated
            finished(store.rows)

    counts: Counter[str | None] = Counter()

    def joined() -> Iterator[list[Row]]:
        chunks = read_rows(source, chunk_rows, encoding)
        for rows, answers in zip(chunks, store.read(chunk_rows), strict=True):
            added = [_answer(p, names) for p in answers]
            counts.update(answer[LABEL_COLUMN] for answer in added)
            yield [row | answer for row, answer in zip(rows, added, strict=True)]

    try:
        write_rows(output, joined(), schema)
    except OSError as error:
        raise store.interrupted(output, error) from error
    store.path.unlink()
    return FilePrediction(
        output=output,
        rows=store.rows,
        empty=counts[None],
        truncated=truncated,
        counts={name: counts[name] for name in names},
        seconds=time.perf_counter() - started,
    )


def scored_chunks(
    loaded: LoadedModel,
    source: Path,
    *,
    text_column: str = "text",
    encoding: str = "utf-8",
    max_length: int = 128,
    batch_size: int = 64,
    chunk_rows: int = CHUNK_ROWS,
    skip: int = 0,
) -> Iterator[ScoredChunk]:
    """The file's rows after the first ``skip``, with the model's answers to their texts.

    Raises:
        DataError: the file cannot be read, a row holds no text but something else, or there is no
            such column.
        ValueError: the model answers with NaN.
    """
    model, tokenizer = loaded
    start = 0
    for rows in read_rows(source, chunk_rows, encoding):
        fresh = rows[max(0, skip - start) :]
        start += len(rows)
        if not fresh:
            continue
        texts = _texts(fresh, start - len(fresh) + 1, text_column)
        there = [i for i, text in enumerate(texts) if text is not None]
        found = np.full((len(fresh), model.config.num_labels), np.nan, dtype=np.float32)
        tokens = tokenise(tokenizer, [texts[i] for i in there], max_length)
        found[there] = probabilities(model, tokens, batch_size=batch_size)
        if np.isnan(found[there]).any():
            raise ValueError("The model answers with NaN: its training diverged.")
        yield ScoredChunk(fresh, found, tokens.truncated)


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Adapters merged into their base weights within, which saves their work, and back after."""
    apart = [layer for layer in adapted_layers(model).values() if not layer.merged]
    try:
        for layer in apart:
            layer.merge()
        yield
    finally:
        for layer in apart:
            layer.unmerge()


def class_names(model: nn.Module) -> list[str]:
    """The model's classes, in the order of its outputs."""
    return [model.config.id2label[i] for i in range(model.config.num_labels)]


def default_output(source: Path) -> Path:
    """``NAME.predicted.KIND`` beside the source; plain text gets a CSV."""
    kind = ".csv" if source.suffix.lower() == ".txt" else source.suffix
    return source.with_name(f"{source.stem}.predicted{kind}")


def check_text_column(columns: list[str], text_column: str) -> None:
    """Raises DataError, naming the columns that there are, if this one is missing."""
    if text_column not in columns:
        raise DataError(
            f"no column {text_column!r}; there are: {', '.join(columns)}; name the one with the "
            "texts with --text-column"
        )


def _check_free(output: Path, source: Path, force: bool) -> None:
    if output.resolve() == source.resolve():
        raise DataError(f"the output would replace the input {source}; name another output")
    if output.exists() and not force:
        raise DataError(
            f"{output} exists already; name another output, or use --force to replace it"
        )


def _with_answers(schema: pyarrow.Schema, text_column: str, names: list[str]) -> pyarrow.Schema:
    check_text_column(schema.names, text_column)
    new = [(LABEL_COLUMN, pyarrow.string())]
    new += [(PROBABILITY_COLUMN.format(name), pyarrow.float64()) for name in names]
    if taken := [name for name, _ in new if name in schema.names]:
        raise DataError(
            f"the file has a column {taken[0]!r} already, which the output would need; rename it"
        )
    for name, kind in new:
        schema = schema.append(pyarrow.field(name, kind))
    return schema


def _texts(rows: list[Row], first: int, column: str) -> list[str | None]:
    """What the model reads of each row, the first one's number given; None where there is none."""
    changed: Counter[str] = Counter()
    values = [row.get(column) for row in rows]
    return [
        None if is_missing(value) else clean_text(value, number, column, MAX_CHARACTERS, changed)
        for number, value in enumerate(values, start=first)
    ]


def _answer(p: np.ndarray, names: list[str]) -> Row:
    if np.isnan(p).any():
        return dict.fromkeys([LABEL_COLUMN, *map(PROBABILITY_COLUMN.format, names)])
    rounded = {
        PROBABILITY_COLUMN.format(n): round(float(v), 6) for n, v in zip(names, p, strict=True)
    }
    return {LABEL_COLUMN: names[int(p.argmax())]} | rounded


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()

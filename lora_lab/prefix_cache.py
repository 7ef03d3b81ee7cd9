"""Activations below the first adapted layer: computed once, used by every epoch, run and score.

A frozen block gives the same output for the same sentence each time. What enters the first block
that changes is therefore stored once per (model, sentences, block) and read from then on. The key
is a hash of the frozen weights and the token numbers themselves, so an entry can be missing but
never wrong. It is valid only without dropout below, which ``forward.py`` sees to.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from lora_lab.batches import TokenisedText, attention_mask, inference_batches, padded_width
from lora_lab.encoder import Encoder, additive_mask

GIB = 2**30
FORMAT = "lora-lab activations 2"
DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}
BUILD_BATCH = 64
_STALE = 24 * 3600  # seconds after which a file that nobody finished is rubbish


@dataclass(frozen=True)
class Activations:
    """Hidden states of N texts, one row per token and without padding.

    Attributes:
        values: (tokens of all texts, H).
        starts, lengths: where each text's rows begin and how many there are.
    """

    values: Tensor
    starts: Sequence[int]
    lengths: Sequence[int]

    def batch(self, rows: Sequence[int], multiple: int = 1) -> tuple[Tensor, Tensor]:
        """Hidden states (n, width, H) in float32 and attention mask (n, width).

        The width is that of ``padded_width``.
        """
        lengths = [self.lengths[row] for row in rows]
        mask = attention_mask(lengths, padded_width(lengths, multiple, self.longest))
        hidden = torch.zeros(*mask.shape, self.values.shape[1])
        for i, row in enumerate(rows):
            start = self.starts[row]
            hidden[i, : lengths[i]] = self.values[start : start + lengths[i]]
        return hidden, mask

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest text, as far as they are kept."""
        return max(self.lengths, default=0)


class PrefixCache:
    """Where activations are kept: in memory up to a limit, then in files mapped into memory.

    With a folder every entry is also a file there, so that other processes and later ones find
    it. Files appear by renaming a finished one, so two processes that build the same entry do
    the work twice but never read half of it. What was not used for longest goes first.

    Args:
        folder: for the files; None keeps nothing on disk.
        memory_limit, disk_limit: bytes.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        memory_limit: int = 1 * GIB,
        disk_limit: int = 4 * GIB,
    ) -> None:
        self.folder, self.memory_limit, self.disk_limit = folder, memory_limit, disk_limit
        self._memory: OrderedDict[str, Tensor] = OrderedDict()

    def get(
        self,
        encoder: Encoder,
        text: TokenisedText,
        block: int,
        dtype: str = "float32",
    ) -> Activations | None:
        """What enters ``block`` for every text; computed if it is not there yet.

        Args:
            dtype: "float32", or "float16" for half the room and about three digits.

        None if it fits neither in memory nor on disk: then it has to be computed each time.

        Raises:
            ValueError: a value is too large for float16.
        """
        layout = _Layout(text, first_token_only=block == encoder.depth)
        width = encoder.blocks[0].query.in_features
        shape = (layout.tokens, width)
        size = layout.tokens * width * DTYPES[dtype].itemsize
        key = _key(encoder, text, block, dtype)
        # A score may be what fills the cache, but training must be able to use it after.
        with torch.inference_mode(False), torch.no_grad():
            values = self._recall(key, shape, DTYPES[dtype])
            if values is None:
                chunks = _chunks(encoder, text, block)
                values = self._build(key, chunks, shape, size, DTYPES[dtype])
        return None if values is None else Activations(values, layout.starts, layout.lengths)

    def _recall(self, key: str, shape: tuple[int, int], dtype: torch.dtype) -> Tensor | None:
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        if self.folder is None:
            return None
        return _map(self.folder / f"{key}.bin", shape, dtype)

    def _build(
        self,
        key: str,
        chunks: Iterator[Tensor],
        shape: tuple[int, int],
        size: int,
        dtype: torch.dtype,
    ) -> Tensor | None:
        on_disk = self.folder is not None and 0 < size <= self.disk_limit
        if size <= self.memory_limit:
            values = torch.empty(shape, dtype=dtype)
            filled = 0
            for chunk in chunks:
                values[filled : filled + len(chunk)] = _stored(chunk, dtype)
                filled += len(chunk)
            self._remember(key, values, size)
            if on_disk:
                self._write(key, iter([values]))
            return values
        if on_disk and self._write(key, (_stored(chunk, dtype) for chunk in chunks)):
            return _map(self.folder / f"{key}.bin", shape, dtype)
        return None

    def _remember(self, key: str, values: Tensor, size: int) -> None:
        while self._memory and size + self.memory_used() > self.memory_limit:
            self._memory.popitem(last=False)
        self._memory[key] = values

    def memory_used(self) -> int:
        """Bytes held in this process's memory."""
        return sum(values.nbytes for values in self._memory.values())

    def _write(self, key: str, chunks: Iterator[Tensor]) -> bool:
        """A file of all chunks, there as a whole or not at all. False if it cannot be written."""
        partial = self.folder / f"{key}.{os.getpid()}.{secrets.token_hex(4)}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                for chunk in chunks:
                    file.write(memoryview(chunk.contiguous().numpy()).cast("B"))
            partial.replace(self.folder / f"{key}.bin")
        except OSError as error:
            warnings.warn(
                f"Activations could not be kept in {self.folder}: {error.strerror or error}. The "
                "run goes on, but others cannot use them. Free some space, or set LORA_LAB_CACHE "
                "to another folder.",
                stacklevel=2,
            )
            return False
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        self._evict(keep=f"{key}.bin")
        return True

    def _evict(self, keep: str) -> None:
        files = sorted(_files(self.folder), key=lambda file: file[1])
        total = sum(size for _, _, size in files)
        for path, used, size in files:
            stale = path.suffix == ".partial" and time.time() - used > _STALE
            if stale or (total > self.disk_limit and path.suffix == ".bin" and path.name != keep):
                with suppress(OSError):  # another process may have been faster
                    path.unlink()
                total -= size

    def disk_used(self) -> int:
        """Bytes in the folder."""
        return sum(size for _, _, size in _files(self.folder))

    def clear(self) -> None:
        """Forget everything, on disk too."""
        self._memory.clear()
        for path, _, _ in _files(self.folder):
            path.unlink(missing_ok=True)


class _Layout:
    """Where each text's rows lie: texts in the order in which they are computed."""

    def __init__(self, text: TokenisedText, *, first_token_only: bool) -> None:
        self.lengths = [1 if first_token_only else len(ids) for ids in text.input_ids]
        order = [row for rows in inference_batches(text, BUILD_BATCH) for row in rows]
        ends = list(accumulate(self.lengths[row] for row in order))
        self.tokens = ends[-1] if ends else 0
        self.starts = [0] * len(order)
        for row, end in zip(order, ends, strict=True):
            self.starts[row] = end - self.lengths[row]


def _chunks(encoder: Encoder, text: TokenisedText, block: int) -> Iterator[Tensor]:
    """What enters ``block``, (tokens, H) for one batch after the other, padding left out."""
    device = next(encoder.embeddings.parameters()).device
    for rows in inference_batches(text, BUILD_BATCH):
        batch = {name: tensor.to(device) for name, tensor in text.batch(rows).items()}
        hidden = encoder.embeddings(input_ids=batch["input_ids"])
        mask = additive_mask(batch["attention_mask"], hidden.dtype)
        hidden = encoder.hidden_states(hidden, mask, 0, block)
        present = batch["attention_mask"][:, : hidden.shape[1]].bool()
        yield hidden[present].cpu()


def _stored(chunk: Tensor, dtype: torch.dtype) -> Tensor:
    """``chunk`` in the type that it is kept in.

    Raises:
        ValueError: a value is too large for float16.
    """
    largest = torch.finfo(dtype).max
    if chunk.abs().max() > largest:
        raise ValueError(
            f"Activations of this model exceed {largest:g}, the largest number that {dtype} "
            "holds. Keep them in float32 (prefix='float32')."
        )
    return chunk.to(dtype)


def _key(encoder: Encoder, text: TokenisedText, block: int, dtype: str) -> str:
    """A hash of everything that the activations depend on."""
    frozen = [encoder.embeddings]
    device = next(encoder.embeddings.parameters()).device.type
    computed_in = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else "own"
    digest = hashlib.sha256(f"{FORMAT} {block} {dtype} {computed_in}".encode())
    # Where padding lies shifts RoBERTa's positions, and is no weight.
    padding = getattr(encoder.embeddings, "padding_idx", None)
    digest.update(f"{encoder.embeddings} {padding}".encode())
    for part in encoder.blocks[:block]:
        digest.update(f"{part.heads} {part.activation} {part.output_norm}".encode())
        frozen += part.modules()
    for module in frozen:
        for tensor in module.state_dict().values():
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for ids in text.input_ids:
        digest.update(torch.tensor([len(ids), *ids]).numpy())
    return digest.hexdigest()[:32]


def _map(path: Path, shape: tuple[int, int], dtype: torch.dtype) -> Tensor | None:
    """The file as a tensor that the system reads in as it is used; None without a whole file."""
    count = shape[0] * shape[1]
    try:
        if path.stat().st_size != count * dtype.itemsize or count == 0:
            return None
        with suppress(OSError):  # another user's file may be read all the same
            os.utime(path)  # used just now: the last to be evicted
        values = torch.from_file(str(path), shared=False, size=count, dtype=dtype)
    except (OSError, RuntimeError):  # evicted by another process in this moment
        return None
    return values.view(shape)


def _files(folder: Path | None) -> list[tuple[Path, float, int]]:
    """(path, time of last use, bytes) of every file of a cache."""
    found = []
    for path in folder.iterdir() if folder is not None and folder.is_dir() else []:
        with suppress(OSError):
            if path.suffix in (".bin", ".partial"):
                found.append((path, path.stat().st_mtime, path.stat().st_size))
    return found

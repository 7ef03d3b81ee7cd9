"""A training run's state on disk: one safetensors file, replaced as a whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

FORMAT = "lora-lab checkpoint 1"


class StorageError(RuntimeError):
    """A file of a run could not be written; what was written before is still there."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or belongs to another run."""


@dataclass
class Progress:
    """How far a run has come: everything besides tensors that the loop must remember.

    Attributes:
        epoch, batch: the next batch to train on; ``step`` counts optimiser steps so far.
        seconds: training time so far, over all attempts.
        loss_sum, loss_count: for the mean training loss of the epoch under way.
        history: one dictionary per finished epoch.
        best_epoch: number of the epoch with the best validation result, from 1; 0 for none.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[dict] = field(default_factory=list)
    best_epoch: int = 0


def save_checkpoint(
    path: Path,
    identity: str,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
) -> None:
    """Write weights, optimiser state and random state. The old file stays until the new is whole.

    Args:
        identity: what this run is (configuration and data); checked by ``load_checkpoint``.
        best: the trainable tensors of the best epoch so far.

    Raises:
        StorageError: the file could not be written.
    """
    tensors = {"random_state": torch.get_rng_state()}
    for name, parameter in _trainable(model).items():
        tensors[f"model/{name}"] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
    header = {"format": FORMAT, "identity": identity, "progress": json.dumps(asdict(progress))}
    content = save({k: v.contiguous() for k, v in tensors.items()}, metadata=header)
    write_atomically(path, content)


def load_checkpoint(
    path: Path, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor]]:
    """Put a checkpoint back into model, optimiser and torch's random state.

    Returns:
        The progress, and the trainable tensors of the best epoch.

    Raises:
        CheckpointError: unreadable, of another format, or of another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read: {error}") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this version of lora-lab.")
    if header["identity"] != identity:
        raise CheckpointError(
            f"{path} belongs to a run with another configuration, model or data, so going on "
            "from it would mix two runs. Use the same settings, or another folder."
        )
    trainable = _trainable(model)
    best: dict[str, Tensor] = {}
    with torch.no_grad():
        for key, tensor in tensors.items():
            match key.split("/"):
                case ["model", name]:
                    trainable[name].copy_(tensor)
                case ["optimizer", slot, name]:
                    optimizer.state[trainable[name]][slot] = tensor
                case ["best", name]:
                    best[name] = tensor
    torch.set_rng_state(tensors["random_state"])
    return Progress(**json.loads(header["progress"])), best


def write_atomically(path: Path, content: bytes) -> None:
    """Write next to ``path``, then rename over it.

    Raises:
        StorageError: with the reason, and the assurance that earlier files are kept.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass  # the folder itself may be unwritable; the first error is the one that matters
        raise StorageError(
            f"Could not write {path}: {error.strerror or error}. Everything written before is "
            "kept. Free some space or choose another folder, then go on with --resume."
        ) from error


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}

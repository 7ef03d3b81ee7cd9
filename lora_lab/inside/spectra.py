"""What a trained LoRA update ``s B A`` looks like: singular values, norms, directions.

Updates are read from an adapter's files alone; no model is built for them. The base weights that
they are compared with come from ``base_weights``, once for all adapters of a base.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_lab.adapter_format import LORA, PREFIX, AdapterError, read_adapter
from lora_lab.derivations.low_rank import TruncatedSVD, effective_rank, truncated_product
from lora_lab.layers import scale
from lora_lab.targets import find_targets

#: Which directions of an update: the paper's figure 3 takes those of A; the other two are the
#: directions of s B A that it reads from its input and writes to its output.
Space = Literal["A", "input", "output"]

_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Update:
    """``s B A`` of one layer: A (r, in), B (out, r)."""

    name: str
    A: Tensor
    B: Tensor
    scaling: float

    @property
    def rank(self) -> int:
        return self.A.shape[0]

    @cached_property
    def svd(self) -> TruncatedSVD:
        """Of ``s B A``, with all of its r singular values (some may be 0)."""
        U, S, Vh = truncated_product(self.B, self.A, self.rank)
        return TruncatedSVD(U, self.scaling * S, Vh)

    @property
    def norm(self) -> float:
        """Frobenius norm."""
        return float(torch.linalg.norm(self.svd.S))

    @property
    def effective_rank(self) -> float:
        """See ``low_rank.effective_rank``; 0 for an update that is zero."""
        return float(effective_rank(self.svd.S)) if self.svd.S.sum() > 0 else 0.0

    def directions(self, space: Space) -> Tensor:
        """Orthonormal columns, the strongest first: (in, r), or (out, r) for "output"."""
        if space == "A":
            return torch.linalg.svd(self.A, full_matrices=False).Vh.T
        return self.svd.U if space == "output" else self.svd.Vh.T


@dataclass(frozen=True)
class Relation:
    """An update beside the base weight W that it is added to (Hu et al. 2021, section 7.3).

    Attributes:
        norm, base_norm: Frobenius norms of ``s B A`` and of W.
        base_along: ``||U^T W V||_F``, the part of W in the update's own directions U, V.
        by_chance: what ``base_along`` would be, in the root mean square, for random directions.
    """

    norm: float
    base_norm: float
    base_along: float
    by_chance: float

    @property
    def relative(self) -> float:
        """The update's norm as a share of W's."""
        return self.norm / self.base_norm

    @property
    def amplification(self) -> float:
        """How much stronger the update is than W in the update's own directions."""
        return self.norm / self.base_along


def read_updates(folder: Path | str) -> dict[str, Update]:
    """The update of every adapted layer by the layer's full name, in the order of the layers.

    Raises:
        AdapterError: see ``read_adapter``; or no LoRA adapter, or an A without its B.
    """
    file = read_adapter(Path(folder))
    if file.kind != LORA:
        raise AdapterError(f"{folder} holds a {file.kind} adapter; only LoRA has an update s B A.")
    rank = file.config["r"]
    rule = "alpha/sqrt(r)" if file.config.get("use_rslora") else "alpha/r"
    s = scale(file.config["lora_alpha"], rank, rule)
    updates = {}
    for key in sorted(file.tensors, key=_in_order):
        if not key.endswith(_A):
            continue
        name = key.removeprefix(PREFIX).removesuffix(_A)
        A, B = file.tensors[key].float(), file.tensors.get(key.removesuffix(_A) + _B)
        if B is None or A.ndim != 2 or B.ndim != 2 or A.shape[0] != rank or B.shape[1] != rank:
            raise AdapterError(f"{name} has no A and B of rank {rank}. Save the adapter again.")
        updates[name] = Update(name, A, B.float(), s)
    return updates


def base_weights(base: nn.Module) -> dict[str, Tensor]:
    """W (out, in) of every linear layer of a model without adapters, its head left out."""
    weights = {}
    for name in find_targets(base, (".*",)):
        layer = base.get_submodule(name)
        W = layer.weight.detach()
        weights[name] = W.T if isinstance(layer, Conv1D) else W
    return weights


def relation(update: Update, W: Tensor) -> Relation:
    """How large an update is beside its base weight W (out, in).

    Raises:
        ValueError: another shape than the update's.
    """
    U, _, Vh = update.svd
    if W.shape != (U.shape[0], Vh.shape[1]):
        raise ValueError(
            f"The base weight of {update.name} has shape {tuple(W.shape)}, but the update has "
            f"({U.shape[0]}, {Vh.shape[1]}): the adapter was trained on another base model."
        )
    base_norm = float(torch.linalg.norm(W))
    return Relation(
        norm=update.norm,
        base_norm=base_norm,
        base_along=float(torch.linalg.norm(U.T @ W @ Vh.T)),
        by_chance=base_norm * U.shape[1] / math.sqrt(W.numel()),
    )


def share_kept(updates: Iterable[Update], rank: int) -> float:
    """Share of the updates' squared norm that is left when each is cut to ``rank``.

    By Eckart and Young no other update of that rank keeps more. 1 if there is nothing to lose.
    """
    spectra = [update.svd.S.square() for update in updates]
    whole = sum(float(energy.sum()) for energy in spectra)
    return sum(float(energy[:rank].sum()) for energy in spectra) / whole if whole else 1.0


def _in_order(name: str) -> list[tuple[int, str]]:
    """Layer 2 before layer 10."""
    return [(int(p), "") if p.isdigit() else (0, p) for p in re.split(r"(\d+)", name)]

"""Several models on one base: what they have in common is held in memory once."""

from __future__ import annotations

import torch
from torch import nn


def share_frozen(model: nn.Module, base: nn.Module) -> int:
    """Let each frozen parameter of ``model`` that equals the base's be the base's own memory.

    An adapted model then needs little more room than its adapter. Only to answer with: what writes
    into base weights (``merge``, training them) would change every model that shares them.

    Returns:
        How many bytes ``model`` no longer holds for itself.
    """
    common, saved = dict(base.named_parameters()), 0
    for name, own in model.named_parameters():
        other = common.get(name.replace(".base.", "."))  # as the base calls it, unwrapped
        if other is None or own.requires_grad or own.data_ptr() == other.data_ptr():
            continue
        if own.dtype == other.dtype and torch.equal(own, other):
            own.data = other.data
            saved += own.nbytes
    return saved

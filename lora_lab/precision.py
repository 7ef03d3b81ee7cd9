"""bfloat16 where it is faster, and only there.

Eight bits of precision are enough for the matrix products of a fine-tune, and processors with
units for them (AMX, GPUs) are several times faster with bfloat16. Others compute it in software
and are several times slower. Which kind this is, nobody should guess: it is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.functional import linear

from lora_lab.choices import Precision

#: bfloat16 must be at least this much faster for its rounding to be worth having.
WORTH_IT = 1.5
#: Lengths of batches are rounded up to this in bfloat16. Its matrix library prepares a program for
#: every shape it meets; with a few shapes these are found again, with sixty they are made anew.
LENGTH_MULTIPLE = 8
_SHAPE = (1024, 384, 1536)  # tokens, in, out: a feed-forward product of a small BERT


def settle(precision: Precision, device: torch.device) -> Precision:
    """ "float32" or "bfloat16": what "auto" comes to on this machine, now; others as they are."""
    if precision != "auto":
        return precision
    return "bfloat16" if speed_up(device) >= WORTH_IT else "float32"


def length_multiple(precision: Precision) -> int:
    """What the length of a padded batch should be a multiple of, in a precision settled before."""
    return LENGTH_MULTIPLE if precision == "bfloat16" else 1


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager:
    """A context in which matrix products are computed in this precision, settled before."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextmanager
def frozen_stored_in(model: nn.Module, precision: Precision) -> Iterator[None]:
    """Within, what is frozen is stored in this precision, settled before; after, as it was.

    Under autocast alone each product converts its frozen weight again, and the sums and norms
    between the products stay in float32. With frozen weights in bfloat16 all of the base runs in
    it. What learns stays in float32: steps smaller than its rounding would be lost.
    """
    if precision == "float32":
        yield
        return
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
    before = [parameter.data for parameter in frozen]
    for parameter in frozen:
        parameter.data = parameter.data.to(torch.bfloat16)
    try:
        yield
    finally:
        for parameter, data in zip(frozen, before, strict=True):
            parameter.data = data


@torch.no_grad()
def speed_up(device: torch.device) -> float:
    """Time of a typical product in float32 / in bfloat16, on this machine and now."""
    tokens, in_, out = _SHAPE
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(tokens, in_, device=device).to(dtype)
        w = torch.randn(out, in_, device=device).to(dtype)
        seconds[dtype] = min(_seconds(lambda x=x, w=w: linear(x, w), device) for _ in range(5))
    return seconds[torch.float32] / seconds[torch.bfloat16]


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started

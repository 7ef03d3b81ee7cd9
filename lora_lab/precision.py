"""bfloat16 where it is faster, and only there.

Eight bits of precision are enough for the matrix products of a fine-tune, and processors with
units for them (AMX, GPUs) are several times faster with bfloat16. Others compute it in software
and are several times slower. Which kind this is, nobody should guess: it is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.functional import linear

from lora_lab.choices import Precision

#: bfloat16 must be at least this much faster for its rounding to be worth having.
WORTH_IT = 1.5
_SHAPE = (1024, 384, 1536)  # tokens, in, out: a feed-forward product of a small BERT


def settle(precision: Precision, device: torch.device) -> Precision:
    """ "float32" or "bfloat16": what "auto" comes to on this machine, now; others as they are."""
    if precision != "auto":
        return precision
    return "bfloat16" if speed_up(device) >= WORTH_IT else "float32"


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager:
    """A context in which matrix products are computed in this precision, settled before.

    Weights, adapters and the optimiser stay in float32.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


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

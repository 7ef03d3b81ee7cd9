"""The time that no program can save: the matrix products of a step, and nothing else.

A step is watched while it runs and each matrix product it makes is written down, with its shapes.
Then the bare products are timed alone, on memory that is warm. Their sum is a floor: whatever a
step takes beyond it goes to everything else (activations, normalisation, softmax, copies, Python).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_OPERANDS = {  # operation -> positions of the two matrices among its arguments
    torch.ops.aten.mm.default: (0, 1),
    torch.ops.aten.bmm.default: (0, 1),
    torch.ops.aten.addmm.default: (1, 2),
    torch.ops.aten.addmm_.default: (1, 2),
    torch.ops.aten.baddbmm.default: (1, 2),
}


@dataclass(frozen=True)
class Product:
    """A matrix product (..., m, k) x (..., k, n): memory layout and type of both factors."""

    left: tuple[int, ...]
    left_stride: tuple[int, ...]
    right: tuple[int, ...]
    right_stride: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    @property
    def flops(self) -> int:
        """Multiplications and additions: 2 m k n for each matrix of a batch."""
        return 2 * prod(self.left) * self.right[-1]

    def seconds(self, repeats: int = 5) -> float:
        """Time of this product alone: the fastest of a few tries, after one to warm up."""
        left = torch.empty_strided(self.left, self.left_stride, dtype=self.dtype).normal_()
        right = torch.empty_strided(self.right, self.right_stride, dtype=self.dtype).normal_()
        out = left @ right
        return min(_timed(lambda: torch.matmul(left, right, out=out)) for _ in range(repeats))


def matrix_products(step: Callable[[], object]) -> Counter[Product]:
    """Run ``step`` once and count the matrix products it makes, backward pass included.

    Fused attention kernels do not show their products: use short sentences, or count them apart.
    """
    with _Watch() as watch:
        step()
    return watch.seen


@torch.no_grad()
def floor_seconds(products: Counter[Product], repeats: int = 5) -> float:
    """Seconds that these products take with nothing between them."""
    return sum(count * product.seconds(repeats) for product, count in products.items())


def flops(products: Counter[Product]) -> int:
    """All multiplications and additions."""
    return sum(count * product.flops for product, count in products.items())


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[Product] = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation in _OPERANDS:
            left, right = (args[i] for i in _OPERANDS[operation])
            self.seen[_product(left, right)] += 1
        return operation(*args, **kwargs or {})


def _product(left: Tensor, right: Tensor) -> Product:
    shapes = tuple(left.shape), left.stride(), tuple(right.shape), right.stride()
    return Product(*shapes, left.dtype)


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started

"""Every derivation the referees check, as one declarative list.

A `Derivation` names a forward function of this package, the closed-form gradients that claim
to belong to it, and the same formula a second time as the paper states it, in SymPy. To add
one, add one entry to `CATALOGUE`: the referees, the report, the command line and the app read
nothing else. Its functions are called with the inputs as keywords, so that the entry can
usually name the library's own functions directly:

    forward(**inputs) -> h
    gradients(g, **inputs) -> {variable: dL/dvariable}        with g = dL/dh
    symbolic_value(sympy, **inputs) -> h as a SymPy matrix    (rows are examples)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from . import lora, losses, tex, two_sided
from .tex import Tex

T = TypeVar("T")
Inputs = dict[str, Tensor]
Gradients = dict[str, Tensor]

ALPHA = 5.0  # alpha / rank is then neither 1 nor a power of two at any rank used here
KEEP_PROBABILITY = 0.75


class LayerShape(NamedTuple):
    """Sizes of one linear layer and its adapter: x (*leading, inputs), W (outputs, inputs)."""

    leading: tuple[int, ...]
    inputs: int
    outputs: int
    rank: int

    def __str__(self) -> str:
        x = ", ".join(map(str, (*self.leading, self.inputs)))
        return f"x ({x}), W ({self.outputs}, {self.inputs}), rank {self.rank}"


class LossShape(NamedTuple):
    """Sizes of one batch of logits: N examples, C classes (1 for a binary loss)."""

    examples: int
    classes: int = 1

    def __str__(self) -> str:
        return f"N={self.examples}" + (f", C={self.classes}" if self.classes > 1 else "")


Shape = LayerShape | LossShape

# A single vector at rank 1; out < in; leading dimensions at full rank; a square layer.
LAYER_SHAPES = (
    LayerShape((), 3, 2, 1),
    LayerShape((4,), 5, 3, 2),
    LayerShape((2, 3), 3, 4, 3),
    LayerShape((3,), 4, 4, 2),
)
BINARY_SHAPES = (LossShape(1), LossShape(4), LossShape(7))
SOFTMAX_SHAPES = (LossShape(1, 2), LossShape(4, 3), LossShape(3, 5))


@dataclass(frozen=True)
class Derivation:
    """One forward formula and the closed form of its gradients."""

    key: str  # short, for the command line and links
    name: str  # for people
    formula: str
    shapes: tuple[Shape, ...]
    inputs: Callable[[Any, int], Inputs]  # (shape, seed) -> float64 tensors (class indices int64)
    variables: tuple[str, ...]  # the inputs that are differentiated
    forward: Callable[..., Tensor]
    gradients: Callable[..., Gradients]
    symbolic_value: Callable[..., Any]
    tex: Tex = field(hash=False)  # the formulas for people, typeset


def _random(seed: int) -> Callable[..., Tensor]:
    """A source of standard normal float64 tensors that depends on ``seed`` alone."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)


def layer_inputs(shape: LayerShape, seed: int, **axes: str) -> Inputs:
    """x, W and the named tensors, each given by its axes: ``A="rank inputs"`` is (rank, in)."""
    normal = _random(seed)
    inputs = {"x": normal(*shape.leading, shape.inputs)}
    for name, its_axes in {"W": "outputs inputs", **axes}.items():
        inputs[name] = normal(*(getattr(shape, axis) for axis in its_axes.split()))
    return inputs


def lora_inputs(shape: LayerShape, seed: int, *, mask: bool = False, **axes: str) -> Inputs:
    """x, W, A, B and the scaling alpha / rank, with a dropout mask if asked for."""
    inputs = layer_inputs(shape, seed, A="rank inputs", B="outputs rank", **axes)
    inputs["scaling"] = torch.tensor(ALPHA / shape.rank, dtype=torch.float64)
    if mask:
        kept = torch.special.ndtr(_random(seed + 1)(*inputs["x"].shape)) < KEEP_PROBABILITY
        inputs["mask"] = kept.double() / KEEP_PROBABILITY
    return inputs


def binary_inputs(shape: LossShape, seed: int) -> Inputs:
    """Logits and targets in [0, 1], the first target hard and the others soft.

    The first logit is 0: a zero head starts there, and max(z, 0) and |z| have a kink there
    that the loss must not inherit.
    """
    normal = _random(seed)
    z, y = 2 * normal(shape.examples), torch.special.ndtr(normal(shape.examples))
    z[0], y[0] = 0.0, 1.0
    return {"z": z, "y": y}


def softmax_inputs(shape: LossShape, seed: int) -> Inputs:
    """Logits (N, C) and class indices (N,). The first row is all ties: a zero head's output."""
    normal = _random(seed)
    z = 2 * normal(shape.examples, shape.classes)
    z[0] = 0.0
    return {"z": z, "y": normal(shape.examples, shape.classes).argmax(dim=-1)}


def _as_dict(backward: Callable[..., Any]) -> Callable[..., Gradients]:
    return lambda g, **inputs: backward(g, **inputs)._asdict()


def _lora_gradients(g: Tensor, bias: Tensor | None = None, **inputs: Tensor) -> Gradients:
    return lora.backward(g, **inputs)._asdict()  # the bias is frozen and plays no part


def _per_example(gradient: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Gradients]:
    """Each example's gradient times its own g; g gains a class dimension if z has one."""

    def gradients(g: Tensor, z: Tensor, y: Tensor) -> Gradients:
        return {"z": g.reshape(*g.shape, *[1] * (z.ndim - g.ndim)) * gradient(z, y)}

    return gradients


# The formulas as the papers state them, on SymPy matrices whose rows are examples.


def _symbolic_lora(sp, x, W, A, B, scaling, bias=None, mask=None):
    """h = W x + b + s B A (m * x)."""
    x_masked = x if mask is None else x.multiply_elementwise(mask)
    h = W * x.T + scaling * B * A * x_masked.T
    return h.T if bias is None else h.T + sp.ones(x.rows, 1) * bias


def _symbolic_dense(sp, x, W, U, V):
    return (U * W * V * x.T).T


def _symbolic_low_rank(sp, x, W, P, Q, R, S):
    return ((sp.eye(W.rows) + P * Q) * W * (sp.eye(W.cols) + R * S) * x.T).T


def _symbolic_diagonal(sp, x, W, u, v):
    return (sp.diag(*u) * W * sp.diag(*v) * x.T).T


def _symbolic_binary(sp, z, y):
    """L_i = -[y_i log p_i + (1 - y_i) log(1 - p_i)] with p = 1 / (1 + exp(-z))."""
    p = z.applyfunc(lambda z_i: 1 / (1 + sp.exp(-z_i)))
    pairs = zip(p, y, strict=True)
    return sp.Matrix([[-(y_i * sp.log(p_i) + (1 - y_i) * sp.log(1 - p_i)) for p_i, y_i in pairs]])


def _symbolic_softmax(sp, z, y):
    """L_i = -log of the softmax probability of the class y_i."""
    rows = [z.row(i).applyfunc(sp.exp) for i in range(z.rows)]
    return sp.Matrix([[-sp.log(row[int(c)] / sum(row)) for row, c in zip(rows, y, strict=True)]])


def _mean(per_example: Callable[..., Any]) -> Callable[..., Any]:
    def mean(sp, **inputs):
        values = per_example(sp, **inputs)
        return sp.Matrix([[sum(values) / len(values)]])

    return mean


_binary = partial(Derivation, shapes=BINARY_SHAPES, inputs=binary_inputs, variables=("z",))
_softmax = partial(Derivation, shapes=SOFTMAX_SHAPES, inputs=softmax_inputs, variables=("z",))
_lora = partial(
    Derivation,
    shapes=LAYER_SHAPES,
    variables=("x", "A", "B"),
    forward=lora.forward,
    gradients=_lora_gradients,
    symbolic_value=_symbolic_lora,
)
_two_sided = partial(Derivation, shapes=LAYER_SHAPES)

CATALOGUE: tuple[Derivation, ...] = (
    _binary(
        key="bce",
        name="binary cross-entropy",
        formula="L_i = -[y_i log p_i + (1 - y_i) log(1 - p_i)],  p = sigmoid(z)",
        tex=tex.BINARY,
        forward=losses.binary_cross_entropy,
        gradients=_per_example(losses.binary_cross_entropy_grad),
        symbolic_value=_symbolic_binary,
    ),
    _binary(
        key="mean-bce",
        name="mean binary cross-entropy",
        formula="L = -(1/N) sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)]",
        tex=tex.MEAN_BINARY,
        forward=losses.mean_binary_cross_entropy,
        gradients=_per_example(losses.mean_binary_cross_entropy_grad),
        symbolic_value=_mean(_symbolic_binary),
    ),
    _softmax(
        key="softmax-ce",
        name="softmax cross-entropy",
        formula="L_i = log sum_c exp(z_ic) - z_i,y_i",
        tex=tex.SOFTMAX,
        forward=losses.softmax_cross_entropy,
        gradients=_per_example(losses.softmax_cross_entropy_grad),
        symbolic_value=_symbolic_softmax,
    ),
    _softmax(
        key="mean-softmax-ce",
        name="mean softmax cross-entropy",
        formula="L = (1/N) sum_i [log sum_c exp(z_ic) - z_i,y_i]",
        tex=tex.MEAN_SOFTMAX,
        forward=losses.mean_softmax_cross_entropy,
        gradients=_per_example(losses.mean_softmax_cross_entropy_grad),
        symbolic_value=_mean(_symbolic_softmax),
    ),
    _lora(
        key="lora",
        name="lora",
        formula="h = W x + s B A x",
        tex=tex.LORA,
        inputs=lora_inputs,
    ),
    _lora(
        key="lora-bias",
        name="lora with bias",
        formula="h = W x + b + s B A x",
        tex=tex.LORA_BIAS,
        inputs=partial(lora_inputs, bias="outputs"),
    ),
    _lora(
        key="lora-dropout",
        name="lora with dropout mask",
        formula="h = W x + s B A (m * x)",
        tex=tex.LORA_DROPOUT,
        inputs=partial(lora_inputs, mask=True),
    ),
    _two_sided(
        key="two-sided-dense",
        name="two-sided dense",
        formula="h = U W V x",
        tex=tex.DENSE,
        inputs=partial(layer_inputs, U="outputs outputs", V="inputs inputs"),
        variables=("x", "U", "V"),
        forward=two_sided.dense_forward,
        gradients=_as_dict(two_sided.dense_backward),
        symbolic_value=_symbolic_dense,
    ),
    _two_sided(
        key="two-sided-low-rank",
        name="two-sided low-rank",
        formula="h = (I + P Q) W (I + R S) x",
        tex=tex.LOW_RANK,
        inputs=partial(
            layer_inputs, P="outputs rank", Q="rank outputs", R="inputs rank", S="rank inputs"
        ),
        variables=("x", "P", "Q", "R", "S"),
        forward=two_sided.low_rank_forward,
        gradients=_as_dict(two_sided.low_rank_backward),
        symbolic_value=_symbolic_low_rank,
    ),
    _two_sided(
        key="two-sided-diagonal",
        name="two-sided diagonal",
        formula="h = diag(u) W diag(v) x",
        tex=tex.DIAGONAL,
        inputs=partial(layer_inputs, u="outputs", v="inputs"),
        variables=("x", "u", "v"),
        forward=two_sided.diagonal_forward,
        gradients=_as_dict(two_sided.diagonal_backward),
        symbolic_value=_symbolic_diagonal,
    ),
)


def find(key: str | Derivation) -> Derivation:
    """The derivation called ``key``. Raises ValueError, listing the keys, if there is none."""
    if isinstance(key, Derivation):
        return key
    return look_up(key, {derivation.key: derivation for derivation in CATALOGUE}, "derivation")


def look_up(name: str, known: dict[str, T], kind: str) -> T:
    """``known[name]``, or a ValueError that suggests the closest name and lists them all."""
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"There is no {kind} {name!r}.{hint} Choose one of: {', '.join(known)}.")

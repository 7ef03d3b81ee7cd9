"""Adapted linear layers whose backward pass is the closed form from ``derivations``.

Each layer wraps one frozen linear layer of a pre-trained model and adds a few trainable
parameters. Where other libraries leave the gradient to autograd, here ``ClosedForm.backward``
calls the very function that the notebooks derive and the referees check.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear
from transformers.pytorch_utils import Conv1D

from lora_lab.choices import (
    Backward,
    Initialisation,
    Scaling,
    TwoSidedForm,
    TwoSidedInitialisation,
)
from lora_lab.closed_form import ClosedForm
from lora_lab.derivations import lora, two_sided


class AdaptedLinear(nn.Module):
    """A frozen linear layer ``base`` with an adapter that can be switched off or merged.

    Subclasses say what the adapter computes: ``adapted(x)`` and ``adapted_weight()``.

    Args:
        base: ``nn.Linear`` or transformers' ``Conv1D`` (GPT-2). Frozen here.
        backward: "derived" uses the closed form, "autograd" lets torch differentiate the
            forward pass. The two give the same gradients.

    Raises:
        TypeError: ``base`` is another kind of module.
    """

    def __init__(self, base: nn.Module, backward: Backward = "derived") -> None:
        super().__init__()
        if not isinstance(base, nn.Linear | Conv1D):
            raise TypeError(
                f"Only nn.Linear and transformers' Conv1D can be adapted, got "
                f"{type(base).__name__}. Choose target modules that are linear layers."
            )
        _one_of("backward", backward, Backward)
        self.base = base.requires_grad_(False)
        self.backward_pass = backward
        self.enabled = True
        self._weight_before_merge: Tensor | None = None

    @property
    def stored_weight(self) -> Tensor:
        """The base weight in the base layer's own layout, also while an adapter is merged."""
        return self.base.weight if self._weight_before_merge is None else self._weight_before_merge

    @property
    def weight(self) -> Tensor:
        """The frozen base weight W (out, in), also while an adapter is merged."""
        return self.stored_weight.T if isinstance(self.base, Conv1D) else self.stored_weight

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    @property
    def merged(self) -> bool:
        return self._weight_before_merge is not None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out).

        Raises:
            RuntimeError: training while merged (the adapter would get no gradient), or the
                base has been unfrozen (the closed form gives it none).
        """
        if not self.enabled:
            return linear(x, self.weight, self.base.bias)
        if any(parameter.requires_grad for parameter in self.base.parameters()):
            raise RuntimeError(
                "The base weight or bias of an adapted layer requires a gradient, but the adapter "
                "keeps both frozen and would silently give them none. Freeze the base, or "
                "fine-tune the model without an adapter."
            )
        if self.merged:
            if self.training and torch.is_grad_enabled():
                raise RuntimeError(
                    "This layer's adapter is merged into the base weight, so training would "
                    "change nothing. Call unmerge(model) first."
                )
            return self.base(x)
        return self.adapted(x)

    def adapted(self, x: Tensor) -> Tensor:
        """The adapted map on x (..., in). Shape (..., out)."""
        raise TypeError(f"{type(self).__name__} does not say what it computes")

    def adapted_weight(self) -> Tensor:
        """The one matrix (out, in) that does what base and adapter do together."""
        raise TypeError(f"{type(self).__name__} does not say what it computes")

    def _run(
        self,
        forward: Callable[..., Tensor],
        backward: Callable[..., tuple],
        x: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        device = x.device.type
        tensors = [x, self.weight, self.base.bias, *parameters]
        if torch.is_autocast_enabled(device):
            # autocast does not look into a closed form, so its part is done here.
            dtype = torch.get_autocast_dtype(device)
            tensors = [t if t is None else t.to(dtype) for t in tensors]
        with torch.autocast(device, enabled=False):
            if self.backward_pass == "derived":
                return ClosedForm.apply(forward, backward, *tensors)
            x, W, bias, *parameters = tensors
            return forward(x, W, *parameters, bias=bias)

    @torch.no_grad()
    def merge(self) -> None:
        """Write the adapted weight into ``base``. Merging a merged layer changes nothing.

        The sum is taken in float32 (or the weight's own precision, if higher), then rounded
        once to the weight's type. The old weight is kept, so ``unmerge`` restores every bit.

        Raises:
            ValueError: the merged weight would hold NaN or infinity; ``base`` is untouched.
        """
        if self.merged:
            return
        # Rounded before the check: what is finite in float32 can overflow in float16.
        merged = self.adapted_weight().to(self.base.weight.dtype)
        if not torch.isfinite(merged).all():
            raise ValueError(
                "The adapter holds NaN or infinite values and was not merged. It comes from a "
                "run that diverged: train again with a smaller learning rate or scaling."
            )
        before = self.base.weight.detach().clone()
        self.base.weight.copy_(merged.T if isinstance(self.base, Conv1D) else merged)
        self._weight_before_merge = before

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the base weight back, bit for bit. Does nothing when not merged."""
        if self.merged:
            self.base.weight.copy_(self._weight_before_merge)
            self._weight_before_merge = None

    def _merge_dtype(self) -> torch.dtype:
        return torch.promote_types(self.weight.dtype, torch.float32)


class LoRALinear(AdaptedLinear):
    """``x -> W x + b + s B A x`` with W, b frozen (Hu et al. 2021, arXiv 2106.09685, eq. 3).

    A (rank, in) starts random, B (out, rank) starts at zero, so at step zero the layer is
    exactly its base; A's gradient is zero then, B's is not, and after one step both learn.

    Args:
        base: the layer to adapt.
        rank: r, 1 .. min(out, in).
        alpha: numerator of the scaling, positive.
        scaling: "alpha/r" (the paper) or "alpha/sqrt(r)" (rsLoRA, Kalajdzievski 2023,
            arXiv 2312.03732).
        dropout: probability p in [0, 1) of zeroing an input of the low-rank branch.
        init: "kaiming", uniform within 1/sqrt(in) (PEFT's default), or "gaussian" with
            standard deviation 1/rank. B is zero in both.
        backward: see ``AdaptedLinear``.

    Raises:
        ValueError: an argument outside the ranges above.
    """

    def __init__(
        self,
        base: nn.Module,
        rank: int,
        alpha: float,
        *,
        scaling: Scaling = "alpha/r",
        dropout: float = 0.0,
        init: Initialisation = "kaiming",
        backward: Backward = "derived",
    ) -> None:
        super().__init__(base, backward)
        _check_rank(rank, self.in_features, self.out_features)
        check_lora_numbers(alpha, dropout, scaling, init)
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.scaling_rule = scaling
        self.scaling = scale(alpha, rank, scaling)
        like = dict(dtype=self.weight.dtype, device=self.weight.device)
        self.A = nn.Parameter(torch.empty(rank, self.in_features, **like))
        self.B = nn.Parameter(torch.zeros(self.out_features, rank, **like))
        self.init = init
        self._draw(self.A)

    @torch.no_grad()
    def draw_B(self) -> None:
        """Draw B as A was drawn, so that the update is random and not zero: a control."""
        self._draw(self.B)

    def _draw(self, factor: nn.Parameter) -> None:
        if self.init == "kaiming":
            nn.init.kaiming_uniform_(factor, a=math.sqrt(5))
        else:
            nn.init.normal_(factor, std=1 / self.rank)

    def adapted(self, x: Tensor) -> Tensor:
        settings = dict(scaling=self.scaling, mask=self._dropout_mask(x))
        return self._run(
            partial(lora.forward, **settings),
            partial(lora.backward, **settings, input_gradient=x.requires_grad),
            x,
            self.A,
            self.B,
        )

    def _dropout_mask(self, x: Tensor) -> Tensor | None:
        """0 or 1/(1-p), in x's shape; None when nothing is dropped."""
        if self.dropout == 0 or not self.training:
            return None
        return dropout(torch.ones_like(x), self.dropout)

    def update(self) -> Tensor:
        """The weight update ``s B A`` (out, in), in float32 or better."""
        dtype = self._merge_dtype()
        return lora.update(self.A.to(dtype), self.B.to(dtype), self.scaling)

    def adapted_weight(self) -> Tensor:
        return self.weight.to(self._merge_dtype()) + self.update()

    def extra_repr(self) -> str:
        return (
            f"in={self.in_features}, out={self.out_features}, rank={self.rank}, "
            f"alpha={self.alpha:g}, scaling={self.scaling:g}, dropout={self.dropout:g}"
        )


class TwoSidedLinear(AdaptedLinear):
    """``x -> U W V x + b`` with W, b frozen: the article's factorisation, in three shapes.

    "low-rank" (U = I + P Q, V = I + R S; P and R start at zero) and "diagonal" (U and V start
    at one) keep the pre-trained function at step zero. "dense" starts from the identity too;
    ``init="random"`` draws U and V at random as the article does, and loses the function.

    Args:
        base: the layer to adapt.
        form: shape of U and V.
        rank: inner dimension of the low-rank form; the others do not use it.
        init: "identity", or "random" for the dense form.
        backward: see ``AdaptedLinear``.

    Raises:
        ValueError: unknown form or initialisation, or a rank outside 1 .. min(out, in).
    """

    def __init__(
        self,
        base: nn.Module,
        form: TwoSidedForm = "low-rank",
        rank: int = 8,
        *,
        init: TwoSidedInitialisation = "identity",
        backward: Backward = "derived",
    ) -> None:
        super().__init__(base, backward)
        _one_of("form", form, TwoSidedForm)
        if init not in ("identity", "random") or (init == "random" and form != "dense"):
            raise ValueError(
                f"init is {init!r} for the {form} form; it must be 'identity', or 'random' for "
                "the dense form only."
            )
        self.form, self.rank = form, rank
        out, in_ = self.out_features, self.in_features
        like = dict(dtype=self.weight.dtype, device=self.weight.device)
        if form == "low-rank":
            _check_rank(rank, in_, out)
            self.P = nn.Parameter(torch.zeros(out, rank, **like))
            self.Q = nn.Parameter(torch.randn(rank, out, **like) / math.sqrt(out))
            self.R = nn.Parameter(torch.zeros(in_, rank, **like))
            self.S = nn.Parameter(torch.randn(rank, in_, **like) / math.sqrt(in_))
        elif form == "diagonal":
            self.u = nn.Parameter(torch.ones(out, **like))
            self.v = nn.Parameter(torch.ones(in_, **like))
        elif init == "identity":
            self.U = nn.Parameter(torch.eye(out, **like))
            self.V = nn.Parameter(torch.eye(in_, **like))
        else:
            self.U = nn.Parameter(torch.randn(out, out, **like))
            self.V = nn.Parameter(torch.randn(in_, in_, **like))

    def _derivation(self) -> tuple[Callable[..., Any], ...]:
        """(forward, backward, merged weight) of this form."""
        return {
            "low-rank": (
                two_sided.low_rank_forward,
                two_sided.low_rank_backward,
                two_sided.low_rank_weight,
            ),
            "diagonal": (
                two_sided.diagonal_forward,
                two_sided.diagonal_backward,
                two_sided.diagonal_weight,
            ),
            "dense": (two_sided.dense_forward, two_sided.dense_backward, two_sided.dense_weight),
        }[self.form]

    def _factors(self) -> list[nn.Parameter]:
        return list(self.parameters(recurse=False))

    def adapted(self, x: Tensor) -> Tensor:
        forward, backward, _ = self._derivation()
        return self._run(forward, backward, x, *self._factors())

    def adapted_weight(self) -> Tensor:
        dtype = self._merge_dtype()
        *_, merged_weight = self._derivation()
        return merged_weight(self.weight.to(dtype), *(f.to(dtype) for f in self._factors()))

    def extra_repr(self) -> str:
        return f"in={self.in_features}, out={self.out_features}, form={self.form}, rank={self.rank}"


def scale(alpha: float, rank: int, rule: Scaling) -> float:
    """s = alpha / rank, or alpha / sqrt(rank): what the update ``B A`` is multiplied by."""
    _one_of("scaling", rule, Scaling)
    return alpha / rank if rule == "alpha/r" else alpha / math.sqrt(rank)


def check_lora_numbers(alpha: float, dropout: float, scaling: str, init: str) -> None:
    """Raise ValueError for settings that no LoRA layer can have."""
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha is {alpha}; it must be a positive number, for example 16.")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}; it must be at least 0 and less than 1.")
    _one_of("scaling", scaling, Scaling)
    _one_of("init", init, Initialisation)


def _check_rank(rank: int, in_features: int, out_features: int) -> None:
    largest = min(in_features, out_features)
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= largest:
        raise ValueError(
            f"rank is {rank!r}; for a {out_features} x {in_features} layer it must be a whole "
            f"number from 1 to {largest}."
        )


def _one_of(name: str, value: str, options: Any) -> None:
    if value not in get_args(options):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(get_args(options))}.")

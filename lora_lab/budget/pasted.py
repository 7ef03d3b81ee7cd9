"""A transformers configuration that a stranger typed: read with care, built within a limit.

Only what can fix a shape is kept: numbers, truth values and plain words. What names code, files
or places on a hub is left out, so that nothing is loaded and nothing is run.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers import CONFIG_MAPPING, MODEL_MAPPING

from lora_lab.budget.counting import Blueprint
from lora_lab.targets import TargetError

LONGEST = 20_000  # letters of what is pasted
LONGEST_KEPT = 4_000  # letters of what is left of it: it has to fit into a link
LARGEST = 2**24  # of any number: no vocabulary and no context is larger
DEEPEST = 4
MOST_BLOCKS = 1_000
MOST_MATRICES = 4_000  # so that counting stays quick
SECONDS = 2.0  # of this thread's work, for building the model's outline

#: What a configuration may say and this reader leaves out.
_LEFT_OUT = re.compile(
    r"_|auto_map$|architectures$|id2label$|label2id$|num_labels$|problem_type$|(torch_)?dtype$"
    r"|quantization|attn_implementation$|experts_implementation$|use_kernels|name_or_path$"
    r"|base_model|tokenizer_class$|transformers_version$|task_specific_params$"
)
_NAME = re.compile(r"[a-z][A-Za-z0-9_]{0,59}")
_WORD = re.compile(r"[\w .+-]{1,60}", re.ASCII)


class PastedError(ValueError):
    """A configuration that is refused.

    Attributes:
        reason: one word for it, for whoever says it in another language.
        details: what that sentence needs.
    """

    def __init__(self, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details


def tidy(text: str) -> str:
    """The configuration as short JSON: what fixes its shapes, and no more.

    Raises:
        PastedError: not the configuration of a known family, or with absurd numbers.
    """
    if len(text) > LONGEST:
        raise PastedError(
            "too_long", f"{len(text):,} letters; {LONGEST:,} at most.", longest=f"{LONGEST:,}"
        )
    contents = _parsed(text)
    family = contents.get("model_type")
    _check_family(family)
    kept = _kept(contents, depth=1)
    short = json.dumps(kept, separators=(",", ":"))
    if len(short) > LONGEST_KEPT:
        raise PastedError(
            "too_long", f"{len(short):,} letters; keep what fixes shapes.", longest=LONGEST_KEPT
        )
    return short


def blueprint(text: str) -> Blueprint:
    """The architecture that a pasted text describes.

    Raises:
        PastedError: also where transformers cannot build it, or it is too large.
    """
    contents = json.loads(tidy(text))
    deadline = _Deadline(SECONDS)
    try:
        with deadline:
            found = Blueprint(contents)
            blocks = getattr(found.settings, "num_hidden_layers", 0)
            if isinstance(blocks, int) and blocks > MOST_BLOCKS:
                raise _too_large()
            matrices = sum(map(len, found.places.values()))
    except PastedError:
        raise
    except (MemoryError, _TakesTooLong):
        raise _too_large() from None
    except TargetError:
        raise PastedError("no_matrices", "It has no linear layers in numbered blocks.") from None
    except Exception as error:  # whatever transformers trips over, it is the text's fault
        if deadline.is_over:  # someone on the way has turned the end of the time into another error
            raise _too_large() from None
        short = f"{type(error).__name__}: {error}"[:200]
        raise PastedError(
            "not_built", f"transformers cannot build it: {short}", error=short
        ) from None
    if matrices > MOST_MATRICES or found.blocks > MOST_BLOCKS:
        raise _too_large()
    return found


def _parsed(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        contents = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise PastedError("not_json", f"Not JSON, see line {line}.", line=line) from None
    if not isinstance(contents, dict):
        raise PastedError("not_object", "Not a JSON object in braces.")
    return contents


def _check_family(family: object) -> None:
    if not isinstance(family, str) or not family:
        raise PastedError("no_family", "It has no model_type.")
    if family not in CONFIG_MAPPING:
        raise PastedError("unknown_family", f"model_type {family!r} is unknown.", family=family)
    kind = CONFIG_MAPPING[family]
    fields = getattr(kind, "__dataclass_fields__", {})
    if kind.sub_configs or "backbone_config" in fields or "timm" in family:
        raise PastedError("several_models", f"{family!r} is made of models.", family=family)
    if kind not in MODEL_MAPPING:
        raise PastedError("unknown_family", f"model_type {family!r} has no model.", family=family)


def _kept(value: Any, depth: int) -> Any:
    """The value without what cannot fix a shape."""
    if depth > DEEPEST:
        raise PastedError("too_deep", f"Nested more than {DEEPEST} deep.")
    if isinstance(value, Mapping):
        inner = {
            name: _kept(each, depth + 1)
            for name, each in value.items()
            if _NAME.fullmatch(name) and not _LEFT_OUT.match(name) and not _names_a_place(each)
        }
        return inner
    if isinstance(value, list):
        return [_kept(each, depth + 1) for each in value if not _names_a_place(each)]
    if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
        raise PastedError("number", f"A number is beyond {LARGEST:,}.", largest=f"{LARGEST:,}")
    return value


def _names_a_place(value: Any) -> bool:
    """Whether it is a text that could name a file, a repository or code."""
    return isinstance(value, str) and not _WORD.fullmatch(value)


def _too_large() -> PastedError:
    return PastedError(
        "too_large",
        f"More than {MOST_BLOCKS:,} blocks or {MOST_MATRICES:,} matrices.",
        blocks=f"{MOST_BLOCKS:,}",
        matrices=f"{MOST_MATRICES:,}",
    )


class _TakesTooLong(BaseException):
    """Not an ``Exception``, so that nobody on the way mistakes it for an ordinary one."""


class _Deadline(TorchFunctionMode):
    """Ends a block after so much of this thread's work: nobody can list all that is absurd.

    Two look at the clock. The interpreter's profiler sees every call, but only once: Python drops
    a profiler that raises, and where that is in a callback of the garbage collector, it drops the
    exception too. A torch mode sees the parameters being made, and insists.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._end = time.thread_time() + seconds

    @property
    def is_over(self) -> bool:
        return time.thread_time() > self._end

    def look(self, *_: Any) -> None:
        if self.is_over:
            raise _TakesTooLong

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.look()
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> _Deadline:
        self._before = sys.getprofile(), torch.is_grad_enabled()
        sys.setprofile(self.look)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        profile, grad = self._before
        sys.setprofile(profile)
        super().__exit__(*error)
        torch.set_grad_enabled(grad)  # the end may have come where it was to be switched on again

"""What every check is made of: a verdict, the learner's answer, and the mistakes it may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Verdict:
    """What a check found; shown as text when it is the last line of a cell."""

    state: str  # "solved", "wrong" or "open"
    message: str

    @property
    def solved(self) -> bool:
        return self.state == "solved"

    def __repr__(self) -> str:
        sign = {"solved": "✓ Solved.", "wrong": "✗ Not yet.", "open": "○ Not solved yet."}
        return f"{sign[self.state]} {self.message}"


class _Open(Exception):
    """The stub has not been filled in."""


class Mistake(Exception):
    """The answer is wrong; the text says in what way."""


def check(function: Callable[..., str]) -> Callable[..., Verdict]:
    """Make a check return a ``Verdict`` whatever happens in the learner's code."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> Verdict:
        try:
            return Verdict("solved", function(*args, **options))
        except _Open:
            return Verdict("open", "Replace the ... in your function, then run the cell again.")
        except Mistake as wrong:
            return Verdict("wrong", str(wrong))

    return run


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """The learner's result for ``args``. An empty stub gives None or ``...``."""
    if function is None or function is ...:
        raise _Open
    try:
        result = function(*args)
    except NotImplementedError:
        raise _Open from None
    except Exception as error:  # whatever the learner's code does, the notebook goes on
        given = ", ".join(map(_shown, args))
        raise Mistake(
            f"{function.__name__}({given}) raised {type(error).__name__}: {error}"
        ) from error
    parts = result if isinstance(result, tuple) else (result,)
    if any(part is None or part is ... for part in parts):
        raise _Open
    return result


class _Name(str):
    """An argument as it shall appear in a message: a tensor's numbers would say nothing."""

    __repr__ = str.__str__


def attempt_named(function: Any, called: str | None = None, /, **given: Any) -> Any:
    """``attempt(function, *given)`` on copies of tensors, with a message that names the arguments.

    Args:
        called: how the message calls the function; its own name if None.
    """
    if function is None or function is ...:
        return attempt(function)

    def ask(*_: Any) -> Any:
        own = (value.clone() if isinstance(value, Tensor) else value for value in given.values())
        return function(*own)

    ask.__name__ = called or getattr(function, "__name__", "your function")
    return attempt(ask, *map(_Name, given))


def _shown(argument: Any) -> str:
    """An argument as a learner wants to see it: of arrays the shape, which is what goes wrong."""
    shape = getattr(argument, "shape", ())
    return f"{type(argument).__name__} {tuple(shape)}" if len(shape) else repr(argument)


def expect(
    got: Any, right: Any, mistakes: Mapping[str, Any], where: str, tolerance: float = 1e-6
) -> None:
    """Pass if ``got`` is ``right``; otherwise name the mistake whose value it has.

    Args:
        tolerance: relative. Mistakes that change less pass unseen.
    """
    if same(got, right, tolerance):
        return
    for message, value in mistakes.items():
        if same(got, value, tolerance):
            raise Mistake(f"{message} ({where})")
    raise Mistake(f"{where} should give {shown(right)}, yours gives {shown(got)}.")


def expect_tensor(got: Tensor, right: Tensor, mistakes: Mapping[str, Tensor], where: str) -> None:
    """``expect`` on tensors that may carry a gradient, within float32's rounding."""
    values = {message: value.detach() for message, value in mistakes.items()}
    expect(got.detach(), right.detach(), values, where, tolerance=1e-5)


def one_number(got: Any) -> Any:
    """``got`` if it is a single number; a verdict otherwise."""
    if isinstance(got, bool) or not isinstance(got, int | float | np.number):
        raise Mistake(f"Return one number, not {type(got).__name__}.")
    return got


def numbers(values: Any, count: int, wanted: str) -> np.ndarray:
    try:
        array = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        raise Mistake(f"Return {wanted}; got {type(values).__name__}.") from None
    if len(array) != count:
        raise Mistake(f"Return {wanted}: {count} needed, got {len(array)}.")
    return array


def table(values: Any, rows: int) -> np.ndarray:
    """A tensor, array or list of rows of equal length, as an array of whole numbers."""
    lengths: Sequence[int] = [len(row) for row in values] if hasattr(values, "__len__") else []
    if len(lengths) != rows or len(set(lengths)) != 1:
        raise Mistake(
            f"{rows} rows of equal length are needed, got lengths {lengths}: a tensor has no gaps."
        )
    return np.array([[int(value) for value in row] for row in values])


def same(a: Any, b: Any, tolerance: float = 1e-6) -> bool:
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=1e-9)


def shown(value: Any) -> str:
    array = np.asarray(value, dtype=float)
    if array.ndim == 0:
        return f"{float(array):,.4g}" if array % 1 else f"{int(array):,}"
    return str([round(float(v), 4) for v in array.ravel()]) if array.ndim == 1 else str(value)

"""Checks of notebook 5: memory, counting, a rank for a budget, which names a target means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from lora_lab.exercises.checking import Mistake, attempt, check, expect, one_number


@check
def check_training_memory(function: Callable[[int, int], int]) -> str:
    """``function(parameters, trainable)``: bytes of weights, gradients and AdamW's moments.

    Everything in float32. ``parameters`` counts all that the model holds, the trainable included.
    """
    for parameters, trainable in ((1000, 10), (22_787_714, 74_498), (600, 600)):
        P, T = parameters, trainable
        right = 4 * P + 12 * T
        mistakes = {
            "That gives every parameter a gradient and two moments: full fine-tuning. What is "
            "frozen needs none of the three.": 16 * P,
            "The frozen weights are missing. They learn nothing, but the forward pass needs "
            "them in memory.": 16 * T,
            "One part of what learns is missing: it has a weight, a gradient and two moments.": (
                4 * P + 8 * T
            ),
            "AdamW's two moments are missing: that is plain gradient descent.": 4 * P + 4 * T,
            "Frozen parameters have no moments: the optimiser never sees them.": 12 * P + 4 * T,
            "Frozen parameters have no gradient.": 8 * P + 8 * T,
            "The trainable weights are counted twice: they are among `parameters`.": (
                4 * P + 16 * T
            ),
            "Those are the weights alone; training also holds gradients and moments.": 4 * P,
            "That is how many numbers are held. A float32 number takes 4 bytes.": P + 3 * T,
            "That takes 2 bytes a number, which is float16; float32 takes 4.": 2 * (P + 3 * T),
            "That takes 8 bytes a number, which is float64; float32 takes 4.": 8 * (P + 3 * T),
            "Those are bits; a byte has 8.": 32 * (P + 3 * T),
            "Return bytes, not megabytes.": right / 1e6,
        }
        got = one_number(attempt(function, parameters, trainable))
        expect(got, right, mistakes, f"{parameters:,} parameters, {trainable:,} trainable")
    return "With nothing frozen it is 16 bytes a parameter; the first 4 of them LoRA cannot save."


@check
def check_adapter_count(function: Callable[..., int]) -> str:
    """``function(hidden, feed_forward, layers, rank, targets)``: numbers in all A and B.

    ``targets`` is a list of short names. "q", "k", "v", "o" are hidden x hidden, "up" is
    feed_forward x hidden and "down" hidden x feed_forward (out x in).
    """
    cases = (
        (50, 170, 5, 3, ["q", "v", "up"]),
        (40, 90, 2, 7, ["down"]),
        (768, 3072, 12, 8, ["q", "v"]),
        (384, 1536, 6, 4, ["q", "k", "v", "o", "up", "down"]),
    )
    for hidden, feed_forward, layers, rank, targets in cases:
        shapes = [_shape(name, hidden, feed_forward) for name in targets]
        right = layers * rank * sum(out + in_ for out, in_ in shapes)
        usual = [_shape(name, hidden, 4 * hidden) for name in targets]
        mistakes = {
            "B is missing: that counts A (rank x in) alone.": (
                layers * rank * sum(in_ for _, in_ in shapes)
            ),
            "A is missing: that counts B (out x rank) alone.": (
                layers * rank * sum(out for out, _ in shapes)
            ),
            "That takes every matrix for a square, hidden x hidden. up and down have one side "
            "of feed_forward.": 2 * layers * rank * hidden * len(targets),
            "That takes feed_forward for 4 x hidden. It often is; here it is an argument.": (
                layers * rank * sum(out + in_ for out, in_ in usual)
            ),
            "That is one layer; the model has more.": right // layers,
            "The rank is missing.": right // rank,
            "Only the first target is counted.": layers * rank * sum(shapes[0]),
            "Only the last target is counted.": layers * rank * sum(shapes[-1]),
            "That counts W (out x in), which stays frozen.": (
                layers * sum(out * in_ for out, in_ in shapes)
            ),
            "in and out are multiplied. A is rank x in and B is out x rank: two thin matrices, "
            "so the sides add up.": layers * rank * sum(out * in_ for out, in_ in shapes),
            "The rank is squared: each of A and B has one side of it.": right * rank,
            "LoRA adds no bias; only A and B.": right + layers * sum(out for out, _ in shapes),
            "That is half of it: A and B are both counted, not averaged.": right / 2,
        }
        got = one_number(attempt(function, hidden, feed_forward, layers, rank, list(targets)))
        where = f"hidden {hidden}, feed_forward {feed_forward}, {layers} layers, rank {rank}, "
        expect(got, right, mistakes, where + f"targets {targets}")
    return "up and down cost the same: A of the one is as large as B of the other."


@check
def check_rank_for_budget(
    function: Callable[[Sequence[tuple[int, int]], int, int], int],
) -> str:
    """``function(shapes, budget, bytes_per_number)``: the largest rank whose file fits.

    ``shapes`` lists (out, in) of every adapted matrix. No rank exceeds a side of any of them; 0
    if not even rank 1 fits.
    """
    cases = (
        ([(40, 32), (90, 45)], 4_800, 4),
        ([(12, 50), (60, 25), (70, 30)], 1_000_000, 2),  # the sides decide
        ([(50, 12), (25, 60), (30, 70)], 1_000_000, 2),
        ([(30, 20), (20, 30)], 4_000, 4),  # fits to the last byte
        ([(1000, 1000)], 7_000, 4),  # nothing fits
    )
    for shapes, budget, size in cases:
        sides = sum(out + in_ for out, in_ in shapes)
        limit = min(min(shape) for shape in shapes)
        fits = budget / (size * sides)
        right = min(math.floor(fits), limit)

        def ranks(numbers: float, budget: int = budget, size: int = size) -> int:
            return math.floor(budget / (size * numbers))

        inside = 0 < right < limit
        mistakes = {
            "Not even rank 1 fits: return 0.": 1 if right == 0 else math.nan,
            "Rounded up, the file is larger than the budget: round down.": (
                math.ceil(fits) if inside else math.nan
            ),
            "A rank is a whole number: round down.": fits if inside else math.nan,
            "A file exactly as large as the budget fits.": (
                right - 1 if fits == right else math.nan
            ),
            "No rank can exceed a side of a matrix: stop at the smallest side of all.": (
                math.floor(fits)
            ),
            "The limit is the smallest side of the smallest matrix, not of the largest: every "
            "layer gets the same rank.": max(min(shape) for shape in shapes),
            "The limit was taken from the inputs alone. B (out x rank) has a limit too.": (
                min(in_ for _, in_ in shapes)
            ),
            "The limit was taken from the outputs alone. A (rank x in) has a limit too.": (
                min(out for out, _ in shapes)
            ),
            "The limit was taken from the largest side.": max(max(shape) for shape in shapes),
            "B is missing: one rank costs in (a row of A) and out (a column of B).": (
                ranks(sum(in_ for _, in_ in shapes))
            ),
            "A is missing: one rank costs in (a row of A) and out (a column of B).": (
                ranks(sum(out for out, _ in shapes))
            ),
            "The bytes of a number are missing: the budget is in bytes.": budget // sides,
            "Only the first matrix is counted.": ranks(sum(shapes[0])),
            "Only the last matrix is counted.": ranks(sum(shapes[-1])),
            "That takes A and B twice.": ranks(2 * sides),
            "That takes a number for half as long as it is.": ranks(sides / 2),
            "The budget is in bytes already: do not multiply by 8.": ranks(sides / 8),
            "in and out are multiplied; the sides of A and B add up.": (
                ranks(sum(out * in_ for out, in_ in shapes))
            ),
        }
        got = one_number(attempt(function, [tuple(s) for s in shapes], budget, size))
        where = f"shapes {shapes}, {budget:,} bytes, {size} bytes a number"
        expect(got, right, mistakes, where)
    return "Halving the bytes of a number doubles the rank that fits, until a side stops it."


@check
def check_matches(function: Callable[[Sequence[str], Sequence[str]], list[str]]) -> str:
    """``function(names, targets)``: the names that the targets mean, in the order of ``names``.

    A target means a name that equals it or ends with a dot and the target. One that means
    nothing raises ``ValueError``.
    """
    names = [
        f"layer.{number}.{place}"
        for number in range(2)
        for place in (
            "attention.self.query_proj",
            "attention.self.pos_query_proj",
            "attention.self.query_proj_norm",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        )
    ]
    names += ["pooler.dense", "pooler.dense_norm"]
    for targets in (
        ["output.dense", "pooler.dense", "query_proj", "intermediate.dense"],
        ["dense", "output.dense"],
        ["pooler.dense"],
    ):
        right = [n for n in names if any(f".{n}".endswith(f".{t}") for t in targets)]
        got = attempt(function, list(names), list(targets))
        where = f"targets {targets}"
        if isinstance(got, set | frozenset):
            raise Mistake("A set has no order. Return a list, in the order of `names`.")
        if not isinstance(got, list | tuple):
            raise Mistake(f"Return a list of names, not {type(got).__name__}.")
        _same_names(list(got), right, _wrong_matches(names, targets), where)
    for targets in (["query_proj", "q_proj"], ["typo"]):
        _must_refuse(function, names, targets)
    return "The refusal is the point: a target that means nothing would train nothing, in silence."


def _shape(name: str, hidden: int, feed_forward: int) -> tuple[int, int]:
    """(out, in)"""
    return {"up": (feed_forward, hidden), "down": (hidden, feed_forward)}.get(
        name, (hidden, hidden)
    )


def _wrong_matches(names: list[str], targets: list[str]) -> dict[str, list[str]]:
    """What to say -> the names that this mistake finds."""

    def by(means: Callable[[str, str], bool], wanted: Sequence[str] = targets) -> list[str]:
        return [name for name in names if any(means(name, target) for target in wanted)]

    def right(name: str, target: str) -> bool:
        return f".{name}".endswith(f".{target}")

    each = [[name for name in names if right(name, target)] for target in targets]
    return {
        "That looks for the target anywhere in the name (`in`), and so finds pos_query_proj and "
        "query_proj_norm too.": by(lambda n, t: t in n),
        "That ends anywhere: pos_query_proj ends with query_proj as well. Put a dot before the "
        "target.": by(lambda n, t: n.endswith(t)),
        "That compares the last part alone, so a target of two parts such as output.dense is "
        "never found.": by(lambda n, t: n.split(".")[-1] == t),
        "That wants the whole name. The target may also be its end.": by(lambda n, t: n == t),
        "A name that equals the target has no dot before it, and is meant too.": (
            by(lambda n, t: n.endswith(f".{t}"))
        ),
        "That looks at the beginning of the name, not at its end.": (
            by(lambda n, t: n.startswith(t))
        ),
        "Only the first target is looked for.": by(right, targets[:1]),
        "Only the last target is looked for.": by(right, targets[-1:]),
        "A name must match any of the targets, not all of them.": (
            [name for name in names if all(right(name, target) for target in targets)]
        ),
        "A name that two targets mean comes twice, or the names come in the order of the "
        "targets. Go through the names, and ask for each whether any target means it.": (
            [name for group in each for name in group]
        ),
        "Each target finds its first name only; it may mean many.": (
            [name for name in names if any(group and name == group[0] for group in each)]
        ),
        "These are the names that no target means.": (
            [name for name in names if not any(right(name, target) for target in targets)]
        ),
    }


def _same_names(
    got: list[Any], right: list[str], mistakes: dict[str, list[str]], where: str
) -> None:
    if got == right:
        return
    for message, names in mistakes.items():
        if got == names:
            raise Mistake(f"{message} ({where})")
    lost = [name for name in right if name not in got]
    extra = [str(name) for name in got if name not in right]
    if not lost and not extra:
        raise Mistake(f"The right names, but not once each in the order of `names` ({where})")
    raise Mistake(
        f"{where}: missing are {', '.join(lost) or 'none'}; too many are "
        f"{', '.join(extra) or 'none'}."
    )


def _must_refuse(function: Callable[..., Any], names: list[str], targets: list[str]) -> None:
    """The last target means no name."""
    try:
        function(list(names), list(targets))
    except ValueError as error:
        if targets[-1] in str(error):
            return
        raise Mistake(
            f"Name the target that means nothing: {targets[-1]!r} is not in your text."
        ) from error
    except Exception as error:
        raise Mistake(
            f"targets {targets} raised {type(error).__name__}; raise ValueError with a text."
        ) from error
    raise Mistake(
        f"{targets[-1]!r} means no name, and nobody was told. Raise ValueError for every target "
        f"that means nothing, also where another one does (targets {targets})."
    )

"""Claims on trial: from intervals to "holds", "does not hold" or "cannot be told at this scale".

A claim is turned into a bound that some number lies above: an advantage above 0, a loss that stays
within a margin. Where the whole interval of that number lies above the bound the claim holds;
where it lies wholly below, it does not; anything else cannot be told. The third is no weak form
of "equal": the interval also holds differences that matter.

Several numbers that are looked at for one claim are corrected together before they come here: see
``comparisons`` of ``results.comparing.paired_difference`` and ``results.comparing.mean_interval``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lora_lab.evaluation import Interval
from lora_lab.results.comparing import Difference
from lora_lab.results.stored_grid import StoredGrid

Outcome = Literal["holds", "does not hold", "cannot be told at this scale"]
HOLDS: Outcome = "holds"
FAILS: Outcome = "does not hold"
OPEN: Outcome = "cannot be told at this scale"
OUTCOMES = (HOLDS, FAILS, OPEN)

#: What a verdict rests on. "exact": arithmetic or a program's behaviour, no sample; "quick":
#: trained in a notebook; "full": a stored result; "printed": numbers of a paper; "nothing": no run.
Size = Literal["exact", "quick", "full", "printed", "nothing"]

_SIGN = {HOLDS: "✔", FAILS: "✘", OPEN: "?"}


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes:
        size: see ``Size``.
        sentences, seeds: how many test sentences and seeds; 0 where nothing was sampled.
        rerun: commands that compute it anew, or where to look; none for what is exact.
    """

    size: Size
    sentences: int = 0
    seeds: int = 0
    rerun: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = ((self.sentences, "sentences"), (self.seeds, "seeds"))
        return ", ".join([self.size, *(f"{n:,} {of}" for n, of in counts if n)])


@dataclass(frozen=True)
class Verdict:
    """One row of the table: what was claimed, what came out, why, and what that rests on."""

    claim: str
    outcome: Outcome
    because: str
    rests_on: Evidence

    def __str__(self) -> str:
        sign = _SIGN[self.outcome]
        return f"{sign} **{self.claim}**: {self.outcome}. {self.because} ({self.rests_on})"


def above(interval: Interval, bound: float = 0.0) -> Outcome:
    """Does the number that this is the interval of lie above ``bound``?"""
    if interval.low > bound:
        return HOLDS
    return FAILS if interval.high < bound else OPEN


def better(difference: Difference) -> Outcome:
    """Is the first better than the second? Superiority: measurably so, or measurably not."""
    return above(difference.interval)


def suffices(difference: Difference, margin: float) -> Outcome:
    """Is the first as good as the second, up to a loss of ``margin`` (0.02 is two points)?

    Non-inferiority: it holds if every loss in the interval is smaller than the margin.

    Raises:
        ValueError: a margin that is not positive. Exact equality cannot be shown by any sample.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}; a loss that does not matter must be above 0.")
    return above(difference.interval, -margin)


def proven(fact: bool) -> Outcome:
    """Of what was counted or run and not sampled: it is so or it is not."""
    return HOLDS if fact else FAILS


def opposite(outcome: Outcome) -> Outcome:
    """The outcome of the claim's negation."""
    return {HOLDS: FAILS, FAILS: HOLDS, OPEN: OPEN}[outcome]


def everywhere(outcomes: Iterable[Outcome]) -> Outcome:
    """Of a claim in several parts: one that fails refutes it, and all must hold. None: open."""
    found = set(outcomes)
    if FAILS in found:
        return FAILS
    return HOLDS if found == {HOLDS} else OPEN


def somewhere(outcomes: Iterable[Outcome]) -> Outcome:
    """Of a claim that one part is enough for: it fails if all parts fail. None: open."""
    return opposite(everywhere(opposite(outcome) for outcome in outcomes))


def in_points(value: float, interval: Interval) -> str:
    """A difference of accuracies (0.01 is one point) with its interval: +1.2 [-0.3, +2.7]."""
    return f"{100 * value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def evidence_of(*grids: StoredGrid) -> Evidence:
    """What stored or just computed grids offer: the fewest sentences and seeds among them."""
    commands = [grid.origin["command"] for grid in grids]
    stored = all(command.startswith("lora-lab sweep") for command in commands)
    return Evidence(
        size="full" if stored else "quick",
        sentences=min(int(grid.runs["examples"].min()) for grid in grids),
        seeds=min(int(g.runs.groupby("setting")["seed"].nunique().min()) for g in grids),
        rerun=tuple(dict.fromkeys(commands)),
    )


def tally(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """How many verdicts of each outcome, those without any included."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a table in Markdown, numbered from 1."""
    rows = [("", "claim", "verdict", "because", "rests on"), ("---",) * 5]
    for number, v in enumerate(verdicts, 1):
        verdict = f"{_SIGN[v.outcome]} {v.outcome}"
        rows.append((str(number), v.claim, verdict, v.because, f"{v.rests_on}"))
    return "\n".join("| " + " | ".join(_cell(text) for text in row) + " |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")

"""Ours against PEFT with the transformers Trainer: the same jobs, alternating, in one process tree.

    python benchmarks/side_by_side.py            every figure: hours on two cores
    python benchmarks/side_by_side.py --quick    the same ratios on a subset
    python benchmarks/side_by_side.py --only main,top-two
    python benchmarks/side_by_side.py --table    the last results as the README shows them

Each round runs the sides one after the other, each in a fresh process and in an order that turns,
so that a machine that changes speed changes it for all. What is reported are ratios within a
round: median, lowest and highest. ``jobs.py`` says what the sides do.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lora_lab.precision import settle
from lora_lab.runs import environment

HERE = Path(__file__).parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Size:
    """How much of each job is run."""

    name: str
    train_size: int | None
    held_out: int | None
    epochs: int
    rounds: int
    ranks: tuple[int, ...]
    peft_ranks: tuple[int, ...]
    scaling_sizes: tuple[int, ...]
    scaling_ranks: tuple[int, ...]

    def job(self, **settings: Any) -> Outcome:
        """A job of this size, as ``jobs.Job`` takes it."""
        chosen = dict(train_size=self.train_size, held_out=self.held_out, epochs=self.epochs)
        return chosen | settings


FULL = Size(
    "full", None, None, 3, 3, (1, 2, 4, 8, 16, 32), (1, 32), (1500, 3000, 6000), (1, 4, 16, 64)
)
QUICK = Size("quick", 400, 60, 3, 1, (1, 16), (1, 16), (300, 1200), (1, 16))

Outcome = dict[str, Any]


def main_job(size: Size) -> Outcome:
    """LoRA r=8 on query and value of all layers: time, memory, accuracy, start-up, floor.

    In float32, and where a short try shows that bfloat16 is not slower, ours and PEFT's best
    settings in that too: each side for itself.
    """
    sides = ["ours", "peft-default", "peft-best"]
    sides += [f"{side} bfloat16" for side in ("ours", "peft-best") if _try_bfloat16(side, size)]
    rounds = []
    for seed in range(size.rounds):
        job = size.job(seed=seed)
        rounds.append(_round(sides, job, seed))
        rounds[-1]["floor"] = _measure("floor", job)
    return main_figures(rounds)


def main_figures(rounds: Sequence[Outcome]) -> Outcome:
    """What the rounds of the main job amount to."""
    faster = {side: _faster(rounds, side) for side in ("ours", "peft-best")}
    return {
        "rounds": rounds,
        "faster_precision": faster,
        "peft_default_over_ours": _ratio(rounds, "peft-default", "ours", "seconds"),
        "peft_best_over_ours": _ratio(rounds, "peft-best", "ours", "seconds"),
        "peft_best_over_ours_faster": _ratio(
            rounds, faster["peft-best"], faster["ours"], "seconds"
        ),
        "memory_ours_over_peft_faster": _ratio(
            rounds, faster["ours"], faster["peft-best"], "peak_memory"
        ),
        "floor_over_ours": _spread(r["floor"]["seconds"] / r["ours"]["seconds"] for r in rounds),
        "memory_ours_over_peft_best": _ratio(rounds, "ours", "peft-best", "peak_memory"),
        "memory_ours_over_peft_default": _ratio(rounds, "ours", "peft-default", "peak_memory"),
        "start_ours_over_peft": _ratio(rounds, "ours", "peft-default", "start_to_first_step"),
        "accuracy_difference": _accuracy_difference(rounds),
        "accuracy_difference_faster": _accuracy_difference(rounds, faster["ours"]),
        "gflops_per_second": _spread(r["floor"]["gflops_per_second"] for r in rounds),
        "padding_waste": _spread(r["floor"]["padding_waste"] for r in rounds),
    }


def top_two(size: Size) -> Outcome:
    """LoRA in the top two layers: the cache is built within the time."""
    rounds = []
    for seed in range(size.rounds):
        job = size.job(layers="top:2", seed=seed)
        rounds.append(_round(("ours", "peft-default"), job, seed))
    return {
        "rounds": rounds,
        "peft_default_over_ours": _ratio(rounds, "peft-default", "ours", "seconds"),
        "memory_ours_over_peft_default": _ratio(rounds, "ours", "peft-default", "peak_memory"),
        "accuracy_difference": _accuracy_difference(rounds),
    }


def sweep(size: Size) -> Outcome:
    """Every rank in the top one and the top two layers, one sweep against one loop.

    PEFT runs its lowest and its highest rank only, and its time is multiplied: its whole loop
    takes an hour.
    """
    job = size.job(layer_choices=["top:1", "top:2"])
    ours = _measure("ours-sweep", job | dict(ranks=size.ranks))
    print(f"round 1  {_line('ours-sweep', ours)}", flush=True)
    peft = _measure("peft-sweep", job | dict(ranks=size.peft_ranks))
    print(f"round 1  {_line('peft-sweep', peft)}", flush=True)
    whole = peft["seconds"] * len(size.ranks) / len(size.peft_ranks)
    return {
        "configurations": 2 * len(size.ranks),
        "measured_with_peft": 2 * len(size.peft_ranks),
        "rounds": [{"ours-sweep": ours, "peft-sweep": peft}],
        "peft_default_over_ours": _spread([whole / ours["seconds"]]),
    }


def scaling(size: Size) -> Outcome:
    """Ours over data size and over rank, one epoch each; the orders turn from round to round."""
    sizes, ranks = size.scaling_sizes, size.scaling_ranks
    by_size: dict[int, list[float]] = {n: [] for n in sizes}
    by_rank: dict[int, list[float]] = {r: [] for r in ranks}
    for turn in range(size.rounds):
        for n in sizes[:: 1 if turn % 2 == 0 else -1]:
            outcome = _measure("ours", dict(train_size=n, held_out=60, epochs=1))
            by_size[n].append(1000 * outcome["seconds"] / n)
        for rank in ranks[:: 1 if turn % 2 == 0 else -1]:
            job = dict(train_size=sizes[0], held_out=60, epochs=1, rank=rank)
            by_rank[rank].append(_measure("ours", job)["seconds"])
    rank_pairs = zip(by_rank[16], by_rank[1], strict=True)
    size_pairs = zip(by_size[sizes[-1]], by_size[sizes[0]], strict=True)
    return {
        "ms_per_example_by_size": {n: _spread(v) for n, v in by_size.items()},
        "seconds_by_rank": {r: _spread(v) for r, v in by_rank.items()},
        "rank_16_over_rank_1": _spread(a / b for a, b in rank_pairs),
        "per_example_largest_over_smallest": _spread(a / b for a, b in size_pairs),
    }


def rescoring(size: Size) -> Outcome:
    """A rescored rank against one forward pass of the adapted layers."""
    outcome = _measure("rescoring", dict(train_size=200, layers="top:2"))
    return outcome | {"score_over_forward": _spread(outcome["ratios"])}


def at_once(size: Size) -> Outcome:
    """Two runs side by side with one thread each against the same two in turn with all threads."""
    jobs = [size.job(layers="top:2", seed=seed) for seed in (0, 1)]
    ratios = []
    for turn in range(size.rounds):
        in_turn = sum(_measure("ours", job)["seconds"] for job in jobs)
        both = [_start("ours", job, threads=1) for job in jobs]
        at_once = max(_finish(process)["seconds"] for process in both)
        ratios.append(in_turn / at_once)
        print(f"round {turn + 1}: in turn / at once {ratios[-1]:.2f}", flush=True)
    return {"in_turn_over_at_once": _spread(ratios)}


#: Of the subset, a sweep would take as long as all the rest, and most of it to load PyTorch.
FULL_ONLY = ("sweep",)
FIGURES: dict[str, Callable[[Size], Outcome]] = {
    "main": main_job,
    "top-two": top_two,
    "scaling": scaling,
    "rescoring": rescoring,
    "at-once": at_once,
    "sweep": sweep,
}

#: figure, key, what it is, what to reach
ROWS = (
    ("main", "peft_default_over_ours", "all layers: PEFT, defaults / ours", ">= 2.5"),
    ("main", "peft_best_over_ours", "all layers: PEFT, best settings / ours", ">= 1.6"),
    ("main", "peft_best_over_ours_faster", "the same in the faster precision ({p})", ">= 1.6"),
    ("top-two", "peft_default_over_ours", "top two layers, cache included: PEFT / ours", ">= 4.5"),
    ("sweep", "peft_default_over_ours", "{n} runs in the top layers: PEFT ({m}) / ours", ">= 10"),
    ("main", "floor_over_ours", "matrix products alone / ours, all layers", ">= 0.75"),
    ("main", "memory_ours_over_peft_best", "peak memory, all layers: ours / PEFT best", "<= 1.0"),
    ("main", "memory_ours_over_peft_faster", "the same in the faster precision ({p})", "<= 1.0"),
    ("top-two", "memory_ours_over_peft_default", "peak memory, top two: ours / PEFT", "<= 1.0"),
    ("main", "start_ours_over_peft", "start to first step: ours / PEFT", "<= 1.0"),
    ("scaling", "per_example_largest_over_smallest", "time per example, 4x the data / 1x", "1"),
    ("scaling", "rank_16_over_rank_1", "time, rank 16 / rank 1", "<= 1.1"),
    ("rescoring", "score_over_forward", "re-scoring / one forward pass, adapted layers", "1"),
    ("at-once", "in_turn_over_at_once", "two runs in turn / two at once, one thread each", ""),
)  # fmt: skip


def table(results: Outcome) -> str:
    """Markdown: figure, target, median and range."""
    lines = ["| figure | to reach | median (range) |", "|---|---|---|"]
    for figure, key, title, target in ROWS:
        if figure in results["figures"]:
            found = results["figures"][figure]
            precisions = ", ".join(found.get("faster_precision", {}).values())
            title = title.format(
                n=found.get("configurations"),
                m=f"{found.get('measured_with_peft')}, scaled",
                p=precisions,
            )
            lines.append(f"| {title} | {target} | {_shown(found[key])} |")
    for figure, key, where in (
        ("main", "accuracy_difference", "all layers"),
        ("main", "accuracy_difference_faster", "ours in its faster precision"),
        ("top-two", "accuracy_difference", "top two"),
    ):
        if figure in results["figures"]:
            d = results["figures"][figure][key]
            lines.append(
                f"| test accuracy, {where}: ours - PEFT, mean of {d['seeds']} seeds | within "
                f"{100 * d['standard_error']:.1f} points (1 s.e.) | "
                f"{100 * d['mean']:+.1f} points |"
            )
    return "\n".join(lines)


def _shown(spread: Outcome) -> str:
    if spread["low"] == spread["high"]:
        return f"{spread['median']:.2f} (one round)"
    return f"{spread['median']:.2f} ({spread['low']:.2f} to {spread['high']:.2f})"


def _try_bfloat16(side: str, size: Size) -> bool:
    """Whether a short job of this side is at least nearly as fast in bfloat16."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settle("auto", device) == "float32":  # it would be several times slower for both
        return False
    if size.name == QUICK.name:  # its job is as short as the try
        return True
    job = dict(train_size=600, held_out=60, epochs=2)
    float32, bfloat16 = (_measure(name, job)["seconds"] for name in (side, f"{side} bfloat16"))
    print(f"{side}: {float32:.1f} s in float32, {bfloat16:.1f} s in bfloat16", flush=True)
    return bfloat16 < 1.1 * float32


def _faster(rounds: Sequence[Outcome], side: str) -> str:
    """The side as it was measured, in whichever precision took less time over all rounds."""
    measured = [name for name in (side, f"{side} bfloat16") if name in rounds[0]]
    return min(measured, key=lambda name: statistics.median(r[name]["seconds"] for r in rounds))


def _round(sides: Sequence[str], job: Outcome, turn: int) -> Outcome:
    shift = turn % len(sides)
    order = [*sides[shift:], *sides[:shift]]
    outcomes = {}
    for side in order:
        outcomes[side] = _measure(side, job)
        print(f"round {turn + 1}  {_line(side, outcomes[side])}", flush=True)
    return outcomes


def _measure(side: str, job: Outcome) -> Outcome:
    return _finish(_start(side, job))


def _start(side: str, job: Outcome, threads: int | None = None) -> subprocess.Popen:
    side, _, precision = side.partition(" ")
    if precision:
        job = job | dict(precision=precision)
    variables = os.environ | {"BENCH_STARTED": str(time.time())}
    if threads:
        variables |= {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, str(HERE / "jobs.py"), side, json.dumps(job)]
    return subprocess.Popen(
        command, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _finish(process: subprocess.Popen) -> Outcome:
    out, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"A measurement failed: {' '.join(process.args)}\n{errors}")
    return json.loads(out.splitlines()[-1])


def _line(side: str, outcome: Outcome) -> str:
    text = f"{side:18} {outcome['seconds']:7.1f} s, {outcome['peak_memory'] / 2**30:.2f} GiB"
    if "accuracy" in outcome:
        text += f", accuracy {outcome['accuracy']:.3f}"
    return text


def _ratio(rounds: Sequence[Outcome], above: str, below: str, what: str) -> Outcome:
    return _spread(r[above][what] / r[below][what] for r in rounds)


def _spread(values: Any) -> Outcome:
    values = list(values)
    return dict(median=statistics.median(values), low=min(values), high=max(values))


def _accuracy_difference(rounds: Sequence[Outcome], side: str = "ours") -> Outcome:
    """Mean over the seeds, ours - PEFT, with the standard error of one accuracy on the test set."""
    differences = [r[side]["accuracy"] - r["peft-default"]["accuracy"] for r in rounds]
    p, n = rounds[0][side]["accuracy"], rounds[0][side]["test_examples"]
    return dict(
        mean=statistics.mean(differences),
        each=differences,
        seeds=len(rounds),
        standard_error=math.sqrt(p * (1 - p) / n),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a subset")
    parser.add_argument("--only", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--table", action="store_true", help="print the last results and stop")
    parser.add_argument("--rounds", type=int, help="instead of 3, or 1 with --quick")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    if options.rounds:
        size = replace(size, rounds=options.rounds)
    path = RESULTS / ("quick.json" if options.quick else "latest.json")
    results = json.loads(path.read_text()) if path.exists() else {}
    if options.table:
        print(table(results))
        return
    usual = [name for name in FIGURES if not (options.quick and name in FULL_ONLY)]
    names = options.only.split(",") if options.only else usual
    if unknown := [name for name in names if name not in FIGURES]:
        parser.error(f"no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    results = {"figures": results.get("figures", {})}
    for name in names:
        print(f"{name}: {FIGURES[name].__doc__.splitlines()[0]}", flush=True)
        found = FIGURES[name](size) | {"made_with": environment(), "size": size.name}
        results["figures"][name] = found
        # Written after each figure: an interrupted benchmark keeps what it has.
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(results, indent=2) + "\n")
    print("\n" + table(results))


if __name__ == "__main__":
    main()

